// Counting, listing, changing and removing documents by filter, and the sweep of what has expired.
#include "query/document_query.h"

#include <doctest/doctest.h>

#include <optional>

#include "query/expiry.h"
#include "query/input_check.h"
#include "tests/query/filters_by_state.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::query {
namespace {

using storage::testing::make_batch;
using storage::testing::make_write;
using storage::testing::must_open;

using Keys = std::vector<std::string>;

class Fixture {
 public:
  explicit Fixture(int documents = 0) : store_(must_open(folder_ / "db")) {
    REQUIRE(store_->create_collection("default", 0, false).ok());
    std::vector<storage::DocumentWrite> writes;
    for (int i = 0; i < documents; ++i) {
      writes.push_back(make_write(fmt_key(i), "text", 1 + i % 3));
      writes.back().document.metadata = {{"n", i}, {"odd", i % 2 == 1}};
    }
    if (!writes.empty()) storage::testing::must_commit(*store_, make_batch(writes));
    refresh();
  }

  static std::string fmt_key(int i) {
    const std::string digits = std::to_string(i);
    return "k" + std::string(5 - digits.size(), '0') + digits;
  }

  void refresh() {
    view_ = store_->view();
    collection_ = storage::testing::collection_of(*store_);
  }

  [[nodiscard]] DocumentSource source(double now = 0) {
    return {*store_, *view_, collection_, *(filters_ = cache_.of(collection_)), now};
  }

  CommitFunction commit(double now = 0) {
    return [this, now](const BatchMaker& make) -> Result<storage::Commit> {
      refresh();
      Result<storage::Batch> batch = make(source(now));
      if (!batch.ok()) return batch.status();
      if (batch.value().removals.empty() && batch.value().metadata_writes.empty()) {
        return storage::Commit();
      }
      ++commits_;
      batch.value().collection = "default";
      return store_->commit(batch.value());
    };
  }

  std::int64_t count(const std::string& text, double now = 0) {
    refresh();
    const auto count = count_documents(source(now), Filter::parse(text).value());
    REQUIRE_MESSAGE(count.ok(), count.status().to_string());
    return count.value();
  }

  Keys keys(const std::string& text, const std::string& after = "", std::int64_t limit = 1000) {
    refresh();
    auto keys = list_matching_keys(source(), Filter::parse(text).value(), after, limit);
    REQUIRE_MESSAGE(keys.ok(), keys.status().to_string());
    return keys.value();
  }

  [[nodiscard]] storage::DocumentStore& store() { return *store_; }
  [[nodiscard]] int commits() const { return commits_; }

 private:
  storage::testing::TempFolder folder_;
  std::unique_ptr<storage::DocumentStore> store_;
  storage::DocumentStore::ViewPointer view_;
  storage::Collection collection_;
  testing::FiltersByState cache_;
  std::shared_ptr<CollectionFilters> filters_;
  int commits_ = 0;
};

}  // namespace

TEST_CASE("documents are counted, not their passages") {
  Fixture fixture(100);
  CHECK(fixture.count("") == 100);
  CHECK(fixture.count("odd == true") == 50);
  CHECK(fixture.count("n < 10 and odd == true") == 5);
  CHECK(fixture.count("missing exists") == 0);
}

TEST_CASE("keys that match come in byte order, page by page") {
  Fixture fixture(100);
  CHECK(fixture.keys("n < 3") == Keys{"k00000", "k00001", "k00002"});
  CHECK(fixture.keys("odd == true", "k00003", 2) == Keys{"k00005", "k00007"});
  CHECK(fixture.keys("odd == true", "k00097") == Keys{"k00099"});
  CHECK(fixture.keys("odd == true", "k00099").empty());
  CHECK(fixture.keys("", "", 0).empty());
  Keys scanned;
  REQUIRE(scan_matching_documents(fixture.source(), Filter::field("n") >= 98, "",
                                  [&](const storage::StoredDocument& stored) {
                                    scanned.push_back(stored.document.key);
                                    return true;
                                  })
              .ok());
  CHECK(scanned == Keys{"k00098", "k00099"});
}

TEST_CASE("a database without an index lists and counts the same") {
  storage::StoreOptions options;
  options.read_only = true;
  const auto store = must_open(nestor::testing::tests_path("compat/v1"), options);
  const auto view = store->view();
  const storage::Collection collection = storage::testing::collection_of(*store);
  testing::FiltersByState cache;
  const auto filters = cache.of(collection);
  const DocumentSource source{*store, *view, collection, *filters, 0};
  CHECK(count_documents(source, Filter::field("year") == 2024).value() == 2);
  CHECK(list_matching_keys(source, Filter::field("year") == 2024, "", 10).value() ==
        Keys{"a", "c/\xc3\xa4"});
  CHECK(list_matching_keys(source, Filter::field("year") == 2024, "a", 1).value() ==
        Keys{"c/\xc3\xa4"});
}

TEST_CASE("metadata is changed in one batch, without a row being touched") {
  Fixture fixture(10);
  const auto rows_before = storage::testing::row_ids_of(
      fixture.store(), storage::testing::collection_of(fixture.store()));
  const auto changed = change_metadata({{.key = "k00001", .set = {{"lang", "de"}}},
                                        {.key = "k00002", .set = {{"lang", "en"}}, .unset = {"n"}},
                                        {.key = "k00003", .set = {{"lang", "fr"}}, .replace = true},
                                        {.key = "k00001", .set = {{"n", 77}}},
                                        {.key = "unknown", .set = {{"lang", "xx"}}}},
                                       fixture.commit());
  REQUIRE_MESSAGE(changed.ok(), changed.status().to_string());
  CHECK(changed.value() == 3);
  CHECK(fixture.commits() == 1);
  CHECK(fixture.keys("lang exists") == Keys{"k00001", "k00002", "k00003"});
  CHECK(fixture.keys("lang == 'de' and n == 77 and odd == true") == Keys{"k00001"});
  CHECK(fixture.keys("n == null") == Keys{"k00002", "k00003"});
  CHECK(fixture.keys("odd == null") == Keys{"k00003"});
  CHECK(storage::testing::row_ids_of(
            fixture.store(), storage::testing::collection_of(fixture.store())) == rows_before);
  storage::testing::check_verifies(fixture.store());
  const auto refused =
      change_metadata({{.key = "k00001", .set = {{"x", std::numeric_limits<double>::infinity()}}}},
                      fixture.commit());
  CHECK(refused.status().code() == StatusCode::kInvalidArgument);
  CHECK(fixture.keys("x exists").empty());
}

TEST_CASE("removing by filter takes all that match, in batches") {
  Fixture fixture(12'000);
  const auto removed = remove_matching(Filter::field("n") >= 500, fixture.commit());
  REQUIRE_MESSAGE(removed.ok(), removed.status().to_string());
  CHECK(removed.value() == 11'500);
  CHECK(fixture.commits() == 2);
  CHECK(fixture.count("") == 500);
  CHECK(fixture.count("n >= 500") == 0);
  std::stop_source stop;
  stop.request_stop();
  CHECK(remove_matching(Filter(), fixture.commit(), stop.get_token()).status().code() ==
        StatusCode::kCancelled);
  CHECK(fixture.count("") == 500);
  storage::testing::check_verifies(fixture.store());
}

TEST_CASE("removing by filter passes a failed commit on, and keeps what it removed before") {
  Fixture fixture(12'000);
  int calls = 0;
  const CommitFunction commit = fixture.commit();
  const auto removed =
      remove_matching(Filter(), [&](const BatchMaker& make) -> Result<storage::Commit> {
        if (++calls == 2) return Status(StatusCode::kNoSpace, "full");
        return commit(make);
      });
  CHECK(removed.status().code() == StatusCode::kNoSpace);
  CHECK(fixture.count("") == 12'000 - kRemovalsAtOnce);
}

TEST_CASE("what has expired is hidden at once, and gone after the sweep") {
  Fixture fixture(6);
  REQUIRE(change_metadata({{.key = "k00000", .set = {{kExpiresAtField, 100}}},
                           {.key = "k00001", .set = {{kExpiresAtField, 200}}}},
                          fixture.commit())
              .ok());
  CHECK(fixture.count("", 99) == 6);
  CHECK(fixture.count("", 100) == 5);
  CHECK(fixture.count("n == 0", 100) == 0);
  fixture.refresh();
  // What is hidden cannot be changed back to life.
  CHECK(change_metadata({{.key = "k00000", .set = {{"n", 9}}}}, fixture.commit(150)).value() == 0);
  CHECK(sweep_expired(fixture.commit(150)).value() == 1);
  fixture.refresh();
  CHECK(sweep_expired(fixture.commit(150)).value() == 0);
  CHECK(fixture.count("", 0) == 5);
  fixture.refresh();
  CHECK(sweep_expired(fixture.commit(1e12)).value() == 1);
  CHECK(fixture.count("", 0) == 4);
  CHECK(check_expiry({{kExpiresAtField, "tomorrow"}}, "document 'a'").code() ==
        StatusCode::kInvalidArgument);
  CHECK(check_metadata({{kExpiresAtField, MetadataValue::List{1}}}, "document 'a'").code() ==
        StatusCode::kInvalidArgument);
  CHECK(check_metadata({{kExpiresAtField, 1.5}}, "document 'a'").ok());
}

}  // namespace nestor::query
