#include "index/row_cache.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/macros.h"
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

Status save_tail(RowCache& cache, const std::string& path) {
  NESTOR_RETURN_IF_ERROR(cache.write_tail(path, {}));
  return cache.map_tail(path, {}, cache.tail_count());
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
      REQUIRE(save_tail(cache, folder / "a").ok());
      REQUIRE(cache
                  .add(std::span(ids).subspan(300, 100),
                       std::span(rows).subspan(300 * floats, 100 * floats))
                  .ok());
      REQUIRE(save_tail(cache, folder / "b").ok());
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
  REQUIRE(save_tail(cache, folder / "a").ok());
  CHECK(save_tail(cache, folder / "b").code() == StatusCode::kFailedPrecondition);
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
  REQUIRE(save_tail(cache, folder / "a").ok());
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

TEST_CASE("many small additions take memory for what they are") {
  RandomRows random(testing::test_seed("row_cache growth"));
  RowCache cache(8, Metric::kCosine);
  for (std::uint64_t id = 1; id <= 200; ++id) {
    const std::vector<std::uint64_t> ids = {id};
    REQUIRE(cache.add(ids, random.gaussian(1, 8)).ok());
  }
  CHECK(cache.tail_count() == 200);
  CHECK(cache.memory_bytes() <= 2 * 200 * (8 + 20));
}

TEST_CASE("small segments are taken back into the tail, the dead left out, the answers the same") {
  RandomRows random(testing::test_seed("row_cache gather"));
  const TempFolder folder;
  const auto ids = random.ids(1000);
  const auto rows = random.gaussian(1000, 16);
  RowCache cache(16, Metric::kCosine);
  const auto add = [&](std::size_t from, std::size_t to) {
    REQUIRE(cache
                .add(std::span(ids).subspan(from, to - from),
                     std::span(rows).subspan(from * 16, (to - from) * 16))
                .ok());
  };
  add(0, 800);
  REQUIRE(save_tail(cache, folder / "large").ok());
  add(800, 900);
  REQUIRE(save_tail(cache, folder / "b").ok());
  add(900, 940);
  REQUIRE(save_tail(cache, folder / "c").ok());
  add(940, 1000);
  REQUIRE(cache.segments().size() == 3);
  CHECK(cache.segments()[1].path == folder / "b");
  const std::uint64_t dead = ids[850];
  const auto live = [dead](std::uint64_t id) { return id != dead; };
  const auto query = random.gaussian(1, 16);
  std::vector<std::uint64_t> wanted(ids.begin() + 700, ids.end());
  std::erase(wanted, dead);
  const auto before = cache.rank(query, wanted, 299).value();
  REQUIRE(cache.gather_tail(500, live).ok());
  REQUIRE(cache.segments().size() == 1);
  CHECK(cache.segments()[0].path == folder / "large");
  CHECK(cache.tail_count() == 199);
  const auto compare = [&](const RowCache& each) {
    const auto after = each.rank(query, wanted, 299).value();
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
      REQUIRE(after[i].id == before[i].id);
      REQUIRE(after[i].score == before[i].score);
    }
    CHECK(each.rank(query, std::vector{dead}, 1).status().code() == StatusCode::kNotFound);
    CHECK(each.last_id() == ids.back());
  };
  compare(cache);
  REQUIRE(save_tail(cache, folder / "d").ok());
  RowCache back(16, Metric::kCosine);
  REQUIRE(back.open_segment(folder / "large").ok());
  REQUIRE(back.open_segment(folder / "d").ok());
  compare(back);

  // A damaged segment is not carried on.
  std::string bytes = read_file(folder / "d.rows", 1 << 20).value();
  bytes[5] = static_cast<char>(bytes[5] ^ 1);
  REQUIRE(write_file_atomic(folder / "d.rows", bytes).ok());
  RowCache bad(16, Metric::kCosine);
  REQUIRE(bad.open_segment(folder / "d").ok());
  const std::vector<std::uint64_t> next = {ids.back() + 1};
  REQUIRE(bad.add(next, std::vector<float>(16, 1.0F)).ok());
  std::vector<float> many(std::size_t{16} * 150, 1.0F);
  std::vector<std::uint64_t> more(150);
  for (std::size_t i = 0; i < more.size(); ++i) more[i] = next[0] + 1 + i;
  REQUIRE(bad.add(more, many).ok());
  CHECK(bad.gather_tail(500, live).code() == StatusCode::kDataLoss);
  CHECK(bad.row_count() == 199 + 151);
}

}  // namespace
}  // namespace nestor::index
