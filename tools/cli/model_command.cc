#include "tools/cli/model_command.h"

namespace nestor::cli {

void add_model_command(CLI::App& app, Context& context) {
  CLI::App& model = *app.add_subcommand("model", "Get the model, pack it, or see what is in place");
  model.require_subcommand(1);
  add_model_pull_command(model, context);
  add_model_pack_command(model, context);
  add_model_info_command(model, context);
}

}  // namespace nestor::cli
