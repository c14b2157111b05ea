#include "tools/cli/trec_run.h"

#include <doctest/doctest.h>

#include <sstream>

using nestor::cli::RankedDocument;

TEST_CASE("scores fall strictly as floats, also where they were equal or rose") {
  const std::vector<RankedDocument> ranking = {
      {"a", 0.75}, {"b", 0.75}, {"c", 0.75 - 1e-12}, {"d", 0.9}, {"e", 0.1}};
  const std::vector<float> scores = nestor::cli::strictly_falling_scores(ranking);
  REQUIRE(scores.size() == 5);
  for (std::size_t i = 1; i < scores.size(); ++i) CHECK(scores[i] < scores[i - 1]);
  CHECK(scores[0] == 0.75F);
  CHECK(scores[3] == doctest::Approx(0.75));
  CHECK(scores[4] == 0.1F);
}

TEST_CASE("a run has six fields a line and its printed scores still fall strictly") {
  nestor::cli::TrecRun run("tag");
  std::vector<RankedDocument> ranking;
  for (int i = 0; i < 100; ++i) ranking.push_back({"d" + std::to_string(i), 0.5});
  REQUIRE(run.add("q1", ranking).ok());
  REQUIRE(run.add("q2", {}).ok());
  std::istringstream lines(run.text());
  float before = 1;
  int rank = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string query, zero, document, tag, rest;
    int given = 0;
    std::string score;
    fields >> query >> zero >> document >> given >> score >> tag;
    CHECK_FALSE(static_cast<bool>(fields >> rest));
    CHECK(query == "q1");
    CHECK(zero == "Q0");
    CHECK(document == "d" + std::to_string(rank));
    CHECK(given == ++rank);
    CHECK(tag == "tag");
    CHECK(std::stof(score) < before);
    before = std::stof(score);
  }
  CHECK(rank == 100);
}

TEST_CASE("an id with white space is refused, for the format has no room for it") {
  nestor::cli::TrecRun run("tag");
  const std::vector<RankedDocument> ranking = {{"two words", 0.5}};
  const nestor::Status status = run.add("q", ranking);
  CHECK(status.code() == nestor::StatusCode::kInvalidArgument);
  CHECK(status.message().find("two words") != std::string::npos);
  CHECK(run.add("", {}).code() == nestor::StatusCode::kInvalidArgument);
}
