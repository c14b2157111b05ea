#include "query/chunker.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "core/file.h"
#include "core/text.h"
#include "query/text_breaks.h"
#include "tests/support/cpu_time.h"
#include "tests/support/test_paths.h"

namespace nestor::query {
namespace {

// Words, each piece of white space free: easy to reckon with by hand.
Result<int> count_words(std::string_view text) {
  int count = 0;
  bool inside = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (!space && !inside) ++count;
    inside = !space;
  }
  return count;
}

// As a tokenizer does with bytes: about four a token, and more than the sum of its parts now and
// then.
Result<int> count_bytes(std::string_view text) { return static_cast<int>((text.size() + 3) / 4); }

std::vector<Chunk> split(std::string_view text, int chunk_tokens,
                         const TokenCounter& counter = count_words) {
  auto chunks = split_into_chunks(text, {.chunk_tokens = chunk_tokens}, counter);
  REQUIRE(chunks.ok());
  return std::move(chunks).value();
}

std::string_view text_of(std::string_view text, const Chunk& chunk) {
  return text.substr(static_cast<std::size_t>(chunk.bytes.begin),
                     static_cast<std::size_t>(chunk.bytes.end - chunk.bytes.begin));
}

std::vector<std::string> paths(const std::vector<Chunk>& chunks) {
  std::vector<std::string> result;
  for (const Chunk& chunk : chunks) result.push_back(chunk.heading_path);
  return result;
}

std::int64_t lines_before(std::string_view text, std::int64_t offset) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(offset); ++i) {
    const bool within_crlf = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    if (text[i] == '\n' || (text[i] == '\r' && !within_crlf)) ++count;
  }
  return count;
}

bool all_white(std::string_view text) { return trim(text).begin == text.size(); }

// What holds for every text. Lines are checked where `check_lines`, for that is quadratic.
void check_invariants(std::string_view text, int chunk_tokens, const TokenCounter& counter,
                      bool check_lines = true) {
  const std::vector<Chunk> chunks = split(text, chunk_tokens, counter);
  REQUIRE_FALSE(chunks.empty());
  std::size_t covered = 0;
  for (const Chunk& chunk : chunks) {
    REQUIRE(chunk.bytes.begin >= static_cast<std::int64_t>(covered));
    REQUIRE(chunk.bytes.end <= static_cast<std::int64_t>(text.size()));
    const std::size_t begin = static_cast<std::size_t>(chunk.bytes.begin);
    REQUIRE(all_white(text.substr(covered, begin - covered)));
    covered = static_cast<std::size_t>(chunk.bytes.end);
    const std::string_view content = text_of(text, chunk);
    REQUIRE_FALSE(find_invalid_utf8(content).has_value());
    if (!all_white(text)) {
      const Trimmed range = trim(content);
      REQUIRE(range.begin == 0);
      REQUIRE(range.end == content.size());
      REQUIRE_FALSE(content.empty());
      const int tokens = counter(content).value();
      REQUIRE((tokens <= chunk_tokens || code_point_bytes(content, 0) == content.size()));
    }
    if (check_lines) {
      REQUIRE(chunk.lines.first == lines_before(text, chunk.bytes.begin) + 1);
      REQUIRE(chunk.lines.last ==
              lines_before(text, std::max<std::int64_t>(0, chunk.bytes.end - 1)) + 1);
    }
  }
  REQUIRE(all_white(text.substr(covered)));
  const std::vector<Chunk> again = split(text, chunk_tokens, counter);
  REQUIRE(again.size() == chunks.size());
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    REQUIRE(again[i].bytes == chunks[i].bytes);
    REQUIRE(again[i].heading_path == chunks[i].heading_path);
  }
}

std::string words(int count, const std::string& word = "word") {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i == 0 ? "" : " ") + word + std::to_string(i);
  return text;
}

TEST_CASE("an empty and an all-white text are one chunk that spans the whole") {
  const std::vector<Chunk> none = split("", 10);
  REQUIRE(none.size() == 1);
  CHECK(none[0].bytes == ByteRange{0, 0});
  CHECK(none[0].lines == LineRange{1, 1});
  const std::string white = " \n\t\r\n\xc2\xa0\xe3\x80\x80\n";
  const std::vector<Chunk> blank = split(white, 10);
  REQUIRE(blank.size() == 1);
  CHECK(blank[0].bytes == ByteRange{0, static_cast<std::int64_t>(white.size())});
  CHECK(blank[0].lines == LineRange{1, 3});
  CHECK(blank[0].heading_path.empty());
}

TEST_CASE("whole_text_chunk spans everything and counts lines of all three kinds") {
  CHECK(whole_text_chunk("").lines == LineRange{1, 1});
  CHECK(whole_text_chunk("a").lines == LineRange{1, 1});
  CHECK(whole_text_chunk("a\n").lines == LineRange{1, 1});
  CHECK(whole_text_chunk("a\n\n").lines == LineRange{1, 2});
  CHECK(whole_text_chunk("a\r\nb\rc\nd").lines == LineRange{1, 4});
  CHECK(whole_text_chunk("\n x \n").bytes == ByteRange{0, 5});
}

TEST_CASE("a short text is one chunk without the white space around it") {
  const std::string text = "\xef\xbb\xbf\r\n  Some words here.\r\nMore of them. \n\n";
  const std::vector<Chunk> chunks = split(text, 50);
  REQUIRE(chunks.size() == 1);
  CHECK(text_of(text, chunks[0]) == "Some words here.\r\nMore of them.");
  CHECK(chunks[0].lines == LineRange{2, 3});
}

TEST_CASE("a limit below one token is refused and a counter's failure is passed on") {
  const auto refused = split_into_chunks("a", {.chunk_tokens = 0}, count_words);
  CHECK(refused.status().code() == StatusCode::kInvalidArgument);
  const auto failed = split_into_chunks("a", {}, [](std::string_view) {
    return Result<int>(Status(StatusCode::kModelMissing, "no model"));
  });
  CHECK(failed.status().code() == StatusCode::kModelMissing);
}

TEST_CASE("paths follow the levels: a level two after a level three leaves it") {
  const std::string text = "# Book\n\n" + words(12) + "\n\n## One\n\n" + words(12) +
                           "\n\n### Deep\n\n" + words(12) + "\n\n## Two\n\n" + words(12) +
                           "\n\n# Other\n\n" + words(12);
  CHECK(paths(split(text, 20)) ==
        std::vector<std::string>{"Book", "Book > One", "Book > One > Deep", "Book > Two", "Other"});
  const std::vector<Chunk> chunks = split(text, 20);
  CHECK(text_of(text, chunks[1]).starts_with("## One\n\nword0"));
  CHECK(text_of(text, chunks[2]).starts_with("### Deep"));
  CHECK(chunks[1].lines == LineRange{5, 7});
}

TEST_CASE("a skipped level still has its parent") {
  const std::string text =
      "# A\n\n" + words(9) + "\n\n#### D\n\n" + words(9) + "\n\n### C\n\n" + words(9);
  CHECK(paths(split(text, 12)) == std::vector<std::string>{"A", "A > D", "A > C"});
}

TEST_CASE("underlined headings rank by first appearance, or as in Markdown beside its own") {
  const std::string body = "\n\n" + words(9) + "\n\n";
  const std::string rst =
      "####\nBook\n####" + body + "Part\n====" + body + "Piece\n~~~~~" + body + "Next\n====" + body;
  CHECK(paths(split(rst, 14)) ==
        std::vector<std::string>{"Book", "Book > Part", "Book > Part > Piece", "Book > Next"});
  const std::string markdown = "# Book" + body + "Part\n----" + body + "Whole\n=====" + body;
  CHECK(paths(split(markdown, 12)) == std::vector<std::string>{"Book", "Book > Part", "Whole"});
}

TEST_CASE("rulings, tables, lists and front matter are no headings") {
  const auto has_heading = [](const std::string& text) {
    const auto chunks = split(text, 1000);
    return std::any_of(chunks.begin(), chunks.end(),
                       [](const Chunk& chunk) { return !chunk.heading_path.empty(); });
  };
  CHECK(has_heading("Real\n----\n\ntext"));
  CHECK_FALSE(has_heading("a longer line of text\n---\n\nmore"));
  CHECK_FALSE(has_heading("two lines\nof text\n---------\n\nmore"));
  CHECK_FALSE(has_heading("text\n\n---\n\nmore"));
  CHECK_FALSE(has_heading("| a | b |\n|---|---|\n| 1 | 2 |\n"));
  CHECK_FALSE(has_heading("a | b\n--- | ---\n1 | 2\n"));
  CHECK_FALSE(has_heading("- item\n------\n"));
  CHECK_FALSE(has_heading("===== =====\n a b\n===== =====\n"));
  CHECK_FALSE(has_heading("---\ntitle: x\n---\n\ntext"));
  CHECK_FALSE(has_heading("-----\n-----\n-----\n"));
  CHECK_FALSE(has_heading("Ex:\n~~~~\n# no\n~~~~\n") == has_heading("```\n# no\n```\n"));
}

TEST_CASE("fenced code has no headings, however it is fenced") {
  for (const std::string open : {"```", "~~~", "````rust", "  ```", "- ```", "1. ~~~~"}) {
    const std::string mark = open.find('~') != std::string::npos ? "~~~~" : "````";
    const std::string text = "# Real\n\ntext\n\n" + open + "\n# not one\nNor this\n========\n" +
                             mark + "\n\n# Last\n\nend";
    CAPTURE(open);
    const std::vector<Chunk> chunks = split(text, 100);
    CHECK(paths(chunks) == std::vector<std::string>{"Real", "Last"});
  }
  // A shorter fence inside does not close; an unclosed one runs to the end; code spans are no
  // fences.
  CHECK(paths(split("# A\n\n````\n```\n# no\n````\n", 50)) == std::vector<std::string>{"A"});
  CHECK(paths(split("# A\n\n```\n# no\n", 50)) == std::vector<std::string>{"A"});
  CHECK(paths(split("# A\n\n```span``` x\n\n# B\n\nb", 50)) == std::vector<std::string>{"A", "B"});
}

TEST_CASE("a heading stays with the text below it") {
  const std::string text = words(18) + "\n\n### Next\n\n" + words(9) + "! " + words(9);
  for (const Chunk& chunk : split(text, 20))
    CHECK_FALSE(text_of(text, chunk).ends_with("### Next"));
  const std::string bare = "# Book\n\n## Empty\n\n## Full\n\n" + words(10) + "\n\n## Trailing\n";
  const std::vector<Chunk> chunks = split(bare, 30);
  REQUIRE(chunks.size() == 1);
  CHECK(chunks[0].heading_path == "Book > Full");
  CHECK(text_of(bare, chunks[0]).ends_with("## Trailing"));
}

TEST_CASE("small subsections join what stands above them, second levels never do") {
  const std::string text = "## P\n\n" + words(20) + "\n\n### a\n\n" + words(3) + "\n\n### b\n\n" +
                           words(3) + "\n\n## Q\n\n" + words(3) + "\n\n## R\n\n" + words(3);
  CHECK(paths(split(text, 100)) == std::vector<std::string>{"P", "Q", "R"});
  const std::string siblings =
      "## P\n\n### a\n\n" + words(20) + "\n\n### b\n\n" + words(3) + "\n\n### c\n\n" + words(40);
  CHECK(paths(split(siblings, 100)) == std::vector<std::string>{"P", "P > c"});
  // Not the child of another: ### b is no sibling of #### x.
  const std::string cousins = "## P\n\n### a\n\n#### x\n\n" + words(3) + "\n\n### b\n\n" + words(3);
  CHECK(paths(split(cousins, 100)) == std::vector<std::string>{"P > a > x", "P > b"});
}

TEST_CASE("small front matter goes with the first section, large stands alone") {
  const std::string text = "---\ntitle: x\n---\n\n# Book\n\n" + words(10);
  CHECK(paths(split(text, 40)) == std::vector<std::string>{"Book"});
  const std::string large = "---\ntitle: " + words(20) + "\n---\n\n# Book\n\n" + words(10);
  CHECK(paths(split(large, 40)) == std::vector<std::string>{"", "Book"});
}

TEST_CASE("paragraphs stay whole where they fit") {
  std::string text;
  for (int i = 0; i < 10; ++i) text += words(30) + ".\n\n";
  for (const Chunk& chunk : split(text, 70)) {
    CHECK(text_of(text, chunk).starts_with("word0 "));
    CHECK(text_of(text, chunk).ends_with("word29."));
  }
}

TEST_CASE("a paragraph over the limit is cut between sentences, not at its line ends") {
  std::string text;
  for (int i = 0; i < 12; ++i) text += "The line of sentence one\nruns on to here, see. ";
  const std::vector<Chunk> chunks = split(text, 40);
  CHECK(chunks.size() >= 3);
  for (const Chunk& chunk : chunks) {
    CHECK(text_of(text, chunk).starts_with("The line"));
    CHECK(text_of(text, chunk).ends_with("see."));
  }
}

TEST_CASE("a list over the limit is cut between its items") {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "- item without a full stop\n  that goes on\n";
  const std::vector<Chunk> chunks = split(text, 50);
  CHECK(chunks.size() >= 3);
  for (const Chunk& chunk : chunks) CHECK(text_of(text, chunk).starts_with("- item"));
}

TEST_CASE("code and tables stay whole where they fit, else are cut at line ends") {
  std::string code = "```\n";
  for (int i = 0; i < 10; ++i) code += "call one. Call two. call three\n";
  code += "```";
  const std::string text = words(40) + ".\n\n" + code + "\n\n" + words(40) + ".";
  bool whole = false;
  for (const Chunk& chunk : split(text, 70)) {
    whole = whole || text_of(text, chunk).find(code) != std::string_view::npos;
  }
  CHECK(whole);
  std::string table = "| a | b |\n|---|---|\n";
  for (int i = 0; i < 40; ++i) table += "| One thing. Another thing | two |\n";
  for (const Chunk& chunk : split(table, 60)) {
    CHECK(text_of(table, chunk).starts_with("|"));
    CHECK(text_of(table, chunk).ends_with("|"));
  }
}

TEST_CASE("no tiny last chunk is left where the section can be shared out") {
  // 270 words in one paragraph and a rest of 5: two even parts, not 250 and 25.
  std::string text;
  for (int i = 0; i < 27; ++i) text += words(9) + " stop! ";
  text += "\n\n" + words(5) + ".";
  const std::vector<Chunk> chunks = split(text, 250);
  REQUIRE(chunks.size() == 2);
  for (const Chunk& chunk : chunks) CHECK(count_words(text_of(text, chunk)).value() > 100);
  // One paragraph that nearly fills a chunk and a small one: the large one is divided.
  std::string full;
  for (int i = 0; i < 10; ++i) full += words(9) + " stop! ";
  full += "\n\n" + words(4) + ".";
  const std::vector<Chunk> shared = split(full, 102);
  REQUIRE(shared.size() == 2);
  for (const Chunk& chunk : shared) CHECK(count_words(text_of(full, chunk)).value() >= 40);
}

TEST_CASE("Thai without spaces is cut between words") {
  const std::string word = "สวัสดี";
  std::string text;
  for (int i = 0; i < 300; ++i) text += word;
  const auto count_characters = [](std::string_view piece) {
    return Result<int>(static_cast<int>(piece.size() / 3));
  };
  const std::vector<Chunk> chunks = split(text, 50, count_characters);
  CHECK(chunks.size() > 30);
  for (const Chunk& chunk : chunks) {
    CHECK(static_cast<std::size_t>(chunk.bytes.begin) % word.size() == 0);
  }
  check_invariants(text, 50, count_characters);
}

double seconds_to_split(std::string_view text, int chunk_tokens) {
  const double start = nestor::testing::thread_seconds();
  const auto chunks = split(text, chunk_tokens, count_bytes);
  CHECK_FALSE(chunks.empty());
  return nestor::testing::thread_seconds() - start;
}

TEST_CASE("a megabyte of anything is split in under five seconds and within the limit") {
  constexpr std::size_t kMegabyte = 1 << 20;
  const auto repeat = [](std::string_view piece) {
    std::string text;
    while (text.size() < kMegabyte) text += piece;
    return text;
  };
  const std::vector<std::pair<const char*, std::string>> texts = {
      {"one word", repeat("x")},
      {"marks on one letter", "e" + repeat("\xcc\x81")},
      {"full stops", repeat(".")},
      {"stops and spaces", repeat(". ")},
      {"stops and digits", repeat(".1")},
      {"brackets in headings", repeat("# " + std::string(900, '[') + "\n")},
      {"headings only", repeat("# a\n")},
      {"deeper headings", repeat("# a\n## b\n### c\n#### d\n##### e\n###### f\n")},
      {"tiny paragraphs", repeat("a\n\n")},
      {"lines", repeat("a\n")},
      {"carriage returns", repeat("a\r")},
      {"open fences", repeat("```\n\n")},
      {"rulings", repeat("====\na\n====\n")},
      {"dashes", repeat("---\n")},
      {"kanji", repeat("漢字")},
      {"Thai", repeat("ภาษาไทย")},
      {"flags", repeat("🇩🇪")},
      {"joined emoji", repeat("👩\xe2\x80\x8d")},
      {"NUL bytes", repeat(std::string_view("a\0", 2))},
      {"quotes", repeat("\" ' ) ] ")},
      {"white space and a letter", std::string(kMegabyte, ' ') + "a"},
      {"line ends and letters",
       std::string(kMegabyte / 2, '\n') + "a" + std::string(kMegabyte / 2, '\n') + "b"},
      {"wide spaces", "a" + repeat("\xe3\x80\x80") + "b"},
      {"list items", repeat("- a\n")},
  };
  for (const auto& [name, text] : texts) {
    CAPTURE(name);
    CHECK(seconds_to_split(text, 256) < 5.0);
    check_invariants(text, 256, count_bytes, false);
  }
}

TEST_CASE("limits smaller than a word cut it, and only a single character may stay above one") {
  const std::string text =
      "# Größe\n\nEin Wörterbuchbenutzer 👩‍👩‍👧 sagt: straßenbahnhaltestelle!\n";
  for (const int limit : {1, 2, 3, 5, 8}) check_invariants(text, limit, count_bytes);
  const auto costly = [](std::string_view piece) {
    return Result<int>(static_cast<int>(3 * piece.size()));
  };
  check_invariants(text, 2, costly);
}

std::uint64_t test_seed(const char* test) {
  const char* given = std::getenv("NESTOR_TEST_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::printf("%s: NESTOR_TEST_SEED=%llu\n", test, static_cast<unsigned long long>(seed));
  return seed;
}

TEST_CASE("random texts of marks, words and strange characters keep every promise") {
  const std::vector<std::string> parts = {"word",
                                          "Word",
                                          "longerwordthanothers",
                                          ". ",
                                          "! ",
                                          "? ",
                                          ", ",
                                          " ",
                                          " ",
                                          " ",
                                          "\n",
                                          "\n",
                                          "\r\n",
                                          "\r",
                                          "\n\n",
                                          "\n# ",
                                          "\n## ",
                                          "\n### ",
                                          "\n#### ",
                                          "\n===\n",
                                          "\n-----\n",
                                          "\n~~~\n",
                                          "\n```\n",
                                          "\n---\n",
                                          "- ",
                                          "1. ",
                                          "| a | b |",
                                          "\xc2\xa0",
                                          "\xe3\x80\x80",
                                          "\xef\xbb\xbf",
                                          "e\xcc\x81",
                                          "漢字",
                                          "ไทยภาษา",
                                          "👩‍👧",
                                          "`code`",
                                          "[a](b)",
                                          "{#x}",
                                          "***",
                                          std::string(1, '\0'),
                                          "\t",
                                          "    ",
                                          "مرحبا",
                                          "…",
                                          "\xe2\x80\xa8",
                                          "0123456789"};
  std::mt19937_64 engine(test_seed("chunker"));
  const auto below = [&](std::size_t bound) { return static_cast<std::size_t>(engine() % bound); };
  for (int round = 0; round < 1500; ++round) {
    std::string text = below(8) == 0 ? "---\ntitle: x\n---\n" : "";
    const std::size_t part_count = below(round % 20 == 0 ? 1500 : 150);
    // A narrow choice of parts now and then, so that runs of the same happen.
    const std::size_t choice = below(3) == 0 ? 2 + below(4) : parts.size();
    const std::size_t first = below(parts.size());
    for (std::size_t i = 0; i < part_count; ++i)
      text += parts[(first + below(choice)) % parts.size()];
    CAPTURE(round);
    CAPTURE(text);
    check_invariants(text, static_cast<int>(1 + below(60)),
                     round % 2 == 0 ? count_words : count_bytes);
  }
}

TEST_CASE("real folders of Markdown keep every promise and fill their chunks well") {
  const std::string folder = testing::test_data("folders");
  if (folder.empty()) return testing::skip("no folders of documents in NESTOR_TEST_DATA");
  std::int64_t file_count = 0;
  std::int64_t tiny_count = 0;
  std::int64_t chunk_count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".md") continue;
    const auto text = read_file(entry.path().string(), 16 << 20);
    REQUIRE(text.ok());
    CAPTURE(entry.path().string());
    ++file_count;
    check_invariants(text.value(), 256, count_bytes, text.value().size() < 20'000);
    for (const Chunk& chunk : split(text.value(), 256, count_bytes)) {
      ++chunk_count;
      if (count_bytes(text_of(text.value(), chunk)).value() < 256 * 15 / 100) ++tiny_count;
    }
  }
  CHECK(file_count > 50);
  // Short sections under second-level headings stay chunks of their own: some are tiny, most are
  // not.
  CHECK(tiny_count * 4 < chunk_count);
}

}  // namespace
}  // namespace nestor::query
