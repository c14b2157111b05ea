// What every use of ICU over UTF-8 needs: its failures in words, and a text it can walk over.
// Threads: a Utf8Text belongs to one thread.
#pragma once

#include <fmt/format.h>
#include <unicode/uchar.h>
#include <unicode/utext.h>
#include <unicode/utf8.h>
#include <unicode/utypes.h>

#include <cstdint>
#include <string_view>

#include "nestor/status.h"

namespace nestor::query {

inline Status icu_failure(const char* action, UErrorCode error) {
  return {StatusCode::kInternal,
          fmt::format("ICU cannot {}: {}; is its data file (libicu) in place?", action,
                      u_errorName(error))};
}

// Closes on every way out. An iterator keeps a shallow clone of it, of the same bytes.
class Utf8Text {
 public:
  explicit Utf8Text(std::string_view text) {
    utext_openUTF8(&text_, text.data(), static_cast<std::int64_t>(text.size()), &error_);
  }
  ~Utf8Text() { utext_close(&text_); }
  Utf8Text(const Utf8Text&) = delete;
  Utf8Text& operator=(const Utf8Text&) = delete;
  UText* get() { return &text_; }
  [[nodiscard]] UErrorCode error() const { return error_; }

 private:
  UText text_ = UTEXT_INITIALIZER;
  UErrorCode error_ = U_ZERO_ERROR;
};

// Nothing in it that a reader sees: white space, controls, characters of no width. REQUIRES: UTF-8.
inline bool is_blank(std::string_view text) {
  const auto length = static_cast<std::int64_t>(text.size());
  for (std::int64_t offset = 0; offset < length;) {
    UChar32 c = 0;
    U8_NEXT(text.data(), offset, length, c);
    const bool unseen = u_isUWhiteSpace(c) || u_iscntrl(c) ||
                        u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT);
    if (!unseen) return false;
  }
  return true;
}

}  // namespace nestor::query
