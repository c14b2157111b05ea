// Where the model is: the folder a person names, or the places where it usually lies.
// Threads: free functions, safe anywhere (they read the environment).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "embed/precision.h"
#include "nestor/status.h"

namespace nestor::embed {

// One place that was looked at, and what was found there, as a clause for people.
struct ModelPlace {
  std::string folder;
  std::string origin;   // "NESTOR_MODEL", "Nestor's model folder", "the Hugging Face cache", …
  std::string problem;  // "no such folder", "it lacks tokenizer.model"; empty when complete
  bool has_source = false;             // a checkpoint
  std::vector<Precision> packed = {};  // packed files in the folder
};

// data_folder()/models/embeddinggemma-300m, where `nestor model pull` puts it; empty without a
// home.
std::string default_model_folder();

// The snapshot refs/main of the Hugging Face cache points at (HF_HUB_CACHE, else HF_HOME/hub, else
// $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub), or any complete one; without
// any, the folder where it would be.
std::string hugging_face_model_folder();

// Where in a folder the packed file of a precision lies: "<folder>/model-int8.nestor-model".
std::string packed_path(const std::string& folder, Precision precision);

// What was found: a packed file to open, or a checkpoint (folder or GGUF) to pack or load.
struct ModelLocation {
  std::string packed;  // empty where there is none of the precision asked for
  std::string source;  // empty where there is none
};

// The places in the order they are looked at. A folder that is named, by `folder` or NESTOR_MODEL,
// is the only one: what a person asked for is never replaced by something else.
std::vector<ModelPlace> model_places(const std::string& folder);

// The first place with a model. `named` may be a file too: a packed model or a GGUF. With a
// precision asked for, a packed file of another one is passed over; else `preferred` comes first,
// then what there is. Errors: kModelMissing (each place, what it lacks, what to type), kUnsupported
// (a packed file is named and has another precision than is asked for). Cost: some dozen stat
// calls.
Result<ModelLocation> find_model(const std::string& named, std::optional<Precision> asked,
                                 Precision preferred);

// The folder of the first complete checkpoint or packed model. Errors: kModelMissing.
Result<std::string> find_model_folder(const std::string& folder);

}  // namespace nestor::embed
