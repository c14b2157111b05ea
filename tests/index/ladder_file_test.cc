#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/file.h"
#include "index/ladder_index.h"
#include "tests/index/random_rows.h"
#include "tests/support/test_paths.h"

namespace nestor::index {
namespace {

using nestor::testing::RandomRows;
using nestor::testing::TempFolder;

IndexIdentity identity() {
  IndexIdentity identity;
  identity.collection = "notes";
  identity.width = 64;
  identity.sequence = 9;
  return identity;
}

std::vector<std::pair<std::uint64_t, float>> answer(const LadderIndex& index,
                                                    const std::vector<float>& query) {
  std::vector<std::pair<std::uint64_t, float>> found;
  const auto result = index.search(query, {.scan_count = 200, .rank_count = 50});
  REQUIRE(result.ok());
  for (const Candidate& candidate : result.value())
    found.emplace_back(candidate.id, candidate.score);
  return found;
}

void overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST_CASE("a ladder comes back from its file, answers the same and goes on growing") {
  RandomRows random(testing::test_seed("ladder_file"));
  for (const std::int64_t count : {0, 1, 1000, 1024, 1300, 5001}) {
    CAPTURE(count);
    const LadderShape shape{.width = 64, .bits = 1, .scan_width = 32};
    const auto ids = random.ids(count);
    const auto rows = random.gaussian(count, 64);
    LadderIndex index(shape);
    REQUIRE(index.add(ids, rows).ok());
    if (count > 100) index.remove(std::span(ids).subspan(10, 7));
    const TempFolder folder;
    REQUIRE(index.save(folder / "file", identity()).ok());
    auto opened = LadderIndex::open(folder / "file");
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    LadderIndex& back = opened.value().index;
    CHECK(opened.value().identity == identity());
    CHECK(back.live_count() == index.live_count());
    CHECK(back.trained() == index.trained());
    const auto query = random.gaussian(1, 64);
    CHECK(answer(back, query) == answer(index, query));
    // Codes to be trained yet are trained on removed rows too, which a file does not hold.
    const bool same_codes = index.trained();
    const auto more = random.ids(200, ids.empty() ? 1 : ids.back() + 1);
    const auto more_rows = random.gaussian(200, 64);
    REQUIRE(index.add(more, more_rows).ok());
    REQUIRE(back.add(more, more_rows).ok());
    const auto gone = std::span(more).first(20);
    index.remove(gone);
    back.remove(gone);
    if (same_codes) CHECK(answer(back, query) == answer(index, query));
    // Over itself: what is mapped is still read while its file is replaced.
    REQUIRE(back.save(folder / "file", identity()).ok());
    auto again = LadderIndex::open(folder / "file");
    REQUIRE(again.ok());
    CHECK(answer(again.value().index, query) == answer(back, query));
  }
}

TEST_CASE("every flipped bit and every cut of a ladder file gives a status") {
  RandomRows random(testing::test_seed("ladder_file"));
  for (const std::int64_t count : {40, 1100}) {
    LadderIndex index({.width = 64, .bits = 1, .scan_width = 32});
    REQUIRE(index.add(random.ids(count), random.gaussian(count, 64)).ok());
    const TempFolder folder;
    REQUIRE(index.save(folder / "file", identity()).ok());
    const std::string good = read_file(folder / "file", 1 << 24).value();
    for (int round = 0; round < 400; ++round) {
      std::string bad = good;
      // All of the head, then here and there.
      const std::size_t at =
          round < 200
              ? static_cast<std::size_t>(round)
              : static_cast<std::size_t>(random.below(static_cast<std::int64_t>(bad.size())));
      bad[at] = static_cast<char>(bad[at] ^ (1 << random.below(8)));
      overwrite(folder / "file", bad);
      const auto opened = LadderIndex::open(folder / "file");
      CAPTURE(at);
      REQUIRE(!opened.ok());
      REQUIRE((opened.status().code() == StatusCode::kDataLoss ||
               opened.status().code() == StatusCode::kUnsupported));
    }
    for (int round = 0; round < 100; ++round) {
      overwrite(folder / "file", good.substr(0, static_cast<std::size_t>(random.below(
                                                    static_cast<std::int64_t>(good.size())))));
      REQUIRE(LadderIndex::open(folder / "file").status().code() == StatusCode::kDataLoss);
    }
    overwrite(folder / "file", good + "x");
    CHECK(LadderIndex::open(folder / "file").status().code() == StatusCode::kDataLoss);
  }
}

TEST_CASE("bytes that carry the right checksum are still not believed") {
  RandomRows random(testing::test_seed("ladder_file"));
  LadderIndex index({.width = 64, .bits = 1, .scan_width = 32});
  REQUIRE(index.add(random.ids(1100), random.gaussian(1100, 64)).ok());
  const TempFolder folder;
  REQUIRE(index.save(folder / "file", identity()).ok());
  const auto good = read_index_file(folder / "file");
  REQUIRE(good.ok());
  // Head, quantizer and the first ids; codes may be anything.
  const std::size_t reach = 48 + 8 + 8 * 64 + 200;
  int refused = 0;
  for (std::size_t at = 0; at < reach; ++at) {
    for (const unsigned char flip : {0xFF, 0x80, 0x01}) {
      IndexFile bad = good.value();
      bad.payload[at] = static_cast<char>(bad.payload[at] ^ flip);
      REQUIRE(write_index_file(folder / "file", bad).ok());
      const auto opened = LadderIndex::open(folder / "file");
      refused += opened.ok() ? 0 : 1;
      if (opened.ok()) answer(opened.value().index, random.gaussian(1, 64));
    }
  }
  CHECK(refused > 500);
  IndexFile cut = good.value();
  cut.payload.resize(cut.payload.size() - 1);
  REQUIRE(write_index_file(folder / "file", cut).ok());
  CHECK(LadderIndex::open(folder / "file").status().code() == StatusCode::kDataLoss);
}

}  // namespace
}  // namespace nestor::index
