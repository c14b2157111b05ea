#include "embed/pack.h"

#include <doctest/doctest.h>

#include <iterator>

#include "core/vector_math.h"
#include "embed/backend.h"
#include "tests/embed/gguf_writer.h"
#include "tests/embed/tiny_packed.h"

namespace nestor::embed {
namespace {

using testing::embed_expectations;
using testing::kPrecisions;
using testing::open_packed;
using testing::packed_tiny;
using testing::TempFolder;
using testing::TinyExpectation;

TEST_CASE("each precision stays near the reference: f32 1e-9, bf16 5e-4, int8 1e-3 below 1") {
  const std::vector<TinyExpectation> expectations = testing::read_tiny_expectations();
  for (const Precision precision : kPrecisions) {
    CAPTURE(std::string(precision_name(precision)));
    const Embedder embedder = open_packed(packed_tiny(precision));
    CHECK(embedder.info().precision == precision_name(precision));
    CHECK(embedder.info().folder == packed_tiny(precision));
    const double bound = precision == Precision::kF32    ? 1e-9
                         : precision == Precision::kBf16 ? 5e-4
                                                         : 1e-3;
    double worst = 0;
    for (const TinyExpectation& expected : expectations) {
      const EmbedInput input{.text = expected.text, .title = expected.title};
      const auto result = embedder.embed({&input, 1}, expected.role);
      REQUIRE_MESSAGE(result.ok(), result.status().to_string());
      const Embedding& got = result.value().front();
      CHECK(got.token_count == expected.output.token_count);
      CHECK(got.truncated == expected.output.truncated);
      worst = std::max(worst, 1 - testing::cosine(got.vector, expected.output.vector));
    }
    MESSAGE(std::string(precision_name(precision)), ": least cosine ", worst, " below 1");
    CHECK(worst <= bound);
  }
}

TEST_CASE("f32 gives the folder's vectors within 1e-6, packed or not") {
  for (const char* backend : {"scalar", "vector"}) {
    const auto folder = embed_expectations(testing::open_tiny(backend));
    const auto packed = embed_expectations(open_packed(packed_tiny(Precision::kF32), backend));
    for (std::size_t i = 0; i < folder.size(); ++i) {
      CHECK(testing::largest_difference(folder[i], packed[i]) <= 1e-6);
    }
  }
}

TEST_CASE("a packed model is the checkpoint it was made of: name, space, widths, context") {
  const Embedder folder = testing::open_tiny("scalar");
  for (const Precision precision : kPrecisions) {
    const Embedder packed = open_packed(packed_tiny(precision));
    CHECK(packed.info().name == folder.info().name);
    CHECK(packed.info().space == folder.info().space);
    CHECK(packed.info().weights_sha256 == folder.info().weights_sha256);
    CHECK(packed.info().widths == folder.info().widths);
    CHECK(packed.info().context_tokens == folder.info().context_tokens);
    CHECK(packed.count_tokens("Mars is red").value() == folder.count_tokens("Mars is red").value());
  }
}

TEST_CASE("int8: a vector's bits do not depend on the batch or the number of threads") {
  const std::string& path = packed_tiny(Precision::kInt8);
  const auto expected = embed_expectations(open_packed(path, nullptr, 1), true);
  for (const int threads : {1, 2, 4}) {
    const Embedder embedder = open_packed(path, nullptr, threads);
    CAPTURE(threads);
    CHECK(embed_expectations(embedder, true) == expected);
    CHECK(embed_expectations(embedder, false) == expected);
  }
}

TEST_CASE("int8: every backend of this machine gives the same bits") {
  const std::string& path = packed_tiny(Precision::kInt8);
  const auto expected = embed_expectations(open_packed(path, "scalar"));
  for (const std::string& name : backend_names(Precision::kInt8)) {
    CAPTURE(name);
    const Embedder embedder = open_packed(path, name.c_str());
    CHECK(embedder.info().backend == name);
    CHECK(embed_expectations(embedder) == expected);
  }
}

TEST_CASE("bf16: every backend of this machine is within 2e-4 of the scalar one") {
  const std::string& path = packed_tiny(Precision::kBf16);
  const auto expected = embed_expectations(open_packed(path, "scalar"));
  for (const std::string& name : backend_names(Precision::kBf16)) {
    CAPTURE(name);
    const auto got = embed_expectations(open_packed(path, name.c_str()));
    for (std::size_t i = 0; i < got.size(); ++i) {
      CHECK(testing::cosine(got[i], expected[i]) >= 1 - 2e-4);
    }
  }
}

TEST_CASE("a forced backend that cannot be had is refused, with those that can") {
  for (const Precision precision : kPrecisions) {
    const auto refused = testing::open_model(packed_tiny(precision), "neon-dotprod", 2, "");
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.status().code() == StatusCode::kUnsupported);
    CHECK(refused.status().message().find("neon-dotprod") != std::string::npos);
    for (const std::string& name : backend_names(precision)) {
      CHECK(refused.status().message().find(name) != std::string::npos);
    }
  }
}

TEST_CASE("packing again gives the same bytes, with any number of threads and any backend") {
  const TempFolder folder;
  for (const Precision precision : kPrecisions) {
    const std::string expected = testing::read_bytes(packed_tiny(precision));
    for (const int threads : {1, 3}) {
      testing::pack_to(folder / "again", precision, testing::fixture("tiny-model"), threads);
      CHECK(testing::read_bytes(folder / "again") == expected);
    }
  }
  for (const std::string& name : backend_names(Precision::kInt8)) {
    CAPTURE(name);
    const testing::ScopedEnvironment forced("NESTOR_FORCE_BACKEND", name.c_str());
    testing::pack_to(folder / "again", Precision::kInt8);
    CHECK(testing::read_bytes(folder / "again") ==
          testing::read_bytes(packed_tiny(Precision::kInt8)));
  }
}

TEST_CASE("progress grows up to its total, and stopping leaves the old file and nothing else") {
  const auto checkpoint = testing::open_unverified(testing::fixture("tiny-model"));
  ThreadPool pool(2);
  for (const Precision precision : kPrecisions) {
    const TempFolder folder;
    testing::write_bytes(folder / "model", "old");
    std::uint64_t before = 0;
    std::uint64_t last_total = 0;
    int reports = 0;
    const Status whole = pack_model(*checkpoint, precision, folder / "other", pool,
                                    [&](std::uint64_t done, std::uint64_t total) {
                                      CHECK(done >= before);
                                      CHECK(done <= total);
                                      before = done;
                                      last_total = total;
                                      ++reports;
                                      return true;
                                    });
    REQUIRE_MESSAGE(whole.ok(), whole.to_string());
    CHECK(reports > 1);
    CHECK(before == last_total);
    std::filesystem::remove(folder / "other");
    for (int stop_at = 1; stop_at <= reports; ++stop_at) {
      int heard = 0;
      const Status stopped =
          pack_model(*checkpoint, precision, folder / "model", pool,
                     [&](std::uint64_t, std::uint64_t) { return ++heard < stop_at; });
      CHECK(stopped.code() == StatusCode::kCancelled);
      CHECK(testing::read_bytes(folder / "model") == "old");
      CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
    }
  }
}

TEST_CASE("packing to where nothing can be written is an error that names the path") {
  const auto checkpoint = testing::open_unverified(testing::fixture("tiny-model"));
  ThreadPool pool(1);
  const TempFolder folder;
  const Status status = pack_model(*checkpoint, Precision::kInt8, folder / "none/model", pool);
  CHECK_FALSE(status.ok());
  CHECK(status.message().find(folder / "none/model") != std::string::npos);
}

TEST_CASE("a GGUF of the model packs to vectors beside those of the folder") {
  const auto tiny = testing::open_unverified(testing::fixture("tiny-model"));
  struct Case {
    NumberFormat format;
    double bound;
  };
  for (const Case& one : {Case{NumberFormat::kF32, 1e-3}, Case{NumberFormat::kQ8_0, 2e-3}}) {
    const TempFolder folder;
    testing::write_bytes(folder / "tiny.gguf",
                         testing::tiny_gguf(*tiny, {.format = one.format}).file());
    for (const Precision precision : {Precision::kF32, Precision::kInt8}) {
      testing::pack_to(folder / "packed", precision, folder / "tiny.gguf");
      const Embedder embedder = open_packed(folder / "packed");
      CHECK(embedder.info().space ==
            testing::open_unverified(folder / "tiny.gguf")->identity().space);
      const auto got = embed_expectations(embedder);
      const auto want = embed_expectations(open_packed(packed_tiny(Precision::kF32)));
      double worst = 0;
      for (std::size_t i = 0; i < got.size(); ++i) {
        worst = std::max(worst, 1 - testing::cosine(got[i], want[i]));
      }
      MESSAGE("GGUF as ", std::string(precision_name(precision)), ": ", worst);
      CHECK(worst <= one.bound);
    }
  }
}

TEST_CASE("a checkpoint's folder that is opened as int8 is packed into the cache and stays there") {
  const TempFolder cache;
  const testing::ScopedEnvironment cache_folder("XDG_CACHE_HOME", cache.path().c_str());
  std::vector<std::string> said;
  const EmbedderOptions options{
      .model_folder = testing::fixture("tiny-model"),
      .precision = "int8",
      .thread_count = 1,
      .allow_unverified_model = true,
      .log = [&](LogLevel, std::string_view message) { said.emplace_back(message); }};
  const auto first = Embedder::open(options);
  REQUIRE_MESSAGE(first.ok(), first.status().to_string());
  CHECK(first.value().info().folder.starts_with(cache / "nestor/models/"));
  const auto packings = [&] {
    return std::count_if(said.begin(), said.end(), [](const std::string& line) {
      return line.find("packing") != std::string::npos;
    });
  };
  CHECK(packings() == 1);
  const auto second = Embedder::open(options);
  REQUIRE(second.ok());
  CHECK(packings() == 1);
  CHECK(second.value().info().folder == first.value().info().folder);
  CHECK(embed_expectations(second.value()) ==
        embed_expectations(open_packed(packed_tiny(Precision::kInt8))));
}

}  // namespace
}  // namespace nestor::embed
