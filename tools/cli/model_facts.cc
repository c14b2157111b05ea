#include "tools/cli/model_facts.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "core/cpu_features.h"
#include "core/file.h"
#include "core/macros.h"
#include "core/thread_pool.h"
#include "embed/backend.h"
#include "embed/checkpoint.h"
#include "index/width_ladder.h"
#include "tools/cli/packing.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

using embed::ModelFileState;

Result<std::string> sha256_of(const ModelFacts& facts, const std::string& file) {
  for (const embed::ModelFileReport& report : facts.files) {
    if (report.known->path == file && !report.sha256.empty()) return report.sha256;
  }
  return embed::cached_sha256_of_file(facts.folder + "/" + file);
}

Status name_space(ModelFacts& facts) {
  embed::SpaceParts parts;
  parts.config = &facts.config;
  NESTOR_ASSIGN_OR_RETURN(parts.weights_sha256, sha256_of(facts, "model.safetensors"));
  NESTOR_ASSIGN_OR_RETURN(parts.tokenizer_sha256, sha256_of(facts, "tokenizer.model"));
  for (const embed::DenseConfig& dense : facts.config.dense) {
    NESTOR_ASSIGN_OR_RETURN(std::string sha256,
                            sha256_of(facts, dense.folder + "/model.safetensors"));
    parts.dense_sha256s.push_back(std::move(sha256));
  }
  facts.name = embed::model_name_of(parts);
  facts.space = embed::space_of(parts);
  return {};
}

Status look_at_checkpoint(ModelFacts& facts, Context& context) {
  {
    ProgressLine line(context, "checking the model");
    NESTOR_ASSIGN_OR_RETURN(
        facts.files,
        embed::verify_model_files(facts.folder, [&](std::uint64_t done, std::uint64_t total) {
          line.update(static_cast<std::int64_t>(done), static_cast<std::int64_t>(total),
                      [](double rate) { return bytes_text(rate) + "/s"; });
          return !context.stop.stop_requested();
        }));
  }
  NESTOR_ASSIGN_OR_RETURN(facts.config, embed::read_model_config(facts.folder));
  return name_space(facts);
}

PackedFacts look_at_packed(const std::string& path, Context& context) {
  PackedFacts packed{.path = path, .summary = {}, .problem = {}};
  Result<embed::PackedSummary> summary = embed::read_packed_summary(path);
  if (!summary.ok()) {
    packed.problem = summary.status().message();
    return packed;
  }
  packed.summary = std::move(summary).value();
  ThreadPool pool(useful_thread_count(context.global.thread_count));
  const Result<embed::PackedModel> opened = embed::PackedModel::open(path, pool);
  if (!opened.ok()) packed.problem = opened.status().message();
  return packed;
}

// A GGUF that was named.
Status look_at_gguf(ModelFacts& facts, Context& context) {
  NESTOR_ASSIGN_OR_RETURN(
      const std::unique_ptr<embed::Checkpoint> checkpoint,
      embed::open_checkpoint({.path = facts.folder,
                              .companion_folder = {},
                              .allow_unverified = context.global.allow_unverified_model}));
  facts.config = checkpoint->config();
  facts.name = checkpoint->identity().name;
  facts.space = checkpoint->identity().space;
  return {};
}

void name_after_packed(ModelFacts& facts) {
  for (const PackedFacts& packed : facts.packed) {
    const bool opened = packed.path == facts.opens.what;
    if (!packed.problem.empty() || (!facts.name.empty() && !opened)) continue;
    facts.config = packed.summary.config;
    facts.name = packed.summary.identity.name;
    facts.space = packed.summary.identity.space;
  }
}

Result<std::string> chosen_backend(embed::Precision precision) {
  if (precision == embed::Precision::kF32) {
    NESTOR_ASSIGN_OR_RETURN(const embed::Backend* backend, embed::choose_backend(forced_backend()));
    return std::string(backend->name);
  }
  NESTOR_ASSIGN_OR_RETURN(const embed::TiledBackend* backend,
                          embed::choose_tiled_backend(precision, forced_backend()));
  return std::string(backend->name);
}

Result<ModelOpening> opening_of(const Context& context) {
  NESTOR_ASSIGN_OR_RETURN(
      const embed::ModelLocation location,
      embed::find_model(context.global.model_folder, std::nullopt, embed::default_precision()));
  ModelOpening opens;
  embed::Precision precision = embed::default_precision();
  if (!location.packed.empty()) {
    NESTOR_ASSIGN_OR_RETURN(const embed::PackedSummary packed,
                            embed::read_packed_summary(location.packed));
    precision = packed.precision;
    opens.what = location.packed;
  } else {
    const bool as_it_is = precision == embed::Precision::kF32 && is_folder(location.source);
    opens.what = as_it_is ? "the checkpoint" : "the checkpoint (packed once, into the cache)";
  }
  opens.precision = embed::precision_name(precision);
  NESTOR_ASSIGN_OR_RETURN(opens.backend, chosen_backend(precision));
  return opens;
}

bool any_file_is(const ModelFacts& facts, ModelFileState state) {
  return std::any_of(
      facts.files.begin(), facts.files.end(),
      [state](const embed::ModelFileReport& report) { return report.state == state; });
}

Status look_at_folder(ModelFacts& facts, Context& context) {
  const std::string& named = context.global.model_folder;
  NESTOR_ASSIGN_OR_RETURN(facts.folder, embed::find_model_folder(named));
  for (const embed::ModelPlace& place : embed::model_places(named)) {
    if (place.folder != facts.folder) continue;
    facts.origin = place.origin;
    for (const embed::Precision precision : place.packed) {
      facts.packed.push_back(look_at_packed(embed::packed_path(place.folder, precision), context));
    }
    if (place.has_source) return look_at_checkpoint(facts, context);
  }
  return {};
}

}  // namespace

Result<ModelFacts> look_at_model(Context& context) {
  ModelFacts facts;
  const std::string& named = context.global.model_folder;
  const std::string file = named.empty() ? environment("NESTOR_MODEL") : named;
  if (!file.empty() && is_regular_file(file)) {
    facts.folder = file;
    facts.origin = named.empty() ? "NESTOR_MODEL" : "the file asked for";
    if (embed::read_packed_summary(file).ok() || file.ends_with(embed::kPackedSuffix)) {
      facts.packed.push_back(look_at_packed(file, context));
    } else {
      NESTOR_RETURN_IF_ERROR(look_at_gguf(facts, context));
    }
  } else {
    NESTOR_RETURN_IF_ERROR(look_at_folder(facts, context));
  }
  Result<ModelOpening> opens = opening_of(context);
  if (opens.ok()) {
    facts.opens = std::move(opens).value();
  } else {
    facts.opens.problem = opens.status().message();
  }
  if (facts.name.empty()) name_after_packed(facts);
  if (facts.name.empty()) {
    return Status(StatusCode::kDataLoss, facts.packed.front().problem);
  }
  facts.widths = index::ladder_widths(static_cast<int>(facts.config.output_width()), true);
  return facts;
}

ExitCode verdict(const ModelFacts& facts) {
  const bool damaged = std::any_of(facts.packed.begin(), facts.packed.end(),
                                   [](const PackedFacts& one) { return !one.problem.empty(); });
  if (damaged || any_file_is(facts, ModelFileState::kDiffers) ||
      any_file_is(facts, ModelFileState::kUnreadable)) {
    return kExitDataLoss;
  }
  if (any_file_is(facts, ModelFileState::kMissing)) return kExitModelMissing;
  // A packed file or a GGUF of a model that this version does not know.
  return facts.name == kKnownModelName ? kExitOk : kExitDataLoss;
}

}  // namespace nestor::cli
