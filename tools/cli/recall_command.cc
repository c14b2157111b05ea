// nestor recall DB_OR_FOLDER
#include <fmt/format.h>

#include <memory>
#include <sstream>

#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "query/icu_text.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/filter_check.h"
#include "tools/cli/line_reader.h"
#include "tools/cli/number_option.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

constexpr std::size_t kMostQuestionsBytes = 16 << 20;

struct RecallCommandOptions {
  std::string target;
  std::string database;
  std::string questions_file;
  std::string filter;
  RecallOptions recall;
  bool json = false;
};

Result<std::vector<std::string>> read_questions(const std::string& path, Context& context) {
  std::string text;
  if (path == "-") {
    LineReader reader(0, context.stop);
    NESTOR_ASSIGN_OR_RETURN(text, reader.rest(kMostQuestionsBytes));
  } else {
    NESTOR_ASSIGN_OR_RETURN(text, read_file(path, kMostQuestionsBytes));
  }
  std::vector<std::string> questions;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    // Lines that are no UTF-8 are left to the library, which says which one it is.
    if (find_invalid_utf8(line).has_value() || !query::is_blank(line)) questions.push_back(line);
  }
  if (questions.empty()) {
    return Status(StatusCode::kInvalidArgument,
                  quote_for_message(path) + " holds no question; write one a line");
  }
  return questions;
}

std::string plan_name(const MeasuredPlan& plan) {
  return plan.recall_target > 0 ? fmt::format("--recall {}", plan.recall_target)
                                : fmt::format("--coarse-width {}", plan.coarse_width);
}

void print_json(const RecallReport& report, const RecallOptions& options, Context& context) {
  Json json = new_json();
  json["collection"] = options.collection;
  json["k"] = options.k;
  json["passages"] = report.passages;
  json["questions"] = report.questions;
  json["asked"] = report.asked;
  json["calibrated_on"] = report.calibrated_on;
  json["plans"] = Json::array();
  for (const MeasuredPlan& plan : report.plans) {
    Json entry;
    if (plan.recall_target > 0) entry["recall_target"] = plan.recall_target;
    if (plan.coarse_width > 0) entry["coarse_width"] = plan.coarse_width;
    entry["scanned_further"] = plan.scan_count;
    entry["candidates"] = plan.candidate_count;
    entry["recall"] = plan.recall;
    entry["least_recall"] = plan.least_recall;
    entry["p50_seconds"] = plan.p50_seconds;
    entry["p95_seconds"] = plan.p95_seconds;
    json["plans"].push_back(std::move(entry));
  }
  if (report.suggested >= 0) json["suggested"] = report.suggested;
  context.print(json_line(json));
}

std::string advice(const RecallReport& report, const RecallOptions& options) {
  if (report.suggested < 0) {
    return fmt::format("No plan reaches {}; --exact finds everything, and reads everything.\n",
                       options.recall_target);
  }
  const MeasuredPlan& best = report.plans[static_cast<std::size_t>(report.suggested)];
  return fmt::format("For {} or more: {} (found {:.1f} %, {:.2f} ms).\n", options.recall_target,
                     plan_name(best), 100 * best.recall, 1e3 * best.p50_seconds);
}

void print_for_people(const RecallReport& report, const RecallOptions& options, Context& context) {
  context.print(fmt::format("{} asked of {}: {}; recall@{} against the exact answer\n",
                            counted(report.questions, "question"),
                            counted(report.passages, "passage"), report.asked, options.k));
  context.print(
      report.calibrated_on > 0
          ? fmt::format("plans measured on this collection at {}\n\n",
                        counted(report.calibrated_on, "passage"))
          : "plans built in; they are measured on the collection from 10,000 passages on\n\n");
  context.print(fmt::format("{:<20} {:>8} {:>8} {:>9} {:>9} {:>9} {:>11}\n", "plan", "recall",
                            "worst", "p50", "p95", "scanned", "candidates"));
  for (const MeasuredPlan& plan : report.plans) {
    const bool usual = plan.recall_target == SearchOptions().recall_target;
    context.print(fmt::format("{:<20} {:>8.4f} {:>8.2f} {:>6.2f} ms {:>6.2f} ms {:>9} {:>11}{}\n",
                              plan_name(plan), plan.recall, plan.least_recall,
                              1e3 * plan.p50_seconds, 1e3 * plan.p95_seconds,
                              plan.scan_count > 0 ? with_thousands(plan.scan_count) : "all",
                              with_thousands(plan.candidate_count), usual ? "  (default)" : ""));
  }
  context.print("\n" + advice(report, options));
}

int run_recall(const RecallCommandOptions& options, Context& context) {
  RecallOptions recall = options.recall;
  recall.stop = context.stop;
  if (!options.questions_file.empty()) {
    Result<std::vector<std::string>> questions = read_questions(options.questions_file, context);
    if (!questions.ok()) return context.fail(questions.status());
    recall.questions = std::move(questions).value();
  }
  Result<Filter> filter = parse_filter(options.filter);
  if (!filter.ok()) return context.fail(filter.status());
  recall.filter = std::move(filter).value();
  const Result<DatabaseTarget> target = find_existing_target(options.target, options.database);
  if (!target.ok()) return context.fail(target.status());
  OpenOptions open = context.open_options();
  open.read_only = true;
  const Result<Database> database = Database::open(target.value().database, open);
  if (!database.ok()) return context.fail(database.status());
  if (const Status checked =
          caution_of_unknown_fields(database.value(), recall.filter, recall.collection, context);
      !checked.ok()) {
    return context.fail(checked);
  }
  const Result<RecallReport> report = database.value().measure_recall(recall);
  if (!report.ok()) return context.fail(report.status());
  if (options.json) {
    print_json(report.value(), recall, context);
  } else if (report.value().questions == 0) {
    context.print("There is nothing to search yet.\n");
  } else {
    print_for_people(report.value(), recall, context);
  }
  return kExitOk;
}

}  // namespace

void add_recall_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand(
      "recall", "Measure, on your own data, what the plans of a search find and how fast");
  auto options = std::make_shared<RecallCommandOptions>();
  add_target_options(command, options->target, options->database, "DB_OR_FOLDER");
  command.add_option("--collection", options->recall.collection, "The collection to measure")
      ->capture_default_str();
  command.add_option("--questions", options->questions_file,
                     "Your own questions, one a line; - reads standard input");
  add_number(command, "--sample", options->recall.sample, ranges::kRecallQueries,
             "Otherwise: how many questions are made of the collection's passages (default: 100)");
  add_number(command, "-k,--k", options->recall.k, ranges::kRecallNeighbours,
             "Passages that count, 1 to 1000 (default: 10)");
  add_number(command, "--target", options->recall.recall_target, ranges::kRecallTarget,
             "The recall that is wanted (default: 0.99)");
  command.add_option("--filter", options->filter, "Only documents that match, as in nestor search");
  command.add_flag("--json", options->json, "The report as JSON");
  set_action(command, context, [options](Context& c) { return run_recall(*options, c); });
}

}  // namespace nestor::cli
