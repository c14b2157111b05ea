#include "index/calibration.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/vector_math.h"
#include "index/exact_search.h"
#include "tests/index/random_rows.h"

namespace nestor::index {
namespace {

using nestor::testing::MemorySource;
using nestor::testing::RandomRows;

TEST_CASE("the exact search of many questions finds what scoring every row finds") {
  RandomRows random(testing::test_seed("exact_search"));
  for (const std::int64_t count : {1, 9, 5000}) {
    CAPTURE(count);
    const auto ids = random.ids(count);
    MemorySource source;
    source.put(ids, count == 9 ? random.coarse_grained(count, 24) : random.gaussian(count, 24));
    const auto questions = random.gaussian(30, 24);
    const auto found = search_exactly(source, questions, 24, 10);
    REQUIRE(found.ok());
    REQUIRE(found.value().size() == 30);
    for (std::size_t q = 0; q < 30; ++q) {
      std::vector<double> scores;
      const auto question = std::span(questions).subspan(q * 24, 24);
      const auto cosine = [&](std::span<const float> row) {
        const double lengths = std::sqrt(dot(question, question) * dot(row, row));
        return lengths > 0 ? dot(question, row) / lengths : 0;
      };
      for (const auto& [id, row] : source.rows) scores.push_back(cosine(row));
      std::sort(scores.rbegin(), scores.rend());
      const auto& best = found.value()[q];
      REQUIRE(std::ssize(best) == std::min<std::int64_t>(count, 10));
      for (std::size_t i = 0; i < best.size(); ++i) {
        REQUIRE(std::abs(best[i].score - scores[i]) < 1e-5);
        REQUIRE(std::abs(cosine(source.rows.at(best[i].id)) - scores[i]) < 1e-5);
      }
    }
  }
}

struct Measured {
  MemorySource source;
  LadderIndex codes{{.width = 64, .bits = 1, .scan_width = 32}};
  Calibration calibration;
};

Measured measured_on(RandomRows& random, std::int64_t count) {
  Measured made;
  const auto ids = random.ids(count);
  const auto rows = random.gaussian(count, 64);
  made.source.put(ids, rows);
  REQUIRE(made.codes.add(ids, rows).ok());
  auto measured = Calibration::measure(made.codes, made.source);
  REQUIRE_MESSAGE(measured.ok(), measured.status().to_string());
  made.calibration = std::move(measured).value();
  return made;
}

double recall_of(const Measured& on, const LadderPlan& plan, const std::vector<float>& questions) {
  const auto truth = search_exactly(on.source, questions, 64, 10).value();
  std::int64_t found = 0;
  for (std::size_t q = 0; q < truth.size(); ++q) {
    const auto hits = on.codes.search(std::span(questions).subspan(q * 64, 64), plan).value();
    for (const Candidate& one : truth[q]) {
      found += std::any_of(hits.begin(), hits.end(),
                           [&](const Candidate& hit) { return hit.id == one.id; });
    }
  }
  return static_cast<double>(found) / static_cast<double>(truth.size() * 10);
}

TEST_CASE("a measured plan reaches its recall on questions it has not seen") {
  RandomRows random(testing::test_seed("calibration"));
  const Measured on = measured_on(random, 4000);
  CHECK(on.calibration.row_count() == 4000);
  // Moved rows: what the calibration takes questions to be.
  std::vector<float> questions = random.gaussian(100, 64);
  std::size_t next = 0;
  for (const auto& [id, row] : on.source.rows) {
    if (next == questions.size()) break;
    const double length = std::sqrt(dot(row, row));
    for (const float value : row) {
      questions[next] = static_cast<float>(value / length) + questions[next] * 0.69F / 8;
      ++next;
    }
  }
  std::int64_t before = 0;
  for (const double target : {.5, .9, .99}) {
    CAPTURE(target);
    const LadderPlan plan = on.calibration.plan(on.codes.shape(), 4000, 10, target);
    CHECK(recall_of(on, plan, questions) >= target - .02);
    CHECK(plan.scan_count + 5 * plan.rank_count >= before);
    before = plan.scan_count + 5 * plan.rank_count;
  }
  CHECK(before < 4000 + 5 * 4000);
}

TEST_CASE("plans grow with the collection and with k, and are never below what was measured for") {
  RandomRows random(testing::test_seed("calibration"));
  const Measured on = measured_on(random, 2000);
  const LadderShape shape = on.codes.shape();
  for (const Calibration& each : {on.calibration, Calibration()}) {
    const LadderPlan here = each.plan(shape, 2000, 10, .99);
    const LadderPlan larger = each.plan(shape, 200'000, 10, .99);
    const LadderPlan deeper = each.plan(shape, 2000, 50, .99);
    CHECK(larger.scan_count > here.scan_count);
    CHECK(larger.rank_count >= here.rank_count);
    CHECK(deeper.rank_count >= here.rank_count + 40);
    CHECK(deeper.scan_count >= deeper.rank_count);
    CHECK(each.plan(shape, 2000, 10, .999).scan_count >= here.scan_count);
  }
}

TEST_CASE("a calibration is outgrown at twice and at half its size") {
  CHECK_FALSE(Calibration().outgrown(Calibration::kLeastRows - 1));
  CHECK(Calibration().outgrown(Calibration::kLeastRows));
  RandomRows random(testing::test_seed("calibration"));
  const Calibration made = measured_on(random, 2000).calibration;
  CHECK(made.outgrown(4000));
  CHECK(made.outgrown(1000));
  CHECK_FALSE(made.outgrown(3999));
  CHECK_FALSE(made.outgrown(1001));
}

TEST_CASE("a calibration comes back from its bytes, and damaged bytes are refused") {
  RandomRows random(testing::test_seed("calibration"));
  const Measured on = measured_on(random, 2000);
  const std::string bytes = on.calibration.serialize();
  const auto back = Calibration::parse(bytes);
  REQUIRE(back.ok());
  CHECK(back.value().serialize() == bytes);
  for (const double target : {.9, .99, .999}) {
    const LadderPlan a = on.calibration.plan(on.codes.shape(), 3000, 10, target);
    const LadderPlan b = back.value().plan(on.codes.shape(), 3000, 10, target);
    CHECK(a.scan_count == b.scan_count);
    CHECK(a.rank_count == b.rank_count);
  }
  for (std::size_t cut = 0; cut < bytes.size(); cut += 7) {
    CHECK(Calibration::parse(bytes.substr(0, cut)).status().code() == StatusCode::kDataLoss);
  }
  CHECK(Calibration::parse(bytes + "x").status().code() == StatusCode::kDataLoss);
  std::string many = bytes;
  many[22] = '\x7f';  // the count
  CHECK(Calibration::parse(many).status().code() == StatusCode::kDataLoss);
  CHECK(Calibration::parse(Calibration().serialize()).ok());
}

}  // namespace
}  // namespace nestor::index
