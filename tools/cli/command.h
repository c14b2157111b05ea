// The pattern of a subcommand: one file that offers `void add_<name>_command(CLI::App& app,
// Context& context)`, listed in main.cc.
//
//   void add_stats_command(CLI::App& app, Context& context) {
//     CLI::App& command = *app.add_subcommand("stats", "What a database holds");
//     auto options = std::make_shared<StatsOptions>();   // shared: the parser and the action
//     command.add_option("DB", options->database, "…")->required();
//     set_action(command, context, [options](Context& c) { return run_stats(*options, c); });
//   }
//
// The action returns an exit code; what went wrong is reported by `return context.fail(status)`.
// Results go to stdout by context.print, everything else to stderr by context.note. The global
// options (--model, --quiet, …) may stand before or after the subcommand's name.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "tools/cli/context.h"

namespace nestor::cli {

// Makes `action` what main runs when `command` was typed. A command with subcommands of its own
// sets one for each of them.
void set_action(CLI::App& command, Context& context, std::function<int(Context&)> action);

void add_index_command(CLI::App& app, Context& context);
void add_search_command(CLI::App& app, Context& context);
void add_add_command(CLI::App& app, Context& context);
void add_get_command(CLI::App& app, Context& context);
void add_list_command(CLI::App& app, Context& context);
void add_delete_command(CLI::App& app, Context& context);
void add_recall_command(CLI::App& app, Context& context);
void add_stats_command(CLI::App& app, Context& context);
void add_repair_command(CLI::App& app, Context& context);
void add_compact_command(CLI::App& app, Context& context);
void add_verify_command(CLI::App& app, Context& context);
void add_reembed_command(CLI::App& app, Context& context);
void add_embed_command(CLI::App& app, Context& context);
void add_doctor_command(CLI::App& app, Context& context);

}  // namespace nestor::cli
