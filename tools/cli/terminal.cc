#include "tools/cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "core/file.h"
#include "core/text.h"

namespace nestor::cli {
namespace {

constexpr int kLeastWidth = 40;
constexpr int kMostWidth = 160;

const char* code_of(Style style) {
  switch (style) {
    case Style::kBold:
      return "1";
    case Style::kDim:
      return "2";
    case Style::kGreen:
      return "32";
    case Style::kYellow:
      return "33";
    case Style::kRed:
      return "31";
    case Style::kCyan:
      return "36";
  }
  return "0";
}

}  // namespace

Terminal terminal_of(int descriptor) {
  const std::string kind = environment("TERM");
  const std::string forced = environment("CLICOLOR_FORCE");
  Terminal terminal;
  terminal.is_terminal = ::isatty(descriptor) == 1;
  terminal.interactive = terminal.is_terminal && kind != "dumb" && !kind.empty();
  terminal.colors = environment("NO_COLOR").empty() &&
                    (terminal.interactive || (!forced.empty() && forced != "0"));
  struct winsize size {};
  if (terminal.is_terminal && ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    terminal.width = std::clamp<int>(size.ws_col, kLeastWidth, kMostWidth);
  }
  return terminal;
}

std::string styled(const Terminal& terminal, Style style, std::string_view text) {
  if (!terminal.colors || text.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code_of(style), text);
}

std::string cut_to_columns(std::string_view text, int columns) {
  std::size_t offset = 0;
  std::size_t cut = 0;  // where the "…" goes if there is more
  for (int count = 0; offset < text.size(); ++count) {
    if (count == columns) return std::string(text.substr(0, cut)) + "…";
    if (count < columns) cut = count + 1 < columns ? offset + code_point_bytes(text, offset) : cut;
    offset += code_point_bytes(text, offset);
  }
  return std::string(text);
}

}  // namespace nestor::cli
