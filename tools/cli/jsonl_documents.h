// One line of JSONL into a document or a text to embed. Every member is looked at: one that is not
// known is refused, for a misspelt name would lose data without a word.
// Threads: free functions, safe anywhere.
#pragma once

#include <string>
#include <string_view>

#include "nestor/document.h"
#include "nestor/status.h"

namespace nestor::cli {

// {"key", "title"?, "text", "metadata"?, "vector"?}. Errors: kInvalidArgument (what is wrong,
// without the line's number).
Result<Document> parse_document_line(std::string_view line);

struct EmbedLine {
  std::string text;
  std::string title;
};
// {"text", "title"?}. Errors: as above.
Result<EmbedLine> parse_embed_line(std::string_view line);

// A JSON array of numbers that a float holds. Errors: kInvalidArgument.
Result<std::vector<float>> parse_vector(std::string_view text);

}  // namespace nestor::cli
