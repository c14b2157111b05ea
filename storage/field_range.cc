#include "storage/field_range.h"

#include <limits>
#include <optional>

#include "core/iso_date.h"
#include "storage/field_codec.h"
#include "storage/key_schema.h"

namespace nestor::storage {
namespace {

FieldRange all_with(std::string prefix) {
  std::string end = prefix_end(prefix);
  return {std::move(prefix), std::move(end)};
}

std::optional<Instant> date_of(const MetadataScalar& value) {
  const auto* text = std::get_if<std::string>(&value.variant());
  return text == nullptr ? std::nullopt : parse_iso_date(*text);
}

// The key up to the value of a number or date.
std::string ordered_prefix(const FieldPlace& place, const MetadataScalar& value, bool element) {
  const std::optional<Instant> date = date_of(value);
  std::string key = kind_prefix(place, date ? FieldKind::kDate : FieldKind::kNumber, element);
  if (date) {
    append_date(key, *date);
  } else {
    append_number(key, value);
  }
  return key;
}

// First key after all numbers that are one, or after all dates.
std::string ordered_end(const FieldPlace& place, const MetadataScalar& value) {
  if (date_of(value)) return prefix_end(kind_prefix(place, FieldKind::kDate, false));
  std::string last = kind_prefix(place, FieldKind::kNumber, false);
  append_number(last, std::numeric_limits<double>::infinity());
  return prefix_end(last);  // what follows are NaNs, which no number is ordered against
}

FieldKind kind_of(const MetadataScalar& value) {
  return date_of(value) ? FieldKind::kDate : FieldKind::kNumber;
}

}  // namespace

FieldRange whole_field(const FieldPlace& place) { return all_with(field_prefix(place)); }

FieldRange whole_kind(const FieldPlace& place, FieldKind kind, bool element) {
  return all_with(kind_prefix(place, kind, element));
}

FieldRange equal_range(const FieldPlace& place, const MetadataScalar& value, bool element) {
  if (const auto* flag = std::get_if<bool>(&value.variant())) {
    std::string key = kind_prefix(place, FieldKind::kBoolean, element);
    key.push_back(*flag ? '\x01' : '\0');
    return all_with(std::move(key));
  }
  const auto* text = std::get_if<std::string>(&value.variant());
  if (text == nullptr || date_of(value)) return all_with(ordered_prefix(place, value, element));
  std::string key = kind_prefix(place, FieldKind::kString, element);
  append_string(key, *text);
  return all_with(std::move(key));
}

FieldRange less_range(const FieldPlace& place, const MetadataScalar& value, bool or_equal) {
  const std::string limit = ordered_prefix(place, value, false);
  return {kind_prefix(place, kind_of(value), false), or_equal ? prefix_end(limit) : limit};
}

FieldRange greater_range(const FieldPlace& place, const MetadataScalar& value, bool or_equal) {
  const std::string limit = ordered_prefix(place, value, false);
  return {or_equal ? limit : prefix_end(limit), ordered_end(place, value)};
}

FieldRange prefix_range(const FieldPlace& place, std::string_view prefix) {
  std::string key = kind_prefix(place, FieldKind::kString, false);
  append_string_beginning(key, prefix);
  return all_with(std::move(key));
}

FieldRange strings_after(const FieldPlace& place, std::string_view value) {
  const std::string kind = kind_prefix(place, FieldKind::kString, false);
  std::string last = kind;
  append_string(last, value);
  return {prefix_end(last), prefix_end(kind)};
}

}  // namespace nestor::storage
