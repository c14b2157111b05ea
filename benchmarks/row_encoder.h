// RowEncoder: "embeds" a text that begins with a number as the row of that number, so that a
// collection of a Matryoshka model can be had from given vectors, without embedding.
// Threads: safe anywhere; the rows must outlive it.
#pragma once

#include <charconv>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "query/text_encoder.h"

namespace nestor::benchmark {

class RowEncoder : public query::TextEncoder {
 public:
  // `rows` (count, width).
  RowEncoder(std::span<const float> rows, int width) : rows_(rows) {
    info_.name = "rows";
    info_.space = std::string(64, '0');
    info_.precision = "f32";
    info_.backend = "none";
    info_.width = width;
    info_.widths = {width, 512, 256, 128};
    info_.context_tokens = 2048;
    info_.thread_count = 1;
  }

  Result<std::vector<Embedding>> encode(std::span<const EmbedInput> inputs, Role,
                                        const EmbedOptions&) const override {
    const auto width = static_cast<std::size_t>(info_.width);
    std::vector<Embedding> result;
    for (const EmbedInput& input : inputs) {
      std::size_t index = 0;
      std::from_chars(input.text.data(), input.text.data() + input.text.size(), index);
      if ((index + 1) * width > rows_.size()) {
        return Status(StatusCode::kInvalidArgument, "no row " + std::to_string(index));
      }
      const std::span<const float> row = rows_.subspan(index * width, width);
      result.push_back({.vector = {row.begin(), row.end()}, .token_count = 3, .truncated = false});
    }
    return result;
  }
  Result<int> count_tokens(std::string_view) const override { return 1; }
  const ModelInfo& info() const override { return info_; }

 private:
  std::span<const float> rows_;
  ModelInfo info_;
};

}  // namespace nestor::benchmark
