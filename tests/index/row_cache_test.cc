#include "index/row_cache.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/vector_math.h"
#include "tests/index/random_rows.h"
#include "tests/support/test_paths.h"

namespace nestor::index {
namespace {

using nestor::testing::RandomRows;
using nestor::testing::TempFolder;

double exact_score(Metric metric, std::span<const float> query, std::span<const float> row) {
  const double product = dot(query, row);
  if (metric == Metric::kDot) return product;
  if (metric == Metric::kL2) return 2 * product - dot(query, query) - dot(row, row);
  const double lengths = std::sqrt(dot(query, query) * dot(row, row));
  return lengths == 0 ? 0 : product / lengths;
}

TEST_CASE("scores are near the exact ones under every metric, in memory and from segments") {
  RandomRows random(testing::test_seed("row_cache"));
  for (const Metric metric : {Metric::kCosine, Metric::kDot, Metric::kL2}) {
    for (const int width : {1, 3, 4, 65, 768}) {
      CAPTURE(width);
      const auto ids = random.ids(700);
      const auto rows = random.gaussian(700, width);
      const std::size_t floats = static_cast<std::size_t>(width);
      const TempFolder folder;
      RowCache cache(width, metric);
      REQUIRE(cache.add(std::span(ids).first(300), std::span(rows).first(300 * floats)).ok());
      REQUIRE(cache.save_tail(folder / "a", {}).ok());
      REQUIRE(cache
                  .add(std::span(ids).subspan(300, 100),
                       std::span(rows).subspan(300 * floats, 100 * floats))
                  .ok());
      REQUIRE(cache.save_tail(folder / "b", {}).ok());
      RowCache back(width, metric);
      REQUIRE(back.open_segment(folder / "a").ok());
      REQUIRE(back.open_segment(folder / "b").ok());
      for (RowCache* each : {&cache, &back}) {
        REQUIRE(each->add(std::span(ids).subspan(400), std::span(rows).subspan(400 * floats)).ok());
        CHECK(each->tail_count() == 300);
        std::vector<std::uint64_t> wanted;
        for (int i = 0; i < 600; ++i)
          wanted.push_back(ids[static_cast<std::size_t>(random.below(700))]);
        std::sort(wanted.begin(), wanted.end());
        wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
        const auto query = random.gaussian(1, width);
        const auto found = each->rank(query, wanted, static_cast<std::int64_t>(wanted.size()));
        REQUIRE(found.ok());
        REQUIRE(found.value().size() == wanted.size());
        for (const Candidate& hit : found.value()) {
          const auto at =
              static_cast<std::size_t>(std::find(ids.begin(), ids.end(), hit.id) - ids.begin());
          const auto row = std::span(rows).subspan(at * floats, floats);
          // Half a level of each: the row's and the query's largest component over 127.
          const double error = metric == Metric::kCosine
                                   ? 0.02
                                   : 0.02 * (1 + std::sqrt(dot(query, query) * dot(row, row)));
          REQUIRE(std::abs(hit.score - exact_score(metric, query, row)) <= error);
        }
      }
      CHECK(std::filesystem::file_size(folder / "a.rows") == 300U * ((floats + 3) / 4) * 4);
    }
  }
}

TEST_CASE("unknown rows, other widths and rows out of order are refused") {
  RandomRows random(testing::test_seed("row_cache"));
  RowCache cache(8, Metric::kCosine);
  const std::vector<std::uint64_t> ids = {3, 5};
  const auto rows = random.gaussian(2, 8);
  REQUIRE(cache.add(ids, rows).ok());
  CHECK(cache.add(ids, rows).code() == StatusCode::kInvalidArgument);
  for (const std::uint64_t id : {1, 4, 9}) {
    const std::vector<std::uint64_t> one = {3, id};
    CHECK(cache.rank(rows, one, 2).status().code() == StatusCode::kNotFound);
  }
  const TempFolder folder;
  REQUIRE(cache.save_tail(folder / "a", {}).ok());
  CHECK(cache.save_tail(folder / "b", {}).code() == StatusCode::kFailedPrecondition);
  CHECK(cache.open_segment(folder / "a").status().code() == StatusCode::kDataLoss);
  CHECK(RowCache(8, Metric::kDot).open_segment(folder / "a").status().code() ==
        StatusCode::kDataLoss);
  CHECK(RowCache(9, Metric::kCosine).open_segment(folder / "a").status().code() ==
        StatusCode::kDataLoss);
}

TEST_CASE("every flipped bit of a segment is told, at opening or when its row is read") {
  RandomRows random(testing::test_seed("row_cache"));
  const TempFolder folder;
  RowCache cache(64, Metric::kCosine);
  const auto ids = random.ids(30);
  REQUIRE(cache.add(ids, random.gaussian(30, 64)).ok());
  REQUIRE(cache.save_tail(folder / "a", {}).ok());
  const auto query = random.gaussian(1, 64);
  for (const std::string name : {"a", "a.rows"}) {
    const std::string good = read_file(folder / name, 1 << 20).value();
    for (int round = 0; round < 300; ++round) {
      std::string bad = good;
      const std::size_t at =
          static_cast<std::size_t>(random.below(static_cast<std::int64_t>(good.size())));
      if (round % 10 == 0) {
        bad.resize(at);
      } else {
        bad[at] = static_cast<char>(bad[at] ^ (1 << random.below(8)));
      }
      REQUIRE(write_file_atomic(folder / name, bad).ok());
      RowCache back(64, Metric::kCosine);
      const auto opened = back.open_segment(folder / "a");
      CAPTURE(at);
      if (opened.ok()) {
        REQUIRE(back.rank(query, ids, 5).status().code() == StatusCode::kDataLoss);
      }
    }
    REQUIRE(write_file_atomic(folder / name, good).ok());
  }
}

}  // namespace
}  // namespace nestor::index
