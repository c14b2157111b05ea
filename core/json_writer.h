// JSON as text, byte for byte as nlohmann::json writes it, without a tree in memory first.
// Threads: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace nestor {

// The calls come in the order of the text: inside an object a key before each value. Nothing checks
// that.
class JsonWriter {
 public:
  // What becomes of a string that is not UTF-8: nlohmann::json::type_error is thrown, or U+FFFD
  // stands for what is wrong.
  enum class IllFormed { kRefuse, kReplace };
  static constexpr int kOneLine = -1;

  // `indent`: spaces for each level, every value on a line of its own; kOneLine: no spaces at all.
  explicit JsonWriter(IllFormed ill_formed, int indent = kOneLine)
      : ill_formed_(ill_formed), indent_(indent) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  void key(std::string_view name);

  void value(std::string_view text);
  void value(const std::string& text) { value(std::string_view(text)); }
  void value(const char* text) { value(std::string_view(text)); }
  void value(bool value) { literal(value ? "true" : "false"); }
  void value(std::nullptr_t) { literal("null"); }
  void value(int number) { value(static_cast<std::int64_t>(number)); }
  void value(std::uint32_t number) { value(static_cast<std::uint64_t>(number)); }
  void value(std::int64_t number);
  void value(std::uint64_t number);
  void value(double number);  // null where it is not finite
  // JSON already, taken as it is.
  void literal(std::string_view json);

  template <typename Value>
  void member(std::string_view name, const Value& held) {
    key(name);
    value(held);
  }

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void open(char bracket);
  void close(char bracket);
  void begin_value();
  void new_line();
  void string(std::string_view text);

  IllFormed ill_formed_;
  int indent_;
  int depth_ = 0;
  bool first_ = true;  // nothing stands in the innermost container yet
  bool after_key_ = false;
  std::string text_;
};

}  // namespace nestor
