#include "storage/watermark.h"

#include <doctest/doctest.h>

#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::contains;
using testing::TempFolder;

namespace {

constexpr std::uint64_t kId = 0x1234;

void advance_to(const std::string& folder, std::uint64_t sequence) {
  auto writer = WatermarkWriter::open(folder, kId);
  REQUIRE(writer.ok());
  for (std::uint64_t i = 1; i <= sequence; ++i) REQUIRE(writer.value().advance(i).ok());
}

}  // namespace

TEST_CASE("the watermark is the last sequence it was advanced to") {
  const TempFolder folder;
  REQUIRE(create_watermark(folder.path(), kId).ok());
  CHECK(read_watermark(folder.path(), kId).value() == 0);
  advance_to(folder.path(), 1);
  CHECK(read_watermark(folder.path(), kId).value() == 1);
  advance_to(folder.path(), 6);
  CHECK(read_watermark(folder.path(), kId).value() == 6);
  CHECK(testing::read_bytes(folder / kWatermarkName).size() == 8192);
}

TEST_CASE("a torn slot leaves the mark before it, two torn slots are data loss") {
  const TempFolder folder;
  REQUIRE(create_watermark(folder.path(), kId).ok());
  advance_to(folder.path(), 6);
  const std::string path = folder / kWatermarkName;
  std::string bytes = testing::read_bytes(path);
  bytes[9] = static_cast<char>(bytes[9] ^ 1);  // 6 is even: the first slot
  testing::write_bytes(path, bytes);
  CHECK(read_watermark(folder.path(), kId).value() == 5);
  bytes[4096 + 9] = static_cast<char>(bytes[4096 + 9] ^ 1);
  testing::write_bytes(path, bytes);
  CHECK(read_watermark(folder.path(), kId).status().code() == StatusCode::kDataLoss);
}

TEST_CASE("a watermark that is missing, cut or of another database is data loss") {
  const TempFolder folder;
  const auto code = [&] { return read_watermark(folder.path(), kId).status().code(); };
  CHECK(code() == StatusCode::kDataLoss);
  REQUIRE(create_watermark(folder.path(), kId).ok());
  const std::string path = folder / kWatermarkName;
  const std::string bytes = testing::read_bytes(path);
  for (const std::size_t length : {0, 31, 4096, 8191}) {
    testing::write_bytes(path, bytes.substr(0, length));
    CHECK(code() == StatusCode::kDataLoss);
  }
  testing::write_bytes(path, bytes + "x");
  CHECK(code() == StatusCode::kDataLoss);
  testing::write_bytes(path, bytes);
  const Status other = read_watermark(folder.path(), kId + 1).status();
  CHECK(other.code() == StatusCode::kDataLoss);
  CHECK(contains(other.message(), "belongs to database 0000000000001234"));
}

}  // namespace nestor::storage
