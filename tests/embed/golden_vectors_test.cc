// The genuine model against the fp32 reference.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/vector_math.h"
#include "nestor/embedder.h"
#include "tests/support/golden.h"
#include "tests/support/test_paths.h"

namespace nestor {
namespace {

using testing::GoldenRole;
using testing::GoldenText;

void check_role(const Embedder& embedder, const std::vector<GoldenText>& texts, Role role,
                const GoldenRole GoldenText::*expected) {
  std::vector<EmbedInput> inputs;
  for (const GoldenText& text : texts) inputs.push_back({.text = text.text, .title = text.title});
  const auto result = embedder.embed(inputs, role);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  double least = 1;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].spelled_out()) continue;
    const Embedding& got = result.value()[i];
    const GoldenRole& want = texts[i].*expected;
    CAPTURE(texts[i].name);
    CHECK(got.token_count == want.token_count);
    CHECK(got.truncated == want.truncated);
    for (const int width : {768, 512, 256, 128}) {
      const double agreement =
          testing::cosine(cut_to_width(got.vector, width),
                          std::span(want.vector).first(static_cast<std::size_t>(width)));
      CHECK_MESSAGE(agreement >= 0.99999, "width ", width, ": cosine ", agreement);
      least = std::min(least, agreement);
    }
  }
  MESSAGE(std::string(role_name(role)), ": least cosine ", 1 - least, " below 1");
}

TEST_CASE("every golden text has its vector, in both roles and at all widths") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto embedder = Embedder::open({.model_folder = folder, .precision = "f32"});
  REQUIRE_MESSAGE(embedder.ok(), embedder.status().to_string());
  CHECK(embedder.value().info().name == "embeddinggemma-300m");
  CHECK(embedder.value().info().widths == std::vector<int>{768, 512, 256, 128});
  CHECK(embedder.value().info().context_tokens == 2048);
  const std::vector<GoldenText> texts = testing::read_golden();
  REQUIRE(texts.size() == 60);
  check_role(embedder.value(), texts, Role::kQuery, &GoldenText::query);
  check_role(embedder.value(), texts, Role::kDocument, &GoldenText::document);
}

TEST_CASE("the model card's example comes out within 1e-3") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto embedder = Embedder::open({.model_folder = folder, .precision = "f32"});
  REQUIRE_MESSAGE(embedder.ok(), embedder.status().to_string());
  const auto query = embedder.value().embed_query("Which planet is known as the Red Planet?");
  REQUIRE(query.ok());
  const std::vector<EmbedInput> documents = {
      {.text = "Venus is often called Earth's twin because of its similar size and proximity."},
      {.text = "Mars, known for its reddish appearance, is often referred to as the Red Planet."},
      {.text = "Jupiter, the largest planet in our solar system, has a prominent red spot."},
      {.text = "Saturn, famous for its rings, is sometimes mistaken for the Red Planet."}};
  const auto rows = embedder.value().embed(documents, Role::kDocument);
  REQUIRE(rows.ok());
  const double expected[] = {0.3011, 0.6359, 0.4930, 0.4889};
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const double score = dot(query.value().vector, rows.value()[i].vector);
    CHECK(std::abs(score - expected[i]) <= 1e-3);
  }
}

}  // namespace
}  // namespace nestor
