// Makes the table of bpe_table.h from a vocabulary: once, when a model is packed.
// Threads: a free function, safe anywhere.
#pragma once

#include <string>

#include "embed/vocabulary.h"
#include "nestor/status.h"

namespace nestor::embed {

// Errors: kDataLoss (no tokenizer: a piece twice, no text, no UTF-8, a byte without a piece,
// special ids that are none), kUnsupported (what BpeTokenizer would not do as sentencepiece does,
// named). Cost: 262,144 pieces take 0.3 s and give 10 MB.
Result<std::string> build_tokenizer_table(const Vocabulary& vocabulary);

}  // namespace nestor::embed
