#include "tools/cli/confirm.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "core/macros.h"
#include "core/text.h"
#include "tools/cli/line_reader.h"

namespace nestor::cli {

bool can_ask() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1; }

Result<bool> ask(const std::string& question, Context& context) {
  context.prompt(question + " [y/N] ");
  LineReader reader(STDIN_FILENO, context.stop);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string_view> line, reader.next());
  if (!line.has_value()) return false;
  std::string answer(*line);
  std::transform(answer.begin(), answer.end(), answer.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return answer == "y" || answer == "yes";
}

}  // namespace nestor::cli
