// nestor index FOLDER
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "core/text.h"
#include "tools/cli/command.h"
#include "tools/cli/folder_index.h"
#include "tools/cli/language_choice.h"
#include "tools/cli/model_choice.h"
#include "tools/cli/number_option.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

struct IndexOptions {
  std::string folder;
  std::string database;
  FolderIndexOptions index;
  bool json = false;
  bool verbose = false;
};

std::string skipped_line(const query::SkippedFile& skipped) {
  return fmt::format("  {}{}: {}{}", escape_for_terminal(skipped.path, false),
                     skipped.folder ? "/" : "", query::skip_reason_name(skipped.reason),
                     skipped.detail.empty() ? "" : " (" + skipped.detail + ")");
}

std::int64_t replaced_sequences(const query::SyncReport& report) {
  std::int64_t sum = 0;
  for (const query::RepairedFile& file : report.repaired) sum += file.sequences;
  return sum;
}

// With the names of a few of the files, or of all.
std::string repaired_text(const query::SyncReport& report, bool all) {
  constexpr std::size_t kShown = 5;
  std::string names;
  const std::size_t shown = all ? report.repaired.size() : std::min(kShown, report.repaired.size());
  for (std::size_t i = 0; i < shown; ++i) {
    names += (i == 0 ? "" : ", ") + escape_for_terminal(report.repaired[i].path, false);
  }
  if (shown < report.repaired.size()) {
    names += fmt::format(" and {} more (--verbose lists them)", report.repaired.size() - shown);
  }
  return fmt::format("{} that {} no UTF-8 became U+FFFD in {}: {}",
                     counted(replaced_sequences(report), "sequence"),
                     replaced_sequences(report) == 1 ? "is" : "are",
                     counted(std::ssize(report.repaired), "file"), names);
}

void print_for_people(const IndexOptions& options, const query::SyncReport& report,
                      const std::string& precision, double seconds, Context& context) {
  context.print(fmt::format(
      "{}: {}  {}  {} embedded ({} tokens, {})  {}\n", escape_for_terminal(options.folder, false),
      counted(report.files, "file"), changes_text(report),
      counted(report.documents.passages_embedded, "passage"),
      with_thousands(report.documents.tokens_embedded), precision, seconds_text(seconds)));
  if (report.documents.passages_truncated > 0) {
    context.warn(fmt::format("{} cut at the model's context; the tail is not searchable",
                             counted(report.documents.passages_truncated, "passage")));
  }
  if (!report.repaired.empty()) context.warn(repaired_text(report, options.verbose));
  if (report.skipped.empty()) return;
  context.note(fmt::format("skipped {}: {}{}", with_thousands(std::int64_t(report.skipped.size())),
                           skipped_by_reason(report),
                           options.verbose ? "" : "  (--verbose lists them)"));
  if (!options.verbose) return;
  for (const query::SkippedFile& skipped : report.skipped) context.note(skipped_line(skipped));
}

void print_json(const IndexOptions& options, const DatabaseTarget& target,
                const query::SyncReport& report, const std::string& precision, double seconds,
                Context& context) {
  Json json = new_json();
  json["folder"] = json_text(target.folder);
  json["database"] = json_text(target.database);
  json["collection"] = options.index.collection;
  json["precision"] = precision;
  json["files"] = report.files;
  json["added"] = report.documents.documents_added;
  json["updated"] = report.documents.documents_updated;
  json["unchanged"] = report.documents.documents_unchanged;
  json["removed"] = report.removed;
  json["passages_embedded"] = report.documents.passages_embedded;
  json["passages_reused"] = report.documents.passages_reused;
  json["passages_truncated"] = report.documents.passages_truncated;
  json["tokens_embedded"] = report.documents.tokens_embedded;
  json["repaired_files"] = report.repaired.size();
  json["replaced_sequences"] = replaced_sequences(report);
  json["repaired"] = Json::array();
  for (const query::RepairedFile& file : report.repaired) {
    json["repaired"].push_back({{"path", json_text(file.path)}, {"sequences", file.sequences}});
  }
  json["missing"] = Json::array();
  for (const std::string& key : report.missing) json["missing"].push_back(json_text(key));
  json["skipped"] = Json::array();
  for (const query::SkippedFile& skipped : report.skipped) {
    Json entry;
    entry["path"] = json_text(skipped.path);
    entry["reason"] = query::skip_reason_name(skipped.reason);
    entry["detail"] = skipped.detail;
    entry["folder"] = skipped.folder;
    json["skipped"].push_back(std::move(entry));
  }
  json["interrupted"] = report.interrupted;
  json["seconds"] = seconds;
  context.print(json_line(json));
}

int run_index(const IndexOptions& options, Context& context) {
  const auto start = std::chrono::steady_clock::now();
  const Result<DatabaseTarget> target = find_target(options.folder, options.database);
  if (!target.ok()) return context.fail(target.status());
  if (target.value().folder.empty()) {
    return context.fail(
        {StatusCode::kInvalidArgument,
         fmt::format("{} is a database; `index` takes a folder of documents. To add "
                     "documents to a database: nestor add",
                     quote_for_message(options.folder, 512))});
  }
  Result<Database> opened = open_for_index(target.value(), options.index, context);
  if (!opened.ok()) return context.fail(opened.status());
  Database database = std::move(opened).value();
  const Result<query::SyncReport> synced =
      index_folder(database, target.value(), options.index, context);
  const bool embedded = synced.ok() && synced.value().documents.passages_embedded > 0;
  const std::string precision =
      reported_precision(database, embedded, context, options.index.precision);
  const Status closed = database.close();
  if (!synced.ok()) return context.fail(synced.status());
  if (!closed.ok()) return context.fail(closed);
  const query::SyncReport& report = synced.value();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  if (options.json) {
    print_json(options, target.value(), report, precision, passed.count(), context);
  } else {
    print_for_people(options, report, precision, passed.count(), context);
  }
  if (!report.missing.empty()) {
    return context.fail({StatusCode::kFailedPrecondition,
                         missing_text(report, options.folder) +
                             fmt::format(". If they are to go: nestor index {} --remove-missing",
                                         escape_for_terminal(options.folder, false))});
  }
  if (!report.interrupted) return kExitOk;
  context.note(fmt::format("stopped; what is counted above is kept. To go on: nestor index {}",
                           escape_for_terminal(options.folder, false)));
  return kExitInterrupted;
}

}  // namespace

void add_index_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand(
      "index", "Index the text files of a folder; later runs take only what changed");
  auto options = std::make_shared<IndexOptions>();
  command.add_option("FOLDER", options->folder, "The folder of documents; it is only read")
      ->required();
  command.add_option("--db", options->database,
                     "The database to fill (default: one in Nestor's data folder)");
  command.add_option("--collection", options->index.collection, "The collection to fill")
      ->capture_default_str();
  add_number(command, "--passage-tokens", options->index.passage_tokens, ranges::kPassageTokens,
             "Most model tokens in a passage, 16 to 1800 (default: as the last time, or 256)");
  command.add_flag("--remove-missing", options->index.remove_missing,
                   "Remove the documents of missing files also where they are all there were, or "
                   "more than half and at least 4: otherwise those are kept, listed, and the exit "
                   "code is 2, since the disk may not be mounted");
  command.add_option("--language", options->index.language, kLanguageHelp);
  command.add_option("--precision", options->index.precision, kPrecisionHelp);
  command.add_flag("--json", options->json, "The report as JSON, with every skipped file");
  command.add_flag("--verbose,-v", options->verbose, "List every skipped file with its reason");
  set_action(command, context, [options](Context& c) { return run_index(*options, c); });
}

}  // namespace nestor::cli
