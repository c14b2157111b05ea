// nestor delete DB KEY..., nestor delete DB --filter 'year < 2020'
#include <fmt/format.h>

#include <memory>
#include <vector>

#include "core/file.h"
#include "core/text.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

struct DeleteOptions {
  std::string database;
  std::vector<std::string> keys;
  std::string filter;
  std::string collection = kDefaultCollection;
  bool erase = false;
  bool json = false;
};

int run_delete(const DeleteOptions& options, Context& context) {
  if (!is_database(options.database)) {
    return context.fail(
        {StatusCode::kNotFound,
         fmt::format(
             "there is no database in {}{}", quote_for_message(options.database, 512),
             is_folder(options.database)
                 ? "; of a folder of documents, remove the file and type: nestor index FOLDER"
                 : "")});
  }
  if (options.keys.empty() == options.filter.empty()) {
    return context.fail({StatusCode::kInvalidArgument,
                         "name the documents by their keys, or by --filter 'year < 2020'"});
  }
  const Result<Filter> filter = Filter::parse(options.filter);
  if (!filter.ok()) return context.fail(filter.status());
  OpenOptions open = context.open_options();
  open.create_if_missing = false;
  Result<Database> opened = Database::open(options.database, open);
  if (!opened.ok()) return context.fail(opened.status());
  Database database = std::move(opened).value();
  const RemoveOptions remove{
      .collection = options.collection, .stop = context.stop, .erase = options.erase};
  const Result<std::int64_t> removed = options.filter.empty()
                                           ? database.remove(options.keys, remove)
                                           : database.remove_matching(filter.value(), remove);
  if (!removed.ok()) return context.fail(removed.status());
  if (const Status closed = database.close(); !closed.ok()) return context.fail(closed);
  if (options.json) {
    Json json = new_json();
    json["deleted"] = removed.value();
    if (options.filter.empty()) json["keys"] = options.keys.size();
    if (options.erase) json["erased"] = true;
    context.print(json_line(json));
  } else {
    context.print(options.filter.empty()
                      ? fmt::format("deleted {} of {}\n", with_thousands(removed.value()),
                                    counted(std::int64_t(options.keys.size()), "key"))
                      : fmt::format("deleted {}\n", counted(removed.value(), "document")));
  }
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
  command.add_flag("--erase", options->erase,
                   "Leave no byte of them in any file of the database, also of what was deleted "
                   "or replaced before; `nestor verify --erased KEY` proves it. Rewrites the "
                   "database; without it documents are hidden at once and their space is given "
                   "back later (nestor compact)");
  command.add_flag("--json", options->json, "The count as JSON");
  set_action(command, context, [options](Context& c) { return run_delete(*options, c); });
}

}  // namespace nestor::cli
