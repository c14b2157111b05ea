// The search of LadderIndex: scan, rest of the code, cut.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <exception>
#include <vector>

#include "core/macros.h"
#include "core/vector_math.h"
#include "index/ladder_index.h"
#include "index/top_candidates.h"
#include "index/top_codes.h"

namespace nestor::index {
namespace {

// A second thread takes longer to wake than this many rows to scan.
constexpr std::int64_t kLeastRowsPerPart = 16384;

// Lists that are to hold more than one in this many of the rows cost as much as all of them.
constexpr std::int64_t kLeastListedShare = 2;
// Rows in the lists for each one whose whole code is scored: fewer, and the scan chooses nothing.
constexpr std::int64_t kLeastListRowsPerKept = 4;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::int64_t bits_set(std::span<const std::uint64_t> words) {
  std::int64_t count = 0;
  for (const std::uint64_t word : words) count += std::popcount(word);
  return count;
}

// The rows that may be found: all live ones, or those of the filter among them.
struct Mask {
  std::vector<std::uint64_t> own;
  std::span<const std::uint64_t> words;
  std::int64_t count = 0;
};

Mask mask_of(const LadderCodes& codes, const LadderFilter* filter) {
  Mask mask;
  mask.words = codes.live();
  mask.count = codes.live_count();
  if (filter == nullptr) return mask;
  mask.own.assign(mask.words.size(), 0);
  for (std::size_t i = 0; i < std::min(mask.own.size(), filter->words.size()); ++i) {
    mask.own[i] = mask.words[i] & filter->words[i];
  }
  mask.words = mask.own;
  mask.count = bits_set(mask.words);
  return mask;
}

std::int64_t bits_between(std::span<const std::uint64_t> words, std::int64_t begin,
                          std::int64_t end) {
  std::int64_t count = 0;
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t next = std::min(end, at / 64 * 64 + 64);
    std::uint64_t word = words[static_cast<std::size_t>(at / 64)] >> (at % 64);
    if (next - at < 64) word &= (std::uint64_t{1} << (next - at)) - 1;
    count += std::popcount(word);
    at = next;
  }
  return count;
}

// What a search looks through, in the order of the positions, and how many rows of it may be found.
struct Reach {
  std::vector<ScanRange> ranges;
  std::int64_t count = 0;
  std::int64_t lists = 0;
};

ScanRange range_of(const LadderCodes& codes, const LadderSegment& segment, int bits,
                   const Mask& mask, std::int64_t begin, std::int64_t end) {
  return {.blocks = segment.blocks,
          .words = codes.layout().scan_words,
          .bits = bits,
          .begin = begin,
          .end = end,
          .live = mask.words.data() + segment.first / 64,
          .first_position = static_cast<std::uint32_t>(segment.first)};
}

Reach whole_reach(const LadderCodes& codes, int bits, const Mask& mask) {
  Reach reach;
  reach.count = mask.count;
  for (const LadderSegment& segment : codes.segments()) {
    if (segment.rows == 0) continue;
    reach.ranges.push_back(range_of(codes, segment, bits, mask, 0, segment.rows));
  }
  return reach;
}

// The lists nearest to the query, as many as hold `wanted` rows that may be found, and all rows
// that are in no list. A block that two lists share is scanned with either.
Reach list_reach(const LadderCodes& codes, int bits, const Mask& mask, const CodeLists& lists,
                 std::span<const float> query, std::int64_t wanted) {
  const std::span<const std::uint32_t> begins = codes.list_begins();
  const LadderSegment& sorted = codes.segments().front();
  const bool all_live = mask.own.empty() && codes.all_live();
  std::vector<std::uint32_t> chosen;
  std::int64_t held = 0;
  lists.nearest(query, lists.count() * wanted / std::max<std::int64_t>(sorted.rows, 1),
                [&](std::uint32_t list) {
                  chosen.push_back(list);
                  held += all_live ? begins[list + 1] - begins[list]
                                   : bits_between(mask.words, begins[list], begins[list + 1]);
                  return held >= wanted;
                });
  std::sort(chosen.begin(), chosen.end());
  Reach reach;
  reach.lists = static_cast<std::int64_t>(chosen.size());
  for (const std::uint32_t list : chosen) {
    const std::int64_t begin = begins[list] / kBlockRows * kBlockRows;
    const std::int64_t end =
        std::min((begins[list + 1] + kBlockRows - 1) / kBlockRows * kBlockRows, sorted.rows);
    if (begins[list] == begins[list + 1]) continue;
    if (!reach.ranges.empty() && begin <= reach.ranges.back().end) {
      reach.ranges.back().end = std::max(reach.ranges.back().end, end);
    } else {
      reach.ranges.push_back(range_of(codes, sorted, bits, mask, begin, end));
    }
  }
  for (const LadderSegment& segment : codes.segments().subspan(1)) {
    if (segment.rows == 0) continue;
    reach.ranges.push_back(range_of(codes, segment, bits, mask, 0, segment.rows));
  }
  for (const ScanRange& range : reach.ranges) {
    reach.count += all_live ? range.rows()
                            : bits_between(mask.words, range.first_position + range.begin,
                                           range.first_position + range.end);
  }
  return reach;
}

// A filter goes against the grain of the question where the rows it leaves are scarcer in the lists
// nearest to it than elsewhere: they lie far away then, in lists in no order worth the name
// (index/CODES.md, "Lists").
bool against_the_grain(const LadderCodes& codes, const Mask& mask, const Reach& reach) {
  constexpr double kScarcer = .8;
  if (mask.own.empty() || reach.lists == 0) return false;
  std::int64_t rows = 0;
  for (const ScanRange& range : reach.ranges) rows += range.rows();
  const double here = static_cast<double>(reach.count) / static_cast<double>(rows);
  const double anywhere = static_cast<double>(mask.count) / static_cast<double>(codes.live_count());
  return here < kScarcer * anywhere;
}

// Cut into parts of about equal size at multiples of 64 rows.
std::vector<std::vector<ScanRange>> parts_of(const std::vector<ScanRange>& ranges,
                                             std::int64_t parts) {
  std::int64_t rows = 0;
  for (const ScanRange& range : ranges) rows += range.rows();
  const std::int64_t each = (rows / parts + 64) / 64 * 64;
  std::vector<std::vector<ScanRange>> result(1);
  std::int64_t room = each;
  for (ScanRange range : ranges) {
    while (range.rows() > room && static_cast<std::int64_t>(result.size()) < parts) {
      ScanRange front = range;
      front.end = range.begin = range.begin + room;
      if (front.rows() > 0) result.back().push_back(front);
      result.emplace_back();
      room = each;
    }
    result.back().push_back(range);
    room -= range.rows() / 64 * 64;
  }
  return result;
}

// One part a thread; a row that is among the best of all is among those of its part, and parts
// follow one another in the order of the positions.
Result<CodeList> scan_parts(const ScanKernels& kernels, const Reach& reach, const Mask& mask,
                            const CodeQuery& query, std::int64_t keep, ThreadPool* pool) {
  std::int64_t rows = 0;
  for (const ScanRange& range : reach.ranges) rows += range.rows();
  const std::int64_t most =
      pool == nullptr ? 1
                      : std::clamp<std::int64_t>(rows / kLeastRowsPerPart, 1, pool->thread_count());
  if (most == 1) return best_codes(kernels, reach.ranges, query, keep, reach.count);
  const auto parts = parts_of(reach.ranges, most);
  std::vector<CodeList> lists(parts.size());
  NESTOR_RETURN_IF_ERROR(
      pool->try_for_each(static_cast<std::int64_t>(parts.size()), [&](std::int64_t part, int) {
        const std::vector<ScanRange>& ranges = parts[static_cast<std::size_t>(part)];
        std::int64_t live = 0;
        for (const ScanRange& range : ranges) {
          live += bits_between(mask.words, range.first_position + range.begin,
                               range.first_position + range.end);
        }
        lists[static_cast<std::size_t>(part)] = best_codes(kernels, ranges, query, keep, live);
        return Status();
      }));
  std::int64_t total = 0;
  for (const CodeList& list : lists) total += list.count;
  CodeList all(std::max<std::int64_t>(total, 1));
  for (const CodeList& list : lists) {
    std::copy_n(list.scores.get(), list.count, all.scores.get() + all.count);
    std::copy_n(list.positions.get(), list.count, all.positions.get() + all.count);
    all.count += list.count;
  }
  if (all.count > keep) all.cut(kernels, keep);
  return all;
}

// Adds what the rest of each code scores.
void add_rest(const ScanKernels& kernels, const LadderCodes& codes, int bits,
              const CodeQuery& query, CodeList& list) {
  if (codes.layout().rest_words == 0) return;
  std::vector<std::int32_t> scores(static_cast<std::size_t>(list.count));
  std::int64_t begin = 0;
  for (const LadderSegment& segment : codes.segments()) {
    const auto* const after =
        std::lower_bound(list.positions.get() + begin, list.positions.get() + list.count,
                         segment.first + segment.rows,
                         [](std::uint32_t position, std::int64_t end) { return position < end; });
    const std::int64_t end = after - list.positions.get();
    kernels.score_rows({.codes = segment.rest,
                        .words = codes.layout().rest_words,
                        .bits = bits,
                        .row_weights = query.row_weights.data(),
                        .rows = list.positions.get() + begin,
                        .first_row = static_cast<std::uint32_t>(segment.first),
                        .count = end - begin,
                        .scores = scores.data() + begin});
    begin = end;
  }
  for (std::int64_t i = 0; i < list.count; ++i) {
    list.scores[i] += scores[static_cast<std::size_t>(i)];
  }
}

std::vector<Candidate> ranked(const LadderCodes& codes, const CodeQuery& query,
                              const CodeList& list) {
  // Score and place in one number, so that the sort compares once: better first, then the place.
  std::vector<std::uint64_t> order(static_cast<std::size_t>(list.count));
  for (std::int64_t i = 0; i < list.count; ++i) {
    const std::uint32_t score = ~(static_cast<std::uint32_t>(list.scores[i]) ^ 0x80000000U);
    order[static_cast<std::size_t>(i)] = std::uint64_t{score} << 32 | list.positions[i];
  }
  std::sort(order.begin(), order.end());
  std::vector<Candidate> result;
  result.reserve(order.size());
  for (const std::uint64_t entry : order) {
    const std::uint32_t score = ~static_cast<std::uint32_t>(entry >> 32) ^ 0x80000000U;
    result.push_back({.id = codes.id_at(static_cast<std::int64_t>(entry & 0xFFFFFFFFU)),
                      .score = query.score(static_cast<std::int32_t>(score))});
  }
  // Positions follow the ids but for rows in lists. One step of the score may be no step of the
  // float, which then orders by id too.
  if (codes.listed_rows() > 0) std::sort(result.begin(), result.end(), ranks_before);
  return result;
}

// The best `rank_count` of what the scan kept, by their whole codes.
std::vector<Candidate> finished(const ScanKernels& kernels, const LadderCodes& codes,
                                const CodeQuery& query, std::int64_t rank_count, CodeList& list) {
  add_rest(kernels, codes, query.shape.bits, query, list);
  if (list.count > rank_count) list.cut(kernels, rank_count);
  return ranked(codes, query, list);
}

LadderPlan settled(const LadderShape& shape, LadderPlan plan, std::int64_t rows) {
  const LadderPlan usual = default_ladder_plan(shape, rows, 10);
  if (plan.rank_count <= 0) plan.rank_count = usual.rank_count;
  if (plan.scan_count <= 0) plan.scan_count = usual.scan_count;
  plan.rank_count = std::min(plan.rank_count, rows);
  plan.scan_count = std::clamp(plan.scan_count, plan.rank_count, std::max<std::int64_t>(rows, 0));
  return plan;
}

}  // namespace

// How many rows that may be found the lists looked through have to hold; 0: look through all rows.
std::int64_t LadderIndex::list_rows(const LadderPlan& plan, std::int64_t may_be_found) const {
  const std::int64_t usual = plan.probe_rows != 0 ? plan.probe_rows : probe_rows_;
  if (!has_lists() || codes_.listed_rows() == 0 || usual <= 0 || may_be_found == 0) return 0;
  // Fewer rows that may be found lie further from the query, in lists further away: their number
  // falls with the root of the filter's share only, so a filter that leaves s takes 1 / sqrt(s) of
  // the lists.
  const double share = static_cast<double>(may_be_found) / static_cast<double>(live_count());
  const std::int64_t wanted =
      std::max(static_cast<std::int64_t>(static_cast<double>(usual) * std::sqrt(share)),
               kLeastListRowsPerKept * plan.scan_count);
  return wanted * kLeastListedShare < may_be_found ? wanted : 0;
}

Status LadderIndex::check_query(std::span<const float> query, const LadderFilter* filter) const {
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  if (query.size() < width || !all_finite(query.first(width))) {
    return {StatusCode::kInvalidArgument,
            fmt::format("ladder index: a query needs {} finite values; it has {}{}", width,
                        query.size(), query.size() < width ? "" : ", not all finite")};
  }
  if (filter != nullptr && filter->generation != generation_) {
    return {StatusCode::kFailedPrecondition,
            fmt::format("ladder index: a filter made at generation {}, the rows are at {}; make "
                        "the filter again",
                        filter->generation, generation_)};
  }
  if (!codes_.intact()) {
    return {StatusCode::kDataLoss,
            "ladder index: its mapped file was changed by another process; build it anew from the "
            "store"};
  }
  return {};
}

std::vector<Candidate> LadderIndex::search_raw(std::span<const float> query, const LadderPlan& plan,
                                               const LadderFilter* filter) const {
  const Mask mask = mask_of(codes_, filter);
  const std::vector<float> unit = cut_to_width(query, shape_.width);
  TopCandidates best(std::min(plan.rank_count, mask.count));
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  for (std::int64_t position = 0; position < codes_.row_count(); ++position) {
    const std::size_t at = static_cast<std::size_t>(position);
    if ((mask.words[at / 64] >> (at % 64) & 1) == 0) continue;
    const std::span<const float> row(raw_.data() + at * width, width);
    best.offer({.id = codes_.id_at(position), .score = static_cast<float>(dot(unit, row))});
  }
  return best.take();
}

Result<std::vector<Candidate>> LadderIndex::search(std::span<const float> query,
                                                   const LadderPlan& plan,
                                                   const LadderFilter* filter, ThreadPool* pool,
                                                   LadderTrace* trace) const {
  NESTOR_RETURN_IF_ERROR(check_query(query, filter));
  LadderTrace unused;
  LadderTrace& told = trace == nullptr ? unused : *trace;
  try {
    const auto start = std::chrono::steady_clock::now();
    const Mask mask = mask_of(codes_, filter);
    told.rows_scanned = mask.count;
    told.plan = settled(shape_, plan, mask.count);
    told.exact = !trained() || told.plan.rank_count >= mask.count;
    if (!trained()) {
      auto found = search_raw(query, told.plan, filter);
      told.scan_seconds = seconds_since(start);
      return found;
    }
    if (mask.count == 0 || told.plan.rank_count == 0) return std::vector<Candidate>();
    const CodeQuery coded = quantizer_->query(query, codes_.layout().scan_words);
    const std::int64_t wanted = list_rows(told.plan, mask.count);
    Reach reach = wanted == 0 ? whole_reach(codes_, shape_.bits, mask)
                              : list_reach(codes_, shape_.bits, mask, *lists_, query, wanted);
    if (against_the_grain(codes_, mask, reach)) {
      reach = whole_reach(codes_, shape_.bits, mask);
    }
    told.plan.probe_rows = reach.lists == 0 ? LadderPlan::kEveryRow : wanted;
    told.rows_scanned = reach.count;
    told.lists_scanned = reach.lists;
    told.exact = told.exact && reach.lists == 0;
    NESTOR_ASSIGN_OR_RETURN(CodeList list,
                            scan_parts(*kernels_, reach, mask, coded, told.plan.scan_count, pool));
    told.scan_seconds = seconds_since(start);
    const auto rest_start = std::chrono::steady_clock::now();
    auto result = finished(*kernels_, codes_, coded, told.plan.rank_count, list);
    told.rank_seconds = seconds_since(rest_start);
    return result;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(StatusCode::kOutOfMemory,
                  "ladder index: no memory to search; ask for fewer candidates");
  }
}

std::size_t LadderIndex::queries_a_group(std::size_t count, int thread_count) {
  const std::size_t threads = static_cast<std::size_t>(std::max(thread_count, 1));
  const std::size_t least = (count + kMostTogether - 1) / kMostTogether;
  const std::size_t groups = std::max<std::size_t>((least + threads - 1) / threads * threads, 1);
  return std::max<std::size_t>((count + groups - 1) / groups, 1);
}

void LadderIndex::search_group(std::span<const float> queries, const LadderPlan& plan,
                               std::span<const std::uint64_t> live, std::int64_t live_count,
                               std::span<std::vector<Candidate>> results,
                               LadderTrace& trace) const {
  const auto start = std::chrono::steady_clock::now();
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  std::vector<CodeQuery> coded;
  for (std::size_t i = 0; i < results.size(); ++i) {
    coded.push_back(
        quantizer_->query(queries.subspan(i * width, width), codes_.layout().scan_words));
  }
  const Reach reach =
      whole_reach(codes_, shape_.bits, {.own = {}, .words = live, .count = live_count});
  std::vector<CodeList> lists =
      best_codes_of_many(*kernels_, reach.ranges, coded, plan.scan_count, reach.count);
  trace.scan_seconds += seconds_since(start);
  const auto rest_start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < results.size(); ++i) {
    results[i] = finished(*kernels_, codes_, coded[i], plan.rank_count, lists[i]);
  }
  trace.rank_seconds += seconds_since(rest_start);
}

Result<std::vector<std::vector<Candidate>>> LadderIndex::search_many(std::span<const float> queries,
                                                                     const LadderPlan& plan,
                                                                     const LadderFilter* filter,
                                                                     LadderTrace* trace) const {
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  if (queries.size() % width != 0) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("ladder index: {} values are no queries of width {}", queries.size(), width));
  }
  const std::size_t count = queries.size() / width;
  for (std::size_t i = 0; i < count; ++i) {
    NESTOR_RETURN_IF_ERROR(check_query(queries.subspan(i * width, width), filter));
  }
  LadderTrace unused;
  LadderTrace& told = trace == nullptr ? unused : *trace;
  told = {};
  try {
    std::vector<std::vector<Candidate>> results(count);
    const Mask mask = mask_of(codes_, filter);
    told.rows_scanned = mask.count;
    told.plan = settled(shape_, plan, mask.count);
    told.exact = !trained() || told.plan.rank_count >= mask.count;
    if (count == 1 || !trained() || list_rows(told.plan, mask.count) > 0) {
      for (std::size_t i = 0; i < count; ++i) {
        LadderTrace one;
        NESTOR_ASSIGN_OR_RETURN(
            results[i], search(queries.subspan(i * width, width), plan, filter, nullptr, &one));
        one.scan_seconds = told.scan_seconds + one.scan_seconds / static_cast<double>(count);
        one.rank_seconds = told.rank_seconds + one.rank_seconds / static_cast<double>(count);
        told = one;
      }
      return results;
    }
    if (mask.count == 0 || told.plan.rank_count == 0) return results;
    told.plan.probe_rows = LadderPlan::kEveryRow;
    for (std::size_t first = 0; first < count; first += kMostTogether) {
      const std::size_t here = std::min<std::size_t>(kMostTogether, count - first);
      search_group(queries.subspan(first * width, here * width), told.plan, mask.words, mask.count,
                   std::span(results).subspan(first, here), told);
    }
    told.scan_seconds /= static_cast<double>(count);
    told.rank_seconds /= static_cast<double>(count);
    return results;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(StatusCode::kOutOfMemory,
                  "ladder index: no memory to search; ask for fewer queries at once");
  }
}

Result<std::vector<std::vector<Candidate>>> LadderIndex::search_batch(
    std::span<const float> queries, const LadderPlan& plan, const LadderFilter* filter,
    ThreadPool* pool) const {
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  const std::size_t count = queries.size() / width;
  if (pool == nullptr || count == 0 || queries.size() % width != 0) {
    return search_many(queries, plan, filter);
  }
  try {
    std::vector<std::vector<Candidate>> results(count);
    if (count == 1) {
      NESTOR_ASSIGN_OR_RETURN(results[0], search(queries, plan, filter, pool));
      return results;
    }
    const std::size_t each = queries_a_group(count, pool->thread_count());
    NESTOR_RETURN_IF_ERROR(pool->try_for_each(
        static_cast<std::int64_t>((count + each - 1) / each), [&](std::int64_t group, int) {
          const std::size_t first = static_cast<std::size_t>(group) * each;
          const std::size_t here = std::min(each, count - first);
          auto found = search_many(queries.subspan(first * width, here * width), plan, filter);
          if (!found.ok()) return found.status();
          std::move(found.value().begin(), found.value().end(),
                    results.begin() + static_cast<std::ptrdiff_t>(first));
          return Status();
        }));
    return results;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(StatusCode::kOutOfMemory, "ladder index: no memory for a batch of queries");
  }
}

}  // namespace nestor::index
