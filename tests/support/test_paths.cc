#include "tests/support/test_paths.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace nestor::testing {
namespace {

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::filesystem::path source_folder() { return NESTOR_SOURCE_DIR; }

std::filesystem::path model_folder() {
  if (std::string folder = from_environment("NESTOR_MODEL"); !folder.empty()) return folder;
  std::filesystem::path data = from_environment("XDG_DATA_HOME");
  if (data.empty()) data = std::filesystem::path(from_environment("HOME")) / ".local" / "share";
  return data / "nestor" / "models" / "embeddinggemma-300m";
}

}  // namespace

TempFolder::TempFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "nestor-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    std::perror(pattern.c_str());
    std::abort();
  }
  path_ = pattern;
}

TempFolder::~TempFolder() {
  std::error_code ignored;  // what cannot be removed stays in the system's own temporary folder
  std::filesystem::remove_all(path_, ignored);
}

std::string TempFolder::operator/(std::string_view name) const {
  return path_ + "/" + std::string(name);
}

std::string tests_path(std::string_view name) {
  return (source_folder() / "tests" / name).string();
}

std::string fixture(std::string_view name) {
  std::string path = tests_path("fixtures/" + std::string(name));
  if (!std::filesystem::exists(path)) {
    std::fprintf(stderr, "%s: a fixture of the repository is missing\n", path.c_str());
    std::abort();
  }
  return path;
}

std::string test_data(std::string_view name) {
  std::filesystem::path base = from_environment("NESTOR_TEST_DATA");
  if (base.empty()) base = source_folder().parent_path() / "shared" / "data";
  const std::filesystem::path path = base / name;
  return std::filesystem::exists(path) ? path.string() : std::string();
}

std::string genuine_model() {
  if (!from_environment("NESTOR_TEST_WITHOUT_MODEL").empty()) return {};
  const std::filesystem::path folder = model_folder();
  return std::filesystem::exists(folder / "model.safetensors") ? folder.string() : std::string();
}

std::string scratch_folder() {
  std::filesystem::create_directories(NESTOR_SCRATCH_DIR);
  return NESTOR_SCRATCH_DIR;
}

void skip(std::string_view reason) {
  std::printf("SKIPPED: %.*s\n", static_cast<int>(reason.size()), reason.data());
  std::fflush(stdout);
  if (from_environment("NESTOR_REQUIRE_ALL") == "1") {
    FAIL_CHECK("NESTOR_REQUIRE_ALL=1 and a test cannot run: ", std::string(reason));
  }
}

}  // namespace nestor::testing
