#include "tools/cli/self_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <span>
#include <vector>

#include "core/cpu_features.h"
#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "core/thread_pool.h"
#include "embed/backend.h"
#include "embed/bpe_tokenizer.h"
#include "embed/packed_model.h"
#include "embed/prompt.h"
#include "embed/tiled_encoder.h"
#include "tools/cli/output.h"
#include "tools/cli/packing.h"
#include "tools/cli/self_test_vectors.h"

namespace nestor::cli {
namespace {

constexpr std::string_view kCardQuestion = "Which planet is known as the Red Planet?";
constexpr std::array<std::string_view, 4> kCardDocuments = {
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Jupiter, the largest planet in our solar system, has a prominent red spot.",
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet."};
constexpr std::array<double, 4> kCardScores = {0.3011, 0.6359, 0.4930, 0.4889};

// How far from the reference an intact model may be.
struct Tolerance {
  double score = 0;   // of the card's scores
  double cosine = 0;  // at least, with a stored vector
};

// What is left of the weights themselves where they were quantised before they came here:
// "safetensors f32", "GGUF Q8_0", … of the packed file.
std::string source_format(const ModelInfo& info) {
  if (!is_regular_file(info.folder)) return {};
  const Result<embed::PackedSummary> packed = embed::read_packed_summary(info.folder);
  return packed.ok() ? packed.value().identity.format : std::string();
}

// Measured: scores off by 0.0003, 0.0008 and 0.0006, cosines of 1.0, 0.99997 and 0.99973 in f32,
// bf16 and int8; made from Q8_0 0.0010 and 0.99958, from Q4_0 0.028 and 0.951.
Tolerance tolerance_of(const ModelInfo& info) {
  const std::string format = source_format(info);
  if (format.ends_with("Q4_0")) return {.score = 0.05, .cosine = 0.93};
  if (format.ends_with("Q8_0") || info.precision == "int8") return {.score = 2e-3, .cosine = 0.999};
  if (info.precision == "bf16" || format.ends_with("BF16")) {
    return {.score = 2e-3, .cosine = 0.9997};
  }
  return {.score = 1e-3, .cosine = 0.9999};
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  return sum;
}

double cosine(std::span<const float> vector, const StoredVector& stored) {
  if (vector.size() != stored.size()) return 0;
  double product = 0;
  double squares = 0;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    product += static_cast<double>(vector[i]) * stored[i];
    squares += static_cast<double>(stored[i]) * stored[i];
  }
  return product / std::sqrt(squares);  // the vector itself is of unit length
}

SelfTest unknown_model(const Embedder& embedder) {
  return {CheckState::kSkipped,
          fmt::format("not available for {}: its right answers are not known here",
                      embedder.info().name)};
}

class Stopwatch {
 public:
  [[nodiscard]] std::string text() const {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
    return seconds_text(passed.count());
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Documents on both sides of what the encoder takes for a short text, and no longer ones: plain
// loops are slow.
constexpr std::size_t kMostCompared = 64;

// Ids of the shorter stored texts.
Result<std::vector<std::vector<std::int32_t>>> compared_ids(const embed::PackedModel& model) {
  NESTOR_ASSIGN_OR_RETURN(const std::unique_ptr<embed::BpeTokenizer> tokenizer,
                          embed::BpeTokenizer::open(model.section(embed::PackedSection::kTokenizer),
                                                    model.identity().tokenizer_sha256));
  std::vector<std::vector<std::int32_t>> ids;
  for (const StoredText& text : stored_texts()) {
    NESTOR_ASSIGN_OR_RETURN(
        embed::TokenizedText tokenized,
        tokenizer->tokenize(
            embed::prompted_text(model.config().prompts, Role::kDocument, text.title, text.text),
            model.config().context_tokens));
    if (tokenized.ids.size() <= kMostCompared) ids.push_back(std::move(tokenized.ids));
  }
  return ids;
}

Result<std::vector<float>> vectors_by(const embed::TiledBackend& backend,
                                      const embed::PackedModel& model,
                                      const std::vector<std::vector<std::int32_t>>& texts,
                                      ThreadPool& pool, const std::stop_token& stop) {
  NESTOR_ASSIGN_OR_RETURN(const std::unique_ptr<embed::Encoder> encoder,
                          embed::TiledEncoder::create(model, backend));
  const std::unique_ptr<embed::Workspace> workspace = encoder->make_workspace();
  std::vector<float> vectors;
  for (const std::vector<std::int32_t>& ids : texts) {
    const std::span<const std::int32_t> one = ids;
    NESTOR_ASSIGN_OR_RETURN(
        const std::span<const float> row,
        encoder->encode(std::span(&one, 1), embed::Team(pool), stop, *workspace));
    vectors.insert(vectors.end(), row.begin(), row.end());
  }
  return vectors;
}

}  // namespace

Result<SelfTest> test_card_example(const Embedder& embedder) {
  if (embedder.info().name != kKnownModelName) return unknown_model(embedder);
  const Stopwatch watch;
  NESTOR_ASSIGN_OR_RETURN(const Embedding question, embedder.embed_query(kCardQuestion));
  bool good = true;
  std::vector<double> scores;
  const double tolerance = tolerance_of(embedder.info()).score;
  for (std::size_t i = 0; i < kCardDocuments.size(); ++i) {
    NESTOR_ASSIGN_OR_RETURN(const Embedding document,
                            embedder.embed_document("", kCardDocuments[i]));
    scores.push_back(dot(question.vector, document.vector));
    // Written so that a NaN fails.
    good = good && std::abs(scores.back() - kCardScores[i]) <= tolerance;
  }
  return SelfTest{
      good ? CheckState::kOk : CheckState::kFailed,
      fmt::format("the model card's example gives {:.4f} (the card: {:.4f}, within {}) "
                  "in {}",
                  fmt::join(scores, " "), fmt::join(kCardScores, " "), tolerance, watch.text())};
}

Result<SelfTest> test_stored_vectors(const Embedder& embedder) {
  if (embedder.info().name != kKnownModelName) return unknown_model(embedder);
  const double needed = tolerance_of(embedder.info()).cosine;
  double least = 1;
  std::string_view worst;
  const auto hear = [&](const StoredText& text, double found) {
    if (found >= least) return;
    least = found;
    worst = text.name;
  };
  bool finite = true;
  for (const StoredText& text : stored_texts()) {
    NESTOR_ASSIGN_OR_RETURN(const Embedding query, embedder.embed_query(text.text));
    NESTOR_ASSIGN_OR_RETURN(const Embedding document,
                            embedder.embed_document(text.title, text.text));
    for (const double found :
         {cosine(query.vector, text.query), cosine(document.vector, text.document)}) {
      finite = finite && std::isfinite(found);
      hear(text, found);
    }
  }
  const bool good = finite && least >= needed;
  return SelfTest{
      good ? CheckState::kOk : CheckState::kFailed,
      fmt::format("{} vectors of the fp32 reference: cosine {:.5f} or more{} (at least {} in {})",
                  2 * stored_texts().size(), least, worst.empty() ? "" : fmt::format(", {}", worst),
                  needed, embedder.info().precision)};
}

Result<SelfTest> test_same_bits(const Embedder& embedder, bool with_scalar, Context& context) {
  const ModelInfo& info = embedder.info();
  if (info.precision != "int8" || !is_regular_file(info.folder)) {
    return SelfTest{
        CheckState::kSkipped,
        fmt::format("{} backends agree within a tolerance, not bit for bit", info.precision)};
  }
  ThreadPool pool(useful_thread_count(context.global.thread_count));
  NESTOR_ASSIGN_OR_RETURN(const embed::PackedModel model,
                          embed::PackedModel::open(info.folder, pool));
  NESTOR_ASSIGN_OR_RETURN(const std::vector<std::vector<std::int32_t>> texts, compared_ids(model));
  std::vector<float> first;
  std::string agree;
  std::string differ;
  for (const embed::TiledBackend* backend :
       embed::available_tiled_backends(embed::Precision::kInt8)) {
    const bool scalar = backend == embed::scalar_tables(embed::Precision::kInt8);
    if (scalar && !with_scalar) continue;
    NESTOR_ASSIGN_OR_RETURN(std::vector<float> vectors,
                            vectors_by(*backend, model, texts, pool, context.stop));
    if (first.empty()) first = vectors;
    std::string& list = vectors == first ? agree : differ;
    list += (list.empty() ? "" : ", ") + std::string(backend->name);
  }
  if (agree.empty()) {
    return SelfTest{CheckState::kSkipped, "there is only the scalar backend here"};
  }
  if (differ.empty()) {
    return SelfTest{CheckState::kOk, fmt::format("the same bits by {}{}", agree,
                                                 with_scalar ? "" : " (with --full: scalar too)")};
  }
  return SelfTest{CheckState::kFailed, fmt::format("{} give other bits than {}", differ, agree)};
}

Result<std::string> check_packed_file(const std::string& path, Context& context) {
  EmbedderOptions options = context.embedder_options();
  options.model_folder = path;
  NESTOR_ASSIGN_OR_RETURN(const Embedder embedder, Embedder::open(options));
  std::string found;
  for (const auto& test : {test_card_example, test_stored_vectors}) {
    NESTOR_ASSIGN_OR_RETURN(const SelfTest result, test(embedder));
    if (result.state == CheckState::kFailed) {
      return Status(StatusCode::kDataLoss,
                    fmt::format("{} fails its self-test: {}", path, result.found));
    }
    if (found.empty()) found = result.found;
  }
  return found;
}

}  // namespace nestor::cli
