// nestor reembed DB: a collection of another model brought to the one in use
#include <fmt/format.h>

#include <memory>
#include <utility>

#include "core/text.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/model_choice.h"
#include "tools/cli/output.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

constexpr const char* kFooter = R"(
Every passage is embedded again from the text that is stored, with the model in use (--model). Until
the last step the collection stays as it was: vectors of the old model and `search --mode keyword`
find what they found; a question in words needs the model that the collection has. Ctrl-C or a kill
costs the last batch at most: the same command goes on from there. Then the new vectors take the old
ones' place in one step, and the old rows go; their disk space comes back as the database compacts.)";

struct ReembedCommandOptions {
  std::string target;
  std::string database;
  std::string precision;
  ReembedOptions reembed;
  bool json = false;
};

std::string report_text(const ReembedCommandOptions& options, const ReembedReport& report) {
  if (options.json) {
    Json json = new_json();
    json["collection"] = options.reembed.collection;
    json["changed"] = report.changed;
    json["old_model"] = json_text(report.old_model);
    json["new_model"] = json_text(report.new_model);
    json["documents"] = report.documents;
    json["documents_kept"] = report.documents_kept;
    json["documents_discarded"] = report.documents_discarded;
    json["passages_embedded"] = report.passages_embedded;
    json["passages_truncated"] = report.passages_truncated;
    json["tokens_embedded"] = report.tokens_embedded;
    json["rows_of_other_modes"] = report.rows_of_other_modes;
    return json_line(json);
  }
  if (options.reembed.discard) {
    return report.documents_discarded == 0
               ? std::string("nothing to discard: no reembed is half done\n")
               : fmt::format("{} of a reembed that was not finished discarded\n",
                             counted(report.documents_discarded, "document"));
  }
  if (report.changed) {
    return fmt::format(
        "{} embedded again ({} tokens), {} kept from before; {} now of {}\n",
        counted(report.passages_embedded, "passage"), with_thousands(report.tokens_embedded),
        counted(report.documents_kept, "document"), counted(report.documents, "document"),
        escape_for_terminal(report.new_model, false));
  }
  if (report.old_model.empty()) return "nothing to do: the collection has no embeddings yet\n";
  if (report.rows_of_other_modes > 0) {
    return fmt::format(
        "nothing to do: the collection is of the model in use, {}. {} of another numeric mode; "
        "--all embeds them again too\n",
        escape_for_terminal(report.old_model, false),
        counted(report.rows_of_other_modes, "passage"));
  }
  return fmt::format("nothing to do: the collection is of the model in use, {}\n",
                     escape_for_terminal(report.old_model, false));
}

int run_reembed(const ReembedCommandOptions& options, Context& context) {
  const Result<DatabaseTarget> target = find_existing_target(options.target, options.database);
  if (!target.ok()) return context.fail(target.status());
  OpenOptions open = context.open_options(options.precision);
  open.create_if_missing = false;
  Result<Database> opened = Database::open(target.value().database, open);
  if (!opened.ok()) return context.fail(opened.status());
  Database database = std::move(opened).value();
  ReembedOptions reembed = options.reembed;
  reembed.stop = context.stop;
  Result<ReembedReport> report = Status();
  {
    ProgressLine line(context, "embedding again");
    reembed.progress = [&line](const Progress& progress) {
      line.update(progress.tokens_done, progress.tokens_total, [&](double rate) {
        return fmt::format("{} of {}  {} tok/s", with_thousands(progress.passages_done),
                           counted(progress.passages_total, "passage"), short_count(rate));
      });
    };
    report = database.reembed(reembed);
  }
  const Status closed = database.close();
  if (!report.ok() && report.status().code() == StatusCode::kCancelled) {
    context.warn("what is embedded so far is kept; the same command goes on from there");
  }
  if (!report.ok()) return context.fail(report.status());
  if (!closed.ok()) return context.fail(closed);
  if (report.value().passages_truncated > 0) {
    context.warn(fmt::format("{} cut at the model's context; the tail is not searchable",
                             counted(report.value().passages_truncated, "passage")));
  }
  context.print(report_text(options, report.value()));
  return kExitOk;
}

}  // namespace

void add_reembed_command(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand(
      "reembed", "Bring a collection to the model in use, from the stored text");
  auto options = std::make_shared<ReembedCommandOptions>();
  add_target_options(command, options->target, options->database);
  command.add_option("--collection", options->reembed.collection, "The collection")
      ->capture_default_str();
  CLI::Option* all = command.add_flag(
      "--all", options->reembed.all_modes,
      "Of the model in use already: embed again what has another numeric mode (--precision)");
  command
      .add_flag("--discard", options->reembed.discard,
                "Only take away what a reembed left that was not finished")
      ->excludes(all);
  command.add_option("--precision", options->precision, kPrecisionHelp);
  command.add_flag("--json", options->json, "The report as JSON");
  command.footer(kFooter);
  set_action(command, context, [options](Context& c) { return run_reembed(*options, c); });
}

}  // namespace nestor::cli
