#include "embed/model_folder.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>

#include "tests/embed/tiny_model.h"
#include "tests/support/cpu_time.h"

namespace nestor::embed {
namespace {

using testing::EmptyHome;
using testing::ScopedEnvironment;
using testing::TempFolder;
using testing::TinyModelCopy;

void copy_tiny_to(const std::string& folder) {
  std::filesystem::create_directories(folder);
  std::filesystem::copy(testing::fixture("tiny-model"), folder,
                        std::filesystem::copy_options::recursive);
}

// The folder found, or the error's text.
std::string found(const std::string& folder) {
  const Result<std::string> result = find_model_folder(folder);
  return result.ok() ? result.value() : result.status().message();
}

TEST_CASE("without a model the error says where it was looked for and what to type, at once") {
  const EmptyHome home;
  const double start = nestor::testing::thread_seconds();
  const auto result = Embedder::open();
  const double taken = nestor::testing::thread_seconds() - start;
  CHECK(taken < 0.2);
  REQUIRE_FALSE(result.ok());
  CHECK(result.status().code() == StatusCode::kModelMissing);
  const std::string message = result.status().message();
  CAPTURE(message);
  for (const char* part :
       {"/.local/share/nestor/models/embeddinggemma-300m", "no such folder",
        "/.cache/huggingface/hub/models--google--embeddinggemma-300m",
        "nestor model pull --accept-gemma-terms", "nestor model pull --from", "NESTOR_MODEL"}) {
    CHECK(message.find(part) != std::string::npos);
  }
  const auto lines = 1 + std::count(message.begin(), message.end(), '\n');
  CHECK(lines >= 4);
  CHECK(lines <= 8);
}

TEST_CASE("a folder that is named is the only one looked at") {
  const EmptyHome home;
  copy_tiny_to(default_model_folder());
  CHECK(found("") == default_model_folder());
  const TempFolder empty;
  const auto asked = find_model_folder(empty.path());
  REQUIRE_FALSE(asked.ok());
  CHECK(asked.status().message().find("it lacks model.safetensors, tokenizer.model") !=
        std::string::npos);
  CHECK(asked.status().message().find(default_model_folder()) == std::string::npos);
  const ScopedEnvironment named("NESTOR_MODEL", empty.path().c_str());
  CHECK_FALSE(find_model_folder("").ok());
  CHECK(find_model_folder(default_model_folder()).ok());
}

TEST_CASE("the Hugging Face cache is found in each of its places, by the commit of main") {
  const EmptyHome home;
  const std::string repository = "/models--google--embeddinggemma-300m";
  const TempFolder place;
  const auto fill = [&](const std::string& hub) {
    copy_tiny_to(hub + repository + "/snapshots/0abc");
    copy_tiny_to(hub + repository + "/snapshots/1def");
    std::filesystem::create_directories(hub + repository + "/refs");
    testing::write_bytes(hub + repository + "/refs/main", "1def\n");
  };
  const std::string snapshot = repository + "/snapshots/1def";
  fill(home.folder / ".cache/huggingface/hub");
  CHECK(found("") == (home.folder / ".cache/huggingface/hub") + snapshot);
  fill(place / "xdg/huggingface/hub");
  const ScopedEnvironment cache("XDG_CACHE_HOME", (place / "xdg").c_str());
  CHECK(found("") == (place / "xdg/huggingface/hub") + snapshot);
  fill(place / "hf/hub");
  const ScopedEnvironment hf_home("HF_HOME", (place / "hf").c_str());
  CHECK(found("") == (place / "hf/hub") + snapshot);
  fill(place / "cache");
  const ScopedEnvironment hub("HF_HUB_CACHE", (place / "cache").c_str());
  CHECK(found("") == (place / "cache") + snapshot);
  // Without refs/main, or with one that points nowhere, a complete snapshot will do.
  testing::write_bytes((place / "cache") + repository + "/refs/main", "../../../../etc");
  CHECK(find_model_folder("").ok());
}

TEST_CASE("snapshots whose files are links to blobs open") {
  const TinyModelCopy model;
  std::filesystem::rename(model / "model.safetensors", model / "blob");
  std::filesystem::create_symlink("blob", model / "model.safetensors");
  CHECK(testing::open_model(model.path()).ok());
}

TEST_CASE("link loops, FIFOs and devices are refused and nothing hangs (case 21)") {
  const TempFolder folder;
  std::filesystem::create_symlink("loop", folder / "loop");
  const auto loop = testing::open_model(folder / "loop");
  REQUIRE_FALSE(loop.ok());
  CHECK(loop.status().code() == StatusCode::kModelMissing);
  CHECK(testing::open_model("/dev/zero").status().code() == StatusCode::kModelMissing);
  for (const char* file : {"model.safetensors", "tokenizer.model", "config.json", "modules.json",
                           "2_Dense/model.safetensors"}) {
    CAPTURE(file);
    const TinyModelCopy model;
    std::filesystem::remove(model / file);
    REQUIRE(mkfifo((model / file).c_str(), 0600) == 0);
    const auto fifo = testing::open_model(model.path());
    REQUIRE_FALSE(fifo.ok());
    CHECK(fifo.status().message().find("not a regular file") != std::string::npos);
    std::filesystem::remove(model / file);
    std::filesystem::create_symlink("/dev/zero", model / file);
    CHECK(testing::open_model(model.path()).status().message().find("not a regular file") !=
          std::string::npos);
  }
}

}  // namespace
}  // namespace nestor::embed
