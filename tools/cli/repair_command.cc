// nestor repair DB [--accept-loss]
#include <fmt/format.h>

#include <memory>

#include "core/text.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

struct RepairCommandOptions {
  std::string database;
  bool accept_loss = false;
  bool json = false;
};

Json safe_texts(const std::vector<std::string>& texts) {
  Json array = Json::array();
  for (const std::string& text : texts) array.push_back(json_text(text));
  return array;
}

void print_json(const RepairReport& report, Context& context) {
  Json json = new_json();
  json["ok"] = !report.needs_accept_loss;
  json["changed"] = report.changed;
  json["needs_accept_loss"] = report.needs_accept_loss;
  json["lost"] = safe_texts(report.lost);
  json["mended"] = safe_texts(report.mended);
  json["documents_kept"] = report.documents_kept;
  json["passages_kept"] = report.passages_kept;
  json["documents_lost"] = report.documents_lost;
  json["set_aside"] = json_text(report.set_aside);
  context.print(json_line(json));
}

void print_lines(const RepairReport& report, Context& context) {
  const Terminal terminal = terminal_of(1);
  for (const std::string& sentence : report.lost) {
    context.print(fmt::format(
        "{} {}\n", styled(terminal, Style::kRed, report.changed ? "lost:" : "would be lost:"),
        escape_for_terminal(sentence, false)));
  }
  for (const std::string& sentence : report.mended) {
    context.print(fmt::format("{} {}\n", report.changed ? "mended:" : "to be mended:",
                              escape_for_terminal(sentence, false)));
  }
  const std::string kept = fmt::format("{} with {}", counted(report.documents_kept, "document"),
                                       counted(report.passages_kept, "passage"));
  if (report.needs_accept_loss) {
    context.print(fmt::format("nothing was changed; {} can be kept\n", kept));
    context.note("to keep them and set aside what is damaged: nestor repair --accept-loss DB");
  } else if (report.changed) {
    context.print(
        fmt::format("{} kept, {} lost\n", kept, counted(report.documents_lost, "document")));
    if (!report.set_aside.empty()) {
      context.print("set aside: " + escape_for_terminal(report.set_aside, false) + "\n");
    }
  } else {
    context.print(fmt::format("{}: nothing to mend\n", kept));
  }
}

int run_repair(const RepairCommandOptions& options, Context& context) {
  // The folder of a database is named as it is: what would tell what it is may be what is damaged.
  RepairOptions repair;
  repair.accept_loss = options.accept_loss;
  repair.stop = context.stop;
  repair.log = context.open_options().log;
  repair.memory_bytes = context.global.memory_bytes;
  const Result<RepairReport> report = Database::repair(options.database, repair);
  if (!report.ok()) return context.fail(report.status());
  if (options.json) {
    print_json(report.value(), context);
  } else {
    print_lines(report.value(), context);
  }
  return report.value().needs_accept_loss ? kExitDataLoss : kExitOk;
}

}  // namespace

void add_repair_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand(
      "repair",
      "Mend a damaged database: caches, field index, postings, counts and watermark are made "
      "again. Where documents are damaged or gone nothing is changed, what would be lost is listed "
      "and the exit code is 6; with --accept-loss the rest is kept");
  auto options = std::make_shared<RepairCommandOptions>();
  command.add_option("DB", options->database, "The folder of the database")->required();
  command.add_flag("--accept-loss", options->accept_loss,
                   "Go on although documents are gone: what is damaged is set aside in a folder "
                   "lost-DATE inside the database, readable documents among it as JSONL for "
                   "`nestor add`");
  command.add_flag("--json", options->json, "The report as JSON");
  set_action(command, context, [options](Context& c) { return run_repair(*options, c); });
}

}  // namespace nestor::cli
