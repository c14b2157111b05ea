#include "core/caught_status.h"

#include <doctest/doctest.h>

#include <string>

namespace nestor {

TEST_CASE("a caught status says what it is told to, one part after the other") {
  const Status status = caught_status(StatusCode::kInternal, {"the store failed: ", "no", ""});
  CHECK(status.code() == StatusCode::kInternal);
  CHECK(status.message() == "the store failed: no");
}

TEST_CASE("a message that no memory can hold is left out, and the code stays") {
  const char first = 'a';
  const std::string_view too_long(&first, std::string().max_size());
  const Status status = caught_status(StatusCode::kOutOfMemory, {"more: ", too_long});
  CHECK(status.code() == StatusCode::kOutOfMemory);
  CHECK(status.message().empty());
}

}  // namespace nestor
