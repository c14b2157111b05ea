// Which model is opened where several lie about.
#include <doctest/doctest.h>

#include "embed/model_folder.h"
#include "tests/embed/tiny_packed.h"

namespace nestor::embed {
namespace {

using testing::EmptyHome;
using testing::packed_tiny;
using testing::ScopedEnvironment;
using testing::TempFolder;
using testing::TinyModelCopy;

constexpr std::optional<Precision> kAny;

void put_packed(const std::string& folder, Precision precision) {
  std::filesystem::create_directories(folder);
  std::filesystem::copy(packed_tiny(precision), packed_path(folder, precision));
}

ModelLocation found(const std::string& named, std::optional<Precision> asked = kAny,
                    Precision preferred = Precision::kInt8) {
  const auto location = find_model(named, asked, preferred);
  REQUIRE_MESSAGE(location.ok(), location.status().to_string());
  return location.value();
}

TEST_CASE("a packed file that is named is opened, in its own precision only") {
  const EmptyHome home;
  const std::string& path = packed_tiny(Precision::kBf16);
  CHECK(found(path).packed == path);
  CHECK(found(path, Precision::kBf16).packed == path);
  const auto other = find_model(path, Precision::kInt8, Precision::kInt8);
  REQUIRE_FALSE(other.ok());
  CHECK(other.status().code() == StatusCode::kUnsupported);
  for (const char* part : {"packed as bf16", "asked for is int8"}) {
    CHECK(other.status().message().find(part) != std::string::npos);
  }
  const ScopedEnvironment named("NESTOR_MODEL", path.c_str());
  CHECK(found("").packed == path);
}

TEST_CASE("another file that is named is a checkpoint to pack, but not one of our suffix") {
  const EmptyHome home;
  const TempFolder folder;
  testing::write_bytes(folder / "x.gguf", "GGUF");
  CHECK(found(folder / "x.gguf").source == folder / "x.gguf");
  CHECK(found(folder / "x.gguf").packed.empty());
  testing::write_bytes(folder / "x.nestor-model", "GGUF");
  const auto damaged = find_model(folder / "x.nestor-model", kAny, Precision::kInt8);
  REQUIRE_FALSE(damaged.ok());
  CHECK(damaged.status().code() == StatusCode::kDataLoss);
  CHECK(damaged.status().message().find(folder / "x.nestor-model") != std::string::npos);
}

TEST_CASE("of a folder with packed files the one asked for is taken, else the preferred") {
  const EmptyHome home;
  const TempFolder folder;
  put_packed(folder.path(), Precision::kInt8);
  put_packed(folder.path(), Precision::kBf16);
  CHECK(found(folder.path()).packed == packed_path(folder.path(), Precision::kInt8));
  CHECK(found(folder.path(), Precision::kBf16).packed ==
        packed_path(folder.path(), Precision::kBf16));
  CHECK(found(folder.path(), kAny, Precision::kBf16).packed ==
        packed_path(folder.path(), Precision::kBf16));
  // Preferred f32 is not there and cannot be made: what there is.
  CHECK_FALSE(found(folder.path(), kAny, Precision::kF32).packed.empty());
  const auto missing = find_model(folder.path(), Precision::kF32, Precision::kInt8);
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.status().code() == StatusCode::kModelMissing);
  for (const std::string& part : {folder.path(), std::string("f32")}) {
    CHECK(missing.status().message().find(part) != std::string::npos);
  }
}

TEST_CASE("beside a checkpoint a packed file of another precision is passed over") {
  const EmptyHome home;
  const TinyModelCopy model;
  put_packed(model.path(), Precision::kBf16);
  CHECK(found(model.path()).packed.empty());
  CHECK(found(model.path()).source == model.path());
  CHECK(found(model.path(), Precision::kBf16).packed ==
        packed_path(model.path(), Precision::kBf16));
  CHECK(found(model.path(), Precision::kF32).packed.empty());
  put_packed(model.path(), Precision::kInt8);
  CHECK(found(model.path()).packed == packed_path(model.path(), Precision::kInt8));
}

TEST_CASE("a place without what is asked for does not hide the next one") {
  const EmptyHome home;
  put_packed(default_model_folder(), Precision::kBf16);
  CHECK(found("").packed == packed_path(default_model_folder(), Precision::kBf16));
  const TempFolder hub;
  const std::string snapshot = hub / "models--google--embeddinggemma-300m/snapshots/0abc";
  std::filesystem::create_directories(snapshot);
  std::filesystem::copy(testing::fixture("tiny-model"), snapshot,
                        std::filesystem::copy_options::recursive);
  const ScopedEnvironment cache("HF_HUB_CACHE", hub.path().c_str());
  CHECK(found("", Precision::kInt8).source == snapshot);
  CHECK(found("", Precision::kBf16).packed ==
        packed_path(default_model_folder(), Precision::kBf16));
}

TEST_CASE("a folder that is named and holds nothing is an error, whatever lies elsewhere") {
  const EmptyHome home;
  put_packed(default_model_folder(), Precision::kInt8);
  const TempFolder empty;
  const auto missing = find_model(empty.path(), kAny, Precision::kInt8);
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.status().code() == StatusCode::kModelMissing);
}

TEST_CASE("a folder that holds only a packed file opens") {
  const TempFolder folder;
  put_packed(folder.path(), Precision::kInt8);
  for (const char* precision : {"", "auto", "int8"}) {
    const auto opened = testing::open_model(folder.path(), nullptr, 1, precision);
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    CHECK(opened.value().info().precision == "int8");
  }
}

}  // namespace
}  // namespace nestor::embed
