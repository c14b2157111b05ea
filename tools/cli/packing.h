// Packing with progress on the screen: what `nestor model pack` and `nestor model pull` share.
// Threads: one, the main thread.
#pragma once

#include <string>

#include "embed/packed_model.h"
#include "embed/precision.h"
#include "nestor/status.h"
#include "tools/cli/context.h"

namespace nestor::cli {

// What the weights of google/embeddinggemma-300m are called wherever they come from.
inline constexpr const char* kKnownModelName = "embeddinggemma-300m";

struct PackRequest {
  std::string source;     // a checkpoint's folder, or a GGUF
  std::string companion;  // a folder that supplies what a GGUF lacks; may be empty
  embed::Precision precision = embed::Precision::kInt8;
  std::string output;  // a file, or a folder the file goes into; empty: see usual_place
};

struct PackedFile {
  std::string path;
  embed::PackedSummary summary;
  double seconds = 0;
};

// Writes the packed file; stopped or failed it leaves what was there before. Without an output it
// goes beside a checkpoint in a folder, and into Nestor's own model folder where the source is a
// GGUF or the Hugging Face cache, if the weights are the known ones (another model there would be
// taken for them). Errors: those of open_checkpoint and pack_model; kInvalidArgument (no output
// where one is needed; one that is another file).
Result<PackedFile> pack_to_file(const PackRequest& request, Context& context);

// "packed as int8 in 14 s: FILE, 351.4 MB".
std::string packed_line(const PackedFile& packed);

}  // namespace nestor::cli
