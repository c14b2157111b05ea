#include "nestor/document.h"

#include <fmt/format.h>

#include <cmath>

#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor {
namespace {

constexpr std::size_t kMostMetadataBytes = 1 << 20;
constexpr std::size_t kMostMetadataFields = 1024;

nlohmann::json scalar_to_json(const MetadataScalar& scalar) {
  return std::visit([](const auto& value) { return nlohmann::json(value); }, scalar.variant());
}

Result<MetadataScalar> scalar_of(const nlohmann::json& value, const std::string& field) {
  if (value.is_string()) return MetadataScalar(value.get_ref<const std::string&>());
  if (value.is_boolean()) return MetadataScalar(value.get<bool>());
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) {
    return MetadataScalar(static_cast<double>(value.get<std::uint64_t>()));
  }
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

}  // namespace

std::string metadata_to_json(const Metadata& metadata) {
  nlohmann::json object = nlohmann::json::object();
  for (const auto& [name, value] : metadata) {
    if (value.is_list()) {
      nlohmann::json list = nlohmann::json::array();
      for (const MetadataScalar& element : value.list()) list.push_back(scalar_to_json(element));
      object[name] = std::move(list);
    } else {
      object[name] = scalar_to_json(value.scalar());
    }
  }
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Metadata> parse_metadata(std::string_view json) {
  if (json.size() > kMostMetadataBytes) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("metadata has {} bytes, at most {} are kept", json.size(), kMostMetadataBytes));
  }
  auto parsed = parse_json(json, {.most_depth = 2, .most_values = 100'000});
  if (!parsed.ok()) return parsed.status().with_context("metadata");
  const nlohmann::json& object = parsed.value();
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
  for (const auto& [name, value] : object.items()) {
    if (!value.is_array()) {
      NESTOR_ASSIGN_OR_RETURN(MetadataScalar scalar, scalar_of(value, name));
      metadata.emplace(name, std::move(scalar));
      continue;
    }
    MetadataValue::List list;
    for (const nlohmann::json& element : value) {
      NESTOR_ASSIGN_OR_RETURN(MetadataScalar scalar, scalar_of(element, name));
      list.push_back(std::move(scalar));
    }
    metadata.emplace(name, MetadataValue(std::move(list)));
  }
  return metadata;
}

}  // namespace nestor
