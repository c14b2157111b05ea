// From the bytes of a text file to UTF-8, and where each passage lies in the file. A byte order
// mark is taken off and decides between UTF-8, UTF-16 and UTF-32; without one the bytes are UTF-8.
// What is ill-formed becomes U+FFFD, as WHATWG's decoder does it. Threads: free functions, safe
// anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nestor/document.h"
#include "nestor/status.h"

namespace nestor {

struct DecodedText {
  std::string text;  // well-formed UTF-8 without a byte order mark
  SourceMap source;
  std::int64_t replaced_count = 0;  // ill-formed sequences
};

// By its byte order mark; kUtf8 without one.
SourceMap::Encoding encoding_of(std::string_view bytes);
// "UTF-16LE".
const char* encoding_name(SourceMap::Encoding encoding);
// Errors: kInvalidArgument names the encodings there are.
Result<SourceMap::Encoding> parse_encoding(std::string_view name);
DecodedText decode_text(std::string_view bytes);

inline constexpr std::size_t kMostSourceChanges = 1'000'000;
// Whether a map can be one of this text. Errors: kInvalidArgument, what is wrong.
Status check_source(const SourceMap& source, std::string_view text);

}  // namespace nestor
