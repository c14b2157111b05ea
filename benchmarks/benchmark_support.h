// What every benchmark shares: a clock, medians, the line it prints, folders, texts and vectors.
// A benchmark is run by hand, prints one JSON line on stdout and is never a test.
// Threads: one.
#pragma once

#include <fmt/format.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/cpu_features.h"
#include "core/file.h"
#include "nestor/status.h"

namespace nestor::benchmark {

// The value, or the end of the program with the status: a benchmark has nobody to hand it to.
template <typename T>
T must(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().to_string().c_str());
    std::exit(result.status().code() == StatusCode::kModelMissing ? 3 : 2);
  }
  return std::move(result).value();
}
inline void must(const Status& status) {
  if (!status.ok()) must(Result<int>(status));
}

template <typename Work>
double seconds_of(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The value below which `share` of the sample lies; 0.5 is the median.
inline double quantile(std::vector<double> sample, double share) {
  std::sort(sample.begin(), sample.end());
  const auto index = static_cast<std::size_t>(share * static_cast<double>(sample.size() - 1) + 0.5);
  return sample[index];
}

// Three significant digits or more: what a measurement is good for.
inline double rounded(double value) {
  if (value == 0) return 0;
  const double scale = std::pow(10.0, 3 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

inline nlohmann::ordered_json machine() {
  std::string processor = "unknown";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) processor = line.substr(line.find(':') + 2);
  }
  std::ifstream memory("/proc/meminfo");
  std::string word;
  std::int64_t kilobytes = 0;
  memory >> word >> kilobytes;
  return {{"processor", processor},
          {"architecture", cpu_architecture()},
          {"processors", available_processor_count()},
          {"features", cpu_features()},
          {"memory_gb", kilobytes / 1'000'000},
          {"compiler", __VERSION__}};
}

// Of the checkout it is run in; "-dirty" where that differs from it.
inline std::string commit() {
  std::string text;
  if (FILE* git = ::popen("git describe --always --dirty --match=- 2>/dev/null", "r");
      git != nullptr) {
    std::array<char, 128> line{};
    if (std::fgets(line.data(), line.size(), git) != nullptr) text = line.data();
    ::pclose(git);
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "unknown" : text;
}

// Prints {"benchmark", "date", "commit", "machine", …figures, "peak_memory_mb"}.
inline void report(const std::string& name, const nlohmann::ordered_json& figures) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  nlohmann::ordered_json line = {{"benchmark", name},
                                 {"date", fmt::format("{}-{:02}-{:02}", parts.tm_year + 1900,
                                                      parts.tm_mon + 1, parts.tm_mday)},
                                 {"commit", commit()},
                                 {"machine", machine()}};
  line.update(figures);
  line["peak_memory_mb"] = usage.ru_maxrss / 1000;
  std::puts(line.dump().c_str());
}

// A folder below TMPDIR that goes away with the object.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "nestor-benchmark-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      std::perror(pattern.c_str());
      std::exit(2);
    }
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] std::string operator/(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }

 private:
  std::string path_;
};

struct SampleText {
  std::string title;
  std::string text;
};

struct SampleTexts {
  std::string origin;  // said in the results, for figures of different texts are not comparable
  std::vector<SampleText> texts;
};

// English words in no order, 30 to 200 a text, where there is no test data.
inline SampleTexts generated_texts(std::size_t count) {
  constexpr std::array<const char*, 16> kWords = {
      "the", "of", "water",     "keeps", "a",        "patient", "storage", "signal",
      "and", "in", "treatment", "river", "compiler", "which",   "evening", "measure"};
  std::mt19937_64 random(1);
  SampleTexts sample{.origin = "generated words", .texts = {}};
  for (std::size_t i = 0; i < count; ++i) {
    std::string text;
    for (std::uint64_t words = 30 + random() % 170; words > 0; --words) {
      text += std::string(kWords[random() % kWords.size()]) + (words > 1 ? " " : ".");
    }
    sample.texts.push_back({"", std::move(text)});
  }
  return sample;
}

// `count` documents spread evenly over the passages of medquad (NESTOR_TEST_DATA, default
// shared/data beside the checkout the program is run in), else generated ones.
inline SampleTexts sample_texts(std::size_t count) {
  std::string base = environment("NESTOR_TEST_DATA");
  if (base.empty()) base = "../shared/data";
  std::ifstream file(base + "/medquad-passages/corpus.jsonl");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(std::move(line));
  if (lines.size() < count) return generated_texts(count);
  SampleTexts sample{.origin = "medquad-passages", .texts = {}};
  for (std::size_t i = 0; i < count; ++i) {
    const nlohmann::json record = nlohmann::json::parse(lines[i * lines.size() / count]);
    sample.texts.push_back({record.value("title", ""), record.value("text", "")});
  }
  return sample;
}

// Unit rows in clusters of about 20, with less and less weight towards the tail of a row, as
// vectors of a Matryoshka model have. Shape (count, width).
inline std::vector<float> clustered_rows(std::size_t count, std::size_t width, std::uint64_t seed) {
  constexpr std::size_t kClusterRows = 20;
  // Standard normal from the sum of 12 uniforms: the same on every machine.
  std::mt19937_64 random(seed);
  const auto normal = [&random] {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
    return static_cast<float>(sum);
  };
  std::vector<float> rows(count * width);
  std::vector<float> center(width);
  for (std::size_t row = 0; row < count; ++row) {
    if (row % kClusterRows == 0) std::generate(center.begin(), center.end(), normal);
    double squares = 0;
    float* const out = rows.data() + row * width;
    for (std::size_t i = 0; i < width; ++i) {
      const float weight = 1.0F / std::sqrt(1.0F + static_cast<float>(i) / 64.0F);
      out[i] = weight * (center[i] + normal());
      squares += static_cast<double>(out[i]) * out[i];
    }
    for (std::size_t i = 0; i < width; ++i) out[i] /= static_cast<float>(std::sqrt(squares));
  }
  return rows;
}

}  // namespace nestor::benchmark
