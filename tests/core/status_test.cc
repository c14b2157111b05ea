#include "nestor/status.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "core/macros.h"

namespace nestor {
namespace {

TEST_CASE("a status is ok until it is given a code, and tells both") {
  const Status fine;
  CHECK(fine.ok());
  CHECK(fine.message().empty());
  CHECK(fine.to_string() == "ok");
  const Status bad(StatusCode::kDataLoss, "f is cut");
  CHECK_FALSE(bad.ok());
  CHECK(bad.code() == StatusCode::kDataLoss);
  CHECK(bad.to_string() == "data loss: f is cut");
}

TEST_CASE("context goes before the message and leaves ok as it is") {
  const Status bad = Status(StatusCode::kIoError, "no").with_context("inner").with_context("outer");
  CHECK(bad.code() == StatusCode::kIoError);
  CHECK(bad.message() == "outer: inner: no");
  CHECK(Status().with_context("outer").to_string() == "ok");
}

TEST_CASE("the codes keep their numbers and each has a name of its own") {
  CHECK(static_cast<int>(StatusCode::kOk) == 0);
  CHECK(static_cast<int>(StatusCode::kInvalidArgument) == 1);
  CHECK(static_cast<int>(StatusCode::kNotFound) == 2);
  CHECK(static_cast<int>(StatusCode::kModelMissing) == 3);
  CHECK(static_cast<int>(StatusCode::kModelMismatch) == 4);
  CHECK(static_cast<int>(StatusCode::kLocked) == 5);
  CHECK(static_cast<int>(StatusCode::kDataLoss) == 6);
  CHECK(static_cast<int>(StatusCode::kUnsupported) == 7);
  CHECK(static_cast<int>(StatusCode::kNoSpace) == 8);
  CHECK(static_cast<int>(StatusCode::kIoError) == 9);
  CHECK(static_cast<int>(StatusCode::kCancelled) == 10);
  CHECK(static_cast<int>(StatusCode::kFailedPrecondition) == 11);
  CHECK(static_cast<int>(StatusCode::kAlreadyExists) == 12);
  CHECK(static_cast<int>(StatusCode::kOutOfMemory) == 13);
  CHECK(static_cast<int>(StatusCode::kInternal) == 14);
  CHECK(static_cast<int>(StatusCode::kDeadlineExceeded) == 15);
  std::set<std::string> names;
  for (int code = 0; code <= 15; ++code) names.insert(status_code_name(StatusCode{code}));
  CHECK(names.size() == 16);
  CHECK(std::string(status_code_name(StatusCode{99})) == "unknown");
}

TEST_CASE("a result holds a value or the reason why there is none") {
  const Result<int> number = 7;
  CHECK(number.ok());
  CHECK(number.status().ok());
  CHECK(number.value() == 7);
  const Result<int> none = Status(StatusCode::kNotFound, "no number");
  CHECK_FALSE(none.ok());
  CHECK(none.status().message() == "no number");
  Result<std::string> text = std::string("a");
  text.value() += "b";
  CHECK(text.value() == "ab");
}

TEST_CASE("a result of what cannot be copied is moved out of") {
  Result<std::unique_ptr<int>> made = std::make_unique<int>(3);
  const std::unique_ptr<int> value = std::move(made).value();
  CHECK(*value == 3);
}

TEST_CASE("a result made from an ok status is a defect, not a value") {
  const Result<int> result = Status();
  CHECK_FALSE(result.ok());
  CHECK(result.status().code() == StatusCode::kInternal);
}

TEST_CASE("asking a result for the value it does not have ends the program") {
  const Result<int> none = Status(StatusCode::kNotFound, "no number");
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    _exit(none.value());
  }
  int how = 0;
  REQUIRE(waitpid(child, &how, 0) == child);
  CHECK(WIFSIGNALED(how));
  CHECK(WTERMSIG(how) == SIGABRT);
}

Result<int> half(int number) {
  if (number % 2 != 0) return Status(StatusCode::kInvalidArgument, "odd");
  return number / 2;
}

Result<int> quarter(int number) {
  NESTOR_ASSIGN_OR_RETURN(const int first, half(number));
  NESTOR_ASSIGN_OR_RETURN(int second, half(first));
  return second;
}

Status check_quarter(int number, bool& reached) {
  NESTOR_RETURN_IF_ERROR(quarter(number).status());
  reached = true;
  return {};
}

TEST_CASE("the macros pass a failure on at once and let a value through") {
  CHECK(quarter(8).value() == 2);
  CHECK(quarter(7).status().message() == "odd");
  CHECK(quarter(6).status().message() == "odd");
  bool reached = false;
  CHECK_FALSE(check_quarter(6, reached).ok());
  CHECK_FALSE(reached);
  CHECK(check_quarter(8, reached).ok());
  CHECK(reached);
}

}  // namespace
}  // namespace nestor
