#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/file.h"
#include "index/ladder_index.h"
#include "index/scan_choice.h"
#include "tests/index/random_rows.h"
#include "tests/support/test_paths.h"

namespace nestor::index {
namespace {

using nestor::testing::RandomRows;
using nestor::testing::TempFolder;

constexpr int kWidth = 64;
constexpr LadderShape kShape{.width = kWidth, .bits = 1, .scan_width = 32};
constexpr ListOptions kSmall{.rows_per_list = 20, .neighbour_cells = 3, .iterations = 2};

// Rows around a few directions, many of them the same, so that there are lists and ties.
std::vector<float> clustered(RandomRows& random, std::int64_t count) {
  const auto centers = random.gaussian(30, kWidth);
  auto rows = random.gaussian(count, kWidth);
  for (std::size_t row = 0; row < static_cast<std::size_t>(count); ++row) {
    const auto center = static_cast<std::size_t>(random.below(30)) * kWidth;
    const float spread = random.below(3) == 0 ? 0.0F : 0.7F;
    for (std::size_t c = 0; c < kWidth; ++c) {
      float& value = rows[row * kWidth + c];
      value = centers[center + c] + spread * value;
    }
  }
  return rows;
}

struct World {
  LadderIndex flat{kShape};
  LadderIndex listed{kShape};
  std::vector<std::uint64_t> ids;
  std::set<std::uint64_t> live;

  void add(RandomRows& random, std::int64_t count, bool both) {
    const auto more = random.ids(count, ids.empty() ? 1 : ids.back() + 1);
    const auto rows = clustered(random, count);
    REQUIRE(flat.add(more, rows).ok());
    if (both) REQUIRE(listed.add(more, rows).ok());
    ids.insert(ids.end(), more.begin(), more.end());
    live.insert(more.begin(), more.end());
  }
  void remove(RandomRows& random, std::int64_t count, bool both) {
    for (std::int64_t i = 0; i < count; ++i) {
      const auto id =
          ids[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(ids.size())))];
      flat.remove({&id, 1});
      if (both) listed.remove({&id, 1});
      live.erase(id);
    }
  }
  void sort_into_lists() {
    auto made = LadderIndex::with_lists(flat, kSmall);
    REQUIRE_MESSAGE(made.ok(), made.status().to_string());
    listed = std::move(made).value();
  }
};

// Every row that may be found with its score.
std::map<std::uint64_t, float> all_scores(const LadderIndex& index, const std::vector<float>& query,
                                          const LadderFilter* filter) {
  const auto all =
      index.search(query, {.scan_count = 1 << 20, .rank_count = 1 << 20}, filter).value();
  std::map<std::uint64_t, float> scores;
  for (const Candidate& candidate : all) scores[candidate.id] = candidate.score;
  return scores;
}

bool same(const std::vector<Candidate>& a, const std::vector<Candidate>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.id == y.id && x.score == y.score;
  });
}

void check_answers(RandomRows& random, World& world, ThreadPool& pool) {
  REQUIRE(world.listed.live_count() == static_cast<std::int64_t>(world.live.size()));
  for (int round = 0; round < 6; ++round) {
    const auto query = random.gaussian(1, kWidth);
    std::vector<std::uint64_t> wanted;
    const std::int64_t share = std::int64_t{1} << random.below(10);
    for (const std::uint64_t id : world.ids) {
      if (random.below(share) == 0) wanted.push_back(id);
    }
    const auto filter = world.listed.filter(wanted);
    const auto flat_filter = world.flat.filter(wanted);
    REQUIRE(filter.ok());
    REQUIRE(flat_filter.ok());
    const bool filtered = round % 2 == 1;
    const LadderFilter* mask = filtered ? &filter.value() : nullptr;
    const auto scores = all_scores(world.flat, query, filtered ? &flat_filter.value() : nullptr);
    CHECK(all_scores(world.listed, query, mask) == scores);
    const LadderPlan plan{.scan_count = 1 + random.below(60),
                          .rank_count = 1 + random.below(30),
                          .probe_rows = 1 + random.below(2000)};
    LadderTrace trace;
    const auto found = world.listed.search(query, plan, mask, nullptr, &trace).value();
    // As many as were asked for if as many there are, none that may not be found, each with the
    // score that it has, in order.
    REQUIRE(found.size() == std::min(static_cast<std::size_t>(plan.rank_count), scores.size()));
    for (std::size_t i = 0; i < found.size(); ++i) {
      REQUIRE(scores.count(found[i].id) == 1);
      REQUIRE(scores.at(found[i].id) == found[i].score);
      if (i == 0) continue;
      const bool ordered = found[i - 1].score > found[i].score ||
                           (found[i - 1].score == found[i].score && found[i - 1].id < found[i].id);
      REQUIRE(ordered);
    }
    REQUIRE(same(world.listed.search(query, plan, mask, &pool).value(), found));
    for (const ScanKernels* kernels : available_scan_kernels()) {
      world.listed.use_kernels(*kernels);
      REQUIRE(same(world.listed.search(query, plan, mask).value(), found));
    }
    REQUIRE(same(world.listed.search_batch(query, plan, mask, &pool).value().front(), found));
  }
}

TEST_CASE("rows in lists: every row is found with its score, whatever was added and removed") {
  RandomRows random(testing::test_seed("ladder_lists"));
  ThreadPool pool(3);
  for (const std::int64_t count : {1024, 1100, 5000, 12'000}) {
    CAPTURE(count);
    World world;
    world.add(random, count, false);
    if (random.below(2) == 0) world.remove(random, count / 10, false);
    world.sort_into_lists();
    CHECK(world.listed.has_lists());
    check_answers(random, world, pool);
    world.remove(random, count / 10, true);
    check_answers(random, world, pool);
    world.add(random, 1 + random.below(300), true);
    world.remove(random, 20, true);
    check_answers(random, world, pool);
    world.remove(random, count / 2, true);  // the codes move together on the way
    check_answers(random, world, pool);
    world.sort_into_lists();  // anew, out of what is left
    check_answers(random, world, pool);
    // A sort out of lists and rows behind them.
    world.add(random, 100, true);
    world.listed = LadderIndex::with_lists(world.listed.version().value(), kSmall).value();
    check_answers(random, world, pool);
  }
}

TEST_CASE("rows in lists: the few lists looked through hold nearly all of the best rows") {
  RandomRows random(testing::test_seed("ladder_lists"));
  World world;
  world.add(random, 40'000, false);
  world.sort_into_lists();
  std::int64_t found = 0;
  for (int round = 0; round < 40; ++round) {
    const auto query = random.gaussian(1, kWidth);
    const LadderPlan every{
        .scan_count = 200, .rank_count = 10, .probe_rows = LadderPlan::kEveryRow};
    LadderPlan few = every;
    few.probe_rows = 10'000;
    LadderTrace trace;
    const auto best = world.listed.search(query, every, nullptr, nullptr, &trace).value();
    REQUIRE(trace.lists_scanned == 0);
    REQUIRE(trace.rows_scanned == 40'000);
    const auto some = world.listed.search(query, few, nullptr, nullptr, &trace).value();
    REQUIRE(trace.lists_scanned > 0);
    REQUIRE(trace.rows_scanned < 20'000);
    // By score: of duplicates it does not matter which.
    for (const Candidate& hit : some) found += hit.score >= best.back().score ? 1 : 0;
  }
  CHECK(found >= 360);
}

TEST_CASE("rows in lists: a filter of few rows finds all of them, wherever they lie") {
  RandomRows random(testing::test_seed("ladder_lists"));
  World world;
  world.add(random, 20'000, false);
  world.sort_into_lists();
  for (const std::size_t few : {1U, 2U, 9U, 50U, 700U}) {
    for (int round = 0; round < 5; ++round) {
      std::set<std::uint64_t> wanted;
      while (wanted.size() < few) {
        wanted.insert(world.ids[static_cast<std::size_t>(random.below(20'000))]);
      }
      const std::vector<std::uint64_t> ids(wanted.begin(), wanted.end());
      const auto filter = world.listed.filter(ids);
      const LadderPlan plan{.scan_count = static_cast<std::int64_t>(few),
                            .rank_count = static_cast<std::int64_t>(few),
                            .probe_rows = 1};
      const auto found =
          world.listed.search(random.gaussian(1, kWidth), plan, &filter.value()).value();
      std::set<std::uint64_t> got;
      for (const Candidate& hit : found) got.insert(hit.id);
      CHECK(got == wanted);
    }
  }
}

TEST_CASE("rows in lists: a filter against the grain of the question looks through all rows") {
  RandomRows random(testing::test_seed("ladder_lists"));
  World world;
  world.add(random, 20'000, false);
  world.sort_into_lists();
  LadderPlan plan{.scan_count = 100, .rank_count = 50, .probe_rows = 2000};
  LadderPlan every = plan;
  every.probe_rows = LadderPlan::kEveryRow;
  int seen_against = 0;
  int seen_along = 0;
  for (int round = 0; round < 5; ++round) {
    const auto query = random.gaussian(1, kWidth);
    std::vector<std::pair<float, std::uint64_t>> order;
    for (const auto& [id, score] : all_scores(world.flat, query, nullptr)) {
      order.emplace_back(score, id);
    }
    std::sort(order.begin(), order.end());
    std::vector<std::uint64_t> far;
    for (std::size_t i = 0; i < order.size() / 5; ++i) far.push_back(order[i].second);
    std::sort(far.begin(), far.end());
    const auto filter = world.listed.filter(far);
    LadderTrace trace;
    const auto found = world.listed.search(query, plan, &filter.value(), nullptr, &trace).value();
    if (trace.lists_scanned == 0) {
      ++seen_against;
      CHECK(same(found, world.listed.search(query, every, &filter.value()).value()));
    }
    std::vector<std::uint64_t> anywhere;
    for (const std::uint64_t id : world.ids) {
      if (random.below(10) < 6) anywhere.push_back(id);
    }
    const auto half = world.listed.filter(anywhere);
    static_cast<void>(world.listed.search(query, plan, &half.value(), nullptr, &trace).value());
    seen_along += trace.lists_scanned > 0 ? 1 : 0;
  }
  // What is told apart is told by a sample of the rows, which chance may move.
  CHECK(seen_against >= 3);
  CHECK(seen_along >= 3);
}

TEST_CASE("lists are built beside an index that goes on changing and catch up with it") {
  RandomRows random(testing::test_seed("ladder_lists"));
  ThreadPool pool(2);
  World world;
  world.add(random, 3000, false);
  const auto snapshot = world.flat.version();
  REQUIRE(snapshot.ok());
  world.remove(random, 200, false);
  world.add(random, 500, false);
  world.remove(random, 200, false);
  CHECK(snapshot.value().live_count() == 3000);
  auto made = LadderIndex::with_lists(snapshot.value(), kSmall);
  REQUIRE(made.ok());
  world.remove(random, 900, false);  // the codes of the old one move meanwhile
  REQUIRE(made.value().catch_up(world.flat).ok());
  world.listed = std::move(made).value();
  CHECK(world.listed.generation() > world.flat.generation());
  CHECK(world.listed.last_id() == world.flat.last_id());
  check_answers(random, world, pool);
}

TEST_CASE("lists that cannot be or are not wanted any more end in a status") {
  RandomRows random(testing::test_seed("ladder_lists"));
  LadderIndex few(kShape);
  REQUIRE(few.add(random.ids(100), random.gaussian(100, kWidth)).ok());
  CHECK(LadderIndex::with_lists(few, {}).status().code() == StatusCode::kFailedPrecondition);
  World world;
  world.add(random, 2000, false);
  int asked = 0;
  CHECK(LadderIndex::with_lists(world.flat, kSmall, [&] { return ++asked > 3; }).status().code() ==
        StatusCode::kCancelled);
  world.sort_into_lists();
  LadderIndex other(kShape);
  REQUIRE(other.add(world.ids, random.gaussian(2000, kWidth)).ok());
  CHECK(world.listed.catch_up(other).code() == StatusCode::kFailedPrecondition);
}

TEST_CASE("lists are wanted from kListRows on, and again with a quarter more rows") {
  RandomRows random(testing::test_seed("ladder_lists"));
  const LadderShape small{.width = 4, .bits = 1, .scan_width = 4};
  const auto rows = random.gaussian(1000, 4);
  LadderIndex index(small);
  std::uint64_t next = 1;
  const auto grow = [&](std::int64_t count) {
    for (; count > 0; count -= 1000) {
      REQUIRE(index.add(random.ids(1000, next), rows).ok());
      next = *index.last_id() + 1;
    }
  };
  grow(LadderIndex::kListRows - 1000);
  CHECK(!index.wants_lists());
  grow(1000);
  CHECK(index.wants_lists());
  const ListOptions coarse{.rows_per_list = 100'000, .neighbour_cells = 1, .iterations = 1};
  index = LadderIndex::with_lists(index.version().value(), coarse).value();
  CHECK(!index.wants_lists());
  grow(LadderIndex::kListRows / 4 - 2000);
  CHECK(!index.wants_lists());
  grow(4000);
  CHECK(index.wants_lists());
}

IndexIdentity identity() {
  IndexIdentity identity;
  identity.collection = "notes";
  identity.width = kWidth;
  identity.sequence = 9;
  return identity;
}

TEST_CASE("lists come back from their file with what was added and removed since") {
  RandomRows random(testing::test_seed("ladder_lists"));
  ThreadPool pool(2);
  for (const std::int64_t tail : {0, 1, 63, 64, 200}) {
    CAPTURE(tail);
    World world;
    world.add(random, 3000 + random.below(70), false);
    world.sort_into_lists();
    world.remove(random, 300, true);
    if (tail > 0) world.add(random, tail, true);
    const TempFolder folder;
    REQUIRE(world.listed.save(folder / "file", identity()).ok());
    auto opened = LadderIndex::open(folder / "file");
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    CHECK(opened.value().identity == identity());
    CHECK(opened.value().index.has_lists());
    CHECK(opened.value().index.probe_rows() ==
          std::min(world.listed.probe_rows(), world.listed.live_count() - tail));
    world.listed = std::move(opened.value().index);
    check_answers(random, world, pool);
    world.add(random, 100, true);
    world.remove(random, 50, true);
    check_answers(random, world, pool);
    // Over itself: what is mapped is still read while its file is replaced.
    REQUIRE(world.listed.save(folder / "file", identity()).ok());
    world.listed = std::move(LadderIndex::open(folder / "file").value().index);
    check_answers(random, world, pool);
    world.remove(random, 2500, true);
    check_answers(random, world, pool);
  }
}

TEST_CASE("a damaged file of lists gives a status, and one with right checksums is not believed") {
  RandomRows random(testing::test_seed("ladder_lists"));
  World world;
  world.add(random, 1500, false);
  world.sort_into_lists();
  world.add(random, 70, true);
  const TempFolder folder;
  const std::string path = folder / "file";
  REQUIRE(world.listed.save(path, identity()).ok());
  const std::string good = read_file(path, 1 << 24).value();
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    const auto at = static_cast<std::size_t>(
        random.below(static_cast<std::int64_t>(round < 100 ? 1000 : good.size())));
    bad[at] = static_cast<char>(bad[at] ^ (1 << random.below(8)));
    if (round % 3 == 0) bad.resize(at);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bad;
    const auto code = LadderIndex::open(path).status().code();
    CAPTURE(at);
    const bool expected = code == StatusCode::kDataLoss || code == StatusCode::kUnsupported;
    REQUIRE(expected);
  }
  std::ofstream(path, std::ios::binary | std::ios::trunc) << good;
  const IndexFile whole = read_index_file(path).value();
  int refused = 0;
  for (int round = 0; round < 800; ++round) {
    IndexFile bad = whole;
    // The head with what it says of lists, and the tables behind the codes.
    const std::size_t from = round % 2 == 0 ? 0 : whole.payload.size() - 25'000;
    const std::size_t reach = round % 2 == 0 ? 700 : 25'000;
    const auto at = from + static_cast<std::size_t>(random.below(static_cast<std::int64_t>(reach)));
    bad.payload[at] = static_cast<char>(bad.payload[at] ^ (1 << random.below(8)));
    REQUIRE(write_index_file(path, bad).ok());
    const auto opened = LadderIndex::open(path);
    refused += opened.ok() ? 0 : 1;
    if (opened.ok()) {
      CHECK(opened.value().index.search(random.gaussian(1, kWidth), {}).ok());
    } else {
      CHECK(opened.status().code() == StatusCode::kDataLoss);
    }
  }
  CHECK(refused > 150);
}

}  // namespace
}  // namespace nestor::index
