// The commands that carry a database elsewhere: backup, bundle and unbundle, export and import.
#pragma once

#include "tools/cli/command.h"

namespace nestor::cli {

void add_backup_command(CLI::App& app, Context& context);
void add_bundle_commands(CLI::App& app, Context& context);
void add_export_command(CLI::App& app, Context& context);
void add_import_command(CLI::App& app, Context& context);

}  // namespace nestor::cli
