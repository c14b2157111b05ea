#include "core/bytes.h"

#include <bit>

namespace nestor {

static_assert(std::endian::native == std::endian::little,
              "stored floats are copied as they lie in memory");

void ByteWriter::varint(std::uint64_t value) {
  while (value >= 0x80) {
    u8(static_cast<std::uint8_t>(value) | 0x80);
    value >>= 7;
  }
  u8(static_cast<std::uint8_t>(value));
}

void ByteWriter::string(std::string_view value) {
  varint(value.size());
  raw(value);
}

void ByteWriter::floats(std::span<const float> values) {
  bytes_.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

bool ByteReader::raw(std::size_t count, std::string_view& value) {
  if (!ok_ || rest_.size() < count) return fail();
  value = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return true;
}

bool ByteReader::u8(std::uint8_t& value) {
  std::string_view bytes;
  if (!raw(1, bytes)) return false;
  value = static_cast<std::uint8_t>(bytes[0]);
  return true;
}

bool ByteReader::u32(std::uint32_t& value) {
  std::string_view bytes;
  if (!raw(sizeof value, bytes)) return false;
  std::memcpy(&value, bytes.data(), sizeof value);
  return true;
}

bool ByteReader::u64(std::uint64_t& value) {
  std::string_view bytes;
  if (!raw(sizeof value, bytes)) return false;
  std::memcpy(&value, bytes.data(), sizeof value);
  return true;
}

bool ByteReader::varint(std::uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    std::uint8_t byte = 0;
    if (!u8(byte)) return false;
    const std::uint64_t group = byte & 0x7f;
    if (shift == 63 && group > 1) return fail();  // more than 64 bits
    value |= group << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return fail();
}

bool ByteReader::string(std::string_view& value) {
  std::uint64_t count = 0;
  if (!varint(count)) return false;
  if (count > rest_.size()) return fail();
  return raw(static_cast<std::size_t>(count), value);
}

bool ByteReader::floats(std::span<float> values) {
  std::string_view bytes;
  if (!raw(values.size_bytes(), bytes)) return false;
  if (values.empty()) return true;  // memcpy wants pointers even for no bytes
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return true;
}

}  // namespace nestor
