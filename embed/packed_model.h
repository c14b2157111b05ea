// PackedModel: one file with everything an encoder needs, in the form it is used in: configuration,
// prompts, tokenizer table, layers in tiles (or f32 rows), the Dense layers as one matrix, the
// embedding table. It is mapped, shared between processes, and opened without copying.
//
// The bytes are untrusted: sizes follow from the configuration and are compared with the file,
// every section but the embedding table is checked against its checksum at open, a row of that
// table when it is read. Format: embed/PACKED_FORMAT.md. Threads: constant after open; any number
// of threads may call it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/file.h"
#include "core/thread_pool.h"
#include "embed/checkpoint.h"
#include "embed/model_config.h"
#include "embed/precision.h"
#include "nestor/status.h"

namespace nestor::embed {

inline constexpr std::uint32_t kPackedVersion = 2;
inline constexpr std::string_view kPackedSuffix = ".nestor-model";

enum class PackedSection : int {
  kConfig = 0,     // JSON
  kTokenizer = 1,  // see bpe_table.h
  kRotary = 2,     // (local, full; cosine, sine; context, head_width / 2) f32
  kLayers = 3,     // see tiled_weights.h; for f32 weights.h
  kHead = 4,       // (hidden, output_width) f32: both Dense layers multiplied, transposed
  kTable = 5,      // (vocabulary) rows, see TableRowLayout
};
inline constexpr int kPackedSectionCount = 6;

// One row of the embedding table: a checksum of the rest, then for int8 a bf16 scale for every
// kTableGroup values and hidden bytes, for bf16 hidden halves, for f32 hidden floats; padded to 16
// bytes.
inline constexpr std::int64_t kTableGroup = 8;
struct TableRowLayout {
  std::int64_t bytes = 0;
  std::int64_t scales = 0;  // offsets in the row
  std::int64_t values = 0;
};
TableRowLayout table_row_layout(std::int64_t hidden_size, Precision precision);

// The first page of the file.
struct PackedHeader {
  struct Section {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::uint64_t checksum = 0;  // XXH3-64 over the XXH3-64s of its pieces; of kTable: 0
  };
  Precision precision = Precision::kF32;
  std::array<Section, kPackedSectionCount> sections = {};
};
std::string encode_packed_header(const PackedHeader& header);
// Errors: kDataLoss, kUnsupported; `path` is for the message.
Result<PackedHeader> decode_packed_header(std::string_view page, std::uint64_t file_bytes,
                                          const std::string& path);
// Of a section's bytes, by pieces of kPackedPiece so that several threads can share it.
std::uint64_t packed_checksum(std::string_view bytes, ThreadPool& pool);

inline constexpr std::uint64_t kPackedPage = 4096;  // sections begin at multiples of it
inline constexpr std::uint64_t kPackedPiece = 1 << 20;

class PackedModel {
 public:
  // Errors: kNotFound, kInvalidArgument (no regular file), kDataLoss (cut, damaged, no packed
  // model), kUnsupported (another version), kOutOfMemory, kIoError. `pool` checks the sections side
  // by side. Cost: reads all but the embedding table, about 110 MB for int8, once.
  static Result<PackedModel> open(const std::string& path, ThreadPool& pool);

  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const CheckpointIdentity& identity() const { return identity_; }
  [[nodiscard]] Precision precision() const { return header_.precision; }
  [[nodiscard]] const std::string& path() const { return file_.path(); }
  [[nodiscard]] std::span<const char> section(PackedSection section) const;

  // Row `id` of the table as f32, (hidden). REQUIRES: 0 <= id < vocabulary.
  // Errors: kDataLoss (damaged, cut), kIoError. Cost: one read of a kB.
  Status read_embedding(std::int32_t id, std::span<float> row) const;

  // Errors: kDataLoss when the file was changed since it was opened.
  [[nodiscard]] Status check_unchanged() const;

 private:
  explicit PackedModel(MappedFile file) : file_(std::move(file)) {}
  [[nodiscard]] Status check_sections(ThreadPool& pool) const;
  [[nodiscard]] Status check_sizes() const;

  MappedFile file_;
  PackedHeader header_;
  ModelConfig config_;
  CheckpointIdentity identity_;
};

// The header and the configuration alone, for `model info` and for finding a model; sections are
// not checked. Errors: those of PackedModel::open. Cost: a few kB.
struct PackedSummary {
  Precision precision = Precision::kF32;
  ModelConfig config;
  CheckpointIdentity identity;
  std::uint64_t bytes = 0;
};
Result<PackedSummary> read_packed_summary(const std::string& path);

}  // namespace nestor::embed
