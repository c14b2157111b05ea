#include "embed/safetensors.h"

#include <doctest/doctest.h>

#include <cstring>

#include "tests/embed/tiny_model.h"
#include "tests/support/cpu_time.h"

namespace nestor::embed {
namespace {

using testing::TempFolder;

// A file of this header and so many bytes of data.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + std::string(data_bytes, '\0');
}

std::string tensor(const std::string& name, const std::string& shape, const std::string& offsets,
                   const std::string& dtype = "F32") {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
         offsets + "}";
}

Result<TensorTable> read(const std::string& bytes) {
  const TempFolder folder;
  const std::string path = folder / "x.safetensors";
  testing::write_bytes(path, bytes);
  const auto file = RandomAccessFile::open(path);
  REQUIRE(file.ok());
  return read_safetensors_header(file.value());
}

// Refused with this code and a message that holds `part`.
void check_refused(const std::string& bytes, const char* part,
                   StatusCode code = StatusCode::kDataLoss) {
  const auto result = read(bytes);
  REQUIRE_FALSE(result.ok());
  CAPTURE(result.status().message());
  CHECK(result.status().code() == code);
  CHECK(result.status().message().find(part) != std::string::npos);
  CHECK(result.status().message().find("x.safetensors") != std::string::npos);
}

TEST_CASE("well-formed files give shapes and absolute offsets") {
  const std::string header = R"({"__metadata__":{"format":"pt"},)" +
                             tensor("b", "[2,2]", "[8,24]") + "," + tensor("a", "[2]", "[0,8]") +
                             "," + tensor("empty", "[0,7]", "[8,8]") + "," +
                             tensor("scalar", "[]", "[24,28]") + "}";
  const auto result = read(file_of(header, 28));
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  const TensorTable& table = result.value();
  CHECK(table.size() == 4);
  CHECK(table.at("a").offset == 8 + header.size());
  CHECK(table.at("b").shape == std::vector<std::int64_t>{2, 2});
  CHECK(table.at("b").bytes == 16);
  CHECK(table.at("empty").bytes == 0);
  CHECK(shape_text(table.at("b").shape) == "[2, 2]");
  CHECK(shape_text({}) == "[]");
}

TEST_CASE("files too short for a header length are refused (case 1)") {
  check_refused("", "0 bytes");
  check_refused("1234567", "7 bytes");
}

TEST_CASE("absurd header lengths are refused before memory is asked for (case 2)") {
  check_refused(std::string("\0\0\0\0\0\0\0\x80", 8) + "{}", "9223372036854775808");
  check_refused(std::string(8, '\xff') + "{}", "18446744073709551615");
}

TEST_CASE("a header longer than the file is refused with both lengths (case 3)") {
  std::string bytes = file_of("{}", 0);
  bytes[0] = 11;  // the file has 10
  check_refused(bytes, "a header of 11 bytes in a file of 10");
}

TEST_CASE("a header of 100 MiB of spaces is refused by its cap (case 4)") {
  const std::uint64_t length = 100 << 20;
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  check_refused(bytes + "{}", "1048576");
  check_refused(file_of(std::string(1 << 19, ' '), 0), "begin with '{'");
}

TEST_CASE("headers that are no JSON object in UTF-8 are refused (case 5)") {
  check_refused(file_of("[]", 0), "begin with '{'");
  check_refused(file_of(" {}", 0), "begin with '{'");
  check_refused(file_of("{\"a\"", 0), "header is refused");
  check_refused(file_of("{\"\xff\":1}", 0), "header is refused");
  check_refused(file_of("{}x", 0), "header is refused");
}

TEST_CASE("deep nesting is refused by its cap (case 6)") {
  check_refused(file_of("{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}", 0),
                "header is refused");
}

TEST_CASE("100,000 entries are refused in under 100 ms (case 7)") {
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i) header += "\"" + std::to_string(i) + "\":0,";
  header.back() = '}';
  REQUIRE(header.size() < kMostHeaderBytes);
  const double start = nestor::testing::thread_seconds();
  check_refused(file_of(header, 0), "100000 members, at most 4096 tensors");
  const double taken = nestor::testing::thread_seconds() - start;
  CHECK(taken < 0.1);
}

TEST_CASE("more tensors than the cap are refused with both numbers (case 7)") {
  std::string header = "{";
  for (int i = 0; i < kMostTensors + 1; ++i) {
    header += tensor(std::to_string(i), "[0]", "[0,0]") + ",";
  }
  header.back() = '}';
  check_refused(file_of(header, 0), "4097 tensors, at most 4096");
}

TEST_CASE("a tensor named twice is refused (case 8)") {
  check_refused(
      file_of("{" + tensor("a", "[1]", "[0,4]") + "," + tensor("a", "[1]", "[4,8]") + "}", 8),
      "twice");
}

TEST_CASE("overlapping tensors are refused (case 9)") {
  check_refused(
      file_of("{" + tensor("a", "[2]", "[0,8]") + "," + tensor("b", "[2]", "[4,12]") + "}", 12),
      "overlap");
  check_refused(
      file_of("{" + tensor("a", "[2]", "[0,8]") + "," + tensor("b", "[2]", "[0,8]") + "}", 8),
      "overlap");
}

TEST_CASE("gaps and bytes after the last tensor are refused (case 10)") {
  check_refused(
      file_of("{" + tensor("a", "[1]", "[0,4]") + "," + tensor("b", "[1]", "[8,12]") + "}", 12),
      "gap");
  check_refused(file_of("{" + tensor("a", "[1]", "[4,8]") + "}", 8), "gap");
  check_refused(file_of("{" + tensor("a", "[1]", "[0,4]") + "}", 9),
                "5 bytes after the last tensor");
  check_refused(file_of("{}", 1), "1 bytes after");
}

TEST_CASE("ranges that run backwards or past the end are refused (case 11)") {
  check_refused(file_of("{" + tensor("a", "[1]", "[4,0]") + "}", 4), "lies at [4, 0)");
  check_refused(file_of("{" + tensor("a", "[2]", "[0,8]") + "}", 4), "in 4 bytes of data");
  check_refused(
      file_of("{" + tensor("a", "[1]", "[18446744073709551612,18446744073709551615]") + "}", 4),
      "in 4 bytes of data");
}

TEST_CASE("shapes whose size overflows are refused (case 12)") {
  check_refused(file_of("{" + tensor("a", "[4294967296,4294967296]", "[0,4]") + "}", 4),
                "over 2^64 bytes");
  check_refused(file_of("{" + tensor("a", "[4611686018427387904]", "[0,0]") + "}", 0),
                "over 2^64 bytes");
  check_refused(file_of("{" + tensor("a", "[1,1,1,1,1,1,1,1,1]", "[0,4]") + "}", 4),
                "more than 8 dimensions");
}

TEST_CASE("a range that is not the shape's size is refused with both (case 13)") {
  check_refused(file_of("{" + tensor("a", "[2,2]", "[0,12]") + "}", 12),
                "has 12 bytes, its shape [2, 2] needs 16");
}

TEST_CASE("dtypes and dimensions of other kinds are refused by name (case 14)") {
  check_refused(file_of("{" + tensor("a", "[1]", "[0,8]", "F64") + "}", 8), "dtype F64",
                StatusCode::kUnsupported);
  check_refused(file_of("{" + tensor("a", "[1]", "[0,1]", "F8_E4M3") + "}", 1),
                "dtype F8_E4M3; this version reads F32, F16 and BF16", StatusCode::kUnsupported);
  check_refused(file_of("{" + tensor("a", "[1]", "[0,4]", "X\\u001b") + "}", 4), "unknown dtype");
  check_refused(file_of("{" + tensor("a", "[-1]", "[0,4]") + "}", 4), "dimension '-1'");
  check_refused(file_of("{" + tensor("a", "[1.0]", "[0,4]") + "}", 4), "dimension '1.0'");
  check_refused(file_of("{" + tensor("a", "[true]", "[0,4]") + "}", 4), "dimension 'true'");
  check_refused(file_of("{" + tensor("a", "[1]", "[0,4.0]") + "}", 4), "data_offsets");
  check_refused(file_of("{" + tensor("a", "[1]", "[-4,0]") + "}", 4), "data_offsets");
  check_refused(file_of(R"({"a":{"dtype":"F32","shape":[1]}})", 4), "not {dtype");
  check_refused(file_of(R"({"a":7})", 0), "not {dtype");
}

TEST_CASE("F16 and BF16 tensors take two bytes a number") {
  const auto result = read(file_of(
      "{" + tensor("a", "[3]", "[0,6]", "BF16") + "," + tensor("b", "[2]", "[6,10]", "F16") + "}",
      10));
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  CHECK(result.value().at("a").format == NumberFormat::kBf16);
  CHECK(result.value().at("b").format == NumberFormat::kF16);
  check_refused(file_of("{" + tensor("a", "[2]", "[0,8]", "BF16") + "}", 8),
                "has 8 bytes, its shape [2] needs 4");
}

TEST_CASE("the genuine file reads as 314 tensors") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto file = RandomAccessFile::open(folder + "/model.safetensors");
  REQUIRE(file.ok());
  const auto table = read_safetensors_header(file.value());
  REQUIRE_MESSAGE(table.ok(), table.status().to_string());
  CHECK(table.value().size() == 314);
  CHECK(table.value().at("embed_tokens.weight").shape == std::vector<std::int64_t>{262144, 768});
}

}  // namespace
}  // namespace nestor::embed
