// Seeded random rows and a source that keeps rows in memory, for the tests of index/.
// Threads: a RandomRows belongs to one test; a MemorySource may be read by many.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <span>
#include <vector>

#include "index/vector_source.h"

namespace nestor::testing {

// NESTOR_TEST_SEED, or one that differs from run to run; printed, so that a failure can be had
// again.
inline std::uint64_t test_seed(const char* test) {
  const char* given = std::getenv("NESTOR_TEST_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::printf("%s: NESTOR_TEST_SEED=%llu\n", test, static_cast<unsigned long long>(seed));
  return seed;
}

class RandomRows {
 public:
  explicit RandomRows(std::uint64_t seed) : engine_(seed) {}

  // In [0, bound).
  std::int64_t below(std::int64_t bound) {
    return std::uniform_int_distribution<std::int64_t>(0, bound - 1)(engine_);
  }
  std::vector<float> gaussian(std::int64_t count, int width) {
    std::normal_distribution<float> component;
    std::vector<float> rows(static_cast<std::size_t>(count * width));  // (count, width)
    for (float& value : rows) value = component(engine_);
    return rows;
  }
  // Components of -1, 0 and 1: many rows alike, many scores equal, some rows all zero.
  std::vector<float> coarse_grained(std::int64_t count, int width) {
    std::vector<float> rows(static_cast<std::size_t>(count * width));  // (count, width)
    for (float& value : rows) value = static_cast<float>(below(3) - 1);
    return rows;
  }
  // Ascending from `first` with gaps.
  std::vector<std::uint64_t> ids(std::int64_t count, std::uint64_t first = 1) {
    std::vector<std::uint64_t> result;
    for (std::int64_t i = 0; i < count; ++i) {
      first += static_cast<std::uint64_t>(below(3));
      result.push_back(first++);
    }
    return result;
  }

 private:
  std::mt19937_64 engine_;
};

class MemorySource : public index::VectorSource {
 public:
  std::map<std::uint64_t, std::vector<float>> rows;

  void put(std::span<const std::uint64_t> ids, std::span<const float> values) {
    const std::size_t width = values.size() / ids.size();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto row = values.subspan(i * width, width);
      rows[ids[i]].assign(row.begin(), row.end());
    }
  }
  Status read(std::span<const std::uint64_t> ids, int width, float* out) const override {
    for (const std::uint64_t id : ids) {
      const auto found = rows.find(id);
      if (found == rows.end()) return Status(StatusCode::kNotFound, "no row " + std::to_string(id));
      for (int i = 0; i < width; ++i) *out++ = found->second[static_cast<std::size_t>(i)];
    }
    return {};
  }
  Status scan(
      std::uint64_t first,
      const std::function<bool(std::uint64_t, std::span<const float>)>& visit) const override {
    for (auto at = rows.lower_bound(first); at != rows.end(); ++at) {
      if (!visit(at->first, at->second)) return {};
    }
    return {};
  }
};

}  // namespace nestor::testing
