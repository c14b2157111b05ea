#include "embed/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "core/bytes.h"
#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor::embed {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::array<NumberFormat, 3> kFormats = {NumberFormat::kF32, NumberFormat::kF16,
                                                  NumberFormat::kBf16};
constexpr std::array<std::string_view, 13> kOtherDtypes = {
    "F64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "I64", "I32", "I16",
    "I8",  "U64",     "U32",     "U16",     "U8",  "BOOL"};

// Refusals of one file; each begins with its path.
class Refusal {
 public:
  explicit Refusal(const std::string& path) : path_(path) {}
  template <typename... Arguments>
  Status operator()(StatusCode code, fmt::format_string<Arguments...> format,
                    Arguments&&... arguments) const {
    return {code, path_ + ": " + fmt::format(format, std::forward<Arguments>(arguments)...) +
                      ". The file is damaged or no safetensors file; get the model again."};
  }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const std::string& path_;
};

Result<std::string> read_header_text(const RandomAccessFile& file, const Refusal& refuse) {
  if (file.bytes() < kLengthBytes) {
    return refuse(StatusCode::kDataLoss, "{} bytes, less than the 8 of the header length",
                  file.bytes());
  }
  std::array<char, kLengthBytes> prefix = {};
  NESTOR_RETURN_IF_ERROR(file.read(0, prefix));
  std::uint64_t header_bytes = 0;
  ByteReader reader(std::string_view(prefix.data(), prefix.size()));
  reader.u64(header_bytes);
  if (header_bytes > kMostHeaderBytes) {
    return refuse(StatusCode::kDataLoss, "a header of {} bytes, at most {} are read", header_bytes,
                  kMostHeaderBytes);
  }
  if (header_bytes > file.bytes() - kLengthBytes) {
    return refuse(StatusCode::kDataLoss, "a header of {} bytes in a file of {}", header_bytes,
                  file.bytes());
  }
  std::string text(header_bytes, '\0');
  NESTOR_RETURN_IF_ERROR(file.read(kLengthBytes, text));
  // Every member has a colon: counting them refuses a flood of entries before any of it is built.
  const auto colons = std::count(text.begin(), text.end(), ':');
  if (constexpr std::int64_t kMostColons = 5 * kMostTensors; colons > kMostColons) {
    return refuse(StatusCode::kDataLoss, "a header of {} members, at most {} tensors are read",
                  colons, kMostTensors);
  }
  if (text.empty() || text.front() != '{') {
    return refuse(StatusCode::kDataLoss, "the header does not begin with '{{'");
  }
  return text;
}

// The value as a count, or nothing: whole, not negative, in range.
std::optional<std::uint64_t> whole_number(const JsonValue& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  return value.get<std::uint64_t>();
}

Result<NumberFormat> parse_dtype(const std::string& name, const JsonValue& entry,
                                 const Refusal& refuse) {
  const JsonValue* const dtype = entry.find("dtype");
  if (dtype == nullptr || !dtype->is_string()) {
    return refuse(StatusCode::kDataLoss, "tensor {} has no dtype", quote_for_message(name));
  }
  const std::string& text = dtype->text();
  for (const NumberFormat format : kFormats) {
    if (text == number_format_name(format)) return format;
  }
  if (std::find(kOtherDtypes.begin(), kOtherDtypes.end(), text) != kOtherDtypes.end()) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("{}: tensor {} is of dtype {}; this version reads F32, F16 and BF16 "
                              "weights. Use such a file of the model.",
                              refuse.path(), quote_for_message(name), text));
  }
  return refuse(StatusCode::kDataLoss, "tensor {} has the unknown dtype {}",
                quote_for_message(name), quote_for_message(text));
}

Result<TensorEntry> parse_shape(const std::string& name, const JsonValue& entry,
                                NumberFormat format, const Refusal& refuse) {
  const JsonValue* const shape = entry.find("shape");
  if (shape == nullptr || !shape->is_array() || shape->size() > kMostDimensions) {
    return refuse(StatusCode::kDataLoss,
                  "tensor {} has no shape, or one of more than {} dimensions",
                  quote_for_message(name), kMostDimensions);
  }
  TensorEntry tensor;
  tensor.format = format;
  tensor.bytes = stored_bytes(format, 1);
  for (const JsonValue& dimension : shape->elements()) {
    const std::optional<std::uint64_t> size = whole_number(dimension);
    if (!size.has_value() || *size > INT64_MAX) {
      return refuse(StatusCode::kDataLoss, "tensor {} has the dimension {}, no whole number",
                    quote_for_message(name), quote_for_message(dimension.dump()));
    }
    if (__builtin_mul_overflow(tensor.bytes, *size, &tensor.bytes)) {
      return refuse(StatusCode::kDataLoss, "the shape of tensor {} is over 2^64 bytes",
                    quote_for_message(name));
    }
    tensor.shape.push_back(static_cast<std::int64_t>(*size));
  }
  return tensor;
}

Result<TensorEntry> parse_entry(const std::string& name, const JsonValue& entry,
                                std::uint64_t data_bytes, const Refusal& refuse) {
  if (!entry.is_object() || entry.size() != 3) {
    return refuse(StatusCode::kDataLoss,
                  "the entry of tensor {} is not {{dtype, shape, data_offsets}}",
                  quote_for_message(name));
  }
  NESTOR_ASSIGN_OR_RETURN(const NumberFormat format, parse_dtype(name, entry, refuse));
  NESTOR_ASSIGN_OR_RETURN(TensorEntry tensor, parse_shape(name, entry, format, refuse));
  const JsonValue* const offsets = entry.find("data_offsets");
  std::optional<std::uint64_t> begin, end;
  if (offsets != nullptr && offsets->is_array() && offsets->size() == 2) {
    begin = whole_number(offsets->elements()[0]);
    end = whole_number(offsets->elements()[1]);
  }
  if (!begin.has_value() || !end.has_value()) {
    return refuse(StatusCode::kDataLoss, "tensor {} has no pair of whole data_offsets",
                  quote_for_message(name));
  }
  if (*begin > *end || *end > data_bytes) {
    return refuse(StatusCode::kDataLoss, "tensor {} lies at [{}, {}) in {} bytes of data",
                  quote_for_message(name), *begin, *end, data_bytes);
  }
  if (*end - *begin != tensor.bytes) {
    return refuse(StatusCode::kDataLoss, "tensor {} has {} bytes, its shape {} needs {}",
                  quote_for_message(name), *end - *begin, shape_text(tensor.shape), tensor.bytes);
  }
  tensor.offset = *begin;
  return tensor;
}

// In the order of their offsets the tensors must follow one another from 0 to the end.
Status check_tiling(const TensorTable& table, std::uint64_t data_bytes, const Refusal& refuse) {
  std::vector<const TensorTable::value_type*> ordered;
  ordered.reserve(table.size());
  for (const auto& item : table) ordered.push_back(&item);
  std::sort(ordered.begin(), ordered.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.offset, a->second.bytes) <
           std::pair(b->second.offset, b->second.bytes);
  });
  std::uint64_t expected = 0;
  for (const auto* item : ordered) {
    if (item->second.offset != expected) {
      return refuse(StatusCode::kDataLoss,
                    "tensor {} begins at {}, the one before it ends at {}: {}",
                    quote_for_message(item->first), item->second.offset, expected,
                    item->second.offset < expected ? "an overlap" : "a gap");
    }
    expected += item->second.bytes;
  }
  if (expected != data_bytes) {
    return refuse(StatusCode::kDataLoss, "{} bytes after the last tensor", data_bytes - expected);
  }
  return {};
}

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t dimension : shape) {
    text += (text.empty() ? "[" : ", ") + std::to_string(dimension);
  }
  return text.empty() ? "[]" : text + "]";
}

Result<TensorTable> read_safetensors_header(const RandomAccessFile& file) {
  const Refusal refuse(file.path());
  NESTOR_ASSIGN_OR_RETURN(const std::string text, read_header_text(file, refuse));
  const std::uint64_t data_start = kLengthBytes + text.size();
  const std::uint64_t data_bytes = file.bytes() - data_start;
  // An entry is an object, three members and the elements of two arrays.
  constexpr std::int64_t kMostValuesOfATensor = 4 + 2 + kMostDimensions;
  const Result<JsonValue> parsed =
      parse_json(text, {.most_depth = 4, .most_values = kMostTensors * kMostValuesOfATensor});
  if (!parsed.ok()) {
    return refuse(StatusCode::kDataLoss, "the header is refused, {}", parsed.status().message());
  }
  const JsonValue& header = parsed.value();
  if (std::int64_t count = static_cast<std::int64_t>(header.size()); count > kMostTensors) {
    return refuse(StatusCode::kDataLoss, "{} tensors, at most {} are read", count, kMostTensors);
  }
  TensorTable table;
  for (const auto& [name, entry] : header.members()) {
    if (name == "__metadata__") continue;  // free text about the file
    NESTOR_ASSIGN_OR_RETURN(TensorEntry tensor, parse_entry(name, entry, data_bytes, refuse));
    table.emplace(name, std::move(tensor));
  }
  NESTOR_RETURN_IF_ERROR(check_tiling(table, data_bytes, refuse));
  for (auto& [name, tensor] : table) tensor.offset += data_start;
  return table;
}

}  // namespace nestor::embed
