// Filters while documents come and go: the cached sets follow the batches and stay what reading the
// documents gives.
#include <doctest/doctest.h>

#include <map>
#include <random>

#include "nestor/database.h"
#include "query/filter_cache.h"
#include "query/filter_match.h"
#include "query/filter_node.h"
#include "query/open_database.h"
#include "tests/index/random_rows.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::RandomRows;
using nestor::testing::TempFolder;

namespace {

const std::vector<std::string> kFilters = {"n >= 5",
                                           "n < 3 OR lang == \"de\"",
                                           "NOT (lang == \"de\")",
                                           "\"a\" in tags",
                                           "missing exists",
                                           "key prefix \"k1\"",
                                           "n in [1, 2, null]",
                                           "n != 4 AND lang != \"en\""};

query::RowSetPointer set_of(std::uint64_t end, std::vector<RowRun> runs) {
  RowSetBuilder builder(RowRange::of(0, end));
  for (const RowRun& run : runs) builder.add(run.first, run.count);
  return std::make_shared<const RowSet>(builder.finish());
}

}  // namespace

TEST_CASE("whatever is added, replaced, removed or described anew, filters find what matches") {
  RandomRows random(testing::test_seed("filter changes"));
  const TempFolder folder;
  auto opened =
      query::open_database(folder / "db", {}, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE(opened.ok());
  Database db = std::move(opened).value();
  std::map<std::string, Metadata> model;
  const auto metadata = [&] {
    Metadata made;
    if (random.below(4) > 0) made["n"] = random.below(8);
    made["lang"] = random.below(3) == 0 ? "de" : "en";
    made["tags"] = random.below(2) == 0 ? MetadataValue{"a", "b"} : MetadataValue{"b"};
    return made;
  };
  std::vector<Filter> filters;
  for (const std::string& text : kFilters) {
    auto parsed = Filter::parse(text);
    REQUIRE_MESSAGE(parsed.ok(), parsed.status().to_string());
    filters.push_back(std::move(parsed).value());
  }
  for (int round = 0; round < 120; ++round) {
    const std::string key = "k" + std::to_string(random.below(25));
    switch (random.below(6)) {
      case 0:
        REQUIRE(db.remove({key}).ok());
        model.erase(key);
        break;
      case 1:
        if (model.contains(key)) {
          model[key]["n"] = 4;
          REQUIRE(db.change_metadata({{.key = key, .set = {{"n", 4}}}}).ok());
        }
        break;
      default: {
        std::vector<Document> documents;
        for (int i = 0; i < 1 + random.below(3); ++i) {
          const std::string one = "k" + std::to_string(random.below(25));
          const Metadata with = metadata();
          model[one] = with;
          documents.push_back({.key = one,
                               .text = "text " + std::to_string(round) + " " + std::to_string(i),
                               .metadata = with});
        }
        REQUIRE(db.add(documents).ok());
      }
    }
    // Not after every batch: several may come together.
    if (round % 3 == 1) continue;
    for (std::size_t f = 0; f < filters.size(); ++f) {
      CAPTURE(kFilters[f]);
      std::vector<std::string> expected;
      for (const auto& [name, fields] : model) {
        if (query::matches(filters[f].node(), {name, "", fields})) expected.push_back(name);
      }
      const auto found = db.list_keys(filters[f]);
      REQUIRE_MESSAGE(found.ok(), found.status().to_string());
      REQUIRE(found.value() == expected);
      REQUIRE(db.count(filters[f]).value() == std::ssize(expected));
    }
  }
}

TEST_CASE("a noted batch brings kept sets level; one that was not noted drops them") {
  query::FilterCache cache;
  const auto node = query::make_condition(query::FilterOperator::kEqual, {.name = "n"},
                                          {MetadataScalar(1)}, false, false, false);
  auto live = std::make_shared<query::LiveRows>();
  live->rows = set_of(10, {{1, 9}});
  live->first_rows = set_of(10, {{1, 9}});
  cache.put_live_rows(1, 5, live);
  cache.put(1, 5, node->text, set_of(10, {{2, 3}}), node.get());
  cache.put(1, 5, "passing", set_of(10, {{2, 3}}), nullptr);
  cache.note(1, {.sequence_before = 5,
                 .sequence = 7,
                 .removed_rows = {3},
                 .added = {{.key = "x", .title = "", .metadata = {{"n", 1}}, .rows = {10, 2}},
                           {.key = "y", .title = "", .metadata = {{"n", 2}}, .rows = {12, 1}}}});
  cache.note(1, {.sequence_before = 7, .sequence = 8, .removed_rows = {11}, .added = {}});
  auto set = cache.find(1, 7, node->text);
  REQUIRE(set != nullptr);
  CHECK(set->to_ids() == std::vector<std::uint64_t>{2, 4, 10, 11});
  CHECK(cache.live_rows(1, 7)->rows->count() == 11);
  CHECK(cache.live_rows(1, 7)->first_rows->count() == 10);
  CHECK(cache.find(1, 7, "passing") == nullptr);
  set = cache.find(1, 8, node->text);
  REQUIRE(set != nullptr);
  CHECK(set->to_ids() == std::vector<std::uint64_t>{2, 4, 10});
  CHECK(cache.find(1, 7, node->text) == nullptr);  // an older state is not kept
  CHECK(cache.find(1, 9, node->text) == nullptr);  // nobody said what 9 was
  CHECK(cache.live_rows(1, 9) == nullptr);
  CHECK(cache.usage().conditions == 0);
  CHECK(cache.usage().bytes == 0);
}

TEST_CASE("more changes than are worth following drop what is kept") {
  query::FilterCache cache;
  auto live = std::make_shared<query::LiveRows>();
  live->rows = set_of(10'000, {{1, 9'999}});
  live->first_rows = live->rows;
  cache.put_live_rows(1, 5, live);
  std::vector<std::uint64_t> removed(5'000);
  for (std::size_t i = 0; i < removed.size(); ++i) removed[i] = i + 1;
  cache.note(1, {.sequence_before = 5, .sequence = 6, .removed_rows = removed, .added = {}});
  CHECK(cache.live_rows(1, 6) == nullptr);
  CHECK(cache.usage().bytes == 0);
}
