#include "storage/record_frame.h"

#include <fmt/format.h>

#include "core/hash.h"
#include "storage/key_schema.h"

namespace nestor::storage {
namespace {

constexpr std::size_t kCheckBytes = 8;

std::uint64_t record_check(std::string_view key, std::string_view body) {
  return hash64(body) ^ hash64(key);
}

}  // namespace

std::string seal_record(std::string_view key, const ByteWriter& payload, std::uint8_t version) {
  ByteWriter sealed;
  sealed.u8(version);
  sealed.raw(payload.bytes());
  sealed.u64(record_check(key, sealed.bytes()));
  return sealed.take();
}

Result<std::string_view> open_record(std::string_view key, std::string_view value,
                                     std::uint8_t newest) {
  if (value.size() < 1 + kCheckBytes) {
    return damaged_record(
        key, fmt::format("{} bytes, expected at least {}", value.size(), 1 + kCheckBytes));
  }
  const std::string_view body = value.substr(0, value.size() - kCheckBytes);
  std::uint64_t check = 0;
  ByteReader(value.substr(body.size())).u64(check);
  if (const std::uint64_t expected = record_check(key, body); check != expected) {
    return damaged_record(key,
                          fmt::format("checksum {:016x}, the bytes give {:016x}", check, expected));
  }
  const auto version = static_cast<std::uint8_t>(body.front());
  if (version > newest) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("{} has record version {}, this program reads up to {}; use a newer "
                              "Nestor",
                              describe_key(key), version, newest));
  }
  if (version == 0) return damaged_record(key, "record version 0");
  return body.substr(1);
}

Status damaged_record(std::string_view key, std::string_view what) {
  return {StatusCode::kDataLoss, fmt::format("{} is damaged ({}); restore the database "
                                             "from a backup or index again",
                                             describe_key(key), what)};
}

std::int64_t RecordReader::count(std::int64_t most) {
  const std::uint64_t value = varint();
  if (value > static_cast<std::uint64_t>(most)) {
    ok_ = false;
    return 0;
  }
  return static_cast<std::int64_t>(value);
}

std::size_t RecordReader::elements(std::size_t element_bytes) {
  const std::uint64_t value = varint();
  if (!ok_ || value > bytes_.rest().size() / element_bytes) {
    ok_ = false;
    return 0;
  }
  return static_cast<std::size_t>(value);
}

void RecordReader::skip(std::size_t count) {
  std::string_view skipped;
  ok_ = bytes_.raw(count, skipped) && ok_;
}

}  // namespace nestor::storage
