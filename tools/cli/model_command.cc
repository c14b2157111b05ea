#include "tools/cli/model_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/macros.h"
#include "embed/fingerprint.h"
#include "embed/model_config.h"
#include "embed/model_folder.h"
#include "embed/prompt.h"
#include "index/width_ladder.h"
#include "tools/cli/command.h"
#include "tools/cli/model_pull.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

using embed::ModelFileState;
using nlohmann::ordered_json;

constexpr int kRoleCount = 8;

struct InfoOptions {
  bool json = false;
};

struct ModelFacts {
  std::string folder;
  std::string origin;
  std::string name;
  std::string space;
  embed::ModelConfig config;
  std::vector<int> widths;
  std::vector<embed::ModelFileReport> files;
};

const char* state_name(ModelFileState state) {
  switch (state) {
    case ModelFileState::kGood:
      return "good";
    case ModelFileState::kMissing:
      return "missing";
    case ModelFileState::kDiffers:
      return "differs";
    case ModelFileState::kUnreadable:
      return "unreadable";
  }
  return "unknown";
}

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

Result<ModelFacts> look_at_model(Context& context) {
  ModelFacts facts;
  NESTOR_ASSIGN_OR_RETURN(facts.folder, embed::find_model_folder(context.global.model_folder));
  for (const embed::ModelPlace& place : embed::model_places(context.global.model_folder)) {
    if (place.folder == facts.folder) facts.origin = place.origin;
  }
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
  facts.widths = index::ladder_widths(static_cast<int>(facts.config.output_width()), true);
  NESTOR_RETURN_IF_ERROR(name_space(facts));
  return facts;
}

bool any_file_is(const ModelFacts& facts, ModelFileState state) {
  return std::any_of(
      facts.files.begin(), facts.files.end(),
      [state](const embed::ModelFileReport& report) { return report.state == state; });
}

// Whole and known is what a script wants to hear as 0.
ExitCode verdict(const ModelFacts& facts) {
  if (any_file_is(facts, ModelFileState::kDiffers) ||
      any_file_is(facts, ModelFileState::kUnreadable)) {
    return kExitDataLoss;
  }
  return any_file_is(facts, ModelFileState::kMissing) ? kExitModelMissing : kExitOk;
}

std::string info_json(const ModelFacts& facts, const Context& context) {
  ordered_json files = ordered_json::array();
  for (const embed::ModelFileReport& report : facts.files) {
    files.push_back({{"path", report.known->path},
                     {"state", state_name(report.state)},
                     {"bytes", report.bytes},
                     {"sha256", report.sha256},
                     {"expected_sha256", report.known->sha256}});
  }
  ordered_json prompts = ordered_json::object();
  for (int role = 0; role < kRoleCount; ++role) {
    prompts[role_name(static_cast<Role>(role))] =
        embed::bare_prompt(facts.config.prompts, static_cast<Role>(role));
  }
  ordered_json places = ordered_json::array();
  for (const embed::ModelPlace& place : embed::model_places(context.global.model_folder)) {
    places.push_back(
        {{"folder", place.folder}, {"origin", place.origin}, {"problem", place.problem}});
  }
  const ordered_json info = {{"schema_version", kSchemaVersion},
                             {"name", facts.name},
                             {"folder", facts.folder},
                             {"origin", facts.origin},
                             {"verified", verdict(facts) == kExitOk},
                             {"space", facts.space},
                             {"width", facts.config.output_width()},
                             {"widths", facts.widths},
                             {"context_tokens", facts.config.context_tokens},
                             {"prompts", prompts},
                             {"files", files},
                             {"looked_in", places}};
  return info.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string info_text(const ModelFacts& facts) {
  std::string text =
      fmt::format("{}\n  folder   {} ({})\n  space    {}\n  widths   {}\n  context  {} tokens\n",
                  facts.name, facts.folder, facts.origin, facts.space,
                  fmt::join(facts.widths, ", "), facts.config.context_tokens);
  text += "  prompts\n";
  for (int role = 0; role < kRoleCount; ++role) {
    text += fmt::format("    {:<20} {}\n", role_name(static_cast<Role>(role)),
                        embed::bare_prompt(facts.config.prompts, static_cast<Role>(role)));
  }
  text += "  files, by SHA-256\n";
  for (const embed::ModelFileReport& report : facts.files) {
    text += fmt::format("    {:<10} {:>13}  {}\n", state_name(report.state), report.bytes,
                        report.known->path);
  }
  return text + "  The weights are Google's, under the Gemma Terms of Use.\n";
}

int run_info(const InfoOptions& options, Context& context) {
  const Result<ModelFacts> facts = look_at_model(context);
  if (!facts.ok()) return context.fail(facts.status());
  context.print(options.json ? info_json(facts.value(), context) : info_text(facts.value()));
  const ExitCode code = context.global.allow_unverified_model ? kExitOk : verdict(facts.value());
  for (const embed::ModelFileReport& report : facts.value().files) {
    if (code != kExitOk && !report.problem.empty()) context.note(report.problem);
  }
  if (code != kExitOk) {
    context.note(
        "This is not the whole model that this version knows. `nestor model pull` brings what is "
        "missing; "
        "--allow-unverified-model uses another one.");
  }
  return code;
}

int run_pull(PullOptions options, Context& context) {
  if (options.target.empty()) options.target = embed::default_model_folder();
  if (options.target.empty()) {
    return context.fail({StatusCode::kInvalidArgument,
                         "no place for the model: neither XDG_DATA_HOME nor HOME is set; name one "
                         "with --to FOLDER"});
  }
  const Result<std::string> source = pull_model(options, context);
  if (source.status().code() == StatusCode::kCancelled) {
    return context.fail({StatusCode::kCancelled,
                         "stopped; what has come is kept, type the command again to go on"});
  }
  if (!source.ok()) return context.fail(source.status());
  context.note("from: " + source.value());
  context.print(options.target + "\n");
  return kExitOk;
}

}  // namespace

void add_model_command(CLI::App& app, Context& context) {
  CLI::App& model = *app.add_subcommand("model", "Get the model, or see what is in place");
  model.require_subcommand(1);

  CLI::App& pull = *model.add_subcommand("pull",
                                         "Bring EmbeddingGemma-300M: from a folder, the Hugging "
                                         "Face cache, Hugging Face, or a mirror");
  auto pull_options = std::make_shared<PullOptions>();
  pull.add_option("--from", pull_options->from,
                  "a folder that holds the model; no other place is looked at");
  pull.add_option("--to", pull_options->target, "where it goes (Nestor's own model folder)");
  pull.add_flag("--accept-gemma-terms", pull_options->accept_gemma_terms,
                "you have read and accept the Gemma Terms of Use; the mirror may be used");
  set_action(pull, context, [pull_options](Context& c) { return run_pull(*pull_options, c); });

  CLI::App& info = *model.add_subcommand("info", "What is in place, checked file by file");
  auto info_options = std::make_shared<InfoOptions>();
  info.add_flag("--json", info_options->json, "one JSON object");
  set_action(info, context, [info_options](Context& c) { return run_info(*info_options, c); });
}

}  // namespace nestor::cli
