// What both checkpoint readers share: the tensors a configuration calls for, and a Checkpoint over
// tensors whose place in a file is known.
//
// Threads: constant after open; read may be called by any number of threads at once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "embed/checkpoint.h"
#include "embed/number_format.h"

namespace nestor::embed {

// A tensor by its name in Checkpoint::read.
struct ExpectedTensor {
  std::string name;
  std::vector<std::int64_t> shape;  // a vector has one dimension
  bool is_norm = false;
};

// Of the transformer: the table, the layers in order, the last norm.
std::vector<ExpectedTensor> transformer_tensors(const ModelConfig& config);
// Of the Dense modules in order: "dense.0.weight", …
std::vector<ExpectedTensor> dense_tensors(const ModelConfig& config);

// Where a tensor lies and how its numbers become those the contract of Checkpoint::read promises.
struct StoredTensor {
  std::shared_ptr<const RandomAccessFile> file;
  NumberFormat format = NumberFormat::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;
  float added = 0;  // to every number: 1 for a norm stored as weight alone
};
using StoredTensors = std::map<std::string, StoredTensor, std::less<>>;

// The format that holds most numbers: "Q8_0".
std::string main_format_name(const StoredTensors& tensors);

class StoredCheckpoint : public Checkpoint {
 public:
  // REQUIRES: every tensor of the configuration is among `tensors`, in its shape.
  StoredCheckpoint(ModelConfig config, CheckpointIdentity identity, Vocabulary vocabulary,
                   StoredTensors tensors);

  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  [[nodiscard]] const CheckpointIdentity& identity() const override { return identity_; }
  [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }
  Status read(std::string_view tensor, std::int64_t first_row, std::span<float> out) const override;

 private:
  ModelConfig config_;
  CheckpointIdentity identity_;
  Vocabulary vocabulary_;
  StoredTensors tensors_;
};

// Errors: kDataLoss where vocabulary and configuration are not of one model.
Status check_vocabulary(const Vocabulary& vocabulary, const ModelConfig& config,
                        const std::string& path);

struct LoadedTokenizer {
  Vocabulary vocabulary;
  std::string sha256;
};
// Reads `path`, a tokenizer.model. Errors: kNotFound, kUnsupported (an unknown one without
// `allow_unverified`), kDataLoss, kIoError.
Result<LoadedTokenizer> load_tokenizer_model(const std::string& path, const ModelConfig& config,
                                             bool allow_unverified);

}  // namespace nestor::embed
