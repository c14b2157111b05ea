#include "storage/store_opening.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/manifest.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::ChildProcess;
using testing::contains;
using testing::folder_bytes;
using testing::make_batch;
using testing::make_write;
using testing::must_commit;
using testing::must_open;
using testing::open_status;
using testing::TempFolder;
using testing::texts_of;

namespace {

const StoreOptions kReadOnly{.read_only = true};
const StoreOptions kNoCreate{.create_if_missing = false};

void make_store(const std::string& path, int documents = 3) {
  auto store = must_open(path);
  REQUIRE(store->create_collection("default", 0, false).ok());
  for (int i = 0; i < documents; ++i) {
    must_commit(*store, make_batch({make_write("key" + std::to_string(i), "text")}));
  }
}

}  // namespace

TEST_CASE("child: holds a database until killed" * doctest::skip()) {
  auto store = must_open(testing::child_database());
  testing::child_says("open");
  for (;;) ::pause();
}

TEST_CASE("child: commits until killed" * doctest::skip()) {
  auto store = must_open(testing::child_database());
  if (store->collections(*store->view()).value().empty()) {
    REQUIRE(store->create_collection("default", 0, false).ok());
  }
  const auto begin = texts_of(*store).size();
  for (std::size_t i = begin;; ++i) {
    const std::string key = "key" + std::to_string(i);
    must_commit(*store, make_batch({make_write(key, "text of " + key, 3)}));
    testing::child_says(key);
  }
}

TEST_CASE("a missing database is not found, and nothing is made") {
  const TempFolder folder;
  CHECK(open_status(folder / "db", kReadOnly).code() == StatusCode::kNotFound);
  CHECK(open_status(folder / "db", kNoCreate).code() == StatusCode::kNotFound);
  CHECK(open_status(folder.path(), kReadOnly).code() == StatusCode::kNotFound);
  CHECK(open_status(folder.path(), kNoCreate).code() == StatusCode::kNotFound);
  CHECK(folder_bytes(folder.path()).empty());
  CHECK(open_status("").code() == StatusCode::kInvalidArgument);
}

TEST_CASE("an empty folder becomes a database, nested folders are made") {
  const TempFolder folder;
  make_store(folder.path());
  CHECK(texts_of(*must_open(folder.path(), kNoCreate)).size() == 3);
  const TempFolder other;
  make_store(other / "a/b/c");
  CHECK(texts_of(*must_open(other / "a/b/c", kReadOnly)).size() == 3);
}

TEST_CASE("a file, and a folder with other things in it, are refused and left as they are") {
  const TempFolder folder;
  testing::write_bytes(folder / "thesis.txt", "years of work");
  const auto before = folder_bytes(folder.path());
  Status status = open_status(folder.path());
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(contains(status.message(), "thesis.txt"));
  CHECK(folder_bytes(folder.path()) == before);
  status = open_status(folder / "thesis.txt");
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(folder_bytes(folder.path()) == before);
}

TEST_CASE("a process that died while it made the database is no obstacle") {
  const TempFolder folder;
  testing::write_bytes(folder / "LOCK", "");
  REQUIRE(write_manifest(folder.path(), new_manifest()).ok());
  const std::string manifest_bytes = testing::read_bytes(folder / "NESTOR");
  std::filesystem::remove(folder / "NESTOR");
  testing::write_bytes(folder / "NESTOR.77-0.tmp", manifest_bytes.substr(0, 20));
  testing::write_bytes(folder / "NESTOR.77-1.tmp", manifest_bytes.substr(0, 5));
  testing::write_bytes(folder / "NESTOR.77-2.tmp", "");
  make_store(folder.path());
  // Begun and not complete: at every later step of making.
  for (const bool with_rocksdb : {false, true}) {
    const TempFolder begun;
    if (with_rocksdb) must_open(begun.path());
    Manifest manifest = new_manifest();
    if (with_rocksdb) manifest = *read_manifest(begun.path()).value();
    manifest.complete = false;
    REQUIRE(write_manifest(begun.path(), manifest).ok());
    std::filesystem::remove(begun / "WATERMARK");
    CHECK(open_status(begun.path(), kReadOnly).code() == StatusCode::kNotFound);
    auto store = must_open(begun.path());
    CHECK(read_manifest(begun.path()).value()->complete);
  }
}

TEST_CASE("a second opener of the same process is told so") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  const Status status = open_status(folder / "db");
  CHECK(status.code() == StatusCode::kLocked);
  CHECK(contains(status.message(), "this process (pid " + std::to_string(::getpid()) + ")"));
  // The refusal has not let go of the first one's lock.
  CHECK(open_status(folder / "db").code() == StatusCode::kLocked);
  store.reset();
  CHECK(open_status(folder / "db").ok());
}

TEST_CASE("a second process is told the holder's pid, and kill -9 leaves no stale lock") {
  const TempFolder folder;
  ChildProcess child("child: holds a database until killed", folder / "db");
  REQUIRE(child.read_line() == "open");
  const Status status = open_status(folder / "db");
  CHECK(status.code() == StatusCode::kLocked);
  CHECK(contains(status.message(), "pid " + std::to_string(child.pid())));
  CHECK(open_status(folder / "db", kReadOnly).ok());
  child.kill_now();
  CHECK(open_status(folder / "db").ok());
}

TEST_CASE("opening read-only and reading everything writes nothing in the folder") {
  const TempFolder folder;
  make_store(folder / "db");
  std::filesystem::remove_all(folder / "db/cache");
  const auto before = folder_bytes(folder / "db");
  {
    auto store = must_open(folder / "db", kReadOnly);
    CHECK(store->read_only());
    CHECK(texts_of(*store).size() == 3);
    testing::check_verifies(*store);
    CHECK(store->commit(make_batch({make_write("b", "text")})).status().code() ==
          StatusCode::kFailedPrecondition);
    CHECK(store->create_collection("new", 0, false).status().code() ==
          StatusCode::kFailedPrecondition);
    CHECK(store->set_attribute("default", "a", "b").code() == StatusCode::kFailedPrecondition);
  }
  CHECK(folder_bytes(folder / "db") == before);
}

TEST_CASE("a reader beside a busy writer sees one committed state without holes, every time") {
  const TempFolder folder;
  ChildProcess child("child: commits until killed", folder / "db");
  REQUIRE(child.read_line() == "key0");
  std::size_t acknowledged = 1;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 10; ++i) acknowledged += child.read_line().empty() ? 0 : 1;
    auto store = must_open(folder / "db", kReadOnly);
    const auto texts = texts_of(*store);
    CHECK(texts.size() >= acknowledged);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      CHECK(texts.count("key" + std::to_string(i)) == 1);
    }
    testing::check_verifies(*store);
  }
}

TEST_CASE("every acknowledged batch outlives kill -9, and the store opens each time") {
  const TempFolder folder;
  std::mt19937_64 random(testing::test_seed("kill -9"));
  std::size_t acknowledged = 0;
  for (int cycle = 0; cycle < 30; ++cycle) {
    ChildProcess child("child: commits until killed", folder / "db");
    const auto until = random() % 12;
    for (std::uint64_t i = 0; i < until; ++i) {
      const std::string key = child.read_line();
      if (key.empty()) break;
      acknowledged = std::stoul(key.substr(3)) + 1;
    }
    ::usleep(static_cast<useconds_t>(random() % 12'000));
    child.kill_now();
    for (std::string key = child.read_line(); !key.empty(); key = child.read_line()) {
      acknowledged = std::stoul(key.substr(3)) + 1;
    }
    // A child killed while it made the database leaves none, and has acknowledged nothing.
    if (acknowledged == 0) continue;
    auto store = must_open(folder / "db");
    const auto texts = texts_of(*store);
    REQUIRE(texts.size() >= acknowledged);
    REQUIRE(texts.size() <= acknowledged + 1);  // the one between log and acknowledgement
    for (std::size_t i = 0; i < texts.size(); ++i) {
      REQUIRE(texts.count("key" + std::to_string(i)) == 1);
    }
    testing::check_verifies(*store);
    acknowledged = texts.size();
  }
}

TEST_CASE("after a fork the child is refused everything, and its end does the parent no harm") {
  const TempFolder folder;
  make_store(folder / "db");
  auto store = must_open(folder / "db");
  auto view = store->view();
  const Collection collection = testing::collection_of(*store);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    bool right = store->commit(make_batch({make_write("b", "x")})).status().code() ==
                 StatusCode::kFailedPrecondition;
    right = right && store->find_document(*view, collection.id, "key0").status().code() ==
                         StatusCode::kFailedPrecondition;
    right = right && store->verify({}).status().code() == StatusCode::kFailedPrecondition;
    right = right && open_status(folder / "db").code() == StatusCode::kLocked;
    view.reset();
    store.reset();
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  must_commit(*store, make_batch({make_write("after", "the fork")}));
  CHECK(texts_of(*store).size() == 4);
  CHECK(open_status(folder / "db").code() == StatusCode::kLocked);
}

}  // namespace nestor::storage
