#include "embed/loaded_model.h"

#include <fmt/format.h>

#include <optional>

#include "core/cpu_features.h"
#include "core/log.h"
#include "core/macros.h"
#include "embed/backend.h"
#include "embed/bpe_tokenizer.h"
#include "embed/fingerprint.h"
#include "embed/float_encoder.h"
#include "embed/model_folder.h"
#include "embed/packed_cache.h"
#include "embed/packed_model.h"
#include "embed/sentencepiece_tokenizer.h"
#include "embed/tiled_encoder.h"
#include "embed/weights.h"

namespace nestor::embed {
namespace {

// The widths the model was trained to be cut to that it has, and its own.
std::vector<int> widths_of(int full_width) {
  std::vector<int> widths = {full_width};
  for (const int width : {768, 512, 256, 128}) {
    if (width < full_width) widths.push_back(width);
  }
  return widths;
}

void describe(const ModelConfig& config, ModelInfo& info) {
  info.width = static_cast<int>(config.output_width());
  info.widths = widths_of(info.width);
  info.context_tokens = static_cast<int>(config.context_tokens);
}

// A checkpoint's folder, in f32.
class FolderModel : public LoadedModel {
 public:
  static Result<std::unique_ptr<LoadedModel>> load(const std::string& folder, bool allow_unverified,
                                                   ThreadPool& pool) {
    NESTOR_ASSIGN_OR_RETURN(const Backend* backend, choose_backend(forced_backend()));
    NESTOR_ASSIGN_OR_RETURN(ModelConfig config, read_model_config(folder));
    const TokenizerExpectation expected{.vocabulary_size = config.vocabulary_size,
                                        .bos_id = config.bos_id,
                                        .eos_id = config.eos_id};
    NESTOR_ASSIGN_OR_RETURN(
        std::unique_ptr<Tokenizer> tokenizer,
        SentencepieceTokenizer::load(folder + "/tokenizer.model", expected, allow_unverified));
    NESTOR_ASSIGN_OR_RETURN(Weights weights, Weights::load(folder, config, pool));
    NESTOR_ASSIGN_OR_RETURN(const SpaceParts parts,
                            identify_folder(folder, config, tokenizer->sha256()));
    // `parts` points to `config`, which goes away with the next line.
    const std::string name = model_name_of(parts);
    const std::string space = space_of(parts);
    auto model = std::unique_ptr<FolderModel>(
        new FolderModel(std::move(config), std::move(tokenizer), std::move(weights), *backend));
    model->info_.name = name;
    model->info_.folder = folder;
    model->info_.space = space;
    model->info_.precision = precision_name(Precision::kF32);
    model->info_.backend = backend->name;
    model->info_.weights_sha256 = parts.weights_sha256;
    describe(model->config_, model->info_);
    return std::unique_ptr<LoadedModel>(std::move(model));
  }
  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  [[nodiscard]] const Tokenizer& tokenizer() const override { return *tokenizer_; }
  [[nodiscard]] const Encoder& encoder() const override { return encoder_; }
  [[nodiscard]] Status check_unchanged() const override { return {}; }  // nothing is mapped

 private:
  FolderModel(ModelConfig config, std::unique_ptr<Tokenizer> tokenizer, Weights weights,
              const Backend& backend)
      : config_(std::move(config)),
        tokenizer_(std::move(tokenizer)),
        weights_(std::move(weights)),
        encoder_(config_, weights_, backend) {}

  const ModelConfig config_;
  const std::unique_ptr<Tokenizer> tokenizer_;
  const Weights weights_;
  const FloatEncoder encoder_;
};

Status check_tokenizer(const BpeTokenizer& tokenizer, const PackedModel& model) {
  const ModelConfig& config = model.config();
  if (tokenizer.vocabulary_size() == config.vocabulary_size &&
      tokenizer.bos_id() == config.bos_id && tokenizer.eos_id() == config.eos_id) {
    return {};
  }
  return {
      StatusCode::kDataLoss,
      fmt::format("{}: its tokenizer has {} pieces, bos {} and eos {}; its configuration says {}, "
                  "{} and {}. Make it again with `nestor model pack`.",
                  model.path(), tokenizer.vocabulary_size(), tokenizer.bos_id(), tokenizer.eos_id(),
                  config.vocabulary_size, config.bos_id, config.eos_id)};
}

// A packed file.
class PackedFileModel : public LoadedModel {
 public:
  static Result<std::unique_ptr<LoadedModel>> load(const std::string& path, ThreadPool& pool) {
    NESTOR_ASSIGN_OR_RETURN(PackedModel opened, PackedModel::open(path, pool));
    auto model = std::unique_ptr<PackedFileModel>(new PackedFileModel(std::move(opened)));
    const PackedModel& packed = model->packed_;
    Result<std::unique_ptr<BpeTokenizer>> tokenizer = BpeTokenizer::open(
        packed.section(PackedSection::kTokenizer), packed.identity().tokenizer_sha256);
    if (!tokenizer.ok()) {
      return Status(tokenizer.status().code(), path + ": " + tokenizer.status().message());
    }
    NESTOR_RETURN_IF_ERROR(check_tokenizer(*tokenizer.value(), packed));
    model->tokenizer_ = std::move(tokenizer).value();
    NESTOR_RETURN_IF_ERROR(model->make_encoder());
    model->info_.name = packed.identity().name;
    model->info_.folder = path;
    model->info_.space = packed.identity().space;
    model->info_.precision = precision_name(packed.precision());
    model->info_.weights_sha256 = packed.identity().weights_sha256;
    describe(packed.config(), model->info_);
    return std::unique_ptr<LoadedModel>(std::move(model));
  }
  [[nodiscard]] const ModelConfig& config() const override { return packed_.config(); }
  [[nodiscard]] const Tokenizer& tokenizer() const override { return *tokenizer_; }
  [[nodiscard]] const Encoder& encoder() const override { return *encoder_; }
  [[nodiscard]] Status check_unchanged() const override { return packed_.check_unchanged(); }

 private:
  explicit PackedFileModel(PackedModel packed) : packed_(std::move(packed)) {}

  Status make_encoder() {
    if (packed_.precision() == Precision::kF32) {
      NESTOR_ASSIGN_OR_RETURN(const Backend* backend, choose_backend(forced_backend()));
      weights_.emplace(Weights::view(packed_));
      encoder_ = std::make_unique<FloatEncoder>(packed_.config(), *weights_, *backend);
      info_.backend = backend->name;
      return {};
    }
    NESTOR_ASSIGN_OR_RETURN(const TiledBackend* backend,
                            choose_tiled_backend(packed_.precision(), forced_backend()));
    NESTOR_ASSIGN_OR_RETURN(encoder_, TiledEncoder::create(packed_, *backend));
    info_.backend = backend->name;
    return {};
  }

  const PackedModel packed_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<Weights> weights_;  // f32
  std::unique_ptr<Encoder> encoder_;
};

Result<std::optional<Precision>> asked_precision(const std::string& name) {
  if (name.empty() || name == "auto") return std::optional<Precision>();
  NESTOR_ASSIGN_OR_RETURN(const Precision precision, parse_precision(name));
  return std::optional<Precision>(precision);
}

}  // namespace

Result<std::unique_ptr<LoadedModel>> load_model(const EmbedderOptions& options, ThreadPool& pool) {
  NESTOR_ASSIGN_OR_RETURN(const std::optional<Precision> asked, asked_precision(options.precision));
  NESTOR_ASSIGN_OR_RETURN(const ModelLocation location,
                          find_model(options.model_folder, asked, default_precision()));
  if (!location.packed.empty()) return PackedFileModel::load(location.packed, pool);
  const Precision precision = asked.value_or(default_precision());
  if (precision == Precision::kF32 && is_folder(location.source)) {
    return FolderModel::load(location.source, options.allow_unverified_model, pool);
  }
  Result<std::string> packed = cached_packed_model(
      location.source, precision, options.allow_unverified_model, pool, options.log);
  if (packed.ok()) return PackedFileModel::load(packed.value(), pool);
  if (asked.has_value() || !is_folder(location.source)) return packed.status();
  log_to(options.log, LogLevel::kWarning,
         fmt::format("{}; going on in f32, which is slower", packed.status().message()));
  return FolderModel::load(location.source, options.allow_unverified_model, pool);
}

}  // namespace nestor::embed
