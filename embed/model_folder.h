// Where the model is: the folder a person names, or the places where it usually lies.
// Threads: free functions, safe anywhere (they read the environment).
#pragma once

#include <string>
#include <vector>

#include "nestor/status.h"

namespace nestor::embed {

// One place that was looked at, and what was found there, as a clause for people.
struct ModelPlace {
  std::string folder;
  std::string origin;   // "NESTOR_MODEL", "Nestor's model folder", "the Hugging Face cache", …
  std::string problem;  // "no such folder", "it lacks tokenizer.model"; empty when complete
};

// data_folder()/models/embeddinggemma-300m, where `nestor model pull` puts it; empty without a
// home.
std::string default_model_folder();

// The snapshot refs/main of the Hugging Face cache points at (HF_HUB_CACHE, else HF_HOME/hub, else
// $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub), or any complete one; without
// any, the folder where it would be.
std::string hugging_face_model_folder();

// The places in the order they are looked at. A folder that is named, by `folder` or NESTOR_MODEL,
// is the only one: what a person asked for is never replaced by something else.
std::vector<ModelPlace> model_places(const std::string& folder);

// The first complete one. Errors: kModelMissing (each place, what it lacks, what to type).
// Cost: some dozen stat calls.
Result<std::string> find_model_folder(const std::string& folder);

}  // namespace nestor::embed
