#include "tests/support/golden.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tests/support/test_paths.h"

namespace nestor::testing {
namespace {

[[noreturn]] void give_up(const std::string& path, const char* problem) {
  std::fprintf(stderr, "%s: %s\n", path.c_str(), problem);
  std::abort();
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) give_up(path, "cannot be read");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

GoldenRole read_role(const nlohmann::json& item, const float* row, std::size_t width) {
  return {.ids = item.at("ids").get<std::vector<std::int32_t>>(),
          .token_count = item.at("n_tokens_untruncated").get<int>(),
          .truncated = item.at("truncated").get<bool>(),
          .vector = std::vector<float>(row, row + width)};
}

}  // namespace

std::vector<float> read_npy(const std::string& path) {
  const std::string bytes = read_all(path);
  constexpr std::size_t kPrefix = 10;  // magic, version, u16 header length
  if (bytes.size() < kPrefix || bytes.compare(0, 6, "\x93NUMPY") != 0) give_up(path, "no .npy");
  const std::size_t header = static_cast<unsigned char>(bytes[8]) +
                             (std::size_t{static_cast<unsigned char>(bytes[9])} << 8);
  if (bytes.find("'descr': '<f4', 'fortran_order': False") == std::string::npos) {
    give_up(path, "not float32 in C order");
  }
  std::vector<float> values((bytes.size() - kPrefix - header) / sizeof(float));
  std::memcpy(values.data(), bytes.data() + kPrefix + header, values.size() * sizeof(float));
  return values;
}

std::vector<GoldenText> read_golden() {
  constexpr std::size_t kWidth = 768;
  const std::vector<float> rows = read_npy(tests_path("golden/golden.npy"));
  const nlohmann::json json = nlohmann::json::parse(read_all(tests_path("golden/golden.json")));
  std::vector<GoldenText> texts;
  for (const nlohmann::json& item : json.at("items")) {
    const float* row = rows.data() + item.at("row").get<std::size_t>() * 2 * kWidth;
    texts.push_back({.name = item.at("name"),
                     .text = item.at("text"),
                     .title = item.value("title", std::string()),
                     .query = read_role(item.at("query"), row, kWidth),
                     .document = read_role(item.at("document"), row + kWidth, kWidth)});
  }
  return texts;
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double product = 0, a_squared = 0, b_squared = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    product += static_cast<double>(a[i]) * b[i];
    a_squared += static_cast<double>(a[i]) * a[i];
    b_squared += static_cast<double>(b[i]) * b[i];
  }
  return product / std::sqrt(a_squared * b_squared);
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  double largest = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  return largest;
}

}  // namespace nestor::testing
