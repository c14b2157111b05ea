#include "nestor/status.h"

#include <cstdio>
#include <cstdlib>

namespace nestor {

const char* status_code_name(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kInvalidArgument:
      return "invalid argument";
    case StatusCode::kNotFound:
      return "not found";
    case StatusCode::kModelMissing:
      return "model missing";
    case StatusCode::kModelMismatch:
      return "model mismatch";
    case StatusCode::kLocked:
      return "locked";
    case StatusCode::kDataLoss:
      return "data loss";
    case StatusCode::kUnsupported:
      return "unsupported";
    case StatusCode::kNoSpace:
      return "no space";
    case StatusCode::kIoError:
      return "input/output error";
    case StatusCode::kCancelled:
      return "cancelled";
    case StatusCode::kFailedPrecondition:
      return "failed precondition";
    case StatusCode::kAlreadyExists:
      return "already exists";
    case StatusCode::kOutOfMemory:
      return "out of memory";
    case StatusCode::kInternal:
      return "internal error";
    case StatusCode::kDeadlineExceeded:
      return "deadline exceeded";
  }
  return "unknown";
}

std::string Status::to_string() const {
  return ok() ? "ok" : std::string(status_code_name(code_)) + ": " + message_;
}

Status Status::with_context(const std::string& context) const {
  return ok() ? Status() : Status(code_, context + ": " + message_);
}

namespace internal {

void fail_bad_result_access(const Status& status) {
  std::fprintf(stderr, "nestor: value() of a Result that holds none: %s\n",
               status.to_string().c_str());
  std::abort();
}

}  // namespace internal
}  // namespace nestor
