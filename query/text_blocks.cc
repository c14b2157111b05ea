#include "query/text_blocks.h"

#include <algorithm>
#include <optional>

#include "query/heading_text.h"
#include "query/text_breaks.h"

namespace nestor::query {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
// A longer line is a paragraph on one line, whatever stands before or below it.
constexpr std::size_t kMostHeadingLineBytes = 1000;
// Front matter that has not ended by then is a text that begins with a line of dashes.
constexpr std::size_t kMostFrontMatterBytes = 64 * 1024;
// What underlines a title in reStructuredText, in the order that is taken for their rank in a text
// which has Markdown headings as well.
constexpr std::string_view kUnderlines = "=-~^\"*+#";
constexpr std::size_t kLeastUnderline = 3;
// A line above the title as well: three of a kind are as often a code fence or a ruled line.
constexpr std::size_t kLeastOverline = 4;

std::size_t code_point_count(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

bool says_something(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x80 || (c >= '0' && c <= '9') ||
           (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

std::string_view without_trailing_space(std::string_view line) {
  return line.substr(0, line.find_last_not_of(" \t\v\f") + 1);
}

bool is_blank(std::string_view line) {
  if (!line.empty() && static_cast<unsigned char>(line[0]) > ' ' &&
      static_cast<unsigned char>(line[0]) < 0x80) {
    return false;
  }
  return trim(line).begin == line.size();
}

// The character and count of a line made of one repeated underline character.
struct Ruling {
  char mark = 0;
  std::size_t count = 0;  // 0: no such line
};
Ruling ruling(std::string_view line) {
  line = without_trailing_space(line);
  if (line.empty() || kUnderlines.find(line[0]) == std::string_view::npos) return {};
  if (line.find_first_not_of(line[0]) != std::string_view::npos) return {};
  return {.mark = line[0], .count = line.size()};
}

// May this line be a title if the line below it is a ruling?
bool may_be_title(std::string_view line, bool overlined) {
  if (line.empty() || line.size() > kMostHeadingLineBytes || !says_something(line)) return false;
  if (overlined) return true;
  if (line[0] == ' ' || line[0] == '\t' || line[0] == '|' || line[0] == '>') return false;
  return !line.starts_with("- ") && !line.starts_with("* ") && !line.starts_with("+ ") &&
         !line.starts_with(".. ");
}

struct Fence {
  char mark = 0;
  std::size_t count = 0;  // 0: no fence
};
// An opening fence, at any depth and behind a list item's mark too: missing one would turn code
// into text and text into code down to the next.
Fence opening_fence(std::string_view line) {
  std::size_t at = std::min(line.find_first_not_of(" \t"), line.size());
  std::size_t digits = at;
  while (digits < line.size() && digits - at < 9 && line[digits] >= '0' && line[digits] <= '9')
    ++digits;
  const bool bullet = at < line.size() && (line[at] == '-' || line[at] == '*' || line[at] == '+');
  const bool number =
      digits > at && digits < line.size() && (line[digits] == '.' || line[digits] == ')');
  if (bullet || number) {
    at = std::min(line.find_first_not_of(" \t", (number ? digits : at) + 1), line.size());
  }
  const std::string_view rest = line.substr(at);
  if (rest.empty() || (rest[0] != '`' && rest[0] != '~')) return {};
  const std::size_t count = std::min(rest.find_first_not_of(rest[0]), rest.size());
  if (count < 3) return {};
  // "```x``` and more" is a code span.
  if (rest[0] == '`' && rest.find('`', count) != std::string_view::npos) return {};
  return {.mark = rest[0], .count = count};
}

bool closes(const Fence& fence, std::string_view line) {
  const std::size_t at = std::min(line.find_first_not_of(" \t"), line.size());
  const std::string_view rest = without_trailing_space(line.substr(at));
  return rest.size() >= fence.count && rest.find_first_not_of(fence.mark) == std::string_view::npos;
}

struct AtxHeading {
  int level = 0;  // 0: none
  std::string_view text;
};
// Up to two spaces before the marks, where CommonMark allows three: reStructuredText indents code
// by three.
AtxHeading atx_heading(std::string_view line) {
  if (line.size() > kMostHeadingLineBytes) return {};
  const std::size_t at = line.find_first_not_of(' ');
  if (at == std::string_view::npos || at > 2 || line[at] != '#') return {};
  const std::string_view rest = line.substr(at);
  const std::size_t marks = std::min(rest.find_first_not_of('#'), rest.size());
  if (marks > 6 || marks == rest.size() || (rest[marks] != ' ' && rest[marks] != '\t')) return {};
  std::string_view text = without_trailing_space(rest.substr(marks + 1));
  // Closing marks count only when they stand apart: "# C#" is about C#.
  const std::size_t last = text.find_last_not_of('#');
  if (last != std::string_view::npos && last + 1 < text.size() &&
      (text[last] == ' ' || text[last] == '\t')) {
    text = text.substr(0, last);
  }
  if (!says_something(text)) return {};
  return {.level = static_cast<int>(marks), .text = text};
}

class BlockFinder {
 public:
  explicit BlockFinder(std::string_view text) : text_(text) {}

  std::vector<TextBlock> find() {
    std::size_t at = text_.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
    at = take_front_matter(at);
    while (at < text_.size()) at = take(at);
    close_paragraph();
    rank_underlined();
    return std::move(blocks_);
  }

 private:
  // A heading made by a ruling; its level is known when all of them are.
  struct Underlined {
    std::size_t block = 0;
    char mark = 0;
    bool overlined = false;
  };

  [[nodiscard]] std::string_view bytes(const TextLine& line) const {
    return text_.substr(line.begin, line.end - line.begin);
  }

  void push(std::size_t begin, std::size_t end, BlockKind kind, int level = 0,
            std::string title = {}) {
    const Trimmed range = trim(text_.substr(begin, end - begin));
    blocks_.push_back({.begin = begin + range.begin,
                       .end = begin + range.end,
                       .kind = kind,
                       .level = level,
                       .title = std::move(title)});
  }

  void close_paragraph() {
    if (paragraph_.has_value()) push(paragraph_->begin, paragraph_->end, paragraph_->kind);
    paragraph_.reset();
  }

  // Each takes what begins at `at` and returns where the next thing begins; `at` itself: not here.
  std::size_t take_front_matter(std::size_t at);
  std::size_t take(std::size_t at);
  std::size_t take_underlined(const TextLine& first);
  std::size_t take_fence(const TextLine& first);
  void rank_underlined();

  std::string_view text_;
  std::vector<TextBlock> blocks_;
  std::vector<Underlined> underlined_;
  std::optional<TextBlock> paragraph_;
  bool has_atx_ = false;
};

std::size_t BlockFinder::take_front_matter(std::size_t at) {
  if (at == text_.size()) return at;
  const TextLine first = line_at(text_, at);
  const std::string_view fence = without_trailing_space(bytes(first));
  if (fence != "---" && fence != "+++") return at;
  const char separator = fence == "---" ? ':' : '=';
  bool has_field = false;
  const std::size_t limit = std::min(text_.size(), at + kMostFrontMatterBytes);
  for (std::size_t next = first.next; next < limit;) {
    const TextLine line = line_at(text_, next);
    const std::string_view content = without_trailing_space(bytes(line));
    if (content == fence || (separator == ':' && content == "...")) {
      if (!has_field) return at;
      push(at, line.end, BlockKind::kFrontMatter);
      return line.next;
    }
    has_field = has_field || content.find(separator) != std::string_view::npos;
    next = line.next;
  }
  return at;
}

std::size_t BlockFinder::take(std::size_t at) {
  const TextLine line = line_at(text_, at);
  const std::string_view content = bytes(line);
  if (is_blank(content)) {
    close_paragraph();
    return line.next;
  }
  if (const std::size_t next = take_underlined(line); next != at) return next;
  if (const AtxHeading heading = atx_heading(content); heading.level > 0) {
    close_paragraph();
    has_atx_ = true;
    push(line.begin, line.end, BlockKind::kHeading, heading.level, plain_heading(heading.text));
    return line.next;
  }
  if (const std::size_t next = take_fence(line); next != at) return next;
  if (!paragraph_.has_value()) {
    const std::size_t first = content.find_first_not_of(" \t");
    const bool table = first != std::string_view::npos && content.substr(first).starts_with('|');
    paragraph_ = TextBlock{.begin = line.begin,
                           .end = line.end,
                           .kind = table ? BlockKind::kRows : BlockKind::kProse,
                           .level = 0,
                           .title = {}};
  }
  paragraph_->end = line.end;
  return line.next;
}

// Only where a paragraph begins: a ruling below several lines is a ruled line in most texts.
std::size_t BlockFinder::take_underlined(const TextLine& first) {
  if (paragraph_.has_value() || first.end - first.begin > kMostHeadingLineBytes) return first.begin;
  const Ruling above = ruling(bytes(first));
  const bool overlined = above.count >= kLeastOverline;
  const TextLine title = overlined ? line_at(text_, first.next) : first;
  if (title.next >= text_.size() || !may_be_title(bytes(title), overlined)) return first.begin;
  // "# Title" above a ruling is Markdown's heading and a ruled line.
  if (!overlined && atx_heading(bytes(title)).level > 0) return first.begin;
  const TextLine below = line_at(text_, title.next);
  if (below.end - below.begin > 2 * kMostHeadingLineBytes) return first.begin;
  const Ruling under = ruling(bytes(below));
  const std::string_view text = without_trailing_space(bytes(title));
  if (under.count < kLeastUnderline || under.count < code_point_count(text)) return first.begin;
  if (overlined && (under.mark != above.mark || under.count != above.count)) return first.begin;
  underlined_.push_back({.block = blocks_.size(), .mark = under.mark, .overlined = overlined});
  push(first.begin, below.end, BlockKind::kHeading, 1, plain_heading(text));
  return below.next;
}

std::size_t BlockFinder::take_fence(const TextLine& first) {
  const Fence fence = opening_fence(bytes(first));
  if (fence.count == 0) return first.begin;
  close_paragraph();
  TextLine line = first;
  while (line.next < text_.size()) {
    line = line_at(text_, line.next);
    if (closes(fence, bytes(line))) break;
  }
  push(first.begin, line.end, BlockKind::kRows);
  return line.next;
}

// Beside Markdown headings "=" is 1 and "-" is 2, as in Markdown. Alone they rank by first
// appearance, as in reStructuredText, where a mark with a line above is another mark.
void BlockFinder::rank_underlined() {
  std::vector<std::pair<char, bool>> seen;
  for (const Underlined& heading : underlined_) {
    int& level = blocks_[heading.block].level;
    if (has_atx_) {
      level = std::min(6, static_cast<int>(kUnderlines.find(heading.mark)) + 1);
      continue;
    }
    const std::pair<char, bool> style(heading.mark, heading.overlined);
    const auto found = std::find(seen.begin(), seen.end(), style);
    level = static_cast<int>(found - seen.begin()) + 1;
    if (found == seen.end()) seen.push_back(style);
  }
}

}  // namespace

std::vector<TextBlock> find_blocks(std::string_view text) { return BlockFinder(text).find(); }

std::string front_matter_title(std::string_view block) {
  for (std::size_t at = 0; at < block.size();) {
    const TextLine line = line_at(block, at);
    at = line.next;
    std::string_view content = block.substr(line.begin, line.end - line.begin);
    if (!content.starts_with("title")) continue;
    content.remove_prefix(5);
    content.remove_prefix(std::min(content.find_first_not_of(" \t"), content.size()));
    if (content.empty() || (content[0] != ':' && content[0] != '=')) continue;
    const Trimmed range = trim(content.substr(1));
    std::string_view value = content.substr(1).substr(range.begin, range.end - range.begin);
    const bool quoted =
        value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0];
    if (quoted) value = value.substr(1, value.size() - 2);
    return plain_heading(value);
  }
  return {};
}

TextLine line_at(std::string_view text, std::size_t begin) {
  const std::size_t end = std::min(text.find_first_of("\r\n", begin), text.size());
  std::size_t next = end;
  if (next < text.size()) next += text.substr(next).starts_with("\r\n") ? 2 : 1;
  return {.begin = begin, .end = end, .next = next};
}

}  // namespace nestor::query
