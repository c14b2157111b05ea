#include "embed/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/macros.h"
#include "core/text.h"

namespace nestor::embed {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::uint64_t kDefaultAlignment = 32;

// Source: enum gguf_type in gguf.h.
enum class ValueType : std::uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// The least bytes a value takes in the file; 0 for what is no type.
std::uint64_t least_bytes(ValueType type) {
  switch (type) {
    case ValueType::kUint8:
    case ValueType::kInt8:
    case ValueType::kBool:
      return 1;
    case ValueType::kUint16:
    case ValueType::kInt16:
      return 2;
    case ValueType::kUint32:
    case ValueType::kInt32:
    case ValueType::kFloat32:
      return 4;
    case ValueType::kString:  // its length
    case ValueType::kUint64:
    case ValueType::kInt64:
    case ValueType::kFloat64:
      return 8;
    case ValueType::kArray:
      return 12;
  }
  return 0;
}

// Reads the header front to back through one window. The first failure sticks and later reads give
// zeros and empty strings, so that a record can be read in a row and status() asked once.
class HeaderReader {
 public:
  explicit HeaderReader(const RandomAccessFile& file)
      : file_(file), end_(std::min(file.bytes(), kMostGgufHeaderBytes)) {}

  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] bool ok() const { return status_.ok(); }
  [[nodiscard]] std::uint64_t position() const { return window_start_ + used_; }
  [[nodiscard]] std::uint64_t rest() const { return end_ - position(); }
  [[nodiscard]] const RandomAccessFile& file() const { return file_; }

  template <typename T>
  T number() {
    T value = {};
    if (take(sizeof value)) std::memcpy(&value, &window_[used_ - sizeof value], sizeof value);
    return value;
  }

  std::string string(std::uint64_t most_bytes, std::string_view what) {
    const auto length = number<std::uint64_t>();
    if (!ok()) return {};
    if (length > most_bytes || length > rest()) {
      fail(fmt::format("{} of {} bytes, at most {} fit there", what, length,
                       std::min(most_bytes, rest())));
      return {};
    }
    if (!take(length)) return {};
    return {&window_[used_ - length], length};
  }

  void fail(std::string_view problem, StatusCode code = StatusCode::kDataLoss) {
    if (!ok()) return;
    status_ = Status(code, fmt::format("{}: at byte {}: {}. The file is damaged or no GGUF of this "
                                       "kind; get it again.",
                                       file_.path(), position(), problem));
  }
  void refuse(std::string message) {
    if (ok()) status_ = Status(StatusCode::kUnsupported, file_.path() + ": " + std::move(message));
  }

 private:
  static constexpr std::uint64_t kWindowBytes = 1ULL << 20;
  static_assert(kMostGgufStringBytes <= kWindowBytes);

  // Makes the next `count` bytes the last used ones of the window.
  bool take(std::uint64_t count) {
    if (!ok()) return false;
    if (count > rest()) {
      fail(end_ < file_.bytes()
               ? fmt::format("the header goes on past the {} bytes that are read", end_)
               : fmt::format("{} bytes wanted, the file ends after {}", count, rest()));
      return false;
    }
    if (window_.size() - used_ < count) {
      window_start_ += used_;
      used_ = 0;
      window_.resize(std::min(kWindowBytes, end_ - window_start_));
      status_ = file_.read(window_start_, window_);
      if (!ok()) return false;
    }
    used_ += count;
    return true;
  }

  const RandomAccessFile& file_;
  const std::uint64_t end_;
  std::string window_;
  std::uint64_t window_start_ = 0;
  std::uint64_t used_ = 0;
  Status status_;
};

std::uint64_t read_unsigned(HeaderReader& reader, ValueType type) {
  switch (type) {
    case ValueType::kUint8:
    case ValueType::kBool:
      return reader.number<std::uint8_t>();
    case ValueType::kUint16:
      return reader.number<std::uint16_t>();
    case ValueType::kUint32:
      return reader.number<std::uint32_t>();
    default:
      return reader.number<std::uint64_t>();
  }
}

std::int64_t read_signed(HeaderReader& reader, ValueType type) {
  switch (type) {
    case ValueType::kInt8:
      return reader.number<std::int8_t>();
    case ValueType::kInt16:
      return reader.number<std::int16_t>();
    case ValueType::kInt32:
      return reader.number<std::int32_t>();
    default:
      return reader.number<std::int64_t>();
  }
}

bool is_signed(ValueType type) {
  return type == ValueType::kInt8 || type == ValueType::kInt16 || type == ValueType::kInt32 ||
         type == ValueType::kInt64;
}

bool is_floating(ValueType type) {
  return type == ValueType::kFloat32 || type == ValueType::kFloat64;
}

double read_floating(HeaderReader& reader, ValueType type) {
  return type == ValueType::kFloat32 ? static_cast<double>(reader.number<float>())
                                     : reader.number<double>();
}

// `elements_left`: what is left of kMostGgufArrayElements.
GgufValue read_array(HeaderReader& reader, std::uint64_t& elements_left) {
  const auto type = static_cast<ValueType>(reader.number<std::uint32_t>());
  const auto count = reader.number<std::uint64_t>();
  if (type == ValueType::kArray) {
    reader.fail("an array of arrays, which ggml does not read either");
    return {};
  }
  const std::uint64_t element_bytes = least_bytes(type);
  if (element_bytes == 0) {
    reader.fail(fmt::format("an array of the unknown type {}", static_cast<std::uint32_t>(type)));
    return {};
  }
  if (count > elements_left || count > reader.rest() / element_bytes) {
    reader.fail(fmt::format("an array of {} elements, at most {} fit there", count,
                            std::min(elements_left, reader.rest() / element_bytes)));
    return {};
  }
  elements_left -= count;
  if (type == ValueType::kString) {
    std::vector<std::string> strings;
    strings.reserve(count);
    while (strings.size() < count && reader.ok()) {
      strings.push_back(reader.string(kMostGgufStringBytes, "a string"));
    }
    return strings;
  }
  if (is_floating(type)) {
    std::vector<double> numbers(count);
    for (double& number : numbers) number = read_floating(reader, type);
    return numbers;
  }
  std::vector<std::int64_t> numbers(count);
  for (std::int64_t& number : numbers) {
    number = is_signed(type) ? read_signed(reader, type)
                             : static_cast<std::int64_t>(
                                   std::min<std::uint64_t>(read_unsigned(reader, type), INT64_MAX));
  }
  return numbers;
}

GgufValue read_value(HeaderReader& reader, std::uint64_t& elements_left) {
  const auto type = static_cast<ValueType>(reader.number<std::uint32_t>());
  if (type == ValueType::kArray) return read_array(reader, elements_left);
  if (type == ValueType::kString) return reader.string(kMostGgufStringBytes, "a string");
  if (is_floating(type)) return read_floating(reader, type);
  if (type == ValueType::kBool) return read_unsigned(reader, type) != 0;
  if (is_signed(type)) return read_signed(reader, type);
  if (least_bytes(type) == 0) {
    reader.fail(fmt::format("a value of the unknown type {}", static_cast<std::uint32_t>(type)));
    return {};
  }
  return read_unsigned(reader, type);
}

struct Counts {
  std::uint64_t tensors = 0;
  std::uint64_t pairs = 0;
};

Counts read_preamble(HeaderReader& reader, GgufHeader& header) {
  char magic[4] = {};
  for (char& byte : magic) byte = static_cast<char>(reader.number<std::uint8_t>());
  if (std::string_view(magic, sizeof magic) != kMagic) {
    reader.fail("the magic \"GGUF\" is missing");
    return {};
  }
  header.version = reader.number<std::uint32_t>();
  if (header.version == 2U << 24 || header.version == 3U << 24) {
    reader.refuse("a big-endian GGUF; this version reads little-endian ones");
  } else if (header.version != 2 && header.version != 3) {
    reader.refuse(
        fmt::format("GGUF version {}; this version reads 2 and 3. Convert the model with "
                    "a current llama.cpp.",
                    header.version));
  }
  Counts counts;
  counts.tensors = reader.number<std::uint64_t>();
  counts.pairs = reader.number<std::uint64_t>();
  if (counts.tensors > kMostGgufTensors || counts.pairs > kMostGgufPairs) {
    reader.fail(fmt::format("{} tensors and {} metadata pairs, at most {} and {} are read",
                            counts.tensors, counts.pairs, kMostGgufTensors, kMostGgufPairs));
    return {};
  }
  return counts;
}

std::uint64_t read_alignment(HeaderReader& reader, const GgufHeader& header) {
  const GgufValue* value = header.find("general.alignment");
  if (value == nullptr) return kDefaultAlignment;
  const auto* number = std::get_if<std::uint64_t>(value);
  if (number != nullptr && std::has_single_bit(*number) && *number <= kMostGgufAlignment) {
    return *number;
  }
  reader.fail(fmt::format("general.alignment is no power of two up to {}", kMostGgufAlignment));
  return kDefaultAlignment;
}

// Shape and size; `offset` still counts from the start of the data.
GgufTensor read_tensor(HeaderReader& reader, const std::string& name, std::uint64_t alignment) {
  GgufTensor tensor;
  const auto dimensions = reader.number<std::uint32_t>();
  if (dimensions == 0 || dimensions > kMostGgufDimensions) {
    reader.fail(fmt::format("tensor {} has {} dimensions, expected 1 to {}",
                            quote_for_message(name), dimensions, kMostGgufDimensions));
    return tensor;
  }
  std::int64_t values = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto size = reader.number<std::int64_t>();
    // 8 bytes a value, the widest there is, must not overflow either.
    if (size < 0 || __builtin_mul_overflow(values, size, &values) || values > INT64_MAX / 8) {
      reader.fail(fmt::format("tensor {} has the dimension {}: over 2^63 bytes",
                              quote_for_message(name), size));
      return tensor;
    }
    tensor.shape.insert(tensor.shape.begin(), size);
  }
  const auto type = reader.number<std::uint32_t>();
  tensor.offset = reader.number<std::uint64_t>();
  if (!reader.ok()) return tensor;
  const std::optional<NumberFormat> format = number_format_of_ggml(type);
  if (!format.has_value()) {
    reader.refuse(
        fmt::format("tensor {} is stored as {}; this version reads F32, F16, BF16, Q8_0 "
                    "and Q4_0. Get such a file of the model.",
                    quote_for_message(name), ggml_type_name(type)));
    return tensor;
  }
  tensor.format = *format;
  if (tensor.shape.back() % block_size(*format).values != 0) {
    reader.fail(fmt::format("tensor {} has rows of {} values, {} stores blocks of {}",
                            quote_for_message(name), tensor.shape.back(),
                            number_format_name(*format), block_size(*format).values));
    return tensor;
  }
  tensor.bytes = stored_bytes(*format, values);
  if (tensor.offset % alignment != 0) {
    reader.fail(fmt::format("tensor {} begins at {} of the data, no multiple of {}",
                            quote_for_message(name), tensor.offset, alignment));
  }
  return tensor;
}

// Makes offsets those of the file and checks that the tensors lie in it side by side.
void place_tensors(HeaderReader& reader, GgufHeader& header, std::uint64_t alignment) {
  const std::uint64_t data_start =
      reader.position() + (alignment - reader.position() % alignment) % alignment;
  const std::uint64_t file_bytes = reader.file().bytes();
  std::vector<std::pair<const std::string, GgufTensor>*> ordered;
  for (auto& item : header.tensors) {
    GgufTensor& tensor = item.second;
    if (data_start > file_bytes || tensor.offset > file_bytes - data_start ||
        tensor.bytes > file_bytes - data_start - tensor.offset) {
      return reader.fail(fmt::format(
          "tensor {} of {} bytes at {} of the data, the file has {} "
          "bytes, the data begin at {}",
          quote_for_message(item.first), tensor.bytes, tensor.offset, file_bytes, data_start));
    }
    tensor.offset += data_start;
    ordered.push_back(&item);
  }
  std::sort(ordered.begin(), ordered.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.offset, a->second.bytes) <
           std::pair(b->second.offset, b->second.bytes);
  });
  for (std::size_t i = 1; i < ordered.size(); ++i) {
    const GgufTensor& before = ordered[i - 1]->second;
    if (ordered[i]->second.offset < before.offset + before.bytes) {
      return reader.fail(fmt::format("tensor {} overlaps tensor {}",
                                     quote_for_message(ordered[i]->first),
                                     quote_for_message(ordered[i - 1]->first)));
    }
  }
}

}  // namespace

const GgufValue* GgufHeader::find(std::string_view key) const {
  const auto at = metadata.find(key);
  return at == metadata.end() ? nullptr : &at->second;
}

const std::string* GgufHeader::text(std::string_view key) const {
  const GgufValue* value = find(key);
  return value == nullptr ? nullptr : std::get_if<std::string>(value);
}

Result<bool> is_gguf(const RandomAccessFile& file) {
  if (file.bytes() < kMagic.size()) return false;
  std::string magic(kMagic.size(), '\0');
  NESTOR_RETURN_IF_ERROR(file.read(0, magic));
  return magic == kMagic;
}

Result<GgufHeader> read_gguf_header(const RandomAccessFile& file) {
  HeaderReader reader(file);
  GgufHeader header;
  const Counts counts = read_preamble(reader, header);
  std::uint64_t elements_left = kMostGgufArrayElements;
  for (std::uint64_t i = 0; i < counts.pairs && reader.ok(); ++i) {
    std::string key = reader.string(kMostGgufNameBytes, "a key");
    GgufValue value = read_value(reader, elements_left);
    if (!reader.ok()) break;
    if (!header.metadata.emplace(key, std::move(value)).second) {
      reader.fail(fmt::format("the key {} stands there twice", quote_for_message(key)));
    }
  }
  const std::uint64_t alignment = read_alignment(reader, header);
  for (std::uint64_t i = 0; i < counts.tensors && reader.ok(); ++i) {
    const std::string name = reader.string(kMostGgufNameBytes, "a tensor's name");
    GgufTensor tensor = read_tensor(reader, name, alignment);
    if (!reader.ok()) break;
    if (!header.tensors.emplace(name, std::move(tensor)).second) {
      reader.fail(fmt::format("the tensor {} stands there twice", quote_for_message(name)));
    }
  }
  if (reader.ok()) place_tensors(reader, header, alignment);
  if (!reader.ok()) return reader.status();
  return header;
}

}  // namespace nestor::embed
