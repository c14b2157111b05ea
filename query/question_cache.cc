#include "query/question_cache.h"

#include <utility>

namespace nestor::query {
namespace {

// No part but the last can hold a NUL.
std::string key_of(const ModelInfo& model, Role role, std::string_view text) {
  std::string key = model.space;
  key += '\0';
  key += model.precision;
  key += '\0';
  key += role_name(role);
  key += '\0';
  key += text;
  return key;
}

}  // namespace

std::optional<Embedding> QuestionCache::find(const ModelInfo& model, Role role,
                                             std::string_view text) {
  if (most_bytes_ == 0) return std::nullopt;
  const std::string key = key_of(model, role, text);
  const std::lock_guard guard(mutex_);
  const auto found = places_.find(key);
  if (found == places_.end()) return std::nullopt;
  kept_.splice(kept_.begin(), kept_, found->second);
  return found->second->embedding;
}

void QuestionCache::put(const ModelInfo& model, Role role, std::string_view text,
                        const Embedding& embedding) {
  constexpr std::size_t kPlaceBytes = 96;  // nodes of list and map
  Kept entry{.key = key_of(model, role, text), .embedding = embedding};
  entry.bytes =
      sizeof(Kept) + kPlaceBytes + entry.key.size() + entry.embedding.vector.size() * sizeof(float);
  if (entry.bytes > most_bytes_ / 4) return;
  const std::lock_guard guard(mutex_);
  if (places_.contains(entry.key)) return;
  std::list<Kept> made;
  made.push_front(std::move(entry));
  places_.emplace(made.front().key, made.begin());
  kept_.splice(kept_.begin(), made);  // nothing fails from here on
  bytes_ += kept_.front().bytes;
  while (bytes_ > most_bytes_) {
    const Kept& oldest = kept_.back();
    bytes_ -= oldest.bytes;
    places_.erase(oldest.key);
    kept_.pop_back();
  }
}

std::size_t QuestionCache::bytes() const {
  const std::lock_guard guard(mutex_);
  return bytes_;
}

}  // namespace nestor::query
