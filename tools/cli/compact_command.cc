// nestor compact DB
#include <fmt/format.h>

#include <memory>

#include "core/text.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

struct CompactCommandOptions {
  std::string target;
  std::string database;
  bool json = false;
};

int run_compact(const CompactCommandOptions& options, Context& context) {
  const Result<DatabaseTarget> target = find_existing_target(options.target, options.database);
  if (!target.ok()) return context.fail(target.status());
  OpenOptions open = context.open_options();
  open.create_if_missing = false;
  Result<Database> opened = Database::open(target.value().database, open);
  if (!opened.ok()) return context.fail(opened.status());
  Database database = std::move(opened).value();
  const Result<CompactReport> report = database.compact();
  if (!report.ok()) return context.fail(report.status());
  if (const Status closed = database.close(); !closed.ok()) return context.fail(closed);
  if (options.json) {
    Json json = new_json();
    json["bytes_before"] = report.value().bytes_before;
    json["bytes_after"] = report.value().bytes_after;
    context.print(json_line(json));
  } else {
    context.print(fmt::format("{} bytes before, {} after\n",
                              with_thousands(report.value().bytes_before),
                              with_thousands(report.value().bytes_after)));
  }
  return kExitOk;
}

}  // namespace

void add_compact_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand(
      "compact",
      "Give back the disk space of deleted and replaced documents. Needs free space of the "
      "database's size, at most 3 GiB. In part it happens by itself, for tables of which a quarter "
      "are deletions");
  auto options = std::make_shared<CompactCommandOptions>();
  add_target_options(command, options->target, options->database);
  command.add_flag("--json", options->json, "The sizes as JSON");
  set_action(command, context, [options](Context& c) { return run_compact(*options, c); });
}

}  // namespace nestor::cli
