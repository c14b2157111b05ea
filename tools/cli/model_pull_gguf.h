// A GGUF as the source of a model: a file a person has (an Ollama blob, say), or one of a Hugging
// Face repository that is open to all. Threads: free functions; one.
#pragma once

#include <string>
#include <string_view>

#include "nestor/status.h"
#include "tools/cli/context.h"

namespace nestor::cli {

inline constexpr const char* kDefaultGguf = "ggml-org/embeddinggemma-300M-GGUF:Q8_0";

// "ORG/REPO:QUANT", as llama.cpp's -hf has it; without QUANT it is Q8_0.
struct GgufChoice {
  std::string repository;
  std::string quantisation;
};
// Errors: kInvalidArgument.
Result<GgufChoice> parse_gguf_choice(std::string_view text);

struct GgufRequest {
  std::string what;                 // a file, or a GgufChoice; empty: kDefaultGguf
  std::string target;               // the folder a download goes into, under the file's own name
  bool accept_gemma_terms = false;  // such repositories are open, the weights are under the terms
  std::string
      packed_sha256;  // of a GGUF that is packed already and not fetched again; may be empty
};

// Returns the path of the GGUF: the file named as it is, or the downloaded one, checked against the
// SHA-256 the repository's listing gives; empty where that is `packed_sha256`. An interrupted
// download goes on at the next call; one that is there already is not repeated. Errors: kNotFound
// (no such file in the repository: lists those there are; no curl), kModelMissing (offline,
// refused, terms not accepted: nobody is asked), kDataLoss, kNoSpace, kLocked, kCancelled,
// kIoError.
Result<std::string> pull_gguf(const GgufRequest& request, Context& context);

}  // namespace nestor::cli
