#include "index/code_index.h"

#include <doctest/doctest.h>
#include <faiss/IndexHNSW.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/IDSelector.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/index/random_rows.h"

namespace nestor::index {
namespace {

using nestor::testing::RandomRows;

TEST_CASE("a search of the FAISS index ranks by the scores of its distance computer") {
  RandomRows random(testing::test_seed("code_index"));
  for (const int bits : {1, 2, 4, 8}) {
    for (const std::int64_t count : {1, 17, 5000}) {
      const int width = static_cast<int>(1 + random.below(130));
      CodeIndex index({.width = width, .bits = bits});
      const auto rows = random.gaussian(count, width);
      index.add(count, rows.data());
      const auto query = random.gaussian(1, width);
      const std::unique_ptr<faiss::DistanceComputer> computer(index.get_distance_computer());
      computer->set_query(query.data());
      struct OddIds : faiss::IDSelector {
        bool is_member(idx_t id) const override { return id % 2 == 1; }
      } odd;
      faiss::SearchParameters parameters;
      parameters.sel = &odd;
      for (const bool filtered : {false, true}) {
        std::vector<std::pair<float, std::int64_t>> expected;
        for (std::int64_t i = 0; i < count; ++i) {
          if (!filtered || i % 2 == 1) expected.emplace_back((*computer)(i), i);
        }
        std::stable_sort(expected.begin(), expected.end(),
                         [](const auto& a, const auto& b) { return a.first > b.first; });
        std::vector<float> distances(20);
        std::vector<idx_t> labels(20);
        index.search(1, query.data(), 20, distances.data(), labels.data(),
                     filtered ? &parameters : nullptr);
        for (std::size_t i = 0; i < 20; ++i) {
          CAPTURE(i);
          REQUIRE(labels[i] == (i < expected.size() ? expected[i].second : -1));
          if (i < expected.size()) REQUIRE(distances[i] == expected[i].first);
        }
      }
    }
  }
}

TEST_CASE("FAISS's graph sits on the codes and finds what a scan of them finds") {
  RandomRows random(testing::test_seed("code_index"));
  const auto rows = random.gaussian(1500, 32);
  CodeIndex codes({.width = 32, .bits = 8});
  codes.train(1500, rows.data());
  faiss::IndexHNSW graph(&codes, 16);
  graph.hnsw.efSearch = 200;
  graph.add(1500, rows.data());
  int same = 0;
  for (int round = 0; round < 20; ++round) {
    const auto query = random.gaussian(1, 32);
    float distances[10];
    idx_t found[10];
    idx_t expected[10];
    graph.search(1, query.data(), 10, distances, found);
    codes.search(1, query.data(), 10, distances, expected);
    for (const auto id : expected) same += std::count(found, found + 10, id) > 0 ? 1 : 0;
  }
  CHECK(same >= 190);
}

}  // namespace
}  // namespace nestor::index
