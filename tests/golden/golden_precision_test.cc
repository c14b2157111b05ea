// The genuine model packed as int8 and bf16, against the fp32 reference.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "embed/backend.h"
#include "embed/checkpoint.h"
#include "embed/model_folder.h"
#include "embed/pack.h"
#include "nestor/embedder.h"
#include "tests/embed/tiny_model.h"
#include "tests/support/golden.h"
#include "tests/support/test_paths.h"

namespace nestor {
namespace {

using embed::Precision;
using testing::GoldenRole;
using testing::GoldenText;

// The packed genuine model, made anew when this program, and so maybe the packer, is newer. Empty
// without the model.
std::string packed_genuine(Precision precision) {
  const std::string source = testing::genuine_model();
  if (source.empty()) return {};
  std::string path = embed::packed_path(testing::scratch_folder(), precision);
  std::error_code error;
  const auto made = std::filesystem::last_write_time(path, error);
  const auto program =
      std::filesystem::last_write_time(std::filesystem::read_symlink("/proc/self/exe"));
  if (!error && made > program) return path;
  // Checksums of the genuine files are the scratch folder's business too.
  const testing::ScopedEnvironment cache("XDG_CACHE_HOME", testing::scratch_folder().c_str());
  const auto checkpoint =
      embed::open_checkpoint({.path = source, .companion_folder = {}, .allow_unverified = false});
  REQUIRE_MESSAGE(checkpoint.ok(), checkpoint.status().to_string());
  ThreadPool pool(0);
  const Status status = embed::pack_model(*checkpoint.value(), precision, path, pool);
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  return path;
}

Embedder open(const std::string& path, const char* backend = nullptr) {
  const testing::ScopedEnvironment forced("NESTOR_FORCE_BACKEND", backend);
  auto opened = Embedder::open({.model_folder = path});
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

// Mean and least cosine to the reference over all golden texts in one role.
void check_role(const Embedder& embedder, Role role, const GoldenRole GoldenText::*expected,
                double mean_bound, double least_bound) {
  const std::vector<GoldenText> texts = testing::read_golden();
  std::vector<EmbedInput> inputs;
  for (const GoldenText& text : texts) inputs.push_back({.text = text.text, .title = text.title});
  const auto result = embedder.embed(inputs, role);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  double sum = 0;
  double least = 1;
  double count = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].spelled_out()) continue;
    const GoldenRole& want = texts[i].*expected;
    const Embedding& got = result.value()[i];
    CHECK(got.token_count == want.token_count);
    CHECK(got.truncated == want.truncated);
    const double agreement = testing::cosine(got.vector, want.vector);
    CAPTURE(texts[i].name);
    CHECK(agreement >= least_bound);
    sum += agreement;
    least = std::min(least, agreement);
    count += 1;
  }
  MESSAGE(embedder.info().precision, ", ", std::string(role_name(role)), ": mean cosine ",
          sum / count, ", least ", least);
  CHECK(sum / count >= mean_bound);
}

TEST_CASE("int8: golden texts have a mean cosine of 0.9997 and none is under 0.999") {
  const std::string path = packed_genuine(Precision::kInt8);
  if (path.empty()) return testing::skip("the genuine model is not in place");
  const Embedder embedder = open(path);
  CHECK(embedder.info().name == "embeddinggemma-300m");
  CHECK(embedder.info().precision == "int8");
  check_role(embedder, Role::kQuery, &GoldenText::query, 0.9997, 0.999);
  check_role(embedder, Role::kDocument, &GoldenText::document, 0.9997, 0.999);
}

TEST_CASE("bf16: golden texts have a mean cosine of 0.99995") {
  const std::string path = packed_genuine(Precision::kBf16);
  if (path.empty()) return testing::skip("the genuine model is not in place");
  const Embedder embedder = open(path);
  CHECK(embedder.info().precision == "bf16");
  check_role(embedder, Role::kQuery, &GoldenText::query, 0.99995, 0.9995);
  check_role(embedder, Role::kDocument, &GoldenText::document, 0.99995, 0.9995);
}

TEST_CASE("int8: the genuine model's bits are the same on every backend of this machine") {
  const std::string path = packed_genuine(Precision::kInt8);
  if (path.empty()) return testing::skip("the genuine model is not in place");

  // Every sixth text, and the longest, which is past the local window.
  const std::vector<GoldenText> golden = testing::read_golden();
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < golden.size(); i += 6) texts.push_back(golden[i].text);
  const auto longest =
      std::max_element(golden.begin(), golden.end(), [](const GoldenText& a, const GoldenText& b) {
        return a.document.ids.size() < b.document.ids.size();
      });
  CHECK(longest->document.ids.size() > 600);
  texts.push_back(longest->text);
  const std::string short_text = "Which planet is known as the Red Planet?";
  std::vector<std::vector<float>> expected;
  std::vector<float> short_expected;
  for (const std::string& name : embed::backend_names(Precision::kInt8)) {
    CAPTURE(name);
    const Embedder embedder = open(path, name.c_str());
    const auto row = embedder.embed_query(short_text);
    REQUIRE(row.ok());
    if (short_expected.empty()) short_expected = row.value().vector;
    CHECK(row.value().vector == short_expected);
    if (name == "scalar") continue;  // seconds a text
    std::vector<std::vector<float>> vectors;
    for (const std::string& text : texts) {
      vectors.push_back(embedder.embed_document("", text).value().vector);
    }
    if (expected.empty()) expected = vectors;
    CHECK(vectors == expected);
  }
  CHECK_FALSE(short_expected.empty());
}

TEST_CASE("int8: the genuine model's bits do not depend on the batch or the threads") {
  const std::string path = packed_genuine(Precision::kInt8);
  if (path.empty()) return testing::skip("the genuine model is not in place");
  std::vector<GoldenText> golden = testing::read_golden();
  std::erase_if(golden, [](const GoldenText& text) { return text.query.token_count > 300; });
  std::vector<EmbedInput> inputs;
  for (const GoldenText& text : golden) inputs.push_back({.text = text.text});
  std::vector<std::vector<float>> expected;
  for (const int threads : {1, 2, 4}) {
    auto opened = Embedder::open({.model_folder = path, .thread_count = threads});
    REQUIRE(opened.ok());
    const auto together = opened.value().embed(inputs, Role::kDocument);
    REQUIRE(together.ok());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (threads == 1) expected.push_back(together.value()[i].vector);
      CHECK(together.value()[i].vector == expected[i]);
      if (i % 8 == 0) {
        const auto alone = opened.value().embed_document("", inputs[i].text);
        CHECK(alone.value().vector == expected[i]);
      }
    }
  }
}

}  // namespace
}  // namespace nestor
