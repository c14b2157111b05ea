// nestor list, nestor prune: the indexes of folders in Nestor's data folder
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/folder.h"
#include "core/macros.h"
#include "core/text.h"
#include "tools/cli/command.h"
#include "tools/cli/confirm.h"
#include "tools/cli/folder_registry.h"
#include "tools/cli/output.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

namespace fs = std::filesystem;

// Of the folder that an index belongs to.
enum class FolderState {
  kThere,
  kGone,
  kUnreachable,  // the folder that held it is gone, empty or one for disks: one may not be mounted
  kUnknown,      // the index does not say whose it is
};

constexpr const char* kPruneFooter = R"(
An index is removed where its folder is gone. One whose folder lay in a folder that is gone itself, or
empty but for hidden files, or where disks are mounted (/mnt, /media, /run/media, /Volumes), is kept,
since a disk may not be mounted there: name the folder to remove it all the same. At a terminal you are
asked first, and "no" is exit code 1; elsewhere nothing is removed without --yes. Documents are never
touched: an index is made again by nestor index.)";

struct ListedIndex {
  FolderIndex index;
  FolderState state = FolderState::kUnknown;
  std::int64_t documents = -1;  // -1: the database cannot be read
  std::int64_t bytes = 0;
  std::string problem;  // why it cannot be read
};

const char* state_name(FolderState state) {
  switch (state) {
    case FolderState::kThere:
      return "there";
    case FolderState::kGone:
      return "gone";
    case FolderState::kUnreachable:
      return "unreachable";
    case FolderState::kUnknown:
      break;
  }
  return "unknown";
}

std::string count_text(std::int64_t count) {
  return fmt::format("{} {}", with_thousands(count), count == 1 ? "index" : "indexes");
}

// Whether the folders in it are disks: /mnt/disk, /media/user/disk.
bool is_mount_parent(const fs::path& folder) {
  static const std::set<fs::path> kOfDisks = {"/mnt", "/media", "/run/media", "/Volumes"};
  const fs::path above = folder.parent_path();
  return kOfDisks.contains(folder) || above == "/media" || above == "/run/media";
}

FolderState state_of(const std::string& folder) {
  if (folder.empty()) return FolderState::kUnknown;
  if (is_folder(folder)) return FolderState::kThere;
  const std::string parent = fs::path(folder).parent_path().string();
  const Result<std::vector<FolderEntry>> beside = list_folder(parent);
  if (!beside.ok() || is_mount_parent(parent)) return FolderState::kUnreachable;
  // A mount point may have hidden files that say so, or what a file manager left.
  const bool empty = std::all_of(beside.value().begin(), beside.value().end(),
                                 [](const FolderEntry& entry) { return entry.name[0] == '.'; });
  return empty ? FolderState::kUnreachable : FolderState::kGone;
}

ListedIndex look_at(FolderIndex index) {
  ListedIndex listed;
  listed.state = state_of(index.folder);
  for (const FolderEntry& file : list_files_below(index.database)) listed.bytes += file.bytes;
  const Result<Database> database = Database::open(index.database, {.read_only = true});
  if (database.ok()) {
    const Result<Stats> stats = database.value().stats();
    if (stats.ok()) {
      listed.documents = 0;
      for (const CollectionStats& collection : stats.value().collections) {
        listed.documents += collection.documents;
      }
    }
    listed.problem = stats.ok() ? "" : stats.status().message();
  } else {
    listed.problem = database.status().message();
  }
  listed.index = std::move(index);
  return listed;
}

std::string day_text(std::int64_t seconds) {
  if (seconds == 0) return "-";
  const std::time_t when = seconds;
  std::tm local{};
  char text[32] = "";
  if (::localtime_r(&when, &local) != nullptr) {
    std::strftime(text, sizeof(text), "%Y-%m-%d", &local);
  }
  return text;
}

Json index_as_json(const ListedIndex& listed) {
  Json json;
  json["folder"] = json_text(listed.index.folder);
  json["state"] = state_name(listed.state);
  json["database"] = json_text(listed.index.database);
  if (listed.documents >= 0) json["documents"] = listed.documents;
  json["bytes"] = listed.bytes;
  if (listed.index.used_seconds > 0) json["used_seconds"] = listed.index.used_seconds;
  if (!listed.problem.empty()) json["problem"] = json_text(listed.problem);
  return json;
}

std::string index_text(const ListedIndex& listed) {
  const std::string name =
      listed.index.folder.empty() ? listed.index.database : listed.index.folder;
  const std::string state =
      listed.state == FolderState::kThere ? "" : fmt::format("  ({})", state_name(listed.state));
  return fmt::format("{:>9} {:>9}  {:<10}  {}{}\n",
                     listed.documents >= 0 ? with_thousands(listed.documents) : "damaged",
                     bytes_text(static_cast<double>(listed.bytes)),
                     day_text(listed.index.used_seconds), escape_for_terminal(name, false), state);
}

int run_list(bool as_json, Context& context) {
  std::vector<ListedIndex> all;
  for (FolderIndex& index : list_folder_indexes()) {
    if (context.stop.stop_requested()) {
      return context.fail({StatusCode::kCancelled, "listing was stopped"});
    }
    all.push_back(look_at(std::move(index)));
  }
  if (as_json) {
    Json json = new_json();
    json["indexes"] = Json::array();
    for (const ListedIndex& listed : all) json["indexes"].push_back(index_as_json(listed));
    context.print(json_line(json));
  } else {
    if (!all.empty()) context.note("documents      size  last used   folder");
    for (const ListedIndex& listed : all) context.print(index_text(listed));
  }
  return all.empty() ? kExitNoHits : kExitOk;
}

struct PruneOptions {
  std::vector<std::string> folders;
  bool yes = false;
  bool dry_run = false;
  bool json = false;
};

// Errors: kNotFound (a folder that has no index), kInvalidArgument (one that is there).
Result<std::vector<ListedIndex>> indexes_to_remove(const PruneOptions& options) {
  std::vector<ListedIndex> chosen;
  std::vector<FolderIndex> all = list_folder_indexes();
  if (options.folders.empty()) {
    for (FolderIndex& index : all) {
      if (state_of(index.folder) == FolderState::kGone) chosen.push_back(look_at(std::move(index)));
    }
    return chosen;
  }
  for (const std::string& typed : options.folders) {
    const std::string path = path_of_gone_folder(typed);
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const FolderIndex& index) { return index.folder == path; });
    if (found == all.end()) {
      return Status(
          StatusCode::kNotFound,
          fmt::format("there is no index of a folder {}; nestor list shows those there are",
                      quote_for_message(path, 512)));
    }
    if (is_folder(path)) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("the folder {} is there; only indexes of folders that are gone are "
                                "removed",
                                quote_for_message(path, 512)));
    }
    chosen.push_back(look_at(*found));
  }
  return chosen;
}

// What is kept because a disk may be missing.
void note_unreachable(Context& context) {
  std::int64_t count = 0;
  std::string first;
  for (const FolderIndex& index : list_folder_indexes()) {
    if (state_of(index.folder) != FolderState::kUnreachable) continue;
    if (count++ == 0) first = index.folder;
  }
  if (count == 0) return;
  context.note(
      fmt::format("{} kept, whose folders may be on a disk that is not mounted. To remove "
                  "one: nestor prune {}",
                  count_text(count), escape_for_terminal(first, false)));
}

Result<bool> may_remove(const PruneOptions& options, const std::vector<ListedIndex>& chosen,
                        Context& context) {
  if (options.dry_run || chosen.empty()) return false;
  if (options.yes) return true;
  if (!can_ask()) {
    return Status(StatusCode::kFailedPrecondition,
                  "nothing was removed, since there is nobody to ask; --yes answers beforehand");
  }
  return ask(chosen.size() == 1 ? "remove this index?"
                                : fmt::format("remove these {} indexes?", chosen.size()),
             context);
}

// The folders are looked at again: they may have come back while the question was asked.
Result<std::int64_t> remove_chosen(const PruneOptions& options,
                                   const std::vector<ListedIndex>& chosen, Context& context) {
  std::int64_t removed = 0;
  for (const ListedIndex& listed : chosen) {
    const FolderState state = state_of(listed.index.folder);
    const bool named = !options.folders.empty() && state != FolderState::kThere;
    if (state != FolderState::kGone && !named) {
      context.warn(fmt::format("{} is not gone any more; its index was kept",
                               escape_for_terminal(listed.index.folder, false)));
      continue;
    }
    NESTOR_RETURN_IF_ERROR(remove_index(listed.index));
    ++removed;
  }
  return removed;
}

std::string outcome_text(const PruneOptions& options, std::int64_t chosen, bool wanted,
                         std::int64_t removed) {
  if (chosen == 0) return "no index of a folder that is gone";
  if (options.dry_run) return fmt::format("would remove {}", count_text(chosen));
  if (!wanted || removed == 0) return "nothing was removed";
  return fmt::format("removed {}", count_text(removed));
}

int run_prune(const PruneOptions& options, Context& context) {
  if (!options.dry_run) remove_leftovers();
  const Result<std::vector<ListedIndex>> chosen = indexes_to_remove(options);
  if (!chosen.ok()) return context.fail(chosen.status());
  if (!options.json) {
    for (const ListedIndex& listed : chosen.value()) context.print(index_text(listed));
  }
  if (options.folders.empty()) note_unreachable(context);
  const Result<bool> wanted = may_remove(options, chosen.value(), context);
  if (!wanted.ok()) return context.fail(wanted.status());
  const Result<std::int64_t> removed =
      wanted.value() ? remove_chosen(options, chosen.value(), context) : Result<std::int64_t>(0);
  if (!removed.ok()) return context.fail(removed.status());
  if (options.json) {
    Json json = new_json();
    json["removed"] = removed.value() > 0;
    json["indexes"] = Json::array();
    for (const ListedIndex& listed : chosen.value())
      json["indexes"].push_back(index_as_json(listed));
    context.print(json_line(json));
  } else {
    context.note(
        outcome_text(options, std::ssize(chosen.value()), wanted.value(), removed.value()));
  }
  const bool done = options.dry_run ? !chosen.value().empty() : removed.value() > 0;
  return done ? kExitOk : kExitNoHits;
}

}  // namespace

void add_list_command(CLI::App& app, Context& context) {
  CLI::App& list = *app.add_subcommand(
      "list", "The indexes of folders in Nestor's data folder: documents, size, last use");
  auto as_json = std::make_shared<bool>(false);
  list.add_flag("--json", *as_json, "As JSON");
  set_action(list, context, [as_json](Context& c) { return run_list(*as_json, c); });

  CLI::App& prune = *app.add_subcommand("prune", "Remove the indexes of folders that are gone");
  auto options = std::make_shared<PruneOptions>();
  prune.add_option("FOLDER", options->folders, "Only of these (default: of all that are gone)");
  prune.add_flag("--dry-run", options->dry_run, "Show what would go, and remove nothing");
  prune.add_flag("--yes,-y", options->yes, "Ask nothing");
  prune.add_flag("--json", options->json, "The report as JSON");
  prune.footer(kPruneFooter);
  set_action(prune, context, [options](Context& c) { return run_prune(*options, c); });
}

}  // namespace nestor::cli
