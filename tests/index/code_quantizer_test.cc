#include "index/code_quantizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/vector_math.h"
#include "index/scan_choice.h"
#include "index/top_codes.h"
#include "tests/index/random_rows.h"

namespace nestor::index {
namespace {

using nestor::testing::RandomRows;

constexpr int kBits[] = {1, 2, 4, 8};

CodeShape random_shape(RandomRows& random) {
  return {.width = static_cast<int>(1 + random.below(random.below(2) == 0 ? 40 : 800)),
          .bits = kBits[random.below(4)]};
}

std::vector<std::uint32_t> encoded(const CodeQuantizer& quantizer, const std::vector<float>& rows,
                                   std::int64_t count) {
  const std::size_t width = static_cast<std::size_t>(quantizer.shape().width);
  const std::size_t words = static_cast<std::size_t>(quantizer.shape().words());
  std::vector<std::uint32_t> codes(words * static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    quantizer.encode(std::span(rows).subspan(i * width, width), codes.data() + i * words);
  }
  return codes;
}

// The sum that a score is, by reading every code apart.
std::int64_t exact_sum(const CodeQuery& query, const std::uint32_t* words) {
  std::int64_t sum = 0;
  for (int i = 0; i < query.shape.width; ++i) {
    sum +=
        std::int64_t{query.weights[static_cast<std::size_t>(i)]} * code_at(query.shape, words, i);
  }
  return sum;
}

TEST_CASE("codes of every width come back from where they were packed") {
  RandomRows random(testing::test_seed("code_quantizer"));
  for (int round = 0; round < 300; ++round) {
    const CodeShape shape = random_shape(random);
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(shape.words() * 32 / shape.bits));
    for (int i = 0; i < shape.width; ++i) {
      codes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(random.below(1 << shape.bits));
    }
    std::vector<std::uint32_t> words(static_cast<std::size_t>(shape.words()));
    pack_codes(shape, codes.data(), words.data());
    for (int i = 0; i < shape.width; ++i) {
      REQUIRE(code_at(shape, words.data(), i) == codes[static_cast<std::size_t>(i)]);
    }
  }
}

TEST_CASE("each component is coded by the nearest of its levels") {
  RandomRows random(testing::test_seed("code_quantizer"));
  for (int round = 0; round < 60; ++round) {
    const CodeShape shape = random_shape(random);
    const std::size_t width = static_cast<std::size_t>(shape.width);
    const auto rows = random.gaussian(40, shape.width);
    const CodeQuantizer quantizer(shape, rows, width);
    const auto codes = encoded(quantizer, rows, 40);
    std::vector<float> shown(width);
    std::vector<float> other(width);
    for (std::size_t row = 0; row < 40; ++row) {
      const std::uint32_t* words = codes.data() + row * static_cast<std::size_t>(shape.words());
      const auto unit = cut_to_width(std::span(rows).subspan(row * width, width), shape.width);
      quantizer.decode(words, shown.data());
      std::vector<std::uint8_t> moved(static_cast<std::size_t>(shape.words() * 32 / shape.bits));
      for (std::size_t i = 0; i < width; ++i) {
        moved[i] = static_cast<std::uint8_t>(random.below(1 << shape.bits));
      }
      std::vector<std::uint32_t> moved_words(static_cast<std::size_t>(shape.words()));
      pack_codes(shape, moved.data(), moved_words.data());
      quantizer.decode(moved_words.data(), other.data());
      for (std::size_t i = 0; i < width; ++i) {
        CAPTURE(i);
        REQUIRE(std::abs(unit[i] - shown[i]) <= std::abs(unit[i] - other[i]) + 1e-5F);
      }
    }
  }
}

TEST_CASE("a score is the inner product of the decoded row within the rounding of the weights") {
  RandomRows random(testing::test_seed("code_quantizer"));
  for (int round = 0; round < 100; ++round) {
    const CodeShape shape = random_shape(random);
    const std::size_t width = static_cast<std::size_t>(shape.width);
    const auto rows = random.gaussian(20, shape.width);
    const CodeQuantizer quantizer(shape, rows, width);
    const auto codes = encoded(quantizer, rows, 20);
    const auto query = random.gaussian(1, shape.width);
    const auto unit = cut_to_width(query, shape.width);
    const CodeQuery coded = quantizer.query(query);
    // Each weight is off by at most half a step; a code is at most 2^bits - 1. The middle is taken
    // off exactly, so what is left is half of that a component. Float rounding comes on top.
    const double bound =
        0.5 * coded.step * shape.width * ((1 << shape.bits) - 1) + 1e-3 * (1 + width / 100.0);
    std::vector<float> shown(width);
    for (std::size_t row = 0; row < 20; ++row) {
      const std::uint32_t* words = codes.data() + row * static_cast<std::size_t>(shape.words());
      quantizer.decode(words, shown.data());
      const float score = coded.score(static_cast<std::int32_t>(exact_sum(coded, words)));
      REQUIRE(std::abs(score - dot(unit, shown)) <= bound);
    }
  }
}

TEST_CASE("eight bits of 768 components are within a hundredth of the cosine") {
  RandomRows random(testing::test_seed("code_quantizer"));
  const auto rows = random.gaussian(500, 768);
  const CodeQuantizer quantizer({.width = 768, .bits = 8}, rows, 768);
  const auto codes = encoded(quantizer, rows, 500);
  const auto query = random.gaussian(1, 768);
  const CodeQuery coded = quantizer.query(query);
  for (std::size_t row = 0; row < 500; ++row) {
    const auto unit = cut_to_width(std::span(rows).subspan(row * 768, 768), 768);
    const auto sum = exact_sum(coded, codes.data() + row * 192);
    REQUIRE(coded.score(static_cast<std::int32_t>(sum)) ==
            doctest::Approx(dot(cut_to_width(query, 768), unit)).epsilon(0).scale(1).epsilon(0.01));
  }
}

// Random codes in both layouts, with what each row's score is and which rows are live.
struct CodedRows {
  CodeShape shape;
  std::int64_t count = 0;
  CodeQuery query;
  std::vector<std::uint32_t> rows;
  std::vector<std::uint32_t> blocks;
  std::vector<std::int64_t> sums;
  std::vector<std::uint64_t> live;

  [[nodiscard]] bool is_live(std::int64_t row) const {
    return (live[static_cast<std::size_t>(row / 64)] >> (row % 64) & 1) != 0;
  }
};

CodedRows coded_rows(RandomRows& random, CodeShape shape, std::int64_t count) {
  CodedRows made;
  made.shape = shape;
  made.count = count;
  const std::int64_t words = shape.words();
  std::vector<double> values(static_cast<std::size_t>(shape.width));
  // Weights and codes at their ends now and then, where narrow sums would overflow.
  const bool extreme = random.below(3) == 0;
  for (double& value : values) {
    value =
        extreme ? (random.below(20) == 0 ? -1 : 1) : static_cast<double>(random.below(2001)) - 1000;
  }
  made.query = integer_query(shape, values);
  made.rows.resize(static_cast<std::size_t>(count * words));
  made.blocks.resize(static_cast<std::size_t>((count + 15) / 16 * 16 * words));
  made.live.resize(static_cast<std::size_t>((count + 63) / 64 + 1));
  for (std::int64_t row = 0; row < count; ++row) {
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(words * 32 / shape.bits));
    for (int i = 0; i < shape.width; ++i) {
      codes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(
          extreme ? (1 << shape.bits) - 1 : random.below(1 << shape.bits));
    }
    std::uint32_t* packed = made.rows.data() + row * words;
    pack_codes(shape, codes.data(), packed);
    for (std::int64_t word = 0; word < words; ++word) {
      made.blocks[static_cast<std::size_t>((row / 16 * words + word) * 16 + row % 16)] =
          packed[word];
    }
    made.sums.push_back(exact_sum(made.query, packed));
    if (random.below(4) != 0) made.live[static_cast<std::size_t>(row / 64)] |= 1ULL << (row % 64);
  }
  return made;
}

void check_scan(const ScanKernels& kernels, const CodedRows& all, std::int32_t threshold) {
  CodeList list(all.count + 16);
  list.count = kernels.scan({.blocks = all.blocks.data(),
                             .words = all.shape.words(),
                             .bits = all.shape.bits,
                             .block_begin = 0,
                             .block_end = (all.count + 15) / 16,
                             .live = all.live.data(),
                             .weights = all.query.weights.data(),
                             .nibbles = all.query.nibbles.data(),
                             .threshold = threshold,
                             .first_position = 1000,
                             .scores = list.scores.get(),
                             .positions = list.positions.get()});
  std::int64_t kept = 0;
  for (std::int64_t row = 0; row < all.count; ++row) {
    const std::int64_t sum = all.sums[static_cast<std::size_t>(row)];
    if (sum < threshold || !all.is_live(row)) continue;
    REQUIRE(kept < list.count);
    REQUIRE(list.scores[kept] == sum);
    REQUIRE(list.positions[kept] == 1000 + row);
    ++kept;
  }
  REQUIRE(kept == list.count);
}

void check_rows(const ScanKernels& kernels, const CodedRows& all,
                const std::vector<std::uint32_t>& wanted, std::int32_t threshold) {
  std::vector<std::int32_t> scores(static_cast<std::size_t>(all.count));
  RowsTask task{.codes = all.rows.data(),
                .words = all.shape.words(),
                .bits = all.shape.bits,
                .row_weights = all.query.row_weights.data(),
                .count = all.count,
                .scores = scores.data()};
  kernels.score_rows(task);
  std::int64_t reached = 0;
  for (std::size_t row = 0; row < scores.size(); ++row) {
    REQUIRE(scores[row] == all.sums[row]);
    reached += all.sums[row] >= threshold ? 1 : 0;
  }
  REQUIRE(kernels.count_at_least(scores.data(), all.count, threshold) == reached);
  scores.assign(wanted.size(), 0);
  task.rows = wanted.data();
  task.first_row = 5;
  task.count = static_cast<std::int64_t>(wanted.size());
  task.scores = scores.data();
  kernels.score_rows(task);
  for (std::size_t i = 0; i < wanted.size(); ++i) REQUIRE(scores[i] == all.sums[wanted[i] - 5]);
}

TEST_CASE("all kernels give the sums of exact arithmetic, for any width and number of rows") {
  RandomRows random(testing::test_seed("scan_kernels"));
  constexpr std::int64_t kCounts[] = {0, 1, 15, 16, 17, 63, 64, 65, 1000};
  for (int round = 0; round < 200; ++round) {
    const CodedRows all = coded_rows(random, random_shape(random), kCounts[random.below(9)]);
    CAPTURE(all.shape.width);
    CAPTURE(all.shape.bits);
    CAPTURE(all.count);
    std::int32_t threshold = 0;
    std::vector<std::uint32_t> wanted;
    if (all.count > 0) {
      threshold =
          static_cast<std::int32_t>(all.sums[static_cast<std::size_t>(random.below(all.count))]);
      for (std::int64_t i = random.below(100); i > 0; --i) {
        wanted.push_back(static_cast<std::uint32_t>(5 + random.below(all.count)));
      }
    }
    for (const ScanKernels* kernels : available_scan_kernels()) {
      CAPTURE(kernels->name);
      check_scan(*kernels, all, threshold);
      check_rows(*kernels, all, wanted, threshold);
    }
  }
}

TEST_CASE("a cut keeps the best and of equal scores the first") {
  RandomRows random(testing::test_seed("top_codes"));
  for (int round = 0; round < 200; ++round) {
    const std::int64_t count = 1 + random.below(500);
    const std::int64_t keep = 1 + random.below(count);
    const std::int64_t spread = 1 + random.below(round % 2 == 0 ? 6 : 100000);
    std::vector<std::pair<std::int64_t, std::uint32_t>> all;
    for (std::int64_t i = 0; i < count; ++i) {
      all.emplace_back(spread / 2 - random.below(spread), static_cast<std::uint32_t>(i));
    }
    for (const ScanKernels* kernels : available_scan_kernels()) {
      CodeList list(count);
      list.count = count;
      for (std::int64_t i = 0; i < count; ++i) {
        list.scores[i] = static_cast<std::int32_t>(all[static_cast<std::size_t>(i)].first);
        list.positions[i] = static_cast<std::uint32_t>(i);
      }
      list.cut(*kernels, keep);
      auto expected = all;
      std::stable_sort(expected.begin(), expected.end(),
                       [](const auto& a, const auto& b) { return a.first > b.first; });
      expected.resize(static_cast<std::size_t>(keep));
      std::sort(expected.begin(), expected.end(),
                [](const auto& a, const auto& b) { return a.second < b.second; });
      REQUIRE(list.count == keep);
      for (std::int64_t i = 0; i < keep; ++i) {
        REQUIRE(list.positions[i] == expected[static_cast<std::size_t>(i)].second);
        REQUIRE(list.scores[i] == expected[static_cast<std::size_t>(i)].first);
      }
    }
  }
}

TEST_CASE("a quantizer comes back from its bytes, and damaged bytes are refused") {
  RandomRows random(testing::test_seed("code_quantizer"));
  const auto rows = random.gaussian(30, 50);
  const CodeQuantizer quantizer({.width = 50, .bits = 2}, rows, 50);
  const std::string bytes = quantizer.serialize();
  const auto back = CodeQuantizer::parse(bytes);
  REQUIRE(back.ok());
  CHECK(back.value().serialize() == bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    REQUIRE(CodeQuantizer::parse(bytes.substr(0, size)).status().code() == StatusCode::kDataLoss);
  }
  std::string zero_width = bytes;
  zero_width[0] = 0;
  CHECK(!CodeQuantizer::parse(zero_width).ok());
  std::string not_a_number = bytes;
  not_a_number.replace(8 + 4 * 50, 4, "\xff\xff\xff\xff");
  CHECK(!CodeQuantizer::parse(not_a_number).ok());
}

}  // namespace
}  // namespace nestor::index
