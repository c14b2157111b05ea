#include "index/width_ladder.h"

#include <doctest/doctest.h>

#include <limits>

#include "index/reranker.h"
#include "tests/index/random_rows.h"

namespace nestor::index {
namespace {

using nestor::testing::MemorySource;
using nestor::testing::RandomRows;

TEST_CASE("a Matryoshka model offers the widths of its card, other vectors their own") {
  CHECK(ladder_widths(768, true) == std::vector<int>{768, 512, 256, 128});
  CHECK(ladder_widths(256, true) == std::vector<int>{256, 128});
  CHECK(ladder_widths(64, true) == std::vector<int>{64});
  CHECK(ladder_widths(768, false) == std::vector<int>{768});
  CHECK(default_coarse_width(768, true) == 128);
  CHECK(default_coarse_width(1536, false) == 1536);
}

TEST_CASE("candidate counts pass through the measured points and never fall with the rows") {
  CHECK(default_candidate_count(128, 768, 14'000, 10) == 400);
  CHECK(default_candidate_count(128, 768, 100'000, 10) == 800);
  CHECK(default_candidate_count(128, 768, 500'000, 10) == 1600);
  CHECK(default_candidate_count(256, 768, 14'000, 10) == 100);
  CHECK(default_candidate_count(256, 768, 100'000, 10) == 200);
  CHECK(default_candidate_count(256, 768, 500'000, 10) == 400);
  CHECK(default_candidate_count(512, 768, 14'000, 10) < 100);
  for (const int width : {128, 256, 512}) {
    std::int64_t before = 0;
    for (std::int64_t rows = 1; rows < 100'000'000; rows = rows * 5 / 4 + 1) {
      const std::int64_t count = default_candidate_count(width, 768, rows, 10);
      CHECK(count >= before);
      CHECK(count <= std::max<std::int64_t>(rows, 10));
      CHECK(count >= default_candidate_count(width, 768, rows, 1));
      before = count;
    }
    CHECK(before < 40'000);
  }
}

TEST_CASE("a candidate count is at least k and no more than the rows need") {
  CHECK(default_candidate_count(128, 768, 0, 10) == 10);
  CHECK(default_candidate_count(128, 768, 25, 10) == 25);
  CHECK(default_candidate_count(128, 768, 25, 100) == 100);
  CHECK(default_candidate_count(128, 768, 14'000, 100) > 1'000);
  CHECK(default_candidate_count(128, 768, 14'000, 13'999) >= 13'999);
  CHECK(default_candidate_count(768, 768, 500'000, 10) == 10);
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK(default_candidate_count(128, 768, 1'000, most) == most);
  CHECK(default_candidate_count(128, 768, most, 10) > 1'600);
}

TEST_CASE(
    "a rung built from the rows equals one that was kept level, and add and remove reach all "
    "rungs") {
  RandomRows random(testing::test_seed("width_ladder"));
  MemorySource source;
  WidthLadder ladder(300, true);  // 300, 256, 128
  REQUIRE(ladder.widths() == std::vector<int>{300, 256, 128});
  CHECK(ladder.has(128));
  CHECK_FALSE(ladder.has(256));
  const auto ids = random.ids(2500);  // more than two blocks
  const auto rows = random.gaussian(2500, 300);
  source.put(ids, rows);
  REQUIRE(ladder.add(ids, rows).ok());
  REQUIRE(ladder.build(256, source).ok());
  REQUIRE(ladder.build(300, source).ok());
  const std::string grown = ladder.at(128).serialize();
  REQUIRE(ladder.build(128, source).ok());
  CHECK(ladder.at(128).serialize() == grown);

  const auto more_ids = random.ids(10, ids.back() + 1);
  const auto more_rows = random.gaussian(10, 300);
  source.put(more_ids, more_rows);
  REQUIRE(ladder.add(more_ids, more_rows).ok());
  ladder.remove(std::span(ids).first(20));
  for (const int width : ladder.widths()) CHECK(ladder.at(width).live_count() == 2490);
  const std::span<const float> query = std::span(more_rows).first(300);
  for (const int width : ladder.widths()) {
    const auto found = ladder.at(width).search(query, 1);
    REQUIRE(found.ok());
    CHECK(found.value()[0].id == more_ids[0]);
  }
  std::int64_t bytes = 0;
  for (const int width : ladder.widths()) bytes += ladder.at(width).memory_bytes();
  CHECK(ladder.memory_bytes() == bytes);
}

TEST_CASE("a coarse pass over all rows and a rerank find exactly what the full width finds") {
  RandomRows random(testing::test_seed("width_ladder rerank"));
  MemorySource source;
  WidthLadder ladder(160, true);
  const auto ids = random.ids(600);
  const auto rows = random.gaussian(600, 160);
  source.put(ids, rows);
  REQUIRE(ladder.add(ids, rows).ok());
  REQUIRE(ladder.build(160, source).ok());
  for (int round = 0; round < 20; ++round) {
    const auto query = random.gaussian(1, 160);
    std::vector<std::uint64_t> candidates;
    const auto coarse = ladder.at(128).search(query, 600);
    REQUIRE(coarse.ok());
    for (const Candidate& candidate : coarse.value()) {
      candidates.push_back(candidate.id);
    }
    const auto reranked = rerank(source, query, 160, candidates, 10).value();
    const auto exact = ladder.at(160).search(query, 10).value();
    for (std::size_t i = 0; i < 10; ++i) {
      CHECK(reranked[i].id == exact[i].id);
      CHECK(reranked[i].score == doctest::Approx(exact[i].score).epsilon(1e-5));
    }
  }
}

TEST_CASE("a width that is not on offer is refused and all that are get named") {
  WidthLadder ladder(768, true);
  const Status status = ladder.build(384, MemorySource());
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(status.message().find("768, 512, 256, 128") != std::string::npos);
}

TEST_CASE("an add that fails leaves every rung as it was") {
  RandomRows random(testing::test_seed("width_ladder failed add"));
  MemorySource source;
  WidthLadder ladder(200, true);
  REQUIRE(ladder.build(200, source).ok());
  auto rows = random.gaussian(3, 200);
  const std::vector<std::uint64_t> ids = {1, 2, 3};
  CHECK(ladder.add(ids, std::span(rows).first(500)).code() == StatusCode::kInvalidArgument);
  rows[450] = std::numeric_limits<float>::infinity();
  CHECK(ladder.add(ids, rows).code() == StatusCode::kInvalidArgument);
  // Past the narrow prefix: only the wide rung could see it.
  rows[450] = 0;
  rows[399] = std::numeric_limits<float>::infinity();
  CHECK(ladder.add(ids, rows).code() == StatusCode::kInvalidArgument);
  for (const int width : ladder.widths()) CHECK(ladder.at(width).live_count() == 0);
}

class FailingSource : public MemorySource {
 public:
  Status scan(std::uint64_t,
              const std::function<bool(std::uint64_t, std::span<const float>)>&) const override {
    return Status(StatusCode::kIoError, "the disk is gone");
  }
};

TEST_CASE("a build that cannot read its rows keeps the rung that was there") {
  WidthLadder ladder(200, true);
  const std::vector<float> row(200, 1.0F);
  const std::vector<std::uint64_t> ids = {1};
  REQUIRE(ladder.add(ids, row).ok());
  CHECK(ladder.build(128, FailingSource()).code() == StatusCode::kIoError);
  CHECK(ladder.at(128).live_count() == 1);
}

TEST_CASE("a rung from a cache takes its place") {
  WidthLadder ladder(200, true);
  CoarseIndex rung(200);
  const std::vector<float> row(200, 1.0F);
  const std::vector<std::uint64_t> ids = {9};
  REQUIRE(rung.add(ids, row).ok());
  ladder.put(std::move(rung));
  CHECK(ladder.has(200));
  CHECK(ladder.at(200).live_count() == 1);
}

}  // namespace
}  // namespace nestor::index
