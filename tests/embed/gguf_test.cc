#include "embed/gguf.h"

#include <doctest/doctest.h>

#include "tests/embed/gguf_writer.h"
#include "tests/support/cpu_time.h"

namespace nestor::embed {
namespace {

using testing::GgufTypes;
using testing::GgufWriter;

constexpr std::uint32_t kF32 = 0;
constexpr std::uint32_t kQ8_0 = 8;

Result<GgufHeader> read_in(const testing::TempFolder& folder, const std::string& bytes) {
  testing::write_bytes(folder / "x.gguf", bytes);
  const auto file = RandomAccessFile::open(folder / "x.gguf");
  REQUIRE(file.ok());
  return read_gguf_header(file.value());
}

Result<GgufHeader> read(const std::string& bytes) { return read_in(testing::TempFolder(), bytes); }

// Refused with this code and a message that names the file and holds `part`.
void check_refused(const std::string& bytes, const char* part,
                   StatusCode code = StatusCode::kDataLoss) {
  const auto result = read(bytes);
  REQUIRE_FALSE(result.ok());
  CAPTURE(result.status().message());
  CHECK(result.status().code() == code);
  CHECK(result.status().message().find(part) != std::string::npos);
  CHECK(result.status().message().find("x.gguf") != std::string::npos);
}

std::string floats(std::size_t count) { return std::string(4 * count, '\0'); }

GgufWriter small() {
  GgufWriter writer;
  writer.text("general.architecture", "x").u32("a.b", 7).f32("c", 0.5F).flag("d", true);
  writer.strings("words", {"one", "", "three"});
  writer.array("bits", GgufTypes::kBool, 3, std::string("\1\0\1", 3));
  writer.tensor("first", {4, 3}, kF32, floats(12));
  writer.tensor("second", {32, 2}, kQ8_0, std::string(68, '\0'));
  writer.tensor("third", {5}, kF32, floats(5));
  return writer;
}

TEST_CASE("well-formed files give typed metadata, shapes by rows and absolute offsets") {
  for (const std::uint32_t version : {2U, 3U}) {
    GgufWriter writer = small();
    writer.version = version;
    const std::string bytes = writer.file();
    const auto result = read(bytes);
    REQUIRE_MESSAGE(result.ok(), result.status().to_string());
    const GgufHeader& header = result.value();
    CHECK(header.version == version);
    CHECK(*header.text("general.architecture") == "x");
    CHECK(header.text("a.b") == nullptr);
    CHECK(*header.find("a.b") == GgufValue(std::uint64_t{7}));
    CHECK(*header.find("c") == GgufValue(0.5));
    CHECK(*header.find("d") == GgufValue(true));
    CHECK(*header.find("words") == GgufValue(std::vector<std::string>{"one", "", "three"}));
    CHECK(*header.find("bits") == GgufValue(std::vector<std::int64_t>{1, 0, 1}));
    CHECK(header.find("e") == nullptr);
    const std::uint64_t start = (writer.header().size() + 31) / 32 * 32;
    CHECK(header.tensors.at("first").shape == std::vector<std::int64_t>{3, 4});
    CHECK(header.tensors.at("first").offset == start);
    CHECK(header.tensors.at("second").format == NumberFormat::kQ8_0);
    CHECK(header.tensors.at("second").offset == start + 64);
    CHECK(header.tensors.at("second").bytes == 68);
    CHECK(header.tensors.at("third").offset == start + 64 + 96);
  }
}

TEST_CASE("a file cut anywhere is refused, and so is one whose last tensor is cut") {
  const testing::TempFolder folder;
  const std::string bytes = small().file();
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    CAPTURE(cut);
    REQUIRE_FALSE(read_in(folder, bytes.substr(0, cut)).ok());
  }
}

TEST_CASE("any byte of a header may be anything") {
  const GgufWriter writer = small();
  const std::string whole = writer.file();
  const testing::TempFolder folder;
  int refused = 0;
  for (std::size_t i = 0; i < writer.header().size(); ++i) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ flip);
      const auto result = read_in(folder, bytes);
      if (result.ok()) continue;
      ++refused;
      const StatusCode code = result.status().code();
      REQUIRE((code == StatusCode::kDataLoss || code == StatusCode::kUnsupported));
    }
  }
  CHECK(refused > 300);
}

TEST_CASE("other magics, versions and byte orders are refused by name") {
  check_refused("", "the file ends after 0");
  check_refused("GGML" + small().file().substr(4), "magic");
  GgufWriter writer = small();
  for (const std::uint32_t version : {0U, 1U, 4U}) {
    writer.version = version;
    check_refused(writer.file(), "this version reads 2 and 3", StatusCode::kUnsupported);
  }
  writer.version = 3U << 24;
  check_refused(writer.file(), "big-endian", StatusCode::kUnsupported);
}

TEST_CASE("lying counts are refused before memory is asked for") {
  GgufWriter writer = small();
  writer.claimed_tensors = 5000;
  check_refused(writer.file(), "5000 tensors and 6 metadata pairs, at most 4096");
  writer.claimed_tensors = 4;
  check_refused(writer.file(), "");
  writer.claimed_tensors = UINT64_MAX - 1;
  check_refused(writer.file(), "18446744073709551614 tensors");
  writer = small();
  writer.claimed_pairs = 1ULL << 60;
  check_refused(writer.file(), "metadata pairs, at most");
  writer.claimed_pairs = 7;
  check_refused(writer.file(), "");
}

TEST_CASE("lying lengths are refused before memory is asked for") {
  const double start = nestor::testing::thread_seconds();
  for (const std::uint64_t count : {5ULL << 20, 1ULL << 40, 1ULL << 63, ~0ULL}) {
    for (const std::uint32_t type : {0U, 4U, 8U, 12U}) {
      check_refused(GgufWriter().array("a", type, count, "").file(), "an array of ");
    }
  }
  ByteWriter long_string;
  long_string.u64(1ULL << 40);
  check_refused(GgufWriter().array("a", GgufTypes::kString, 1, long_string.bytes()).file(),
                "a string of 1099511627776 bytes");
  check_refused(GgufWriter().text("a", std::string((1 << 20) + 1, 'x')).file(),
                "a string of 1048577 bytes, at most 1048576");
  check_refused(GgufWriter().u32(std::string(257, 'k'), 1).file(), "a key of 257 bytes");
  check_refused(GgufWriter().tensor(std::string(257, 't'), {1}, kF32, floats(1)).file(),
                "a tensor's name of 257 bytes");
  const double taken = nestor::testing::thread_seconds() - start;
  CHECK(taken < 2);
}

TEST_CASE("a header that never ends is refused by its cap") {
  GgufWriter writer;
  const std::string block(1 << 20, 'x');
  for (int i = 0; i < 65; ++i) writer.text("k" + std::to_string(i), block);
  check_refused(writer.file(), "fit there");
  GgufWriter numbers;  // 1,024 names of 256 bytes would fit, 8 million numbers do not
  for (int i = 0; i < 3; ++i) {
    numbers.array("k" + std::to_string(i), 0, 2 << 20, std::string(2 << 20, '\0'));
  }
  check_refused(numbers.file(), "an array of 2097152 elements, at most 0 fit there");
}

TEST_CASE("types that do not exist and arrays of arrays are refused") {
  check_refused(GgufWriter().array("a", 13, 1, "xxxx").file(), "unknown type 13");
  check_refused(GgufWriter().array("a", GgufTypes::kArray, 1, std::string(40, '\0')).file(),
                "array of arrays");
  std::string bytes = GgufWriter().u32("a", 1).file();
  bytes[24 + 9] = 77;  // behind the counts and the key
  check_refused(bytes, "unknown type 77");
}

TEST_CASE("keys and tensors named twice are refused") {
  check_refused(GgufWriter().u32("a", 1).u32("a", 2).file(), "key 'a' stands there twice");
  check_refused(
      GgufWriter().tensor("t", {1}, kF32, floats(1)).tensor("t", {1}, kF32, floats(1)).file(),
      "tensor 't' stands there twice");
}

TEST_CASE("alignments that are no small power of two are refused") {
  for (const std::uint32_t alignment : {0U, 3U, 33U, 1U << 17, ~0U}) {
    check_refused(GgufWriter().u32("general.alignment", alignment).file(), "general.alignment");
  }
  check_refused(GgufWriter().f32("general.alignment", 32).file(), "general.alignment");
  CHECK(read(GgufWriter().u32("general.alignment", 32).file()).ok());
}

TEST_CASE("shapes that are none, too many or overflow are refused") {
  check_refused(GgufWriter().tensor("t", {}, kF32, "").file(), "0 dimensions");
  check_refused(GgufWriter().tensor("t", {1, 1, 1, 1, 1}, kF32, floats(1)).file(), "5 dimensions");
  check_refused(GgufWriter().tensor("t", {1ULL << 32, 1ULL << 32}, kF32, "").file(), "over 2^63");
  check_refused(GgufWriter().tensor("t", {1ULL << 62}, kF32, "").file(), "over 2^63");
  check_refused(GgufWriter().tensor("t", {1ULL << 63}, kF32, "").file(), "over 2^63");
  check_refused(GgufWriter().tensor("t", {48, 2}, kQ8_0, std::string(102, '\0')).file(),
                "rows of 48 values, Q8_0 stores blocks of 32");
  CHECK(read(GgufWriter().tensor("t", {0, 3}, kF32, "").file()).ok());
}

TEST_CASE("tensors outside the file, misaligned or overlapping are refused") {
  GgufWriter writer = small();
  writer.tensors()[2].offset = 1ULL << 40;
  check_refused(writer.header() + std::string(400, '\0'), "'third' of 20 bytes at 1099511627776");
  writer.tensors()[2].offset = ~0ULL - 31;
  check_refused(writer.header() + std::string(400, '\0'), "'third'");
  writer.tensors()[2].offset = 161;
  check_refused(writer.header() + std::string(400, '\0'), "no multiple of 32");
  writer.tensors()[2].offset = 128;
  check_refused(writer.header() + std::string(400, '\0'), "'third' overlaps tensor 'second'");
  writer.tensors()[2].offset = 64;
  check_refused(writer.header() + std::string(400, '\0'), "overlaps");
}

TEST_CASE("number formats that are not read are refused by name, with those that are") {
  check_refused(GgufWriter().tensor("t", {256}, 12, std::string(144, '\0')).file(), "Q4_K",
                StatusCode::kUnsupported);
  check_refused(GgufWriter().tensor("t", {256}, 12, std::string(144, '\0')).file(),
                "F32, F16, BF16, Q8_0 and Q4_0", StatusCode::kUnsupported);
  check_refused(GgufWriter().tensor("t", {256}, 99, "").file(), "type 99",
                StatusCode::kUnsupported);
}

}  // namespace
}  // namespace nestor::embed
