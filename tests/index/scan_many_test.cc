#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/thread_pool.h"
#include "index/ladder_index.h"
#include "index/scan_choice.h"
#include "index/top_codes.h"
#include "tests/index/random_rows.h"

namespace nestor::index {
namespace {

using nestor::testing::RandomRows;

struct Blocks {
  CodeShape shape;
  std::int64_t blocks = 0;
  std::vector<std::uint32_t> codes;
  std::vector<std::uint64_t> live;

  [[nodiscard]] ScanRange range(std::int64_t begin, std::int64_t end) const {
    return {.blocks = codes.data(),
            .words = shape.words(),
            .bits = shape.bits,
            .begin = begin,
            .end = end,
            .live = live.data(),
            .first_position = 7000};
  }
};

Blocks random_blocks(RandomRows& random, CodeShape shape, std::int64_t blocks) {
  Blocks made{.shape = shape, .blocks = blocks, .codes = {}, .live = {}};
  made.codes.resize(static_cast<std::size_t>(blocks * kBlockRows * shape.words()));
  for (std::uint32_t& word : made.codes) {
    word = static_cast<std::uint32_t>(random.below(std::int64_t{1} << 32));
  }
  made.live.resize(static_cast<std::size_t>(blocks / 4 + 1));
  for (std::int64_t row = 0; row < blocks * kBlockRows; ++row) {
    if (random.below(5) != 0) {
      made.live[static_cast<std::size_t>(row / 64)] |= std::uint64_t{1} << (row % 64);
    }
  }
  if (random.below(2) == 0) made.live[0] = 0;  // nothing to be found in a whole tile
  return made;
}

std::vector<CodeQuery> random_queries(RandomRows& random, CodeShape shape, std::int64_t count) {
  std::vector<CodeQuery> queries;
  const bool extreme = random.below(3) == 0;  // every weight at an end
  for (std::int64_t i = 0; i < count; ++i) {
    std::vector<double> values(static_cast<std::size_t>(shape.width));
    for (double& value : values) {
      value = extreme ? static_cast<double>(2 * random.below(2) - 1)
                      : static_cast<double>(random.below(2001)) - 1000;
    }
    queries.push_back(integer_query(shape, values));
  }
  return queries;
}

CodeShape random_shape(RandomRows& random) {
  return {.width = static_cast<int>(1 + random.below(random.below(8) == 0 ? 1500 : 300)),
          .bits = 1 << random.below(4)};
}

void check_equal(const CodeList& found, const CodeList& expected) {
  REQUIRE(found.count == expected.count);
  for (std::int64_t i = 0; i < found.count; ++i) {
    REQUIRE(found.scores[i] == expected.scores[i]);
    REQUIRE(found.positions[i] == expected.positions[i]);
  }
}

// The scan of each question by the scalar kernels.
std::vector<CodeList> scanned_one_by_one(const Blocks& all, const std::vector<CodeQuery>& queries,
                                         const std::vector<KeptRows>& kept, std::int64_t begin,
                                         std::int64_t end) {
  std::vector<CodeList> lists;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    CodeList& list = lists.emplace_back((end - begin + 1) * kBlockRows);
    list.count = scalar_scan_kernels().scan({.blocks = all.codes.data(),
                                             .words = all.shape.words(),
                                             .bits = all.shape.bits,
                                             .block_begin = begin,
                                             .block_end = end,
                                             .live = all.live.data(),
                                             .weights = queries[i].weights.data(),
                                             .nibbles = queries[i].nibbles.data(),
                                             .threshold = kept[i].threshold,
                                             .first_position = 7000,
                                             .scores = list.scores.get(),
                                             .positions = list.positions.get()});
  }
  return lists;
}

std::int32_t random_threshold(RandomRows& random, const CodeQuery& query, int bits) {
  std::int64_t greatest = 1;
  for (const std::int8_t weight : query.weights) greatest += std::abs(weight) * ((1 << bits) - 1);
  return static_cast<std::int32_t>(random.below(2 * greatest) - greatest);
}

void check_scan_many(RandomRows& random, const ScanKernels& kernels) {
  const CodeShape shape = random_shape(random);
  const Blocks all = random_blocks(random, shape, 1 + random.below(30));
  constexpr std::int64_t kCounts[] = {1, 2, 3, 7, 15, 16, 17, 18, 24, 31, 32};
  const auto queries = random_queries(random, shape, kCounts[random.below(11)]);
  CAPTURE(shape.width);
  CAPTURE(shape.bits);
  CAPTURE(all.blocks);
  CAPTURE(queries.size());
  const std::int64_t begin = random.below(all.blocks);
  const std::int64_t end = begin + random.below(all.blocks - begin + 1);
  const auto stride = static_cast<std::size_t>(many_weights_stride(shape.words(), shape.bits));
  std::vector<std::int8_t> weights((queries.size() + 15) / 16 * 16 * stride);
  std::vector<CodeList> lists;
  std::vector<KeptRows> kept;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    std::copy(queries[i].weights.begin(), queries[i].weights.end(),
              weights.begin() + static_cast<std::ptrdiff_t>(i * stride));
    lists.emplace_back((end - begin + 1) * kBlockRows);
    kept.push_back({.threshold = random_threshold(random, queries[i], shape.bits),
                    .scores = lists[i].scores.get(),
                    .positions = lists[i].positions.get()});
  }
  std::vector<std::uint8_t> scratch(stride * kSpreadRows + 64);
  void* aligned = scratch.data();
  std::size_t room = scratch.size();
  REQUIRE(std::align(64, stride * kSpreadRows, aligned, room) != nullptr);
  kernels.scan_many({.blocks = all.codes.data(),
                     .words = shape.words(),
                     .bits = shape.bits,
                     .block_begin = begin,
                     .block_end = end,
                     .live = all.live.data(),
                     .first_position = 7000,
                     .question_count = static_cast<std::int64_t>(queries.size()),
                     .weights = weights.data(),
                     .kept = kept.data(),
                     .scratch = static_cast<std::uint8_t*>(aligned)});
  const auto expected = scanned_one_by_one(all, queries, kept, begin, end);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    lists[i].count = kept[i].kept;
    check_equal(lists[i], expected[i]);
  }
}

TEST_CASE("a scan for many keeps what scans for each keep, bit for bit") {
  RandomRows random(testing::test_seed("scan_many"));
  bool any = false;
  for (const ScanKernels* kernels : available_scan_kernels()) {
    if (kernels->scan_many == nullptr) continue;
    any = true;
    CAPTURE(kernels->name);
    for (int round = 0; round < 300; ++round) check_scan_many(random, *kernels);
  }
  if (!any) std::printf("SKIPPED: no kernel of this processor scans for many\n");
}

TEST_CASE("the best codes of many questions are those of each alone, for all kernels") {
  RandomRows random(testing::test_seed("best_codes_of_many"));
  for (int round = 0; round < 12; ++round) {
    const CodeShape shape = random_shape(random);
    const std::int64_t blocks = 600;
    const Blocks all = random_blocks(random, shape, blocks);
    const std::int64_t cut = random.below(blocks) * kBlockRows;
    const std::vector<ScanRange> ranges = {all.range(0, cut), all.range(cut, blocks * kBlockRows)};
    std::int64_t live = 0;
    for (const std::uint64_t word : all.live) live += __builtin_popcountll(word);
    const std::int64_t keep = 1 + random.below(random.below(2) == 0 ? 100 : 2 * live);
    constexpr std::int64_t kCounts[] = {1, 2, 3, 4, 17, 32};
    const auto queries = random_queries(random, shape, kCounts[random.below(6)]);
    CAPTURE(shape.width);
    CAPTURE(shape.bits);
    CAPTURE(keep);
    for (const ScanKernels* kernels : available_scan_kernels()) {
      CAPTURE(kernels->name);
      const auto found = best_codes_of_many(*kernels, ranges, queries, keep, live);
      REQUIRE(found.size() == queries.size());
      for (std::size_t i = 0; i < queries.size(); ++i) {
        check_equal(found[i], best_codes(scalar_scan_kernels(), ranges, queries[i], keep, live));
      }
    }
  }
}

bool same(const std::vector<Candidate>& one, const std::vector<Candidate>& other) {
  return std::equal(
      one.begin(), one.end(), other.begin(), other.end(),
      [](const Candidate& a, const Candidate& b) { return a.id == b.id && a.score == b.score; });
}

void check_batches(RandomRows& random, LadderIndex& index, const LadderFilter* filter,
                   ThreadPool& pool) {
  const int width = index.shape().width;
  for (const std::int64_t count : {1, 2, 3, 17, 64, 70}) {
    const auto queries = random.gaussian(count, width);
    const LadderPlan plan{.scan_count = 1 + random.below(400), .rank_count = 1 + random.below(60)};
    for (const ScanKernels* kernels : available_scan_kernels()) {
      CAPTURE(kernels->name);
      index.use_kernels(*kernels);
      LadderTrace trace;
      const auto many = index.search_many(queries, plan, filter, &trace);
      const auto batch = index.search_batch(queries, plan, filter, &pool);
      REQUIRE(many.ok());
      REQUIRE(batch.ok());
      REQUIRE(many.value().size() == static_cast<std::size_t>(count));
      REQUIRE(batch.value().size() == static_cast<std::size_t>(count));
      for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        const auto at = static_cast<std::size_t>(width) * i;
        LadderTrace one;
        const auto alone =
            index.search(std::span(queries).subspan(at, static_cast<std::size_t>(width)), plan,
                         filter, nullptr, &one);
        REQUIRE(alone.ok());
        REQUIRE(same(many.value()[i], alone.value()));
        REQUIRE(same(batch.value()[i], alone.value()));
        CHECK(trace.exact == one.exact);
        CHECK(trace.rows_scanned == one.rows_scanned);
        CHECK(trace.plan.scan_count == one.plan.scan_count);
        CHECK(trace.plan.rank_count == one.plan.rank_count);
      }
    }
  }
}

TEST_CASE(
    "searches in a batch answer as searches one by one: filters, dead rows, several segments") {
  RandomRows random(testing::test_seed("search_many"));
  ThreadPool pool(2);
  for (const int bits : {1, 2, 4, 8}) {
    CAPTURE(bits);
    const LadderShape shape{.width = 96, .bits = bits, .scan_width = 64};
    LadderIndex index(shape);
    const std::int64_t rows = 6000;
    const auto ids = random.ids(rows);
    // Many rows alike: equal scores, cut by the lower id.
    const auto values =
        bits == 1 ? random.coarse_grained(rows, shape.width) : random.gaussian(rows, shape.width);
    for (std::int64_t first = 0; first < rows; first += 2000) {
      REQUIRE(index
                  .add(std::span(ids).subspan(static_cast<std::size_t>(first), 2000),
                       std::span(values).subspan(static_cast<std::size_t>(first * shape.width),
                                                 static_cast<std::size_t>(2000 * shape.width)))
                  .ok());
    }
    check_batches(random, index, nullptr, pool);
    for (int i = 0; i < 700; ++i) {
      index.remove({&ids[static_cast<std::size_t>(random.below(rows))], 1});
    }
    check_batches(random, index, nullptr, pool);
    std::vector<std::uint64_t> wanted;
    for (const std::uint64_t id : ids) {
      if (random.below(4) == 0) wanted.push_back(id);
    }
    const auto filter = index.filter(wanted);
    REQUIRE(filter.ok());
    check_batches(random, index, &filter.value(), pool);
    const auto nothing = index.filter({});
    REQUIRE(nothing.ok());
    check_batches(random, index, &nothing.value(), pool);
  }
}

TEST_CASE("a batch that is no batch is refused, and none is answered by nothing") {
  LadderIndex index({.width = 4, .bits = 1, .scan_width = 4});
  ThreadPool pool(2);
  const std::vector<float> row = {1, 2, 3, 4, 5, 6};
  CHECK(index.search_many(row, {}).status().code() == StatusCode::kInvalidArgument);
  CHECK(index.search_batch(row, {}, nullptr, &pool).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(index.search_batch({}, {}, nullptr, &pool).value().empty());
  CHECK(index.search_many({}, {}).value().empty());
}

TEST_CASE("every query of a batch has its group, and the threads have equal shares") {
  for (const int threads : {1, 2, 3, 8}) {
    for (std::size_t count = 0; count < 300; ++count) {
      const std::size_t each = LadderIndex::queries_a_group(count, threads);
      REQUIRE(each >= 1);
      REQUIRE(each <= static_cast<std::size_t>(kMostTogether));
    }
  }
  CHECK(LadderIndex::queries_a_group(64, 2) == 32);
  CHECK(LadderIndex::queries_a_group(17, 2) == 9);
  CHECK(LadderIndex::queries_a_group(65, 2) == 17);
  CHECK(LadderIndex::queries_a_group(2, 2) == 1);
}

}  // namespace
}  // namespace nestor::index
