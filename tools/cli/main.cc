// The command `nestor`: reads the command line, runs one subcommand, returns its exit code.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <new>
#include <set>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/text.h"
#include "nestor/version.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/eval_command.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/model_command.h"
#include "tools/cli/number_option.h"
#include "tools/cli/standard_input.h"
#include "tools/cli/transfer_commands.h"

namespace nestor::cli {
namespace {

constexpr const char* kAbout =
    "Search your own documents by meaning. Everything runs on this machine.\n"
    "In short: nestor FOLDER \"question\"";
constexpr const char* kFooter = R"(
Examples:
  nestor notes "how do we rotate keys?"     index the folder notes if needed, then answer
  nestor index notes                        take in what changed there
  nestor add my.db --jsonl < docs.jsonl     fill a database of your own

Exit codes: 0 done, something found; 1 nothing found; 2 error; 3 no model in place; 4 the model is not
the database's; 5 the database is in use by another process; 6 stored data is damaged; 124 out of
time (--timeout); 130 interrupted.
Results go to standard output, everything else to standard error. NO_COLOR turns colours off.)";

void add_global_options(CLI::App& app, Context& context) {
  app.add_option("--model", context.global.model_folder,
                 "The model: a folder, a packed file, or a GGUF (default: NESTOR_MODEL, then where "
                 "`nestor model pull` puts it, then the Hugging Face cache)");
  app.add_flag("--allow-unverified-model", context.global.allow_unverified_model,
               "Load a model whose tokenizer is not a known one; only for files that you trust");
  add_number(
      app, "--threads", context.global.thread_count, ranges::kThreads,
      "Most threads to use; never more than processors are available (default: all of them)");
  add_bytes(app, "--memory", context.global.memory_bytes, ranges::kMemoryBytes,
            "The most that a database may hold in memory, such as 512M (K, M or G, of 1,024; "
            "at least 32M; default: no limit). Half is for indexes, a quarter for RocksDB, the "
            "rest for filters, postings and rows on their way to a file. The model, mapped "
            "caches and what one call works with are not counted. What does not fit is "
            "refused, with the budget that is enough");
  app.add_flag("--quiet,-q", context.global.quiet, "Say nothing but results and errors");
  app.set_version_flag("--version", std::string("nestor ") + kVersion);
}

void add_commands(CLI::App& app, Context& context) {
  add_search_command(app, context);
  add_index_command(app, context);
  add_add_command(app, context);
  add_get_command(app, context);
  add_delete_command(app, context);
  add_list_command(app, context);
  add_stats_command(app, context);
  add_recall_command(app, context);
  add_verify_command(app, context);
  add_backup_command(app, context);
  add_bundle_commands(app, context);
  add_export_command(app, context);
  add_import_command(app, context);
  add_repair_command(app, context);
  add_compact_command(app, context);
  add_reembed_command(app, context);
  add_embed_command(app, context);
  add_eval_command(app, context);
  add_model_command(app, context);
  add_doctor_command(app, context);
}

// Index of the first word that is no global option, or size().
std::size_t first_word(const std::vector<std::string>& words) {
  static const std::set<std::string> kWithValue = {"--memory", "--model", "--threads"};
  std::size_t i = 0;
  while (i < words.size() && words[i].starts_with('-')) {
    i += kWithValue.contains(words[i]) ? 2 : 1;
  }
  return std::min(i, words.size());
}

bool is_command(const CLI::App& app, const std::string& word) {
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  return std::any_of(commands.begin(), commands.end(),
                     [&](const CLI::App* command) { return command->get_name() == word; });
}

// `nestor FOLDER "question"` becomes `nestor search --index-first FOLDER "question"`; a first word
// that names a command is that command. Errors: kInvalidArgument where it is neither.
Status settle_command(const CLI::App& app, std::vector<std::string>& words) {
  const std::size_t first = first_word(words);
  if (first == words.size() || is_command(app, words[first])) return {};
  // The index of a folder that is gone still answers; with --db the search finds out.
  const bool gone = is_indexed_gone_folder(words[first]) ||
                    std::any_of(words.begin(), words.end(), [](const std::string& word) {
                      return word == "--db" || word.starts_with("--db=");
                    });
  if (!is_folder(words[first]) && (!gone || is_regular_file(words[first]))) {
    if (is_regular_file(words[first])) {
      return {
          StatusCode::kInvalidArgument,
          fmt::format("{} is a file; a command, a folder of documents or a database was expected",
                      quote_for_message(words[first], 512))};
    }
    return {StatusCode::kInvalidArgument,
            fmt::format("{} is neither a command nor a folder. Type nestor --help for the commands",
                        quote_for_message(words[first], 512))};
  }
  const std::vector<std::string> search = {"search", "--index-first"};
  words.insert(words.begin() + static_cast<std::ptrdiff_t>(first), search.begin(), search.end());
  return {};
}

int fail_parse(const CLI::App& app, const CLI::ParseError& error, Context& context) {
  std::string command = "nestor";
  for (const CLI::App* parsed : app.get_subcommands()) command += " " + parsed->get_name();
  return context.fail(
      {StatusCode::kInvalidArgument, fmt::format("{}\nTry: {} --help", error.what(), command)});
}

int run(std::vector<std::string> words, Context& context) {
  CLI::App app(kAbout, "nestor");
  app.footer(kFooter);
  app.get_formatter()->column_width(28);
  app.require_subcommand(0, 1);
  // Global options may also stand behind the subcommand.
  app.fallthrough();
  add_global_options(app, context);
  add_commands(app, context);
  if (Status status = settle_command(app, words); !status.ok()) return context.fail(status);
  // The parser takes words from the back.
  std::reverse(words.begin(), words.end());
  try {
    app.parse(std::move(words));
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return fail_parse(app, error, context);
  }
  if (!context.action) {
    context.print(app.help());
    return kExitOk;
  }
  return context.action(context);
}

int run_guarded(std::vector<std::string> words) {
  InterruptHandler interrupts;
  Context context;
  context.stop = interrupts.token();
  int code = kExitError;
  try {
    code = run(std::move(words), context);
  } catch (const std::bad_alloc&) {
    code = context.fail({StatusCode::kOutOfMemory, "out of memory"});
  } catch (const std::exception& error) {
    code = context.fail({StatusCode::kInternal, fmt::format("internal error: {}", error.what())});
  }
  if (const Status flushed = context.flush(); !flushed.ok()) return context.fail(flushed);
  return code;
}

}  // namespace
}  // namespace nestor::cli

int main(int argc, char** argv) {
  nestor::cli::hold_standard_descriptors();
  return nestor::cli::run_guarded(std::vector<std::string>(argv + 1, argv + argc));
}
