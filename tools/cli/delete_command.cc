// nestor delete DB KEY..., nestor delete DB --filter 'year < 2020'
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "storage/folder_kind.h"
#include "tools/cli/command.h"
#include "tools/cli/confirm.h"
#include "tools/cli/document_key.h"
#include "tools/cli/filter_check.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

constexpr std::int64_t kShownKeys = 20;         // of a dry run, to a person
constexpr std::int64_t kMostJsonKeys = 10'000;  // of a dry run, in JSON

constexpr const char* kFooter = R"(
With --filter, what matches is counted first. At a terminal you are asked before anything goes; --yes
answers beforehand. A filter that names a field which no document has is refused with exit code 2,
since 'yaer != 2020' would match everything; --yes carries it out all the same. --dry-run shows what
would go and changes nothing. Where nothing matches the exit code is 1.

A KEY is the key as it is stored, byte for byte. Of files of a folder the same name in another Unicode
form (NFC, NFD) does too, where only one file has it; the key that was deleted is then printed.)";

struct DeleteOptions {
  std::string database;
  std::vector<std::string> keys;
  std::string filter;
  std::string collection = kDefaultCollection;
  bool erase = false;
  bool dry_run = false;
  bool yes = false;
  bool json = false;
};

Status check_target(const DeleteOptions& options) {
  switch (storage::folder_kind(options.database)) {
    case storage::FolderKind::kDatabase:
      break;
    case storage::FolderKind::kRemains:
      return storage::remains_status(options.database);
    case storage::FolderKind::kOther:
      return {StatusCode::kNotFound,
              fmt::format(
                  "there is no database in {}{}", quote_for_message(options.database, 512),
                  is_folder(options.database)
                      ? "; of a folder of documents, remove the file and type: nestor index FOLDER"
                      : "")};
  }
  if (options.keys.empty() == options.filter.empty()) {
    return {StatusCode::kInvalidArgument,
            "name the documents by their keys, or by --filter 'year < 2020'"};
  }
  return {};
}

struct MeantKeys {
  std::vector<std::string> there;   // of documents, each once
  std::vector<std::string> absent;  // no document has them; --erase wants them all the same
};

// The keys that are meant by those that were typed. A near key that is not taken is named on
// stderr.
Result<MeantKeys> keys_of(const Database& database, const DeleteOptions& options,
                          Context& context) {
  MeantKeys keys;
  std::set<std::string> seen;
  for (const std::string& typed : options.keys) {
    NESTOR_ASSIGN_OR_RETURN(KeyMatch match, find_key(database, typed, options.collection));
    if (!match.near.empty()) context.warn(unmatched_text(match));
    if (!seen.insert(match.key).second) continue;
    (match.found ? keys.there : keys.absent).push_back(std::move(match.key));
  }
  return keys;
}

// The documents that would go, at most `limit` of them; how many there are in all in `count`.
Result<std::vector<std::string>> matching_keys(const Database& database, const Filter& filter,
                                               const DeleteOptions& options, std::int64_t limit,
                                               std::int64_t& count, Context& context) {
  if (!options.keys.empty()) {
    NESTOR_ASSIGN_OR_RETURN(MeantKeys keys, keys_of(database, options, context));
    count = std::ssize(keys.there);
    return std::move(keys.there);
  }
  NESTOR_ASSIGN_OR_RETURN(count, database.count(filter, options.collection));
  return database.list_keys(filter, options.collection, "", limit);
}

int show_dry_run(const Database& database, const Filter& filter, const DeleteOptions& options,
                 Context& context) {
  if (const Status checked =
          caution_of_unknown_fields(database, filter, options.collection, context);
      !checked.ok()) {
    return context.fail(checked);
  }
  std::int64_t count = 0;
  const std::int64_t most = options.json ? kMostJsonKeys : kShownKeys;
  const Result<std::vector<std::string>> keys =
      matching_keys(database, filter, options, most, count, context);
  if (!keys.ok()) return context.fail(keys.status());
  if (options.json) {
    Json json = new_json();
    json["dry_run"] = true;
    json["would_delete"] = count;
    json["keys"] = Json::array();
    for (const std::string& key : keys.value()) json["keys"].push_back(json_text(key));
    context.print(json_line(json));
  } else {
    context.print(fmt::format("would delete {}\n", counted(count, "document")));
    const std::int64_t shown = std::min(kShownKeys, std::ssize(keys.value()));
    for (std::int64_t i = 0; i < shown; ++i) {
      context.print(fmt::format(
          "  {}\n", escape_for_terminal(keys.value()[static_cast<std::size_t>(i)], false)));
    }
    if (count > shown) context.print(fmt::format("  and {} more\n", with_thousands(count - shown)));
  }
  return count > 0 ? kExitOk : kExitNoHits;
}

// Whether the filter may be carried out: it names fields that there are, and the person at the
// terminal wants it. Errors: kInvalidArgument (an unknown field).
Result<bool> may_remove(const Database& database, const Filter& filter,
                        const DeleteOptions& options, Context& context) {
  if (options.filter.empty() || options.yes) return true;
  NESTOR_ASSIGN_OR_RETURN(const std::int64_t count, database.count(filter, options.collection));
  NESTOR_ASSIGN_OR_RETURN(const std::vector<UnknownField> unknown,
                          database.unknown_fields(filter, options.collection));
  // Where nothing matches nothing can go wrong: the last of the documents may have had the field.
  if (count == 0) {
    NESTOR_RETURN_IF_ERROR(
        caution_of_unknown_fields(database, filter, options.collection, context));
    return true;
  }
  if (!unknown.empty()) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("filter: {} Nothing was deleted; {} would match. To look: --dry-run; "
                              "to delete them all the same: --yes",
                              unknown_field_text(unknown.front()) +
                                  (unknown.front().similar.empty() ? "." : ""),
                              counted(count, "document")));
  }
  if (!can_ask()) return true;
  NESTOR_ASSIGN_OR_RETURN(const std::int64_t all, database.count({}, options.collection));
  return ask(fmt::format("delete {} of {} in collection '{}'?", with_thousands(count),
                         counted(all, "document"), options.collection),
             context);
}

void print_report(const DeleteOptions& options, const std::vector<std::string>& keys,
                  std::int64_t removed, Context& context) {
  const std::set<std::string> typed(options.keys.begin(), options.keys.end());
  if (options.json) {
    Json json = new_json();
    json["deleted"] = removed;
    if (options.filter.empty()) {
      json["keys"] = std::ssize(typed);
      json["deleted_keys"] = Json::array();
      for (const std::string& key : keys) json["deleted_keys"].push_back(json_text(key));
    }
    if (options.erase) json["erased"] = true;
    context.print(json_line(json));
    return;
  }
  if (!options.filter.empty()) {
    context.print(fmt::format("deleted {}\n", counted(removed, "document")));
    return;
  }
  context.print(fmt::format("deleted {} of {}\n", with_thousands(removed),
                            counted(std::ssize(typed), "key")));
  // Keys that were typed need no repetition.
  for (const std::string& key : keys) {
    if (typed.contains(key)) continue;
    context.print(fmt::format("  {}\n", escape_for_terminal(key, false)));
  }
}

int run_delete(const DeleteOptions& options, Context& context) {
  if (const Status checked = check_target(options); !checked.ok()) return context.fail(checked);
  const Result<Filter> filter = parse_filter(options.filter);
  if (!filter.ok()) return context.fail(filter.status());
  OpenOptions open = context.open_options();
  open.create_if_missing = false;
  open.read_only = options.dry_run;
  Result<Database> opened = Database::open(options.database, open);
  if (!opened.ok()) return context.fail(opened.status());
  Database database = std::move(opened).value();
  if (options.dry_run) return show_dry_run(database, filter.value(), options, context);
  const Result<bool> wanted = may_remove(database, filter.value(), options, context);
  if (!wanted.ok()) return context.fail(wanted.status());
  if (!wanted.value()) {
    context.note("nothing was deleted");
    return kExitNoHits;
  }
  const Result<MeantKeys> meant = keys_of(database, options, context);
  if (!meant.ok()) return context.fail(meant.status());
  std::vector<std::string> keys = meant.value().there;
  keys.insert(keys.end(), meant.value().absent.begin(), meant.value().absent.end());
  const RemoveOptions remove{
      .collection = options.collection, .stop = context.stop, .erase = options.erase};
  const Result<std::int64_t> removed = options.filter.empty()
                                           ? database.remove(keys, remove)
                                           : database.remove_matching(filter.value(), remove);
  if (!removed.ok()) return context.fail(removed.status());
  if (const Status closed = database.close(); !closed.ok()) return context.fail(closed);
  print_report(options, meant.value().there, removed.value(), context);
  return removed.value() > 0 ? kExitOk : kExitNoHits;
}

}  // namespace

void add_delete_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand("delete", "Delete documents by key or filter");
  auto options = std::make_shared<DeleteOptions>();
  command.add_option("DB", options->database, "The database")->required();
  command.add_option("KEY", options->keys, "The documents' keys; -- goes before a key like -a");
  command.add_option("--filter", options->filter, "All that match: 'year < 2020'");
  command.add_option("--collection", options->collection, "The collection they are in")
      ->capture_default_str();
  command.add_flag("--dry-run", options->dry_run, "Show what would go, and delete nothing");
  command.add_flag("--yes,-y", options->yes,
                   "Ask nothing, and let a filter name fields that no document has");
  command.add_flag("--erase", options->erase,
                   "Leave no byte of them in any file of the database, also of what was deleted "
                   "or replaced before; `nestor verify --erased KEY` proves it. Rewrites the "
                   "database; without it documents are hidden at once and their space is given "
                   "back later (nestor compact)");
  command.add_flag("--json", options->json, "The count as JSON");
  command.footer(kFooter);
  set_action(command, context, [options](Context& c) { return run_delete(*options, c); });
}

}  // namespace nestor::cli
