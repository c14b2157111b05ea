#include "core/hash.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

#include "core/file.h"
#include "tests/support/test_paths.h"

namespace nestor {
namespace {

// FIPS 180-2, appendix B.
constexpr const char* kShaOfNothing =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kShaOfAbc =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kShaOfMillionA =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

// The buffer of xxhash's own sanity check.
std::string xxhash_sanity_buffer(std::size_t count) {
  std::string bytes;
  std::uint64_t generator = 2654435761U;
  for (std::size_t i = 0; i < count; ++i) {
    bytes.push_back(static_cast<char>(generator >> 56));
    generator *= 11400714785074694797ULL;
  }
  return bytes;
}

TEST_CASE("SHA-256 gives the published digests") {
  CHECK(sha256_hex("") == kShaOfNothing);
  CHECK(sha256_hex({}) == kShaOfNothing);
  CHECK(sha256_hex("abc") == kShaOfAbc);
  CHECK(sha256_hex(std::string(1'000'000, 'a')) == kShaOfMillionA);
}

TEST_CASE("SHA-256 does not depend on how the bytes are handed over") {
  Sha256 hash;
  hash.update("");
  hash.update("a");
  hash.update("bc");
  CHECK(hash.hex() == kShaOfAbc);
}

TEST_CASE("XXH3 gives the published values at every branch of lengths") {
  CHECK(hash64("") == 0x2D06800538D394C2ULL);
  CHECK(hash64({}) == 0x2D06800538D394C2ULL);
  CHECK(hash64(xxhash_sanity_buffer(1)) == 0xC44BDFF4074EECDBULL);
  CHECK(hash64(xxhash_sanity_buffer(6)) == 0x27B56A84CD2D7325ULL);
  CHECK(hash64(xxhash_sanity_buffer(12)) == 0xA713DAF0DFBB77E7ULL);
  CHECK(hash64(xxhash_sanity_buffer(24)) == 0xA3FE70BF9D3510EBULL);
  CHECK(hash64(xxhash_sanity_buffer(80)) == 0xBCDEFBBB2C47C90AULL);
  CHECK(hash64(xxhash_sanity_buffer(195)) == 0xCD94217EE362EC3AULL);
  CHECK(hash64(xxhash_sanity_buffer(2048)) == 0xDD59E2C3A5F038E0ULL);
  CHECK(hash128("") == Hash128{.low = 0x6001C324468D497FULL, .high = 0x99AA06D3014798D8ULL});
  CHECK(hash128("abc") == Hash128{.low = 0x78AF5F94892F3950ULL, .high = 0x06B05AB6733A6185ULL});
}

TEST_CASE("a file's digest is that of its bytes, across block borders") {
  const testing::TempFolder folder;
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1} << 20, (std::size_t{2} << 20) + 1}) {
    const std::string content = xxhash_sanity_buffer(bytes);
    REQUIRE(write_file_atomic(folder / "f", content).ok());
    std::uint64_t heard = 0;
    const auto hex = sha256_hex_of_file(folder / "f", [&](std::uint64_t count) {
      heard += count;
      return true;
    });
    REQUIRE(hex.ok());
    CHECK(hex.value() == sha256_hex(content));
    CHECK(heard == bytes);
  }
}

TEST_CASE("the digest of a file stops when the listener says so") {
  const testing::TempFolder folder;
  REQUIRE(write_file_atomic(folder / "f", std::string(3 << 20, 'x')).ok());
  int blocks = 0;
  const auto hex = sha256_hex_of_file(folder / "f", [&](std::uint64_t) { return ++blocks < 2; });
  CHECK(hex.status().code() == StatusCode::kCancelled);
  CHECK(blocks == 2);
}

TEST_CASE("the digest of what is no file or not there is refused") {
  const testing::TempFolder folder;
  CHECK(sha256_hex_of_file(folder.path()).status().code() == StatusCode::kInvalidArgument);
  CHECK(sha256_hex_of_file(folder / "none").status().code() == StatusCode::kNotFound);
}

TEST_CASE("hexadecimal digits are lower case, two a byte") {
  CHECK(hex_of(std::string_view("\x00\x0f\xa5\xff", 4)) == "000fa5ff");
  CHECK(hex_of("").empty());
}

}  // namespace
}  // namespace nestor
