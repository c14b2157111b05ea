#include "nestor/options.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/log.h"

namespace nestor {
namespace {

TEST_CASE("roles keep their numbers and their names on the command line") {
  const std::vector<std::pair<int, std::string>> expected = {
      {0, "query"},          {1, "document"},   {2, "question-answering"},  {3, "fact-checking"},
      {4, "classification"}, {5, "clustering"}, {6, "sentence-similarity"}, {7, "code-retrieval"}};
  for (const auto& [number, name] : expected) {
    CHECK(std::string(role_name(Role{number})) == name);
    const auto parsed = parse_role(name);
    REQUIRE(parsed.ok());
    CHECK(static_cast<int>(parsed.value()) == number);
  }
  CHECK(std::string(role_name(Role{8})) == "unknown");
}

TEST_CASE("a role that there is not is refused with those there are, and quoted safely") {
  const Status status = parse_role("querry").status();
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(status.message() ==
        "no role 'querry'; there are query, document, question-answering, fact-checking, "
        "classification, clustering, sentence-similarity, code-retrieval");
  for (const char* name : {"", "Query", "query ", "unknown"}) CHECK_FALSE(parse_role(name).ok());
  CHECK(parse_role("\x1b[2J\xff").status().message().starts_with("no role '\\x1b[2J\\xff'"));
  CHECK(parse_role(std::string(100'000, 'x')).status().message().size() < 300);
}

TEST_CASE("a warning reaches the callback, and without one nobody") {
  std::vector<std::pair<LogLevel, std::string>> heard;
  log_to([&](LogLevel level, std::string_view message) { heard.emplace_back(level, message); },
         LogLevel::kWarning, "low");
  log_to({}, LogLevel::kWarning, "nobody listens");
  REQUIRE(heard.size() == 1);
  CHECK(heard[0] == std::pair<LogLevel, std::string>(LogLevel::kWarning, "low"));
}

}  // namespace
}  // namespace nestor
