#include "query/heading_text.h"

#include <array>

#include "core/text.h"
#include "query/text_breaks.h"

namespace nestor::query {
namespace {

constexpr std::array<std::string_view, 11> kInlineTags = {
    "a", "b", "br", "code", "em", "i", "kbd", "span", "strong", "sub", "sup"};

std::string_view trimmed(std::string_view text) {
  const Trimmed range = trim(text);
  return text.substr(range.begin, range.end - range.begin);
}

// "{#anchor}" and "{.class}" at the end, as pandoc, mdBook and Hugo write them.
std::string_view without_attributes(std::string_view text) {
  if (text.empty() || text.back() != '}') return text;
  const std::size_t open = text.rfind('{');
  if (open == std::string_view::npos || open + 2 >= text.size()) return text;
  const char first = text[open + 1];
  return first == '#' || first == '.' || first == ':' ? trimmed(text.substr(0, open)) : text;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Length of the inline HTML tag that `text` begins with, or 0. Only known ones: "Vec<T>" is no tag.
std::size_t tag_bytes(std::string_view text) {
  const std::size_t close = text.find('>');
  if (close == std::string_view::npos) return 0;
  const std::size_t name = text.starts_with("</") ? 2 : 1;
  std::size_t end = name;
  while (end < close && is_letter(text[end])) ++end;
  if (end < close && text[end] != ' ' && text[end] != '/') return 0;
  for (const std::string_view tag : kInlineTags) {
    if (text.substr(name, end - name) == tag) return close + 1;
  }
  return 0;
}

// "[text](target)" or "![text](target)" or "[text][label]" at the start of `text`.
struct Link {
  std::string_view text;
  std::size_t bytes = 0;  // 0: none
};
Link link_at(std::string_view text) {
  const std::size_t open = text.starts_with('!') ? 2 : 1;
  std::size_t at = open;
  for (int depth = 1; at < text.size(); ++at) {
    if (text[at] == '[') ++depth;
    if (text[at] == ']' && --depth == 0) break;
  }
  if (at + 1 >= text.size()) return {};
  const char target_open = text[at + 1];
  if (target_open != '(' && target_open != '[') return {};
  const std::size_t close = text.find(target_open == '(' ? ')' : ']', at + 2);
  if (close == std::string_view::npos) return {};
  return {.text = text.substr(open, at - open), .bytes = close + 1};
}

// A heading line is at most 1,000 bytes long, so looking ahead from each of them is cheap.
void append_plain(std::string_view line, int depth, std::string& plain) {
  std::size_t at = 0;
  while (at < line.size()) {
    const std::string_view rest = line.substr(at);
    if (rest[0] == '\\' && rest.size() > 1 && !is_letter(rest[1]) &&
        static_cast<signed char>(rest[1]) > ' ') {
      plain += rest[1];
      at += 2;
    } else if (rest[0] == '`') {
      const std::size_t ticks = std::min(rest.find_first_not_of('`'), rest.size());
      const std::size_t close = rest.find(rest.substr(0, ticks), ticks);
      if (close != std::string_view::npos) plain += trimmed(rest.substr(ticks, close - ticks));
      at += close == std::string_view::npos ? ticks : close + ticks;
    } else if (rest[0] == '[' || rest.starts_with("![")) {
      const Link link = link_at(rest);
      // Links nest once at most (an image in a link); deeper brackets are text.
      if (link.bytes > 0 && depth < 2) {
        append_plain(link.text, depth + 1, plain);
        at += link.bytes;
      } else {
        plain += rest[0];
        ++at;
      }
    } else if (const std::size_t tag = rest[0] == '<' ? tag_bytes(rest) : 0; tag > 0) {
      at += tag;
    } else if (rest.starts_with("**")) {
      at += 2;
    } else {
      plain += rest[0];
      ++at;
    }
  }
}

std::string with_folded_space(std::string_view text) {
  std::string folded;
  for (const char c : trimmed(text)) {
    const bool space = c == ' ' || c == '\t';
    if (!space) folded += c;
    if (space && folded.back() != ' ') folded += ' ';
  }
  return folded;
}

}  // namespace

std::string plain_heading(std::string_view line) {
  std::string plain;
  append_plain(without_attributes(trimmed(line)), 0, plain);
  plain = with_folded_space(plain);
  if (plain.size() <= kMostHeadingBytes) return plain;
  constexpr std::string_view kEllipsis = "…";
  plain.resize(floor_to_code_point(plain, kMostHeadingBytes - kEllipsis.size()));
  return plain.append(kEllipsis);
}

}  // namespace nestor::query
