// nestor model pull: the model's files, then one packed file out of them
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>

#include "core/cpu_features.h"
#include "core/file.h"
#include "core/macros.h"
#include "core/thread_pool.h"
#include "embed/backend.h"
#include "embed/model_folder.h"
#include "tools/cli/command.h"
#include "tools/cli/model_command.h"
#include "tools/cli/model_drop.h"
#include "tools/cli/model_pull.h"
#include "tools/cli/model_pull_gguf.h"
#include "tools/cli/packing.h"
#include "tools/cli/progress.h"
#include "tools/cli/self_test.h"

namespace nestor::cli {
namespace {

struct PullCommandOptions {
  PullOptions pull;
  bool use_gguf = false;
  std::string gguf;  // as typed; empty: the default one
  std::string precision_name;
  embed::Precision precision = embed::Precision::kInt8;
  bool no_pack = false;
  bool drop_source = false;

  [[nodiscard]] std::string packed_path() const {
    return embed::packed_path(pull.target, precision);
  }
};

// Fills in what was left out. Errors: kInvalidArgument, kUnsupported.
Status prepare(PullCommandOptions& options) {
  if (options.drop_source && options.no_pack) {
    return {StatusCode::kInvalidArgument,
            "--drop-source with --no-pack would leave no model; give one of them"};
  }
  if (options.drop_source && !options.pull.target.empty()) {
    return {
        StatusCode::kInvalidArgument,
        "--drop-source removes files from Nestor's own model folder only; what lies in a folder "
        "named with --to is yours to remove"};
  }
  if (options.drop_source && is_regular_file(options.gguf)) {
    return {StatusCode::kInvalidArgument,
            "--drop-source removes what was fetched; the GGUF you name is yours to remove"};
  }
  options.precision = embed::default_precision();
  if (!options.precision_name.empty()) {
    NESTOR_ASSIGN_OR_RETURN(options.precision, embed::parse_precision(options.precision_name));
  }
  if (options.pull.target.empty()) options.pull.target = embed::default_model_folder();
  if (!options.pull.target.empty()) return {};
  return {StatusCode::kInvalidArgument,
          "no place for the model: neither XDG_DATA_HOME nor HOME is set; name one with --to "
          "FOLDER"};
}

// The packed file in the target, if it is whole and of a model that may be used.
std::optional<embed::CheckpointIdentity> packed_in_place(const PullCommandOptions& options,
                                                         Context& context) {
  if (!is_regular_file(options.packed_path())) return std::nullopt;
  ThreadPool pool(useful_thread_count(context.global.thread_count));
  const Result<embed::PackedModel> packed = embed::PackedModel::open(options.packed_path(), pool);
  if (!packed.ok()) {
    context.note(packed.status().message() + "; it is made again");
    return std::nullopt;
  }
  const embed::CheckpointIdentity& identity = packed.value().identity();
  if (packed.value().precision() != options.precision) return std::nullopt;
  if (identity.name != kKnownModelName && !context.global.allow_unverified_model) {
    return std::nullopt;
  }
  return identity;
}

bool is_from_gguf(const embed::CheckpointIdentity& identity) {
  return identity.format.starts_with("GGUF");
}

// Whether there is nothing to bring: the packed file is in place and its checkpoint was dropped, or
// is no safetensors at all. A checkpoint that is there is looked at, and mended, file by file.
bool nothing_to_bring(const PullCommandOptions& options,
                      const std::optional<embed::CheckpointIdentity>& packed) {
  if (!packed.has_value() || options.no_pack || !options.pull.from.empty()) return false;
  if (options.use_gguf) return options.gguf.empty() && is_from_gguf(*packed);
  return !is_regular_file(options.pull.target + "/model.safetensors");
}

// Returns where the checkpoint is now; empty where it need not be brought.
Result<std::string> bring(const PullCommandOptions& options,
                          const std::optional<embed::CheckpointIdentity>& packed,
                          Context& context) {
  if (!options.use_gguf) {
    NESTOR_ASSIGN_OR_RETURN(const std::string from, pull_model(options.pull, context));
    context.note("checkpoint from: " + from);
    return options.pull.target;
  }
  GgufRequest request{.what = options.gguf.empty() ? kDefaultGguf : options.gguf,
                      .target = options.pull.target,
                      .accept_gemma_terms = options.pull.accept_gemma_terms,
                      .packed_sha256 = {}};
  if (packed.has_value() && !options.no_pack) request.packed_sha256 = packed->weights_sha256;
  NESTOR_ASSIGN_OR_RETURN(std::string path, pull_gguf(request, context));
  if (!path.empty()) context.note("checkpoint: " + path);
  return path;
}

// Packs the source, unless what is packed was made from the same weights.
Status pack(const PullCommandOptions& options, const std::string& source,
            const std::optional<embed::CheckpointIdentity>& packed, Context& context) {
  const std::string weights = is_folder(source) ? source + "/model.safetensors" : source;
  if (packed.has_value()) {
    NESTOR_ASSIGN_OR_RETURN(const std::string sha256, embed::cached_sha256_of_file(weights));
    if (sha256 == packed->weights_sha256) {
      context.note("packed already: " + options.packed_path());
      return {};
    }
  }
  NESTOR_RETURN_IF_ERROR(make_folders(options.pull.target));
  const PackRequest request{.source = source,
                            .companion = options.use_gguf ? options.pull.from : std::string(),
                            .precision = options.precision,
                            .output = options.packed_path()};
  NESTOR_ASSIGN_OR_RETURN(const PackedFile made, pack_to_file(request, context));
  context.note(packed_line(made));
  NESTOR_ASSIGN_OR_RETURN(const std::string found, check_packed_file(made.path, context));
  context.note("self-test: " + found);
  return {};
}

// Drops what the packed file was made from, or says how.
Status settle_source(const PullCommandOptions& options, Context& context) {
  NESTOR_ASSIGN_OR_RETURN(const embed::PackedSummary packed,
                          embed::read_packed_summary(options.packed_path()));
  const std::string& folder = options.pull.target;
  NESTOR_ASSIGN_OR_RETURN(const SourceFiles files,
                          find_source_files(folder, packed.identity, context));
  if (files.paths.empty()) return {};
  if (!options.drop_source) {
    if (folder == embed::default_model_folder()) {
      context.note(fmt::format(
          "The packed file is all that is needed. To remove what it was made "
          "from, {}: nestor model pull{} --drop-source",
          bytes_text(static_cast<double>(files.bytes)), options.use_gguf ? " --gguf" : ""));
    }
    return {};
  }
  NESTOR_RETURN_IF_ERROR(check_packed_file(options.packed_path(), context).status());
  NESTOR_RETURN_IF_ERROR(remove_source_files(folder, files));
  context.note(fmt::format("removed what it was made from, {}",
                           bytes_text(static_cast<double>(files.bytes))));
  return {};
}

Status pull(PullCommandOptions& options, Context& context) {
  NESTOR_RETURN_IF_ERROR(prepare(options));
  const std::optional<embed::CheckpointIdentity> packed =
      options.no_pack ? std::nullopt : packed_in_place(options, context);
  std::string source;
  if (nothing_to_bring(options, packed)) {
    context.note(
        fmt::format("in place already: {}, packed from {}", options.packed_path(), packed->format));
  } else {
    NESTOR_ASSIGN_OR_RETURN(source, bring(options, packed, context));
    if (options.no_pack) return {};
    if (source.empty()) {
      context.note(fmt::format("in place already: {}, packed from the same {}",
                               options.packed_path(), packed->format));
    } else {
      NESTOR_RETURN_IF_ERROR(pack(options, source, packed, context));
    }
  }
  return settle_source(options, context);
}

int run_pull(PullCommandOptions options, Context& context) {
  const Status status = pull(options, context);
  if (status.code() == StatusCode::kCancelled) {
    return context.fail({StatusCode::kCancelled,
                         "stopped; what has come is kept, type the command again to go on"});
  }
  if (!status.ok()) return context.fail(status);
  context.print(options.pull.target + "\n");
  return kExitOk;
}

}  // namespace

void add_model_pull_command(CLI::App& model, Context& context) {
  CLI::App& command = *model.add_subcommand("pull",
                                            "Bring EmbeddingGemma-300M (from a folder, the Hugging "
                                            "Face cache, Hugging Face, a mirror, or "
                                            "a GGUF) and pack it");
  auto options = std::make_shared<PullCommandOptions>();
  PullOptions& pull = options->pull;
  command.add_option("--from", pull.from,
                     "A folder that holds the model; no other place is looked at. With --gguf: a "
                     "folder with what the GGUF lacks");
  CLI::Option* gguf =
      command
          .add_option("--gguf", options->gguf,
                      std::string("Start from a GGUF: a file, or ORG/REPO[:QUANT] (default: ") +
                          kDefaultGguf + ", 0.3 GB)")
          ->type_name("[FILE|REPO]")
          ->expected(0, 1);
  command.add_option("--to", pull.target, "Where it goes (default: Nestor's own model folder)");
  command.add_flag("--accept-gemma-terms", pull.accept_gemma_terms,
                   "You have read and accept the Gemma Terms of Use (ai.google.dev/gemma/terms); "
                   "then places that are open to all may be asked: the mirror, GGUF repositories");
  command.add_option("--precision", options->precision_name,
                     "What to pack: int8, bf16 or f32 (default: int8, the fastest; f32 where the "
                     "processor has no vector unit for it)");
  command.add_flag("--no-pack", options->no_pack, "Bring the checkpoint only");
  command.add_flag(
      "--drop-source", options->drop_source,
      "Once the packed file has passed its self-test, remove the checkpoint it was made "
      "from; only what lies in Nestor's own model folder");
  set_action(command, context, [options, gguf](Context& c) {
    options->use_gguf = gguf->count() > 0;
    return run_pull(*options, c);
  });
}

}  // namespace nestor::cli
