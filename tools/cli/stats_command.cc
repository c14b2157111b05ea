// nestor stats DB
#include <fmt/format.h>

#include <ctime>
#include <memory>

#include "core/text.h"
#include "query/folder_sync.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/output.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

constexpr std::size_t kShownSpaceDigits = 12;

struct StatsOptions {
  std::string target;
  std::string database;
  bool json = false;
};

std::string attribute_of(const Database& database, const std::string& collection,
                         const char* name) {
  const Result<std::string> value = database.attribute(collection, name);
  return value.ok() ? value.value() : std::string();
}

void print_json(const Stats& stats, const Database& database, Context& context) {
  Json json = new_json();
  json["path"] = json_text(stats.path);
  json["format_version"] = stats.format_version;
  json["sequence"] = stats.sequence;
  json["disk_bytes"] = stats.disk_bytes;
  json["collections"] = Json::array();
  for (const CollectionStats& collection : stats.collections) {
    Json entry;
    entry["name"] = collection.name;
    entry["documents"] = collection.documents;
    entry["passages"] = collection.passages;
    entry["width"] = collection.width;
    entry["space"] = collection.space;
    entry["model"] = collection.model;
    entry["precision"] = collection.precision;
    entry["text_bytes"] = collection.text_bytes;
    entry["truncated_passages"] = collection.truncated_passages;
    const std::string folder = attribute_of(database, collection.name, query::kFolderAttribute);
    if (!folder.empty()) entry["folder"] = json_text(folder);
    json["collections"].push_back(std::move(entry));
  }
  context.print(json_line(json));
}

std::string synced_text(const std::string& folder, const std::string& seconds_since_epoch) {
  if (seconds_since_epoch.empty()) {
    return fmt::format("  the indexing of {} was not finished; to go on: nestor index\n",
                       escape_for_terminal(folder, false));
  }
  const std::time_t when = std::strtoll(seconds_since_epoch.c_str(), nullptr, 10);
  std::tm local{};
  char text[32] = "";
  if (::localtime_r(&when, &local) != nullptr) {
    std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &local);
  }
  return fmt::format("  in step with {} as of {}\n", escape_for_terminal(folder, false), text);
}

void print_for_people(const Stats& stats, const Database& database, Context& context) {
  context.print(fmt::format("{}  format {}, sequence {}, {} on disk\n",
                            escape_for_terminal(stats.path, false), stats.format_version,
                            stats.sequence, bytes_text(static_cast<double>(stats.disk_bytes))));
  for (const CollectionStats& collection : stats.collections) {
    context.print(fmt::format("{}: {}, {}, {} of text\n", collection.name,
                              counted(collection.documents, "document"),
                              counted(collection.passages, "passage"),
                              bytes_text(static_cast<double>(collection.text_bytes))));
    if (collection.width == 0) {
      context.print("  no vectors yet\n");
    } else if (collection.space == "external") {
      context.print(fmt::format("  {} wide, vectors brought by the caller\n", collection.width));
    } else {
      context.print(fmt::format("  {} wide, {}, {}, space {}…\n", collection.width,
                                escape_for_terminal(collection.model, false), collection.precision,
                                collection.space.substr(0, kShownSpaceDigits)));
    }
    if (collection.truncated_passages > 0) {
      context.print(fmt::format("  {} cut at the model's context\n",
                                counted(collection.truncated_passages, "passage")));
    }
    const std::string folder = attribute_of(database, collection.name, query::kFolderAttribute);
    if (folder.empty()) continue;
    context.print(
        synced_text(folder, attribute_of(database, collection.name, query::kSyncedAttribute)));
  }
}

int run_stats(const StatsOptions& options, Context& context) {
  const Result<DatabaseTarget> target = find_existing_target(options.target, options.database);
  if (!target.ok()) return context.fail(target.status());
  OpenOptions open = context.open_options();
  open.read_only = true;
  const Result<Database> database = Database::open(target.value().database, open);
  if (!database.ok()) return context.fail(database.status());
  const Result<Stats> stats = database.value().stats();
  if (!stats.ok()) return context.fail(stats.status());
  if (options.json) {
    print_json(stats.value(), database.value(), context);
  } else {
    print_for_people(stats.value(), database.value(), context);
  }
  return kExitOk;
}

}  // namespace

void add_stats_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand("stats", "What a database holds");
  auto options = std::make_shared<StatsOptions>();
  command.add_option("DB", options->target, "A database, or a folder that was indexed")->required();
  command.add_option("--db", options->database, "The database of the folder, if it was named");
  command.add_flag("--json", options->json, "As JSON");
  set_action(command, context, [options](Context& c) { return run_stats(*options, c); });
}

}  // namespace nestor::cli
