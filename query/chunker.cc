#include "query/chunker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "core/macros.h"
#include "query/chunk_packing.h"
#include "query/text_blocks.h"
#include "query/text_breaks.h"
#include "query/text_units.h"

namespace nestor::query {
namespace {

// A section smaller than this part of the limit may join the passage before it.
constexpr std::int64_t kSmallSectionDivisor = 4;
// Headings of the first two levels part what belongs to different subjects: never joined over.
constexpr int kLeastJoinedLevel = 3;

struct Section {
  int parent = -1;  // index of the section it is part of; -1: none
  int level = 0;    // of its heading; 0: what stands before the first heading
  int depth = 0;    // parents above it
  std::string title;
  std::size_t first_unit = 0;
  std::size_t end_unit = 0;
  std::int64_t tokens = 0;
  bool has_text = false;  // more than its heading (and front matter)
};

struct Outline {
  std::vector<Section> sections;  // sections[0] is what stands before the first heading
  std::vector<TextUnit> units;
};

// Sections [first, end) whose units may share passages.
struct Group {
  int first = 0;
  int end = 0;
  int top = 0;  // the section that all with text are, or are part of
  std::int64_t tokens = 0;
};

Result<Outline> make_outline(std::string_view text, UnitMaker& maker) {
  Outline outline;
  outline.sections.emplace_back();
  for (const TextBlock& block : find_blocks(text)) {
    if (block.kind == BlockKind::kHeading) {
      int parent = static_cast<int>(outline.sections.size()) - 1;
      while (parent > 0 &&
             outline.sections[static_cast<std::size_t>(parent)].level >= block.level) {
        parent = outline.sections[static_cast<std::size_t>(parent)].parent;
      }
      Section section;
      section.parent = parent;
      section.level = block.level;
      section.depth = outline.sections[static_cast<std::size_t>(parent)].depth + 1;
      section.title = block.title;
      section.first_unit = outline.units.size();
      outline.sections.push_back(std::move(section));
    }
    const int index = static_cast<int>(outline.sections.size()) - 1;
    const std::size_t before = outline.units.size();
    NESTOR_RETURN_IF_ERROR(maker.append(block, index, outline.units));
    Section& section = outline.sections.back();
    section.end_unit = outline.units.size();
    for (std::size_t i = before; i < section.end_unit; ++i) {
      const bool first = i == section.first_unit;
      section.tokens += outline.units[i].tokens;
      if (!first) section.tokens += join_tokens(outline.units[i - 1], outline.units[i]);
    }
    section.has_text =
        section.has_text || block.kind == BlockKind::kProse || block.kind == BlockKind::kRows;
  }
  return outline;
}

int common_ancestor(const std::vector<Section>& sections, int a, int b) {
  while (a != b) {
    int& deeper =
        sections[static_cast<std::size_t>(a)].depth >= sections[static_cast<std::size_t>(b)].depth
            ? a
            : b;
    deeper = sections[static_cast<std::size_t>(deeper)].parent;
  }
  return a;
}

// Small subsections join what stands before them under the same parent, or their parent's own text.
bool may_join(const std::vector<Section>& sections, const Group& before, const Group& group,
              std::int64_t limit) {
  if (group.tokens * kSmallSectionDivisor >= limit || before.tokens + group.tokens > limit)
    return false;
  for (int i = group.first; i < group.end; ++i) {
    if (sections[static_cast<std::size_t>(i)].level < kLeastJoinedLevel) return false;
  }
  const int parent = sections[static_cast<std::size_t>(group.top)].parent;
  return parent == before.top || parent == sections[static_cast<std::size_t>(before.top)].parent;
}

// A section that has no text of its own (a heading right above another, small front matter) goes
// with the one below it; at the end of the text with the one above it, if it fits.
std::vector<Group> group_sections(const Outline& outline, std::int64_t limit) {
  std::vector<Group> groups;
  Group open;  // sections not yet in a group
  for (std::size_t i = 0; i < outline.sections.size(); ++i) {
    const Section& section = outline.sections[i];
    open.end = static_cast<int>(i) + 1;
    open.tokens += section.tokens;
    open.top = static_cast<int>(i);
    const bool large_front_matter = i == 0 && section.tokens * kSmallSectionDivisor >= limit;
    if (!section.has_text && !large_front_matter) continue;
    if (!groups.empty() && may_join(outline.sections, groups.back(), open, limit)) {
      Group& last = groups.back();
      last.end = open.end;
      last.tokens += open.tokens;
      last.top = common_ancestor(outline.sections, last.top, open.top);
    } else {
      groups.push_back(open);
    }
    open = Group{.first = open.end, .end = open.end, .top = 0, .tokens = 0};
  }
  if (open.first == open.end) return groups;
  if (!groups.empty() && groups.back().tokens + open.tokens <= limit) {
    groups.back().end = open.end;
  } else {
    groups.push_back(open);
  }
  return groups;
}

// "A > B" of the section that holds all text of the passage.
std::string path_of(const std::vector<Section>& sections, const Passage& passage) {
  int top = -1;
  for (const bool with_headings : {false, true}) {
    for (const TextUnit& unit : passage) {
      const bool text = unit.kind == BlockKind::kProse || unit.kind == BlockKind::kRows;
      if (!text && !with_headings) continue;
      top = top < 0 ? unit.section : common_ancestor(sections, top, unit.section);
    }
    if (top >= 0) break;
  }
  std::string path;
  for (; top > 0; top = sections[static_cast<std::size_t>(top)].parent) {
    const std::string& title = sections[static_cast<std::size_t>(top)].title;
    if (title.empty()) continue;
    path = path.empty() ? title : title + " > " + path;
  }
  return path;
}

// Line numbers of ascending offsets, in one pass over the text.
class LineCounter {
 public:
  explicit LineCounter(std::string_view text) : text_(text) {}

  // The line, from 1, that text[offset] is in; a line end belongs to the line that it ends.
  // REQUIRES: offset < text.size(), not below the one before.
  std::int64_t line_of(std::size_t offset) {
    while (next_ <= offset) {
      next_ = line_at(text_, next_).next;
      ++line_;
    }
    return line_;
  }

 private:
  std::string_view text_;
  std::size_t next_ = 0;  // where the line after the current one begins
  std::int64_t line_ = 0;
};

}  // namespace

Result<std::vector<Chunk>> split_into_chunks(std::string_view text, const ChunkOptions& options,
                                             const TokenCounter& count_tokens) {
  if (options.chunk_tokens < 1) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("chunk_tokens is {}; a passage needs at least 1 token", options.chunk_tokens));
  }
  UnitMaker maker(text, options.chunk_tokens, count_tokens);
  NESTOR_ASSIGN_OR_RETURN(const Outline outline, make_outline(text, maker));
  if (outline.units.empty()) return std::vector<Chunk>{whole_text_chunk(text)};

  std::vector<Passage> passages;
  for (const Group& group : group_sections(outline, options.chunk_tokens)) {
    const std::size_t first = outline.sections[static_cast<std::size_t>(group.first)].first_unit;
    const std::size_t end = outline.sections[static_cast<std::size_t>(group.end - 1)].end_unit;
    const auto units = std::span(outline.units).subspan(first, end - first);
    NESTOR_RETURN_IF_ERROR(pack_units(units, options.chunk_tokens, maker, passages));
  }
  std::vector<Chunk> chunks;
  chunks.reserve(passages.size());
  LineCounter lines(text);
  for (const Passage& passage : passages) {
    Chunk chunk;
    const std::size_t begin = passage.front().begin;
    const std::size_t end = passage.back().end;
    chunk.bytes = {static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end)};
    chunk.lines.first = lines.line_of(begin);
    chunk.lines.last = lines.line_of(end - 1);
    chunk.heading_path = path_of(outline.sections, passage);
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

Chunk whole_text_chunk(std::string_view text) {
  Chunk chunk;
  chunk.bytes = {0, static_cast<std::int64_t>(text.size())};
  chunk.lines.last = text.empty() ? 1 : LineCounter(text).line_of(text.size() - 1);
  return chunk;
}

std::string find_title(std::string_view text) {
  std::string from_front_matter;
  for (const TextBlock& block : find_blocks(text)) {
    if (block.kind == BlockKind::kHeading && block.level == 1) return block.title;
    if (block.kind == BlockKind::kFrontMatter) {
      from_front_matter = front_matter_title(text.substr(block.begin, block.end - block.begin));
    }
  }
  return from_front_matter;
}

}  // namespace nestor::query
