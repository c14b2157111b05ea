// nestor model pack: one file out of a checkpoint, in the form the encoder reads it
#include <fmt/format.h>

#include <memory>
#include <string>

#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "embed/backend.h"
#include "embed/model_folder.h"
#include "tools/cli/command.h"
#include "tools/cli/model_command.h"
#include "tools/cli/output.h"
#include "tools/cli/packing.h"

namespace nestor::cli {
namespace {

struct PackCommandOptions {
  std::string source;
  std::string precision = "int8";
  std::string companion;
  std::string output;
  bool json = false;
};

// The checkpoint that commands find, packed or not.
Result<std::string> found_source(const Context& context) {
  const std::string& named = context.global.model_folder;
  const std::string file = named.empty() ? environment("NESTOR_MODEL") : named;
  if (!file.empty() && is_regular_file(file)) return file;
  for (const embed::ModelPlace& place : embed::model_places(named)) {
    if (place.has_source) return place.folder;
  }
  NESTOR_ASSIGN_OR_RETURN(const std::string folder, embed::find_model_folder(named));
  return Status(StatusCode::kModelMissing,
                folder +
                    " holds a packed model and no checkpoint to pack. Name one (nestor model pack "
                    "FOLDER, or a GGUF), or get it with nestor model pull --no-pack");
}

Result<PackedFile> pack(const PackCommandOptions& options, Context& context) {
  PackRequest request;
  request.companion = options.companion;
  request.output = options.output;
  NESTOR_ASSIGN_OR_RETURN(request.precision, embed::parse_precision(options.precision));
  request.source = options.source;
  if (request.source.empty()) {
    NESTOR_ASSIGN_OR_RETURN(request.source, found_source(context));
  }
  if (const auto packed = embed::read_packed_summary(request.source); packed.ok()) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("{} is packed already, as {} from {}; name the checkpoint it was made "
                    "from",
                    quote_for_message(request.source, 512),
                    embed::precision_name(packed.value().precision),
                    packed.value().identity.format));
  }
  return pack_to_file(request, context);
}

void print_json(const PackedFile& packed, Context& context) {
  const embed::PackedSummary& summary = packed.summary;
  Json json = new_json();
  json["file"] = json_text(packed.path);
  json["bytes"] = summary.bytes;
  json["precision"] = embed::precision_name(summary.precision);
  json["name"] = summary.identity.name;
  json["space"] = summary.identity.space;
  json["packed_from"] = summary.identity.format;
  json["weights_sha256"] = summary.identity.weights_sha256;
  json["seconds"] = packed.seconds;
  context.print(json_line(json));
}

int run_pack(const PackCommandOptions& options, Context& context) {
  const Result<PackedFile> packed = pack(options, context);
  if (!packed.ok()) return context.fail(packed.status());
  if (options.json) {
    print_json(packed.value(), context);
    return kExitOk;
  }
  context.note(packed_line(packed.value()));
  context.note("  space " + packed.value().summary.identity.space);
  context.print(packed.value().path + "\n");
  return kExitOk;
}

}  // namespace

void add_model_pack_command(CLI::App& model, Context& context) {
  CLI::App& command = *model.add_subcommand("pack",
                                            "Make the one file that is mapped and run, out of a "
                                            "checkpoint: a folder of safetensors, or a "
                                            "GGUF (f32, f16, bf16, Q8_0, Q4_0)");
  auto options = std::make_shared<PackCommandOptions>();
  command.add_option("SOURCE", options->source,
                     "The checkpoint's folder, or a GGUF (default: the checkpoint in place)");
  command
      .add_option("--precision", options->precision,
                  "int8 (0.35 GB, the fastest), bf16 (0.63 GB) or f32 (1.2 GB, the reference)")
      ->capture_default_str();
  command.add_option("--from", options->companion,
                     "For a GGUF: a folder with what it lacks (tokenizer.model, prompts, 2_Dense "
                     "and 3_Dense)");
  command.add_option(
      "--output,-o", options->output,
      "The file to write, or the folder for it (default: "
      "SOURCE/model-PRECISION.nestor-model; from a GGUF or the Hugging Face cache: in "
      "Nestor's own model folder)");
  command.add_flag("--json", options->json, "The result as JSON");
  set_action(command, context, [options](Context& c) { return run_pack(*options, c); });
}

}  // namespace nestor::cli
