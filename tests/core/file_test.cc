#include "core/file.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/text.h"
#include "tests/support/test_paths.h"

namespace nestor {
namespace {

using testing::TempFolder;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  return names;
}

// Sets an environment variable (or removes it) for the length of a scope.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value)
      : name_(name), was_set_(getenv(name) != nullptr), before_(environment(name)) {
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~ScopedVariable() { was_set_ ? setenv(name_, before_.c_str(), 1) : unsetenv(name_); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  bool was_set_;
  std::string before_;
};

TEST_CASE("a FIFO, a device and a folder are refused without waiting") {
  const TempFolder folder;
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  for (const std::string& path :
       {folder / "fifo", std::string("/dev/zero"), std::string("/dev/null"), folder.path()}) {
    const auto opened = RandomAccessFile::open(path);
    CHECK(opened.status().code() == StatusCode::kInvalidArgument);
    CHECK(opened.status().message() == path + " is not a regular file");
    CHECK(read_file(path, 100).status().code() == StatusCode::kInvalidArgument);
    CHECK_FALSE(is_regular_file(path));
  }
}

TEST_CASE("a loop of symbolic links is refused, a link to a file is followed") {
  const TempFolder folder;
  std::filesystem::create_symlink("b", folder / "a");
  std::filesystem::create_symlink("a", folder / "b");
  CHECK(RandomAccessFile::open(folder / "a").status().code() == StatusCode::kIoError);
  CHECK_FALSE(is_regular_file(folder / "a"));
  CHECK_FALSE(is_folder(folder / "a"));

  REQUIRE(write_file_atomic(folder / "file", "content").ok());
  std::filesystem::create_symlink("file", folder / "link");
  CHECK(read_file(folder / "link", 100).value() == "content");
}

TEST_CASE("a file that is not there is named, with the cause") {
  const TempFolder folder;
  const Status status = RandomAccessFile::open(folder / "none").status();
  CHECK(status.code() == StatusCode::kNotFound);
  CHECK(status.message() == "cannot open " + (folder / "none") + ": No such file or directory");
  CHECK(RandomAccessFile::open("").status().code() == StatusCode::kNotFound);
}

TEST_CASE("a file over the cap is refused with both numbers, one at the cap is read") {
  const TempFolder folder;
  REQUIRE(write_file_atomic(folder / "f", "12345").ok());
  CHECK(read_file(folder / "f", 5).value() == "12345");
  const Status status = read_file(folder / "f", 4).status();
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(status.message() == (folder / "f") + " has 5 bytes, at most 4 are read");
}

TEST_CASE("a file cut while it is open is data loss with both lengths, not a signal") {
  const TempFolder folder;
  REQUIRE(write_file_atomic(folder / "f", std::string(10'000, 'x')).ok());
  const auto file = RandomAccessFile::open(folder / "f");
  REQUIRE(file.ok());
  std::filesystem::resize_file(folder / "f", 4000);
  std::string out(10'000, '\0');
  const Status status = file.value().read(0, out);
  CHECK(status.code() == StatusCode::kDataLoss);
  CHECK(status.message() ==
        (folder / "f") + " ends at byte 4000, expected at least 10000: it was cut");
  CHECK(file.value().read(0, std::span(out).first(4000)).ok());
}

TEST_CASE("an offset behind the end, however great, is data loss") {
  const TempFolder folder;
  REQUIRE(write_file_atomic(folder / "f", "0123456789").ok());
  const auto opened = RandomAccessFile::open(folder / "f");
  REQUIRE(opened.ok());
  const RandomAccessFile& file = opened.value();
  std::string out(4, '\0');
  CHECK(file.read(6, out).ok());
  CHECK(out == "6789");
  for (const std::uint64_t offset :
       {std::uint64_t{7}, std::uint64_t{10}, std::uint64_t{1} << 40, std::uint64_t{1} << 63,
        std::uint64_t{std::numeric_limits<std::int64_t>::max()} - 1,
        std::numeric_limits<std::uint64_t>::max() - 1}) {
    CHECK(file.read(offset, out).code() == StatusCode::kDataLoss);
  }
  CHECK(file.read(10, {}).ok());
}

TEST_CASE("an open file knows its size, its time and its path, and can be moved") {
  const TempFolder folder;
  REQUIRE(write_file_atomic(folder / "f", "abc").ok());
  auto opened = RandomAccessFile::open(folder / "f");
  RandomAccessFile file = std::move(opened).value();
  struct stat info {};
  REQUIRE(stat((folder / "f").c_str(), &info) == 0);
  CHECK(file.bytes() == 3);
  CHECK(file.path() == folder / "f");
  CHECK(file.modified_nanoseconds() == info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec);

  REQUIRE(write_file_atomic(folder / "g", "other").ok());
  auto other = RandomAccessFile::open(folder / "g");
  file = std::move(other).value();
  std::string out(5, '\0');
  CHECK(file.read(0, out).ok());
  CHECK(out == "other");
}

TEST_CASE("an atomic write replaces the old bytes and leaves nothing else behind") {
  const TempFolder folder;
  CHECK(write_file_atomic(folder / "f", "old").ok());
  const auto before = RandomAccessFile::open(folder / "f");
  REQUIRE(before.ok());
  CHECK(write_file_atomic(folder / "f", "new and longer").ok());
  CHECK(read_file(folder / "f", 100).value() == "new and longer");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"f"});
  // Whoever had it open still reads the old file.
  std::string out(3, '\0');
  CHECK(before.value().read(0, out).ok());
  CHECK(out == "old");
  CHECK(write_file_atomic(folder / "f", "").ok());
  CHECK(read_file(folder / "f", 100).value().empty());
}

TEST_CASE("a new file gets the mode that the umask asks for") {
  const TempFolder folder;
  const mode_t before = umask(077);
  const Status status = write_file_atomic(folder / "private", "x");
  umask(022);
  CHECK(write_file_atomic(folder / "shared", "x").ok());
  umask(before);
  CHECK(status.ok());
  struct stat info {};
  REQUIRE(stat((folder / "private").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  REQUIRE(stat((folder / "shared").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0644);
}

TEST_CASE("a write that fails midway keeps the old file and removes its own") {
  const TempFolder folder;
  REQUIRE(write_file_atomic(folder / "f", "old").ok());
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  // 4 kB are written, then the rest is refused.
  const rlimit small{.rlim_cur = 4096, .rlim_max = before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const Status status = write_file_atomic(folder / "f", std::string(10'000, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  CHECK(status.code() == StatusCode::kIoError);
  CHECK(status.message().starts_with("cannot write " + (folder / "f")));
  CHECK(read_file(folder / "f", 100).value() == "old");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"f"});
}

TEST_CASE("a write to a folder's name or below a missing folder fails and leaves nothing") {
  const TempFolder folder;
  REQUIRE(make_folders(folder / "taken").ok());
  CHECK_FALSE(write_file_atomic(folder / "taken", "x").ok());
  CHECK(write_file_atomic(folder / "none/f", "x").code() == StatusCode::kNotFound);
  CHECK(names_in(folder.path()) == std::vector<std::string>{"taken"});
}

TEST_CASE("folders are made with their parents, twice is no error, a file in the way is") {
  const TempFolder folder;
  CHECK(make_folders(folder / "a/b/c").ok());
  CHECK(make_folders(folder / "a/b/c").ok());
  CHECK(make_folders(folder / "a/b/d/").ok());
  CHECK(is_folder(folder / "a/b/d"));
  REQUIRE(write_file_atomic(folder / "file", "x").ok());
  for (const std::string& path : {folder / "file", folder / "file/below", std::string()}) {
    const Status status = make_folders(path);
    CHECK(status.code() == StatusCode::kIoError);
    CHECK(status.message().starts_with("cannot make folder " + path + ": "));
  }
  CHECK(sync_folder(folder / "a").ok());
  CHECK(sync_folder(folder / "none").code() == StatusCode::kNotFound);
  CHECK_FALSE(sync_folder(folder / "file").ok());
}

TEST_CASE(
    "file names with ill-formed UTF-8 or escape sequences work and are spelled out in messages") {
  const TempFolder folder;
  const std::string path = folder / "\xff\x1b[2J\n";
  CHECK(make_folders(path).ok());
  CHECK(write_file_atomic(path + "/f", "x").ok());
  CHECK(read_file(path + "/f", 1).value() == "x");
  for (const Status& status :
       {RandomAccessFile::open(path).status(), RandomAccessFile::open(path + "/none").status(),
        read_file(path + "/f", 0).status(), make_folders(path + "/f"),
        write_file_atomic(path, "x")}) {
    CHECK_FALSE(status.ok());
    CHECK(status.message().find("\\xff\\x1b[2J\\x0a") != std::string::npos);
    CHECK_FALSE(find_invalid_utf8(status.message()).has_value());
    CHECK(status.message().find('\x1b') == std::string::npos);
  }
}

TEST_CASE("a full disk, a missing name and the rest keep apart") {
  CHECK(errno_status(ENOSPC, "write", "f").code() == StatusCode::kNoSpace);
  CHECK(errno_status(EDQUOT, "write", "f").code() == StatusCode::kNoSpace);
  CHECK(errno_status(ENOENT, "open", "f").code() == StatusCode::kNotFound);
  CHECK(errno_status(ENOTDIR, "open", "f").code() == StatusCode::kNotFound);
  CHECK(errno_status(EACCES, "open", "f").to_string() ==
        "input/output error: cannot open f: Permission denied");
}

TEST_CASE("data and cache lie where the XDG variables say, else below HOME, else nowhere") {
  const ScopedVariable home("HOME", "/h");
  {
    const ScopedVariable data("XDG_DATA_HOME", "/data");
    const ScopedVariable cache("XDG_CACHE_HOME", "/cache");
    CHECK(data_folder() == "/data/nestor");
    CHECK(cache_folder() == "/cache/nestor");
  }
  // Relative paths are to be ignored.
  const ScopedVariable data("XDG_DATA_HOME", "relative");
  const ScopedVariable cache("XDG_CACHE_HOME", nullptr);
  CHECK(data_folder() == "/h/.local/share/nestor");
  CHECK(cache_folder() == "/h/.cache/nestor");
  const ScopedVariable homeless("HOME", nullptr);
  CHECK(data_folder().empty());
  CHECK(cache_folder().empty());
}

}  // namespace
}  // namespace nestor
