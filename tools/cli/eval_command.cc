#include "tools/cli/eval_command.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "tools/cli/command.h"
#include "tools/cli/eval_pipeline.h"
#include "tools/cli/model_choice.h"
#include "tools/cli/number_option.h"

namespace nestor::cli {
namespace {

using nlohmann::ordered_json;

struct EvalOptions {
  std::string folder;
  std::vector<std::string> plans;
  BeirLimits limits;
  std::string run_file;
  bool json = false;
  std::string role = "query";
  std::string database;
  EvalSetup setup;
};

// A folder that goes away with the object, unless a person named it.
class EvalFolder {
 public:
  static Result<EvalFolder> make(const std::string& named) {
    EvalFolder folder;
    folder.path_ = named;
    if (!named.empty()) return folder;
    std::error_code error;
    std::filesystem::path base = std::filesystem::temp_directory_path(error);
    if (error) base = "/tmp";
    std::string pattern = (base / "nestor-eval-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) return errno_status(errno, "make", pattern);
    folder.path_ = pattern + "/database";
    folder.temporary_ = pattern;
    return folder;
  }
  EvalFolder(EvalFolder&& other) noexcept
      : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, {})) {}
  EvalFolder& operator=(EvalFolder&&) = delete;
  ~EvalFolder() {
    std::error_code ignored;
    if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  EvalFolder() = default;
  std::string path_;
  std::string temporary_;
};

// "128,768", "768" (exact), "auto" (the planner's own), "keyword" or "hybrid".
Result<EvalPlan> parse_plan(const std::string& text) {
  EvalPlan plan;
  if (text == "keyword") plan.mode = SearchMode::kKeyword;
  if (text == "hybrid") plan.mode = SearchMode::kHybrid;
  plan.leave_to_planner = text == "auto" || plan.mode != SearchMode::kVector;
  if (plan.leave_to_planner) return plan;
  const std::size_t comma = text.find(',');
  const std::string coarse = text.substr(0, comma);
  const std::string rerank = comma == std::string::npos ? coarse : text.substr(comma + 1);
  for (const auto& [word, width] :
       {std::pair(&coarse, &plan.coarse_width), std::pair(&rerank, &plan.rerank_width)}) {
    const char* end = word->data() + word->size();
    const auto [stopped, error] = std::from_chars(word->data(), end, *width);
    if (error != std::errc() || stopped != end || *width <= 0) {
      return Status(
          StatusCode::kInvalidArgument,
          fmt::format(
              "--plan {}: not two widths as in 128,768, one as in 768, auto, keyword or hybrid",
              quote_for_message(text)));
    }
  }
  return plan;
}

std::string plan_text(const Explanation& plan) {
  if (plan.mode != SearchMode::kVector) return search_mode_name(plan.mode);
  if (plan.coarse_bits < 32 && plan.coarse_bits > 0) {
    return fmt::format("{} bit x {},{}", plan.coarse_bits, plan.coarse_width, plan.rerank_width);
  }
  if (plan.coarse_width == plan.rerank_width) return std::to_string(plan.rerank_width);
  return fmt::format("{},{}", plan.coarse_width, plan.rerank_width);
}

ordered_json scores_json(const RetrievalScores& scores) {
  return {{"ndcg@10", scores.ndcg_at_10},
          {"recall@10", scores.recall_at_10},
          {"recall@100", scores.recall_at_100},
          {"mrr@10", scores.mrr_at_10}};
}

ordered_json run_json(const EvalRun& run) {
  ordered_json result = {{"plan", plan_text(run.plan)}, {"candidates", run.plan.candidate_count}};
  result.update(scores_json(run.scores));
  result["recall@10_vs_exact"] = run.recall_against_exact;
  result["search_seconds"] = run.seconds;
  return result;
}

std::string report_json(const EvalOptions& options, const BeirFolder& folder,
                        const EvalReport& report) {
  const EvalRun& first = report.runs.front();
  ordered_json result = {{"schema_version", kSchemaVersion}};
  result.update(scores_json(first.scores));
  result["recall@10_vs_exact"] = first.recall_against_exact;
  result["documents"] = folder.documents.size();
  result["passages"] = report.passages;
  result["queries"] = folder.queries.size();
  result["queries_dropped"] = folder.queries_dropped;
  result["plan"] = plan_text(first.plan);
  result["candidates"] = first.plan.candidate_count;
  ordered_json exact = {{"plan", plan_text(report.exact.plan)}};
  exact.update(scores_json(report.exact.scores));
  result["exact"] = std::move(exact);
  if (report.runs.size() > 1) {
    for (const EvalRun& run : report.runs) result["plans"].push_back(run_json(run));
  }
  result["precision"] = report.model.precision;
  result["backend"] = report.model.backend;
  result["model"] = report.model.name;
  result["space"] = report.model.space;
  result["role"] = options.role;
  result["title"] = options.setup.join_title ? "joined" : "slot";
  result["split"] = options.setup.passages;
  result["seed"] = options.limits.seed;
  result["passages_truncated"] = report.added.passages_truncated;
  result["queries_truncated"] = report.queries_truncated;
  result["passages_embedded"] = report.added.passages_embedded;
  result["tokens_embedded"] = report.added.tokens_embedded;
  result["seconds"] = {{"embed_documents", report.embed_documents_seconds},
                       {"embed_queries", report.embed_queries_seconds},
                       {"search", first.seconds},
                       {"search_exact", report.exact.seconds}};
  return result.dump() + "\n";
}

std::string run_line(const std::string& name, const EvalRun& run) {
  return fmt::format("{:<12}{:>9.5f}{:>11.5f}{:>12.5f}{:>9.5f}{:>20.5f}{:>12}\n", name,
                     run.scores.ndcg_at_10, run.scores.recall_at_10, run.scores.recall_at_100,
                     run.scores.mrr_at_10, run.recall_against_exact,
                     with_thousands(run.plan.candidate_count));
}

std::string report_text(const BeirFolder& folder, const EvalReport& report) {
  std::string text = fmt::format("{} documents in {} passages, {} queries; {} in {} on {}\n",
                                 with_thousands(static_cast<std::int64_t>(folder.documents.size())),
                                 with_thousands(report.passages),
                                 with_thousands(static_cast<std::int64_t>(folder.queries.size())),
                                 report.model.name, report.model.precision, report.model.backend);
  if (folder.queries_dropped > 0) {
    text += fmt::format("{} queries dropped: nothing relevant to them was read\n",
                        with_thousands(folder.queries_dropped));
  }
  text += fmt::format("{:<12}{:>9}{:>11}{:>12}{:>9}{:>20}{:>12}\n", "plan", "nDCG@10", "recall@10",
                      "recall@100", "MRR@10", "recall@10 vs exact", "candidates");
  for (const EvalRun& run : report.runs) text += run_line(plan_text(run.plan), run);
  text += run_line("exact " + plan_text(report.exact.plan), report.exact);
  text += fmt::format("seconds: documents {:.1f}, queries {:.1f}, search {:.1f}, exact {:.1f}\n",
                      report.embed_documents_seconds, report.embed_queries_seconds,
                      report.runs.front().seconds, report.exact.seconds);
  return text;
}

// Of the first plan.
Status write_run(const std::string& path, const BeirFolder& folder, const EvalReport& report) {
  const EvalRun& first = report.runs.front();
  TrecRun run("nestor-" + plan_text(first.plan));
  for (std::size_t i = 0; i < folder.queries.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(run.add(folder.queries[i].key, first.rankings[i]));
  }
  return write_file_atomic(path, run.text());
}

// What would spoil the result after all the work is looked at before it.
Status check_run_file(const std::string& path) {
  if (path.empty()) return {};
  const std::string parent = std::filesystem::absolute(path).parent_path().string();
  if (is_folder(parent) && !is_folder(path)) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("--run {}: no file can be written there", path)};
}

Status prepare(EvalOptions& options, Context& context) {
  for (const std::string& text : options.plans) {
    NESTOR_ASSIGN_OR_RETURN(const EvalPlan plan, parse_plan(text));
    options.setup.plans.push_back(plan);
  }
  if (options.setup.plans.empty()) options.setup.plans.emplace_back();
  NESTOR_ASSIGN_OR_RETURN(options.setup.role, parse_role(options.role));
  NESTOR_RETURN_IF_ERROR(check_run_file(options.run_file));
  return planned_precision(context, options.setup.precision).status();
}

Result<std::string> run_eval(EvalOptions& options, Context& context) {
  NESTOR_RETURN_IF_ERROR(prepare(options, context));
  NESTOR_ASSIGN_OR_RETURN(const BeirFolder folder,
                          read_beir_folder(options.folder, options.limits));
  NESTOR_ASSIGN_OR_RETURN(const EvalFolder place, EvalFolder::make(options.database));
  NESTOR_ASSIGN_OR_RETURN(
      Database database,
      Database::open(place.path(), context.open_options(options.setup.precision)));
  NESTOR_ASSIGN_OR_RETURN(const EvalReport report,
                          evaluate(database, folder, options.setup, context));
  NESTOR_RETURN_IF_ERROR(database.close());
  if (!options.run_file.empty())
    NESTOR_RETURN_IF_ERROR(write_run(options.run_file, folder, report));
  return options.json ? report_json(options, folder, report) : report_text(folder, report);
}

}  // namespace

void add_eval_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand("eval",
                                          "Quality of search on a benchmark in BEIR's form: "
                                          "nDCG@10, recall, MRR@10 of a plan and of exact search");
  auto options = std::make_shared<EvalOptions>();
  command.add_option("FOLDER", options->folder, "corpus.jsonl, queries.jsonl and qrels/test.tsv")
      ->required();
  command
      .add_option("--plan", options->plans,
                  "coarse and rerank width (128,768); one width searches exactly at it; auto: the "
                  "planner's; keyword and hybrid: by words, by both; may be given several times")
      ->allow_extra_args(false);
  add_number(command, "--candidates", options->setup.candidate_count, ranges::kCandidates,
             "reranked a query (the planner's choice)");
  add_number(command, "--limit-documents", options->limits.documents, ranges::kSample,
             "read so many: judged ones first, then seeded others; queries with nothing left are "
             "dropped");
  add_number(command, "--limit-queries", options->limits.queries, ranges::kSample,
             "ask so many, a seeded sample");
  add_number(command, "--seed", options->limits.seed, ranges::kSeed, "of the samples (1)");
  command.add_flag(
      "--join-title", options->setup.join_title,
      "the title before the text, as published runs have it, not in the prompt's title slot");
  command.add_flag("--passages", options->setup.passages,
                   "split as the product does; a document scores as its best passage");
  command.add_option("--precision", options->setup.precision, kPrecisionHelp);
  command.add_option("--role", options->role,
                     "the prompt of the queries: query (default), code-retrieval, …");
  command.add_option("--db", options->database,
                     "keep the vectors in this database and use them again");
  command.add_option("--run", options->run_file, "write the plan's rankings as a TREC run file");
  command.add_flag("--json", options->json, "one JSON object");
  set_action(command, context, [options](Context& c) {
    const Result<std::string> result = run_eval(*options, c);
    if (!result.ok()) return c.fail(result.status());
    c.print(result.value());
    return static_cast<int>(kExitOk);
  });
}

}  // namespace nestor::cli
