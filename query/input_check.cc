#include "query/input_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/macros.h"
#include "core/metadata_size.h"
#include "core/text.h"
#include "core/vector_math.h"
#include "query/expiry.h"

namespace nestor::query {
namespace {

Status invalid(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }

Status check_text(std::string_view text, std::size_t most_bytes, const std::string& what) {
  if (text.size() > most_bytes) {
    return invalid(
        fmt::format("{} has {} bytes, at most {} are taken", what, text.size(), most_bytes));
  }
  if (const auto offset = find_invalid_utf8(text)) {
    return invalid(fmt::format("{} is not UTF-8: byte {} is 0x{:02x}", what, *offset,
                               static_cast<unsigned char>(text[*offset])));
  }
  return {};
}

Status check_scalar(const MetadataScalar& scalar, const std::string& what) {
  if (const auto* number = std::get_if<double>(&scalar.variant());
      number && !std::isfinite(*number)) {
    return invalid(what + " is not a finite number");
  }
  if (const auto* text = std::get_if<std::string>(&scalar.variant())) {
    return check_text(*text, kMostTextBytes, what);
  }
  return {};
}

}  // namespace

Status check_collection_name(std::string_view name) {
  const bool allowed = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
  if (name.empty() || name.size() > 64 || !allowed || name.front() == '.') {
    return invalid(fmt::format(
        "{} cannot name a collection: 1 to 64 of A-Z a-z 0-9 . _ - are expected, the first "
        "not a dot",
        quote_for_message(name)));
  }
  return {};
}

Status check_key(std::string_view key) {
  if (key.empty()) return invalid("a document's key is empty; 1 to 512 bytes are expected");
  NESTOR_RETURN_IF_ERROR(
      check_text(key, kMostKeyBytes, fmt::format("the key {}", quote_for_message(key))));
  if (const std::size_t offset = key.find('\0'); offset != key.npos) {
    return invalid(
        fmt::format("the key {} holds a NUL at byte {}", quote_for_message(key), offset));
  }
  return {};
}

Status check_metadata(const Metadata& metadata, const std::string& whose) {
  for (const auto& [name, value] : metadata) {
    const std::string what = fmt::format("{}: metadata field {}", whose, quote_for_message(name));
    NESTOR_RETURN_IF_ERROR(check_text(name, kMostTitleBytes, what));
    if (!value.is_list()) {
      NESTOR_RETURN_IF_ERROR(check_scalar(value.scalar(), what));
      continue;
    }
    for (const MetadataScalar& element : value.list()) {
      NESTOR_RETURN_IF_ERROR(check_scalar(element, what));
    }
  }
  NESTOR_RETURN_IF_ERROR(check_expiry(metadata, whose));
  // The caps on fields and bytes are those of its written form.
  const Status size = check_metadata_size(metadata);
  return size.ok() ? size : size.with_context(whose);
}

Status check_document(const Document& document, bool split) {
  NESTOR_RETURN_IF_ERROR(check_key(document.key));
  const std::string whose = fmt::format("document {}", quote_for_message(document.key));
  NESTOR_RETURN_IF_ERROR(check_text(document.title, kMostTitleBytes, whose + ": the title"));
  NESTOR_RETURN_IF_ERROR(check_text(document.text, kMostTextBytes, whose + ": the text"));
  if (!split && document.vector.empty() && document.text.size() > kMostUnsplitTextBytes) {
    return invalid(
        fmt::format("{}: the text has {} bytes, at most {} can be one passage; let add split it",
                    whose, document.text.size(), kMostUnsplitTextBytes));
  }
  return check_metadata(document.metadata, whose);
}

Status check_vector(std::span<const float> vector, int width, const std::string& whose,
                    Metric metric) {
  if (vector.size() != static_cast<std::size_t>(width)) {
    return invalid(fmt::format("{}: the vector has {} components, the collection's have {}", whose,
                               vector.size(), width));
  }
  for (std::size_t i = 0; i < vector.size(); ++i) {
    if (!std::isfinite(vector[i])) {
      return invalid(
          fmt::format("{}: component {} of the vector is {}, a finite number is expected", whose, i,
                      vector[i]));
    }
  }
  if (metric != Metric::kCosine) {
    constexpr double kMostLength = 1e18;
    const double length = std::sqrt(dot(vector, vector));
    if (length <= kMostLength) return {};
    return invalid(fmt::format("{}: the vector has length {:.3g}; by {} at most {:.0e} is taken",
                               whose, length, metric_name(metric), kMostLength));
  }
  if (std::all_of(vector.begin(), vector.end(), [](float value) { return value == 0; })) {
    return invalid(whose + ": the vector is all zero and points nowhere");
  }
  return {};
}

Status check_split(const SplitOptions& split) {
  if (split.enabled && (split.passage_tokens < 16 || split.passage_tokens > 1800)) {
    return invalid(fmt::format("passages of {} tokens were asked for; 16 to 1800 are possible",
                               split.passage_tokens));
  }
  return {};
}

Status check_search(const SearchOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_collection_name(options.collection));
  if (options.k < 1 || options.k > kMostHits) {
    return invalid(fmt::format("k is {}; 1 to {} are possible", options.k, kMostHits));
  }
  if (options.candidate_count < 0 || options.candidate_count > kMostCandidates) {
    return invalid(fmt::format("candidate_count is {}; 0 (chosen for you) to {} are possible",
                               options.candidate_count, kMostCandidates));
  }
  if (options.offset < 0 || options.offset + options.k > kMostHits) {
    return invalid(fmt::format("offset is {} with k {}; together they may be up to {}",
                               options.offset, options.k, kMostHits));
  }
  if (options.per_document < 0) {
    return invalid(fmt::format("per_document is {}; 0 (any number) or more is expected",
                               options.per_document));
  }
  if (options.min_score.has_value() && !std::isfinite(*options.min_score)) {
    return invalid(fmt::format("min_score is {}; a finite number is expected", *options.min_score));
  }
  if (!(options.recall_target > 0 && options.recall_target <= 1)) {
    return invalid(fmt::format("recall_target is {}; above 0 to 1 (an exact search) is expected",
                               options.recall_target));
  }
  if (options.rerank && (options.rerank_count < 1 || options.rerank_count > kMostHits)) {
    return invalid(
        fmt::format("rerank_count is {}; 1 to {} are possible", options.rerank_count, kMostHits));
  }
  if (!(options.diversity_lambda >= 0 && options.diversity_lambda <= 1)) {
    return invalid(fmt::format("diversity_lambda is {}; 0 (variety) to 1 (relevance) is expected",
                               options.diversity_lambda));
  }
  if (options.snippet_bytes < 0) {
    return invalid(
        fmt::format("snippet_bytes is {}; 0 (none) or more is expected", options.snippet_bytes));
  }
  const FusionOptions& fusion = options.fusion;
  if (!(fusion.weight() >= 0 && fusion.weight() <= 1)) {
    return invalid(fmt::format("fusion.vector_weight is {}; 0 to 1 is expected", fusion.weight()));
  }
  if (!(fusion.rank_constant > 0)) {
    return invalid(
        fmt::format("fusion.rank_constant is {}; more than 0 is expected", fusion.rank_constant));
  }
  return {};
}

Status check_question(std::string_view text, std::optional<std::size_t> position) {
  const auto offset = find_invalid_utf8(text);
  if (!offset.has_value()) return {};
  return invalid(fmt::format("the question{} is not UTF-8 at byte {}",
                             position.has_value() ? fmt::format(" {}", *position) : "", *offset));
}

Status check_search_in(const SearchOptions& options, Metric metric) {
  if (metric != Metric::kCosine || !options.min_score.has_value()) return {};
  if (*options.min_score >= -1 && *options.min_score <= 1) return {};
  return invalid(
      fmt::format("min_score is {}; a cosine, -1 to 1, is expected", *options.min_score));
}

namespace {

template <typename Value>
Status check_weights(const std::vector<Weighted<Value>>& parts) {
  constexpr double kMostWeight = 1e6;
  for (const auto& part : parts) {
    if (part.weight > 0 && part.weight <= kMostWeight) continue;
    return invalid(fmt::format(
        "a part of the question has weight {}; above 0 to 1,000,000 is expected, and what to be "
        "away from goes into `unlike`",
        part.weight));
  }
  return {};
}

Status check_parts(const QueryParts& parts) {
  NESTOR_RETURN_IF_ERROR(check_weights(parts.texts));
  NESTOR_RETURN_IF_ERROR(check_weights(parts.vectors));
  NESTOR_RETURN_IF_ERROR(check_weights(parts.keys));
  for (const auto& text : parts.texts) {
    NESTOR_RETURN_IF_ERROR(check_question(text.value));
  }
  for (const auto& key : parts.keys) NESTOR_RETURN_IF_ERROR(check_key(key.value));
  return {};
}

std::size_t count_parts(const QueryParts& parts) {
  return parts.texts.size() + parts.vectors.size() + parts.keys.size();
}

bool of_one_weight(const QueryParts& parts) {
  std::vector<double> weights;
  for (const auto& part : parts.texts) weights.push_back(part.weight);
  for (const auto& part : parts.vectors) weights.push_back(part.weight);
  for (const auto& part : parts.keys) weights.push_back(part.weight);
  return std::adjacent_find(weights.begin(), weights.end(), std::not_equal_to<>()) == weights.end();
}

}  // namespace

Status check_query(const Query& query) {
  const std::size_t count = count_parts(query.like) + count_parts(query.unlike);
  if (count_parts(query.like) == 0) {
    return invalid(
        "the question has nothing to be like: a text, a vector or a key is needed; to be unlike "
        "something is not enough");
  }
  if (count > kMostQueryParts) {
    return invalid(
        fmt::format("the question has {} parts; at most {} are taken", count, kMostQueryParts));
  }
  constexpr double kMostUnlikeWeight = 10;
  if (!(query.unlike_weight >= 0 && query.unlike_weight <= kMostUnlikeWeight)) {
    return invalid(fmt::format("unlike_weight is {}; 0 to {} is expected", query.unlike_weight,
                               kMostUnlikeWeight));
  }
  if (query.combination == Combination::kBest && !of_one_weight(query.like)) {
    return invalid(
        "the parts have different weights; where the best of them counts (Combination::kBest) "
        "equal ones are expected, for scores are compared as they are");
  }
  NESTOR_RETURN_IF_ERROR(check_parts(query.like));
  return check_parts(query.unlike);
}

}  // namespace nestor::query
