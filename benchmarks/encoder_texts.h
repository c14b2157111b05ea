// Texts of a given number of tokens, for benchmarks of the encoder. Threads: one.
#pragma once

#include <string>

#include "benchmarks/benchmark_support.h"
#include "nestor/embedder.h"

namespace nestor::benchmark {

// A text that comes to `tokens` with its prompt, or one more.
inline std::string text_of_tokens(const Embedder& embedder, Role role, int tokens) {
  const std::string word = "compiler";
  std::string text = word;
  const EmbedInput first{.text = text};
  const int extra = must(embedder.embed({&first, 1}, role)).front().token_count -
                    must(embedder.count_tokens(text));
  while (must(embedder.count_tokens(text)) + extra < tokens) text += " " + word;
  return text;
}

}  // namespace nestor::benchmark
