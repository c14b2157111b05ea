// The numeric options of the library and of the command line: each with its range, all in one
// place, and the one check that they go through. A NaN is in no range.
// Threads: constants and free functions, safe anywhere.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>

#include "nestor/status.h"

namespace nestor {

struct NumberRange {
  double low = 0;
  double high = 0;
  bool whole = false;      // integers only; both ends are exact as doubles
  bool above_low = false;  // `low` itself is outside
  // What a value means beside the plain range, in parentheses; may be empty.
  const char* note = "";
};

namespace ranges {

inline constexpr double kMost = std::numeric_limits<double>::max();
// Of a search.
inline constexpr NumberRange kHits{.low = 1, .high = 10'000, .whole = true};
inline constexpr NumberRange kOffset{
    .low = 0, .high = 10'000, .whole = true, .note = "k and offset together as well"};
inline constexpr NumberRange kCandidates{
    .low = 0, .high = 10'000'000, .whole = true, .note = "0: chosen for you"};
inline constexpr NumberRange kDimension{
    .low = 0, .high = 65'536, .whole = true, .note = "0: chosen for you"};
inline constexpr NumberRange kPerDocument{
    .low = 0, .high = 1e9, .whole = true, .note = "0: any number"};
inline constexpr NumberRange kMinScore{.low = -kMost, .high = kMost};
inline constexpr NumberRange kCosine{.low = -1, .high = 1};
inline constexpr NumberRange kRecallTarget{
    .low = 0, .high = 1, .above_low = true, .note = "1: an exact search"};
inline constexpr NumberRange kDiversity{
    .low = 0, .high = 1, .note = "0: variety alone, 1: relevance alone"};
inline constexpr NumberRange kSnippetBytes{
    .low = 0, .high = 16'777'216, .whole = true, .note = "0: none"};
inline constexpr NumberRange kVectorWeight{.low = 0, .high = 1};
inline constexpr NumberRange kRankConstant{.low = 0, .high = 1e6, .above_low = true};
inline constexpr NumberRange kPartWeight{.low = 0, .high = 1e6, .above_low = true};
inline constexpr NumberRange kUnlikeWeight{.low = 0, .high = 10};
inline constexpr NumberRange kTimeoutSeconds{.low = 1e-6, .high = 1e6};
// Of a measurement of recall.
inline constexpr NumberRange kRecallNeighbours{.low = 1, .high = 1'000, .whole = true};
inline constexpr NumberRange kRecallQueries{.low = 1, .high = 10'000, .whole = true};
// Of data coming in.
inline constexpr NumberRange kPassageTokens{.low = 16, .high = 1'800, .whole = true};
inline constexpr NumberRange kVectorWidth{
    .low = 0, .high = 65'536, .whole = true, .note = "0: the texts are embedded"};
inline constexpr NumberRange kAddBatch{.low = 1, .high = 100'000, .whole = true};
inline constexpr NumberRange kImportBatch{.low = 1, .high = 10'000, .whole = true};
inline constexpr NumberRange kListLimit{.low = 1, .high = 1e15, .whole = true};
// Of a process.
inline constexpr NumberRange kThreads{
    .low = 0, .high = 1'024, .whole = true, .note = "0: one for each processor"};
inline constexpr NumberRange kMemoryBytes{.low = 0, .high = 1e15, .whole = true, .note = "0: any"};
// Of a benchmark.
inline constexpr NumberRange kSample{.low = 1, .high = 1e9, .whole = true};
inline constexpr NumberRange kSeed{.low = 0, .high = 1e15, .whole = true};

}  // namespace ranges

// Errors: kInvalidArgument "NAME is VALUE; LOW to HIGH is expected".
Status check_number(std::string_view name, double value, const NumberRange& range);
Status check_number(std::string_view name, std::int64_t value, const NumberRange& range);
template <std::integral Integer>
Status check_number(std::string_view name, Integer value, const NumberRange& range) {
  return check_number(name, static_cast<std::int64_t>(value), range);
}

// A number as a person types it, in decimal: all of the text. Errors: as check_number.
Result<double> parse_number(std::string_view name, std::string_view text, const NumberRange& range);
// REQUIRES: range.whole.
Result<std::int64_t> parse_whole_number(std::string_view name, std::string_view text,
                                        const NumberRange& range);
// Bytes: a whole number, and K, M, G or T (of 1,024; also KB, KiB) behind it or nothing.
Result<std::int64_t> parse_bytes(std::string_view name, std::string_view text,
                                 const NumberRange& range);

}  // namespace nestor
