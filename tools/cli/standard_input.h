// Where a command's input comes from: a file, or standard input for "-".
// Threads: values.
#pragma once

#include <string>
#include <utility>

#include "nestor/status.h"

namespace nestor::cli {

// Closes what it opened; standard input stays open.
class InputDescriptor {
 public:
  explicit InputDescriptor(int value) : value_(value) {}
  ~InputDescriptor();
  InputDescriptor(InputDescriptor&& other) noexcept : value_(std::exchange(other.value_, 0)) {}
  InputDescriptor& operator=(InputDescriptor&&) = delete;
  InputDescriptor(const InputDescriptor&) = delete;
  InputDescriptor& operator=(const InputDescriptor&) = delete;
  [[nodiscard]] int get() const { return value_; }

 private:
  int value_;
};

// Errors: kNotFound, kIoError, kInvalidArgument (a folder).
Result<InputDescriptor> open_input(const std::string& path);

}  // namespace nestor::cli
