// Chunker: a long text into passages at heading, paragraph, sentence and, if nothing else fits,
// word and character borders, no passage over the limit of model tokens. Passages do not overlap;
// bytes between them are white space only, so the passages of a text hold all that it says.
//
// Threads: free functions, safe wherever `count_tokens` is.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/document.h"
#include "nestor/status.h"

namespace nestor::query {

struct Chunk {
  ByteRange bytes;
  LineRange lines;
  std::string
      heading_path;  // "Chapter > Section" that the chunk stands under; its own heading counts
};

// Tokens of a piece of text for the model in use.
using TokenCounter = std::function<Result<int>(std::string_view text)>;

struct ChunkOptions {
  int chunk_tokens = 256;  // the most
};

// At least one chunk, also for an empty or all-white text (it then spans the whole). REQUIRES:
// well-formed UTF-8 below 2 GiB. A single code point that alone has more tokens than the limit
// stays one chunk. Errors: those of count_tokens; kInvalidArgument (chunk_tokens below 1),
// kInternal (ICU without its data). Cost: each byte is counted about twice.
Result<std::vector<Chunk>> split_into_chunks(std::string_view text, const ChunkOptions& options,
                                             const TokenCounter& count_tokens);

// One chunk that spans the whole text.
Chunk whole_text_chunk(std::string_view text);

// What a reader would call the document: the first top-level heading, the front matter's `title`,
// or nothing. Plain text of at most 200 bytes.
std::string find_title(std::string_view text);

}  // namespace nestor::query
