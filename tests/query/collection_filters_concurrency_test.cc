// One cache, many searches and a writer: every answer is that of the view it was asked of.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "query/filter_plan.h"
#include "tests/query/filters_by_state.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::query {

TEST_CASE("searches share the cache with a writer, and each sees its own committed state") {
  const storage::testing::TempFolder folder;
  const auto store = storage::testing::must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  testing::FiltersByState cache(20'000);
  std::atomic<bool> stop = false;
  std::atomic<std::int64_t> wrong = 0;
  std::atomic<std::int64_t> answers = 0;
  const auto search = [&](int salt) {
    for (int i = salt; !stop; ++i) {
      const auto view = store->view();
      const auto collection = store->find_collection(*view, "default");
      if (!collection.ok() || !collection.value()) {
        ++wrong;
        continue;
      }
      // Every batch adds one document of each of the two kinds.
      const Filter filter = i % 3 == 0   ? Filter::field("even") == true
                            : i % 3 == 1 ? Filter::field("even") != true
                                         : Filter::field("n") >= i % 7;
      const auto found = find_matching_rows(*store, *view, *collection.value(), filter, 0,
                                            *cache.of(*collection.value()));
      // The rows of a filter and the first rows of documents come from one reading.
      const bool right =
          found.ok() &&
          (i % 3 == 2 || (2 * found.value().row_count == collection.value()->passages &&
                          count_matching_documents(found.value()) == found.value().row_count));
      if (!right) ++wrong;
      ++answers;
    }
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(search, i);
  for (int i = 0; i < 40; ++i) {
    storage::Batch batch = storage::testing::make_batch(
        {storage::testing::make_write("a" + std::to_string(i), "text"),
         storage::testing::make_write("b" + std::to_string(i), "text")});
    batch.writes[0].document.metadata = {{"even", true}, {"n", i}};
    batch.writes[1].document.metadata = {{"even", false}, {"n", i}};
    storage::testing::must_commit(*store, batch);
    while (answers < i) std::this_thread::yield();
  }
  stop = true;
  threads.clear();
  CHECK(wrong == 0);
  CHECK(answers >= 39);
  CHECK(cache.usage().bytes <= 20'000);
}

}  // namespace nestor::query
