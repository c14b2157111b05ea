// Values of fields as bytes whose order is the order of the values. STORED: FORMAT.md.
// Threads: free functions, safe anywhere.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/iso_date.h"
#include "nestor/document.h"
#include "storage/field_range.h"

namespace nestor::storage {

inline constexpr std::size_t kNumberBytes = 10;
inline constexpr std::size_t kDateBytes = 12;

// 8 bytes of the greatest double that is not above the number, then 2 bytes of what is missing up
// to it: every integer of 64 bits and every double in one exact order. -0 is 0. A NaN sorts last.
void append_number(std::string& key, const MetadataScalar& number);
void append_date(std::string& key, const Instant& instant);
// NUL becomes 00 FF; at the end stands 00 01, or 00 02 and a hash where the rest was cut off.
void append_string(std::string& key, std::string_view text);
// The same without an end: what every string with this beginning has in common.
void append_string_beginning(std::string& key, std::string_view text);
// A name, whole whatever its length, and its end.
void append_name(std::string& key, std::string_view name);

// What stands before the kind in all of the field's keys.
std::string field_prefix(const FieldPlace& place);
std::string kind_prefix(const FieldPlace& place, FieldKind kind, bool element);

// Takes the entry's key apart, but for the row count, which is in the value. False where the bytes
// are no entry's.
bool parse_field_key(std::string_view key, FieldEntry& entry);
// The name in an entry's key, for messages; nothing where there is none.
std::optional<std::string> name_in_field_key(std::string_view key);

}  // namespace nestor::storage
