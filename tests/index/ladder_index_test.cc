#include "index/ladder_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "core/vector_math.h"
#include "index/scan_choice.h"
#include "tests/index/random_rows.h"

namespace nestor::index {
namespace {

using nestor::testing::MemorySource;
using nestor::testing::RandomRows;

struct Whole {
  std::vector<std::uint64_t> ids;
  std::vector<float> rows;
  int width = 0;
};

Whole random_whole(RandomRows& random, std::int64_t count, int width) {
  return {
      random.ids(count),
      random.below(2) == 0 ? random.coarse_grained(count, width) : random.gaussian(count, width),
      width};
}

LadderIndex filled(const LadderShape& shape, const Whole& whole) {
  LadderIndex index(shape);
  REQUIRE(index.add(whole.ids, whole.rows).ok());
  return index;
}

std::int64_t code_sum(const CodeQuery& query, const std::vector<std::uint32_t>& words, int from,
                      int to) {
  std::int64_t sum = 0;
  for (int i = from; i < to; ++i) {
    sum += std::int64_t{query.weights[static_cast<std::size_t>(i)]} *
           code_at(query.shape, words.data(), i);
  }
  return sum;
}

// What a search must answer, by sorting everything twice.
std::vector<std::uint64_t> by_sorting(const LadderIndex& index, const std::set<std::uint64_t>& may,
                                      const std::vector<float>& query, std::int64_t scan_count,
                                      std::int64_t rank_count) {
  const CodeQuery coded = index.quantizer().query(query);
  struct Entry {
    std::int64_t scan;
    std::int64_t whole;
    std::uint64_t id;
  };
  std::vector<Entry> entries;
  for (const std::uint64_t id : may) {
    const auto words = index.code_of(id);
    if (!words.has_value()) continue;
    const std::int64_t scan = code_sum(coded, *words, 0, index.shape().scan_width);
    entries.push_back(
        {scan, scan + code_sum(coded, *words, index.shape().scan_width, index.shape().width), id});
  }
  const auto cut = [&](auto field, std::int64_t count) {
    std::sort(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) {
      return a.*field != b.*field ? a.*field > b.*field : a.id < b.id;
    });
    entries.resize(std::min(entries.size(), static_cast<std::size_t>(count)));
  };
  cut(&Entry::scan, scan_count);
  cut(&Entry::whole, rank_count);
  std::vector<std::uint64_t> ids;
  for (const Entry& entry : entries) ids.push_back(entry.id);
  return ids;
}

std::vector<std::uint64_t> ids_of(const std::vector<Candidate>& candidates) {
  std::vector<std::uint64_t> ids;
  for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
  return ids;
}

LadderShape random_shape(RandomRows& random) {
  constexpr int kBits[] = {1, 2, 4, 8};
  LadderShape shape;
  shape.bits = kBits[random.below(4)];
  shape.width = static_cast<int>(1 + random.below(200));
  const int word = 32 / shape.bits;
  shape.scan_width = shape.width;
  if (shape.width > word && random.below(3) != 0) {
    shape.scan_width = word * static_cast<int>(1 + random.below(shape.width / word));
  }
  return shape;
}

TEST_CASE("a search equals sorting all codes: ties, deletes, filters, kernels, threads, batches") {
  RandomRows random(testing::test_seed("ladder_index"));
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    const LadderShape shape = random_shape(random);
    CAPTURE(round);
    CAPTURE(shape.width);
    CAPTURE(shape.scan_width);
    CAPTURE(shape.bits);
    const Whole whole = random_whole(random, 1024 + random.below(3000), shape.width);
    LadderIndex index(shape);
    const std::size_t first =
        1024 +
        static_cast<std::size_t>(random.below(static_cast<std::int64_t>(whole.ids.size()) - 1023));
    const std::span<const float> rows(whole.rows);
    const std::size_t width = static_cast<std::size_t>(shape.width);
    REQUIRE(index.add(std::span(whole.ids).first(first), rows.first(first * width)).ok());
    REQUIRE(index.add(std::span(whole.ids).subspan(first), rows.subspan(first * width)).ok());
    REQUIRE(index.trained());
    std::set<std::uint64_t> live(whole.ids.begin(), whole.ids.end());
    const std::int64_t removals = random.below(3) == 0 ? 0 : random.below(1500);
    for (std::int64_t i = 0; i < removals; ++i) {
      const std::uint64_t id = whole.ids[static_cast<std::size_t>(
          random.below(static_cast<std::int64_t>(whole.ids.size())))];
      index.remove({&id, 1});
      live.erase(id);
    }
    REQUIRE(index.live_count() == static_cast<std::int64_t>(live.size()));
    std::vector<std::uint64_t> wanted;
    const std::int64_t share = 1 + random.below(20);
    for (const std::uint64_t id : whole.ids) {
      if (random.below(share) == 0) wanted.push_back(id);
    }
    const auto filter = index.filter(wanted);
    REQUIRE(filter.ok());
    const std::set<std::uint64_t> allowed(wanted.begin(), wanted.end());
    const LadderPlan plan{.scan_count = 1 + random.below(400), .rank_count = 1 + random.below(60)};
    const std::int64_t scanned = std::max(plan.scan_count, plan.rank_count);
    const auto queries = random.gaussian(3, shape.width);
    for (const bool filtered : {false, true}) {
      const LadderFilter* mask = filtered ? &filter.value() : nullptr;
      for (std::size_t q = 0; q < 3; ++q) {
        const std::vector<float> query(
            queries.begin() + static_cast<std::ptrdiff_t>(q * width),
            queries.begin() + static_cast<std::ptrdiff_t>((q + 1) * width));
        const auto expected =
            by_sorting(index, filtered ? allowed : live, query, scanned, plan.rank_count);
        for (const ScanKernels* kernels : available_scan_kernels()) {
          CAPTURE(kernels->name);
          index.use_kernels(*kernels);
          const auto found = index.search(query, plan, mask);
          REQUIRE(found.ok());
          REQUIRE(ids_of(found.value()) == expected);
        }
        REQUIRE(ids_of(index.search(query, plan, mask, &pool).value()) == expected);
        REQUIRE(ids_of(index.search_batch(queries, plan, mask, &pool).value()[q]) == expected);
      }
    }
  }
}

TEST_CASE("large collections: the sampled threshold and two threads change nothing") {
  RandomRows random(testing::test_seed("ladder_index"));
  ThreadPool pool(3);
  const LadderShape shape{.width = 64, .bits = 1, .scan_width = 32};
  Whole whole = random_whole(random, 70'000, 64);
  // Rows alike side by side are the hardest case for a sample.
  if (random.below(2) == 0) {
    for (std::size_t i = 0; i < 3000 * 64; ++i) whole.rows[i] = whole.rows[i % 64];
  }
  const LadderIndex index = filled(shape, whole);
  const std::set<std::uint64_t> live(whole.ids.begin(), whole.ids.end());
  for (const std::int64_t scan_count : {1, 100, 3000, 60'000}) {
    const auto query = random.below(2) == 0
                           ? random.gaussian(1, 64)
                           : std::vector<float>(whole.rows.begin(), whole.rows.begin() + 64);
    const LadderPlan plan{.scan_count = scan_count, .rank_count = 50};
    const auto expected =
        by_sorting(index, live, query, std::max<std::int64_t>(scan_count, 50), 50);
    REQUIRE(ids_of(index.search(query, plan).value()) == expected);
    REQUIRE(ids_of(index.search(query, plan, nullptr, &pool).value()) == expected);
  }
}

TEST_CASE("below the training size every row is scored exactly") {
  RandomRows random(testing::test_seed("ladder_index"));
  for (const std::int64_t count : {0, 1, 15, 16, 17, 1000}) {
    const Whole whole = random_whole(random, count, 96);
    LadderIndex index = filled(default_ladder_shape(96, true), whole);
    CHECK(!index.trained());
    if (count > 1) index.remove(std::span(whole.ids).first(1));
    const auto query = random.gaussian(1, 96);
    std::vector<Candidate> expected;
    for (std::size_t i = count > 1 ? 1 : 0; i < whole.ids.size(); ++i) {
      const auto unit = cut_to_width(std::span(whole.rows).subspan(i * 96, 96), 96);
      expected.push_back({whole.ids[i], static_cast<float>(dot(cut_to_width(query, 96), unit))});
    }
    std::stable_sort(expected.begin(), expected.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    if (expected.size() > 20) expected.resize(20);
    LadderTrace trace;
    const auto found =
        index.search(query, {.scan_count = 20, .rank_count = 20}, nullptr, nullptr, &trace);
    REQUIRE(found.ok());
    CHECK(trace.exact);
    REQUIRE(found.value().size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      REQUIRE(found.value()[i].score == expected[i].score);
    }
  }
}

TEST_CASE("a build from the store finds the same rows, and a filter of before is refused") {
  RandomRows random(testing::test_seed("ladder_index"));
  const Whole whole = random_whole(random, 5000, 64);
  const LadderShape shape{.width = 64, .bits = 2, .scan_width = 64};
  LadderIndex index(shape);
  REQUIRE(
      index.add(std::span(whole.ids).first(500), std::span<const float>(whole.rows).first(500 * 64))
          .ok());
  const auto early = index.filter(whole.ids);
  REQUIRE(early.ok());
  REQUIRE(index
              .add(std::span(whole.ids).subspan(500, 600),
                   std::span<const float>(whole.rows).subspan(500 * 64, 600 * 64))
              .ok());
  CHECK(index.trained());
  const auto query = random.gaussian(1, 64);
  CHECK(index.search(query, {}, &early.value()).status().code() == StatusCode::kFailedPrecondition);
  CHECK(!index.wants_training());
  REQUIRE(index
              .add(std::span(whole.ids).subspan(1100),
                   std::span<const float>(whole.rows).subspan(1100 * 64))
              .ok());
  CHECK(!index.wants_training());
  MemorySource source;
  source.put(whole.ids, whole.rows);
  auto built = LadderIndex::build(shape, source);
  REQUIRE(built.ok());
  index.remove(std::span(whole.ids).first(100));
  built.value().remove_missing(index);
  CHECK(built.value().live_count() == 4900);
  CHECK(built.value().last_id() == whole.ids.back());
  const LadderPlan all{.scan_count = 4900, .rank_count = 4900};
  auto left = ids_of(index.search(query, all).value());
  auto right = ids_of(built.value().search(query, all).value());
  std::sort(left.begin(), left.end());
  std::sort(right.begin(), right.end());
  CHECK(left == right);
}

TEST_CASE("what cannot be added or asked is refused and changes nothing") {
  LadderIndex index({.width = 4, .bits = 1, .scan_width = 4});
  const std::vector<float> row = {1, 2, 3, 4};
  const std::vector<std::uint64_t> ids = {7};
  REQUIRE(index.add(ids, row).ok());
  CHECK(index.add(ids, row).code() == StatusCode::kInvalidArgument);
  const std::vector<std::uint64_t> next = {8};
  CHECK(index.add(next, std::span(row).first(3)).code() == StatusCode::kInvalidArgument);
  const std::vector<float> bad = {1, 2, 3, std::numeric_limits<float>::quiet_NaN()};
  CHECK(index.add(next, bad).code() == StatusCode::kInvalidArgument);
  CHECK(index.live_count() == 1);
  CHECK(index.search(bad, {}).status().code() == StatusCode::kInvalidArgument);
  CHECK(index.search(std::span(row).first(2), {}).status().code() == StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nestor::index
