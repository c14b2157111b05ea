#include "query/name_parts.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <string>

#include "query/hangul_words.h"

namespace nestor::query {
namespace {

enum class Kind { kSeparator, kUpper, kLower, kDigit, kHangul, kOther };

bool is_apostrophe(UChar32 c) { return c == '\'' || c == 0x2018 || c == 0x2019 || c == 0xFF07; }

bool is_digit(UChar32 c) {
  return c < 0x80 ? c >= '0' && c <= '9' : u_charType(c) == U_DECIMAL_DIGIT_NUMBER;
}

// Up to the end of Latin Extended Additional: all that elide and contract.
bool is_latin_letter(UChar32 c) { return u_isalpha(c) != 0 && (c < 0x250 || (c >> 8) == 0x1E); }

Kind kind_of(UChar32 c) {
  if (c == '_' || c == '.' || c == ':' || c == ';') return Kind::kSeparator;
  if (c < 0) return Kind::kOther;
  if (is_digit(c)) return Kind::kDigit;
  if (u_isupper(c) != 0) return Kind::kUpper;
  if (u_islower(c) != 0) return Kind::kLower;
  return is_hangul(c) ? Kind::kHangul : Kind::kOther;
}

UChar32 code_point_at(std::string_view word, std::size_t& at) {
  UChar32 c = 0;
  U8_NEXT(word.data(), at, word.size(), c);
  return c;
}

bool ends_contraction(std::string_view rest) {
  constexpr std::array<std::string_view, 7> kEndings = {"s", "t", "m", "d", "re", "ve", "ll"};
  std::string lower(rest);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::find(kEndings.begin(), kEndings.end(), lower) != kEndings.end();
}

// Where the digits with separators that begin at `at` end; 0 where no separator is among them.
std::size_t separated_number_end(std::string_view word, std::size_t at) {
  bool separated = false;
  std::size_t end = at;
  while (at < word.size()) {
    const UChar32 c = code_point_at(word, at);
    if (is_digit(c)) {
      end = at;
      continue;
    }
    if (c != '.' && c != ',' && !is_apostrophe(c)) break;
    std::size_t after = at;
    if (at == word.size() || !is_digit(code_point_at(word, after))) break;
    separated = true;
  }
  return separated ? end : 0;
}

class Splitter {
 public:
  Splitter(std::string_view word, bool contractions) : word_(word), contractions_(contractions) {}

  std::vector<NamePart> run() {
    for (std::size_t at = 0; at < word_.size();) {
      const std::size_t here = at;
      const UChar32 c = code_point_at(word_, at);
      Kind kind = kind_of(c);
      if (kind == Kind::kDigit && last_ != Kind::kDigit) {
        if (const std::size_t end = separated_number_end(word_, here); end > 0) {
          take_number(here, end);
          at = end;
          continue;
        }
      }
      if (is_apostrophe(c)) kind = apostrophe_kind(at);
      take(kind, here, at);
    }
    close(word_.size());
    return std::move(parts_);
  }

 private:
  void close(std::size_t end) {
    if (begin_ < end) {
      parts_.push_back(
          {static_cast<std::uint32_t>(begin_), static_cast<std::uint32_t>(end), false});
    }
    begin_ = end;
  }

  void take_number(std::size_t begin, std::size_t end) {
    const std::string_view before = word_.substr(begin_, begin - begin_);
    if (before == "v" || before == "V") begin_ = begin;
    close(begin);
    parts_.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), true});
    begin_ = end;
    last_ = Kind::kSeparator;
    upper_run_ = 0;
  }

  // Of an apostrophe that ends at `at`.
  [[nodiscard]] Kind apostrophe_kind(std::size_t at) const {
    if (last_ == Kind::kSeparator || at == word_.size()) return Kind::kSeparator;
    std::size_t next = at;
    if (!last_latin_ || !is_latin_letter(code_point_at(word_, next))) return Kind::kOther;
    return contractions_ && ends_contraction(word_.substr(at)) ? Kind::kOther : Kind::kSeparator;
  }

  // URLs is one word: the s ends a run of capitals and what follows is no small letter.
  [[nodiscard]] bool is_plural_s(std::size_t here, std::size_t at) const {
    if (word_[here] != 's' || upper_run_ < 2) return false;
    return at == word_.size() || kind_of(code_point_at(word_, at)) != Kind::kLower;
  }

  void take(Kind kind, std::size_t here, std::size_t at) {
    const bool hangul_border = (kind == Kind::kHangul) != (last_ == Kind::kHangul);
    if (kind == Kind::kSeparator) {
      close(here);
      begin_ = at;
    } else if (hangul_border && last_ != Kind::kSeparator) {  // JWT|는
      close(here);
    } else if (kind == Kind::kUpper && last_ == Kind::kLower) {  // page|Size
      close(here);
    } else if (kind == Kind::kLower && last_ == Kind::kUpper && !is_plural_s(here, at) &&
               last_begin_ > begin_) {  // HTTP|Page
      close(last_begin_);
    }
    upper_run_ = kind == Kind::kUpper ? upper_run_ + 1 : 0;
    last_ = kind;
    last_begin_ = here;
    std::size_t first = here;
    const UChar32 c = code_point_at(word_, first);
    if (u_charType(c) != U_NON_SPACING_MARK) last_latin_ = is_latin_letter(c);
  }

  std::string_view word_;
  bool contractions_ = false;
  std::vector<NamePart> parts_;
  std::size_t begin_ = 0;       // of the part
  std::size_t last_begin_ = 0;  // of the code point before
  Kind last_ = Kind::kSeparator;
  bool last_latin_ = false;
  int upper_run_ = 0;
};

}  // namespace

std::vector<NamePart> split_name(std::string_view word, bool contractions) {
  return Splitter(word, contractions).run();
}

}  // namespace nestor::query
