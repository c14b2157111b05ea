// nestor doctor: is everything in place, and what to do where it is not
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/cpu_features.h"
#include "core/macros.h"
#include "core/text.h"
#include "embed/fingerprint.h"
#include "embed/model_folder.h"
#include "nestor/version.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/output.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

// The example of the model's card, with the scores that the card prints.
constexpr std::string_view kCardQuestion = "Which planet is known as the Red Planet?";
constexpr std::array<std::string_view, 4> kCardDocuments = {
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Jupiter, the largest planet in our solar system, has a prominent red spot.",
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet."};
constexpr std::array<double, 4> kCardScores = {0.3011, 0.6359, 0.4930, 0.4889};
constexpr double kCardTolerance = 1e-3;
constexpr std::string_view kCardModel = "embeddinggemma-300m";

struct DoctorOptions {
  std::string target;
  std::string database;
  std::string precision = {};
  bool full = false;
  bool json = false;
};

enum class CheckState { kOk, kFailed, kSkipped };

struct Check {
  std::string name;
  CheckState state = CheckState::kOk;
  std::string found;
  std::string fix;  // empty unless it failed
  ExitCode code = kExitOk;
};

Check failed(std::string name, const Status& status, std::string fix) {
  return {std::move(name), CheckState::kFailed, status.message(), std::move(fix),
          exit_code_of(status)};
}

std::string joined(const std::vector<std::string>& words) {
  return words.empty() ? "none of note" : fmt::format("{}", fmt::join(words, " "));
}

Check check_processor() {
  return {"processor", CheckState::kOk,
          fmt::format("{}, {}: {}", cpu_architecture(),
                      counted(available_processor_count(), "processor"), joined(cpu_features())),
          "", kExitOk};
}

Result<double> dot(const Embedder& embedder, const Embedding& question, std::string_view document) {
  NESTOR_ASSIGN_OR_RETURN(const Embedding other, embedder.embed_document("", document));
  double sum = 0;
  for (std::size_t i = 0; i < other.vector.size(); ++i) {
    sum += static_cast<double>(question.vector[i]) * static_cast<double>(other.vector[i]);
  }
  return sum;
}

Check check_self_test(const Embedder& embedder) {
  const std::string name = "self-test";
  if (embedder.info().name != kCardModel) {
    return {name, CheckState::kSkipped,
            fmt::format("not available for {}: its right answers are not known here",
                        embedder.info().name),
            "", kExitOk};
  }
  const std::string fix =
      "the weights or the kernels of this processor are at fault: run nestor doctor --full, then "
      "NESTOR_FORCE_BACKEND=scalar nestor doctor";
  const auto start = std::chrono::steady_clock::now();
  const Result<Embedding> question = embedder.embed_query(kCardQuestion);
  if (!question.ok()) return failed(name, question.status(), fix);
  double worst = 0;
  std::vector<double> scores;
  for (std::size_t i = 0; i < kCardDocuments.size(); ++i) {
    const Result<double> score = dot(embedder, question.value(), kCardDocuments[i]);
    if (!score.ok()) return failed(name, score.status(), fix);
    scores.push_back(score.value());
    worst = std::max(worst, std::abs(score.value() - kCardScores[i]));
  }
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  const std::string found = fmt::format(
      "the model card's example gives {:.4f} (the card: {:.4f}) in {}", fmt::join(scores, " "),
      fmt::join(kCardScores, " "), seconds_text(passed.count()));
  // Written so that a NaN fails.
  if (worst <= kCardTolerance) return {name, CheckState::kOk, found, "", kExitOk};
  return {name, CheckState::kFailed, found, fix, kExitError};
}

Check check_files(const std::string& folder, Context& context) {
  ProgressLine line(context, "hashing the model");
  const auto reports =
      embed::verify_model_files(folder, [&](std::uint64_t done, std::uint64_t total) {
        line.update(std::int64_t(done), std::int64_t(total),
                    [](double rate) { return bytes_text(rate) + "/s"; });
        return !context.stop.stop_requested();
      });
  const std::string name = "model files";
  if (!reports.ok()) return failed(name, reports.status(), "");
  std::string problems;
  for (const embed::ModelFileReport& report : reports.value()) {
    if (report.state == embed::ModelFileState::kGood) continue;
    problems += (problems.empty() ? "" : "; ") + report.problem;
  }
  if (problems.empty()) {
    return {name, CheckState::kOk,
            fmt::format("all {} have the SHA-256 they should have",
                        counted(std::int64_t(reports.value().size()), "file")),
            "", kExitOk};
  }
  return {name, CheckState::kFailed, problems, "nestor model pull fetches what is wrong again",
          kExitError};
}

void check_model(const DoctorOptions& options, Context& context, std::vector<Check>& checks) {
  const Result<std::string> folder = embed::find_model_folder(context.global.model_folder);
  if (!folder.ok()) {
    checks.push_back(failed("model", folder.status(), "nestor model pull"));
    return;
  }
  if (options.full) checks.push_back(check_files(folder.value(), context));
  const Result<Embedder> opened = Embedder::open(context.embedder_options(options.precision));
  if (!opened.ok()) {
    const bool damaged = opened.status().code() == StatusCode::kDataLoss;
    checks.push_back(failed("model", opened.status(),
                            damaged ? "nestor model pull fetches what is damaged again"
                                    : "nestor doctor --full looks at each file of it"));
    return;
  }
  const Embedder& embedder = opened.value();
  const ModelInfo& info = embedder.info();
  checks.push_back({"model", CheckState::kOk,
                    fmt::format("{} in {}", info.name, escape_for_terminal(info.folder, false)), "",
                    kExitOk});
  checks.push_back({"weights", CheckState::kOk, "sha256 " + info.weights_sha256, "", kExitOk});
  checks.push_back({"space", CheckState::kOk, info.space, "", kExitOk});
  const std::string forced = forced_backend();
  checks.push_back({"backend", CheckState::kOk,
                    fmt::format("{}{}, {}, {}; widths {}, context {} tokens", info.backend,
                                forced.empty() ? "" : " (forced by NESTOR_FORCE_BACKEND)",
                                info.precision, counted(info.thread_count, "thread"),
                                fmt::join(info.widths, " "), with_thousands(info.context_tokens)),
                    "", kExitOk});
  checks.push_back(check_self_test(embedder));
}

Check check_database(const DoctorOptions& options, Context& context) {
  const std::string name = "database";
  const Result<DatabaseTarget> target = find_existing_target(options.target, options.database);
  if (!target.ok()) return failed(name, target.status(), "");
  OpenOptions open = context.open_options();
  open.read_only = true;
  const Result<Database> database = Database::open(target.value().database, open);
  if (!database.ok()) return failed(name, database.status(), "");
  const Result<VerifyReport> report = database.value().verify(context.stop);
  if (!report.ok()) return failed(name, report.status(), "");
  if (report.value().problems.empty()) {
    return {name, CheckState::kOk,
            fmt::format("{}, {}, all is well", counted(report.value().documents, "document"),
                        counted(report.value().passages, "passage")),
            "", kExitOk};
  }
  return {name, CheckState::kFailed,
          fmt::format("{}, the first: {}",
                      counted(std::int64_t(report.value().problems.size()), "problem"),
                      report.value().problems.front()),
          "nestor verify lists all of them; restore a backup, or index the documents anew",
          kExitDataLoss};
}

const char* state_name(CheckState state) {
  if (state == CheckState::kOk) return "ok";
  return state == CheckState::kFailed ? "failed" : "skipped";
}

void print_for_people(const std::vector<Check>& checks, Context& context) {
  const Terminal terminal = terminal_of(1);
  for (const Check& check : checks) {
    Style style = Style::kGreen;
    if (check.state == CheckState::kFailed) style = Style::kRed;
    if (check.state == CheckState::kSkipped) style = Style::kDim;
    context.print(fmt::format(
        "{}  {:<11}  {}\n", styled(terminal, style, fmt::format("{:<7}", state_name(check.state))),
        check.name, escape_for_terminal(check.found, true)));
    if (!check.fix.empty()) context.print(fmt::format("         to mend it:  {}\n", check.fix));
  }
}

void print_json(const std::vector<Check>& checks, bool ok, Context& context) {
  Json json = new_json();
  json["ok"] = ok;
  json["version"] = kVersion;
  json["checks"] = Json::array();
  for (const Check& check : checks) {
    Json entry;
    entry["name"] = check.name;
    entry["state"] = state_name(check.state);
    entry["found"] = json_text(check.found);
    if (!check.fix.empty()) entry["fix"] = check.fix;
    json["checks"].push_back(std::move(entry));
  }
  context.print(json_line(json));
}

int run_doctor(const DoctorOptions& options, Context& context) {
  std::vector<Check> checks;
  checks.push_back({"nestor", CheckState::kOk, std::string("version ") + kVersion, "", kExitOk});
  checks.push_back(check_processor());
  check_model(options, context, checks);
  if (!options.target.empty()) checks.push_back(check_database(options, context));
  const auto bad = std::find_if(checks.begin(), checks.end(), [](const Check& check) {
    return check.state == CheckState::kFailed;
  });
  if (options.json) {
    print_json(checks, bad == checks.end(), context);
  } else {
    print_for_people(checks, context);
  }
  return bad == checks.end() ? kExitOk : bad->code;
}

}  // namespace

void add_doctor_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand(
      "doctor", "Check processor, model and, if named, a database; says how to mend what is wrong");
  auto options = std::make_shared<DoctorOptions>();
  command.add_option("DB", options->target, "A database, or a folder that was indexed");
  command.add_option("--db", options->database, "The database of the folder, if it was named");
  command.add_flag("--full", options->full, "Hash every file of the model, 1.2 GB");
  command.add_option("--precision", options->precision, "Numeric mode of the encoder")
      ->capture_default_str();
  command.add_flag("--json", options->json, "As JSON");
  set_action(command, context, [options](Context& c) { return run_doctor(*options, c); });
}

}  // namespace nestor::cli
