// QuestionCache: embeddings of questions, the latest used. An entry belongs to one vector space,
// one numeric mode, one role and one text, so a change of model finds none of what was there.
// Threads: safe anywhere.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "nestor/embedder.h"

namespace nestor::query {

class QuestionCache {
 public:
  // 0: keeps nothing.
  explicit QuestionCache(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  std::optional<Embedding> find(const ModelInfo& model, Role role, std::string_view text);
  // Drops the entries used longest ago where there is no room; one that takes more than a quarter
  // of all of it is not kept.
  void put(const ModelInfo& model, Role role, std::string_view text, const Embedding& embedding);
  // Of entries, their keys and their places.
  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Kept {
    std::string key;
    Embedding embedding;
    std::size_t bytes = 0;
  };

  const std::size_t most_bytes_;
  mutable std::mutex mutex_;                                                // guards what follows
  std::list<Kept> kept_;                                                    // the latest used first
  std::unordered_map<std::string_view, std::list<Kept>::iterator> places_;  // views of kept_'s keys
  std::size_t bytes_ = 0;
};

}  // namespace nestor::query
