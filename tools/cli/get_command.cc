// nestor get DB KEY
#include <fmt/format.h>

#include <memory>

#include "core/text.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/document_key.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

struct GetOptions {
  std::string target;
  std::string key;
  std::string database;
  std::string collection = kDefaultCollection;
  bool json = false;
};

void print_document(const GetOptions& options, const Document& document, Context& context) {
  if (options.json) {
    Json json = new_json();
    json["key"] = document.key;
    json["title"] = document.title;
    json["text"] = document.text;
    json["metadata"] = metadata_as_json(document.metadata);
    context.print(json_line(json));
    return;
  }
  std::string head = fmt::format("\"{}\"", escape_for_terminal(document.title, false));
  if (!document.metadata.empty()) {
    head += "  " + escape_for_terminal(metadata_to_json(document.metadata), false);
  }
  context.note(head);
  // A file gets the text byte for byte, a terminal a safe one.
  if (!terminal_of(1).is_terminal) {
    context.print(document.text);
    return;
  }
  context.print(escape_for_terminal(with_unix_lines(document.text), true));
  if (!document.text.ends_with('\n')) context.print("\n");
}

int run_get(const GetOptions& options, Context& context) {
  const Result<DatabaseTarget> target = find_existing_target(options.target, options.database);
  if (!target.ok()) return context.fail(target.status());
  OpenOptions open = context.open_options();
  open.read_only = true;
  const Result<Database> database = Database::open(target.value().database, open);
  if (!database.ok()) return context.fail(database.status());
  const Result<KeyMatch> match = find_key(database.value(), options.key, options.collection);
  if (!match.ok()) return context.fail(match.status());
  const Result<Document> document = database.value().get(match.value().key, options.collection);
  if (!document.ok()) {
    if (!match.value().near.empty()) context.warn(unmatched_text(match.value()));
    const int code = context.fail(document.status());
    return document.status().code() == StatusCode::kNotFound ? kExitNoHits : code;
  }
  print_document(options, document.value(), context);
  return kExitOk;
}

}  // namespace

void add_get_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand("get", "Print a whole document");
  auto options = std::make_shared<GetOptions>();
  add_target_options(command, options->target, options->database);
  command.add_option("KEY", options->key, "The document's key; of a file its path in the folder")
      ->required();
  command.add_option("--collection", options->collection, "The collection to look in")
      ->capture_default_str();
  command.add_flag("--json", options->json, "With title and metadata, as JSON");
  set_action(command, context, [options](Context& c) { return run_get(*options, c); });
}

}  // namespace nestor::cli
