// Passes shared by a team, and several of them side by side over one set of workers.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "embed/loaded_model.h"
#include "embed/team.h"
#include "tests/embed/tiny_packed.h"

namespace nestor::embed {
namespace {

std::unique_ptr<LoadedModel> load_tiny(Precision precision) {
  ThreadPool pool(1);
  auto loaded = load_model(
      {.model_folder = testing::packed_tiny(precision), .allow_unverified_model = true}, pool);
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().to_string());
  return std::move(loaded).value();
}

std::vector<float> encode_by(const Encoder& encoder, const std::vector<std::int32_t>& ids,
                             const Team& team, Workspace& workspace) {
  const std::span<const std::int32_t> one(ids);
  const auto rows = encoder.encode(std::span(&one, 1), team, std::stop_token(), workspace);
  if (!rows.ok()) return {};
  return {rows.value().begin(), rows.value().end()};
}

// Texts of 5 tokens up to as many as the model takes.
std::vector<std::vector<std::int32_t>> texts(const LoadedModel& model) {
  std::vector<std::vector<std::int32_t>> made;
  for (const std::int64_t length :
       {std::int64_t{5}, std::int64_t{20}, std::int64_t{33}, model.config().context_tokens}) {
    std::vector<std::int32_t> ids;
    for (std::int64_t i = 0; i < length; ++i) {
      ids.push_back(static_cast<std::int32_t>(4 + (i * 7 + length) % 90));
    }
    made.push_back(ids);
  }
  return made;
}

TEST_CASE("a pass gives the same bits by one thread and by a team of any size") {
  for (const Precision precision : testing::kPrecisions) {
    const auto model = load_tiny(precision);
    const auto workspace = model->encoder().make_workspace();
    for (const auto& ids : texts(*model)) {
      const auto alone = encode_by(model->encoder(), ids, Team(), *workspace);
      REQUIRE_FALSE(alone.empty());
      for (const int threads : {2, 3, 5}) {
        ThreadPool pool(threads);
        const Team team(pool);
        REQUIRE(team.size() == threads);
        CHECK(encode_by(model->encoder(), ids, team, *workspace) == alone);
      }
    }
  }
}

TEST_CASE("teams of several callers share the workers and never wait for one that does not run") {
  for (const Precision precision : {Precision::kInt8, Precision::kF32}) {
    const auto model = load_tiny(precision);
    const auto all = texts(*model);
    std::vector<std::vector<float>> expected;
    for (const auto& ids : all) {
      expected.push_back(
          encode_by(model->encoder(), ids, Team(), *model->encoder().make_workspace()));
    }
    ThreadPool pool(4);
    std::atomic<int> wrong = 0;
    std::vector<std::jthread> callers;
    for (std::size_t caller = 0; caller < 3; ++caller) {
      callers.emplace_back([&, caller] {
        const auto workspace = model->encoder().make_workspace();
        for (std::size_t round = 0; round < 20; ++round) {
          const std::size_t at = (round + caller) % all.size();
          const Team team(pool);
          if (encode_by(model->encoder(), all[at], team, *workspace) != expected[at]) ++wrong;
        }
      });
    }
    callers.clear();
    CHECK(wrong == 0);
  }
}

}  // namespace
}  // namespace nestor::embed
