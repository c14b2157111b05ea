#include "query/text_walk.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <optional>

#include "core/macros.h"
#include "query/hangul_words.h"
#include "query/number_forms.h"
#include "query/word_spellings.h"

namespace nestor::query {
namespace {

// More words than these, joined by hyphens, are no name.
constexpr std::size_t kMostJoined = 8;
// Begins the term of two characters that ICU's dictionary did not put together. STORED.
constexpr char kPairMark = '\2';
constexpr std::string_view kZeroWidthSpace = "\u200B";
constexpr std::size_t kMostExtension = 4;  // bytes of what stands after the last dot of a name

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return is_lower(c) || is_upper(c); }
bool is_ascii(char c) { return static_cast<signed char>(c) >= 0; }

bool all_ascii(std::string_view text) { return std::all_of(text.begin(), text.end(), is_ascii); }

std::string lower_ascii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (is_upper(c)) c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool is_hyphen(std::string_view gap) { return gap == "-" || gap == "\u2010" || gap == "\u2011"; }

// Of the alphabets that are written without zero-width spaces between words.
bool is_of_alphabet(char first_byte) { return static_cast<unsigned char>(first_byte) < 0xD4; }

// Signs between the parts of a name, which its term leaves out.
bool separates(UChar32 c) {
  constexpr std::u32string_view kSigns = U"_.:;@-'\u2018\u2019\u2010\u2011\u200B\uFF07\"";
  return kSigns.find(static_cast<char32_t>(c)) != std::u32string_view::npos;
}

bool is_number_text(std::string_view text) {
  bool digits = false;
  for (const char c : text) {
    digits |= is_digit(c);
    if (!is_digit(c) && c != '.' && c != ',' && c != '-') return false;
  }
  return digits;
}

bool all_han(std::string_view word) {
  for (std::size_t at = 0; at < word.size();) {
    UChar32 c = 0;
    U8_NEXT(word.data(), at, word.size(), c);
    if (!is_han(c)) return false;
  }
  return true;
}

bool is_one_character(std::string_view word) {
  std::size_t at = 0;
  U8_FWD_1(word.data(), at, word.size());
  return at == word.size();
}

// Where a word such as OAuth2 or 10km turns from letters to digits or back, if it does so once.
std::optional<std::size_t> letter_digit_border(std::string_view word) {
  std::optional<std::size_t> border;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (!is_lower(word[i]) && !is_digit(word[i])) return {};
    if (i == 0 || is_digit(word[i]) == is_digit(word[i - 1])) continue;
    if (border.has_value()) return {};
    border = i;
  }
  return border;
}

bool is_ordinal_ending(std::string_view text) {
  return text == "st" || text == "nd" || text == "rd" || text == "th";
}

std::string without_apostrophes(std::string_view word) {
  std::string out(word);
  std::erase(out, '\'');
  return out;
}

// The long vowel mark at the end is often left out.
std::string without_long_vowel(std::string word) {
  constexpr std::string_view kMark = "\u30FC";
  constexpr std::size_t kFourCharacters = 12;
  if (word.size() >= kFourCharacters && word.ends_with(kMark))
    word.resize(word.size() - kMark.size());
  return word;
}

}  // namespace

std::string_view TextWalk::text_of(TextSpan span) const {
  return text_.substr(span.begin, span.end - span.begin);
}
char TextWalk::byte_before(std::size_t at) const { return at == 0 ? ' ' : text_[at - 1]; }
char TextWalk::byte_at(std::size_t at) const { return at < text_.size() ? text_[at] : ' '; }

Status TextWalk::run() {
  for (std::size_t i = 0; i < segments_.size();) {
    if (!output_.is_query() && take_simple_word(segments_[i])) {
      ++i;
      continue;
    }
    const std::size_t last = last_joined(i);
    NESTOR_RETURN_IF_ERROR(take_group(i, last));
    i = last + 1;
  }
  return {};
}

// Most words of most texts: ASCII letters of one case but for the first, nothing special around.
bool TextWalk::take_simple_word(const TextSegment& segment) {
  if (segment.kind != SegmentKind::kWord) return false;
  const char before = byte_before(segment.begin);
  const char after = byte_at(segment.end);
  if (!is_ascii(before) || !is_ascii(after)) return false;
  if (before == '-' || before == '@' || before == '#' || before == '.' || before == '&')
    return false;
  if (after == '-' || after == '@' || after == '#' || after == '+' || after == '&') return false;
  const std::string_view word = text_.substr(segment.begin, segment.end - segment.begin);
  if (!is_letter(word[0])) return false;
  const auto rest = word.substr(1);
  if (!std::all_of(rest.begin(), rest.end(), is_lower) &&
      !(is_upper(word[0]) && std::all_of(rest.begin(), rest.end(), is_upper)))
    return false;
  if (tools_.stemmer.turkish()) return false;
  const std::string lower = lower_ascii(word);
  output_.add_word({segment.begin, segment.end}, tools_.stemmer.ascii_stem(lower), lower);
  return true;
}

bool TextWalk::are_joined(const TextSegment& a, const TextSegment& b) const {
  const bool words = a.kind == SegmentKind::kWord && b.kind == SegmentKind::kWord;
  const bool attached = a.kind == SegmentKind::kAttached || b.kind == SegmentKind::kAttached;
  const std::string_view gap = text_.substr(a.end, b.begin - a.end);
  if (attached) return gap.empty() && (words || a.kind != b.kind);
  if (!words || gap.empty() || gap.size() > kZeroWidthSpace.size()) return false;
  if (gap == kZeroWidthSpace)
    return is_of_alphabet(text_[a.begin]) && is_of_alphabet(text_[b.begin]);
  if (gap == "&") return !is_digit(text_[a.end - 1]) && !is_digit(text_[b.begin]);
  return gap == "@" || is_hyphen(gap);
}

std::size_t TextWalk::last_joined(std::size_t first) {
  if (first < single_until_) return first;
  std::size_t last = first;
  while (last + 1 < segments_.size() && are_joined(segments_[last], segments_[last + 1])) ++last;
  if (last - first < kMostJoined) return last;
  single_until_ = last + 1;
  return first;
}

Status TextWalk::take_group(std::size_t first, std::size_t last) {
  if (segments_[first].kind == SegmentKind::kWord) {
    NESTOR_ASSIGN_OR_RETURN(const bool taken, take_signs_before(first, last));
    if (taken) return {};
  }
  if (last > first) {
    bool alone = false;
    NESTOR_RETURN_IF_ERROR(take_joined_name(first, last, alone));
    if (alone) return {};
  }
  for (std::size_t i = first; i <= last; ++i) NESTOR_RETURN_IF_ERROR(take_segment(i));
  return {};
}

// well-known, e-mail, CVE-2024-1234, anna@example.com, R&D, x². `alone`: nothing else is looked up.
Status TextWalk::take_joined_name(std::size_t first, std::size_t last, bool& alone) {
  const TextSpan group{segments_[first].begin, segments_[last].end};
  const std::string_view raw = text_of(group);
  std::string stem;
  if (is_number_text(raw) || raw.find('&') != std::string_view::npos) {
    stem = lower_ascii(raw);  // 2024-05-06 is another name than 20240506
    if (!all_ascii(raw)) {
      NESTOR_ASSIGN_OR_RETURN(stem, folded(raw));
    }
  } else {
    NESTOR_ASSIGN_OR_RETURN(const std::string joined, joined_name(raw));
    stem = stem_of(joined);
  }
  if (stem.empty()) return {};
  // Single letters say nothing: R&D is not looked for as R or D.
  bool short_parts = raw.find('&') != std::string_view::npos;
  for (std::size_t i = first; i <= last; ++i)
    short_parts &= segments_[i].end - segments_[i].begin <= 2;
  if (short_parts && output_.is_query()) {
    output_.add_name_alone(stem, static_cast<std::uint32_t>(last - first + 1));
    alone = true;
    return {};
  }
  output_.add_beside(group, stem);
  return {};
}

// .NET, -xzf, @mention, #hashtag. A query looks for a word with a dot before it as that alone.
Result<bool> TextWalk::take_signs_before(std::size_t first, std::size_t last) {
  const TextSpan group{segments_[first].begin, segments_[last].end};
  const char sign = byte_before(group.begin);
  if (sign != '.' && sign != '-' && sign != '@' && sign != '#') return false;
  const char before = group.begin < 2 ? ' ' : text_[group.begin - 2];
  const bool stands_apart = !is_letter(before) && !is_digit(before) && is_ascii(before) &&
                            before != sign && before != '&' && before != ')' && before != ']';
  const std::string_view raw = text_of(group);
  if (!stands_apart || (!is_letter(raw[0]) && sign != '#')) return false;
  std::string stem;
  NESTOR_ASSIGN_OR_RETURN(stem, folded(raw));
  if (stem.empty()) return false;
  stem.insert(0, 1, sign);
  if (sign == '.' && output_.is_query()) {
    std::size_t parts = 0;
    for (std::size_t i = first; i <= last; ++i)
      parts += parts_of(text_of({segments_[i].begin, segments_[i].end})).size();
    output_.add_name_alone(stem, static_cast<std::uint32_t>(parts));
    return true;
  }
  output_.add_beside({group.begin - 1, group.end}, stem);
  return false;
}

// C++, C#, Notepad++. True: the sign made it another word than the letters.
bool TextWalk::take_signs_after(TextSpan word) {
  const std::string_view raw = text_of(word);
  const std::string_view after = text_.substr(word.end);
  const bool pluses = after.starts_with("++") && !after.substr(2).starts_with('+');
  const bool one_letter = raw.size() == 1 && is_letter(raw[0]);
  const char behind = byte_at(word.end + 1);
  const bool sharp = one_letter && after.starts_with('#') && !is_letter(behind) && behind != '#';
  if (!(pluses || sharp) || !is_letter(raw.back()) || !all_ascii(raw)) return false;
  const std::string name = lower_ascii(raw) + (pluses ? "++" : "#");
  const TextSpan span{word.begin, word.end + (pluses ? 2U : 1U)};
  if (one_letter) {
    output_.add_word(span, name, name);
    return true;
  }
  if (output_.is_query()) {
    output_.add_name_alone(name, static_cast<std::uint32_t>(parts_of(raw).size()));
    return true;
  }
  output_.add_beside(span, name);
  return false;
}

Status TextWalk::take_segment(std::size_t index) {
  const TextSegment& segment = segments_[index];
  const TextSpan span{segment.begin, segment.end};
  switch (segment.kind) {
    case SegmentKind::kWord:
      return take_signs_after(span) ? Status() : take_word(span);
    case SegmentKind::kIdeographs:
      return take_ideographs(index);
    case SegmentKind::kSymbol: {
      NESTOR_ASSIGN_OR_RETURN(const std::string word, folded(text_of(span)));
      if (!word.empty()) output_.add_word(span, word, word);
      return {};
    }
    case SegmentKind::kAttached:
      return {};
  }
  return {};
}

Status TextWalk::take_word(TextSpan segment) {
  const std::string_view raw = text_of(segment);
  const std::vector<NamePart> parts = parts_of(raw);
  if (parts.empty()) return {};
  const bool taken_apart = parts.size() > 1 || parts[0].end - parts[0].begin != raw.size();
  if (taken_apart) {
    // __init__ is another name than init.
    NESTOR_ASSIGN_OR_RETURN(const std::string name,
                            parts.size() > 1 ? joined_name(raw) : folded(raw));
    const std::string stem = parts.size() > 1 ? stem_of(name) : name;
    if (!stem.empty()) output_.add_beside(segment, stem);
    // The first part may be all there is to add: python of python3.11.
    const auto border = letter_digit_border(name);
    if (!border.has_value() || *border != parts[0].end - parts[0].begin)
      add_parts_of_mixed(segment, name, stem);
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const NamePart& part = parts[i];
    const TextSpan span{segment.begin + part.begin, segment.begin + part.end};
    if (i + 1 < parts.size()) add_name_with_major(segment.begin, part, parts[i + 1]);
    const std::string_view piece = text_of(span);
    const bool extension = taken_apart && part.end == raw.size() && part.begin > 0 &&
                           raw[part.begin - 1] == '.' && piece.size() <= kMostExtension &&
                           is_letter(piece[0]) && all_ascii(piece);
    if (extension) output_.add_variant({span.begin - 1, span.end}, "." + lower_ascii(piece));
    NESTOR_RETURN_IF_ERROR(part.number ? take_number(span) : take_part(span));
  }
  return {};
}

// OAuth2.0 is found by oauth2, python3.11 by python3.
void TextWalk::add_name_with_major(std::uint32_t begin, const NamePart& name,
                                   const NamePart& number) {
  if (name.number || !number.number || name.end != number.begin) return;
  const std::string_view letters = text_of({begin + name.begin, begin + name.end});
  if (letters.size() < 2 || !std::all_of(letters.begin(), letters.end(), is_letter)) return;
  const std::string_view digits = text_of({begin + number.begin, begin + number.end});
  const auto major = static_cast<std::uint32_t>(
      std::find_if_not(digits.begin(), digits.end(), is_digit) - digits.begin());
  const TextSpan span{begin + name.begin, begin + number.begin + major};
  output_.add_variant(span, lower_ascii(text_of(span)));
}

Status TextWalk::take_number(TextSpan part) {
  NESTOR_ASSIGN_OR_RETURN(const std::string text, folded(text_of(part)));
  const NumberForms forms = number_forms(text);
  for (const std::string& variant : forms.variants) output_.add_variant(part, variant);
  output_.add_word(part, forms.number, forms.number);
  return {};
}

Status TextWalk::take_part(TextSpan part) {
  const std::string_view raw = text_of(part);
  NESTOR_ASSIGN_OR_RETURN(const std::string word, folded(raw));
  if (word.empty()) return {};
  if (is_hangul_word(word)) {
    take_hangul(part, word);
    return {};
  }
  std::string stem = stem_of(word);
  if (tools_.stemmer.wants_accents() && !all_ascii(raw)) {
    // As the language writes it; under the stem of what is typed without accents too.
    NESTOR_ASSIGN_OR_RETURN(const std::string accented,
                            tools_.folder.fold(raw, Accents::kKeep, tools_.stemmer.turkish()));
    NESTOR_ASSIGN_OR_RETURN(std::string own,
                            tools_.folder.fold(tools_.stemmer.stem(accented), Accents::kDrop));
    if (own != stem) output_.add_stem(part, stem, word);
    stem = std::move(own);
  }
  if (output_.is_query()) {
    NESTOR_ASSIGN_OR_RETURN(const OtherSpellings others, other_spellings(raw, word, stem));
    output_.add_word(part, stem, word, others);
    return {};
  }
  add_parts_of_mixed(part, word, stem);
  output_.add_word(part, stem, word);
  return {};
}

// Of a passage: what else a word with digits or an apostrophe is found by.
void TextWalk::add_parts_of_mixed(TextSpan part, std::string_view word, std::string_view stem) {
  if (word.find('\'') != std::string_view::npos) {
    const std::string joined = tools_.stemmer.ascii_stem(without_apostrophes(word));
    if (joined != stem) output_.add_variant(part, joined);
  }
  const auto border = letter_digit_border(word);
  if (!border.has_value()) return;
  const std::string_view front = word.substr(0, *border);
  const std::string_view back = word.substr(*border);
  const std::string_view letters = is_digit(front[0]) ? back : front;
  if (word[0] == 'v' && *border == 1) output_.add_variant(part, back);  // v16 is version 16
  if (letters.size() < 2 || is_ordinal_ending(letters)) return;
  output_.add_variant(part, tools_.stemmer.ascii_stem(letters));
  if (is_digit(front[0])) output_.add_variant(part, front);
}

Result<OtherSpellings> TextWalk::other_spellings(std::string_view raw, const std::string& word,
                                                 const std::string& stem) {
  OtherSpellings others;
  if (may_be_inside(stem)) others.inside = stem;
  if (word.find('\'') != std::string::npos)
    others.also.push_back(tools_.stemmer.ascii_stem(without_apostrophes(word)));
  if (!all_ascii(raw)) {
    NESTOR_ASSIGN_OR_RETURN(const std::string accented,
                            tools_.folder.fold(raw, Accents::kKeep, tools_.stemmer.turkish()));
    if (const std::string spelled = with_digraphs(accented); !spelled.empty()) {
      NESTOR_ASSIGN_OR_RETURN(const std::string plain, folded(spelled));
      others.also.push_back(tools_.stemmer.stem(plain));
    }
    for (std::string& spelling : hebrew_spellings(word)) others.also.push_back(std::move(spelling));
  } else if (const std::string spelled = without_digraphs(word); !spelled.empty()) {
    others.otherwise.push_back(tools_.stemmer.ascii_stem(spelled));
  }
  return others;
}

void TextWalk::take_hangul(TextSpan part, const std::string& word) {
  const std::string_view stem = without_particle(word);
  if (hangul_syllables(word) == 1) {
    output_.add_word(part, word, word);
    return;
  }
  const bool same_bytes = text_of(part) == word;
  const auto pairs_of = [](std::string_view text) {
    std::vector<std::string> pairs;
    for (const WordPiece& pair : hangul_pairs(text))
      pairs.emplace_back(text.substr(pair.begin, pair.end - pair.begin));
    return pairs;
  };
  std::vector<TextSpan> spans;
  for (const WordPiece& pair : hangul_pairs(word)) {
    spans.push_back(same_bytes ? TextSpan{part.begin + static_cast<std::uint32_t>(pair.begin),
                                          part.begin + static_cast<std::uint32_t>(pair.end)}
                               : part);
  }
  if (output_.is_query()) {
    if (stem.size() < word.size()) output_.add_pairs_beside(pairs_of(stem));
    if (hangul_syllables(stem) == 4) {  // mostly two words that may be written apart
      output_.add_pairs_beside({std::string(stem.substr(0, stem.size() / 2))});
      output_.add_pairs_beside({std::string(stem.substr(stem.size() / 2))});
    }
  } else if (const auto first = one_syllable_before_particle(word); !first.empty()) {
    output_.add_variant(part, first);
  }
  output_.add_pairs(spans, pairs_of(word));
}

Status TextWalk::take_ideographs(std::size_t index) {
  const TextSegment& segment = segments_[index];
  const TextSpan span{segment.begin, segment.end};
  const std::string_view raw = text_of(span);
  NESTOR_ASSIGN_OR_RETURN(std::string word, folded(raw));
  if (word.empty()) return {};
  word = without_long_vowel(std::move(word));
  if (all_han(raw)) {
    NESTOR_ASSIGN_OR_RETURN(const std::vector<WordPiece> pieces, tools_.han.pieces(raw));
    for (const WordPiece& piece : pieces) {
      const TextSpan at{span.begin + static_cast<std::uint32_t>(piece.begin),
                        span.begin + static_cast<std::uint32_t>(piece.end)};
      NESTOR_ASSIGN_OR_RETURN(const std::string shorter, folded(text_of(at)));
      output_.add_beside(at, shorter);
    }
  }
  for (const WordPiece& stretch : stretches_of_scripts(raw)) {
    const TextSpan at{span.begin + static_cast<std::uint32_t>(stretch.begin),
                      span.begin + static_cast<std::uint32_t>(stretch.end)};
    NESTOR_ASSIGN_OR_RETURN(std::string shorter, folded(text_of(at)));
    output_.add_beside(at, without_long_vowel(std::move(shorter)));
  }
  if (index + 1 < segments_.size()) {
    const TextSegment& next = segments_[index + 1];
    const TextSpan pair{span.begin, next.end};
    if (next.kind == SegmentKind::kIdeographs && next.begin == segment.end &&
        is_one_character(raw) && is_one_character(text_of({next.begin, next.end}))) {
      NESTOR_ASSIGN_OR_RETURN(const std::string both, folded(text_of(pair)));
      output_.add_beside(pair, kPairMark + both);
    }
  }
  OtherSpellings others;
  if (output_.is_query() && may_be_inside(word)) others.inside = word;
  output_.add_word(span, word, word, others);
  return {};
}

std::vector<NamePart> TextWalk::parts_of(std::string_view raw) const {
  return split_name(raw, tools_.stemmer.contracts());
}

Result<std::string> TextWalk::folded(std::string_view raw) const {
  if (all_ascii(raw) && !tools_.stemmer.turkish()) return lower_ascii(raw);
  return tools_.folder.fold(raw, Accents::kDrop, tools_.stemmer.turkish());
}

Result<std::string> TextWalk::joined_name(std::string_view raw) const {
  std::string joined;
  for (std::size_t at = 0; at < raw.size();) {
    const std::size_t begin = at;
    UChar32 c = 0;
    U8_NEXT(raw.data(), at, raw.size(), c);
    if (!separates(c)) joined.append(raw.substr(begin, at - begin));
  }
  return folded(joined);
}

std::string TextWalk::stem_of(const std::string& word) {
  return all_ascii(word) ? tools_.stemmer.ascii_stem(word) : tools_.stemmer.stem(word);
}

}  // namespace nestor::query
