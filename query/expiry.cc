#include "query/expiry.h"

#include <fmt/format.h>

#include <chrono>

namespace nestor::query {

double seconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

std::optional<double> expiry_of(const Metadata& metadata) {
  const auto found = metadata.find(kExpiresAtField);
  if (found == metadata.end() || found->second.is_list()) return std::nullopt;
  const MetadataScalar::Variant& value = found->second.scalar().variant();
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  if (const auto* large = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*large);
  if (const auto* real = std::get_if<double>(&value)) return *real;
  return std::nullopt;
}

bool is_expired(const Metadata& metadata, double now) {
  const std::optional<double> expiry = expiry_of(metadata);
  return expiry && *expiry <= now;
}

Status check_expiry(const Metadata& metadata, const std::string& whose) {
  if (!metadata.contains(kExpiresAtField) || expiry_of(metadata)) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("{}: metadata field {} says when the document ends and must be a number of "
                      "seconds since 1970",
                      whose, kExpiresAtField)};
}

}  // namespace nestor::query
