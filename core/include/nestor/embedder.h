// Embedder: EmbeddingGemma in process, for those who want vectors and no database.
//
//   auto opened = nestor::Embedder::open();                      // finds the model as the CLI does
//   nestor::Embedder embedder = std::move(opened).value();
//   auto query = embedder.embed_query("how are keys stored?");
//   auto text = embedder.embed_document("storage", "RocksDB keeps sorted runs");
//
// Threads: an Embedder is a handle to one loaded model; copies share it. Any number of threads may
// call any copy at once; calls of one model take turns at batch borders. All embedders and
// databases of a process share one set of worker threads (name: nestor-worker): started when there
// is work for them, asleep without it, ended with the last embedder and database. With a
// thread_count of 1 there are none. No other thread is started, and neither the environment nor
// OpenMP is touched. One exception: the first f32 model of a process loads OpenBLAS where it is
// installed; the threads that it starts then end before open() returns. While a call embeds with an
// f32 model, OpenBLAS works on the calling threads alone; its thread count is restored afterwards.
// A handle does not survive fork(): calls in the child return kFailedPrecondition.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/export.h"
#include "nestor/options.h"
#include "nestor/status.h"

namespace nestor {

struct EmbedderOptions {
  // The model: a packed file (*.nestor-model), a folder that holds one, the folder of a checkpoint
  // (sentence-transformers layout), or a GGUF. Empty: NESTOR_MODEL, then Nestor's own model folder,
  // then the Hugging Face cache, in that order.
  std::string model_folder = {};
  // The numeric mode of the encoder: "int8", "bf16", "f32"; empty: that of the packed file there
  // is, else int8 (f32 on processors without a vector unit for int8). Where only a checkpoint is
  // there, it is packed once, into the cache. What each costs in quality: benchmarks/FIGURES.md.
  std::string precision = {};
  // The most threads that work on a call, the calling one counted; 0: one per available processor.
  // Available are the processors of the affinity mask, and no more than the quotas of the process's
  // control groups (cgroup v1 and v2) allow, rounded up, when the model is opened. More threads
  // than that are never used: ModelInfo::thread_count says how many are. 1 to 1,024.
  int thread_count = 0;
  // Load a tokenizer whose SHA-256 is not in the built-in table. The tokenizer library is not safe
  // on files made to harm; allow only what you trust.
  bool allow_unverified_model = false;
  LogCallback log = {};
};

// One text to embed. The views must stay valid during the call.
struct EmbedInput {
  std::string_view text = {};
  // For Role::kDocument only: the prompt's title slot; empty means "none".
  std::string_view title = {};
};

struct EmbedOptions {
  // 768, 512, 256 or 128 (a prefix of the full row, normalised again); 0: the model's full width.
  int width = 0;
  std::stop_token stop = {};
  ProgressCallback progress = {};
};

struct Embedding {
  std::vector<float> vector;  // (width), unit length
  int token_count = 0;        // of the whole prompted text, BOS and EOS counted, before any cut
  bool truncated = false;     // token_count was over the model's context; the tail was left out
};

struct ModelInfo {
  std::string name;            // "embeddinggemma-300m", or "unverified" with the head of its hash
  std::string folder;          // where it was loaded from: a packed file, or a checkpoint's folder
  std::string space;           // hex SHA-256 over base checkpoint, tokenizer, prompts and pooling
  std::string precision;       // the numeric mode in use
  std::string backend;         // "amx-int8", "avx512-vnni", "avx2", "vector", "scalar", …
  std::string weights_sha256;  // hex, of the checkpoint's weights
  int width = 0;               // of a full row
  std::vector<int> widths;     // the widths on offer, widest first
  int context_tokens = 0;      // the longest text, BOS and EOS counted
  int thread_count = 0;        // the most that work on a call: what was asked for, or fewer
};

class NESTOR_API Embedder {
 public:
  // Loads the model. A packed file is mapped and checked: 30 ms when it is in memory; the embedding
  // table stays on disk and is read row by row. Errors: kModelMissing (what was looked for, where,
  // and what to type), kDataLoss (a damaged file), kUnsupported (a precision or
  // NESTOR_FORCE_BACKEND that cannot be had), kInvalidArgument, kNoSpace (packing), kOutOfMemory.
  static Result<Embedder> open(const EmbedderOptions& options = {});

  Embedder(const Embedder&);
  Embedder(Embedder&&) noexcept;
  Embedder& operator=(const Embedder&);
  Embedder& operator=(Embedder&&) noexcept;
  ~Embedder();

  // One Embedding an input, in order. A vector depends on its text, title and role only: not on the
  // batch, the number of threads or, in int8, the processor (bit for bit; in f32 on
  // processors with other vector units within 1e-6 per component). Errors: kInvalidArgument (not
  // UTF-8, over 1 MiB of text, a width the model does not have), kCancelled. Cost: about 0.2 GFLOP
  // a token.
  Result<std::vector<Embedding>> embed(std::span<const EmbedInput> inputs, Role role,
                                       const EmbedOptions& options = {}) const;
  Result<Embedding> embed_query(std::string_view text, const EmbedOptions& options = {}) const;
  Result<Embedding> embed_document(std::string_view title, std::string_view text,
                                   const EmbedOptions& options = {}) const;

  // Tokens of the bare text: no prompt, no BOS, no EOS. Errors: kInvalidArgument (not UTF-8).
  Result<int> count_tokens(std::string_view text) const;

  [[nodiscard]] const ModelInfo& info() const;

 private:
  struct Impl;
  explicit Embedder(std::shared_ptr<const Impl> impl);
  // Shared: several databases and threads use one loaded model, and the last of them frees it.
  std::shared_ptr<const Impl> impl_;
};

}  // namespace nestor
