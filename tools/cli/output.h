// How results look: lines for people, JSON for programs. Whatever comes out of documents is made
// safe for a terminal in both. Threads: free functions, safe anywhere.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "nestor/database.h"
#include "tools/cli/terminal.h"

namespace nestor::cli {

// Members stay in the order in which they were set.
using Json = nlohmann::ordered_json;

// {"schema_version": 1}, to be filled.
Json new_json();
// Line ends of Windows and of old Macs as those of Unix, for a terminal.
std::string with_unix_lines(std::string_view text);
// One line with its end. Characters that would move, hide or reorder what stands on a terminal are
// written as \u escapes, which mean the same to every reader.
std::string json_line(const Json& value);
// ill-formed UTF-8 (a file's name, say) with its bytes spelled out.
std::string json_text(std::string_view text);
Json metadata_as_json(const Metadata& metadata);

// Where the files of a folder's documents lie, for printing: "" when the documents are no files.
struct PathPrefix {
  std::string prefix;  // with its slash at the end
  [[nodiscard]] std::string path_of(const std::string& key, const Metadata& metadata) const;
};
// From the collection's attribute; `typed` replaces the real path where the person named the
// folder.
PathPrefix path_prefix_of(const Database& database, const std::string& collection,
                          const std::string& typed);

Json hit_as_json(const Hit& hit, const PathPrefix& paths);
Json explanation_as_json(const Explanation& explain);

// What the hits are in the order of: "0.543" by vector, "BM25 7.21 (cosine 0.543)" by words,
// "#1 (cosine 0.543, BM25 7.21)" by both; `rank` counts from 1. Without a query's vector only BM25.
std::string score_for_people(const Hit& hit, std::int64_t rank, const Explanation& explain);
// "path:first-last  score  "Title" > heading" and some lines of the passage.
std::string hit_for_people(const Hit& hit, const std::string& score, const PathPrefix& paths,
                           const Terminal& terminal);
// "excluded: "cars", "big cats"", "required: …", a line each; empty when there are none.
std::string clauses_for_people(const Explanation& explain);
// "128 -> 768 wide, 400 of 3,180 passages", "768 wide, exact over 3,180 passages".
std::string plan_for_people(const Explanation& explain);

// "38 ms", "2.4 s".
std::string seconds_text(double seconds);
// "1 file", "2 files".
std::string counted(std::int64_t count, std::string_view noun);

}  // namespace nestor::cli
