// What may be asked of the field index: ranges of one field's values, in the order of the values.
// Threads: values and free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "nestor/document.h"

namespace nestor::storage {

// The whole of a string up to this many bytes stands in the index; of a longer one its beginning
// and a hash. STORED. No less than the longest document key, so that keys are always whole.
inline constexpr std::size_t kMostIndexedBytes = 512;

// Kind of an entry's value, in the order of the index. STORED: never renumber. Elements of lists
// have the kind of their value + 1. A string that is an ISO 8601 date has two entries.
enum class FieldKind : std::uint8_t {
  kBoolean = 0x10,
  kNumber = 0x20,
  kDate = 0x30,
  kString = 0x40,
  kEmptyList = 0x50,
};
constexpr std::uint8_t kElement = 1;

struct FieldPlace {
  std::uint32_t collection = 0;
  bool of_document = false;  // `key` and `title`; else a metadata field
  std::string name;
};

// Entries with begin <= key < end.
struct FieldRange {
  std::string begin;
  std::string end;
};

// Every entry of the field, whatever its kind.
FieldRange whole_field(const FieldPlace& place);
// Every entry of one kind: scalars, or elements of lists.
FieldRange whole_kind(const FieldPlace& place, FieldKind kind, bool element);
// Entries of equal value: those of the date's instant where the value is a date. A string over
// kMostIndexedBytes may share its entry with others that begin alike; see FieldEntry::cut.
FieldRange equal_range(const FieldPlace& place, const MetadataScalar& value, bool element);
// Scalars before and after a value. REQUIRES: a number, or a string that is an ISO 8601 date.
FieldRange less_range(const FieldPlace& place, const MetadataScalar& value, bool or_equal);
FieldRange greater_range(const FieldPlace& place, const MetadataScalar& value, bool or_equal);
// Scalar strings that begin so. A longer prefix than kMostIndexedBytes finds those whose indexed
// beginning fits, all of them cut.
FieldRange prefix_range(const FieldPlace& place, std::string_view prefix);
// Scalar strings after `value`, in byte order. REQUIRES: at most kMostIndexedBytes.
FieldRange strings_after(const FieldPlace& place, std::string_view value);

struct FieldEntry {
  std::uint8_t kind = 0;  // FieldKind, + kElement for an element of a list
  double number = 0;      // of kNumber: the greatest double not above it
  std::string text;       // of kString: what the index holds of it
  bool cut = false;       // the string is longer; what is asked of it must be asked of the document
  std::uint64_t first_row_id = 0;  // of the document's rows
  std::int64_t row_count = 0;
};
// Returns false to stop.
using FieldVisitor = std::function<bool(const FieldEntry&)>;

}  // namespace nestor::storage
