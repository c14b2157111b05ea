#include "embed/fingerprint.h"

#include <doctest/doctest.h>

#include <set>

#include "core/hash.h"
#include "tests/embed/tiny_model.h"

namespace nestor::embed {
namespace {

using testing::ScopedEnvironment;
using testing::TempFolder;
using testing::TinyModelCopy;

TEST_CASE("the table names eleven files, each once") {
  std::set<std::string> paths, hashes;
  for (const KnownModelFile& file : known_model_files()) {
    paths.insert(file.path);
    hashes.insert(file.sha256);
    CHECK(std::string(file.sha256).size() == 64);
    CHECK(file.bytes > 0);
  }
  CHECK(paths.size() == 11);
  CHECK(hashes.size() == 11);
}

TEST_CASE("the genuine model verifies, file by file") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  std::uint64_t last = 0, all = 0;
  const auto reports = verify_model_files(folder, [&](std::uint64_t done, std::uint64_t total) {
    CHECK(done >= last);
    last = done;
    all = total;
    return true;
  });
  REQUIRE(reports.ok());
  CHECK(reports.value().size() == 11);
  CHECK(last == all);
  for (const ModelFileReport& report : reports.value()) {
    CAPTURE(report.problem);
    CHECK(report.state == ModelFileState::kGood);
  }
}

TEST_CASE("missing, differing and unreadable files are told apart, and a stop is heard") {
  const TinyModelCopy model;
  std::filesystem::remove(model / "tokenizer.json");
  std::filesystem::remove(model / "modules.json");
  std::filesystem::create_directory(model / "modules.json");
  testing::write_bytes(model / "1_Pooling/config.json", std::string(312, ' '));  // the right size
  const auto reports = verify_model_files(model.path());
  REQUIRE(reports.ok());
  for (const ModelFileReport& report : reports.value()) {
    const std::string path = report.known->path;
    CAPTURE(path);
    CHECK_FALSE(report.problem.empty());
    if (path == "tokenizer.json") CHECK(report.state == ModelFileState::kMissing);
    if (path == "modules.json") CHECK(report.state == ModelFileState::kUnreadable);
    if (path == "config.json") CHECK(report.state == ModelFileState::kDiffers);
    if (path == "1_Pooling/config.json") {
      CHECK(report.state == ModelFileState::kDiffers);
      CHECK(report.sha256 == sha256_hex(std::string(312, ' ')));
    }
  }
  const auto stopped = verify_model_files(model.path(), [](auto, auto) { return false; });
  REQUIRE_FALSE(stopped.ok());
  CHECK(stopped.status().code() == StatusCode::kCancelled);
}

TEST_CASE("a checksum is remembered until the file changes, and the cache is not trusted") {
  const TempFolder folder, cache;
  const ScopedEnvironment cache_folder("XDG_CACHE_HOME", cache.path().c_str());
  const std::string path = folder / "file", remembered = cache / "nestor/checksums.json";
  testing::write_bytes(path, "one");
  CHECK(cached_sha256_of_file(path).value() == sha256_hex("one"));
  CHECK(cached_sha256_of_file(path).value() == sha256_hex("one"));
  // It is the cache that answers: a planted value comes back.
  const std::string good = testing::read_bytes(remembered);
  std::string planted = good;
  const std::string other = sha256_hex("planted");
  planted.replace(planted.find(sha256_hex("one")), other.size(), other);
  testing::write_bytes(remembered, planted);
  CHECK(cached_sha256_of_file(path).value() == other);
  testing::write_bytes(path, "two!");
  CHECK(cached_sha256_of_file(path).value() == sha256_hex("two!"));
  for (const char* rubbish : {"", "{", "[1]", "{\"a\":{\"sha256\":7}}", "\xff"}) {
    testing::write_bytes(remembered, rubbish);
    CHECK(cached_sha256_of_file(path).value() == sha256_hex("two!"));
  }
  std::filesystem::remove_all(cache / "nestor");
  testing::write_bytes(cache / "nestor", "a file where the folder should be");
  CHECK(cached_sha256_of_file(path).value() == sha256_hex("two!"));
  CHECK_FALSE(cached_sha256_of_file(folder / "nothing").ok());
}

TEST_CASE("a space changes with each of its parts and with nothing else") {
  const auto config = read_model_config(testing::fixture("tiny-model"));
  REQUIRE(config.ok());
  const SpaceParts parts{.weights_sha256 = sha256_hex("w"),
                         .dense_sha256s = {sha256_hex("a"), sha256_hex("b")},
                         .tokenizer_sha256 = sha256_hex("t"),
                         .config = &config.value()};
  std::set<std::string> spaces = {space_of(parts)};
  CHECK(space_of(parts) == *spaces.begin());
  SpaceParts changed = parts;
  changed.weights_sha256 = sha256_hex("v");
  spaces.insert(space_of(changed));
  changed = parts;
  std::swap(changed.dense_sha256s[0], changed.dense_sha256s[1]);
  spaces.insert(space_of(changed));
  changed = parts;
  changed.tokenizer_sha256 = sha256_hex("u");
  spaces.insert(space_of(changed));
  ModelConfig other_prompts = config.value();
  other_prompts.prompts.document += " ";
  changed = parts;
  changed.config = &other_prompts;
  spaces.insert(space_of(changed));
  CHECK(spaces.size() == 5);
  CHECK(model_name_of(parts) == "unverified-" + sha256_hex("w").substr(0, 8));
}

TEST_CASE("the genuine model's space is the one that is stored in collections") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto embedder = Embedder::open({.model_folder = folder, .precision = "f32"});
  REQUIRE_MESSAGE(embedder.ok(), embedder.status().to_string());
  CHECK(embedder.value().info().space ==
        "c1264390ea60f8eb7a38ffaf3dd19d842310c1052c3a7e75d642e92dbbe75929");
  CHECK(embedder.value().info().name == "embeddinggemma-300m");
}

}  // namespace
}  // namespace nestor::embed
