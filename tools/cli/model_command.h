// `nestor model pull` and `nestor model info`.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/cli/context.h"

namespace nestor::cli {

void add_model_command(CLI::App& app, Context& context);

}  // namespace nestor::cli
