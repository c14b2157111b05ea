// Searches side by side with one another and with a writer.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

TEST_CASE(
    "searches beside a writer see whole batches: acknowledged ones always, removed ones never") {
  TempFolder folder;
  auto opened =
      query::open_database(folder / "db", {}, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE(opened.ok());
  Database db = std::move(opened).value();
  constexpr int kRounds = 60;
  // Round r adds the pair r-left and r-right in one batch and removes the pair of round r - 3.
  std::atomic<int> acknowledged{-1};
  std::atomic<int> removed{-1};
  std::atomic<int> starting_removal{-1};
  std::atomic<bool> done{false};
  std::atomic<int> violations{0};
  std::atomic<int> searches{0};
  const auto search = [&] {
    while (!done) {
      const int must_be_there = acknowledged;
      const int may_be_gone_before = starting_removal;
      const int must_be_gone = removed;
      const auto result = db.search("pair", {.k = 1000});
      if (!result.ok()) {
        ++violations;
        continue;
      }
      const int gone_by_now = std::max<int>(starting_removal, may_be_gone_before);
      std::map<int, int> halves;
      for (const Hit& hit : result.value().hits) {
        const int round = std::stoi(hit.key);
        ++halves[round];
        if (round <= must_be_gone) ++violations;
      }
      for (const auto& [round, count] : halves) violations += count != 2;
      for (int round = gone_by_now + 1; round <= must_be_there; ++round)
        violations += !halves.contains(round);
      ++searches;
    }
  };
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) readers.emplace_back(search);
  for (int round = 0; round < kRounds; ++round) {
    const std::string name = std::to_string(round);
    const auto report = db.add({{.key = name + "-left", .text = "pair left " + name},
                                {.key = name + "-right", .text = "pair right " + name}});
    CHECK(report.ok());
    acknowledged = round;
    if (round < 3) continue;
    const std::string old = std::to_string(round - 3);
    starting_removal = round - 3;
    CHECK(db.remove({old + "-left", old + "-right"}).value() == 2);
    removed = round - 3;
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(violations == 0);
  CHECK(searches > 0);
  CHECK(db.verify().value().problems.empty());
}

TEST_CASE("writers of several threads wait for each other and lose nothing") {
  TempFolder folder;
  auto opened =
      query::open_database(folder / "db", {}, factory_of(std::make_shared<HashEncoder>()));
  Database db = std::move(opened).value();
  std::vector<std::thread> writers;
  std::atomic<int> failures{0};
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 20; ++i) {
        const std::string key = std::to_string(writer) + "/" + std::to_string(i);
        failures += !db.add({{.key = key, .text = "text " + key}}).ok();
        failures += !db.get(key).ok();
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(failures == 0);
  CHECK(db.stats().value().collections[0].documents == 80);
  CHECK(db.search("text", {.k = 100}).value().hits.size() == 80);
}
