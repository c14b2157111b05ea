// The tiny model of tests/fixtures: copies to damage, and embedders over it.
// Threads: a ScopedEnvironment changes the process; use it in one thread.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "nestor/embedder.h"
#include "tests/support/golden.h"
#include "tests/support/test_paths.h"

namespace nestor::testing {

// Sets a variable (nullptr: takes it away) and puts the old value back at the end of the scope.
class ScopedEnvironment {
 public:
  ScopedEnvironment(const char* name, const char* value) : name_(name) {
    if (const char* old = getenv(name); old != nullptr) {
      old_ = old;
      was_set_ = true;
    }
    value != nullptr ? setenv(name, value, 1) : unsetenv(name);
  }
  ~ScopedEnvironment() { was_set_ ? setenv(name_, old_.c_str(), 1) : unsetenv(name_); }
  ScopedEnvironment(const ScopedEnvironment&) = delete;
  ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

 private:
  const char* name_;
  std::string old_;
  bool was_set_ = false;
};

// A home without any model.
struct EmptyHome {
  TempFolder folder;
  ScopedEnvironment home{"HOME", folder.path().c_str()};
  ScopedEnvironment data{"XDG_DATA_HOME", nullptr};
  ScopedEnvironment cache{"XDG_CACHE_HOME", nullptr};
  ScopedEnvironment model{"NESTOR_MODEL", nullptr};
  ScopedEnvironment hf_home{"HF_HOME", nullptr};
  ScopedEnvironment hf_hub{"HF_HUB_CACHE", nullptr};
};

inline std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// A copy of the tiny model in a temporary folder.
class TinyModelCopy {
 public:
  TinyModelCopy() {
    std::filesystem::copy(fixture("tiny-model"), folder_ / "model",
                          std::filesystem::copy_options::recursive);
  }
  [[nodiscard]] std::string path() const { return folder_ / "model"; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path() + "/" + name; }

  // Changes one JSON file by `edit`.
  template <typename Edit>
  void edit_json(const std::string& name, const Edit& edit) const {
    nlohmann::json json = nlohmann::json::parse(read_bytes(*this / name));
    edit(json);
    write_bytes(*this / name, json.dump());
  }

 private:
  TempFolder folder_;
};

inline Result<Embedder> open_model(const std::string& path, const char* backend = nullptr,
                                   int threads = 2, const std::string& precision = "f32") {
  // Checksums and packed models of temporary files must not fill the person's cache.
  const TempFolder cache;
  const ScopedEnvironment cache_folder("XDG_CACHE_HOME", cache.path().c_str());
  const ScopedEnvironment forced("NESTOR_FORCE_BACKEND", backend);
  return Embedder::open({.model_folder = path,
                         .precision = precision,
                         .thread_count = threads,
                         .allow_unverified_model = true});
}

inline Embedder open_tiny(const char* backend, int threads = 2) {
  Result<Embedder> opened = open_model(fixture("tiny-model"), backend, threads);
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

// One line of the fixture's expected.json and its vector.
struct TinyExpectation {
  Role role = Role::kQuery;
  std::string title;
  std::string text;
  GoldenRole output;
};

inline std::vector<TinyExpectation> read_tiny_expectations() {
  constexpr std::size_t kWidth = 768;
  const std::vector<float> rows = read_npy(fixture("tiny-model/expected.npy"));
  std::vector<TinyExpectation> all;
  for (const nlohmann::json& item :
       nlohmann::json::parse(read_bytes(fixture("tiny-model/expected.json")))) {
    const float* row = rows.data() + all.size() * kWidth;
    all.push_back({.role = parse_role(item.at("role").get<std::string>()).value(),
                   .title = item.at("title"),
                   .text = item.at("text"),
                   .output = {.ids = item.at("ids").get<std::vector<std::int32_t>>(),
                              .token_count = item.at("token_count"),
                              .truncated = item.at("truncated"),
                              .vector = std::vector<float>(row, row + kWidth)}});
  }
  return all;
}

}  // namespace nestor::testing
