// nestor stats DB
#include <fmt/format.h>

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/macros.h"
#include "core/text.h"
#include "query/collection_attributes.h"
#include "query/text_analysis.h"
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
  bool memory = false;
};

std::string attribute_of(const CollectionStats& collection, const char* name) {
  const auto found = collection.attributes.find(name);
  return found == collection.attributes.end() ? std::string() : found->second;
}

// Names in JSON and for people.
struct MemoryPart {
  const char* name;
  const char* title;
  std::int64_t MemoryUsage::*bytes;
};
constexpr MemoryPart kMemoryParts[] = {
    {"index_codes", "codes", &MemoryUsage::index_codes},
    {"index_rows", "rows", &MemoryUsage::index_rows},
    {"filter_sets", "filters", &MemoryUsage::filter_sets},
    {"filter_masks", "filters over codes", &MemoryUsage::filter_masks},
    {"keyword_lists", "words", &MemoryUsage::keyword_lists},
    {"query_cache", "questions", &MemoryUsage::query_cache},
    {"block_cache", "RocksDB blocks", &MemoryUsage::block_cache},
    {"write_buffers", "RocksDB write buffers", &MemoryUsage::write_buffers},
    {"table_readers", "RocksDB tables", &MemoryUsage::table_readers},
};

// What searching needs is loaded first: one search in each collection, without a model.
Result<MemoryUsage> memory_of(const Database& database, const Stats& stats, Context& context) {
  for (const CollectionStats& collection : stats.collections) {
    if (collection.passages == 0) continue;
    std::vector<float> any(static_cast<std::size_t>(collection.width), 0.0F);
    any[0] = 1;
    NESTOR_RETURN_IF_ERROR(
        database.search_vector(any, {.k = 1, .collection = collection.name, .stop = context.stop})
            .status());
  }
  return database.memory_usage();
}

Json memory_as_json(const MemoryUsage& usage) {
  Json json;
  for (const MemoryPart& part : kMemoryParts) json[part.name] = usage.*part.bytes;
  json["total"] = usage.total();
  return json;
}

// What the parts are not: beside them in the JSON, so that they stay a sum.
Json limits_as_json(const MemoryUsage& usage) {
  Json json;
  json["budget"] = usage.budget;
  json["mapped_codes"] = usage.mapped_codes;
  json["mapped_rows"] = usage.mapped_rows;
  json["held_back"] = Json::array();
  for (const std::string& why : usage.held_back) json["held_back"].push_back(json_text(why));
  return json;
}

std::string limits_text(const MemoryUsage& usage) {
  std::string text;
  if (usage.mapped_codes + usage.mapped_rows > 0) {
    text += fmt::format("  mapped files: codes {} (of those above), rows {}\n",
                        bytes_text(static_cast<double>(usage.mapped_codes)),
                        bytes_text(static_cast<double>(usage.mapped_rows)));
  }
  if (usage.budget > 0) {
    text += fmt::format("  budget {}\n", bytes_text(static_cast<double>(usage.budget)));
  }
  for (const std::string& why : usage.held_back) {
    text += fmt::format("  left undone: {}\n", escape_for_terminal(why, false));
  }
  return text;
}

std::string memory_text(const MemoryUsage& usage) {
  std::string parts;
  for (const MemoryPart& part : kMemoryParts) {
    if (usage.*part.bytes == 0) continue;
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", part.title,
                         bytes_text(static_cast<double>(usage.*part.bytes)));
  }
  return fmt::format("in memory once searched: {} ({})\n",
                     bytes_text(static_cast<double>(usage.total())), parts);
}

void print_json(const Stats& stats, const MemoryUsage* memory, Context& context) {
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
    entry["metric"] = metric_name(collection.metric);
    entry["text_bytes"] = collection.text_bytes;
    entry["truncated_passages"] = collection.truncated_passages;
    const std::string folder = attribute_of(collection, query::kFolderAttribute);
    if (!folder.empty()) entry["folder"] = json_text(folder);
    entry["attributes"] = Json::object();
    for (const auto& [name, value] : collection.attributes) {
      entry["attributes"][json_text(name)] = json_text(value);
    }
    json["collections"].push_back(std::move(entry));
  }
  if (memory != nullptr) {
    json["memory"] = memory_as_json(*memory);
    json["memory_limits"] = limits_as_json(*memory);
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

void print_for_people(const Stats& stats, Context& context) {
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
      context.print(fmt::format("  {} wide, vectors brought by the caller, compared by {}\n",
                                collection.width, metric_name(collection.metric)));
    } else {
      context.print(fmt::format("  {} wide, {}, {}, space {}…\n", collection.width,
                                escape_for_terminal(collection.model, false), collection.precision,
                                collection.space.substr(0, kShownSpaceDigits)));
    }
    if (collection.truncated_passages > 0) {
      context.print(fmt::format("  {} cut at the model's context\n",
                                counted(collection.truncated_passages, "passage")));
    }
    if (const std::string language = attribute_of(collection, query::kLanguageAttribute);
        !language.empty()) {
      context.print(fmt::format("  words are {}\n", escape_for_terminal(language, false)));
    }
    const std::string folder = attribute_of(collection, query::kFolderAttribute);
    if (folder.empty()) continue;
    context.print(synced_text(folder, attribute_of(collection, query::kSyncedAttribute)));
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
  std::optional<MemoryUsage> memory;
  if (options.memory) {
    const Result<MemoryUsage> usage = memory_of(database.value(), stats.value(), context);
    if (!usage.ok()) return context.fail(usage.status());
    memory = usage.value();
  }
  if (options.json) {
    print_json(stats.value(), memory.has_value() ? &*memory : nullptr, context);
  } else {
    print_for_people(stats.value(), context);
    if (memory.has_value()) context.print(memory_text(*memory) + limits_text(*memory));
  }
  return kExitOk;
}

}  // namespace

void add_stats_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand("stats", "What a database holds");
  auto options = std::make_shared<StatsOptions>();
  add_target_options(command, options->target, options->database);
  command.add_flag("--memory", options->memory,
                   "Also what a process holds in memory once it has searched it; a budget for it "
                   "goes in front: nestor --memory 64M stats DB --memory");
  command.add_flag("--json", options->json, "As JSON");
  set_action(command, context, [options](Context& c) { return run_stats(*options, c); });
}

}  // namespace nestor::cli
