#include "embed/known_gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "core/check.h"
#include "core/hash.h"
#include "core/macros.h"

namespace nestor::embed {
namespace {

constexpr std::array<std::string_view, 3> kKnownGgufFiles = {
    // ggml-org/embeddinggemma-300M-GGUF, embeddinggemma-300M-Q8_0.gguf (revision 0f741b5a6585),
    // 333,590,944 bytes, with the Dense modules. Source: the pinned models of a dozen public
    // projects, such as LocalClaw's and qmd's.
    "b5ce9d77a3fc4b3b39ccb5643c36777911cc4eb46a66962eadfa3f5f60490d63",
    // Ollama's library/embeddinggemma:latest (:300m), BF16, 621,867,104 bytes, with the Dense
    // modules as dense.0 and dense.1. Source: the layer's digest in its registry manifest, which
    // names the blob file, as public projects quote it.
    "0800cbac9c2064dde519420e75e512a83cb360de3ad5df176185dc69652fc515",
    // unsloth/embeddinggemma-300m-GGUF, embeddinggemma-300M-F32.gguf. Source: the pinned model of
    // the public project skvaider (its tests and its Nix file agree).
    "a3125072128fc76d1c1d8d19f7b095c7e3bfbf00594dcf8a8bd3bcb334935d57",
};

struct KnownTensors {
  std::string_view transformer;
  std::string_view dense;
};
// Source: convert_hf_to_gguf.py --sentence-transformers-dense-modules --outtype f32, f16, bf16,
// q8_0 of llama.cpp (as in llama-cpp-python 0.3.36), run over the files of fingerprint.cc.
constexpr std::array<KnownTensors, 4> kKnownTensors = {{
    {"887e30a42f22d03a4fcd0a4c7ccf77eea3575e473cf4a8a8da4cdc88147ed5bd",
     "77983ce391da36cf604b51648e8f8dcbf7e0ebe4ff4258b281c46ec31901c881"},
    {"d27ac71f7b41d3e3406e7a94b1c8fba8e082a18f069e234737124a9cf3775927",
     "7d3639701f2d8b1ca751f1feb84bcf0e663505fbdc30b9ee74bb34f6f0bd497d"},
    {"4deaacc67115856480e6f37fbc02940ea798c569a3265a0561fdb22bb01099b6",
     "454e6b02e394e088ebe0a4489ece164955b2d2f1d3d4248385fe7f39d509838a"},
    {"f30451896f9a571da2af247cc71820a73babe19aff3af5e01be611d60e97e248",
     "9e2e5e219f5fd2c2f85dfae1edca995c388c463d245520cddd3cbf23aff4681a"},
}};

Status hash_bytes(const StoredTensor& tensor, std::uint64_t bytes, Sha256& sha256) {
  constexpr std::uint64_t kPieceBytes = 1ULL << 20;
  std::string piece;
  for (std::uint64_t done = 0; done < bytes; done += piece.size()) {
    piece.resize(std::min(kPieceBytes, bytes - done));
    NESTOR_RETURN_IF_ERROR(tensor.file->read(tensor.offset + done, piece));
    sha256.update(piece);
  }
  return {};
}

}  // namespace

bool is_known_gguf(const std::string& file_sha256) {
  return std::find(kKnownGgufFiles.begin(), kKnownGgufFiles.end(), file_sha256) !=
         kKnownGgufFiles.end();
}

bool are_known_transformer_tensors(const std::string& sha256) {
  return std::any_of(kKnownTensors.begin(), kKnownTensors.end(),
                     [&](const KnownTensors& known) { return known.transformer == sha256; });
}

bool are_known_dense_tensors(const std::string& sha256) {
  return std::any_of(kKnownTensors.begin(), kKnownTensors.end(),
                     [&](const KnownTensors& known) { return known.dense == sha256; });
}

// Source: config.json of google/embeddinggemma-300m.
bool is_known_config(const ModelConfig& config) {
  constexpr std::size_t kLayers = 24;
  constexpr std::size_t kPeriod = 6;
  bool known = config.layers.size() == kLayers;
  for (std::size_t i = 0; known && i < kLayers; ++i) {
    known = (config.layers[i] == LayerKind::kFull) == ((i + 1) % kPeriod == 0);
  }
  return known && config.head_count == 3 && config.key_head_count == 1 &&
         config.head_width == 256 && config.context_tokens == 2048 && config.local_reach == 256 &&
         config.norm_epsilon == 1e-6F && config.score_scale == 0.0625F &&
         config.local_rotation_base == 1e4 && config.full_rotation_base == 1e6;
}

Result<std::string> tensors_sha256(std::span<const ExpectedTensor> expected,
                                   const StoredTensors& tensors) {
  Sha256 sha256;
  for (const ExpectedTensor& wanted : expected) {
    const auto at = tensors.find(wanted.name);
    NESTOR_CHECK(at != tensors.end(), "a tensor that was found");
    const StoredTensor& tensor = at->second;
    std::int64_t values = 1;
    for (const std::int64_t dimension : tensor.shape) values *= dimension;
    const std::uint64_t bytes = stored_bytes(tensor.format, values);
    sha256.update(fmt::format("{} {} {}\n", wanted.name, number_format_name(tensor.format), bytes));
    NESTOR_RETURN_IF_ERROR(hash_bytes(tensor, bytes, sha256));
  }
  return sha256.hex();
}

}  // namespace nestor::embed
