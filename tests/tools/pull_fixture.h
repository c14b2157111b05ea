// The world of the tests of `nestor model pull`: folders of their own, a model of three small
// files, and a stand-in for the Hugging Face Hub. Threads: a PullFixture changes the environment;
// use it in one thread.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/file.h"
#include "core/hash.h"
#include "tests/support/test_paths.h"
#include "tools/cli/model_pull.h"
#include "tools/cli/model_pull_process.h"

namespace nestor::testing {

namespace fs = std::filesystem;
using cli::PullOptions;

inline const std::vector<std::pair<std::string, std::string>> kContents = {
    {"model.safetensors", std::string(200'000, 'w') + "the weights"},
    {"tokenizer.model", "the tokenizer"},
    {"2_Dense/config.json", "{}"},
};

inline std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write(const std::string& path, const std::string& content) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

// A world of its own: no home, no cache, no token of whoever runs the test, and a model of three
// small files.
class PullFixture {
 public:
  PullFixture() {
    for (const char* name :
         {"HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE",
          "TRANSFORMERS_OFFLINE", "XDG_CACHE_HOME", "XDG_DATA_HOME", "NESTOR_MODEL",
          "PIP_FIND_LINKS", "PIP_NO_INDEX", "PATH", "HOME", "PIP_CONFIG_FILE"}) {
      const char* value = getenv(name);
      before_[name] = value == nullptr ? std::nullopt : std::optional<std::string>(value);
      if (std::string(name) != "PATH" && std::string(name) != "HOME") unsetenv(name);
    }
    // The Hugging Face places move; HOME itself stays, for python3 may live below it.
    set("HF_HOME", folder_ / "hf");
    context_.global.quiet = true;
    for (const auto& [path, content] : kContents) {
      write(source() + "/" + path, content);
      hashes_.push_back(nestor::sha256_hex(content));
    }
    for (std::size_t i = 0; i < kContents.size(); ++i) {
      table_.push_back(
          {kContents[i].first.c_str(), hashes_[i].c_str(), kContents[i].second.size()});
    }
  }
  ~PullFixture() {
    for (const auto& [name, value] : before_) {
      if (value.has_value()) {
        setenv(name.c_str(), value->c_str(), 1);
      } else {
        unsetenv(name.c_str());
      }
    }
  }

  static void set(const std::string& name, const std::string& value) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  [[nodiscard]] std::string source() const { return folder_ / "source"; }
  [[nodiscard]] std::string target() const { return folder_ / "models/target"; }
  [[nodiscard]] std::string staging() const { return folder_ / "models/.target.partial"; }

  [[nodiscard]] PullOptions options() const {
    PullOptions options;
    options.target = target();
    options.files = table_;
    options.mirror = {.name = "nestor-test-mirror",
                      .version_prefix = "0.2.",
                      .slice_count = 2,
                      .slice_bytes = 500};
    return options;
  }
  Result<std::string> pull(const PullOptions& options) {
    return nestor::cli::pull_model(options, context_);
  }
  Result<std::string> pull() { return pull(options()); }
  nestor::cli::Context& context() { return context_; }

  void check_whole() const {
    for (const auto& [path, content] : kContents)
      CHECK(content_of(target() + "/" + path) == content);
    CHECK_FALSE(fs::exists(staging()));
  }

 private:
  TempFolder folder_;
  nestor::cli::Context context_;
  std::map<std::string, std::optional<std::string>> before_;
  std::vector<std::string> hashes_;
  std::vector<nestor::embed::KnownModelFile> table_;
};

// hub_stand_in.py for the life of the object.
class HubStandIn {
 public:
  explicit HubStandIn(const PullFixture& world, const std::string& cut_bytes = {})
      : log_(world.path("hub.log")), port_file_(world.path("hub.port")) {
    fs::remove(port_file_);
    nestor::cli::ChildCommand command;
    command.arguments = {"python3", nestor::testing::tests_path("support/hub_stand_in.py"),
                         world.source(), port_file_, log_};
    if (!cut_bytes.empty()) command.arguments.push_back(cut_bytes);
    thread_ = std::jthread([command](const std::stop_token& stop) {
      [[maybe_unused]] const auto ended = nestor::cli::run_child(command, stop, {});
    });
    for (int i = 0; i < 200 && !fs::exists(port_file_); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    REQUIRE(fs::exists(port_file_));
    PullFixture::set("HF_ENDPOINT", "http://127.0.0.1:" + content_of(port_file_) + "/");
    PullFixture::set("no_proxy", "*");
  }
  [[nodiscard]] std::string log() const { return content_of(log_); }

 private:
  std::string log_;
  std::string port_file_;
  std::jthread thread_;
};

inline bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace nestor::testing
