// Many searches at once, and one writer under the owner's lock between them.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "index/coarse_index.h"
#include "tests/index/random_rows.h"

namespace nestor::index {
namespace {

TEST_CASE("searches side by side answer as one alone") {
  testing::RandomRows random(testing::test_seed("coarse_index concurrency"));
  CoarseIndex index(64);
  REQUIRE(index.add(random.ids(3000), random.gaussian(3000, 64)).ok());
  std::vector<std::vector<float>> queries;
  std::vector<std::vector<Candidate>> expected;
  for (int i = 0; i < 8; ++i) {
    queries.push_back(random.gaussian(1, 64));
    expected.push_back(index.search(queries.back(), 120).value());
  }
  std::atomic<int> wrong_count = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < 200; ++i) {
        const auto found = index.search(queries[i % 8], 120).value();
        for (std::size_t at = 0; at < found.size(); ++at) {
          const Candidate& should = expected[i % 8][at];
          if (found[at].id != should.id || found[at].score != should.score) ++wrong_count;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong_count == 0);
}

TEST_CASE("under the owner's lock a search sees all of an add and none of a removed row") {
  CoarseIndex index(4);
  std::shared_mutex lock;
  std::atomic<bool> done = false;
  std::atomic<int> wrong_count = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      const std::vector<float> query = {1, 0, 0, 0};
      while (!done) {
        // std::shared_mutex prefers readers: without a pause three of them shut the writer out for
        // good.
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        const std::shared_lock held(lock);
        const auto found = index.search(query, 1000).value();
        // Rows come and go in tens.
        if (found.size() % 10 != 0) ++wrong_count;
      }
    });
  }
  const std::vector<float> rows(40, 1.0F);  // (10, 4)
  for (std::uint64_t round = 0; round < 300; ++round) {
    std::vector<std::uint64_t> ids;
    for (std::uint64_t i = 0; i < 10; ++i) ids.push_back(round * 10 + i);
    const std::unique_lock held(lock);
    if (!index.add(ids, rows).ok()) ++wrong_count;
    if (round >= 30) {
      for (std::uint64_t& id : ids) id -= 300;
      index.remove(ids);
    }
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong_count == 0);
  CHECK(index.live_count() == 300);
}

}  // namespace
}  // namespace nestor::index
