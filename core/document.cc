#include "nestor/document.h"

#include <fmt/format.h>

#include <cmath>

#include "core/json.h"
#include "core/json_writer.h"
#include "core/macros.h"
#include "core/metadata_size.h"
#include "core/text.h"

namespace nestor {
namespace {

constexpr std::size_t kMostMetadataBytes = 1 << 20;
constexpr std::size_t kMostMetadataFields = 1024;
constexpr std::size_t kMostMetadataValues = 98'000;  // and names and lists, 100,000 in all

void write_scalar(JsonWriter& writer, const MetadataScalar& scalar) {
  std::visit([&](const auto& value) { writer.value(value); }, scalar.variant());
}

Result<MetadataScalar> scalar_of(const JsonValue& value, const std::string& field) {
  if (value.is_string()) return MetadataScalar(value.text());
  if (value.is_boolean()) return MetadataScalar(value.get<bool>());
  if (value.is_number_unsigned()) return MetadataScalar(value.get<std::uint64_t>());
  if (value.is_number_integer()) return MetadataScalar(value.get<std::int64_t>());
  if (value.is_number_float() && std::isfinite(value.get<double>()))
    return MetadataScalar(value.get<double>());
  return Status(
      StatusCode::kInvalidArgument,
      fmt::format("metadata field {} holds {}; a string, a finite number, a boolean or a list of "
                  "them is expected",
                  quote_for_message(field),
                  value.is_number() ? "a number out of range" : value.type_name()));
}

// As long as nlohmann writes it, but for numbers, which are taken at their longest.
std::size_t text_bytes(std::string_view text) {
  std::size_t bytes = 2;
  for (const char byte : text) {
    const bool named =
        byte == '"' || byte == '\\' || (byte >= '\b' && byte <= '\r' && byte != '\v');
    bytes += named ? 2 : static_cast<unsigned char>(byte) < 0x20 ? 6 : 1;
  }
  return bytes;
}

std::size_t written_bytes(const MetadataScalar& scalar) {
  constexpr std::size_t kNumber = 24;
  const auto* const text = std::get_if<std::string>(&scalar.variant());
  return text != nullptr ? text_bytes(*text) : kNumber;
}

}  // namespace

MetadataScalar::Variant MetadataScalar::unsigned_as_kept(std::uint64_t number) {
  if (number > INT64_MAX) return number;
  return static_cast<std::int64_t>(number);
}

Status check_metadata_size(const Metadata& metadata) {
  if (metadata.size() > kMostMetadataFields) {
    return {StatusCode::kInvalidArgument, fmt::format("metadata has {} fields, at most {} are kept",
                                                      metadata.size(), kMostMetadataFields)};
  }
  std::size_t bytes = 2;
  std::size_t values = 0;
  for (const auto& [name, value] : metadata) {
    bytes += text_bytes(name) + 2;
    if (!value.is_list()) {
      bytes += written_bytes(value.scalar());
      continue;
    }
    values += value.list().size();
    for (const MetadataScalar& element : value.list()) bytes += written_bytes(element) + 1;
  }
  if (bytes > kMostMetadataBytes) {
    return {StatusCode::kInvalidArgument,
            fmt::format("metadata has {} bytes, at most {} are kept", bytes, kMostMetadataBytes)};
  }
  if (values > kMostMetadataValues) {
    return {StatusCode::kInvalidArgument,
            fmt::format("metadata has {} values in lists, at most {} are kept", values,
                        kMostMetadataValues)};
  }
  return {};
}

std::string metadata_to_json(const Metadata& metadata) {
  JsonWriter writer(JsonWriter::IllFormed::kReplace);
  writer.begin_object();
  for (const auto& [name, value] : metadata) {
    writer.key(name);
    if (!value.is_list()) {
      write_scalar(writer, value.scalar());
      continue;
    }
    writer.begin_array();
    for (const MetadataScalar& element : value.list()) write_scalar(writer, element);
    writer.end_array();
  }
  writer.end_object();
  return writer.take();
}

Result<Metadata> parse_metadata(std::string_view json) {
  if (json.size() > kMostMetadataBytes) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("metadata has {} bytes, at most {} are kept", json.size(), kMostMetadataBytes));
  }
  auto parsed = parse_json(json, {.most_depth = 2, .most_values = 100'000, .exact_below = ""});
  if (!parsed.ok()) return parsed.status().with_context("metadata");
  const JsonValue& object = parsed.value();
  if (object.is_null()) return Metadata();
  if (!object.is_object()) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("metadata is a JSON {}, an object is expected", object.type_name()));
  }
  if (object.size() > kMostMetadataFields) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("metadata has {} fields, at most {} are kept", object.size(),
                              kMostMetadataFields));
  }
  Metadata metadata;
  for (const auto& [name, value] : object.members()) {
    if (value.is_null()) continue;
    if (!value.is_array()) {
      NESTOR_ASSIGN_OR_RETURN(MetadataScalar scalar, scalar_of(value, name));
      metadata.emplace(name, std::move(scalar));
      continue;
    }
    MetadataValue::List list;
    for (const JsonValue& element : value.elements()) {
      NESTOR_ASSIGN_OR_RETURN(MetadataScalar scalar, scalar_of(element, name));
      list.push_back(std::move(scalar));
    }
    metadata.emplace(name, MetadataValue(std::move(list)));
  }
  return metadata;
}

}  // namespace nestor
