#include "query/name_parts.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <string>

#include "query/hangul_words.h"

namespace nestor::query {
namespace {

constexpr std::string_view kNonJoiner = "\u200C";

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

// The blocks of Arabic with its supplement.
bool is_arabic(UChar32 c) { return (c >= 0x600 && c < 0x700) || (c >= 0x750 && c < 0x780); }

UChar32 code_point_at(std::string_view word, std::size_t& at) {
  UChar32 c = 0;
  U8_NEXT(word.data(), at, word.size(), c);
  return c;
}

// The one that ends at `at`, which moves to its beginning; negative at the text's beginning.
UChar32 code_point_before(std::string_view text, std::size_t& at) {
  if (at == 0) return U_SENTINEL;
  UChar32 c = 0;
  auto begin = static_cast<std::int32_t>(at);
  U8_PREV(text.data(), 0, begin, c);
  at = static_cast<std::size_t>(begin);
  return c;
}

char name_sign(UChar32 c) {
  if (c == '.' || c == '-' || c == '@' || c == '#') return static_cast<char>(c);
  return c == 0x2010 || c == 0x2011 || c == 0x2212 ? '-' : '\0';
}

bool ends_contraction(std::string_view rest) {
  constexpr std::array<std::string_view, 7> kEndings = {"s", "t", "m", "d", "re", "ve", "ll"};
  constexpr std::size_t kLongest = 2;  // the rest may be long, and is looked at per apostrophe
  if (rest.size() > kLongest) return false;
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
          {static_cast<std::uint32_t>(begin_), static_cast<std::uint32_t>(end), false, continues_});
      continues_ = false;
    }
    begin_ = end;
  }

  // What comes next is of the same word.
  void close_within_word(std::size_t end) {
    const std::size_t before = parts_.size();
    close(end);
    continues_ = parts_.size() > before;
  }

  void take_number(std::size_t begin, std::size_t end) {
    const std::string_view before = word_.substr(begin_, begin - begin_);
    if (before == "v" || before == "V") begin_ = begin;
    close(begin);
    parts_.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), true});
    begin_ = end;
    continues_ = false;
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

  // IPv4, TLSv1.2
  [[nodiscard]] bool is_v_of_version(std::size_t here, std::size_t at) const {
    if (word_[here] != 'v' || upper_run_ < 2 || at == word_.size()) return false;
    return kind_of(code_point_at(word_, at)) == Kind::kDigit;
  }

  void take(Kind kind, std::size_t here, std::size_t at) {
    const bool hangul_border = (kind == Kind::kHangul) != (last_ == Kind::kHangul);
    if (kind == Kind::kSeparator) {
      close(here);
      begin_ = at;
      continues_ = false;
    } else if (last_arabic_ && word_.substr(here, at - here) == kNonJoiner) {
      close_within_word(here);
      begin_ = at;
      kind = Kind::kSeparator;
    } else if (hangul_border && last_ != Kind::kSeparator) {  // JWT|는
      close(here);
    } else if (kind == Kind::kUpper && last_ == Kind::kLower) {  // page|Size
      close_within_word(here);
    } else if (is_v_of_version(here, at)) {
      close_within_word(here);
    } else if (kind == Kind::kLower && last_ == Kind::kUpper && !is_plural_s(here, at) &&
               last_begin_ > begin_) {  // HTTP|Page
      close_within_word(last_begin_);
    }
    upper_run_ = kind == Kind::kUpper ? upper_run_ + 1 : 0;
    last_ = kind;
    last_begin_ = here;
    std::size_t first = here;
    const UChar32 c = code_point_at(word_, first);
    if (u_charType(c) != U_NON_SPACING_MARK) last_latin_ = is_latin_letter(c);
    last_arabic_ = is_arabic(c);
  }

  std::string_view word_;
  bool contractions_ = false;
  std::vector<NamePart> parts_;
  std::size_t begin_ = 0;       // of the part
  std::size_t last_begin_ = 0;  // of the code point before
  Kind last_ = Kind::kSeparator;
  bool last_latin_ = false;
  bool last_arabic_ = false;
  bool continues_ = false;  // the part is of the word of the part before
  int upper_run_ = 0;
};

}  // namespace

std::vector<NamePart> split_name(std::string_view word, bool contractions) {
  return Splitter(word, contractions).run();
}

std::optional<NameSign> sign_before(std::string_view text, std::uint32_t begin) {
  std::size_t at = begin;
  const char sign = name_sign(code_point_before(text, at));
  if (sign == 0) return {};
  const NameSign found{.sign = sign, .begin = static_cast<std::uint32_t>(at)};
  if (at == 0) return found;
  const UChar32 before = code_point_before(text, at);
  const bool in_word = u_isalnum(before) != 0 || (U_GET_GC_MASK(before) & U_GC_M_MASK) != 0;
  if (in_word || name_sign(before) == sign || before == '&' || before == ')' || before == ']')
    return {};
  return found;
}

}  // namespace nestor::query
