// Filters: which documents count, by key, title and metadata. One language in three forms: built in
// C++, parsed from text, and Haystack's JSON.
//
// clang-format off
//   using nestor::Filter;
//   Filter built = Filter::field("year") >= 2020 && !Filter::field("path").prefix("src/");
//   auto parsed = Filter::parse(R"(year >= 2020 AND (lang == "de" OR tags contains "rust"))");
//   auto given = Filter::parse(R"({"field": "meta.year", "operator": ">=", "value": 2020})");
// clang-format on
//
// Text:   a == 1   != > >= < <=   a in [1, 2]   a not in [1, 2]   "x" in tags   a contains "x"
//         a prefix "src/"   a exists   a == null   AND OR NOT ( )   names in `back quotes`
//         Key words in any case; strings in double or single quotes with JSON's escapes.
// Fields: a metadata field by its name, with or without "meta." before it; `key` and `title` are
//         the document's own ("meta.key" is the metadata field of that name).
// Meaning, of a condition on a field of a document:
//   ==        same kind and same value. Integers, -2^63 to 2^64 - 1, and doubles are one kind and
//             compare as numbers, exactly; a longer whole number is an error. Strings that are both
//             ISO 8601 dates are equal when they name one instant (no offset means UTC). A list
//             equals a list of equal elements. `== null`: no such field.
//   !=        not ==; so a document without the field matches.
//   < <= > >= numbers with numbers, dates with dates; other values and lists do not match, and null
//             orders before nothing. Against a string that is no date, a boolean or a list: an
//             error.
//   in        equals one of the list; `null` in it finds documents without the field.
//   not in    not in.
//   prefix    a string that begins with the bytes given.
//   contains  a string that holds the bytes given, or a list with an equal element.
//             `"x" in tags` is the element alone.
//   exists    the field is there, an empty list included.
//
// Threads: values; share a const one freely.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/document.h"
#include "nestor/export.h"
#include "nestor/status.h"

namespace nestor {

class FilterField;

class NESTOR_API Filter {
 public:
  // Matches every document.
  Filter() = default;

  static FilterField field(std::string name);
  // Text, or JSON where it begins with '{'; only white space matches everything. Errors:
  // kInvalidArgument "filter, column 14: ...", with the line and a caret below; over 65,536 bytes,
  // 10,000 values or 64 levels.
  static Result<Filter> parse(std::string_view text);
  // Haystack's form: {"operator": "AND", "conditions": [{"field": "meta.year", "operator": ">=",
  // "value": 2020}]}; NOT is true where not all of its conditions are. Besides Haystack's
  // operators: "prefix", "contains", "has" (the list element alone), "exists" (value true or
  // false). Errors: as parse, with the place in the tree ("filter, at conditions[1].value: ...").
  static Result<Filter> parse_json(std::string_view json);

  // What is wrong with a filter built in C++ (parsed ones are right): as parse, without a column.
  [[nodiscard]] Status check() const;
  // Whether this is the filter that matches everything because it says nothing.
  [[nodiscard]] bool empty() const;
  // REQUIRES: check().ok(); a filter that is wrong matches nothing.
  [[nodiscard]] bool matches(const Document& document) const;
  // The text that parse reads back as the same filter.
  [[nodiscard]] std::string to_string() const;

  Filter operator!() const;

  // The tree, for query/ itself.
  struct Node;
  explicit Filter(std::shared_ptr<const Node> node) : node_(std::move(node)) {}
  [[nodiscard]] const Node& node() const;  // lives as long as this filter
  [[nodiscard]] std::shared_ptr<const Node> node_pointer() const;

 private:
  std::shared_ptr<const Node> node_;  // null: everything
};

NESTOR_API Filter operator&&(const Filter& a, const Filter& b);
NESTOR_API Filter operator||(const Filter& a, const Filter& b);

// A field's name, waiting for its condition.
class NESTOR_API FilterField {
 public:
  explicit FilterField(std::string name) : name_(std::move(name)) {}

  Filter operator==(const MetadataValue& value) const;
  Filter operator!=(const MetadataValue& value) const;
  Filter operator<(const MetadataValue& value) const;
  Filter operator<=(const MetadataValue& value) const;
  Filter operator>(const MetadataValue& value) const;
  Filter operator>=(const MetadataValue& value) const;
  // Templates, because a plain 0 would convert to std::nullptr_t too.
  template <std::same_as<std::nullptr_t> Null>
  Filter operator==(Null) const {
    return !exists();
  }
  template <std::same_as<std::nullptr_t> Null>
  Filter operator!=(Null) const {
    return exists();
  }
  Filter in(const MetadataValue::List& values) const;
  Filter not_in(const MetadataValue::List& values) const;
  Filter prefix(std::string_view bytes) const;
  Filter contains(const MetadataScalar& value) const;
  // A list with an equal element.
  Filter has(const MetadataScalar& value) const;
  Filter exists() const;

 private:
  std::string name_;
};

// A field named in a filter that no document of the collection has: misspelt, or not there yet.
struct UnknownField {
  std::string name;
  // Fields that there are with nearly the same name, as they are written in a filter.
  std::vector<std::string> similar;
  // The filter only asks whether it is there (exists, == null, null in a list).
  bool only_existence = false;
};

}  // namespace nestor
