// nestor export DB > FILE, nestor import DB < FILE
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "core/macros.h"
#include "core/text.h"
#include "tools/cli/database_target.h"
#include "tools/cli/filter_check.h"
#include "tools/cli/line_reader.h"
#include "tools/cli/output.h"
#include "tools/cli/standard_input.h"
#include "tools/cli/transfer_commands.h"

namespace nestor::cli {
namespace {

// The largest document has some 20,000 passages, of 4 kB in base64 each.
constexpr std::size_t kMostExportLineBytes = std::size_t{512} << 20;

struct ExportCommandOptions {
  std::string target;
  std::string database;  // --db
  std::string collection = kDefaultCollection;
  std::string filter;
  bool no_vectors = false;
};

struct ImportCommandOptions {
  std::string database;
  std::string input = "-";
  std::string collection;
  std::string metric;  // empty: what the file says
  bool reembed = false;
  bool json = false;
};

int run_export(const ExportCommandOptions& options, Context& context) {
  const Result<Filter> filter = parse_filter(options.filter);
  if (!filter.ok()) return context.fail(filter.status());
  const Result<DatabaseTarget> target = find_existing_target(options.target, options.database);
  if (!target.ok()) return context.fail(target.status());
  OpenOptions open = context.open_options();
  open.read_only = true;
  const Result<Database> database = Database::open(target.value().database, open);
  if (!database.ok()) return context.fail(database.status());
  if (const Status checked =
          caution_of_unknown_fields(database.value(), filter.value(), options.collection, context);
      !checked.ok()) {
    return context.fail(checked);
  }
  const auto write = [&](std::string_view line) -> Status {
    context.print(std::string(line) + "\n");
    return context.flush();
  };
  const Result<ExportReport> report =
      database.value().export_documents(write, {.collection = options.collection,
                                                .filter = filter.value(),
                                                .vectors = !options.no_vectors,
                                                .stop = context.stop});
  if (!report.ok()) return context.fail(report.status());
  context.note(fmt::format("exported {}, {}, as of batch {}",
                           counted(report.value().documents, "document"),
                           counted(report.value().passages, "passage"), report.value().sequence));
  return report.value().documents > 0 ? kExitOk : kExitNoHits;
}

Result<ImportReport> import_into(const ImportCommandOptions& options, Context& context) {
  std::optional<Metric> metric;
  if (!options.metric.empty()) {
    NESTOR_ASSIGN_OR_RETURN(metric, parse_metric(options.metric));
  }
  NESTOR_ASSIGN_OR_RETURN(const InputDescriptor input, open_input(options.input));
  LineReader reader(input.get(), context.stop, kMostExportLineBytes);
  NESTOR_ASSIGN_OR_RETURN(Database database,
                          Database::open(options.database, context.open_options()));
  NESTOR_ASSIGN_OR_RETURN(
      ImportReport report,
      database.import_documents([&] { return reader.next(); }, {.collection = options.collection,
                                                                .reembed = options.reembed,
                                                                .metric = metric,
                                                                .stop = context.stop}));
  NESTOR_RETURN_IF_ERROR(database.close());
  return report;
}

int run_import(const ImportCommandOptions& options, Context& context) {
  const Result<ImportReport> imported = import_into(options, context);
  if (!imported.ok()) return context.fail(imported.status());
  const ImportReport& report = imported.value();
  if (!report.note.empty()) context.note(report.note);
  if (options.json) {
    Json json = new_json();
    json["database"] = json_text(options.database);
    json["collection"] = json_text(report.collection);
    json["added"] = report.documents_added;
    json["updated"] = report.documents_updated;
    json["unchanged"] = report.documents_unchanged;
    json["vectors_taken"] = report.vectors_taken;
    json["passages_embedded"] = report.passages_embedded;
    json["note"] = json_text(report.note);
    context.print(json_line(json));
  } else {
    context.print(fmt::format(
        "added {}, updated {}, unchanged {}  {} taken, {} embedded\n",
        with_thousands(report.documents_added), with_thousands(report.documents_updated),
        with_thousands(report.documents_unchanged), counted(report.vectors_taken, "vector"),
        counted(report.passages_embedded, "passage")));
  }
  return kExitOk;
}

}  // namespace

void add_export_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand(
      "export",
      "Write a collection to standard output as lines of JSON, with passages and vectors; exit "
      "code 1 when there was nothing");
  auto options = std::make_shared<ExportCommandOptions>();
  add_target_options(command, options->target, options->database);
  command.add_option("--collection", options->collection, "The collection")->capture_default_str();
  command.add_option("--filter", options->filter, "Only documents that match: 'year >= 2020'");
  command.add_flag("--no-vectors", options->no_vectors,
                   "Leave the vectors out: smaller, and an import embeds the texts again");
  set_action(command, context, [options](Context& c) { return run_export(*options, c); });
}

void add_import_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand(
      "import",
      "Take in what export wrote, vectors as they are where the model is the same. Doing it again "
      "passes over what is in already");
  auto options = std::make_shared<ImportCommandOptions>();
  command.add_option("DB", options->database, "The database; made if it is not there")->required();
  command.add_option("FILE", options->input, "The export; - is standard input")
      ->capture_default_str();
  command.add_option("--collection", options->collection,
                     "The collection to fill (default: the one that the file names)");
  command.add_option("--metric", options->metric,
                     "How a new collection compares user vectors (cosine, dot or l2) from a file "
                     "of version 1, which does not say (default: cosine)");
  command.add_flag("--reembed", options->reembed, "Embed the texts again in any case");
  command.add_flag("--json", options->json, "The report as JSON");
  set_action(command, context, [options](Context& c) { return run_import(*options, c); });
}

}  // namespace nestor::cli
