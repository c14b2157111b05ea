// Fingerprint: which model this is. SHA-256 of the known files, of the files found, and the name of
// the vector space they make, to which a collection is bound.
//
// Threads: free functions and values, safe anywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "embed/model_config.h"
#include "nestor/status.h"

namespace nestor::embed {

// One file of google/embeddinggemma-300m as this version knows it.
struct KnownModelFile {
  const char* path;    // inside the model's folder
  const char* sha256;  // hex
  std::uint64_t bytes;
};

// The files a complete model folder holds, the biggest first.
std::span<const KnownModelFile> known_model_files();
const std::string& known_tokenizer_sha256();
// vocabulary_sha256 (vocabulary.h) of that tokenizer.
const std::string& known_vocabulary_sha256();

enum class ModelFileState { kGood, kMissing, kDiffers, kUnreadable };

struct ModelFileReport {
  const KnownModelFile* known = nullptr;
  ModelFileState state = ModelFileState::kMissing;
  std::uint64_t bytes = 0;  // found
  std::string sha256;   // found, hex; empty where the file could not be read or its size is wrong
  std::string problem;  // a sentence for people; empty when good
};

// Hears bytes read so far and bytes in all; returns false to stop.
using VerifyProgress = std::function<bool(std::uint64_t done, std::uint64_t total)>;

// Reads and hashes every known file in `folder`, in the table's order; nothing is taken from the
// cache. A file that is missing or differs is in the report, not an error. Errors: kCancelled.
// Cost: reads 1.2 GB; a second or two when it is in memory.
Result<std::vector<ModelFileReport>> verify_model_files(const std::string& folder,
                                                        const VerifyProgress& on_progress = {});

// Hex SHA-256 of `path`. Remembered in cache_folder()/checksums.json by real path, size, time of
// change and inode, for hashing 1.2 GB at every start is too slow; an unusable cache is no error.
// Errors: those of sha256_hex_of_file.
Result<std::string> cached_sha256_of_file(const std::string& path);

// What makes a vector space.
struct SpaceParts {
  std::string weights_sha256;              // of model.safetensors
  std::vector<std::string> dense_sha256s;  // of the Dense modules' weights, in order
  std::string tokenizer_sha256;
  const ModelConfig* config = nullptr;  // for the prompts and the pooling
};

// The parts of the model in `folder`, by the cached SHA-256 of its files. `weight_files` hold the
// transformer; of several the hash is that of their names and hashes. `config` must outlive the
// parts. Errors: those of cached_sha256_of_file.
Result<SpaceParts> identify_folder(const std::string& folder, const ModelConfig& config,
                                   const std::string& tokenizer_sha256,
                                   const std::vector<std::string>& weight_files = {
                                       "model.safetensors"});

// Hex SHA-256 of the parts in a fixed spelling. STORED: in every collection; the spelling never
// changes.
std::string space_of(const SpaceParts& parts);

// "embeddinggemma-300m" where every checkpoint of the parts is known, else "unverified-<8 hex>".
std::string model_name_of(const SpaceParts& parts);

}  // namespace nestor::embed
