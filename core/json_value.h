// A JSON value in memory, as parse_json gives it. Why not nlohmann::json: its destructor allocates
// a stack for the values below it, and where that allocation fails, the process ends. Destroying
// and moving a JsonValue allocates nothing. Threads: as a standard container.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace nestor {

// Destroying recurses: parse_json limits the depth. Copies are not made; a moved-from value is
// null.
class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Object = std::map<std::string, JsonValue, std::less<>>;  // in the order of the names

  JsonValue(std::nullptr_t = nullptr) noexcept {}
  JsonValue(bool value) noexcept : value_(value) {}
  JsonValue(std::int64_t value) noexcept : value_(value) {}
  JsonValue(std::uint64_t value) noexcept : value_(value) {}
  JsonValue(double value) noexcept : value_(value) {}
  JsonValue(std::string text) : value_(std::make_unique<std::string>(std::move(text))) {}
  JsonValue(const char* text) : JsonValue(std::string(text)) {}
  static JsonValue array();
  static JsonValue object();
  JsonValue(JsonValue&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
  JsonValue& operator=(JsonValue&& other) noexcept;
  JsonValue(const JsonValue&) = delete;
  JsonValue& operator=(const JsonValue&) = delete;
  ~JsonValue();

  [[nodiscard]] bool is_null() const { return holds<std::nullptr_t>(); }
  [[nodiscard]] bool is_boolean() const { return holds<bool>(); }
  [[nodiscard]] bool is_string() const { return holds<std::unique_ptr<std::string>>(); }
  [[nodiscard]] bool is_array() const { return holds<std::unique_ptr<Array>>(); }
  [[nodiscard]] bool is_object() const { return holds<std::unique_ptr<Object>>(); }
  // Parsed whole numbers: unsigned ones from 0 to 2^64 - 1, signed ones below 0.
  [[nodiscard]] bool is_number_unsigned() const { return holds<std::uint64_t>(); }
  [[nodiscard]] bool is_number_integer() const {
    return is_number_unsigned() || holds<std::int64_t>();
  }
  [[nodiscard]] bool is_number_float() const { return holds<double>(); }
  [[nodiscard]] bool is_number() const { return is_number_integer() || is_number_float(); }
  [[nodiscard]] bool is_whole_between(std::int64_t least, std::int64_t most) const;
  // "null", "boolean", "number", "string", "array" or "object".
  [[nodiscard]] const char* type_name() const;

  // The content; std::bad_variant_access where it is of another kind. Numbers convert as
  // static_cast does it.
  template <typename Value>
  [[nodiscard]] Value get() const;
  [[nodiscard]] const std::string& text() const;
  [[nodiscard]] std::string take_text();
  [[nodiscard]] const Array& elements() const;
  [[nodiscard]] Array& elements();
  [[nodiscard]] const Object& members() const;
  [[nodiscard]] Object& members();

  // Null where this is no object, or one without that member.
  [[nodiscard]] const JsonValue* find(std::string_view name) const;
  // Of an array or an object; 0 for anything else.
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }

  // Kind and content alike: 1 is not 1.0.
  bool operator==(const JsonValue& other) const;
  // As nlohmann::json writes it, without spaces.
  [[nodiscard]] std::string dump() const;

 private:
  using Content =
      std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double,
                   std::unique_ptr<std::string>, std::unique_ptr<Array>, std::unique_ptr<Object>>;
  template <typename Kind>
  [[nodiscard]] bool holds() const {
    return std::holds_alternative<Kind>(value_);
  }

  Content value_ = nullptr;  // a pointer in it is never null
};

template <typename Value>
Value JsonValue::get() const {
  if constexpr (std::is_same_v<Value, std::string>) {
    return text();
  } else if constexpr (std::is_same_v<Value, bool>) {
    return std::get<bool>(value_);
  } else {
    static_assert(std::is_arithmetic_v<Value>);
    if (is_number_unsigned()) return static_cast<Value>(std::get<std::uint64_t>(value_));
    if (is_number_float()) return static_cast<Value>(std::get<double>(value_));
    return static_cast<Value>(std::get<std::int64_t>(value_));
  }
}

}  // namespace nestor
