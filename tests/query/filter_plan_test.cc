// Matching sets: what the field index says is what the definition says, over random documents and
// filters, after updates and deletes, with and without an index, cached and not.
#include "query/filter_plan.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "query/expiry.h"
#include "tests/query/filters_by_state.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::query {
namespace {

using storage::Collection;
using storage::DocumentStore;
using storage::DocumentWrite;
using storage::testing::make_batch;
using storage::testing::make_write;
using storage::testing::must_commit;
using storage::testing::must_open;
using storage::testing::TempFolder;

using Ids = std::vector<std::uint64_t>;

DocumentWrite write_with(const std::string& key, Metadata metadata, int row_count = 1) {
  DocumentWrite write = make_write(key, "text", row_count);
  write.document.metadata = std::move(metadata);
  return write;
}

MatchingRows must_match(const DocumentStore& store, const Filter& filter,
                        testing::FiltersByState& cache, double now = 0) {
  const Collection collection = storage::testing::collection_of(store);
  auto found =
      find_matching_rows(store, *store.view(), collection, filter, now, *cache.of(collection));
  REQUIRE_MESSAGE(found.ok(), found.status().to_string());
  return std::move(found).value();
}

MatchingRows must_match(const DocumentStore& store, const std::string& text,
                        testing::FiltersByState& cache, double now = 0) {
  const auto filter = Filter::parse(text);
  REQUIRE_MESSAGE(filter.ok(), filter.status().to_string());
  return must_match(store, filter.value(), cache, now);
}

// By the definition: every document is read and asked.
Ids rows_by_reading(const DocumentStore& store, const Filter& filter, double now) {
  Ids ids;
  const Status status = store.scan_documents(
      *store.view(), storage::testing::collection_of(store).id, "", [&](const auto& stored) {
        if (is_expired(stored.document.metadata, now) || !filter.matches(stored.document)) {
          return true;
        }
        for (std::int64_t i = 0; i < stored.passage_count; ++i) {
          ids.push_back(stored.first_row_id + static_cast<std::uint64_t>(i));
        }
        return true;
      });
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  std::sort(ids.begin(), ids.end());
  return ids;
}

// Random metadata and filters from few names and values, so that they meet; the values are those
// that orders and kinds stumble over.
class Sampler {
 public:
  explicit Sampler(std::uint64_t seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  MetadataScalar scalar() {
    static const std::vector<MetadataScalar> values = {0,
                                                       1,
                                                       -1,
                                                       2.5,
                                                       -0.0,
                                                       1.0,
                                                       (std::int64_t{1} << 53) + 1,
                                                       9007199254740992.0,
                                                       9007199254740994.0,
                                                       INT64_MAX,
                                                       INT64_MIN,
                                                       9223372036854775808.0,
                                                       1e300,
                                                       -1e-300,
                                                       true,
                                                       false,
                                                       "",
                                                       "a",
                                                       "ab",
                                                       "abc",
                                                       "b",
                                                       std::string("a\0b", 3),
                                                       "2024-05-01",
                                                       "2024-05-01T00:00:00Z",
                                                       "2024-05-01T02:00:00+02:00",
                                                       "2024-05-01T00:00:00.000000001Z",
                                                       "1969-12-31T23:59:59.5",
                                                       "0001-01-01",
                                                       "9999-12-31",
                                                       "2024-13-01",
                                                       "1",
                                                       "true",
                                                       std::string(512, 'x'),
                                                       std::string(513, 'x'),
                                                       std::string(600, 'x'),
                                                       std::string(512, 'x') + "y",
                                                       std::string(600, 'a') + "needle"};
    return values[below(values.size())];
  }

  Metadata metadata() {
    Metadata metadata;
    for (const char* name : {"a", "b", "key"}) {
      const std::uint64_t kind = below(6);
      if (kind == 0) continue;
      if (kind > 2) {
        metadata.emplace(name, MetadataValue(scalar()));
        continue;
      }
      MetadataValue::List list;
      for (std::uint64_t left = below(4); left > 0; --left) list.push_back(scalar());
      metadata.emplace(name, MetadataValue(std::move(list)));
    }
    if (below(5) == 0) metadata.emplace(kExpiresAtField, static_cast<int>(below(4)));
    return metadata;
  }

  Filter condition() {
    static const std::vector<std::string> names = {"a", "b", "meta.key", "key", "title", "missing"};
    const FilterField field = Filter::field(names[below(names.size())]);
    MetadataValue::List list;
    for (std::uint64_t left = below(4); left > 0; --left) list.push_back(scalar());
    switch (below(13)) {
      case 0:
        return field == scalar();
      case 1:
        return field != scalar();
      case 2:
        return field < orderable();
      case 3:
        return field <= orderable();
      case 4:
        return field > orderable();
      case 5:
        return field >= orderable();
      case 6:
        return field.in(list);
      case 7:
        return field.not_in(list);
      case 8:
        return field.prefix(text());
      case 9:
        return field.contains(scalar());
      case 10:
        return field.has(scalar());
      case 11:
        return below(2) == 0 ? field == MetadataValue(list) : field == nullptr;
      default:
        return Filter::parse("a in [1, null] or b > null or key prefix 'k1'").value();
    }
  }

  Filter filter(int depth = 0) {
    const std::uint64_t kind = depth > 3 ? 0 : below(5);
    if (kind == 3) return filter(depth + 1) && filter(depth + 1);
    if (kind == 4) return filter(depth + 1) || filter(depth + 1);
    if (kind == 2) return !filter(depth + 1);
    return condition();
  }

 private:
  MetadataScalar orderable() {
    while (true) {
      const MetadataScalar value = scalar();
      if ((Filter::field("a") < value).check().ok()) return value;
    }
  }

  std::string text() {
    while (true) {
      const MetadataScalar value = scalar();
      if (const auto* held = std::get_if<std::string>(&value.variant())) return *held;
    }
  }

  std::mt19937_64 random_;
};

void check_all_ways(const DocumentStore& store, const Filter& filter,
                    testing::FiltersByState& cache, double now) {
  const Ids expected = rows_by_reading(store, filter, now);
  CAPTURE(filter.to_string());
  CHECK_MESSAGE(must_match(store, filter, cache, now).rows->to_ids() == expected,
                filter.to_string());
  const MatchingRows again = must_match(store, filter, cache, now);
  CHECK(again.rows->to_ids() == expected);
  CHECK(again.row_count == static_cast<std::int64_t>(expected.size()));
}

}  // namespace

TEST_CASE("random filters over random documents: the index says what reading every document says") {
  const std::uint64_t seed = storage::testing::test_seed("filter plan");
  CAPTURE(seed);
  for (std::uint64_t run = 0; run < 4; ++run) {
    Sampler sample(seed + run);
    const TempFolder folder;
    auto store = must_open(folder / "db");
    REQUIRE(store->create_collection("default", 0, false).ok());
    testing::FiltersByState cache(run == 3 ? 2000 : std::size_t{64} << 20);
    for (int step = 0; step < 12; ++step) {
      std::map<std::string, int> actions;  // per key: write, remove, change
      for (int i = 0; i < 25; ++i) {
        actions["k" + std::to_string(sample.below(60))] = static_cast<int>(sample.below(5));
      }
      storage::Batch batch = make_batch({});
      for (const auto& [key, action] : actions) {
        if (action == 0) {
          batch.removals.push_back(key);
        } else if (action == 1) {
          batch.metadata_writes.push_back({key, sample.metadata()});
        } else {
          batch.writes.push_back(
              write_with(key, sample.metadata(), static_cast<int>(1 + sample.below(3))));
        }
      }
      must_commit(*store, batch);
      for (int i = 0; i < 60; ++i) {
        check_all_ways(*store, sample.filter(), cache, static_cast<double>(sample.below(5)) - 0.5);
      }
    }
    storage::testing::check_verifies(*store);
  }
}

TEST_CASE(
    "hostile input 41: filters that leave nothing, everything and one row have exact counts") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  testing::FiltersByState cache;
  CHECK(must_match(*store, "a == 1", cache).row_count == 0);
  CHECK(must_match(*store, "not a == 1", cache).row_count == 0);
  std::vector<DocumentWrite> writes;
  for (int i = 0; i < 2000; ++i) {
    writes.push_back(write_with("k" + std::to_string(i), {{"n", i}, {"all", true}}, 2));
  }
  must_commit(*store, make_batch(writes));
  MatchingRows matching = must_match(*store, "n == 777", cache);
  CHECK(matching.rows->to_ids() == Ids{1555, 1556});
  CHECK(matching.rows->is_sparse());
  CHECK_FALSE(matching.everything);
  CHECK(must_match(*store, "n == -1", cache).row_count == 0);
  matching = must_match(*store, "all == true", cache);
  CHECK(matching.row_count == 4000);
  CHECK(matching.everything);
  CHECK(must_match(*store, "", cache).everything);
  CHECK(must_match(*store, "n < 1000", cache).row_count == 2000);
  CHECK(count_matching_documents(must_match(*store, "n >= 1500 or n < 0", cache)) == 500);
}

TEST_CASE("a collection without an index gives the same sets by reading its documents") {
  storage::StoreOptions options;
  options.read_only = true;
  auto store = must_open(nestor::testing::tests_path("compat/v1"), options);
  testing::FiltersByState cache;
  for (const std::string text :
       {"year == 2024", "tags contains 'a'", "not year == 2024", "key prefix 'c/'", "x == 0",
        "title == 'title of a' and ok == true", "missing exists", ""}) {
    CAPTURE(text);
    const Filter filter = Filter::parse(text).value();
    const MatchingRows matching = must_match(*store, filter, cache);
    CHECK_FALSE(matching.indexed);
    CHECK(matching.rows->to_ids() == rows_by_reading(*store, filter, 0));
  }
  CHECK(must_match(*store, "key prefix 'c/'", cache).rows->to_ids() == Ids{4, 5, 6});
}

TEST_CASE("filters answer for their own state alone, and keep the bound together") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  must_commit(*store, make_batch({write_with("a", {{"n", 1}}), write_with("b", {{"n", 2}})}));
  testing::FiltersByState cache(4000);
  const auto old_view = store->view();
  const Collection old_collection = storage::testing::collection_of(*store);
  CHECK(must_match(*store, "n == 1", cache).row_count == 1);
  CHECK(cache.usage().misses == 1);
  CHECK(must_match(*store, "not n == 1", cache).rows->to_ids() == Ids{2});
  CHECK(cache.usage().hits == 1);
  CHECK(cache.usage().conditions == 1);
  must_commit(*store, make_batch({write_with("c", {{"n", 1}})}));
  CHECK(must_match(*store, "n == 1", cache).rows->to_ids() == Ids{1, 3});
  CHECK(cache.usage().misses == 2);
  // A reader that still holds the old view gets the old answer, and does not disturb the new one.
  const auto old = find_matching_rows(*store, *old_view, old_collection, Filter::field("n") == 1, 0,
                                      *cache.of(old_collection));
  REQUIRE(old.ok());
  CHECK(old.value().rows->to_ids() == Ids{1});
  CHECK(must_match(*store, "n == 1", cache).rows->to_ids() == Ids{1, 3});
  for (int i = 0; i < 200; ++i) {
    CHECK(must_match(*store, "n >= " + std::to_string(i), cache).row_count ==
          (i <= 1 ? 3 : i == 2));
    CHECK(cache.usage().bytes <= 4000);
  }
  CHECK(cache.usage().conditions > 0);
  cache.clear();
  CHECK(cache.usage().bytes == 0);
  CHECK(cache.usage().conditions == 0);
}

TEST_CASE("a document is hidden from the second it names on") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  must_commit(*store,
              make_batch({write_with("a", {{kExpiresAtField, 100}}),
                          write_with("b", {{kExpiresAtField, 200.5}}, 2), write_with("c", {})}));
  testing::FiltersByState cache;
  CHECK(must_match(*store, "", cache, 99.9).everything);
  CHECK(must_match(*store, "", cache, 100).rows->to_ids() == Ids{2, 3, 4});
  CHECK(must_match(*store, "key == 'b'", cache, 200.4).row_count == 2);
  CHECK(must_match(*store, "key == 'b'", cache, 200.5).row_count == 0);
  CHECK(must_match(*store, "not key == 'b'", cache, 300).rows->to_ids() == Ids{4});
  CHECK(must_match(*store, "", cache, 300).live_count == 1);
  CHECK_FALSE(must_match(*store, "", cache, 300).everything);
}

TEST_CASE("a filter built wrong is refused before anything is read") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  testing::FiltersByState cache;
  const auto refused = find_matching_rows(
      *store, *store->view(), storage::testing::collection_of(*store), Filter::field("a") < "soon",
      0, *cache.of(storage::testing::collection_of(*store)));
  CHECK(refused.status().code() == StatusCode::kInvalidArgument);
}

}  // namespace nestor::query
