// Where a command's input comes from: a file, or standard input for "-"; and that the standard
// descriptors are what they are called. Threads: values.
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

// Puts something on each of the descriptors 0 to 2 that is closed, so that no file of a database
// gets its number and with it the messages meant for a person. Reading from it or writing to it
// fails. To be called before anything is opened.
void hold_standard_descriptors();

// Never waits: a FIFO without a writer opens at once, and LineReader waits for it where an
// interrupt reaches. Errors: kNotFound, kIoError, kInvalidArgument (a folder).
Result<InputDescriptor> open_input(const std::string& path);

}  // namespace nestor::cli
