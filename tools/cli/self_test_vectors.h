// Right answers for `nestor doctor`: a handful of texts with the vectors the fp32 reference gives.
// Threads: constants.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace nestor::cli {

// A unit vector in ten thousandths.
using StoredVector = std::array<std::int16_t, 768>;

struct StoredText {
  std::string_view name;
  std::string_view title;  // of the document; a query has none
  std::string_view text;
  StoredVector query = {};
  StoredVector document = {};
};

// Code, Chinese, a title, and a text of 120 tokens.
std::span<const StoredText> stored_texts();

}  // namespace nestor::cli
