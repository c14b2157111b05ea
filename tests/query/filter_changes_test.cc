// Filters while documents come and go: the cached sets follow the batches and stay what reading the
// documents gives.
#include <doctest/doctest.h>

#include <map>
#include <random>

#include "nestor/database.h"
#include "query/collection_filters.h"
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

TEST_CASE("the filters of the next state begin with the sets of the one before") {
  using query::CollectionFilters;
  const auto budget = std::make_shared<query::FilterBudget>();
  const auto node = query::make_condition(query::FilterOperator::kEqual, {.name = "n"},
                                          {MetadataScalar(1)}, false, false, false);
  auto read = std::make_shared<query::LiveRows>();
  read->rows = set_of(10, {{1, 9}});
  read->first_rows = set_of(10, {{1, 9}});
  auto at_5 = std::make_shared<CollectionFilters>(budget);
  CHECK(at_5->live() == nullptr);
  const query::LiveRowsPointer live = at_5->put_live(read);
  at_5->put(node->text, set_of(10, {{2, 3}}), node.get(), live);
  at_5->put("passing", set_of(10, {{2, 3}}), nullptr, live);
  const auto at_7 = CollectionFilters::after(
      at_5, {.removed_rows = {3},
             .added = {{.key = "x", .title = "", .metadata = {{"n", 1}}, .rows = {10, 2}},
                       {.key = "y", .title = "", .metadata = {{"n", 2}}, .rows = {12, 1}}}});
  // Nobody asked at 7 yet.
  const auto at_8 = CollectionFilters::after(at_7, {.removed_rows = {11}, .added = {}});
  const query::LiveRowsPointer live_7 = at_7->live();
  REQUIRE(live_7 != nullptr);
  CHECK(live_7->rows->count() == 11);
  CHECK(live_7->first_rows->count() == 10);
  auto set = at_7->find(node->text, live_7);
  REQUIRE(set != nullptr);
  CHECK(set->to_ids() == std::vector<std::uint64_t>{2, 4, 10, 11});
  CHECK(at_7->find("passing", live_7) == nullptr);
  set = at_8->find(node->text, at_8->live());
  REQUIRE(set != nullptr);
  CHECK(set->to_ids() == std::vector<std::uint64_t>{2, 4, 10});
  // The older state answers as before.
  CHECK(at_5->find(node->text, live)->to_ids() == std::vector<std::uint64_t>{2, 3, 4});
}

TEST_CASE("sets are never handed to a search that read its live rows itself") {
  const auto budget = std::make_shared<query::FilterBudget>();
  query::CollectionFilters filters(budget);
  const auto read = [] {
    auto live = std::make_shared<query::LiveRows>();
    live->rows = set_of(10, {{1, 9}});
    live->first_rows = live->rows;
    return live;
  };
  const query::LiveRowsPointer first = filters.put_live(read());
  const query::LiveRowsPointer second = read();
  CHECK(filters.put_live(second) == first);
  filters.put("a", set_of(10, {{2, 1}}), nullptr, second);
  CHECK(filters.find("a", first) == nullptr);
  filters.put("a", set_of(10, {{2, 1}}), nullptr, first);
  CHECK(filters.find("a", first) != nullptr);
  CHECK(filters.find("a", second) == nullptr);
}

TEST_CASE("more changes than are worth following drop what is kept") {
  const auto budget = std::make_shared<query::FilterBudget>();
  auto live = std::make_shared<query::LiveRows>();
  live->rows = set_of(10'000, {{1, 9'999}});
  live->first_rows = live->rows;
  auto before = std::make_shared<query::CollectionFilters>(budget);
  before->put_live(live);
  std::vector<std::uint64_t> removed(5'000);
  for (std::size_t i = 0; i < removed.size(); ++i) removed[i] = i + 1;
  const auto after =
      query::CollectionFilters::after(before, {.removed_rows = removed, .added = {}});
  CHECK(after->live() == nullptr);
  before.reset();
  CHECK(budget->usage().bytes == 0);
}
