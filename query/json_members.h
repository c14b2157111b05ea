// The members of a JSON object that somebody else wrote, each of its kind and in its range.
// Threads: one.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <utility>

#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"
#include "nestor/status.h"

namespace nestor::query {

// The members of an object, each taken once; what is left over is not known and refused, for a
// misspelt name would lose data without a word.
class JsonMembers {
 public:
  static constexpr std::int64_t kMostInteger = std::int64_t{1} << 40;

  // `object` is emptied; `whose` begins the messages.
  JsonMembers(JsonValue& object, std::string whose) : object_(object), whose_(std::move(whose)) {}

  Result<std::string> string(const char* name) {
    NESTOR_ASSIGN_OR_RETURN(JsonValue value, take(name));
    if (!value.is_string()) return wrong(name, value, "a string");
    return value.take_text();
  }
  // Null, as other programs write "there is none", is the empty string.
  Result<std::string> string_or_null(const char* name) {
    const JsonValue* const found = object_.find(name);
    if (found == nullptr || !found->is_null()) return string(name);
    object_.members().erase(name);
    return std::string();
  }
  Result<std::int64_t> integer(const char* name, std::int64_t low, std::int64_t high) {
    NESTOR_ASSIGN_OR_RETURN(const JsonValue value, take(name));
    return to_integer(name, value, low, high);
  }
  Result<bool> boolean(const char* name) {
    NESTOR_ASSIGN_OR_RETURN(const JsonValue value, take(name));
    if (!value.is_boolean()) return wrong(name, value, "true or false");
    return value.get<bool>();
  }
  Result<JsonValue> array(const char* name) {
    NESTOR_ASSIGN_OR_RETURN(JsonValue value, take(name));
    if (!value.is_array()) return wrong(name, value, "an array");
    return value;
  }
  // [first, second].
  Result<std::pair<std::int64_t, std::int64_t>> range(const char* name) {
    NESTOR_ASSIGN_OR_RETURN(const JsonValue value, array(name));
    if (value.size() != 2) {
      return invalid(
          fmt::format("{}: \"{}\" has {} elements, expected 2", whose_, name, value.size()));
    }
    NESTOR_ASSIGN_OR_RETURN(const auto first,
                            to_integer(name, value.elements()[0], 0, kMostInteger));
    NESTOR_ASSIGN_OR_RETURN(const auto second,
                            to_integer(name, value.elements()[1], 0, kMostInteger));
    return std::pair(first, second);
  }
  [[nodiscard]] bool has(const char* name) const { return object_.find(name) != nullptr; }
  Result<JsonValue> take(const char* name) {
    const auto found = object_.members().find(name);
    if (found == object_.members().end()) {
      return invalid(fmt::format("{}: the member \"{}\" is missing", whose_, name));
    }
    JsonValue value = std::move(found->second);
    object_.members().erase(found);
    return value;
  }
  [[nodiscard]] Status finish() const {
    if (object_.empty()) return {};
    return invalid(fmt::format("{}: there is no member {}", whose_,
                               quote_for_message(object_.members().begin()->first)));
  }

 private:
  static Status invalid(std::string message) {
    return {StatusCode::kInvalidArgument, std::move(message)};
  }
  [[nodiscard]] Status wrong(const char* name, const JsonValue& value, const char* expected) const {
    return invalid(fmt::format("{}: \"{}\" is a JSON {}, expected {}", whose_, name,
                               value.type_name(), expected));
  }
  Result<std::int64_t> to_integer(const char* name, const JsonValue& value, std::int64_t low,
                                  std::int64_t high) const {
    const bool fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() || value.get<std::uint64_t>() <= kMostInteger);
    const std::int64_t number = fits ? value.get<std::int64_t>() : -1;
    if (!fits || number < low || number > high) {
      return invalid(fmt::format("{}: \"{}\" is {}, expected a whole number from {} to {}", whose_,
                                 name, quote_for_message(value.dump()), low, high));
    }
    return number;
  }

  JsonValue& object_;
  std::string whose_;
};

}  // namespace nestor::query
