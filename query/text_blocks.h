// The outline of a text: its headings (Markdown's #, underlined ones of Markdown and
// reStructuredText), and between them paragraphs, code blocks, tables. Nothing but lines is looked
// at: a text without any such marks is a row of paragraphs. Threads: free functions, safe anywhere.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace nestor::query {

enum class BlockKind {
  kHeading,      // with its underline and overline
  kFrontMatter,  // the YAML or TOML that site generators keep at the top
  kProse,        // lines up to a blank one; a list or a quotation too
  kRows,         // a fenced code block or a table: to be cut at line ends only
};

struct TextBlock {
  std::size_t begin = 0;  // bytes, both ends without white space
  std::size_t end = 0;
  BlockKind kind = BlockKind::kProse;
  int level = 0;      // of a heading, from 1
  std::string title;  // of a heading: its plain text
};

// Blocks in order; all that lies between them is white space (and a byte order mark at the start).
// Cost: one pass.
std::vector<TextBlock> find_blocks(std::string_view text);

// The value of `title` in a front matter block, or nothing.
std::string front_matter_title(std::string_view block);

struct TextLine {
  std::size_t begin = 0;
  std::size_t end = 0;   // without its line end
  std::size_t next = 0;  // the line after it begins here; text.size() for the last
};
// The line that begins at `begin`; lines end in LF, CR LF or CR.
TextLine line_at(std::string_view text, std::size_t begin);

}  // namespace nestor::query
