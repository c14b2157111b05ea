#include "embed/number_format.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/embed/gguf_writer.h"

namespace nestor::embed {
namespace {

std::vector<float> floats_of(NumberFormat format, const std::string& bytes, std::size_t count) {
  std::vector<float> out(count);
  to_floats(format, bytes, out);
  return out;
}

float half(std::uint16_t bits) {
  std::string bytes;
  testing::append_u16(bytes, bits);
  return floats_of(NumberFormat::kF16, bytes, 1)[0];
}

TEST_CASE("every kind of f16 becomes its exact f32") {
  CHECK(half(0x3c00) == 1.0F);
  CHECK(half(0xc000) == -2.0F);
  CHECK(half(0x7bff) == 65504.0F);
  CHECK(half(0x0400) == 0x1p-14F);
  CHECK(half(0x0001) == 0x1p-24F);
  CHECK(half(0x83ff) == -0x1.ff8p-15F);
  CHECK(std::signbit(half(0x8000)));
  CHECK(half(0x7c00) == INFINITY);
  CHECK(std::isnan(half(0x7e01)));
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    REQUIRE(testing::to_f16(half(static_cast<std::uint16_t>(bits))) == bits);
  }
}

TEST_CASE("bf16 is the upper half of an f32") {
  CHECK(floats_of(NumberFormat::kBf16, std::string("\x80\x3f\x49\xc0", 4), 2) ==
        std::vector<float>{1.0F, -3.140625F});
}

TEST_CASE("Q8_0 is a scale and 32 signed bytes") {
  std::string bytes;
  testing::append_u16(bytes, 0x3800);  // 0.5
  for (int i = 0; i < 32; ++i) bytes.push_back(static_cast<char>(i * 8 - 128));
  const std::vector<float> values = floats_of(NumberFormat::kQ8_0, bytes, 32);
  for (std::size_t i = 0; i < 32; ++i) CHECK(values[i] == static_cast<float>(i) * 4 - 64);
  CHECK(stored_bytes(NumberFormat::kQ8_0, 64) == 68);
}

TEST_CASE("Q4_0 is a scale and 32 nibbles, the low ones first") {
  std::string bytes;
  testing::append_u16(bytes, 0xbc00);  // -1
  for (int i = 0; i < 16; ++i) bytes.push_back(static_cast<char>(i | (15 - i) << 4));
  const std::vector<float> values = floats_of(NumberFormat::kQ4_0, bytes, 32);
  for (std::size_t i = 0; i < 16; ++i) {
    CHECK(values[i] == 8 - static_cast<float>(i));
    CHECK(values[16 + i] == static_cast<float>(i) - 7);
  }
  CHECK(stored_bytes(NumberFormat::kQ4_0, 64) == 36);
}

TEST_CASE("ggml types are told apart by number") {
  CHECK(number_format_of_ggml(8) == NumberFormat::kQ8_0);
  CHECK_FALSE(number_format_of_ggml(12).has_value());
  CHECK(ggml_type_name(12) == "Q4_K");
  CHECK(ggml_type_name(99) == "type 99");
}

TEST_CASE("reading past a file's end is an error") {
  const testing::TempFolder folder;
  testing::write_bytes(folder / "x", std::string(100, '\1'));
  const auto file = RandomAccessFile::open(folder / "x");
  REQUIRE(file.ok());
  std::vector<float> out(32);
  for (const NumberFormat format :
       {NumberFormat::kF16, NumberFormat::kBf16, NumberFormat::kQ8_0, NumberFormat::kQ4_0}) {
    const std::uint64_t last = 100 - stored_bytes(format, 32);
    CHECK(read_floats(file.value(), format, last, out).ok());
    CHECK(read_floats(file.value(), format, last + 1, out).code() == StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace nestor::embed
