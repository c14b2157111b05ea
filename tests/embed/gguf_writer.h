// Writes GGUF files for tests: any header, however wrong, and the tiny model in every number format
// this version reads, as llama.cpp's converter would write it.
// Threads: values.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/bytes.h"
#include "embed/checkpoint.h"
#include "embed/checkpoint_tensors.h"
#include "embed/number_format.h"
#include "embed/vocabulary.h"
#include "tests/embed/tiny_model.h"

namespace nestor::testing {

// binary16 of a float, rounded to the nearest, for numbers of the size of weights.
inline std::uint16_t to_f16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000U);
  const float magnitude = std::abs(value);
  if (magnitude < 0x1p-14F) {
    return static_cast<std::uint16_t>(
        sign | static_cast<std::uint16_t>(std::nearbyint(magnitude * 0x1p24F)));
  }
  const std::uint32_t rest = bits & 0x7fffffffU;
  const std::uint32_t rounded = rest + 0xfffU + (rest >> 13 & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded - (112U << 23)) >> 13));
}

inline std::uint16_t to_bf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

inline void append_u16(std::string& bytes, std::uint16_t value) {
  bytes.push_back(static_cast<char>(value & 0xff));
  bytes.push_back(static_cast<char>(value >> 8));
}

// Source of both roundings: gguf-py/gguf/quants.py.
inline void append_q8_0(std::string& bytes, const float* block) {
  float most = 0;
  for (int i = 0; i < 32; ++i) most = std::max(most, std::abs(block[i]));
  const float scale = most / 127;
  append_u16(bytes, to_f16(scale));
  for (int i = 0; i < 32; ++i) {
    bytes.push_back(static_cast<char>(scale == 0 ? 0 : std::lround(block[i] / scale)));
  }
}

inline void append_q4_0(std::string& bytes, const float* block) {
  float widest = 0;
  for (int i = 0; i < 32; ++i) {
    if (std::abs(block[i]) > std::abs(widest)) widest = block[i];
  }
  const float scale = widest / -8;
  append_u16(bytes, to_f16(scale));
  const auto quantum = [&](int i) {
    return scale == 0 ? 8 : std::min(15, static_cast<int>(block[i] / scale + 8.5F));
  };
  for (int i = 0; i < 16; ++i) {
    bytes.push_back(static_cast<char>(quantum(i) | quantum(i + 16) << 4));
  }
}

inline std::string stored_as(embed::NumberFormat format, const std::vector<float>& values) {
  std::string bytes;
  const auto step = static_cast<std::size_t>(embed::block_size(format).values);
  for (std::size_t i = 0; i < values.size(); i += step) {
    switch (format) {
      case embed::NumberFormat::kF32: {
        char raw[4];
        std::memcpy(raw, &values[i], sizeof raw);
        bytes.append(raw, sizeof raw);
        break;
      }
      case embed::NumberFormat::kF16:
        append_u16(bytes, to_f16(values[i]));
        break;
      case embed::NumberFormat::kBf16:
        append_u16(bytes, to_bf16(values[i]));
        break;
      case embed::NumberFormat::kQ8_0:
        append_q8_0(bytes, &values[i]);
        break;
      case embed::NumberFormat::kQ4_0:
        append_q4_0(bytes, &values[i]);
        break;
    }
  }
  return bytes;
}

// Numbers of enum gguf_type.
struct GgufTypes {
  static constexpr std::uint32_t kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8,
                                 kArray = 9, kUint64 = 10;
};

class GgufWriter {
 public:
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dimensions;  // as in the file: the fastest first
    std::uint32_t type = 0;
    std::string data;
    std::uint64_t offset = 0;
  };

  GgufWriter& u32(std::string_view key, std::uint32_t value) {
    begin(key, GgufTypes::kUint32).u32(value);
    return *this;
  }
  GgufWriter& f32(std::string_view key, float value) {
    begin(key, GgufTypes::kFloat32).u32(std::bit_cast<std::uint32_t>(value));
    return *this;
  }
  GgufWriter& flag(std::string_view key, bool value) {
    begin(key, GgufTypes::kBool).u8(value ? 1 : 0);
    return *this;
  }
  GgufWriter& text(std::string_view key, std::string_view value) {
    begin(key, GgufTypes::kString);
    string(value);
    return *this;
  }
  // The elements' bytes as given.
  GgufWriter& array(std::string_view key, std::uint32_t type, std::uint64_t count,
                    std::string_view elements) {
    begin(key, GgufTypes::kArray).u32(type);
    pairs_.u64(count);
    pairs_.raw(elements);
    return *this;
  }
  GgufWriter& strings(std::string_view key, const std::vector<std::string>& values) {
    begin(key, GgufTypes::kArray).u32(GgufTypes::kString);
    pairs_.u64(values.size());
    for (const std::string& value : values) string(value);
    return *this;
  }
  GgufWriter& tensor(std::string name, std::vector<std::uint64_t> dimensions, std::uint32_t type,
                     std::string data) {
    const std::uint64_t offset = tensors_.empty() ? 0 : padded(tensors_.back());
    tensors_.push_back({std::move(name), std::move(dimensions), type, std::move(data), offset});
    return *this;
  }
  // For what must lie wrong.
  std::vector<Tensor>& tensors() { return tensors_; }
  std::uint32_t version = 3;
  std::uint64_t claimed_tensors = UINT64_MAX;  // what the header says, when not the truth
  std::uint64_t claimed_pairs = UINT64_MAX;

  [[nodiscard]] std::string header() const {
    ByteWriter bytes;
    bytes.raw("GGUF");
    bytes.u32(version);
    bytes.u64(claimed_tensors == UINT64_MAX ? tensors_.size() : claimed_tensors);
    bytes.u64(claimed_pairs == UINT64_MAX ? pair_count_ : claimed_pairs);
    bytes.raw(pairs_.bytes());
    for (const Tensor& tensor : tensors_) {
      bytes.u64(tensor.name.size());
      bytes.raw(tensor.name);
      bytes.u32(static_cast<std::uint32_t>(tensor.dimensions.size()));
      for (const std::uint64_t size : tensor.dimensions) bytes.u64(size);
      bytes.u32(tensor.type);
      bytes.u64(tensor.offset);
    }
    return bytes.take();
  }
  [[nodiscard]] std::string file() const {
    std::string bytes = header();
    bytes.append((kAlignment - bytes.size() % kAlignment) % kAlignment, '\0');
    const std::size_t start = bytes.size();
    for (const Tensor& tensor : tensors_) {
      if (bytes.size() < start + tensor.offset) bytes.resize(start + tensor.offset);
      bytes += tensor.data;
    }
    return bytes;
  }

 private:
  static constexpr std::uint64_t kAlignment = 32;

  static std::uint64_t padded(const Tensor& tensor) {
    const std::uint64_t end = tensor.offset + tensor.data.size();
    return end + (kAlignment - end % kAlignment) % kAlignment;
  }
  ByteWriter& begin(std::string_view key, std::uint32_t type) {
    ++pair_count_;
    string(key);
    pairs_.u32(type);
    return pairs_;
  }
  void string(std::string_view value) {
    pairs_.u64(value.size());
    pairs_.raw(value);
  }

  ByteWriter pairs_;
  std::uint64_t pair_count_ = 0;
  std::vector<Tensor> tensors_;
};

// How the tiny model is written.
struct TinyGguf {
  embed::NumberFormat format = embed::NumberFormat::kF32;
  bool ollama = false;  // its architecture and its names of the Dense modules
  bool dense = true;
};

inline std::string tiny_gguf_name(const std::string& name, bool ollama) {
  static const std::vector<std::pair<std::string, std::string>> kParts = {
      {"embed_tokens.", "token_embd."},
      {"pre_feedforward_layernorm", "ffn_norm"},
      {"post_feedforward_layernorm", "post_ffw_norm"},
      {"post_attention_layernorm", "post_attention_norm"},
      {"input_layernorm", "attn_norm"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.q_norm", "attn_q_norm"},
      {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.", "ffn_"},
      {"_proj", ""},
      {"layers.", "blk."}};
  if (name == "norm.weight") return "output_norm.weight";
  if (name.starts_with("dense.")) {
    if (ollama) return name;
    return name == "dense.0.weight" ? "dense_2.weight" : "dense_3.weight";
  }
  std::string result = name;
  for (const auto& [ours, theirs] : kParts) {
    if (const auto at = result.find(ours); at != std::string::npos) {
      result.replace(at, ours.size(), theirs);
    }
  }
  return result;
}

inline void write_vocabulary(GgufWriter& writer, const embed::Vocabulary& vocabulary) {
  std::vector<std::string> texts;
  ByteWriter scores, kinds;
  for (const embed::Piece& piece : vocabulary.pieces) {
    texts.push_back(piece.text);
    scores.u32(std::bit_cast<std::uint32_t>(piece.score));
    kinds.u32(static_cast<std::uint32_t>(piece.kind));
  }
  writer.text("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", texts);
  writer.array("tokenizer.ggml.scores", GgufTypes::kFloat32, texts.size(), scores.bytes());
  writer.array("tokenizer.ggml.token_type", GgufTypes::kInt32, texts.size(), kinds.bytes());
  writer.u32("tokenizer.ggml.bos_token_id", 2).u32("tokenizer.ggml.eos_token_id", 1);
  writer.u32("tokenizer.ggml.unknown_token_id", 3).flag("tokenizer.ggml.add_space_prefix", false);
}

inline void write_sizes(GgufWriter& writer, const embed::ModelConfig& config, bool ollama) {
  const std::string prefix = ollama ? "gemma3." : "gemma-embedding.";
  const auto u32 = [&](const char* name, std::int64_t value) {
    writer.u32(prefix + name, static_cast<std::uint32_t>(value));
  };
  writer.text("general.architecture", ollama ? "gemma3" : "gemma-embedding");
  u32("context_length", config.context_tokens);
  u32("embedding_length", config.hidden_size);
  u32("block_count", static_cast<std::int64_t>(config.layers.size()));
  u32("feed_forward_length", config.feed_forward_size);
  u32("attention.head_count", config.head_count);
  u32("attention.head_count_kv", config.key_head_count);
  u32("attention.key_length", config.head_width);
  u32("attention.value_length", config.head_width);
  u32("attention.sliding_window", 2 * config.local_reach);
  u32("pooling_type", 1);
  writer.f32(prefix + "attention.layer_norm_rms_epsilon", config.norm_epsilon);
  writer.f32(prefix + "rope.freq_base", static_cast<float>(config.full_rotation_base));
  if (!ollama) return;
  std::string pattern;
  for (const embed::LayerKind kind : config.layers) {
    pattern.push_back(kind == embed::LayerKind::kLocal ? 1 : 0);
  }
  writer.array("gemma3.attention.sliding_window_pattern", GgufTypes::kBool, pattern.size(),
               pattern);
}

inline GgufWriter tiny_gguf(const embed::Checkpoint& tiny, const TinyGguf& how) {
  const embed::ModelConfig& config = tiny.config();
  GgufWriter writer;
  write_sizes(writer, config, how.ollama);
  write_vocabulary(writer, tiny.vocabulary());
  std::vector<embed::ExpectedTensor> all = embed::transformer_tensors(config);
  for (embed::ExpectedTensor& tensor : embed::dense_tensors(config)) {
    if (how.dense) all.push_back(std::move(tensor));
  }
  for (const embed::ExpectedTensor& expected : all) {
    std::size_t count = 1;
    for (const std::int64_t size : expected.shape) count *= static_cast<std::size_t>(size);
    std::vector<float> values(count);
    REQUIRE(tiny.read(expected.name, 0, values).ok());
    // As llama.cpp does: vectors stay f32, and so do (there: f16) rows that are no whole blocks.
    const bool fits = expected.shape.size() > 1 &&
                      expected.shape.back() % embed::block_size(how.format).values == 0;
    const embed::NumberFormat format = fits ? how.format : embed::NumberFormat::kF32;
    writer.tensor(tiny_gguf_name(expected.name, how.ollama),
                  {expected.shape.rbegin(), expected.shape.rend()},
                  static_cast<std::uint32_t>(format), stored_as(format, values));
  }
  return writer;
}

}  // namespace nestor::testing
