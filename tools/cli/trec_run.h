// TrecRun: rankings as trec_eval, ir-measures and ranx read them: `qid Q0 docid rank score tag` a
// line. Threads: a value; one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/status.h"

namespace nestor::cli {

struct RankedDocument {
  std::string key;
  double score = 0;
};

// trec_eval ignores the rank column, keeps scores as floats and breaks ties by document id
// backwards, so scores must fall strictly as floats. Each is lowered below the one before it where
// it does not fall by itself.
std::vector<float> strictly_falling_scores(std::span<const RankedDocument> ranking);

class TrecRun {
 public:
  explicit TrecRun(std::string tag) : tag_(std::move(tag)) {}
  // Best first. Errors: kInvalidArgument (a key that is empty or holds white space, which the
  // format has no room for).
  Status add(const std::string& query_key, std::span<const RankedDocument> ranking);
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string tag_;
  std::string text_;
};

}  // namespace nestor::cli
