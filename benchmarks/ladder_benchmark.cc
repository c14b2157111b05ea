// The ladder over codes: milliseconds a query of one thread, recall@10 against exact search, bytes
// and microseconds a vector, and batches of 64 on two threads, at several sizes and plans.
// usage: ladder_benchmark [--rows FILE --queries FILE] [--sizes N,N,...] [--plans R:M,R:M,...]
// Files hold f32 rows of 768 and nothing else. Without them clustered Gaussian rows are made.
// Beyond the rows of the file, rows are made as row + (neighbour - other row): one real row moved
// by a real difference of neighbours.
#include <faiss/utils/distances.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "benchmarks/benchmark_support.h"
#include "core/file.h"
#include "core/vector_math.h"
#include "index/ladder_index.h"
#include "index/row_cache.h"
#include "index/scan_choice.h"
#include "index/top_candidates.h"

namespace {

using nestor::benchmark::must;
using nestor::benchmark::quantile;
using nestor::benchmark::rounded;
using nestor::benchmark::seconds_of;
using nestor::index::Candidate;
using nestor::index::LadderIndex;
using nestor::index::LadderPlan;

constexpr std::size_t kWidth = 768;
constexpr std::size_t kQueries = 200;
constexpr std::size_t kSeeds = 1000;  // rows whose neighbours are looked for
constexpr std::int64_t kTop = 10;

struct Options {
  std::string rows_file;
  std::string queries_file;
  std::vector<std::size_t> sizes = {14'000, 100'000};
  std::vector<LadderPlan> plans = {{0, 0}};
  int scan_width = 256;
  int bits = 1;
};

std::vector<float> floats_of(const std::string& path) {
  const std::string bytes = must(nestor::read_file(path, std::uint64_t{8} << 30));
  std::vector<float> rows(bytes.size() / (4 * kWidth) * kWidth);
  std::memcpy(rows.data(), bytes.data(), rows.size() * 4);
  return rows;
}

std::span<float> row_of(std::vector<float>& rows, std::size_t i) {
  return std::span(rows).subspan(i * kWidth, kWidth);
}

void grow(std::vector<float>& rows, std::size_t base, std::size_t count) {
  std::mt19937_64 random(7);
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  std::vector<std::pair<float, std::size_t>> scores(base);
  for (std::size_t i = 0; i < kSeeds; ++i) {
    const std::size_t seed = random() % base;
    for (std::size_t other = 0; other < base; ++other) {
      const float* a = rows.data() + seed * kWidth;
      scores[other] = {faiss::fvec_inner_product(a, rows.data() + other * kWidth, 128), other};
    }
    std::partial_sort(scores.begin(), scores.begin() + 6, scores.end(), std::greater<>());
    for (std::size_t n = 1; n < 6; ++n) pairs.emplace_back(seed, scores[n].second);
  }
  const std::size_t before = rows.size() / kWidth;
  rows.resize(count * kWidth);
  for (std::size_t i = before; i < count; ++i) {
    const auto [from, to] = pairs[random() % pairs.size()];
    const std::size_t moved = random() % base;
    const std::span<float> row = row_of(rows, i);
    for (std::size_t d = 0; d < kWidth; ++d) {
      row[d] = rows[moved * kWidth + d] + rows[to * kWidth + d] - rows[from * kWidth + d];
    }
    nestor::normalize(row);
  }
}

std::vector<Candidate> exact_best(const std::vector<float>& rows, std::size_t count,
                                  const float* query) {
  nestor::index::TopCandidates best(kTop);
  std::vector<float> scores(4096);
  for (std::size_t first = 0; first < count; first += scores.size()) {
    const std::size_t block = std::min(scores.size(), count - first);
    faiss::fvec_inner_products_ny(scores.data(), query, rows.data() + first * kWidth, kWidth,
                                  block);
    for (std::size_t i = 0; i < block; ++i) {
      if (scores[i] >= best.threshold()) best.offer({first + i + 1, scores[i]});
    }
  }
  return best.take();
}

std::vector<Candidate> rerank(const std::vector<float>& rows, const float* query,
                              const std::vector<Candidate>& candidates) {
  nestor::index::TopCandidates best(kTop);
  for (const Candidate& candidate : candidates) {
    const float* row = rows.data() + (candidate.id - 1) * kWidth;
    best.offer({candidate.id, faiss::fvec_inner_product(query, row, kWidth)});
  }
  return best.take();
}

double share_found(const std::vector<Candidate>& found, const std::vector<Candidate>& exact) {
  double hits = 0;
  for (const Candidate& hit : exact) {
    hits += std::any_of(found.begin(), found.end(),
                        [&](const Candidate& other) { return other.id == hit.id; })
                ? 1
                : 0;
  }
  return hits / static_cast<double>(exact.size());
}

nlohmann::ordered_json run_plan(const LadderIndex& index, const std::vector<float>& rows,
                                const nestor::index::RowCache& cache,
                                const std::vector<float>& queries, const LadderPlan& plan,
                                const std::vector<std::vector<Candidate>>& exact) {
  std::vector<double> scan, rank, exact_seconds, total;
  double recall = 0;
  nestor::index::LadderTrace trace;
  for (int pass = 0; pass < 3; ++pass) {  // the first warms the caches
    if (pass == 1) scan.clear(), rank.clear(), exact_seconds.clear(), total.clear();
    recall = 0;
    for (std::size_t q = 0; q < exact.size(); ++q) {
      const std::span<const float> query = std::span(queries).subspan(q * kWidth, kWidth);
      std::vector<Candidate> candidates;
      const double seconds = seconds_of(
          [&] { candidates = must(index.search(query, plan, nullptr, nullptr, &trace)); });
      std::vector<Candidate> best;
      // The cache ranks the candidates, the rows themselves the best of those.
      exact_seconds.push_back(seconds_of([&] {
        std::vector<std::uint64_t> ids;
        for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
        best = rerank(rows, query.data(), must(cache.rank(query, ids, 2 * kTop)));
      }));
      scan.push_back(trace.scan_seconds);
      rank.push_back(trace.rank_seconds);
      total.push_back(seconds + exact_seconds.back());
      recall += share_found(best, exact[q]) / static_cast<double>(exact.size());
    }
  }
  std::vector<float> batch(queries.begin(), queries.begin() + 64 * kWidth);
  nestor::ThreadPool pool(2);
  std::vector<double> batches;
  for (int pass = 0; pass < 7; ++pass) {
    batches.push_back(seconds_of([&] { must(index.search_batch(batch, plan, nullptr, &pool)); }));
  }
  return {{"R", trace.plan.scan_count},
          {"M", trace.plan.rank_count},
          {"p50_ms", rounded(1e3 * quantile(total, 0.5))},
          {"p05_ms", rounded(1e3 * quantile(total, 0.05))},
          {"p95_ms", rounded(1e3 * quantile(total, 0.95))},
          {"scan_ms", rounded(1e3 * quantile(scan, 0.5))},
          {"rank_ms", rounded(1e3 * quantile(rank, 0.5))},
          {"exact_ms", rounded(1e3 * quantile(exact_seconds, 0.5))},
          {"exact_p05_ms", rounded(1e3 * quantile(exact_seconds, 0.05))},
          {"scan_p05_ms", rounded(1e3 * quantile(scan, 0.05))},
          {"recall@10", rounded(recall)},
          {"batch64_queries_per_second", rounded(64 / quantile(batches, 0.5))}};
}

nlohmann::ordered_json measure(const Options& options, std::vector<float>& rows, std::size_t base,
                               const std::vector<float>& queries, std::size_t count) {
  if (rows.size() / kWidth < count) grow(rows, base, count);
  std::vector<std::uint64_t> ids(count);
  for (std::size_t i = 0; i < count; ++i) ids[i] = i + 1;
  LadderIndex index(
      {.width = static_cast<int>(kWidth), .bits = options.bits, .scan_width = options.scan_width});
  const double build = seconds_of([&] {
    constexpr std::size_t kBatch = 8192;
    for (std::size_t i = 0; i < count; i += kBatch) {
      const std::size_t many = std::min(kBatch, count - i);
      must(index.add(std::span(ids).subspan(i, many),
                     std::span<const float>(rows).subspan(i * kWidth, many * kWidth)));
    }
  });
  nestor::index::RowCache cache(static_cast<int>(kWidth), nestor::index::Metric::kCosine);
  must(cache.add(ids, std::span<const float>(rows).first(count * kWidth)));
  std::vector<std::vector<Candidate>> exact;
  for (std::size_t q = 0; q < std::min(kQueries, queries.size() / kWidth); ++q) {
    exact.push_back(exact_best(rows, count, queries.data() + q * kWidth));
  }
  nlohmann::ordered_json plans = nlohmann::ordered_json::array();
  for (const LadderPlan& plan : options.plans) {
    plans.push_back(run_plan(index, rows, cache, queries, plan, exact));
    std::fprintf(stderr, "%zu %s\n", count, plans.back().dump().c_str());
  }
  const nestor::benchmark::ScratchFolder folder;
  must(index.save(folder / "ladder", nestor::index::IndexIdentity()));
  std::vector<double> opens;
  for (int pass = 0; pass < 5; ++pass) {
    opens.push_back(seconds_of([&] { (void)must(LadderIndex::open(folder / "ladder")); }));
  }
  const double divisor = static_cast<double>(count);
  return {{"rows", count},
          {"build_us_a_vector", rounded(1e6 * build / divisor)},
          {"bytes_a_vector", rounded(static_cast<double>(index.memory_bytes()) / divisor)},
          {"open_ms", rounded(1e3 * quantile(opens, 0.5))},
          {"plans", plans}};
}

Options parse(int count, char** words) {
  Options options;
  const auto numbers = [](const std::string& text, char separator) {
    std::vector<std::size_t> found;
    std::size_t at = 0;
    while (at <= text.size()) {
      const std::size_t end = std::min(text.find(separator, at), text.size());
      found.push_back(std::stoul(text.substr(at, end - at)));
      at = end + 1;
    }
    return found;
  };
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = words[i];
    const std::string value = words[i + 1];
    if (name == "--rows") options.rows_file = value;
    if (name == "--queries") options.queries_file = value;
    if (name == "--scan-width") options.scan_width = std::stoi(value);
    if (name == "--bits") options.bits = std::stoi(value);
    if (name == "--sizes") options.sizes = numbers(value, ',');
    if (name == "--plans") {
      options.plans.clear();
      std::size_t at = 0;
      while (at <= value.size()) {
        const std::size_t end = std::min(value.find(',', at), value.size());
        const auto plan = numbers(value.substr(at, end - at), ':');
        options.plans.push_back(
            {static_cast<std::int64_t>(plan[0]), static_cast<std::int64_t>(plan[1])});
        at = end + 1;
      }
    }
  }
  return options;
}

}  // namespace

int main(int count, char** words) {
  const Options options = parse(count, words);
  const bool real = !options.rows_file.empty();
  std::vector<float> rows =
      real ? floats_of(options.rows_file) : nestor::benchmark::clustered_rows(14'000, kWidth, 1);
  std::vector<float> queries;
  if (real) {
    queries = floats_of(options.queries_file);
  } else {
    // Rows moved a little, every 61st of them.
    std::mt19937_64 random(3);
    for (std::size_t i = 0; i < kQueries; ++i) {
      for (const float value : row_of(rows, i * 61)) {
        queries.push_back(value + 0.02F * (static_cast<float>(random() % 1000) / 500 - 1));
      }
    }
  }
  const std::size_t base = rows.size() / kWidth;
  nlohmann::ordered_json sizes = nlohmann::ordered_json::array();
  for (const std::size_t size : options.sizes) {
    sizes.push_back(measure(options, rows, base, queries, size));
  }
  nestor::benchmark::report("ladder", {{"vectors", real ? "file" : "clustered"},
                                       {"kernels", nestor::index::scan_kernels().name},
                                       {"bits", options.bits},
                                       {"scan_width", options.scan_width},
                                       {"sizes", sizes}});
  return 0;
}
