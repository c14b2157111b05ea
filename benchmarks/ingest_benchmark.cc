// How fast do documents go in? Documents a second through Database::add, synced to disk, one at a
// time and 64 at a time: with vectors of one's own (the store and the index alone) and embedded by
// the model. Under a minute. The disk is the one TMPDIR is on; a folder in memory shows no sync.
#include <optional>

#include "benchmarks/benchmark_support.h"
#include "nestor/database.h"

namespace {

using nestor::benchmark::must;
using nestor::benchmark::rounded;
using nestor::benchmark::SampleText;
using nestor::benchmark::seconds_of;

constexpr std::size_t kWidth = 768;
constexpr std::size_t kGivenDocuments = 6400;
constexpr std::size_t kGivenSingles = 300;
constexpr std::size_t kEmbeddedDocuments = 64;
constexpr std::size_t kEmbeddedSingles = 12;

struct Load {
  const char* name;
  std::size_t documents;
  std::size_t batch;
};

// Seconds of each add() call. `make` gives document `index`.
nlohmann::ordered_json measure(nestor::Database& database, const Load& load,
                               const std::function<nestor::Document(std::size_t)>& make) {
  std::vector<double> calls;
  double total = 0;
  std::int64_t tokens = 0;
  for (std::size_t begin = 0; begin < load.documents; begin += load.batch) {
    std::vector<nestor::Document> batch;
    for (std::size_t i = begin; i < std::min(begin + load.batch, load.documents); ++i)
      batch.push_back(make(i));
    const double seconds = seconds_of([&] { tokens += must(database.add(batch)).tokens_embedded; });
    calls.push_back(seconds);
    total += seconds;
  }
  nlohmann::ordered_json result = {
      {"load", load.name},
      {"documents", load.documents},
      {"batch", load.batch},
      {"documents_per_second", rounded(static_cast<double>(load.documents) / total)},
      {"median_call_ms", rounded(1e3 * nestor::benchmark::quantile(calls, 0.5))},
      {"p95_call_ms", rounded(1e3 * nestor::benchmark::quantile(calls, 0.95))}};
  if (tokens > 0) result["tokens_per_second"] = rounded(static_cast<double>(tokens) / total);
  return result;
}

}  // namespace

int main() {
  const nestor::benchmark::ScratchFolder folder;
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  const std::vector<float> rows = nestor::benchmark::clustered_rows(kGivenDocuments, kWidth, 1);
  const nestor::benchmark::SampleTexts sample = nestor::benchmark::sample_texts(kEmbeddedDocuments);
  const auto given = [&](std::size_t i) {
    const SampleText& text = sample.texts[i % sample.texts.size()];
    const float* const row = rows.data() + i * kWidth;
    return nestor::Document{.key = fmt::format("document-{}", i),
                            .title = text.title,
                            .text = text.text,
                            .metadata = {{"number", static_cast<std::int64_t>(i)}},
                            .vector = {row, row + kWidth}};
  };
  const auto embedded = [&](std::size_t i) {
    const SampleText& text = sample.texts[i];
    return nestor::Document{
        .key = fmt::format("document-{}", i), .title = text.title, .text = text.text};
  };
  for (const Load& load :
       {Load{"given vectors", kGivenSingles, 1}, Load{"given vectors", kGivenDocuments, 64}}) {
    nestor::Database database =
        must(nestor::Database::open(folder / fmt::format("given-{}", load.batch)));
    runs.push_back(measure(database, load, given));
    must(database.close());
  }
  nestor::OpenOptions options;
  options.embedder.model_folder = nestor::environment("NESTOR_MODEL");
  options.shared_embedder = must(nestor::Embedder::open(options.embedder));
  for (const Load& load :
       {Load{"embedded", kEmbeddedSingles, 1}, Load{"embedded", kEmbeddedDocuments, 64}}) {
    nestor::Database database =
        must(nestor::Database::open(folder / fmt::format("embedded-{}", load.batch), options));
    runs.push_back(measure(database, load, embedded));
    must(database.close());
  }
  const nestor::ModelInfo& model = options.shared_embedder->info();
  nestor::benchmark::report("ingest", {{"model", model.name},
                                       {"precision", model.precision},
                                       {"backend", model.backend},
                                       {"threads", model.thread_count},
                                       {"texts", sample.origin},
                                       {"runs", runs}});
  return 0;
}
