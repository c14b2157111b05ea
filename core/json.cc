#include "core/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/text.h"

namespace nestor {
namespace {

using json = JsonValue;

// Reads chars and tells how far the reader has come: the library gives positions with syntax errors
// only.
class TrackedIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackedIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}
  reference operator*() const { return *at_; }
  TrackedIterator& operator++() {
    *reached_ = ++at_;
    return *this;
  }
  bool operator==(const TrackedIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** reached_;
};

// Builds the value while it is read, so that a limit stops the reading and not a tree already in
// memory.
class LimitedBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  LimitedBuilder(std::string_view text, const JsonLimits& limits)
      : limits_(limits),
        most_depth_(std::min(limits.most_depth, kMostJsonDepth)),
        begin_(text.data()),
        reached_(text.data()) {}
  [[nodiscard]] TrackedIterator at(const char* place) { return {place, &reached_}; }

  bool null() override { return place(nullptr); }
  bool boolean(bool value) override { return place(value); }
  bool number_integer(number_integer_t value) override { return place(value); }
  bool number_unsigned(number_unsigned_t value) override { return place(value); }
  bool number_float(number_float_t value, const string_t& written) override {
    if (must_be_exact() && is_rounded(written, value)) return refuse(rounded_number_text(written));
    return place(value);
  }
  bool string(string_t& value) override { return place(std::move(value)); }
  bool binary(binary_t&) override { return refuse("binary data"); }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (stack_.back()->members().contains(name)) {
      return refuse(fmt::format("the member {} stands twice", quote_for_message(name)));
    }
    name_ = std::move(name);
    if (stack_.size() == 1) top_name_ = name_;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: …", with bytes of the
    // input as they came. A number no double holds comes this way too.
    std::string_view text = error.what();
    if (const std::size_t end = text.find("] "); end != text.npos) text.remove_prefix(end + 2);
    text = text.substr(0, floor_to_code_point(text, 200));
    problem_ = fmt::format("not JSON at byte {}: {}", position, escape_for_terminal(text, false));
    return false;
  }

  [[nodiscard]] const std::string& problem() const { return problem_; }
  json take() { return std::move(root_); }

 private:
  bool refuse(const std::string& problem) {
    problem_ = fmt::format("at byte {}: {}", reached_ - begin_, problem);
    return false;
  }

  [[nodiscard]] bool must_be_exact() const {
    if (limits_.exact_below == nullptr) return false;
    const std::string_view name = limits_.exact_below;
    return name.empty() || (!stack_.empty() && stack_.front()->is_object() && top_name_ == name);
  }

  json* attach(json&& value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *stack_.back();
    if (parent.is_array()) return &parent.elements().emplace_back(std::move(value));
    return &(parent.members()[name_] = std::move(value));
  }

  bool counted() {
    if (++values_ > limits_.most_values) {
      return refuse(fmt::format("more than {} values", limits_.most_values));
    }
    return true;
  }

  template <typename Value>
  bool place(Value&& value) {
    if (!counted()) return false;
    attach(json(std::forward<Value>(value)));
    return true;
  }

  bool open(json container) {
    if (!counted()) return false;
    if (static_cast<int>(stack_.size()) >= most_depth_) {
      return refuse(fmt::format("nested deeper than {}", most_depth_));
    }
    // Pointers stay valid: only the container on top of the stack grows.
    stack_.push_back(attach(std::move(container)));
    return true;
  }

  bool close() {
    stack_.pop_back();
    return true;
  }

  JsonLimits limits_;
  int most_depth_;
  const char* begin_;
  const char* reached_;
  std::int64_t values_ = 0;
  std::vector<json*> stack_;
  std::string name_;
  std::string top_name_;  // of the outermost object's member that is read
  json root_;
  std::string problem_;
};

}  // namespace

bool is_rounded(std::string_view written, double value) {
  if (!written.empty() && (written.front() == '-' || written.front() == '+')) {
    written.remove_prefix(1);
  }
  if (written.empty() || written.find_first_not_of("0123456789") != written.npos) return false;
  written.remove_prefix(std::min(written.find_first_not_of('0'), written.size() - 1));
  return fmt::format("{:.0f}", std::abs(value)) != written;
}

std::string rounded_number_text(std::string_view written) {
  return fmt::format(
      "the whole number {} has more digits than are kept: from -2^63 to 2^64 - 1 all of them are. "
      "Write it as a string, or with an exponent to have it rounded",
      quote_for_message(written));
}

Result<json> parse_json(std::string_view text, const JsonLimits& limits) {
  try {
    // The library takes a NUL for the end of its input and would not look at what follows; JSON has
    // none, not even inside strings.
    if (const std::size_t offset = text.find('\0'); offset != text.npos) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("not JSON at byte {}: a NUL byte", offset));
    }
    LimitedBuilder builder(text, limits);
    const char* const end = text.data() + text.size();
    if (!nlohmann::json::sax_parse(builder.at(text.data()), builder.at(end), &builder)) {
      return Status(StatusCode::kInvalidArgument, builder.problem());
    }
    return builder.take();
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory,
                  fmt::format("no memory to read {} bytes of JSON", text.size()));
  } catch (const std::exception& error) {
    return Status(StatusCode::kInvalidArgument, error.what());
  }
}

}  // namespace nestor
