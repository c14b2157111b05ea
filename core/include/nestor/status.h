// Status and Result: how Nestor reports what went wrong in the world. Nothing is thrown across the
// public interface; a Result holds either a value or the Status that says why there is none.
//
//   nestor::Result<nestor::Database> opened = nestor::Database::open("notes.nestor");
//   if (!opened.ok()) { std::fputs(opened.status().message().c_str(), stderr); return 1; }
//   nestor::Database db = std::move(opened).value();
//
// Threads: values; share a const one freely, guard one that changes.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "nestor/export.h"

namespace nestor {

// What kind of failure. STORED: never renumber (the C ABI and the exit codes lean on the values).
enum class StatusCode : int {
  kOk = 0,
  kInvalidArgument = 1,  // the caller's input is outside its stated range
  kNotFound = 2,         // no such key, collection, file
  kModelMissing = 3,     // an operation needs the model and none is in place
  kModelMismatch = 4,    // the collection belongs to another vector space
  kLocked = 5,           // another process holds the database
  kDataLoss = 6,         // stored bytes are damaged, or acknowledged data is gone
  kUnsupported = 7,      // a newer format, a precision or backend that does not exist here
  kNoSpace = 8,          // the disk is full or nearly so
  kIoError = 9,          // reading or writing failed
  kCancelled = 10,       // the caller asked to stop
  kFailedPrecondition =
      11,               // the object is not in a state to do this (read-only, closed, after fork)
  kAlreadyExists = 12,  // the name is taken
  kOutOfMemory = 13,    // an allocation failed
  kInternal = 14,       // a defect of Nestor or of a library below it
  kDeadlineExceeded = 15,  // the caller's deadline passed
};

// The code's name in the form of messages: "invalid argument", "data loss".
NESTOR_API const char* status_code_name(StatusCode code);

class [[nodiscard]] NESTOR_API Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  [[nodiscard]] bool ok() const { return code_ == StatusCode::kOk; }
  [[nodiscard]] StatusCode code() const { return code_; }
  // What was found, what was expected, what to do next. Empty when ok().
  [[nodiscard]] const std::string& message() const { return message_; }
  // "code name: message", or "ok".
  [[nodiscard]] std::string to_string() const;
  // The same code with `context + ": "` before the message; ok stays ok.
  [[nodiscard]] Status with_context(const std::string& context) const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

namespace internal {
// Ends the program: a Result was asked for the value it does not have.
[[noreturn]] NESTOR_API void fail_bad_result_access(const Status& status);
}  // namespace internal

template <typename T>
class [[nodiscard]] Result {
 public:
  // Implicit on purpose: `return value;` and `return status;` both read as what they are.
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : content_(std::in_place_index<1>, std::move(status)) {
    if (std::get<1>(content_).ok()) {
      std::get<1>(content_) = Status(StatusCode::kInternal, "a Result was made from an ok Status");
    }
  }

  [[nodiscard]] bool ok() const { return content_.index() == 0; }
  // The failure; an ok Status when there is a value.
  [[nodiscard]] Status status() const { return ok() ? Status() : std::get<1>(content_); }

  // REQUIRES: ok(). Anything else ends the program with the status.
  [[nodiscard]] const T& value() const& {
    if (!ok()) internal::fail_bad_result_access(std::get<1>(content_));
    return std::get<0>(content_);
  }
  [[nodiscard]] T& value() & {
    if (!ok()) internal::fail_bad_result_access(std::get<1>(content_));
    return std::get<0>(content_);
  }
  // By value, so that `for (auto& hit : db.search(…).value().hits)` keeps what it walks over alive.
  [[nodiscard]] T value() && {
    if (!ok()) internal::fail_bad_result_access(std::get<1>(content_));
    return std::get<0>(std::move(content_));
  }

 private:
  std::variant<T, Status> content_;
};

}  // namespace nestor
