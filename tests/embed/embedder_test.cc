#include "nestor/embedder.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <stop_token>

#include "core/cpu_features.h"
#include "core/vector_math.h"
#include "tests/embed/tiny_model.h"

namespace nestor {
namespace {

using testing::TinyExpectation;

TEST_CASE("the tiny model gives the vectors of the independent forward pass, in both backends") {
  const std::vector<TinyExpectation> expectations = testing::read_tiny_expectations();
  REQUIRE(expectations.size() >= 16);
  for (const char* backend : {"scalar", "vector"}) {
    const Embedder embedder = testing::open_tiny(backend);
    CHECK(embedder.info().backend == backend);
    for (const TinyExpectation& expected : expectations) {
      CAPTURE(backend);
      CAPTURE(expected.text);
      const EmbedInput input{.text = expected.text, .title = expected.title};
      const auto result = embedder.embed({&input, 1}, expected.role);
      REQUIRE_MESSAGE(result.ok(), result.status().to_string());
      const Embedding& got = result.value().front();
      CHECK(got.token_count == expected.output.token_count);
      CHECK(got.truncated == expected.output.truncated);
      CHECK(testing::largest_difference(got.vector, expected.output.vector) <= 1e-5);
    }
  }
}

TEST_CASE("the fixture reaches past the local window and past the context") {
  bool past_window = false, past_context = false;
  for (const TinyExpectation& expected : testing::read_tiny_expectations()) {
    past_window |= expected.output.ids.size() > 30;
    past_context |= expected.output.truncated;
  }
  CHECK(past_window);
  CHECK(past_context);
}

TEST_CASE("roles and titles make different vectors of one text") {
  const Embedder embedder = testing::open_tiny("vector");
  const auto query = embedder.embed_query("Mars").value();
  CHECK(query.vector != embedder.embed_document("", "Mars").value().vector);
  CHECK(embedder.embed_document("", "Mars").value().vector ==
        embedder.embed_document("none", "Mars").value().vector);
  CHECK(embedder.embed_document("Planets", "Mars").value().vector !=
        embedder.embed_document("", "Mars").value().vector);
}

TEST_CASE("a narrower width is the prefix of the full row, at unit length") {
  const Embedder embedder = testing::open_tiny("scalar");
  CHECK(embedder.info().widths == std::vector<int>{768, 512, 256, 128});
  const auto full = embedder.embed_query("Mars").value();
  REQUIRE(full.vector.size() == 768);
  for (const int width : {768, 512, 256, 128}) {
    const auto cut = embedder.embed_query("Mars", {.width = width}).value();
    REQUIRE(cut.vector.size() == static_cast<std::size_t>(width));
    CHECK(std::abs(dot(cut.vector, cut.vector) - 1) < 1e-6);
    CHECK(cut.vector == cut_to_width(full.vector, width));
  }
  for (const int width : {-1, 1, 127, 700, 1024}) {
    const auto refused = embedder.embed_query("Mars", {.width = width});
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.status().code() == StatusCode::kInvalidArgument);
    CHECK(refused.status().message().find("768, 512, 256, 128") != std::string::npos);
  }
}

TEST_CASE("empty texts, blank texts and no texts are fine (case 22)") {
  const Embedder embedder = testing::open_tiny("vector");
  CHECK(embedder.embed({}, Role::kQuery).value().empty());
  for (const char* text : {"", " ", " \n\t "}) {
    const auto result = embedder.embed_query(text);
    REQUIRE(result.ok());
    CHECK(std::abs(dot(result.value().vector, result.value().vector) - 1) < 1e-6);
  }
  CHECK(embedder.count_tokens("").value() == 0);
}

TEST_CASE("a text over its cap is refused with both numbers (case 23)") {
  const Embedder embedder = testing::open_tiny("vector");
  const std::string text((1 << 20) + 1, 'a');
  for (const auto& result : {embedder.embed_query(text), embedder.embed_document(text, "Mars")}) {
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().code() == StatusCode::kInvalidArgument);
    CHECK(result.status().message().find("1,048,577") != std::string::npos);
    CHECK(result.status().message().find("1,048,576") != std::string::npos);
  }
  const auto longest = embedder.embed_query(std::string_view(text).substr(1));
  REQUIRE(longest.ok());
  CHECK(longest.value().truncated);
}

TEST_CASE("ill-formed UTF-8 is refused with its place (case 25)") {
  const Embedder embedder = testing::open_tiny("vector");
  for (const char* text : {"ab\xff\xfe", "ab\xc0\x80", "ab\xed\xa0\x80", "ab\xe2\x82"}) {
    const auto result = embedder.embed_query(text);
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().code() == StatusCode::kInvalidArgument);
    CHECK(result.status().message().find("byte 2") != std::string::npos);
    CHECK_FALSE(embedder.embed_document(text, "Mars").ok());
    CHECK_FALSE(embedder.count_tokens(text).ok());
  }
}

TEST_CASE("NUL bytes are text (case 26)") {
  const Embedder embedder = testing::open_tiny("vector");
  const std::string_view with_nul("a\0b", 3);
  const auto result = embedder.embed_query(with_nul);
  REQUIRE(result.ok());
  CHECK(result.value().token_count == embedder.embed_query("a").value().token_count + 2);
  CHECK(embedder.count_tokens(with_nul).value() == 3);
}

TEST_CASE("precisions and backends that do not exist are refused by name") {
  for (const char* precision : {"f16", "int4", "INT8", "f32 "}) {
    const auto refused = Embedder::open({.precision = precision});
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.status().code() == StatusCode::kUnsupported);
    CHECK(refused.status().message().find("int8, bf16, f32") != std::string::npos);
    CHECK(refused.status().message().find(precision) != std::string::npos);
  }
  const auto backend = testing::open_model(testing::fixture("tiny-model"), "amx-int8");
  REQUIRE_FALSE(backend.ok());
  CHECK(backend.status().code() == StatusCode::kUnsupported);
  CHECK(backend.status().message().find("amx-int8") != std::string::npos);
  CHECK(Embedder::open({.thread_count = -1}).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("a model whose tokenizer is unknown is refused unless allowed") {
  const testing::TempFolder cache;
  const testing::ScopedEnvironment cache_folder("XDG_CACHE_HOME", cache.path().c_str());
  for (const char* precision : {"f32", "int8", "auto"}) {
    const auto refused =
        Embedder::open({.model_folder = testing::fixture("tiny-model"), .precision = precision});
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.status().code() == StatusCode::kUnsupported);
  }
  const Embedder allowed = testing::open_tiny("vector");
  CHECK(allowed.info().name.starts_with("unverified-"));
  CHECK(allowed.info().space.size() == 64);
  CHECK(allowed.info().precision == "f32");
  CHECK(allowed.info().thread_count == useful_thread_count(2));
}

TEST_CASE("a stop is heard before and during the work") {
  const Embedder embedder = testing::open_tiny("scalar", 1);
  std::stop_source before;
  before.request_stop();
  const auto at_once = embedder.embed_query("Mars", {.stop = before.get_token()});
  REQUIRE_FALSE(at_once.ok());
  CHECK(at_once.status().code() == StatusCode::kCancelled);

  const std::vector<EmbedInput> inputs(60'000, EmbedInput{.text = "the keys of a sorted run"});
  std::stop_source during;
  std::int64_t done = 0;
  const auto stopped =
      embedder.embed(inputs, Role::kDocument,
                     {.stop = during.get_token(), .progress = [&](const Progress& progress) {
                        done = progress.passages_done;
                        during.request_stop();
                      }});
  REQUIRE_FALSE(stopped.ok());
  CHECK(stopped.status().code() == StatusCode::kCancelled);
  CHECK(done > 0);
  CHECK(done < 60'000);
}

TEST_CASE("copies share one model and outlive the first handle") {
  std::vector<float> expected;
  const Embedder copy = [&] {
    const Embedder first = testing::open_tiny("scalar");
    expected = first.embed_query("Mars").value().vector;
    return first;
  }();
  CHECK(copy.embed_query("Mars").value().vector == expected);
}

TEST_CASE("after a fork every call in the child is refused, and the child can end") {
  Embedder embedder = testing::open_tiny("vector");
  REQUIRE(embedder.embed_query("Mars").ok());
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(20);  // a hang must not outlive the test
    int wrong = 0;
    {
      const Embedder copy = embedder;
      wrong += copy.embed_query("Mars").status().code() != StatusCode::kFailedPrecondition;
      wrong += copy.embed_document("", "x").status().code() != StatusCode::kFailedPrecondition;
      wrong += copy.count_tokens("Mars").status().code() != StatusCode::kFailedPrecondition;
      const Embedder own = testing::open_tiny("vector");
      wrong += !own.embed_query("Mars").ok();
      embedder = own;  // lets the parent's model go in the child
    }
    _exit(wrong);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(embedder.embed_query("Mars").ok());
}

}  // namespace
}  // namespace nestor
