#include "storage/metadata_codec.h"

#include <bit>

namespace nestor::storage {
namespace {

// STORED: never renumber.
enum Kind : std::uint8_t {
  kString = 0,
  kInteger = 1,
  kDouble = 2,
  kBoolean = 3,
  kList = 4,
  kLargeInteger = 5,  // above 2^63 - 1
};

void put_scalar(ByteWriter& out, const MetadataScalar& scalar) {
  const MetadataScalar::Variant& value = scalar.variant();
  if (const auto* text = std::get_if<std::string>(&value)) {
    out.u8(kString);
    out.string(*text);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    out.u8(kInteger);
    out.u64(static_cast<std::uint64_t>(*integer));
  } else if (const auto* number = std::get_if<double>(&value)) {
    out.u8(kDouble);
    out.u64(std::bit_cast<std::uint64_t>(*number));
  } else if (const auto* large = std::get_if<std::uint64_t>(&value)) {
    out.u8(kLargeInteger);
    out.u64(*large);
  } else {
    out.u8(kBoolean);
    out.u8(std::get<bool>(value) ? 1 : 0);
  }
}

MetadataScalar take_scalar(RecordReader& in, std::uint8_t kind) {
  switch (kind) {
    case kString:
      return in.string();
    case kInteger:
      return static_cast<std::int64_t>(in.u64());
    case kDouble:
      return std::bit_cast<double>(in.u64());
    case kBoolean:
      return in.flag();
    case kLargeInteger: {
      const std::uint64_t large = in.u64();
      in.require(large > INT64_MAX);
      return large;
    }
    default:
      in.require(false);
      return false;
  }
}

}  // namespace

void put_metadata(ByteWriter& out, const Metadata& metadata) {
  out.varint(metadata.size());
  for (const auto& [name, value] : metadata) {
    out.string(name);
    if (!value.is_list()) {
      put_scalar(out, value.scalar());
      continue;
    }
    out.u8(kList);
    out.varint(value.list().size());
    for (const MetadataScalar& scalar : value.list()) put_scalar(out, scalar);
  }
}

Metadata take_metadata(RecordReader& in) {
  Metadata metadata;
  for (std::size_t left = in.elements(3); left > 0 && in.ok(); --left) {
    std::string name = in.string();
    const std::uint8_t kind = in.u8();
    if (kind != kList) {
      metadata.insert_or_assign(std::move(name), MetadataValue(take_scalar(in, kind)));
      continue;
    }
    MetadataValue::List list;
    for (std::size_t elements = in.elements(2); elements > 0 && in.ok(); --elements) {
      list.push_back(take_scalar(in, in.u8()));
    }
    metadata.insert_or_assign(std::move(name), MetadataValue(std::move(list)));
  }
  return metadata;
}

}  // namespace nestor::storage
