// What the store's tests share: stores and documents made in a line, child processes that are this
// test program again, files that are damaged on purpose. Threads: free functions, one test at a
// time.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/document_store.h"
#include "tests/support/test_paths.h"

namespace nestor::storage::testing {

using nestor::testing::TempFolder;

inline constexpr int kWidth = 4;

inline std::unique_ptr<DocumentStore> must_open(const std::string& path,
                                                const StoreOptions& options = {}) {
  auto opened = DocumentStore::open(path, options);
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

inline Status open_status(const std::string& path, const StoreOptions& options = {}) {
  return DocumentStore::open(path, options).status();
}

// A document of `row_count` passages whose vectors follow from the salt.
inline DocumentWrite make_write(const std::string& key, const std::string& text, int row_count = 1,
                                float salt = 1) {
  DocumentWrite write;
  write.document.key = key;
  write.document.title = "title of " + key;
  write.document.text = text;
  write.document.metadata = {{"year", 2024}, {"tags", {"a", "b"}}, {"ok", true}, {"x", -0.0}};
  write.split_tokens = 256;
  for (int i = 0; i < row_count; ++i) {
    Row row;
    row.passage.bytes = {0, static_cast<std::int64_t>(text.size())};
    row.passage.lines = {1, 1 + i};
    row.passage.heading_path = "A > B";
    row.passage.token_count = 7 + i;
    row.passage.truncated = i == 1;
    row.passage.content = hash128(text);
    const auto position = static_cast<float>(i);
    row.vector = {salt, position, salt * position, -1};
    write.rows.push_back(row);
  }
  return write;
}

inline Batch make_batch(std::vector<DocumentWrite> writes, std::vector<std::string> removals = {},
                        const std::string& collection = "default") {
  return {.collection = collection,
          .width = kWidth,
          .space = std::string(64, 'a'),
          .model = "test-model",
          .writes = std::move(writes),
          .removals = std::move(removals)};
}

inline Commit must_commit(DocumentStore& store, const Batch& batch) {
  auto committed = store.commit(batch);
  REQUIRE_MESSAGE(committed.ok(), committed.status().to_string());
  return std::move(committed).value();
}

inline Collection collection_of(const DocumentStore& store, const std::string& name = "default") {
  auto found = store.find_collection(*store.view(), name);
  REQUIRE_MESSAGE(found.ok(), found.status().to_string());
  REQUIRE(found.value().has_value());
  return *found.value();
}

// Key -> text of everything in the collection.
inline std::map<std::string, std::string> texts_of(const DocumentStore& store,
                                                   const std::string& name = "default") {
  const auto view = store.view();
  const Collection collection = collection_of(store, name);
  auto keys = store.list_keys(*view, collection.id, "", 1'000'000);
  REQUIRE_MESSAGE(keys.ok(), keys.status().to_string());
  std::map<std::string, std::string> texts;
  for (const std::string& key : keys.value()) {
    auto document = store.find_document(*view, collection.id, key);
    REQUIRE_MESSAGE(document.ok(), document.status().to_string());
    REQUIRE(document.value().has_value());
    texts[key] = document.value()->document.text;
  }
  return texts;
}

inline std::vector<std::uint64_t> row_ids_of(const DocumentStore& store,
                                             const Collection& collection) {
  std::vector<std::uint64_t> ids;
  const Status status = store.scan_rows(*store.view(), collection, 0, [&](const Row& row) {
    ids.push_back(row.id);
    return true;
  });
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  return ids;
}

inline void check_verifies(const DocumentStore& store) {
  auto report = store.verify({});
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  for (const std::string& problem : report.value().problems) FAIL_CHECK(problem);
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// From NESTOR_TEST_SEED, or a fresh one; printed, so that a failure can be had again.
inline std::uint64_t test_seed(const char* what) {
  const char* given = std::getenv("NESTOR_TEST_SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("%s: NESTOR_TEST_SEED=%llu\n", what, static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return seed;
}

inline std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  REQUIRE(in.good());
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << bytes;
  out.close();
  REQUIRE(out.good());
}

// Names (relative) -> bytes of everything below a folder.
inline std::map<std::string, std::string> folder_bytes(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = std::filesystem::relative(entry.path(), folder).string();
    files[name] = entry.is_regular_file() ? read_bytes(entry.path().string()) : std::string();
  }
  return files;
}

inline std::vector<std::string> files_with(const std::string& folder, const std::string& part) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (contains(entry.path().filename().string(), part)) paths.push_back(entry.path().string());
  }
  return paths;
}

// This test program again, running one test case that is skipped otherwise; what it writes to the
// descriptor in NESTOR_TEST_PIPE is read here. A fork alone would not do: RocksDB's threads stay
// behind.
class ChildProcess {
 public:
  ChildProcess(const std::string& test_case, const std::string& database) {
    int ends[2] = {-1, -1};
    REQUIRE(::pipe(ends) == 0);
    REQUIRE(::fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0);
    ::setenv("NESTOR_TEST_PIPE", std::to_string(ends[1]).c_str(), 1);
    ::setenv("NESTOR_TEST_DATABASE", database.c_str(), 1);
    std::string filter = "--test-case=" + test_case;
    std::string no_skip = "--no-skip";
    std::string quiet = "--minimal";
    std::string program = "/proc/self/exe";
    char* arguments[] = {program.data(), filter.data(), no_skip.data(), quiet.data(), nullptr};
    REQUIRE(::posix_spawn(&pid_, program.c_str(), nullptr, nullptr, arguments, environ) == 0);
    ::close(ends[1]);
    reading_end_ = ends[0];
  }
  ~ChildProcess() {
    kill_now();
    ::close(reading_end_);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // One line without its end; empty at the end of what there is.
  std::string read_line() {
    std::string line;
    char c = 0;
    while (::read(reading_end_, &c, 1) == 1 && c != '\n') line.push_back(c);
    return line;
  }
  void kill_now() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  int reading_end_ = -1;
};

// In the child: where to work and where to answer.
inline std::string child_database() {
  const char* path = std::getenv("NESTOR_TEST_DATABASE");
  REQUIRE(path != nullptr);
  return path;
}

inline void child_says(const std::string& line) {
  const char* pipe = std::getenv("NESTOR_TEST_PIPE");
  REQUIRE(pipe != nullptr);
  const std::string bytes = line + "\n";
  REQUIRE(::write(std::atoi(pipe), bytes.data(), bytes.size()) ==
          static_cast<ssize_t>(bytes.size()));
}

}  // namespace nestor::storage::testing
