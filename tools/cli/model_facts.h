// What `nestor model info` finds out about the model in place.
// Threads: free functions; one.
#pragma once

#include <string>
#include <vector>

#include "embed/fingerprint.h"
#include "embed/model_config.h"
#include "embed/model_folder.h"
#include "embed/packed_model.h"
#include "nestor/status.h"
#include "tools/cli/context.h"

namespace nestor::cli {

struct PackedFacts {
  std::string path;
  embed::PackedSummary summary;
  std::string problem;  // empty when every section has its checksum
};

// What a command that embeds would take.
struct ModelOpening {
  std::string what;       // a packed file, or the checkpoint
  std::string precision;  // "int8", …
  std::string backend;
  std::string problem;  // why not; empty when it would work
};

struct ModelFacts {
  std::string folder;  // or the file that was named
  std::string origin;
  std::string name;
  std::string space;
  embed::ModelConfig config;
  std::vector<int> widths;
  std::vector<embed::ModelFileReport> files;  // empty where there is no checkpoint in a folder
  std::vector<PackedFacts> packed;
  ModelOpening opens;
};

// Checks every file of the model that is found, with a bar on the screen. Errors: kModelMissing,
// kCancelled, and those of reading it.
Result<ModelFacts> look_at_model(Context& context);

// Whole and known is what a script wants to hear as 0; else kExitModelMissing or kExitDataLoss.
ExitCode verdict(const ModelFacts& facts);

}  // namespace nestor::cli
