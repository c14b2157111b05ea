#include "core/text_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/text.h"

namespace nestor {
namespace {

using Encoding = SourceMap::Encoding;

struct EncodingFacts {
  Encoding encoding;
  const char* name;
  std::string_view mark;
  std::size_t unit_bytes;
};
// UTF-32LE before UTF-16LE, whose mark it begins with.
constexpr std::array<EncodingFacts, 5> kEncodings = {{
    {Encoding::kUtf32Le, "UTF-32LE", std::string_view("\xFF\xFE\0\0", 4), 4},
    {Encoding::kUtf32Be, "UTF-32BE", std::string_view("\0\0\xFE\xFF", 4), 4},
    {Encoding::kUtf16Le, "UTF-16LE", "\xFF\xFE", 2},
    {Encoding::kUtf16Be, "UTF-16BE", "\xFE\xFF", 2},
    {Encoding::kUtf8, "UTF-8", "\xEF\xBB\xBF", 1},
}};

const EncodingFacts& facts_of(Encoding encoding) {
  for (const EncodingFacts& facts : kEncodings) {
    if (facts.encoding == encoding) return facts;
  }
  return kEncodings.back();
}

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0 | c >> 6));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | c >> 12));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | c >> 18));
    out.push_back(static_cast<char>(0x80 | (c >> 12 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

bool is_surrogate(char32_t c) { return c >= 0xD800 && c <= 0xDFFF; }

// The units of UTF-16 and UTF-32.
class Units {
 public:
  Units(std::string_view bytes, const EncodingFacts& facts)
      : bytes_(bytes),
        width_(facts.unit_bytes),
        big_endian_(facts.encoding == Encoding::kUtf16Be || facts.encoding == Encoding::kUtf32Be) {}
  [[nodiscard]] std::size_t count() const { return bytes_.size() / width_; }
  [[nodiscard]] bool has_rest() const { return bytes_.size() % width_ != 0; }
  [[nodiscard]] char32_t at(std::size_t index) const {
    char32_t unit = 0;
    for (std::size_t i = 0; i < width_; ++i) {
      const std::size_t byte = big_endian_ ? i : width_ - 1 - i;
      unit = unit << 8 | static_cast<unsigned char>(bytes_[index * width_ + byte]);
    }
    return unit;
  }

 private:
  std::string_view bytes_;
  std::size_t width_;
  bool big_endian_;
};

// Each unit that is no code point becomes one U+FFFD, which is one unit too: so the place of a
// passage in the file follows from the text alone. Bytes that are no whole unit are left out.
DecodedText decode_units(std::string_view bytes, const EncodingFacts& facts) {
  DecodedText decoded;
  decoded.source.encoding = facts.encoding;
  const Units units(bytes, facts);
  decoded.text.reserve(bytes.size());
  for (std::size_t i = 0; i < units.count(); ++i) {
    char32_t c = units.at(i);
    const bool high = facts.unit_bytes == 2 && c >= 0xD800 && c <= 0xDBFF && i + 1 < units.count();
    if (const char32_t low = high ? units.at(i + 1) : 0; low >= 0xDC00 && low <= 0xDFFF) {
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
      ++i;
    } else if (is_surrogate(c) || c > 0x10FFFF) {
      c = 0xFFFD;
      ++decoded.replaced_count;
    }
    append_utf8(decoded.text, c);
  }
  decoded.replaced_count += units.has_rest() ? 1 : 0;
  return decoded;
}

void note_replaced(std::vector<SourceMap::Change>& changes, std::size_t text_offset,
                   std::size_t source_bytes) {
  const auto bytes = static_cast<std::int32_t>(source_bytes);
  const auto character = static_cast<std::int32_t>(kReplacementCharacter.size());
  if (!changes.empty()) {
    SourceMap::Change& last = changes.back();
    const std::int32_t count = last.text_bytes / character;
    const bool goes_on =
        count > 0 && last.source_bytes == bytes * count &&
        last.text_offset + last.text_bytes == static_cast<std::int32_t>(text_offset);
    if (goes_on) {
      last.text_bytes += character;
      last.source_bytes += bytes;
      return;
    }
  }
  changes.push_back({static_cast<std::int32_t>(text_offset), character, bytes});
}

DecodedText decode_utf8(std::string_view bytes, std::size_t mark_bytes) {
  DecodedText decoded;
  if (mark_bytes > 0) {
    decoded.source.changes.push_back({0, 0, static_cast<std::int32_t>(mark_bytes)});
  }
  if (!find_invalid_utf8(bytes).has_value()) {
    decoded.text = bytes;
    return decoded;
  }
  decoded.text.reserve(bytes.size());
  for (std::size_t offset = 0; offset < bytes.size();) {
    const Utf8Step step = step_utf8(bytes, offset);
    if (!step.well_formed) {
      note_replaced(decoded.source.changes, decoded.text.size(), step.bytes);
      ++decoded.replaced_count;
    }
    decoded.text += step.well_formed ? bytes.substr(offset, step.bytes) : kReplacementCharacter;
    offset += step.bytes;
  }
  return decoded;
}

// Units that a well-formed text has in UTF-16 or UTF-32.
std::int64_t count_units(std::string_view text, std::size_t unit_bytes) {
  std::int64_t units = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) != 0x80) ++units;
    if (unit_bytes == 2 && byte >= 0xF0) ++units;  // a pair of surrogates
  }
  return units;
}

}  // namespace

bool SourceMap::is_identity() const { return encoding == Encoding::kUtf8 && changes.empty(); }

ByteRange SourceMap::in_source(std::string_view text, ByteRange range) const {
  if (encoding != Encoding::kUtf8) {
    const EncodingFacts& facts = facts_of(encoding);
    const auto place = [&](std::int64_t offset) {
      const std::string_view before = text.substr(0, static_cast<std::size_t>(offset));
      return static_cast<std::int64_t>(facts.mark.size()) +
             count_units(before, facts.unit_bytes) * static_cast<std::int64_t>(facts.unit_bytes);
    };
    return {place(range.begin), place(range.end)};
  }
  const auto place = [&](std::int64_t offset) {
    std::int64_t source = offset;
    for (const Change& change : changes) {
      if (change.text_offset > offset) break;
      const std::int64_t inside =
          std::min<std::int64_t>(offset - change.text_offset, change.text_bytes);
      source -= inside;
      source += change.text_bytes == 0 ? change.source_bytes
                                       : inside * change.source_bytes / change.text_bytes;
    }
    return source;
  };
  return {place(range.begin), place(range.end)};
}

SourceMap::Encoding encoding_of(std::string_view bytes) {
  for (const EncodingFacts& facts : kEncodings) {
    if (bytes.starts_with(facts.mark)) return facts.encoding;
  }
  return Encoding::kUtf8;
}

const char* encoding_name(SourceMap::Encoding encoding) { return facts_of(encoding).name; }

Result<SourceMap::Encoding> parse_encoding(std::string_view name) {
  std::string there_are;
  for (const EncodingFacts& facts : kEncodings) {
    if (name == facts.name) return facts.encoding;
    there_are += (there_are.empty() ? "" : ", ") + std::string(facts.name);
  }
  return Status(StatusCode::kInvalidArgument,
                fmt::format("no encoding {}; there are {}", quote_for_message(name), there_are));
}

DecodedText decode_text(std::string_view bytes) {
  const EncodingFacts& facts = facts_of(encoding_of(bytes));
  const bool marked = bytes.starts_with(facts.mark);
  const std::size_t mark_bytes = marked ? facts.mark.size() : 0;
  bytes.remove_prefix(mark_bytes);
  return facts.unit_bytes == 1 ? decode_utf8(bytes, mark_bytes) : decode_units(bytes, facts);
}

Status check_source(const SourceMap& source, std::string_view text) {
  const auto invalid = [](std::string what) {
    return Status(StatusCode::kInvalidArgument, "the source map " + std::move(what));
  };
  if (source.encoding > Encoding::kUtf32Be) return invalid("names no encoding");
  if (source.encoding != Encoding::kUtf8 && !source.changes.empty()) {
    return invalid(fmt::format("has changes, which {} has not", encoding_name(source.encoding)));
  }
  if (source.changes.size() > kMostSourceChanges) {
    return invalid(fmt::format("has {} changes, at most {} are kept", source.changes.size(),
                               kMostSourceChanges));
  }
  std::int64_t end = 0;
  for (const SourceMap::Change& change : source.changes) {
    const std::int64_t size = change.text_bytes;
    const bool whole = size % static_cast<std::int64_t>(kReplacementCharacter.size()) == 0;
    if (change.text_offset < end || size < 0 || !whole || change.source_bytes <= 0 ||
        change.text_offset + size > static_cast<std::int64_t>(text.size())) {
      return invalid(fmt::format("lets {} bytes at {} stand for {} in a text of {}", size,
                                 change.text_offset, change.source_bytes, text.size()));
    }
    end = change.text_offset + size;
    for (std::int64_t at = change.text_offset; at < end; at += std::ssize(kReplacementCharacter)) {
      if (text.substr(static_cast<std::size_t>(at)).starts_with(kReplacementCharacter)) continue;
      return invalid(
          fmt::format("says that byte {} of the text was ill-formed, but no U+FFFD "
                      "stands there",
                      at));
    }
  }
  return {};
}

}  // namespace nestor
