// MappedFile and FileReplacement: what is open stays what it was, and says when it is not.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "core/file.h"
#include "tests/support/test_paths.h"

namespace nestor {
namespace {

using testing::TempFolder;

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string bytes_of(const MappedFile& file) { return {file.bytes().begin(), file.bytes().end()}; }

std::ptrdiff_t count_in(const std::string& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

TEST_CASE("a mapping shows the whole file and can be moved") {
  const TempFolder folder;
  write(folder / "a", "first");
  write(folder / "b", std::string(10'000, 'b'));
  auto a = MappedFile::open(folder / "a");
  auto b = MappedFile::open(folder / "b");
  REQUIRE(a.ok());
  REQUIRE(b.ok());
  CHECK(bytes_of(a.value()) == "first");
  CHECK(a.value().path() == folder / "a");
  std::string middle(3000, 'x');
  CHECK(b.value().read(4000, middle).ok());
  CHECK(middle == std::string(3000, 'b'));
  CHECK_FALSE(b.value().read(8000, middle).ok());
  MappedFile moved = std::move(b).value();
  CHECK(bytes_of(moved) == std::string(10'000, 'b'));
  moved = std::move(a).value();
  CHECK(bytes_of(moved) == "first");
  CHECK(moved.unchanged());
}

TEST_CASE("what is no file with bytes is refused and named") {
  const TempFolder folder;
  write(folder / "empty", "");
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const auto code_of = [&](const std::string& path) {
    const auto opened = MappedFile::open(path);
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.status().message().find(path) != std::string::npos);
    return opened.status().code();
  };
  CHECK(code_of(folder / "empty") == StatusCode::kDataLoss);
  CHECK(code_of(folder / "fifo") == StatusCode::kInvalidArgument);
  CHECK(code_of(folder.path()) == StatusCode::kInvalidArgument);
  CHECK(code_of("/dev/zero") == StatusCode::kInvalidArgument);
  CHECK(code_of(folder / "missing") == StatusCode::kNotFound);
}

TEST_CASE("a file rewritten or cut in place is no longer unchanged; a replaced one is") {
  const TempFolder folder;
  const std::string path = folder / "file";
  const auto reopen = [&] {
    write(path, "before");
    // A clock tick apart, so that the times of change differ.
    std::filesystem::last_write_time(
        path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
    auto opened = MappedFile::open(path);
    REQUIRE(opened.ok());
    CHECK(opened.value().unchanged());
    return std::move(opened).value();
  };
  MappedFile rewritten = reopen();
  write(path, "behind");  // the same length
  CHECK_FALSE(rewritten.unchanged());
  const MappedFile cut = reopen();
  REQUIRE(truncate(path.c_str(), 3) == 0);
  CHECK_FALSE(cut.unchanged());
  const MappedFile replaced = reopen();
  REQUIRE(write_file_atomic(path, "behind").ok());
  CHECK(replaced.unchanged());
  CHECK(bytes_of(replaced) == "before");
  CHECK(bytes_of(MappedFile::open(path).value()) == "behind");
}

TEST_CASE("a replacement is the old file until it is committed, then the whole new one") {
  const TempFolder folder;
  const std::string path = folder / "file";
  write(path, "old");
  {
    auto made = FileReplacement::create(path);
    REQUIRE(made.ok());
    FileReplacement file = std::move(made).value();
    // Out of order, as several threads do.
    REQUIRE(file.write(4, "tail").ok());
    REQUIRE(file.write(0, "head").ok());
    CHECK(read_file(path, 100).value() == "old");
    CHECK(read_file(file.temporary(), 100).value() == "headtail");
    CHECK(count_in(folder.path()) == 2);
    REQUIRE(file.commit().ok());
  }
  CHECK(read_file(path, 100).value() == "headtail");
  CHECK(count_in(folder.path()) == 1);
}

TEST_CASE("a replacement that is given up leaves the old file and nothing else") {
  const TempFolder folder;
  write(folder / "file", "old");
  {
    auto made = FileReplacement::create(folder / "file");
    REQUIRE(made.ok());
    REQUIRE(made.value().write(0, "new").ok());
    const FileReplacement moved = std::move(made).value();
    CHECK(count_in(folder.path()) == 2);
  }
  CHECK(read_file(folder / "file", 100).value() == "old");
  CHECK(count_in(folder.path()) == 1);
}

TEST_CASE("two replacements of one path do not meet; the last to commit stays") {
  const TempFolder folder;
  auto first = FileReplacement::create(folder / "file");
  auto second = FileReplacement::create(folder / "file");
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  CHECK(first.value().temporary() != second.value().temporary());
  REQUIRE(first.value().write(0, "first").ok());
  REQUIRE(second.value().write(0, "second").ok());
  REQUIRE(second.value().commit().ok());
  CHECK(read_file(folder / "file", 100).value() == "second");
  REQUIRE(first.value().commit().ok());
  CHECK(read_file(folder / "file", 100).value() == "first");
  CHECK(count_in(folder.path()) == 1);
}

TEST_CASE("a replacement below a folder that is not there is an error that names the path") {
  const TempFolder folder;
  const auto made = FileReplacement::create(folder / "none/file");
  REQUIRE_FALSE(made.ok());
  CHECK(made.status().message().find(folder / "none/file") != std::string::npos);
}

}  // namespace
}  // namespace nestor
