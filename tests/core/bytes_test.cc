#include "core/bytes.h"

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <limits>
#include <string>
#include <vector>

namespace nestor {
namespace {

std::string varint_bytes(std::uint64_t value) {
  ByteWriter writer;
  writer.varint(value);
  return writer.take();
}

TEST_CASE("what was written is read back, field by field, to the last byte") {
  const std::array<float, 3> row = {1.5F, -0.0F, 1e-45F};
  ByteWriter writer;
  writer.u8(255);
  writer.u32(0x01020304);
  writer.u64(0x0102030405060708);
  writer.varint(300);
  writer.string(std::string_view("a\0b", 3));
  writer.floats(row);
  writer.raw("tail");

  ByteReader reader(writer.bytes());
  std::uint8_t byte = 0;
  std::uint32_t word = 0;
  std::uint64_t wide = 0;
  std::uint64_t number = 0;
  std::string_view text;
  std::array<float, 3> read_row = {};
  CHECK(reader.u8(byte));
  CHECK(reader.u32(word));
  CHECK(reader.u64(wide));
  CHECK(reader.varint(number));
  CHECK(reader.string(text));
  CHECK(reader.floats(read_row));
  CHECK(reader.rest() == "tail");
  CHECK_FALSE(reader.finished());
  CHECK(byte == 255);
  CHECK(word == 0x01020304);
  CHECK(wide == 0x0102030405060708);
  CHECK(number == 300);
  CHECK(text == std::string_view("a\0b", 3));
  CHECK(std::bit_cast<std::array<std::uint32_t, 3>>(read_row) ==
        std::bit_cast<std::array<std::uint32_t, 3>>(row));
}

TEST_CASE("numbers lie in the file low byte first") {
  ByteWriter writer;
  writer.u32(0x01020304);
  writer.u64(0x0102030405060708);
  CHECK(writer.bytes() == std::string("\x04\x03\x02\x01\x08\x07\x06\x05\x04\x03\x02\x01"));
}

TEST_CASE("a varint takes one byte for each begun seven bits and comes back") {
  CHECK(varint_bytes(0) == std::string(1, '\0'));
  CHECK(varint_bytes(127).size() == 1);
  CHECK(varint_bytes(128) == "\x80\x01");
  for (int bits = 0; bits < 64; ++bits) {
    for (const std::uint64_t value : {std::uint64_t{1} << bits, (std::uint64_t{1} << bits) - 1}) {
      const std::string bytes = varint_bytes(value);
      ByteReader reader(bytes);
      std::uint64_t read = 1;
      CHECK(reader.varint(read));
      CHECK(read == value);
      CHECK(reader.finished());
    }
  }
  CHECK(varint_bytes(std::numeric_limits<std::uint64_t>::max()).size() == 10);
}

TEST_CASE("a varint of more than 64 bits, one that never ends and a cut one are refused") {
  const std::vector<std::string> bad = {
      std::string(9, '\xff') + '\x02',  // bit 64
      std::string(9, '\xff') + '\x81',  // ten bytes and still not the last
      std::string(10, '\x80') + '\x01', std::string(20, '\xff'), std::string(3, '\x80'), ""};
  for (const std::string& bytes : bad) {
    ByteReader reader(bytes);
    std::uint64_t value = 0;
    CHECK_FALSE(reader.varint(value));
    CHECK_FALSE(reader.ok());
  }
}

TEST_CASE("a length beyond the end is refused, even the greatest there is") {
  for (const std::uint64_t length :
       {std::uint64_t{4}, std::uint64_t{1} << 63, std::numeric_limits<std::uint64_t>::max()}) {
    const std::string bytes = varint_bytes(length) + "abc";
    ByteReader reader(bytes);
    std::string_view value = "untouched";
    CHECK_FALSE(reader.string(value));
    CHECK(value == "untouched");
    CHECK(reader.rest().empty());
  }
}

TEST_CASE("after one failure every later read fails, though bytes were left") {
  ByteReader reader("abc");
  std::uint32_t word = 7;
  CHECK_FALSE(reader.u32(word));
  CHECK(word == 7);
  std::uint8_t byte = 0;
  std::string_view raw;
  CHECK_FALSE(reader.u8(byte));
  CHECK_FALSE(reader.raw(0, raw));
  CHECK_FALSE(reader.finished());
}

TEST_CASE("each kind of read stops at the last byte") {
  const std::string bytes(7, '\x01');
  std::uint64_t wide = 0;
  CHECK_FALSE(ByteReader(bytes).u64(wide));
  std::uint32_t word = 0;
  CHECK_FALSE(ByteReader(std::string_view(bytes).substr(0, 3)).u32(word));
  std::uint8_t byte = 0;
  CHECK_FALSE(ByteReader("").u8(byte));
  std::array<float, 2> row = {};
  CHECK_FALSE(ByteReader(bytes).floats(row));
  std::string_view raw;
  CHECK_FALSE(ByteReader(bytes).raw(8, raw));
  CHECK(ByteReader(bytes).raw(7, raw));
}

TEST_CASE("no floats and no bytes are something that fits") {
  ByteReader reader("");
  std::vector<float> none;
  std::string_view raw;
  CHECK(reader.floats(none));
  CHECK(reader.raw(0, raw));
  CHECK(reader.finished());
}

}  // namespace
}  // namespace nestor
