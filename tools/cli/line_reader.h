// Lines from a stranger: read from a descriptor piece by piece, with a cap on the length of a line,
// so that no input takes more memory than that. Ctrl-C ends a read that waits. Threads: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "nestor/status.h"

namespace nestor::cli {

// Four times the largest document: room for the escapes of JSON.
inline constexpr std::size_t kMostLineBytes = 64 << 20;

class LineReader {
 public:
  // The descriptor stays the caller's.
  LineReader(int descriptor, std::stop_token stop, std::size_t most_line_bytes = kMostLineBytes);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line without its "\n" or "\r\n", valid until the next call; nothing at the end. A byte
  // order mark before the first line is taken off. Errors: kInvalidArgument (a line over the cap),
  // kCancelled, kIoError.
  Result<std::optional<std::string_view>> next();
  // Everything that is left. Errors: as next(), with `most_bytes` for the cap.
  Result<std::string> rest(std::size_t most_bytes);

  // Of the line that next() gave last; from 1.
  [[nodiscard]] std::int64_t line_number() const { return line_number_; }
  // The line that next() gave last was the last and had no line end.
  [[nodiscard]] bool was_cut() const { return was_cut_; }
  // next() would answer without waiting.
  [[nodiscard]] bool ready() const;

 private:
  struct Wake;
  Status fill();

  int descriptor_;
  std::stop_token stop_;
  std::size_t most_line_bytes_;
  std::unique_ptr<Wake> wake_;
  std::string buffer_;
  std::size_t begin_ = 0;    // of what is not given out yet
  std::size_t scanned_ = 0;  // no line end before here
  bool ended_ = false;
  bool was_cut_ = false;
  std::int64_t line_number_ = 0;
};

}  // namespace nestor::cli
