// nestor backup DB TO, nestor bundle DB FILE, nestor unbundle FILE DB
#include <fmt/format.h>

#include <memory>

#include "core/text.h"
#include "tools/cli/database_target.h"
#include "tools/cli/output.h"
#include "tools/cli/transfer_commands.h"

namespace nestor::cli {
namespace {

struct CopyOptions {
  std::string from;
  std::string to;
  std::string database;  // --db
  bool no_verify = false;
  bool copy = false;
  bool json = false;
};

BackupOptions backup_options(const CopyOptions& options, const Context& context) {
  return {.hard_links = !options.copy, .verify = !options.no_verify, .stop = context.stop};
}

Result<Database> open_source(const CopyOptions& options, Context& context) {
  const Result<DatabaseTarget> target = find_existing_target(options.from, options.database);
  if (!target.ok()) return target.status();
  OpenOptions open = context.open_options();
  open.read_only = true;  // beside whoever writes in it
  return Database::open(target.value().database, open);
}

std::string megabytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

int run_backup(const CopyOptions& options, Context& context) {
  const Result<Database> database = open_source(options, context);
  if (!database.ok()) return context.fail(database.status());
  const Result<BackupReport> copied =
      database.value().backup(options.to, backup_options(options, context));
  if (!copied.ok()) return context.fail(copied.status());
  const BackupReport& report = copied.value();
  if (options.json) {
    Json json = new_json();
    json["backup"] = json_text(options.to);
    json["sequence"] = report.sequence;
    json["bytes"] = report.bytes;
    json["shared_bytes"] = report.shared_bytes;
    json["verified"] = report.verified;
    if (report.verified) {
      json["documents"] = report.documents;
      json["passages"] = report.passages;
    }
    context.print(json_line(json));
    return kExitOk;
  }
  context.print(fmt::format("{}: batch {}, {} ({} shared with the database), {}\n",
                            escape_for_terminal(options.to, false), report.sequence,
                            megabytes(report.bytes), megabytes(report.shared_bytes),
                            report.verified ? fmt::format("verified: {} and {}, all is well",
                                                          counted(report.documents, "document"),
                                                          counted(report.passages, "passage"))
                                            : std::string("not verified")));
  return kExitOk;
}

void print_bundle(const CopyOptions& options, const std::string& file, const BundleReport& report,
                  Context& context) {
  if (options.json) {
    Json json = new_json();
    json["bundle"] = json_text(file);
    json["sha256"] = report.sha256;
    json["bytes"] = report.bytes;
    json["format"] = report.format_version;
    json["sequence"] = report.sequence;
    json["verified"] = !options.no_verify;
    json["collections"] = Json::array();
    for (const BundledCollection& collection : report.collections) {
      Json one = Json::object();
      one["name"] = json_text(collection.name);
      one["space"] = json_text(collection.space);
      one["model"] = json_text(collection.model);
      one["width"] = collection.width;
      one["metric"] = metric_name(collection.metric);
      one["documents"] = collection.documents;
      one["passages"] = collection.passages;
      one["digest"] = json_text(collection.digest);
      json["collections"].push_back(std::move(one));
    }
    context.print(json_line(json));
    return;
  }
  context.print(fmt::format("{}: {}, format {}, batch {}\nsha256 {}\n",
                            escape_for_terminal(file, false), megabytes(report.bytes),
                            report.format_version, report.sequence, report.sha256));
  for (const BundledCollection& collection : report.collections) {
    context.print(fmt::format(
        "{}: {}, {}, {} wide, {}, {} (space {:.12}), digest {}\n",
        escape_for_terminal(collection.name, false), counted(collection.documents, "document"),
        counted(collection.passages, "passage"), collection.width, metric_name(collection.metric),
        escape_for_terminal(collection.model.empty() ? "no model" : collection.model, false),
        escape_for_terminal(collection.space, false),
        escape_for_terminal(collection.digest, false)));
  }
}

int run_bundle(const CopyOptions& options, Context& context) {
  const Result<Database> database = open_source(options, context);
  if (!database.ok()) return context.fail(database.status());
  const Result<BundleReport> report =
      database.value().bundle(options.to, backup_options(options, context));
  if (!report.ok()) return context.fail(report.status());
  print_bundle(options, options.to, report.value(), context);
  return kExitOk;
}

int run_unbundle(const CopyOptions& options, Context& context) {
  const Result<BundleReport> report =
      Database::unbundle(options.from, options.to, backup_options(options, context));
  if (!report.ok()) return context.fail(report.status());
  print_bundle(options, options.from, report.value(), context);
  return kExitOk;
}

void add_common(CLI::App& command, CopyOptions& options) {
  command.add_flag("--no-verify", options.no_verify, "Do not read and check all of it at the end");
  command.add_flag("--json", options.json, "The report as JSON");
}

}  // namespace

void add_backup_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand(
      "backup",
      "Copy a database while it is in use, checked. To restore one, put the copy in the place of "
      "the lost database: it is a database like any other");
  auto options = std::make_shared<CopyOptions>();
  add_target_options(command, options->from, options->database);
  command.add_option("TO", options->to, "A folder that is new or empty")->required();
  command.add_flag("--copy", options->copy,
                   "Copy every byte, also where the copy could share disk blocks with the database "
                   "(same file system)");
  add_common(command, *options);
  set_action(command, context, [options](Context& c) { return run_backup(*options, c); });
}

void add_bundle_commands(CLI::App& app, Context& context) {
  CLI::App& bundle =
      *app.add_subcommand("bundle", "Pack a database into one checked file, while it is in use");
  auto packing = std::make_shared<CopyOptions>();
  add_target_options(bundle, packing->from, packing->database);
  bundle.add_option("FILE", packing->to, "The file to write; must not be there")->required();
  add_common(bundle, *packing);
  set_action(bundle, context, [packing](Context& c) { return run_bundle(*packing, c); });

  CLI::App& unbundle = *app.add_subcommand(
      "unbundle", "Unpack a bundle into a database. Take bundles from people you trust only");
  auto unpacking = std::make_shared<CopyOptions>();
  unbundle.add_option("FILE", unpacking->from, "The bundle")->required();
  unbundle.add_option("DB", unpacking->to, "A folder that is new or empty")->required();
  add_common(unbundle, *unpacking);
  set_action(unbundle, context, [unpacking](Context& c) { return run_unbundle(*unpacking, c); });
}

}  // namespace nestor::cli
