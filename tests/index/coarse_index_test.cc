#include "index/coarse_index.h"

#include <doctest/doctest.h>
#include <faiss/IndexFlat.h>
#include <faiss/utils/distances.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "core/bytes.h"
#include "core/vector_math.h"
#include "index/faiss_types.h"
#include "tests/index/random_rows.h"

namespace nestor::index {
namespace {

using nestor::testing::RandomRows;

// What a search must answer, by sorting everything.
std::vector<Candidate> brute_force(const std::vector<std::uint64_t>& ids,
                                   const std::vector<float>& rows,
                                   const std::set<std::uint64_t>& dead,
                                   const std::vector<float>& query, int width, std::size_t count) {
  const std::vector<float> unit = cut_to_width(query, width);
  std::vector<Candidate> all;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (dead.contains(ids[i])) continue;
    const std::size_t row_floats = static_cast<std::size_t>(width);
    const std::span<const float> row(rows.data() + i * row_floats, row_floats);
    const std::vector<float> unit_row = cut_to_width(row, width);
    all.push_back({ids[i], faiss::fvec_inner_product(unit.data(), unit_row.data(), row_floats)});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  all.resize(std::min(count, all.size()));
  return all;
}

void check_equal(const std::vector<Candidate>& found, const std::vector<Candidate>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    REQUIRE(found[i].id == expected[i].id);
    REQUIRE(found[i].score == expected[i].score);
  }
}

CoarseIndex filled(int width, const std::vector<std::uint64_t>& ids,
                   const std::vector<float>& rows) {
  CoarseIndex index(width);
  REQUIRE(index.add(ids, rows).ok());
  return index;
}

TEST_CASE("inner products and distances are those of the rows as they are, after a reload too") {
  RandomRows random(testing::test_seed("coarse_index metrics"));
  for (const Metric metric : {Metric::kDot, Metric::kL2}) {
    const int width = 13;
    const auto ids = random.ids(3000);
    const auto rows = random.coarse_grained(3000, width);
    const auto query = random.coarse_grained(1, width);
    CoarseIndex index(width, metric);
    REQUIRE(index.add(ids, rows).ok());
    CHECK(index.metric() == metric);
    std::vector<Candidate> expected;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      double sum = 0;
      for (std::size_t d = 0; d < 13; ++d) {
        const double value = rows[i * 13 + d];
        sum += metric == Metric::kDot ? query[d] * value : -(query[d] - value) * (query[d] - value);
      }
      expected.push_back({ids[i], static_cast<float>(sum)});
    }
    std::stable_sort(expected.begin(), expected.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    const auto found = index.search(query, 100);
    REQUIRE(found.ok());
    REQUIRE(found.value().size() == 100);
    for (std::size_t i = 0; i < 100; ++i) {
      CHECK(found.value()[i].score == doctest::Approx(expected[i].score).epsilon(1e-5));
    }
    auto read = CoarseIndex::parse(index.serialize(), metric);
    REQUIRE(read.ok());
    check_equal(read.value().search(query, 100).value(), found.value());
    // Such rows are no cosine index.
    CHECK(CoarseIndex::parse(index.serialize()).status().code() == StatusCode::kDataLoss);
  }
}

TEST_CASE("a search equals sorting everything, with equal rows, ties at the cut and deletes") {
  RandomRows random(testing::test_seed("coarse_index"));
  for (int round = 0; round < 150; ++round) {
    const int width = static_cast<int>(1 + random.below(round % 3 == 0 ? 4 : 150));
    const std::int64_t row_count = random.below(round % 10 == 0 ? 4000 : 400);
    const auto ids = random.ids(row_count);
    const auto rows = random.below(2) == 0 ? random.coarse_grained(row_count, width)
                                           : random.gaussian(row_count, width);
    CAPTURE(round);
    CoarseIndex index(width);
    // In two parts, so that adding to rows already there is covered.
    const std::size_t cut = static_cast<std::size_t>(random.below(row_count + 1));
    const std::span<const float> all(rows);
    REQUIRE(index.add(std::span(ids).first(cut), all.first(cut * static_cast<std::size_t>(width)))
                .ok());
    REQUIRE(
        index.add(std::span(ids).subspan(cut), all.subspan(cut * static_cast<std::size_t>(width)))
            .ok());

    std::set<std::uint64_t> dead;
    const std::int64_t removals = row_count == 0 ? 0 : random.below(row_count + 1);
    for (std::int64_t i = 0; i < removals; ++i) {
      const std::uint64_t id = ids[static_cast<std::size_t>(random.below(row_count))];
      index.remove(std::span(&id, 1));
      dead.insert(id);
    }
    CHECK(index.live_count() == row_count - static_cast<std::int64_t>(dead.size()));
    for (const std::int64_t count :
         {std::int64_t{1}, 1 + random.below(20), 1 + random.below(500), row_count + 7}) {
      const auto query = random.below(4) == 0 ? random.coarse_grained(1, width + 3)
                                              : random.gaussian(1, width + 3);
      const auto found = index.search(query, count);
      REQUIRE(found.ok());
      check_equal(found.value(),
                  brute_force(ids, rows, dead, query, width, static_cast<std::size_t>(count)));
    }
  }
}

TEST_CASE("scores are those of faiss::IndexFlatIP::search and within 1e-6 of the cosine") {
  RandomRows random(testing::test_seed("coarse_index against IndexFlatIP"));
  const std::int64_t row_count = 3000;
  const auto ids = random.ids(row_count);
  const auto rows = random.gaussian(row_count, 128);
  const CoarseIndex index = filled(128, ids, rows);
  faiss::IndexFlatIP plain(128);
  for (std::int64_t i = 0; i < row_count; ++i) {
    const auto unit =
        cut_to_width(std::span(rows).subspan(static_cast<std::size_t>(i) * 128, 128), 128);
    plain.add(1, unit.data());
  }
  for (const std::int64_t count : {10, 500}) {
    const auto query = random.gaussian(1, 128);
    const auto unit = cut_to_width(query, 128);
    std::vector<float> scores(static_cast<std::size_t>(count));
    std::vector<idx_t> positions(scores.size());
    plain.search(1, unit.data(), count, scores.data(), positions.data());
    const auto found = index.search(query, count);
    REQUIRE(found.ok());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      CHECK(found.value()[i].score == scores[i]);
      const std::size_t position = static_cast<std::size_t>(positions[i]);
      // Rows of equal score have an order here (the lower id first) and none in FAISS.
      const bool tied = i + 1 == scores.size() || scores[i] == scores[i + 1] ||
                        (i > 0 && scores[i] == scores[i - 1]);
      CHECK((tied || found.value()[i].id == ids[position]));
      const auto row = cut_to_width(std::span(rows).subspan(position * 128, 128), 128);
      CHECK(std::abs(dot(unit, row) - scores[i]) < 1e-6);
    }
  }
}

TEST_CASE("a row whose prefix is zero scores 0 with everything and is found") {
  const CoarseIndex index = filled(2, {5, 6, 7}, {0, 0, 1, 0, -1, 0});
  const auto found = index.search(std::vector<float>{3, 0}, 3);
  REQUIRE(found.ok());
  check_equal(found.value(), {{6, 1}, {5, 0}, {7, -1}});
}

TEST_CASE("a query whose prefix is zero gets the lowest ids") {
  const CoarseIndex index = filled(2, {5, 6, 7}, {0, 1, 1, 0, -1, 0});
  const auto found = index.search(std::vector<float>{0, 0, 9}, 2);
  REQUIRE(found.ok());
  check_equal(found.value(), {{5, 0}, {6, 0}});
}

TEST_CASE("rows of any finite length are normalised, denormal and huge ones too") {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float huge = std::numeric_limits<float>::max();
  const CoarseIndex index = filled(2, {1, 2}, {tiny, tiny, huge, huge});
  const auto found = index.search(std::vector<float>{1, 1}, 2);
  REQUIRE(found.ok());
  for (const Candidate& candidate : found.value()) CHECK(candidate.score == doctest::Approx(1.0));
}

TEST_CASE("what cannot be added is refused and changes nothing") {
  CoarseIndex index = filled(2, {4, 9}, {1, 0, 0, 1});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  using Ids = std::vector<std::uint64_t>;
  using Rows = std::vector<float>;
  CHECK(index.add(Ids{9}, Rows{1, 1}).code() == StatusCode::kInvalidArgument);
  CHECK(index.add(Ids{8}, Rows{1, 1}).message().find("row id 8 comes after 9") !=
        std::string::npos);
  CHECK(index.add(Ids{11, 11}, Rows{1, 1, 1, 1}).code() == StatusCode::kInvalidArgument);
  CHECK(index.add(Ids{12, 11}, Rows{1, 1, 1, 1}).code() == StatusCode::kInvalidArgument);
  CHECK(index.add(Ids{10}, Rows{1, nan}).code() == StatusCode::kInvalidArgument);
  CHECK(index.add(Ids{10, 11}, Rows{1, 1, infinity, 1}).code() == StatusCode::kInvalidArgument);
  CHECK(index.add(Ids{10}, Rows{1, 1, 1}).code() == StatusCode::kInvalidArgument);
  CHECK(index.live_count() == 2);
  CHECK(index.add(Ids{10}, Rows{1, 1}).ok());
  // The highest id there is fits, and nothing after it.
  const std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
  CHECK(index.add(Ids{last}, Rows{1, 1}).ok());
  CHECK(index.add(Ids{last}, Rows{1, 1}).code() == StatusCode::kInvalidArgument);
  CHECK(index.add(Ids{0}, Rows{1, 1}).code() == StatusCode::kInvalidArgument);
  CHECK(index.live_count() == 4);
}

TEST_CASE("a query that is too short or not finite and a negative count are refused") {
  const CoarseIndex index = filled(2, {1}, {1, 0});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(index.search(std::vector<float>{1}, 1).status().code() == StatusCode::kInvalidArgument);
  CHECK(index.search(std::vector<float>{1, nan}, 1).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(index.search(std::vector<float>{1, 0, nan}, 1).ok());  // past the prefix
  CHECK(index.search(std::vector<float>{1, 0}, -1).status().code() == StatusCode::kInvalidArgument);
  CHECK(index.search(std::vector<float>{1, 0}, 0).value().empty());
  CHECK(CoarseIndex(2).search(std::vector<float>{1, 0}, 5).value().empty());
  CHECK(index.search(std::vector<float>{1, 0}, std::numeric_limits<std::int64_t>::max())
            .value()
            .size() == 1);
}

TEST_CASE("dead rows are swept out when more than a quarter is dead, and their ids stay taken") {
  RandomRows random(testing::test_seed("coarse_index sweep"));
  const auto ids = random.ids(100);
  const auto rows = random.gaussian(100, 8);
  CoarseIndex index = filled(8, ids, rows);
  const auto query = random.gaussian(1, 8);
  std::set<std::uint64_t> dead;
  const auto last_first = std::vector<std::uint64_t>(ids.rbegin(), ids.rend());
  for (std::size_t i = 0; i < 60; ++i) {
    index.remove(std::span(&last_first[i], 1));
    index.remove(std::span(&last_first[i], 1));  // twice is once
    dead.insert(last_first[i]);
    check_equal(index.search(query, 100).value(), brute_force(ids, rows, dead, query, 8, 100));
  }
  const std::uint64_t unknown = 1'000'000;
  index.remove(std::span(&unknown, 1));
  CHECK(index.live_count() == 40);
  const std::vector<float> row(8, 1.0F);
  CHECK(index.add(std::span(&ids[99], 1), row).code() == StatusCode::kInvalidArgument);
  const std::uint64_t next = ids[99] + 1;
  CHECK(index.add(std::span(&next, 1), row).ok());
  CHECK(index.live_count() == 41);
}

TEST_CASE("a hundred adds and deletes in turn do not let the memory grow") {
  CoarseIndex index(16);
  const std::vector<float> rows(64 * 16, 1.0F);
  std::int64_t settled_bytes = 0;
  for (std::uint64_t round = 0; round < 100; ++round) {
    std::vector<std::uint64_t> ids;
    for (std::uint64_t i = 0; i < 64; ++i) ids.push_back(round * 64 + i);
    REQUIRE(index.add(ids, rows).ok());
    index.remove(ids);
    if (round == 10) settled_bytes = index.memory_bytes();
  }
  CHECK(index.live_count() == 0);
  CHECK(index.memory_bytes() == settled_bytes);
}

TEST_CASE("a search starts no thread") {
  RandomRows random(7);
  const CoarseIndex index = filled(128, random.ids(20000), random.gaussian(20000, 128));
  const auto thread_count = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
  };
  const auto before = thread_count();
  CHECK(index.search(random.gaussian(1, 128), 400).ok());
  CHECK(thread_count() == before);
}

TEST_CASE("what was serialized answers as before, without the dead rows") {
  RandomRows random(testing::test_seed("coarse_index serialize"));
  const auto ids = random.ids(500);
  const auto rows = random.coarse_grained(500, 24);
  CoarseIndex index = filled(24, ids, rows);
  index.remove(std::span(ids).subspan(40, 100));
  const std::string bytes = index.serialize();
  CHECK(bytes.size() == 4 + 8 + 400 * (8 + 24 * 4));
  const auto parsed = CoarseIndex::parse(bytes);
  REQUIRE(parsed.ok());
  CHECK(parsed.value().width() == 24);
  CHECK(parsed.value().live_count() == 400);
  CHECK(parsed.value().serialize() == bytes);
  const auto query = random.gaussian(1, 24);
  check_equal(parsed.value().search(query, 100).value(), index.search(query, 100).value());
}

TEST_CASE("an empty index is serialized and read back") {
  const auto parsed = CoarseIndex::parse(CoarseIndex(128).serialize());
  REQUIRE(parsed.ok());
  CHECK(parsed.value().live_count() == 0);
  CHECK(parsed.value().width() == 128);
}

std::string bytes_of(std::uint32_t width, std::uint64_t count,
                     const std::vector<std::uint64_t>& ids, const std::vector<float>& rows) {
  ByteWriter writer;
  writer.u32(width);
  writer.u64(count);
  for (const std::uint64_t id : ids) writer.u64(id);
  writer.floats(rows);
  return writer.take();
}

TEST_CASE("bytes that no index wrote are refused as data loss") {
  const auto refused = [](const std::string& bytes) {
    const auto parsed = CoarseIndex::parse(bytes);
    return !parsed.ok() && parsed.status().code() == StatusCode::kDataLoss;
  };
  REQUIRE(CoarseIndex::parse(bytes_of(2, 2, {1, 2}, {1, 0, 0, 0})).ok());
  CHECK(refused(bytes_of(0, 0, {}, {})));
  CHECK(refused(bytes_of(65537, 0, {}, {})));
  CHECK(refused(bytes_of(0xffffffff, 0, {}, {})));
  CHECK(refused(bytes_of(2, 1, {1, 2}, {1, 0, 0, 1})));
  CHECK(refused(bytes_of(2, 3, {1, 2}, {1, 0, 0, 1})));
  CHECK(refused(bytes_of(2, std::uint64_t{1} << 63, {1, 2}, {1, 0, 0, 1})));
  // 2^60 rows of 16 bytes are 2^64: a product that wraps to zero must not pass.
  CHECK(refused(bytes_of(2, std::uint64_t{1} << 60, {}, {})));
  CHECK(refused(bytes_of(2, 2, {2, 1}, {1, 0, 0, 1})));
  CHECK(refused(bytes_of(2, 2, {2, 2}, {1, 0, 0, 1})));
  CHECK(refused(bytes_of(2, 1, {1}, {std::numeric_limits<float>::quiet_NaN(), 0})));
  CHECK(refused(bytes_of(2, 1, {1}, {std::numeric_limits<float>::infinity(), 0})));
  CHECK(refused(bytes_of(2, 1, {1}, {3, 0})));
  const std::string good = bytes_of(2, 2, {1, 2}, {1, 0, 0, 1});
  for (std::size_t bytes = 0; bytes < good.size(); ++bytes) CHECK(refused(good.substr(0, bytes)));
  CHECK(refused(good + "x"));
}

TEST_CASE("random bytes and random flips never crash the parser") {
  RandomRows random(testing::test_seed("coarse_index parse"));
  const CoarseIndex index = filled(3, random.ids(20), random.gaussian(20, 3));
  const std::string good = index.serialize();
  int accepted = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (std::int64_t flips = random.below(4); flips >= 0; --flips) {
      bytes[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(bytes.size())))] ^=
          static_cast<char>(1 << random.below(8));
    }
    const auto parsed = CoarseIndex::parse(bytes);
    if (!parsed.ok()) {
      CHECK(parsed.status().code() == StatusCode::kDataLoss);
      continue;
    }
    ++accepted;  // a low bit of an id or a component: still an index, if not ours; the envelope
                 // sees it
    CHECK(parsed.value().search(random.gaussian(1, parsed.value().width()), 30).ok());
  }
  CHECK(accepted < 3000);
}

}  // namespace
}  // namespace nestor::index
