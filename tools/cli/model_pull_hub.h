// The Hugging Face Hub as a source of `nestor model pull`: its files by curl, under a person's own
// token. Threads: free functions; one.
#pragma once

#include <string>

#include "nestor/status.h"
#include "tools/cli/context.h"
#include "tools/cli/model_pull_staging.h"

namespace nestor::cli {

inline constexpr const char* kGemmaTermsAddress = "https://ai.google.dev/gemma/terms";

struct HubAccess {
  std::string repository = "google/embeddinggemma-300m";
  std::string endpoint;         // HF_ENDPOINT, else the Hub's own
  bool endpoint_named = false;  // by HF_ENDPOINT
  bool offline = false;         // HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set
  std::string token;  // HF_TOKEN, else the file HF_TOKEN_PATH, else $HF_HOME/token; may be empty
  std::string token_origin;  // where it was found, or where it was looked for
};

// From the environment. Errors: kInvalidArgument (a token that is not one line of printable ASCII).
Result<HubAccess> hub_access();

// Fetches what the staging still misses; an interrupted file goes on where it stopped. Errors:
// kModelMissing (the Hub refuses: how to accept the licence), kNotFound (no curl), kIoError (what
// curl said), kDataLoss (what came is not the known file), kNoSpace, kCancelled.
Status pull_from_hub(PullStaging& staging, const HubAccess& access, Context& context);

// What the Hub says of the repository and its files: JSON, at most 4 MiB. Errors: kModelMissing
// (refused), kNotFound (no curl), kIoError, kCancelled.
Result<std::string> fetch_hub_listing(const HubAccess& access, Context& context);

}  // namespace nestor::cli
