#include "tools/cli/line_reader.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <system_error>

#include "core/check.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor::cli {
namespace {

constexpr std::size_t kReadBytes = 256 << 10;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

// A descriptor that becomes readable when the stop comes, so that one poll waits for both.
struct LineReader::Wake {
  explicit Wake(const std::stop_token& stop)
      : descriptor(::eventfd(0, EFD_CLOEXEC)), callback(stop, [this] {
          const std::uint64_t one = 1;
          [[maybe_unused]] const ssize_t written = ::write(descriptor, &one, sizeof(one));
        }) {
    NESTOR_CHECK(descriptor >= 0, "no descriptor to be woken by");
  }
  ~Wake() { ::close(descriptor); }
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;

  int descriptor;
  std::stop_callback<std::function<void()>> callback;
};

LineReader::LineReader(int descriptor, std::stop_token stop, std::size_t most_line_bytes)
    : descriptor_(descriptor),
      stop_(std::move(stop)),
      most_line_bytes_(most_line_bytes),
      wake_(std::make_unique<Wake>(stop_)) {}

LineReader::~LineReader() = default;

Status LineReader::fill() {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
  }
  const std::size_t had = buffer_.size();
  buffer_.resize(had + kReadBytes);
  ssize_t count = 0;
  int error = 0;
  do {
    pollfd waiting[2] = {{descriptor_, POLLIN, 0}, {wake_->descriptor, POLLIN, 0}};
    while (::poll(waiting, 2, -1) < 0 && errno == EINTR) {
    }
    if (stop_.stop_requested()) {
      buffer_.resize(had);
      return {StatusCode::kCancelled, "reading the input was stopped"};
    }
    count = ::read(descriptor_, buffer_.data() + had, kReadBytes);
    error = errno;
  } while (count < 0 && (error == EINTR || error == EAGAIN));
  buffer_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  if (count < 0) {
    return {StatusCode::kIoError,
            "cannot read the input: " + std::generic_category().message(error)};
  }
  ended_ = count == 0;
  return {};
}

Result<std::optional<std::string_view>> LineReader::next() {
  std::size_t end = buffer_.npos;
  while ((end = buffer_.find('\n', scanned_)) == buffer_.npos) {
    scanned_ = buffer_.size();
    if (scanned_ - begin_ > most_line_bytes_) break;
    if (ended_) break;
    NESTOR_RETURN_IF_ERROR(fill());
  }
  const std::size_t bytes = std::min(end, buffer_.size()) - begin_;
  if (bytes > most_line_bytes_) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("line {} is longer than {} bytes, the most that a line may have",
                              line_number_ + 1, with_thousands(std::int64_t(most_line_bytes_))));
  }
  was_cut_ = end == buffer_.npos;
  if (was_cut_ && bytes == 0) return std::optional<std::string_view>();
  std::string_view line = std::string_view(buffer_).substr(begin_, bytes);
  begin_ = was_cut_ ? buffer_.size() : end + 1;
  scanned_ = begin_;
  if (++line_number_ == 1 && line.starts_with(kByteOrderMark)) {
    line.remove_prefix(kByteOrderMark.size());
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  return std::optional<std::string_view>(line);
}

Result<std::string> LineReader::rest(std::size_t most_bytes) {
  while (!ended_) {
    NESTOR_RETURN_IF_ERROR(fill());
    if (buffer_.size() - begin_ > most_bytes) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("the input is longer than {} bytes, the most that is taken",
                                with_thousands(std::int64_t(most_bytes))));
    }
  }
  std::string all = buffer_.substr(begin_);
  begin_ = scanned_ = buffer_.size();
  return all;
}

bool LineReader::ready() const {
  if (ended_ || buffer_.find('\n', begin_) != buffer_.npos) return true;
  pollfd waiting = {descriptor_, POLLIN, 0};
  return ::poll(&waiting, 1, 0) > 0;
}

}  // namespace nestor::cli
