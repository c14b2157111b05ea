// What callers' threads do to one another: nobody waits for what he does not need, nothing is torn
// apart, and a handle can always be closed.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <latch>
#include <memory>
#include <thread>

#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

Database open_at(const std::string& path, const OpenOptions& options = {},
                 std::shared_ptr<HashEncoder> encoder = std::make_shared<HashEncoder>()) {
  auto opened = query::open_database(path, options, factory_of(std::move(encoder)));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

std::vector<Document> numbered(int first, int count) {
  std::vector<Document> documents;
  for (int i = first; i < first + count; ++i) {
    documents.push_back({.key = "k" + std::to_string(i),
                         .text = "number n" + std::to_string(i),
                         .metadata = {{"even", i % 2 == 0}}});
  }
  return documents;
}

// A call that must not wait for what another thread holds up on purpose. The limit is a watchdog
// against a test that never ends, not a measurement.
template <typename Call>
auto promptly(const Call& call) {
  auto result = std::async(std::launch::async, call);
  const bool came = result.wait_for(std::chrono::seconds(60)) == std::future_status::ready;
  if (!came) {
    std::fprintf(stderr, "a call waits for another thread that it must not wait for\n");
    std::abort();
  }
  return result.get();
}

// Held shut by a test while it looks at what goes on beside.
class Gate {
 public:
  // To be called by the thread that is to be held.
  void pass() {
    reached_.count_down();
    opened_.wait();
  }
  void wait_until_reached() { reached_.wait(); }
  void open() { opened_.count_down(); }

 private:
  std::latch reached_{1};
  std::latch opened_{1};
};

// A database inside which an add is held until the door opens.
struct HeldAdd {
  HeldAdd() { door.wait_until_reached(); }

  TempFolder folder;
  Gate door;
  std::atomic<bool> holds{false};
  std::shared_ptr<HashEncoder> encoder = [this] {
    auto made = std::make_shared<HashEncoder>();
    made->before_encode = [this] {
      if (holds.exchange(false)) door.pass();
    };
    return made;
  }();
  std::unique_ptr<Database> db = std::make_unique<Database>(open_at(folder / "db", {}, encoder));
  Database& inside = *db;  // for other threads, while `db` is reset
  std::future<Result<AddReport>> added = [this] {
    holds = true;
    return std::async(std::launch::async, [this] { return inside.add(numbered(0, 1)); });
  }();
};

}  // namespace

TEST_CASE("counting beside a writer that adds and removes gives a count of some committed state") {
  TempFolder folder;
  Database db = open_at(folder / "db");
  REQUIRE(db.add(numbered(0, 200)).ok());
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::vector<std::jthread> counters;
  for (int i = 0; i < 3; ++i) {
    counters.emplace_back([&, i] {
      while (!done) {
        const auto all = db.count();
        const auto even = db.count(Filter::field("even") == true);
        const auto some = db.count(Filter::field("even") == (i % 2 == 0));
        // Batches add and remove as many even ones as odd ones.
        wrong += !all.ok() || all.value() % 2 != 0 || !even.ok() || !some.ok();
      }
    });
  }
  for (int round = 0; round < 150; ++round) {
    // The lowest and the highest ids come and go, so the range of the ids moves at both ends.
    CHECK(db.add(numbered(200 + 2 * round, 2)).ok());
    CHECK(db.remove({"k" + std::to_string(2 * round), "k" + std::to_string(2 * round + 1)}).ok());
  }
  done = true;
  counters.clear();
  CHECK(wrong == 0);
  CHECK(db.count().value() == 200);
}

TEST_CASE(
    "close ends although threads search all the time, and later calls say that it is closed") {
  for (int round = 0; round < 5; ++round) {
    TempFolder folder;
    Database db = open_at(folder / "db");
    REQUIRE(db.add(numbered(0, 50)).ok());
    std::atomic<int> refused{0};
    std::atomic<int> answered{0};
    std::vector<std::jthread> searchers;
    for (int i = 0; i < 4; ++i) {
      searchers.emplace_back([&] {
        for (;;) {
          const auto found = db.search("number n3", {.k = 3});
          if (found.ok()) {
            ++answered;
            continue;
          }
          refused += found.status().code() == StatusCode::kFailedPrecondition;
          return;
        }
      });
    }
    while (answered < 20) std::this_thread::yield();
    CHECK(promptly([&] { return db.close(); }).ok());
    searchers.clear();
    CHECK(refused == 4);
    CHECK(db.close().code() == StatusCode::kFailedPrecondition);
  }
}

TEST_CASE("a second close and the destructor wait for a close that waits for a call") {
  HeldAdd held;
  auto first = std::async(std::launch::async, [&] { return held.inside.close(); });
  // Closing has begun when no call is let in any more.
  while (held.inside.count().ok()) std::this_thread::yield();
  auto second = std::async(std::launch::async, [&] { return held.inside.close(); });
  CHECK(second.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout);
  held.door.open();
  CHECK(held.added.get().ok());
  CHECK(first.get().ok());
  CHECK(second.get().code() == StatusCode::kFailedPrecondition);
  held.db.reset();
  CHECK(open_at(held.folder / "db").count().value() == 1);
}

TEST_CASE("a destructor waits for the calls that are inside") {
  HeldAdd held;
  auto destroyed = std::async(std::launch::async, [&] { held.db.reset(); });
  CHECK(destroyed.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout);
  held.door.open();
  CHECK(held.added.get().ok());
  destroyed.get();
  CHECK(open_at(held.folder / "db").count().value() == 1);
}

TEST_CASE("a rerank callback may search the same database, whatever the kind of search") {
  TempFolder folder;
  Database db = open_at(folder / "db", {.embedder = {.thread_count = 2}});
  REQUIRE(db.add(numbered(0, 40)).ok());
  std::atomic<int> nested{0};
  SearchOptions options;
  options.rerank = [&](const RerankRequest& request) {
    nested += db.search("number n5", {.k = 1}).ok();
    nested += db.search_batch({"number n6", "number n7"}, {.k = 1}).ok();
    return std::vector<double>(request.candidates.size(), 0.5);
  };
  CHECK(promptly([&] { return db.search("number n1", options); }).ok());
  CHECK(promptly([&] {
          return db.search_batch({"number n1", "number n2", "number n3", "number n4"}, options);
        }).ok());
  std::vector<float> block(3 * 768, 0.0F);
  for (std::size_t i = 0; i < 3; ++i) block[i * 768 + i] = 1;
  CHECK(promptly([&] { return db.search_vectors(block, options); }).ok());
  CHECK(nested == 2 * (1 + 4 + 3));
}

TEST_CASE("a callback that closes the database of its own call is refused") {
  TempFolder folder;
  Database db = open_at(folder / "db", {.embedder = {.thread_count = 2}});
  REQUIRE(db.add(numbered(0, 40)).ok());
  std::atomic<int> refused{0};
  SearchOptions options;
  options.rerank = [&](const RerankRequest& request) {
    refused += db.close().code() == StatusCode::kFailedPrecondition;
    return std::vector<double>(request.candidates.size(), 0.5);
  };
  CHECK(promptly([&] { return db.search("number n1", options); }).ok());
  CHECK(promptly([&] { return db.search_batch({"number n1", "number n2"}, options); }).ok());
  CHECK(refused == 3);
  CHECK(db.count().value() == 40);
}

TEST_CASE("nobody waits for an index that is built but searches of its own collection") {
  TempFolder folder;
  {
    Database db = open_at(folder / "db");
    REQUIRE(db.add(numbered(0, 1100)).ok());
    REQUIRE(db.add(numbered(0, 20), {.collection = "other"}).ok());
    REQUIRE(db.search("number", {.collection = "other"}).ok());
  }
  // A damaged file of codes is told to the log before the index is built anew: the thread that
  // builds it is held there.
  for (const auto& entry : std::filesystem::directory_iterator(folder / "db/cache")) {
    if (entry.path().string().ends_with("-codes.index")) {
      std::filesystem::resize_file(entry.path(), 100);
    }
  }
  Gate door;
  std::atomic<bool> held{true};
  Database db = open_at(folder / "db", {.log = [&](LogLevel, std::string_view text) {
                          if (text.find("rebuilt") != text.npos && held.exchange(false))
                            door.pass();
                        }});
  auto first = std::async(std::launch::async, [&] { return db.search("number n7", {.k = 1}); });
  door.wait_until_reached();
  for (const std::string collection : {"default", "other"}) {
    CAPTURE(collection);
    CHECK(promptly([&] { return db.get("k1", collection); }).ok());
    CHECK(promptly([&] { return db.count({}, collection); }).ok());
    CHECK(promptly([&] {
            return db.add({{.key = "new", .text = "number new"}}, {.collection = collection});
          }).ok());
    CHECK(promptly([&] { return db.remove({"k2"}, {.collection = collection}); }).ok());
  }
  CHECK(promptly([&] { return db.memory_usage(); }).ok());
  CHECK(promptly([&] { return db.stats(); }).ok());
  // The other collection is searched meanwhile; its index file is whole again after its own build.
  const auto other =
      promptly([&] { return db.search("number new", {.k = 1, .collection = "other"}); });
  REQUIRE(other.ok());
  CHECK(other.value().hits.at(0).key == "new");
  door.open();
  REQUIRE(first.get().ok());
  const auto found = db.search("number new", {.k = 1});
  REQUIRE(found.ok());
  CHECK(found.value().hits.at(0).key == "new");
  CHECK(db.verify().value().problems.empty());
}

TEST_CASE("an add that embeds for long holds nobody up, and a callback of it may write") {
  TempFolder folder;
  const auto encoder = std::make_shared<HashEncoder>();
  Database db = open_at(folder / "db", {}, encoder);
  REQUIRE(db.add(numbered(0, 40)).ok());
  Gate door;
  std::atomic<bool> held{true};
  encoder->before_encode = [&] {
    if (held.exchange(false)) door.pass();
  };
  auto slow = std::async(std::launch::async, [&] {
    return db.add({{.key = "slow", .text = "number slow"}, {.key = "k5", .text = "number five"}});
  });
  door.wait_until_reached();
  CHECK(promptly([&] { return db.remove({"k1"}); }).value() == 1);
  CHECK(promptly([&] {
          return db.change_metadata({{.key = "k2", .set = {{"x", 1}}}});
        }).value() == 1);
  CHECK(promptly([&] { return db.remove_matching(Filter::field("even") == true); }).value() == 20);
  CHECK(promptly([&] { return db.set_attribute("default", "a", "b"); }).ok());
  CHECK(promptly([&] { return db.add({{.key = "quick", .text = "number quick"}}); }).ok());
  CHECK(promptly([&] { return db.compact(); }).ok());
  CHECK(db.search("number quick", {.k = 1}).value().hits.at(0).key == "quick");
  door.open();
  const auto report = slow.get();
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK(report.value().documents_added == 1);
  CHECK(report.value().documents_updated == 1);
  CHECK(db.search("number slow", {.k = 1}).value().hits.at(0).key == "slow");
  CHECK(db.count().value() == 40 - 1 - 20 + 1 + 1);
}

TEST_CASE("what an add found unchanged and another thread removes meanwhile is there at its end") {
  TempFolder folder;
  const auto encoder = std::make_shared<HashEncoder>();
  Database db = open_at(folder / "db", {}, encoder);
  REQUIRE(db.add(numbered(0, 10)).ok());
  std::atomic<int> times{0};
  encoder->before_encode = [&] {
    if (times++ > 0) return;
    CHECK(db.remove({"k1", "k3"}).value() == 2);
    CHECK(db.change_metadata({{.key = "k2", .set = {{"even", "changed"}}}}).value() == 1);
  };
  std::vector<Document> documents = numbered(0, 10);
  documents.push_back({.key = "new", .text = "number new"});
  const std::int64_t before = encoder->encoded_count();
  const auto report = db.add(documents);
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK(db.count().value() == 11);
  CHECK(db.get("k1").ok());
  CHECK(db.get("k2").value().metadata == numbered(2, 1)[0].metadata);
  CHECK(report.value().documents_added == 3);
  CHECK(report.value().documents_updated == 1);
  // The new one once, the two that were removed once.
  CHECK(encoder->encoded_count() - before == 3);
  CHECK(db.verify().value().problems.empty());
}

TEST_CASE("a reembed goes on beside a writer that never pauses, and loses none of its documents") {
  TempFolder folder;
  { REQUIRE(open_at(folder / "db").add(numbered(0, 60)).ok()); }
  const auto encoder = std::make_shared<HashEncoder>("another-space");
  Database db = open_at(folder / "db", {}, encoder);
  std::atomic<bool> done{false};
  std::atomic<int> changed{0};
  std::jthread writer([&] {
    for (int i = 0; !done; ++i) {
      const std::string key = "k" + std::to_string(i % 60);
      if (i % 3 == 0) {
        CHECK(db.remove({key}).ok());
      } else {
        CHECK(db.change_metadata({{.key = key, .set = {{"turn", i}}}}).ok());
      }
      ++changed;
    }
  });
  std::jthread searcher([&] {
    while (!done) {
      const Status status = db.search("number n3", {.k = 1}).status();
      CHECK((status.ok() || status.code() == StatusCode::kModelMismatch));
    }
  });
  // An erasure retires the index that the swap retires too.
  std::jthread eraser([&] {
    for (int i = 0; !done; ++i) {
      const std::string key = "k" + std::to_string(i % 60);
      const Status erased = db.remove({key}, {.erase = true}).status();
      CHECK_MESSAGE(erased.ok(), erased.to_string());
    }
  });
  while (changed < 3) std::this_thread::yield();
  // A callback of the reembed that writes to the very collection.
  const auto report = db.reembed({.progress = [&](const Progress&) {
    static_cast<void>(db.change_metadata({{.key = "k59", .set = {{"by", "callback"}}}}));
  }});
  CHECK_MESSAGE(report.ok(), report.status().to_string());
  done = true;
  writer.join();
  eraser.join();
  searcher.join();
  CHECK(report.value().changed);
  CHECK(db.stats().value().collections.at(0).space == "another-space");
  CHECK(db.search("number n3", {.k = 1}).ok());
  CHECK(db.verify().value().problems.empty());
}
