#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

TEST_CASE("readers beside a writer each see one whole batch, never a mixture") {
  const testing::TempFolder folder;
  auto store = testing::must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  const auto batch = [](int number) {
    std::vector<DocumentWrite> writes;
    for (int i = 0; i < 8; ++i) {
      writes.push_back(testing::make_write("key" + std::to_string(i), std::to_string(number), 2,
                                           static_cast<float>(number)));
    }
    return testing::make_batch(std::move(writes));
  };
  testing::must_commit(*store, batch(0));
  std::atomic<bool> done = false;
  std::atomic<int> mixtures = 0;
  std::atomic<int> failures = 0;
  const auto read = [&] {
    while (!done) {
      const auto view = store->view();
      const auto collection = store->find_collection(*view, "default");
      if (!collection.ok() || !collection.value()) {
        ++failures;
        continue;
      }
      std::vector<std::uint64_t> ids;
      std::string text;
      for (int i = 0; i < 8; ++i) {
        const auto found = store->find_document(*view, 1, "key" + std::to_string(i));
        if (!found.ok() || !found.value()) {
          ++failures;
          continue;
        }
        if (i == 0) text = found.value()->document.text;
        if (found.value()->document.text != text) ++mixtures;
        ids.push_back(found.value()->first_row_id);
      }
      std::vector<float> vectors(ids.size());
      if (!store->read_vectors(*view, *collection.value(), ids, 1, vectors.data()).ok()) ++failures;
      for (const float first : vectors) {
        if (std::to_string(static_cast<int>(first)) != text) ++mixtures;
      }
    }
  };
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) readers.emplace_back(read);
  for (int number = 1; number <= 60; ++number) testing::must_commit(*store, batch(number));
  done = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(mixtures == 0);
  CHECK(failures == 0);
  testing::check_verifies(*store);
}

}  // namespace nestor::storage
