#include "query/text_units.h"

#include <algorithm>

#include "core/check.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor::query {
namespace {

// More bytes than this a token are over the limit in all but strange texts, and counting them as
// one piece would be in vain; a strange text is cut at finer borders than it need be, and packed
// together again.
constexpr std::size_t kMostBytesPerToken = 8;
// A fragment aims at this part of the limit, so that the packer can fill and balance passages with
// them.
constexpr std::int64_t kFragmentsPerChunk = 4;

// The end of the fragment of `piece` that begins at `from` and is to end at or before `target`.
class FragmentCutter {
 public:
  FragmentCutter(std::string_view piece, TextBreaks& breaks) : piece_(piece), breaks_(breaks) {}

  Status start() {
    NESTOR_ASSIGN_OR_RETURN(lines_, breaks_.line_break_ends(piece_));
    return {};
  }

  Result<std::size_t> cut(std::size_t from, std::size_t target) {
    if (target >= piece_.size()) return piece_.size();
    if (const std::size_t end = last_up_to(lines_, target); end > from) return end;
    if (graphemes_.empty()) {
      NESTOR_ASSIGN_OR_RETURN(graphemes_, breaks_.grapheme_ends(piece_));
    }
    if (const std::size_t end = last_up_to(graphemes_, target); end > from) return end;
    // Inside one cluster: a letter under a million accents.
    const std::size_t end = floor_to_code_point(piece_, target);
    return end > from ? end : from + code_point_bytes(piece_, from);
  }

 private:
  static std::size_t last_up_to(const std::vector<std::int32_t>& ends, std::size_t target) {
    const auto after =
        std::upper_bound(ends.begin(), ends.end(), static_cast<std::int64_t>(target));
    return after == ends.begin() ? 0 : static_cast<std::size_t>(*(after - 1));
  }

  std::string_view piece_;
  TextBreaks& breaks_;
  std::vector<std::int32_t> lines_;
  std::vector<std::int32_t> graphemes_;
};

}  // namespace

UnitMaker::UnitMaker(std::string_view text, int limit, const TokenCounter& count_tokens)
    : text_(text), limit_(limit), count_tokens_(count_tokens) {
  NESTOR_CHECK(limit > 0, "a passage of no tokens");
}

Result<std::int64_t> UnitMaker::count(std::size_t begin, std::size_t end) {
  NESTOR_ASSIGN_OR_RETURN(const int tokens, count_tokens_(text_.substr(begin, end - begin)));
  return std::int64_t{tokens};
}

Status UnitMaker::append(const TextBlock& block, int section, std::vector<TextUnit>& units) {
  const TextUnit unit{.begin = block.begin,
                      .end = block.end,
                      .tokens = 0,
                      .section = section,
                      .kind = block.kind,
                      .whole = true};
  return append_fitting(unit, &UnitMaker::append_parts, units);
}

Status UnitMaker::append_parts(const TextUnit& unit, std::vector<TextUnit>& units) {
  const bool rows = unit.kind == BlockKind::kRows || unit.kind == BlockKind::kFrontMatter;
  return rows ? append_lines(unit, units) : append_sentences(unit, units);
}

Status UnitMaker::append_fitting(TextUnit unit,
                                 Status (UnitMaker::*split)(const TextUnit&,
                                                            std::vector<TextUnit>&),
                                 std::vector<TextUnit>& units) {
  if (unit.end - unit.begin <= static_cast<std::size_t>(limit_) * kMostBytesPerToken) {
    NESTOR_ASSIGN_OR_RETURN(unit.tokens, count(unit.begin, unit.end));
    if (unit.tokens <= limit_) {
      units.push_back(unit);
      return {};
    }
  }
  unit.whole = false;
  return (this->*split)(unit, units);
}

Status UnitMaker::append_sentences(const TextUnit& unit, std::vector<TextUnit>& units) {
  const std::string_view piece = text_.substr(unit.begin, unit.end - unit.begin);
  NESTOR_ASSIGN_OR_RETURN(const std::vector<std::int32_t> ends, breaks_.sentence_ends(piece));
  std::size_t begin = 0;
  for (const std::int32_t sentence_end : ends) {
    const std::size_t end = static_cast<std::size_t>(sentence_end);
    const Trimmed range = trim(piece.substr(begin, end - begin));
    TextUnit sentence = unit;
    sentence.begin = unit.begin + begin + range.begin;
    sentence.end = unit.begin + begin + range.end;
    sentence.whole = false;
    begin = end;
    if (sentence.begin == sentence.end) continue;
    NESTOR_RETURN_IF_ERROR(append_fitting(sentence, &UnitMaker::append_lines, units));
  }
  return {};
}

Status UnitMaker::append_lines(const TextUnit& unit, std::vector<TextUnit>& units) {
  const std::string_view piece = text_.substr(unit.begin, unit.end - unit.begin);
  for (std::size_t at = 0; at < piece.size();) {
    const TextLine line = line_at(piece, at);
    const Trimmed range = trim(piece.substr(line.begin, line.end - line.begin));
    TextUnit row = unit;
    row.whole = false;
    row.begin = unit.begin + line.begin + range.begin;
    row.end = unit.begin + line.begin + range.end;
    at = line.next;
    if (row.begin == row.end) continue;
    NESTOR_RETURN_IF_ERROR(append_fitting(row, &UnitMaker::append_fragments, units));
  }
  return {};
}

// Guesses a fragment's length from the tokens of the one before, counts it and cuts it shorter
// where it is too long; so each byte is counted little more than once, however long the piece is.
Status UnitMaker::append_fragments(const TextUnit& unit, std::vector<TextUnit>& units) {
  const std::string_view piece = text_.substr(unit.begin, unit.end - unit.begin);
  FragmentCutter cutter(piece, breaks_);
  NESTOR_RETURN_IF_ERROR(cutter.start());
  const std::int64_t most = std::max<std::int64_t>(1, limit_ / 2);
  const double goal = static_cast<double>(std::max<std::int64_t>(1, limit_ / kFragmentsPerChunk));
  double bytes_per_token = 3;
  for (std::size_t from = 0; from < piece.size();) {
    std::size_t length = std::max<std::size_t>(1, static_cast<std::size_t>(goal * bytes_per_token));
    std::size_t end = 0;
    TextUnit fragment = unit;
    for (;;) {
      NESTOR_ASSIGN_OR_RETURN(end, cutter.cut(from, from + length));
      const Trimmed range = trim(piece.substr(from, end - from));
      fragment.begin = unit.begin + from + range.begin;
      fragment.end = unit.begin + from + range.end;
      if (fragment.begin == fragment.end) break;
      NESTOR_ASSIGN_OR_RETURN(fragment.tokens, count(fragment.begin, fragment.end));
      if (fragment.tokens <= most || end - from <= code_point_bytes(piece, from)) break;
      length = (end - from) / 2;
    }
    from = end;
    if (fragment.begin == fragment.end) continue;
    const double bytes = static_cast<double>(fragment.end - fragment.begin);
    const double tokens = static_cast<double>(std::max<std::int64_t>(1, fragment.tokens));
    bytes_per_token = std::clamp(bytes / tokens, 0.5, double{kMostBytesPerToken});
    units.push_back(fragment);
  }
  return {};
}

}  // namespace nestor::query
