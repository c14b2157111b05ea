#include "query/input_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

#include "core/macros.h"
#include "core/metadata_size.h"
#include "core/option_range.h"
#include "core/text.h"
#include "core/text_source.h"
#include "core/vector_math.h"
#include "query/expiry.h"
#include "query/icu_text.h"

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
  if (const Status source = check_source(document.source, document.text); !source.ok()) {
    return source.with_context(whose);
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

storage::CollectionDescriptor descriptor_of(const std::string& name,
                                            const CollectionOptions& options) {
  // Every option by name, so that a new one cannot be forgotten.
  const auto& [vector_width, metric] = options;
  storage::CollectionDescriptor descriptor;
  descriptor.name = name;
  descriptor.dim = vector_width;
  descriptor.user_vectors = vector_width != 0;
  descriptor.metric = metric;
  return descriptor;
}

Status check_descriptor(const storage::CollectionDescriptor& descriptor) {
  NESTOR_RETURN_IF_ERROR(check_collection_name(descriptor.name));
  NESTOR_RETURN_IF_ERROR(check_number("vector_width", descriptor.dim, ranges::kVectorWidth));
  if (!descriptor.user_vectors && descriptor.metric != Metric::kCosine) {
    return invalid(fmt::format(
        "metric {} for collection '{}', which embeds its texts: the model's vectors are compared "
        "by cosine. Give a vector_width for vectors of your own",
        metric_name(descriptor.metric), descriptor.name));
  }
  return {};
}

Status check_split(const SplitOptions& split) {
  if (!split.enabled) return {};
  return check_number("passage_tokens", split.passage_tokens, ranges::kPassageTokens);
}

Status check_open(const OpenOptions& options) {
  NESTOR_RETURN_IF_ERROR(
      check_number("query_cache_bytes", options.query_cache_bytes, ranges::kMemoryBytes));
  NESTOR_RETURN_IF_ERROR(check_number("memory_bytes", options.memory_bytes, ranges::kMemoryBytes));
  return check_number("thread_count", options.embedder.thread_count, ranges::kThreads);
}

Status check_search(const SearchOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_collection_name(options.collection));
  const std::tuple<const char*, std::int64_t, NumberRange> whole_numbers[] = {
      {"k", options.k, ranges::kHits},
      {"offset", options.offset, ranges::kOffset},
      {"candidate_count", options.candidate_count, ranges::kCandidates},
      {"coarse_width", options.coarse_width, ranges::kDimension},
      {"rerank_width", options.rerank_width, ranges::kDimension},
      {"per_document", options.per_document, ranges::kPerDocument},
      {"snippet_bytes", options.snippet_bytes, ranges::kSnippetBytes},
      {"rerank_count", options.rerank_count, ranges::kHits}};
  for (const auto& [name, value, range] : whole_numbers) {
    NESTOR_RETURN_IF_ERROR(check_number(name, value, range));
  }
  const std::tuple<const char*, double, NumberRange> numbers[] = {
      {"min_score", options.min_score.value_or(0), ranges::kMinScore},
      {"recall_target", options.recall_target, ranges::kRecallTarget},
      {"diversity_lambda", options.diversity_lambda, ranges::kDiversity},
      {"fusion.vector_weight", options.fusion.weight(), ranges::kVectorWeight},
      {"fusion.rank_constant", options.fusion.rank_constant, ranges::kRankConstant}};
  for (const auto& [name, value, range] : numbers) {
    NESTOR_RETURN_IF_ERROR(check_number(name, value, range));
  }
  // Neither is above kMostHits here, so that the sum cannot overflow.
  if (options.offset + options.k <= kMostHits) return {};
  return invalid(fmt::format("offset is {} with k {}; together they may be up to {}",
                             options.offset, options.k, kMostHits));
}

Status check_question(std::string_view text, std::optional<std::size_t> position) {
  const std::string which =
      fmt::format("the query{}", position.has_value() ? fmt::format(" {}", *position) : "");
  if (const auto offset = find_invalid_utf8(text); offset.has_value()) {
    return invalid(fmt::format("{} is not UTF-8 at byte {}", which, *offset));
  }
  if (!is_blank(text)) return {};
  return invalid(fmt::format("{} is empty{}; words to search for are expected", which,
                             text.empty() ? "" : " but for white space"));
}

Status check_search_in(const SearchOptions& options, Metric metric) {
  if (metric != Metric::kCosine || !options.min_score.has_value()) return {};
  return check_number("min_score", *options.min_score, ranges::kCosine);
}

namespace {

template <typename Value>
Status check_weights(const std::vector<Weighted<Value>>& parts) {
  for (const auto& part : parts) {
    const Status status = check_number("weight", part.weight, ranges::kPartWeight);
    if (!status.ok()) {
      return invalid("a part of the query: " + status.message() +
                     "; what to be away from goes into `unlike`");
    }
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
  NESTOR_RETURN_IF_ERROR(check_number("unlike_weight", query.unlike_weight, ranges::kUnlikeWeight));
  if (query.combination == Combination::kBest && !of_one_weight(query.like)) {
    return invalid(
        "the parts have different weights; where the best of them counts (Combination::kBest) "
        "equal ones are expected, for scores are compared as they are");
  }
  NESTOR_RETURN_IF_ERROR(check_parts(query.like));
  return check_parts(query.unlike);
}

}  // namespace nestor::query
