// A disk that is full: writes are refused with the reason before RocksDB meets it, reads go on, and
// the same handle writes again once there is room.
#include <doctest/doctest.h>
#include <sys/mount.h>

#include <cstdio>
#include <fstream>
#include <mutex>

#include "storage/free_space.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::contains;
using testing::make_batch;
using testing::make_write;
using testing::must_commit;
using testing::must_open;
using testing::TempFolder;
using testing::texts_of;

namespace {

// A file system of its own, where this process may make one.
class SmallDisk {
 public:
  SmallDisk(const std::string& path, int mebibytes) : path_(path) {
    std::filesystem::create_directories(path);
    const std::string size = "size=" + std::to_string(mebibytes) + "m";
    mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, size.c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  [[nodiscard]] bool mounted() const { return mounted_; }

 private:
  std::string path_;
  bool mounted_ = false;
};

// With no other change beside it.
Status compact(DocumentStore& store) {
  std::mutex writing;
  return store.compact(writing);
}

}  // namespace

TEST_CASE(
    "on a nearly full disk writes are refused with both numbers, reads go on, room cures it") {
  const TempFolder folder;
  const SmallDisk disk(folder / "disk", 160);  // RocksDB reserves 35 MB for each log
  if (!disk.mounted()) {
    std::printf("left out: this process may not mount a tmpfs\n");
    return;
  }
  const std::string path = folder / "disk/db";
  auto store = must_open(path);
  REQUIRE(store->create_collection("default", 0, false).ok());
  must_commit(*store, make_batch({make_write("a", "x")}));
  {
    std::ofstream ballast(folder / "disk/ballast", std::ios::binary);
    const std::int64_t free = free_bytes_of_file_system(folder / "disk");
    ballast << std::string(static_cast<std::size_t>(free - kReserveBytes / 2), 'x');
  }
  const Status refused = store->commit(make_batch({make_write("b", "y")})).status();
  CHECK(refused.code() == StatusCode::kNoSpace);
  CHECK(contains(refused.message(), "bytes are free"));
  CHECK(contains(refused.message(), "are needed"));
  CHECK(contains(refused.message(), "make room"));
  CHECK(compact(*store).code() == StatusCode::kNoSpace);
  CHECK(texts_of(*store).size() == 1);
  CHECK(testing::open_status(path).code() == StatusCode::kLocked);
  StoreOptions reading;
  reading.read_only = true;
  CHECK(texts_of(*must_open(path, reading)).size() == 1);
  std::filesystem::remove(folder / "disk/ballast");
  must_commit(*store, make_batch({make_write("b", "y")}));
  CHECK(compact(*store).ok());
  testing::check_verifies(*store);
  CHECK(texts_of(*store).size() == 2);
}

TEST_CASE("a compaction that meets a full disk loses nothing, and the store opens again") {
  const TempFolder folder;
  const SmallDisk disk(folder / "disk", 24);
  if (!disk.mounted()) {
    std::printf("left out: this process may not mount a tmpfs\n");
    return;
  }
  // The reserve is held to be there, as if somebody else had taken it since the check.
  StoreOptions options;
  options.free_bytes = [](const std::string&) { return std::int64_t{1} << 40; };
  const std::string path = folder / "disk/db";
  auto store = must_open(path, options);
  REQUIRE(store->create_collection("default", 0, false).ok());
  std::mt19937_64 random(testing::test_seed("full disk"));
  for (int i = 0; i < 6; ++i) {
    std::string text(1 << 20, '\0');  // that does not shrink
    for (char& c : text) c = static_cast<char>('!' + random() % 90);
    must_commit(*store, make_batch({make_write("k" + std::to_string(i), text)}));
  }
  const auto texts = texts_of(*store);
  const std::int64_t free = free_bytes_of_file_system(folder / "disk");
  {
    std::ofstream ballast(folder / "disk/ballast", std::ios::binary);
    ballast << std::string(static_cast<std::size_t>(free - (std::int64_t{2} << 20)), 'x');
  }
  const Status failed = compact(*store);
  CHECK_FALSE(failed.ok());
  CHECK(texts_of(*store) == texts);
  std::filesystem::remove(folder / "disk/ballast");
  const Status write = store->commit(make_batch({make_write("later", "z")})).status();
  if (!write.ok()) CHECK(contains(write.message(), "open it again"));
  store.reset();
  store = must_open(path, options);
  auto kept = texts_of(*store);
  kept.erase("later");
  CHECK(kept == texts);
  must_commit(*store, make_batch({make_write("after", "z")}));
  CHECK(compact(*store).ok());
  testing::check_verifies(*store);
}

}  // namespace nestor::storage
