#include "tools/cli/folder_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "query/input_check.h"
#include "tools/cli/folder_registry.h"
#include "tools/cli/language_choice.h"
#include "tools/cli/model_choice.h"
#include "tools/cli/output.h"
#include "tools/cli/progress.h"

namespace nestor::cli {

Result<Database> open_for_index(const DatabaseTarget& target, const FolderIndexOptions& options,
                                Context& context) {
  NESTOR_RETURN_IF_ERROR(query::check_collection_name(options.collection));
  if (options.passage_tokens != 0) {
    NESTOR_RETURN_IF_ERROR(query::check_split({.passage_tokens = options.passage_tokens}));
  }
  NESTOR_RETURN_IF_ERROR(check_language(options.language));
  // A folder in which nothing has changed needs no model at all, so it is loaded when first needed.
  // One that is missing, or a precision that cannot be had, is refused now, and not only then.
  NESTOR_RETURN_IF_ERROR(planned_precision(context, options.precision).status());
  const std::string parent = std::filesystem::path(target.database).parent_path().string();
  if (!parent.empty()) NESTOR_RETURN_IF_ERROR(make_folders(parent));
  NESTOR_ASSIGN_OR_RETURN(Database database,
                          Database::open(target.database, context.open_options(options.precision)));
  if (!target.folder.empty()) note_folder(target.database, target.folder);
  return database;
}

namespace {

int passage_tokens_of(const Database& database, const FolderIndexOptions& options) {
  if (options.passage_tokens != 0) return options.passage_tokens;
  const int usual = SplitOptions().passage_tokens;
  const Result<std::string> cut = database.attribute(options.collection, query::kCutAttribute);
  if (!cut.ok()) return usual;
  int tokens = 0;
  const std::string& text = cut.value();
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), tokens);
  return parsed.ec == std::errc() ? tokens : usual;
}

}  // namespace

Result<query::SyncReport> index_folder(Database& database, const DatabaseTarget& target,
                                       const FolderIndexOptions& options, Context& context) {
  NESTOR_RETURN_IF_ERROR(set_language(database, options.collection, options.language));
  query::SyncOptions sync;
  sync.collection = options.collection;
  sync.split.passage_tokens = passage_tokens_of(database, options);
  sync.database_path = target.database;
  sync.remove_missing = options.remove_missing;
  sync.stop = context.stop;
  ProgressLine line(context, "indexing " + escape_for_terminal(target.typed, false));
  sync.progress = [&](const query::SyncProgress& progress) {
    line.update(progress.tokens_done, progress.tokens_total, [&](double rate) {
      std::string text = fmt::format("{}/{} files  {}", with_thousands(progress.files_done),
                                     with_thousands(progress.files_total),
                                     counted(progress.passages_done, "passage"));
      if (rate > 0) text += fmt::format("  {} tok/s", short_count(rate));
      return text;
    });
  };
  return query::sync_folder(database, target.folder, sync);
}

std::string skipped_by_reason(const query::SyncReport& report) {
  std::map<query::SkipReason, std::int64_t> counts;
  for (const query::SkippedFile& skipped : report.skipped) ++counts[skipped.reason];
  std::vector<std::pair<query::SkipReason, std::int64_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [reason, count] : sorted) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", with_thousands(count),
                        query::skip_reason_name(reason));
  }
  return text;
}

std::string missing_text(const query::SyncReport& report, const std::string& folder) {
  constexpr std::size_t kShown = 3;
  std::string names;
  for (std::size_t i = 0; i < std::min(kShown, report.missing.size()); ++i) {
    names += (i == 0 ? "" : ", ") + escape_for_terminal(report.missing[i], false);
  }
  if (report.missing.size() > kShown) names += ", …";
  return fmt::format(
      "the files of {} are not in {} any more, all or most there were; the documents were kept, "
      "since a disk may not be mounted or a folder not synced yet: {}",
      counted(std::ssize(report.missing), "document"), escape_for_terminal(folder, false), names);
}

std::string changes_text(const query::SyncReport& report) {
  return fmt::format("added {}, updated {}, unchanged {}, removed {}",
                     with_thousands(report.documents.documents_added),
                     with_thousands(report.documents.documents_updated),
                     with_thousands(report.documents.documents_unchanged),
                     with_thousands(report.removed));
}

}  // namespace nestor::cli
