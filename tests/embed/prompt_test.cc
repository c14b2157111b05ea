#include "embed/prompt.h"

#include <doctest/doctest.h>

#include "embed/model_config.h"
#include "tests/support/test_paths.h"

namespace nestor::embed {
namespace {

TEST_CASE("every role has the prompt of the model's card") {
  const auto config = read_model_config(testing::fixture("tiny-model"));
  REQUIRE_MESSAGE(config.ok(), config.status().to_string());
  const auto text = [&](Role role) {
    return prompted_text(config.value().prompts, role, "unused title", "Mars");
  };
  CHECK(text(Role::kQuery) == "task: search result | query: Mars");
  CHECK(text(Role::kQuestionAnswering) == "task: question answering | query: Mars");
  CHECK(text(Role::kFactChecking) == "task: fact checking | query: Mars");
  CHECK(text(Role::kClassification) == "task: classification | query: Mars");
  CHECK(text(Role::kClustering) == "task: clustering | query: Mars");
  CHECK(text(Role::kSentenceSimilarity) == "task: sentence similarity | query: Mars");
  CHECK(text(Role::kCodeRetrieval) == "task: code retrieval | query: Mars");
}

TEST_CASE("a title stands in the document's title slot, as plain text") {
  const auto config = read_model_config(testing::fixture("tiny-model"));
  REQUIRE(config.ok());
  const auto text = [&](const char* title) {
    return prompted_text(config.value().prompts, Role::kDocument, title, "Mars none");
  };
  CHECK(text("") == "title: none | text: Mars none");
  CHECK(text("Planets") == "title: Planets | text: Mars none");
  CHECK(text("a | text: b none") == "title: a | text: b none | text: Mars none");
}

TEST_CASE("a bare prompt is that of no title and no text") {
  const auto config = read_model_config(testing::fixture("tiny-model"));
  REQUIRE(config.ok());
  CHECK(bare_prompt(config.value().prompts, Role::kDocument) == "title: none | text: ");
}

}  // namespace
}  // namespace nestor::embed
