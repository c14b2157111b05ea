#include "embed/packed_cache.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/file.h"
#include "tests/embed/tiny_packed.h"

namespace nestor::embed {
namespace {

using testing::EmptyHome;
using testing::TempFolder;
using testing::TinyModelCopy;

// The cache in a home of its own.
class Cache {
 public:
  Result<std::string> get(const std::string& source, Precision precision = Precision::kInt8,
                          bool allow_unverified = true) {
    ThreadPool pool(2);
    return cached_packed_model(source, precision, allow_unverified, pool,
                               [&](LogLevel, std::string_view message) {
                                 packings_ += message.find("packing") != std::string_view::npos;
                               });
  }
  std::string made(const std::string& source, Precision precision = Precision::kInt8) {
    const auto path = get(source, precision);
    REQUIRE_MESSAGE(path.ok(), path.status().to_string());
    CHECK(is_regular_file(path.value()));
    return path.value();
  }
  [[nodiscard]] int packings() const { return packings_; }
  [[nodiscard]] static std::vector<std::string> files() {
    std::vector<std::string> names;
    std::error_code error;
    for (std::filesystem::directory_iterator at(cache_folder() + "/models", error), end;
         !error && at != end; at.increment(error)) {
      names.push_back(at->path().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  EmptyHome home_;
  int packings_ = 0;
};

TEST_CASE("a checkpoint is packed once and found again, by its links too") {
  Cache cache;
  const TinyModelCopy model;
  const std::string path = cache.made(model.path());
  CHECK(path.starts_with(cache_folder() + "/models/"));
  CHECK(path.ends_with("-int8.nestor-model"));
  CHECK(cache.made(model.path()) == path);
  const TempFolder elsewhere;
  std::filesystem::create_directory_symlink(model.path(), elsewhere / "link");
  CHECK(cache.made(elsewhere / "link") == path);
  CHECK(cache.packings() == 1);
  CHECK(Cache::files() == std::vector<std::string>{path});
  CHECK(testing::read_bytes(path) == testing::read_bytes(testing::packed_tiny(Precision::kInt8)));
}

TEST_CASE("a checkpoint that changed is packed again; the old file goes, others stay") {
  Cache cache;
  const TinyModelCopy model, other;
  const std::string old = cache.made(model.path());
  const std::string of_other = cache.made(other.path());
  const std::string bf16 = cache.made(model.path(), Precision::kBf16);
  CHECK(old != of_other);
  CHECK(cache.packings() == 3);
  for (const char* name :
       {"model.safetensors", "config.json", "tokenizer.model", "2_Dense/model.safetensors"}) {
    CAPTURE(name);
    const std::string before = cache.made(model.path());
    std::filesystem::last_write_time(
        model / name, std::filesystem::last_write_time(model / name) + std::chrono::seconds(5));
    const std::string after = cache.made(model.path());
    CHECK(after != before);
    CHECK_FALSE(is_regular_file(before));
  }
  CHECK(is_regular_file(of_other));
  CHECK(is_regular_file(bf16));
  CHECK(Cache::files().size() == 3);
}

TEST_CASE("a cached file whose head is damaged is made again") {
  Cache cache;
  const TinyModelCopy model;
  const std::string path = cache.made(model.path());
  const std::string good = testing::read_bytes(path);
  for (const std::string& bytes : {std::string(), good.substr(0, 5000), std::string(5000, 'x')}) {
    testing::write_bytes(path, bytes);
    CHECK(cache.made(model.path()) == path);
    CHECK(testing::read_bytes(path) == good);
  }
  CHECK(cache.packings() == 4);
}

TEST_CASE("a checkpoint that cannot be opened is an error and leaves no file") {
  Cache cache;
  const auto unknown = cache.get(testing::fixture("tiny-model"), Precision::kInt8, false);
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.status().code() == StatusCode::kUnsupported);
  const TempFolder empty;
  CHECK_FALSE(cache.get(empty.path()).ok());
  CHECK_FALSE(cache.get(empty / "none.gguf").ok());
  const TinyModelCopy cut;
  std::filesystem::resize_file(cut / "model.safetensors", 200'000);
  CHECK_FALSE(cache.get(cut.path()).ok());
  CHECK(Cache::files().empty());
}

TEST_CASE("without a cache folder packing is refused with what to set, and f32 still opens") {
  const EmptyHome home;
  const testing::ScopedEnvironment no_home("HOME", nullptr);
  ThreadPool pool(1);
  const auto refused =
      cached_packed_model(testing::fixture("tiny-model"), Precision::kInt8, true, pool, {});
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().code() == StatusCode::kFailedPrecondition);
  CHECK(refused.status().message().find("XDG_CACHE_HOME") != std::string::npos);
  EmbedderOptions options{.model_folder = testing::fixture("tiny-model"),
                          .precision = "int8",
                          .thread_count = 1,
                          .allow_unverified_model = true};
  CHECK(Embedder::open(options).status().code() == StatusCode::kFailedPrecondition);
  options.precision = "auto";
  const auto opened = Embedder::open(options);
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  CHECK(opened.value().info().precision == "f32");
}

}  // namespace
}  // namespace nestor::embed
