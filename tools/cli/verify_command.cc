// nestor verify DB, nestor verify DB --erased KEY
#include <fmt/format.h>

#include <memory>
#include <vector>

#include "core/text.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

struct VerifyOptions {
  std::string target;
  std::string database;
  std::string erased;  // a key
  std::vector<std::string> texts;
  std::string collection = kDefaultCollection;
  bool json = false;
};

Json safe_texts(const std::vector<std::string>& texts) {
  Json array = Json::array();
  for (const std::string& text : texts) array.push_back(json_text(text));
  return array;
}

void print_report(const VerifyOptions& options, const VerifyReport& report, Context& context) {
  if (options.json) {
    Json json = new_json();
    json["ok"] = report.problems.empty();
    json["documents"] = report.documents;
    json["passages"] = report.passages;
    json["problems"] = safe_texts(report.problems);
    json["notes"] = safe_texts(report.notes);
    context.print(json_line(json));
    return;
  }
  const Terminal terminal = terminal_of(1);
  for (const std::string& problem : report.problems) {
    context.print(fmt::format("{} {}\n", styled(terminal, Style::kRed, "problem:"),
                              escape_for_terminal(problem, false)));
  }
  for (const std::string& note : report.notes) {
    context.print(fmt::format("note: {}\n", escape_for_terminal(note, false)));
  }
  const std::string verdict = report.problems.empty()
                                  ? styled(terminal, Style::kGreen, "all is well")
                                  : counted(std::int64_t(report.problems.size()), "problem");
  context.print(fmt::format("{} and {} read: {}\n", counted(report.documents, "document"),
                            counted(report.passages, "passage"), verdict));
}

void print_erasure(const VerifyOptions& options, const ErasureReport& report, Context& context) {
  if (options.json) {
    Json json = new_json();
    json["ok"] = report.findings.empty();
    json["erased"] = json_text(options.erased);
    json["records"] = report.records;
    json["files"] = report.files;
    json["bytes"] = report.bytes;
    json["findings"] = safe_texts(report.findings);
    json["notes"] = safe_texts(report.notes);
    context.print(json_line(json));
    return;
  }
  const Terminal terminal = terminal_of(1);
  for (const std::string& finding : report.findings) {
    context.print(fmt::format("{} {}\n", styled(terminal, Style::kRed, "left:"),
                              escape_for_terminal(finding, false)));
  }
  for (const std::string& note : report.notes) {
    context.print(fmt::format("note: {}\n", escape_for_terminal(note, false)));
  }
  context.print(fmt::format(
      "{} and {} bytes in {} searched: {}\n", counted(report.records, "record"),
      with_thousands(report.bytes), counted(report.files, "file"),
      report.findings.empty() ? styled(terminal, Style::kGreen, "nothing is left")
                              : counted(std::int64_t(report.findings.size()), "finding")));
}

int run_verify(const VerifyOptions& options, Context& context) {
  const Result<DatabaseTarget> target = find_existing_target(options.target, options.database);
  if (!target.ok()) return context.fail(target.status());
  OpenOptions open = context.open_options();
  open.read_only = true;
  const Result<Database> database = Database::open(target.value().database, open);
  if (!database.ok()) return context.fail(database.status());
  if (!options.erased.empty()) {
    const Result<ErasureReport> erasure = database.value().verify_erased(
        options.erased, options.texts, options.collection, context.stop);
    if (!erasure.ok()) return context.fail(erasure.status());
    print_erasure(options, erasure.value(), context);
    return erasure.value().findings.empty() ? kExitOk : kExitNoHits;
  }
  const Result<VerifyReport> report = database.value().verify(context.stop);
  if (!report.ok()) return context.fail(report.status());
  print_report(options, report.value(), context);
  return report.value().problems.empty() ? kExitOk : kExitDataLoss;
}

}  // namespace

void add_verify_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand("verify",
                                          "Read everything in a database and check it; exit code 6 "
                                          "when something is damaged");
  auto options = std::make_shared<VerifyOptions>();
  add_target_options(command, options->target, options->database);
  command.add_option("--erased", options->erased,
                     "Prove instead that nothing is left of the document with this KEY in any file "
                     "of the database (`nestor delete --erase`); exit code 1 when something is");
  command.add_option("--text", options->texts,
                     "With --erased: a text, title or word that must be nowhere but in other "
                     "documents; may be given several times");
  command.add_option("--collection", options->collection, "With --erased: where the document was")
      ->capture_default_str();
  command.add_flag("--json", options->json, "The report as JSON");
  set_action(command, context, [options](Context& c) { return run_verify(*options, c); });
}

}  // namespace nestor::cli
