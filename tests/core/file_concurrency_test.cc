#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "core/file.h"
#include "tests/support/test_paths.h"

namespace nestor {
namespace {

TEST_CASE("side by side, atomic writes of one file all succeed and readers see whole ones") {
  const testing::TempFolder folder;
  const std::string path = folder / "f";
  constexpr int kWriters = 3;
  constexpr int kWritesEach = 20;
  REQUIRE(write_file_atomic(path, std::string(50'000, 'a')).ok());
  std::atomic<int> failed{0};
  std::atomic<int> torn{0};
  std::atomic<bool> stopped{false};
  std::jthread reader([&] {
    while (!stopped) {
      const auto bytes = read_file(path, 1 << 20);
      if (!bytes.ok() || bytes.value() != std::string(50'000, bytes.value().front())) ++torn;
    }
  });
  {
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < kWriters; ++writer) {
      writers.emplace_back([&, writer] {
        const std::string bytes(50'000, static_cast<char>('b' + writer));
        for (int i = 0; i < kWritesEach; ++i) failed += write_file_atomic(path, bytes).ok() ? 0 : 1;
      });
    }
  }
  stopped = true;
  reader.join();
  CHECK(failed == 0);
  CHECK(torn == 0);
  const auto entries = std::filesystem::directory_iterator(folder.path());
  CHECK(std::distance(begin(entries), end(entries)) == 1);
}

TEST_CASE("many threads read one open file at once") {
  const testing::TempFolder folder;
  std::string content;
  for (int i = 0; i < 100'000; ++i) content.push_back(static_cast<char>(i % 251));
  REQUIRE(write_file_atomic(folder / "f", content).ok());
  const auto file = RandomAccessFile::open(folder / "f");
  REQUIRE(file.ok());
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> readers;
    for (std::size_t reader = 0; reader < 4; ++reader) {
      readers.emplace_back([&, reader] {
        std::string out(1000, '\0');
        for (std::size_t offset = reader; offset + 1000 < content.size(); offset += 997) {
          const bool same = file.value().read(offset, out).ok() &&
                            out == std::string_view(content).substr(offset, 1000);
          wrong += same ? 0 : 1;
        }
      });
    }
  }
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace nestor
