// TiledWorkspace: the scratch of one TiledEncoder pass, laid out for whole tiles.
// Threads: one pass at a time; inside it the members of its Team, each in its own part.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "embed/encoder.h"
#include "embed/model_config.h"
#include "embed/tiled_weights.h"

namespace nestor::embed {

// Memory aligned to a cache line; growing drops what is in it and clears the new.
template <typename T>
class AlignedBuffer {
 public:
  void reserve(std::int64_t count);
  [[nodiscard]] T* data() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(T* memory) const { std::free(memory); }
  };
  std::unique_ptr<T, Free> memory_;
  std::int64_t count_ = 0;
};

// Up to 32 tokens of one text, in one step of its keys: a block of queries.
struct TokenBlock {
  std::int64_t text = 0;
  std::int64_t begin = 0;  // token row in the batch
  std::int64_t count = 0;
  std::int64_t position = 0;  // of the first token in its text
  std::int64_t queries = 0;   // offset in the queries, bytes
};

struct TextPlace {
  std::int64_t begin = 0;  // token row of its first token
  std::int64_t tokens = 0;
  std::int64_t keys = 0;  // offset in the panels of keys and values, bytes
  std::int64_t key_steps = 0;
};

// What one member of the team needs for itself.
struct MemberScratch {
  AlignedBuffer<float> scores;          // (32 * heads up to kRowBlock, keys of the longest text)
  AlignedBuffer<std::uint8_t> weights;  // the same as bf16 in tiles
  AlignedBuffer<float> rows;            // (kRowsTogether, widest vector), or 16 keys in bf16
  std::vector<std::int32_t> begins;
  std::vector<std::int32_t> ends;
  std::vector<float> inverse_sums;
  std::vector<std::int64_t> places;
};

// The linear layers of a layer, in the order they are run.
enum class LinearLayer : int { kJoint = 0, kAttentionOutput = 1, kGateUp = 2, kDown = 3 };
inline constexpr int kLinearLayerCount = 4;

// What a linear layer is given: rows of TiledRows.
struct LinearInput {
  std::size_t layer = 0;
  LinearLayer which = LinearLayer::kJoint;
  std::int64_t rows = 0;
  std::int64_t steps = 0;
  const std::uint8_t* data = nullptr;
  const float* scales = nullptr;
  bool fine = false;
};

struct TiledWorkspace : Workspace {
  // For calibration: hears every input of passes by a team of one. May be empty.
  std::function<void(const LinearInput&)> observer;
  bool fine = false;                    // the texts are short, see Encoder::short_text_tokens
  AlignedBuffer<float> stream;          // (tokens, hidden)
  AlignedBuffer<std::uint16_t> branch;  // (tokens, wider of hidden and query) in strips
  AlignedBuffer<std::uint16_t> wide;    // (tokens, wider of joint and feed forward) in strips
  AlignedBuffer<std::uint8_t> inputs;   // (tokens, widest input) of the linear layers
  AlignedBuffer<float> input_scales;    // (tokens)
  // Of one text after the other, or of all at once where a team shares the pass. Queries: of every
  // block of tokens (rows, head_steps) in tiles.
  AlignedBuffer<std::uint8_t> queries;
  AlignedBuffer<std::uint8_t> keys;
  AlignedBuffer<std::uint8_t> values;
  AlignedBuffer<float> pooled;  // (texts, hidden)
  AlignedBuffer<float> rows;    // (texts, output_width)
  std::vector<TokenBlock> blocks;
  std::vector<TextPlace> texts;
  std::vector<MemberScratch> members;

  // Room for the texts, and where each lies.
  void plan(const ModelConfig& config, const TiledLayout& layout,
            std::span<const std::span<const std::int32_t>> batch, int team_size);
};

}  // namespace nestor::embed
