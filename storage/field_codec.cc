#include "storage/field_codec.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/hash.h"
#include "storage/key_schema.h"

namespace nestor::storage {
namespace {

constexpr char kEscape = '\0';
constexpr char kEscapedNul = '\xff';
constexpr char kWholeEnd = '\x01';
constexpr char kCutEnd = '\x02';
constexpr std::size_t kRowIdBytes = 8;

template <typename T>
void append_big_endian(std::string& key, T value) {
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8) {
    key.push_back(static_cast<char>(value >> shift));
  }
}

// IEEE 754 as an unsigned number of the same order: the sign bit is turned, and of negative numbers
// all others too.
std::uint64_t ordered_bits(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

// The greatest double that is not above a number, and how far the number is above it.
struct Place {
  double floor = 0;
  std::uint16_t missing = 0;
};

// `end`: the first double above all numbers of the type, to which the highest are rounded up.
template <typename Integer>
Place place_of(Integer whole, double end) {
  auto floor = static_cast<double>(whole);
  if (floor >= end || static_cast<Integer>(floor) > whole) {
    floor = std::nextafter(floor, -std::numeric_limits<double>::infinity());
  }
  // Neighbouring doubles below 2^64 are at most 2,048 apart.
  return {floor,
          static_cast<std::uint16_t>(static_cast<std::uint64_t>(whole) -
                                     static_cast<std::uint64_t>(static_cast<Integer>(floor)))};
}

void append_escaped(std::string& key, std::string_view text) {
  for (const char c : text) {
    key.push_back(c);
    if (c == '\0') key.push_back(kEscapedNul);
  }
}

std::uint64_t read_big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

double double_of_ordered(std::uint64_t ordered) {
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  return std::bit_cast<double>((ordered & kSign) != 0 ? ordered & ~kSign : ~ordered);
}

// Reads on to the end of an escaped string; `key` then begins after it.
bool take_escaped(std::string_view& key, std::string& text, bool& cut) {
  while (key.size() >= 2) {
    if (key[0] != kEscape) {
      text.push_back(key[0]);
      key.remove_prefix(1);
      continue;
    }
    const char sign = key[1];
    key.remove_prefix(2);
    if (sign == kEscapedNul) {
      text.push_back('\0');
      continue;
    }
    cut = sign == kCutEnd;
    return sign == kWholeEnd || sign == kCutEnd;
  }
  return false;
}

}  // namespace

void append_number(std::string& key, const MetadataScalar& number) {
  Place place;
  if (const auto* whole = std::get_if<std::int64_t>(&number.variant())) {
    place = place_of(*whole, 9223372036854775808.0);  // 2^63
  } else if (const auto* large = std::get_if<std::uint64_t>(&number.variant())) {
    place = place_of(*large, 18446744073709551616.0);  // 2^64
  } else {
    place.floor = std::get<double>(number.variant());
    if (place.floor == 0) place.floor = 0.0;  // of either sign
    if (std::isnan(place.floor)) place.floor = std::numeric_limits<double>::quiet_NaN();
  }
  append_big_endian(key, ordered_bits(place.floor));
  append_big_endian(key, place.missing);
}

void append_date(std::string& key, const Instant& instant) {
  append_big_endian(key, static_cast<std::uint64_t>(instant.seconds) + (std::uint64_t{1} << 63));
  append_big_endian(key, static_cast<std::uint32_t>(instant.nanoseconds));
}

void append_string(std::string& key, std::string_view text) {
  append_escaped(key, text.substr(0, kMostIndexedBytes));
  key.push_back(kEscape);
  key.push_back(text.size() > kMostIndexedBytes ? kCutEnd : kWholeEnd);
  if (text.size() > kMostIndexedBytes) append_big_endian(key, hash64(text));
}

void append_string_beginning(std::string& key, std::string_view text) {
  append_escaped(key, text.substr(0, kMostIndexedBytes));
  if (text.size() <= kMostIndexedBytes) return;
  key.push_back(kEscape);
  key.push_back(kCutEnd);
}

void append_name(std::string& key, std::string_view name) {
  append_escaped(key, name);
  key.push_back(kEscape);
  key.push_back(kWholeEnd);
}

std::string field_prefix(const FieldPlace& place) {
  std::string prefix = key_prefix(KeyTag::kField, place.collection);
  prefix.push_back(place.of_document ? '\0' : '\x01');
  append_name(prefix, place.name);
  return prefix;
}

std::string kind_prefix(const FieldPlace& place, FieldKind kind, bool element) {
  std::string prefix = field_prefix(place);
  prefix.push_back(static_cast<char>(static_cast<std::uint8_t>(kind) + (element ? kElement : 0)));
  return prefix;
}

bool parse_field_key(std::string_view key, FieldEntry& entry) {
  const std::size_t head = key_prefix(KeyTag::kField, 0).size() + 1;
  if (key.size() < head) return false;
  key.remove_prefix(head);
  std::string name;
  bool cut = false;
  if (!take_escaped(key, name, cut) || cut || key.empty()) return false;
  entry.kind = static_cast<std::uint8_t>(key.front());
  entry.text.clear();
  entry.cut = false;
  key.remove_prefix(1);
  std::size_t value_bytes = 0;
  switch (static_cast<FieldKind>(entry.kind & ~kElement)) {
    case FieldKind::kBoolean:
      value_bytes = 1;
      break;
    case FieldKind::kNumber:
      value_bytes = kNumberBytes;
      break;
    case FieldKind::kDate:
      value_bytes = kDateBytes;
      break;
    case FieldKind::kString:
      if (!take_escaped(key, entry.text, entry.cut)) return false;
      value_bytes = entry.cut ? sizeof(std::uint64_t) : 0;
      break;
    case FieldKind::kEmptyList:
      break;
    default:
      return false;
  }
  if (key.size() != value_bytes + kRowIdBytes) return false;
  if (value_bytes == kNumberBytes) {
    entry.number = double_of_ordered(read_big_endian(key.substr(0, sizeof(double))));
  }
  entry.first_row_id = read_big_endian(key.substr(value_bytes));
  return true;
}

std::optional<std::string> name_in_field_key(std::string_view key) {
  const std::size_t head = key_prefix(KeyTag::kField, 0).size() + 1;
  std::string name;
  bool cut = false;
  if (key.size() < head) return std::nullopt;
  key.remove_prefix(head);
  if (!take_escaped(key, name, cut)) return std::nullopt;
  return name;
}

}  // namespace nestor::storage
