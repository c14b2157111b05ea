// Headings and titles as text_blocks and heading_text see them, through find_title.
#include "query/text_blocks.h"

#include <doctest/doctest.h>

#include <string>

#include "query/chunker.h"

namespace nestor::query {
namespace {

TEST_CASE("headings lose their markup") {
  const auto title = [](const std::string& line) { return find_title(line + "\n\ntext"); };
  CHECK(title("# Plain ##") == "Plain");
  CHECK(title("# C#") == "C#");
  CHECK(title("# The `Vec<T>` type {#the-vec}") == "The Vec<T> type");
  CHECK(title("# See [the *book*](https://example.org/a) now") == "See the *book* now");
  CHECK(title("# [![badge](b.svg)](link) **Name**") == "badge Name");
  CHECK(title("# <a id=\"x\"></a>Storage   of\tkeys") == "Storage of keys");
  CHECK(title("# `__init__` and snake_case \\# mark") == "__init__ and snake_case # mark");
  CHECK(title("# a < b and Vec<T>") == "a < b and Vec<T>");
  CHECK(title("# [unclosed (and `ticks") == "[unclosed (and ticks");
  CHECK(title("  # Two spaces in") == "Two spaces in");
  CHECK(title("#hashtag") == "");
  CHECK(title("####### seven") == "");
  CHECK(title("    # code") == "");
  CHECK(title("# ---") == "");
  const std::string long_title = title("# " + std::string(450, 'w'));
  CHECK(long_title.size() <= 200);
  CHECK(long_title.ends_with("…"));
}

TEST_CASE("a title is found in headings of every kind, then in front matter") {
  CHECK(find_title("Some text\n\n# First\n\n# Second\n") == "First");
  CHECK(find_title("Title\n=====\n\ntext") == "Title");
  CHECK(find_title("======\n Top\n======\n\nPart\n----\n") == "Top");
  CHECK(find_title("---\ntitle: \"From: above\"\n---\ntext") == "From: above");
  CHECK(find_title("---\ntitle: Above\n---\n# Below") == "Below");
  CHECK(find_title("+++\ntitle = 'Toml'\n+++\ntext") == "Toml");
  CHECK(find_title("## Only a second level\n") == "");
  CHECK(find_title("no heading") == "");
  CHECK(find_title("") == "");
}

TEST_CASE("blocks begin and end without white space and cover all else") {
  const std::string text =
      "\xef\xbb\xbf  # A\r\n\r\n  one\r\n  two\t\r\n```\r\ncode\r\n```\r\n| a |\r\n";
  const std::vector<TextBlock> blocks = find_blocks(text);
  std::vector<std::string> found;
  for (const TextBlock& block : blocks)
    found.push_back(text.substr(block.begin, block.end - block.begin));
  CHECK(found == std::vector<std::string>{"# A", "one\r\n  two", "```\r\ncode\r\n```", "| a |"});
  REQUIRE(blocks.size() == 4);
  CHECK(blocks[0].kind == BlockKind::kHeading);
  CHECK(blocks[1].kind == BlockKind::kProse);
  CHECK(blocks[2].kind == BlockKind::kRows);
  CHECK(blocks[3].kind == BlockKind::kRows);
}

}  // namespace
}  // namespace nestor::query
