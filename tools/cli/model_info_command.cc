// nestor model info: what is in place, checked, and what of it would be opened
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <string>

#include "core/text.h"
#include "embed/prompt.h"
#include "tools/cli/command.h"
#include "tools/cli/model_command.h"
#include "tools/cli/model_facts.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

using embed::ModelFileState;

constexpr int kRoleCount = 8;

struct InfoOptions {
  bool json = false;
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

Json packed_json(const PackedFacts& packed) {
  Json entry;
  entry["file"] = json_text(packed.path);
  entry["state"] = packed.problem.empty() ? "good" : "damaged";
  entry["problem"] = packed.problem;
  entry["precision"] = embed::precision_name(packed.summary.precision);
  entry["bytes"] = packed.summary.bytes;
  entry["name"] = packed.summary.identity.name;
  entry["space"] = packed.summary.identity.space;
  entry["packed_from"] = packed.summary.identity.format;
  entry["weights_sha256"] = packed.summary.identity.weights_sha256;
  return entry;
}

std::string info_json(const ModelFacts& facts, const Context& context) {
  Json info = new_json();
  info["name"] = facts.name;
  info["folder"] = json_text(facts.folder);
  info["origin"] = facts.origin;
  info["verified"] = verdict(facts) == kExitOk;
  info["space"] = facts.space;
  info["width"] = facts.config.output_width();
  info["widths"] = facts.widths;
  info["context_tokens"] = facts.config.context_tokens;
  for (int role = 0; role < kRoleCount; ++role) {
    info["prompts"][role_name(static_cast<Role>(role))] =
        embed::bare_prompt(facts.config.prompts, static_cast<Role>(role));
  }
  info["files"] = Json::array();
  for (const embed::ModelFileReport& report : facts.files) {
    info["files"].push_back({{"path", report.known->path},
                             {"state", state_name(report.state)},
                             {"bytes", report.bytes},
                             {"sha256", report.sha256},
                             {"expected_sha256", report.known->sha256}});
  }
  info["packed"] = Json::array();
  for (const PackedFacts& packed : facts.packed) info["packed"].push_back(packed_json(packed));
  info["opens"] = {{"what", json_text(facts.opens.what)},
                   {"precision", facts.opens.precision},
                   {"backend", facts.opens.backend},
                   {"problem", facts.opens.problem}};
  info["looked_in"] = Json::array();
  for (const embed::ModelPlace& place : embed::model_places(context.global.model_folder)) {
    info["looked_in"].push_back({{"folder", json_text(place.folder)},
                                 {"origin", place.origin},
                                 {"problem", place.problem}});
  }
  return json_line(info);
}

std::string packed_text(const ModelFacts& facts) {
  if (facts.packed.empty()) return "  packed   none\n";
  std::string text = "  packed, by checksum\n";
  for (const PackedFacts& packed : facts.packed) {
    text +=
        fmt::format("    {:<10} {:>13}  {}  {}{}\n", packed.problem.empty() ? "good" : "damaged",
                    with_thousands(static_cast<std::int64_t>(packed.summary.bytes)),
                    escape_for_terminal(packed.path, false), packed.summary.identity.format,
                    packed.summary.identity.space == facts.space
                        ? ""
                        : ", of another space: " + packed.summary.identity.space);
  }
  return text;
}

std::string files_text(const ModelFacts& facts) {
  if (facts.files.empty()) {
    return facts.packed.empty() ? "" : "  checkpoint  none; a packed file needs none\n";
  }
  std::string text = "  checkpoint, by SHA-256\n";
  for (const embed::ModelFileReport& report : facts.files) {
    text +=
        fmt::format("    {:<10} {:>13}  {}\n", state_name(report.state),
                    with_thousands(static_cast<std::int64_t>(report.bytes)), report.known->path);
  }
  return text;
}

std::string opens_text(const ModelOpening& opens) {
  if (!opens.problem.empty()) return opens.problem;
  return fmt::format("{}, {} by {}", escape_for_terminal(opens.what, false), opens.precision,
                     opens.backend);
}

std::string info_text(const ModelFacts& facts) {
  std::string text = fmt::format(
      "{}\n  folder   {} ({})\n  space    {}\n  opens    {}\n  widths   {}\n  context  {} tokens\n",
      facts.name, escape_for_terminal(facts.folder, false), facts.origin, facts.space,
      opens_text(facts.opens), fmt::join(facts.widths, ", "),
      with_thousands(facts.config.context_tokens));
  text += "  prompts\n";
  for (int role = 0; role < kRoleCount; ++role) {
    text += fmt::format("    {:<20} {}\n", role_name(static_cast<Role>(role)),
                        embed::bare_prompt(facts.config.prompts, static_cast<Role>(role)));
  }
  return text + packed_text(facts) + files_text(facts) +
         "  The weights are Google's, under the Gemma Terms of Use.\n";
}

void explain(const ModelFacts& facts, Context& context) {
  for (const embed::ModelFileReport& report : facts.files) {
    if (!report.problem.empty()) context.note(report.problem);
  }
  for (const PackedFacts& packed : facts.packed) {
    if (!packed.problem.empty()) context.note(packed.problem);
  }
  context.note(
      "This is not the whole model that this version knows. `nestor model pull` brings what is "
      "missing; --allow-unverified-model uses another one.");
}

int run_info(const InfoOptions& options, Context& context) {
  const Result<ModelFacts> facts = look_at_model(context);
  if (!facts.ok()) return context.fail(facts.status());
  context.print(options.json ? info_json(facts.value(), context) : info_text(facts.value()));
  const ExitCode code = verdict(facts.value());
  if (code == kExitOk) return code;
  if (context.global.allow_unverified_model && facts.value().opens.problem.empty()) return kExitOk;
  explain(facts.value(), context);
  return code;
}

}  // namespace

void add_model_info_command(CLI::App& model, Context& context) {
  CLI::App& command = *model.add_subcommand(
      "info", "What is in place, checked file by file, and what of it is opened");
  auto options = std::make_shared<InfoOptions>();
  command.add_flag("--json", options->json, "One JSON object");
  set_action(command, context, [options](Context& c) { return run_info(*options, c); });
}

}  // namespace nestor::cli
