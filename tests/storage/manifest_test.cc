#include "storage/manifest.h"

#include <doctest/doctest.h>

#include "core/bytes.h"
#include "core/hash.h"
#include "storage/watermark.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::contains;
using testing::TempFolder;

TEST_CASE("a manifest comes back equal, and no manifest is no error") {
  const TempFolder folder;
  CHECK_FALSE(read_manifest(folder.path()).value().has_value());
  Manifest manifest = new_manifest();
  manifest.complete = true;
  REQUIRE(write_manifest(folder.path(), manifest).ok());
  const auto back = read_manifest(folder.path());
  REQUIRE(back.ok());
  REQUIRE(back.value().has_value());
  CHECK(back.value()->format_version == kFormatVersion);
  CHECK(back.value()->complete);
  CHECK(back.value()->database_id == manifest.database_id);
  CHECK(back.value()->writer == manifest.writer);
  CHECK(back.value()->created_seconds == manifest.created_seconds);
}

TEST_CASE("two databases have two ids") {
  CHECK(new_manifest().database_id != new_manifest().database_id);
}

TEST_CASE("a newer format is refused with both numbers, whatever follows its head") {
  const TempFolder folder;
  ByteWriter out;
  out.raw("NESTORDB");
  out.u32(7);
  out.u64(hash64(out.bytes()));
  out.raw("fields of a time to come");
  testing::write_bytes(folder / kManifestName, out.bytes());
  const Status status = read_manifest(folder.path()).status();
  CHECK(status.code() == StatusCode::kUnsupported);
  CHECK(contains(status.message(), "format 7"));
  CHECK(contains(status.message(), "up to " + std::to_string(kFormatVersion)));
  // And through the front door, before RocksDB is touched.
  CHECK(testing::open_status(folder.path()).code() == StatusCode::kUnsupported);
}

TEST_CASE("every cut and every flipped bit of a manifest is data loss") {
  const TempFolder folder;
  const Manifest manifest = new_manifest();
  REQUIRE(write_manifest(folder.path(), manifest).ok());
  // Without anything of a database beside it, a file of that name may be a text.
  REQUIRE(create_watermark(folder.path(), manifest.database_id).ok());
  const std::string path = folder / kManifestName;
  const std::string bytes = testing::read_bytes(path);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    testing::write_bytes(path, bytes.substr(0, length));
    CHECK(read_manifest(folder.path()).status().code() == StatusCode::kDataLoss);
  }
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    testing::write_bytes(path, flipped);
    CHECK(read_manifest(folder.path()).status().code() == StatusCode::kDataLoss);
  }
  testing::write_bytes(path, bytes + "x");
  CHECK(read_manifest(folder.path()).status().code() == StatusCode::kDataLoss);
  testing::write_bytes(path, std::string(100'000, 'x'));
  CHECK(read_manifest(folder.path()).status().code() == StatusCode::kDataLoss);
}

}  // namespace nestor::storage
