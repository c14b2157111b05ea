// Golden vectors: what the fp32 reference (sentence-transformers over transformers) makes of 60
// texts in two roles, and the same for the tiny model of tests/fixtures. Threads: values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nestor::testing {

struct GoldenRole {
  std::vector<std::int32_t> ids;
  int token_count = 0;  // before any cut
  bool truncated = false;
  std::vector<float> vector;
};

struct GoldenText {
  std::string name;
  std::string text;
  std::string title;
  GoldenRole query;
  GoldenRole document;
  // The text spells a control token or U+2581: the reference's ids differ there on purpose.
  [[nodiscard]] bool spelled_out() const {
    return name == "specials" || name == "underscore_block";
  }
};

// tests/golden/golden.json and golden.npy; ends the program when they cannot be read.
std::vector<GoldenText> read_golden();

// A float32 .npy file in C order: its values, without the shape.
std::vector<float> read_npy(const std::string& path);

double cosine(std::span<const float> a, std::span<const float> b);
// The largest difference of two components.
double largest_difference(std::span<const float> a, std::span<const float> b);

}  // namespace nestor::testing
