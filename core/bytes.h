// Bounded, little-endian reading and writing of byte strings: the one way stored records and files
// are taken apart, so that no length from disk is believed before it is checked.
// Threads: values.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace nestor {

class ByteWriter {
 public:
  void u8(std::uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void u32(std::uint32_t value) { fixed(value); }
  void u64(std::uint64_t value) { fixed(value); }
  // Base-128, low group first, at most 10 bytes.
  void varint(std::uint64_t value);
  // varint length, then the bytes.
  void string(std::string_view value);
  void raw(std::string_view value) { bytes_.append(value); }
  // IEEE 754 binary32, no length in front.
  void floats(std::span<const float> values);

  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  template <typename T>
  void fixed(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bytes_.push_back(static_cast<char>(value >> (8 * i)));
  }
  std::string bytes_;
};

// Every read says whether it fitted; after one that did not, all later ones fail too, so a decoder
// may read on and ask ok() once at its end. Views point into the bytes given.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}
  bool u8(std::uint8_t& value);
  bool u32(std::uint32_t& value);
  bool u64(std::uint64_t& value);
  bool varint(std::uint64_t& value);
  bool string(std::string_view& value);
  bool raw(std::size_t count, std::string_view& value);
  bool floats(std::span<float> values);

  [[nodiscard]] bool ok() const { return ok_; }
  // ok and nothing left over.
  [[nodiscard]] bool finished() const { return ok_ && rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  bool fail() {
    ok_ = false;
    rest_ = {};
    return false;
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace nestor
