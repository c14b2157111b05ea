#include "embed/batcher.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>

#include "tests/embed/tiny_model.h"

namespace nestor::embed {
namespace {

TEST_CASE("groups hold every text once, within the budget, the longest first") {
  const std::vector<std::int64_t> lengths = {3, 700, 20, 100, 90, 7, 512, 1, 60};
  const std::vector<TextGroup> groups = plan_groups(lengths, 160);
  std::vector<std::size_t> seen;
  std::int64_t longest_before = 1 << 20;
  for (const TextGroup& group : groups) {
    std::int64_t tokens = 0;
    for (const std::size_t text : group.texts) {
      tokens += lengths[text];
      seen.push_back(text);
    }
    CHECK(tokens == group.tokens);
    CHECK((tokens <= 160 || group.texts.size() == 1));
    CHECK(lengths[group.texts.front()] <= longest_before);
    longest_before = lengths[group.texts.front()];
  }
  std::sort(seen.begin(), seen.end());
  CHECK(seen == std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(groups.size() == 4);  // 700, 512, 100 + 60, and all the others
  CHECK(plan_groups({}, 160).empty());
}

TEST_CASE("turns are taken in the order they were asked for") {
  TurnLock turn;
  std::vector<int> order;
  turn.lock();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      turn.lock();
      order.push_back(i);
      turn.unlock();
    });
    while (turn.asked_count() < static_cast<std::uint64_t>(i) + 2) std::this_thread::yield();
  }
  turn.unlock();
  threads.clear();
  CHECK(order == std::vector<int>{0, 1, 2, 3});
}

// Texts of many lengths, 3 to 300 words.
std::vector<std::string> varied_texts(std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::string> texts;
  for (int i = 0; i < 23; ++i) {
    std::string text;
    const std::uint32_t words = i % 4 == 0 ? random() % 60 : random() % 8;
    for (std::uint32_t word = 0; word < words; ++word) {
      text += std::string(1 + random() % 7, static_cast<char>('a' + random() % 26)) + " ";
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

// Each text's vector from calls of `per_call` texts in a shuffled order.
std::vector<std::vector<float>> embed_shuffled(const Embedder& embedder,
                                               const std::vector<std::string>& texts,
                                               std::size_t per_call, std::uint32_t seed) {
  std::vector<std::size_t> order(texts.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(seed));
  std::vector<std::vector<float>> vectors(texts.size());
  for (std::size_t begin = 0; begin < order.size(); begin += per_call) {
    const std::size_t end = std::min(order.size(), begin + per_call);
    std::vector<EmbedInput> inputs;
    for (std::size_t i = begin; i < end; ++i) inputs.push_back({.text = texts[order[i]]});
    auto result = embedder.embed(inputs, Role::kDocument);
    REQUIRE_MESSAGE(result.ok(), result.status().to_string());
    for (std::size_t i = begin; i < end; ++i) {
      vectors[order[i]] = result.value()[i - begin].vector;
    }
  }
  return vectors;
}

TEST_CASE("a vector does not depend on its batch or the number of threads") {
  constexpr std::uint32_t kSeed = 7;
  const std::vector<std::string> texts = varied_texts(kSeed);
  for (const char* backend : {"scalar", "vector"}) {
    const bool exact = std::string(backend) == "scalar";
    const auto expected = embed_shuffled(testing::open_tiny(backend, 1), texts, 1, kSeed);
    for (const int threads : {1, 2, 3}) {
      const Embedder embedder = testing::open_tiny(backend, threads);
      for (const std::size_t per_call : {1, 2, 3, 7, 23}) {
        CAPTURE(backend);
        CAPTURE(threads);
        CAPTURE(per_call);
        const auto got =
            embed_shuffled(embedder, texts, per_call, kSeed + static_cast<std::uint32_t>(per_call));
        for (std::size_t i = 0; i < texts.size(); ++i) {
          if (exact) {
            CHECK(got[i] == expected[i]);
          } else {
            CHECK(testing::largest_difference(got[i], expected[i]) <= 1e-6);
          }
        }
      }
    }
  }
}

TEST_CASE("progress counts up to its totals, on the caller's thread") {
  const Embedder embedder = testing::open_tiny("vector");
  const std::vector<std::string> texts = varied_texts(3);
  std::vector<EmbedInput> inputs;
  for (int round = 0; round < 8; ++round) {
    for (const std::string& text : texts) inputs.push_back({.text = text});
  }
  std::vector<Progress> reports;
  const auto caller = std::this_thread::get_id();
  const auto result =
      embedder.embed(inputs, Role::kQuery, {.progress = [&](const Progress& progress) {
                       CHECK(std::this_thread::get_id() == caller);
                       reports.push_back(progress);
                     }});
  REQUIRE(result.ok());
  REQUIRE(reports.size() > 1);
  for (std::size_t i = 1; i < reports.size(); ++i) {
    CHECK(reports[i].passages_done > reports[i - 1].passages_done);
    CHECK(reports[i].tokens_done > reports[i - 1].tokens_done);
  }
  CHECK(reports.back().passages_done == static_cast<std::int64_t>(inputs.size()));
  CHECK(reports.back().passages_total == static_cast<std::int64_t>(inputs.size()));
  CHECK(reports.back().tokens_done == reports.back().tokens_total);
}

}  // namespace
}  // namespace nestor::embed
