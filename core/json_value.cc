#include "core/json_value.h"

#include "core/json_writer.h"

namespace nestor {
namespace {

void write_value(JsonWriter& writer, const JsonValue& value) {
  if (value.is_object()) {
    writer.begin_object();
    for (const auto& [name, member] : value.members()) {
      writer.key(name);
      write_value(writer, member);
    }
    writer.end_object();
  } else if (value.is_array()) {
    writer.begin_array();
    for (const JsonValue& element : value.elements()) write_value(writer, element);
    writer.end_array();
  } else if (value.is_string()) {
    writer.value(value.text());
  } else if (value.is_boolean()) {
    writer.value(value.get<bool>());
  } else if (value.is_number_float()) {
    writer.value(value.get<double>());
  } else if (value.is_number_unsigned()) {
    writer.value(value.get<std::uint64_t>());
  } else if (value.is_number_integer()) {
    writer.value(value.get<std::int64_t>());
  } else {
    writer.value(nullptr);
  }
}

}  // namespace

JsonValue JsonValue::array() {
  JsonValue made;
  made.value_ = std::make_unique<Array>();
  return made;
}

JsonValue JsonValue::object() {
  JsonValue made;
  made.value_ = std::make_unique<Object>();
  return made;
}

// `other` may be a part of this value, which is freed last.
JsonValue& JsonValue::operator=(JsonValue&& other) noexcept {
  JsonValue taken(std::move(other));
  std::swap(value_, taken.value_);
  return *this;
}

JsonValue::~JsonValue() = default;

const char* JsonValue::type_name() const {
  if (is_null()) return "null";
  if (is_boolean()) return "boolean";
  if (is_string()) return "string";
  if (is_array()) return "array";
  return is_object() ? "object" : "number";
}

bool JsonValue::is_whole_between(std::int64_t least, std::int64_t most) const {
  if (const auto* const number = std::get_if<std::uint64_t>(&value_)) {
    return std::cmp_greater_equal(*number, least) && std::cmp_less_equal(*number, most);
  }
  const auto* const number = std::get_if<std::int64_t>(&value_);
  return number != nullptr && *number >= least && *number <= most;
}

const std::string& JsonValue::text() const {
  return *std::get<std::unique_ptr<std::string>>(value_);
}
std::string JsonValue::take_text() {
  return std::move(*std::get<std::unique_ptr<std::string>>(value_));
}
const JsonValue::Array& JsonValue::elements() const {
  return *std::get<std::unique_ptr<Array>>(value_);
}
JsonValue::Array& JsonValue::elements() { return *std::get<std::unique_ptr<Array>>(value_); }
const JsonValue::Object& JsonValue::members() const {
  return *std::get<std::unique_ptr<Object>>(value_);
}
JsonValue::Object& JsonValue::members() { return *std::get<std::unique_ptr<Object>>(value_); }

const JsonValue* JsonValue::find(std::string_view name) const {
  if (!is_object()) return nullptr;
  const auto at = members().find(name);
  return at == members().end() ? nullptr : &at->second;
}

std::size_t JsonValue::size() const {
  if (is_array()) return elements().size();
  return is_object() ? members().size() : 0;
}

bool JsonValue::operator==(const JsonValue& other) const {
  if (value_.index() != other.value_.index()) return false;
  if (is_string()) return text() == other.text();
  if (is_array()) return elements() == other.elements();
  if (is_object()) return members() == other.members();
  return value_ == other.value_;
}

std::string JsonValue::dump() const {
  JsonWriter writer(JsonWriter::IllFormed::kRefuse);
  write_value(writer, *this);
  return writer.take();
}

}  // namespace nestor
