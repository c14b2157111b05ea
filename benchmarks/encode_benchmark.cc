// How fast is the encoder? Tokens a second over a mix of real passages, and the latency of a
// question of 16 tokens and a text of 256, with one and with two threads; medians. About a minute
// on two cores.
//
//   encode_benchmark [PRECISION]        default: int8 where the processor has a unit for it
#include <cstdlib>

#include "benchmarks/benchmark_support.h"
#include "benchmarks/encoder_texts.h"
#include "nestor/embedder.h"

namespace {

using nestor::benchmark::must;
using nestor::benchmark::quantile;
using nestor::benchmark::rounded;
using nestor::benchmark::seconds_of;
using nestor::benchmark::text_of_tokens;

constexpr std::size_t kPassages = 96;
constexpr int kThroughputRuns = 3;
constexpr int kShortRuns = 21;
constexpr int kLongRuns = 7;

nlohmann::ordered_json latency(const nestor::Embedder& embedder, nestor::Role role, int tokens,
                               int runs) {
  const std::string text = text_of_tokens(embedder, role, tokens);
  const nestor::EmbedInput input{.text = text};
  int found = 0;
  std::vector<double> seconds;
  for (int run = 0; run <= runs; ++run) {
    const double took = seconds_of([&] {
      found = must(embedder.embed({&input, 1}, role)).front().token_count;
    });
    if (run > 0) seconds.push_back(took);  // the first one warms the caches
  }
  return {{"tokens", found},
          {"median_ms", rounded(1e3 * quantile(seconds, 0.5))},
          {"best_ms", rounded(1e3 * quantile(seconds, 0))},
          {"p90_ms", rounded(1e3 * quantile(seconds, 0.9))}};
}

nlohmann::ordered_json throughput(const nestor::Embedder& embedder,
                                  const nestor::benchmark::SampleTexts& sample) {
  std::vector<nestor::EmbedInput> inputs;
  for (const nestor::benchmark::SampleText& one : sample.texts)
    inputs.push_back({one.text, one.title});
  std::int64_t tokens = 0;
  std::vector<double> rates;
  for (int run = 0; run < kThroughputRuns; ++run) {
    std::vector<nestor::Embedding> rows;
    const double seconds =
        seconds_of([&] { rows = must(embedder.embed(inputs, nestor::Role::kDocument)); });
    tokens = 0;
    for (const nestor::Embedding& row : rows) tokens += row.token_count;
    rates.push_back(static_cast<double>(tokens) / seconds);
  }
  return {{"texts", inputs.size()},
          {"tokens", tokens},
          {"tokens_per_second", rounded(quantile(rates, 0.5))},
          {"best_tokens_per_second", rounded(quantile(rates, 1))}};
}

}  // namespace

int main(int argument_count, char** arguments) {
  const std::string precision = argument_count > 1 ? arguments[1] : "";
  const nestor::benchmark::SampleTexts sample = nestor::benchmark::sample_texts(kPassages);
  nlohmann::ordered_json threads = nlohmann::ordered_json::array();
  nestor::ModelInfo info;
  double load_seconds = 0;
  for (const int thread_count : {1, 2}) {
    nestor::EmbedderOptions options;
    options.precision = precision;
    options.thread_count = thread_count;
    options.model_folder = nestor::environment("NESTOR_MODEL");
    std::optional<nestor::Embedder> embedder;
    load_seconds = seconds_of([&] { embedder = must(nestor::Embedder::open(options)); });
    info = embedder->info();
    threads.push_back({{"threads", thread_count},
                       {"mix", throughput(*embedder, sample)},
                       {"short_query", latency(*embedder, nestor::Role::kQuery, 16, kShortRuns)},
                       {"long_text", latency(*embedder, nestor::Role::kDocument, 256, kLongRuns)}});
  }
  nestor::benchmark::report("encode", {{"model", info.name},
                                       {"precision", info.precision},
                                       {"backend", info.backend},
                                       {"texts", sample.origin},
                                       {"load_seconds", rounded(load_seconds)},
                                       {"runs", threads}});
  return 0;
}
