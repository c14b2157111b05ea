#include "core/row_set.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <set>

namespace nestor {
namespace {

using Ids = std::set<std::uint64_t>;

RowSet set_of(const RowRange& range, const Ids& ids) {
  RowSetBuilder builder(range);
  for (const std::uint64_t id : ids) builder.add(id, 1);
  return builder.finish();
}

Ids ids_of(const RowSet& set) {
  const std::vector<std::uint64_t> ids = set.to_ids();
  CHECK(std::is_sorted(ids.begin(), ids.end()));
  CHECK(static_cast<std::int64_t>(ids.size()) == set.count());
  return {ids.begin(), ids.end()};
}

}  // namespace

TEST_CASE("set operations are those of std::set, dense or sparse in any mixture") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 300; ++round) {
    const std::uint64_t first = random() % 1000;
    const RowRange range = RowRange::of(first, first + 1 + random() % 2000);
    Ids a;
    Ids b;
    const std::uint64_t every_a = 1 + random() % (round % 2 == 0 ? 3 : 300);
    const std::uint64_t every_b = 1 + random() % (round % 3 == 0 ? 3 : 300);
    for (std::uint64_t id = first; id < range.end; ++id) {
      if (random() % every_a == 0) a.insert(id);
      if (random() % every_b == 0) b.insert(id);
    }
    const RowSet set_a = set_of(range, a);
    const RowSet set_b = set_of(range, b);
    CHECK(ids_of(set_a) == a);
    Ids both;
    Ids any;
    Ids only;
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::inserter(both, both.end()));
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::inserter(any, any.end()));
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::inserter(only, only.end()));
    CHECK(ids_of(intersection(set_a, set_b)) == both);
    CHECK(ids_of(set_union(set_a, set_b)) == any);
    CHECK(ids_of(difference(set_a, set_b)) == only);
    CHECK(difference(set_a, set_b) == set_of(range, only));
    for (int i = 0; i < 20; ++i) {
      const std::uint64_t id = random() % (range.end + 100);
      CHECK(set_a.contains(id) == a.contains(id));
    }
    const std::vector<std::uint64_t> words = set_a.to_words();
    CHECK(words.size() == range.word_count());
    for (std::uint64_t id = first; id < range.end; ++id) {
      const std::uint64_t offset = id - range.begin;
      CHECK((words[offset / 64] >> offset % 64 & 1) == (a.contains(id) ? 1 : 0));
    }
  }
}

TEST_CASE("runs may overlap, come in any order and reach over the range") {
  RowSetBuilder builder(RowRange::of(70, 130));
  builder.add(100, 5);
  builder.add(102, 10);
  builder.add(0, 65);
  builder.add(129, 50);
  CHECK(ids_of(builder.finish()) ==
        Ids{64, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 129});
  CHECK(RowSetBuilder(RowRange{}).finish().empty());
}

TEST_CASE("few ids take a list and many a bitmap") {
  const RowRange range = RowRange::of(0, 64'000);
  RowSetBuilder few(range);
  few.add(5, 500);
  CHECK(few.finish().is_sparse());
  RowSetBuilder many(range);
  many.add(5, 501);
  const RowSet dense = many.finish();
  CHECK_FALSE(dense.is_sparse());
  CHECK(dense.words().size() == 1000);
  CHECK(dense.memory_bytes() < 10'000);
}

}  // namespace nestor
