// What stands at the other end of stdout and stderr: a terminal or a file, with colours or without.
// Threads: free functions, safe anywhere.
#pragma once

#include <string>
#include <string_view>

namespace nestor::cli {

struct Terminal {
  bool is_terminal = false;
  bool interactive = false;  // a terminal that can move its cursor (TERM is not "dumb")
  bool colors = false;       // NO_COLOR and CLICOLOR_FORCE are heard, in this order
  int width = 100;           // in columns
};
// STDOUT_FILENO or STDERR_FILENO.
Terminal terminal_of(int descriptor);

enum class Style { kBold, kDim, kGreen, kYellow, kRed, kCyan };
// `text` in colour where the terminal has colours; otherwise as it is.
std::string styled(const Terminal& terminal, Style style, std::string_view text);

// Cut to at most `columns` code points, with "…" at the cut. REQUIRES: well-formed UTF-8.
std::string cut_to_columns(std::string_view text, int columns);

}  // namespace nestor::cli
