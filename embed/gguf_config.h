// What the metadata of a GGUF says of an EmbeddingGemma: its configuration and its vocabulary.
// Nothing is assumed that the file could say; sizes are bounded as model_config.h bounds them, and
// what this encoder does not do is refused by name.
//
// Two spellings are read: architecture "gemma-embedding" (llama.cpp's conversion/gemma.py, and
// Ollama's converter of today) and "gemma3" with a pooling type (the blob Ollama serves as
// embeddinggemma, from its earlier converter).
// Threads: free functions and values, safe anywhere.
#pragma once

#include <string>

#include "embed/gguf.h"
#include "embed/model_config.h"
#include "embed/vocabulary.h"
#include "nestor/status.h"

namespace nestor::embed {

// The prompts of google/embeddinggemma-300m, which no GGUF holds. Source: its
// config_sentence_transformers.json.
PromptConfig known_prompts();

// The transformer's configuration with known_prompts() and no Dense modules. Sizes that only the
// tensors tell (the vocabulary) are taken from those. Errors: kDataLoss (a missing or absurd
// value), kUnsupported (another architecture, pooling, causal attention, …); `path` is named.
Result<ModelConfig> gguf_model_config(const GgufHeader& header, const std::string& path);

// tokenizer.ggml.tokens, .scores and .token_type as they stand in the file, cut to `size` pieces
// (one converter lists <image_soft_token> past the table's end). Errors: kDataLoss (missing, of
// different lengths, fewer than `size`, a kind that does not exist), kUnsupported (a tokenizer that
// is no sentencepiece BPE, or puts a space in front).
Result<Vocabulary> gguf_vocabulary(const GgufHeader& header, std::int64_t size,
                                   const std::string& path);

// The known vocabulary where `stored` is what a converter made of it, or `stored` with spaces
// spelled as U+2581. Converters write spaces in added tokens as ' ', score them -1000 and call them
// control or user-defined; the known vocabulary is told again from its texts alone, for its kinds
// and scores follow from the ids, and believed only if its hash is known_vocabulary_sha256().
Vocabulary restore_vocabulary(Vocabulary stored);

}  // namespace nestor::embed
