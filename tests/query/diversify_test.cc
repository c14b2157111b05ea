#include "query/diversify.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace nestor::query {
namespace {

using Order = std::vector<std::size_t>;

const std::vector<double> kRelevance = {0.9, 0.89, 0.5};
const std::vector<float> kVectors = {1, 0, 1, 0, 0, 1};  // the second says what the first does

double cosine(const float* a, const float* b, std::size_t width) {
  double product = 0;
  double a_length = 0;
  double b_length = 0;
  for (std::size_t i = 0; i < width; ++i) {
    product += double{a[i]} * b[i];
    a_length += double{a[i]} * a[i];
    b_length += double{b[i]} * b[i];
  }
  return product / std::sqrt(a_length * b_length);
}

}  // namespace

TEST_CASE("MMR takes the other one before the copy, and lambda 1 is relevance") {
  CHECK(select_mmr(kRelevance, kVectors, 2, 0.5, 3).value() == Order{0, 2, 1});
  CHECK(select_mmr(kRelevance, kVectors, 2, 1, 3).value() == Order{0, 1, 2});
  CHECK(select_mmr(kRelevance, kVectors, 2, 0.5, 1).value() == Order{0});
  CHECK(select_mmr(kRelevance, kVectors, 2, 0.5, 100).value().size() == 3);
  CHECK(select_mmr({}, {}, 2, 0.5, 3).value().empty());
}

TEST_CASE("each pick of MMR is the best that is left, by its definition") {
  std::mt19937_64 random(23);
  std::normal_distribution<float> normal;
  const std::size_t width = 5;
  for (int round = 0; round < 30; ++round) {
    const std::size_t count = 1 + random() % 30;
    std::vector<double> relevance(count);
    std::vector<float> vectors(count * width);
    for (double& value : relevance) value = normal(random);
    for (float& value : vectors) value = normal(random);
    const double lambda = 0.3;
    const Order order = select_mmr(relevance, vectors, width, lambda, count).value();
    REQUIRE(order.size() == count);
    for (std::size_t step = 1; step < count; ++step) {
      const auto worth = [&](std::size_t candidate) {
        double nearest = -1;
        for (std::size_t i = 0; i < step; ++i) {
          nearest = std::max(
              nearest, cosine(&vectors[candidate * width], &vectors[order[i] * width], width));
        }
        return lambda * relevance[candidate] - (1 - lambda) * nearest;
      };
      for (std::size_t other = step + 1; other < count; ++other)
        CHECK(worth(order[step]) >= worth(order[other]) - 1e-9);
    }
  }
}

TEST_CASE("at most so many passages of a document stay, in their order") {
  const std::vector<std::string> documents = {"a", "a", "b", "a", "b", "c"};
  CHECK(limit_per_document(documents, 1) == Order{0, 2, 5});
  CHECK(limit_per_document(documents, 2) == Order{0, 1, 2, 4, 5});
  CHECK(limit_per_document(documents, 0).empty());
}

TEST_CASE("near duplicates go, the first of them stays") {
  CHECK(drop_near_duplicates(kVectors, 2, 0.99).value() == Order{0, 2});
  CHECK(drop_near_duplicates(kVectors, 2, 1.5).value() == Order{0, 1, 2});
  const std::vector<float> zeros = {0, 0, 0, 0};
  CHECK(drop_near_duplicates(zeros, 2, 0.5).value() == Order{0, 1});
  CHECK(drop_near_duplicates({}, 2, 0.5).value().empty());
}

TEST_CASE("numbers that do not fit together are refused") {
  CHECK(select_mmr(kRelevance, kVectors, 3, 0.5, 3).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(select_mmr(kRelevance, kVectors, 2, 1.5, 3).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(drop_near_duplicates(kVectors, 4, 0.5).status().code() == StatusCode::kInvalidArgument);
}

}  // namespace nestor::query
