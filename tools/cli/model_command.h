// `nestor model pull`, `nestor model pack` and `nestor model info`, a file each.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/cli/context.h"

namespace nestor::cli {

void add_model_command(CLI::App& app, Context& context);

// Of the subcommand `model`.
void add_model_pull_command(CLI::App& model, Context& context);
void add_model_pack_command(CLI::App& model, Context& context);
void add_model_info_command(CLI::App& model, Context& context);

}  // namespace nestor::cli
