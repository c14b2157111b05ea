// `nestor eval`: the quality of search on a benchmark in BEIR's form.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/cli/context.h"

namespace nestor::cli {

void add_eval_command(CLI::App& app, Context& context);

}  // namespace nestor::cli
