// Does it matter which thread count a person asks for? The latency of a query of 16 tokens and the
// rate over a mix of real passages, for thread counts from 1 to 64 in interleaved rounds; medians,
// and each as a ratio to the best. More threads than processors should cost nothing. About two
// minutes on two cores.
//
//   thread_count_benchmark [PRECISION]        default: int8 where the processor has a unit for it
#include <array>

#include "benchmarks/benchmark_support.h"
#include "benchmarks/encoder_texts.h"
#include "nestor/embedder.h"

namespace {

using nestor::benchmark::must;
using nestor::benchmark::quantile;
using nestor::benchmark::rounded;
using nestor::benchmark::seconds_of;

constexpr std::array kThreadCounts = {1, 2, 4, 8, 16, 32, 64};
constexpr std::size_t kPassages = 24;
constexpr int kRounds = 15;
constexpr int kQueriesPerRound = 5;

struct Measured {
  int threads = 0;
  nestor::Embedder embedder;
  std::vector<double> query_seconds = {};
  std::vector<double> mix_seconds = {};
};

Measured open_with(int threads, const std::string& precision) {
  nestor::EmbedderOptions options;
  options.precision = precision;
  options.thread_count = threads;
  options.model_folder = nestor::environment("NESTOR_MODEL");
  return {.threads = threads, .embedder = must(nestor::Embedder::open(options))};
}

void measure_round(Measured& one, const std::string& query,
                   const std::vector<nestor::EmbedInput>& mix) {
  for (int i = 0; i <= kQueriesPerRound; ++i) {
    const double seconds = seconds_of([&] { must(one.embedder.embed_query(query)); });
    if (i > 0) one.query_seconds.push_back(seconds);  // the first one warms the caches
  }
  one.mix_seconds.push_back(
      seconds_of([&] { must(one.embedder.embed(mix, nestor::Role::kDocument)); }));
}

}  // namespace

int main(int argument_count, char** arguments) {
  const std::string precision = argument_count > 1 ? arguments[1] : "";
  const nestor::benchmark::SampleTexts sample = nestor::benchmark::sample_texts(kPassages);
  std::vector<nestor::EmbedInput> mix;
  for (const nestor::benchmark::SampleText& one : sample.texts)
    mix.push_back({one.text, one.title});
  std::vector<Measured> all;
  for (const int threads : kThreadCounts) all.push_back(open_with(threads, precision));
  const std::string query =
      nestor::benchmark::text_of_tokens(all.front().embedder, nestor::Role::kQuery, 16);
  for (int round = 0; round <= kRounds; ++round) {
    for (Measured& one : all) {
      measure_round(one, query, mix);
      if (round == 0) one.query_seconds.clear(), one.mix_seconds.clear();
    }
  }
  double best_query = 1e9;
  double best_mix = 1e9;
  for (const Measured& one : all) {
    best_query = std::min(best_query, quantile(one.query_seconds, 0.5));
    best_mix = std::min(best_mix, quantile(one.mix_seconds, 0.5));
  }
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const Measured& one : all) {
    const double query_seconds = quantile(one.query_seconds, 0.5);
    const double mix_seconds = quantile(one.mix_seconds, 0.5);
    runs.push_back({{"threads", one.threads},
                    {"used", one.embedder.info().thread_count},
                    {"query_ms", rounded(1e3 * query_seconds)},
                    {"query_to_best", rounded(query_seconds / best_query)},
                    {"mix_ms", rounded(1e3 * mix_seconds)},
                    {"mix_to_best", rounded(mix_seconds / best_mix)}});
  }
  nestor::benchmark::report("thread_count", {{"precision", all.front().embedder.info().precision},
                                             {"backend", all.front().embedder.info().backend},
                                             {"texts", sample.origin},
                                             {"rounds", kRounds},
                                             {"runs", runs}});
  return 0;
}
