// What every stored value has around its payload: a version byte in front, and behind it a check
// that also covers the key, so that a value filed under another key is found too. Threads: free
// functions; a RecordReader belongs to one call.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "core/bytes.h"
#include "nestor/status.h"
#include "storage/record_codec.h"

namespace nestor::storage {

// version | payload | hash64(version | payload) XOR hash64(key)
std::string seal_record(std::string_view key, const ByteWriter& payload,
                        std::uint8_t version = kRecordVersion);
// The payload; the version, 1 to `newest`, is the value's first byte. Errors: kDataLoss (damaged),
// kUnsupported (a newer record version, both numbers).
Result<std::string_view> open_record(std::string_view key, std::string_view value,
                                     std::uint8_t newest = kRecordVersion);
// kDataLoss: what the key stands for, then `what`.
Status damaged_record(std::string_view key, std::string_view what);

// A ByteReader that knows the value ranges of our fields.
class RecordReader {
 public:
  explicit RecordReader(std::string_view payload) : bytes_(payload) {}

  std::uint8_t u8() { return take<std::uint8_t>(&ByteReader::u8); }
  std::uint32_t u32() { return take<std::uint32_t>(&ByteReader::u32); }
  std::uint64_t u64() { return take<std::uint64_t>(&ByteReader::u64); }
  std::uint64_t varint() { return take<std::uint64_t>(&ByteReader::varint); }
  // A varint in [0, most].
  std::int64_t count(std::int64_t most = std::numeric_limits<std::int64_t>::max());
  bool flag() { return count(1) == 1; }
  std::string_view view() { return take<std::string_view>(&ByteReader::string); }
  std::string string() { return std::string(view()); }
  // How many elements of at least `element_bytes` each follow: bounded by what is left, so that
  // nothing is allocated for bytes that are not there.
  std::size_t elements(std::size_t element_bytes);
  void floats(std::span<float> values) { ok_ = bytes_.floats(values) && ok_; }
  void skip(std::size_t count);
  void require(bool condition) { ok_ = ok_ && condition; }

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool finished() const { return ok_ && bytes_.finished(); }

 private:
  template <typename T>
  T take(bool (ByteReader::*read)(T&)) {
    T value{};
    ok_ = (bytes_.*read)(value) && ok_;
    return value;
  }
  ByteReader bytes_;
  bool ok_ = true;
};

}  // namespace nestor::storage
