// nestor doctor: is everything in place, and what to do where it is not
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "core/cpu_features.h"
#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "core/thread_pool.h"
#include "embed/backend.h"
#include "embed/fingerprint.h"
#include "embed/model_folder.h"
#include "embed/packed_model.h"
#include "nestor/version.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/model_choice.h"
#include "tools/cli/output.h"
#include "tools/cli/progress.h"
#include "tools/cli/self_test.h"

namespace nestor::cli {
namespace {

struct DoctorOptions {
  std::string target;
  std::string database;
  std::string precision = {};
  bool full = false;
  bool json = false;
};

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

constexpr const char* kWrongAnswers =
    "the weights or the kernels of this processor are at fault: run nestor doctor --full, then "
    "NESTOR_FORCE_BACKEND=scalar nestor doctor";

Check self_test_check(std::string name, const Result<SelfTest>& test) {
  if (!test.ok()) return failed(std::move(name), test.status(), kWrongAnswers);
  const SelfTest& result = test.value();
  const bool bad = result.state == CheckState::kFailed;
  return {std::move(name), result.state, result.found, bad ? kWrongAnswers : "",
          bad ? kExitError : kExitOk};
}

// All that could be chosen or forced here.
Check check_backends() {
  std::string found;
  for (const embed::Precision precision :
       {embed::Precision::kInt8, embed::Precision::kBf16, embed::Precision::kF32}) {
    found += fmt::format("{}{}: {}", found.empty() ? "" : "; ", embed::precision_name(precision),
                         fmt::join(embed::backend_names(precision), " "));
  }
  const std::string forced = forced_backend();
  if (!forced.empty()) found += "; NESTOR_FORCE_BACKEND is " + quote_for_message(forced);
  return {"available", CheckState::kOk, found, "", kExitOk};
}

// Every row of the embedding table; the other sections are checked whenever the file is opened.
Status read_whole_table(const std::string& path, Context& context) {
  ThreadPool pool(useful_thread_count(context.global.thread_count));
  NESTOR_ASSIGN_OR_RETURN(const embed::PackedModel model, embed::PackedModel::open(path, pool));
  const std::int64_t rows = model.config().vocabulary_size;
  std::vector<float> row(static_cast<std::size_t>(model.config().hidden_size));
  ProgressLine line(context, "reading the packed model");
  for (std::int64_t id = 0; id < rows; ++id) {
    NESTOR_RETURN_IF_ERROR(model.read_embedding(static_cast<std::int32_t>(id), row));
    line.update(id + 1, rows, [](double) { return std::string(); });
    if (context.stop.stop_requested()) return {StatusCode::kCancelled, "stopped"};
  }
  return {};
}

Check check_packed_whole(const std::string& path, Context& context) {
  const std::string name = "packed file";
  const Status read = read_whole_table(path, context);
  if (!read.ok()) {
    return failed(name, read, "make it again: nestor model pull, or nestor model pack");
  }
  return {name, CheckState::kOk,
          escape_for_terminal(path, false) + ": every section and row has its checksum", "",
          kExitOk};
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

Check backend_check(const ModelInfo& info) {
  const bool forced = !forced_backend().empty();
  return {"backend", CheckState::kOk,
          fmt::format("{}{}, {}, {}; widths {}, context {} tokens", info.backend,
                      forced ? " (forced by NESTOR_FORCE_BACKEND)" : "", info.precision,
                      counted(info.thread_count, "thread"), fmt::join(info.widths, " "),
                      with_thousands(info.context_tokens)),
          "", kExitOk};
}

void check_embedder(const DoctorOptions& options, const Embedder& embedder, Context& context,
                    std::vector<Check>& checks) {
  const ModelInfo& info = embedder.info();
  checks.push_back({"model", CheckState::kOk,
                    fmt::format("{} in {}", info.name, escape_for_terminal(info.folder, false)), "",
                    kExitOk});
  checks.push_back({"weights", CheckState::kOk, "sha256 " + info.weights_sha256, "", kExitOk});
  checks.push_back({"space", CheckState::kOk, info.space, "", kExitOk});
  checks.push_back(backend_check(info));
  checks.push_back(check_backends());
  if (options.full && is_regular_file(info.folder)) {
    checks.push_back(check_packed_whole(info.folder, context));
  }
  checks.push_back(self_test_check("self-test", test_card_example(embedder)));
  checks.push_back(self_test_check("reference", test_stored_vectors(embedder)));
  checks.push_back(self_test_check("same bits", test_same_bits(embedder, options.full, context)));
}

void check_model(const DoctorOptions& options, Context& context, std::vector<Check>& checks) {
  const Result<std::string> planned = planned_precision(context, options.precision);
  if (!planned.ok()) {
    const bool missing = planned.status().code() == StatusCode::kModelMissing;
    checks.push_back(failed("model", planned.status(), missing ? "nestor model pull" : ""));
    return;
  }
  const Result<std::string> folder = embed::find_model_folder(context.global.model_folder);
  if (options.full && folder.ok() && is_regular_file(folder.value() + "/model.safetensors")) {
    checks.push_back(check_files(folder.value(), context));
  }
  const Result<Embedder> opened = Embedder::open(context.embedder_options(options.precision));
  if (opened.ok()) {
    check_embedder(options, opened.value(), context, checks);
    return;
  }
  std::string fix = "nestor doctor --full looks at each file of it";
  if (opened.status().code() == StatusCode::kDataLoss) {
    fix = "nestor model pull fetches or makes what is damaged again";
  } else if (opened.status().code() == StatusCode::kUnsupported) {
    fix.clear();  // the message says it
  }
  checks.push_back(failed("model", opened.status(), fix));
  checks.push_back(check_backends());
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
  command.add_flag("--full", options->full, "Read and check every byte of the model, up to 1.6 GB");
  command.add_option("--precision", options->precision, kPrecisionHelp);
  command.add_flag("--json", options->json, "As JSON");
  set_action(command, context, [options](Context& c) { return run_doctor(*options, c); });
}

}  // namespace nestor::cli
