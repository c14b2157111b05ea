// Many threads, one model.
#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/embed/tiny_model.h"

namespace nestor {
namespace {

TEST_CASE("threads that call one embedder side by side get what one alone gets") {
  const Embedder embedder = testing::open_tiny("vector", 3);
  const std::vector<std::string> texts = {"Mars", "the keys of a sorted run", "",
                                          "each block has its own checksum, and so on and on"};
  std::vector<std::vector<float>> expected;
  for (const std::string& text : texts) {
    expected.push_back(embedder.embed_query(text).value().vector);
  }
  std::atomic<int> wrong = 0;
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread, copy = embedder] {
      for (int round = 0; round < 12; ++round) {
        if ((round + thread) % 2 == 0) {
          const std::size_t i = static_cast<std::size_t>(round + thread) % texts.size();
          const auto result = copy.embed_query(texts[i]);
          if (!result.ok() || result.value().vector != expected[i]) ++wrong;
          if (copy.count_tokens(texts[i]).value() < 0) ++wrong;
          continue;
        }
        std::vector<EmbedInput> inputs;
        for (const std::string& text : texts) inputs.push_back({.text = text});
        const auto result = copy.embed(inputs, Role::kQuery);
        for (std::size_t i = 0; i < texts.size(); ++i) {
          if (!result.ok() || result.value()[i].vector != expected[i]) ++wrong;
        }
      }
    });
  }
  threads.clear();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace nestor
