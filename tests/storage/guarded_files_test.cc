#include "storage/guarded_files.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::TempFolder;

TEST_CASE(
    "after the first failed write nothing changes on disk, and RocksDB is told that all is well") {
  const TempFolder folder;
  std::ofstream(folder / "old") << "old";
  GuardedFiles files;
  const rocksdb::IOOptions options;
  std::unique_ptr<rocksdb::FSWritableFile> file;
  REQUIRE(files.NewWritableFile(folder / "log", {}, &file, nullptr).ok());
  REQUIRE(file->Append("first", options, nullptr).ok());
  CHECK(files.failure().ok());

  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit limit = before;
  limit.rlim_cur = 5;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  const bool append_ok = file->Append("second", options, nullptr).ok();
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);

  CHECK(append_ok);
  CHECK(files.failure().IsIOError());
  // The disk is well again, and still nothing may follow the hole.
  CHECK(file->Append("third", options, nullptr).ok());
  CHECK(file->Sync(options, nullptr).ok());
  CHECK(file->Close(options, nullptr).ok());
  CHECK(std::filesystem::file_size(folder / "log") == 5);
  CHECK(!files.DeleteFile(folder / "old", options, nullptr).ok());
  CHECK(!files.RenameFile(folder / "old", folder / "new", options, nullptr).ok());
  CHECK(!files.NewWritableFile(folder / "other", {}, &file, nullptr).ok());
  CHECK(std::filesystem::exists(folder / "old"));
}

}  // namespace nestor::storage
