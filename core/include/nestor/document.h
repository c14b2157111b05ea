// Documents, metadata and what comes back of them.
//
//   nestor::Document doc{.key = "a", .title = "storage", .text = "RocksDB keeps sorted runs",
//                        .metadata = {{"year", 2024}, {"tags", {"db", "lsm"}}}};
//
// Threads: values.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "nestor/export.h"
#include "nestor/status.h"

namespace nestor {

// A string, an integer, a floating-point number or a boolean. Integers from -2^63 to 2^64 - 1 are
// kept as they are: std::uint64_t holds those above 2^63 - 1, and no others.
class MetadataScalar {
 public:
  using Variant = std::variant<std::string, std::int64_t, double, bool, std::uint64_t>;
  MetadataScalar(const char* text) : value_(std::string(text)) {}
  MetadataScalar(std::string text) : value_(std::move(text)) {}
  MetadataScalar(std::string_view text) : value_(std::string(text)) {}
  template <typename Number>
  requires std::is_arithmetic_v<Number> MetadataScalar(Number number)
      : value_(number_as_kept(number)) {}
  [[nodiscard]] const Variant& variant() const { return value_; }
  bool operator==(const MetadataScalar&) const = default;

 private:
  template <typename Number>
  static Variant number_as_kept(Number number) {
    if constexpr (std::is_same_v<Number, bool>) {
      return Variant(number);
    } else if constexpr (!std::is_integral_v<Number>) {
      return Variant(static_cast<double>(number));
    } else if constexpr (std::is_unsigned_v<Number> && sizeof(Number) >= sizeof(std::uint64_t)) {
      return unsigned_as_kept(number);
    } else {
      return Variant(static_cast<std::int64_t>(number));
    }
  }
  // An std::int64_t where it fits into one. Not inline: g++ 12 warns of the strings it could be.
  NESTOR_API static Variant unsigned_as_kept(std::uint64_t number);

  Variant value_;
};

// One field's value: a scalar or a list of scalars.
class MetadataValue {
 public:
  using List = std::vector<MetadataScalar>;
  MetadataValue() : value_(MetadataScalar(std::string())) {}
  MetadataValue(MetadataScalar scalar) : value_(std::move(scalar)) {}
  MetadataValue(List list) : value_(std::move(list)) {}
  MetadataValue(std::initializer_list<MetadataScalar> list) : value_(List(list)) {}
  MetadataValue(const char* text) : value_(MetadataScalar(text)) {}
  MetadataValue(std::string text) : value_(MetadataScalar(std::move(text))) {}
  template <typename Number>
  requires std::is_arithmetic_v<Number> MetadataValue(Number number)
      : value_(MetadataScalar(number)) {}

  [[nodiscard]] bool is_list() const { return std::holds_alternative<List>(value_); }
  // REQUIRES: !is_list() and is_list() respectively.
  [[nodiscard]] const MetadataScalar& scalar() const { return std::get<MetadataScalar>(value_); }
  [[nodiscard]] const List& list() const { return std::get<List>(value_); }
  bool operator==(const MetadataValue&) const = default;

 private:
  std::variant<MetadataScalar, List> value_;
};

using Metadata = std::map<std::string, MetadataValue>;

// A JSON object with one member a field, in the order of the names; "{}" for none. Numbers keep
// their kind: an integer comes back as an integer. Errors: none for what parse_metadata accepts.
NESTOR_API std::string metadata_to_json(const Metadata& metadata);
// A member that is null is no field, and null instead of the object is no metadata. Errors:
// kInvalidArgument for anything but an object of strings, finite numbers, booleans and flat lists
// of them; over 1,024 fields, 1 MiB, a number outside the range of a double, or a whole number that
// neither 64 bits nor a double hold exactly (2^64 + 1; with a point or an exponent it is rounded).
NESTOR_API Result<Metadata> parse_metadata(std::string_view json);

// Half-open ranges of a passage in its document's text.
struct ByteRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool operator==(const ByteRange&) const = default;
};
// Lines count from 1; both ends belong to the passage.
struct LineRange {
  std::int64_t first = 1;
  std::int64_t last = 1;
  bool operator==(const LineRange&) const = default;
};

// How the bytes of a file became a document's text, so that a passage can be found in the file. A
// default one says that the text is the file, byte for byte.
struct NESTOR_API SourceMap {
  // Of the file; others than kUtf8 begin with a byte order mark. STORED: never renumber.
  enum class Encoding : std::uint8_t {
    kUtf8 = 0,
    kUtf16Le = 1,
    kUtf16Be = 2,
    kUtf32Le = 3,
    kUtf32Be = 4,
  };
  // From `text_offset` on `text_bytes` of the text stand for `source_bytes` of the file: none for a
  // byte order mark, a run of U+FFFD for ill-formed sequences of one length. Ascending, of kUtf8
  // only.
  struct Change {
    std::int32_t text_offset = 0;
    std::int32_t text_bytes = 0;
    std::int32_t source_bytes = 0;
    bool operator==(const Change&) const = default;
  };
  Encoding encoding = Encoding::kUtf8;
  std::vector<Change> changes = {};
  [[nodiscard]] bool is_identity() const;
  // Where a range of `text`, which this map belongs to, is in the file. Cost: a pass over the
  // changes; over the text up to there where the encoding is not UTF-8.
  [[nodiscard]] ByteRange in_source(std::string_view text, ByteRange range) const;
  bool operator==(const SourceMap&) const = default;
};

struct Document {
  std::string key =
      {};  // 1 to 512 bytes of UTF-8 without NUL; names the document in its collection
  std::string title = {};
  std::string text = {};  // UTF-8, at most 16 MiB
  Metadata metadata = {};
  // Bring your own: used as it is instead of embedding the text; the text is then one passage.
  // Empty: the collection's model embeds the text.
  std::vector<float> vector = {};
  // What the text was read from; kept with the document.
  SourceMap source = {};
};

}  // namespace nestor
