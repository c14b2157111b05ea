// The ladder over codes: milliseconds a query of one thread, recall@10 against exact search, bytes
// and microseconds a vector, and batches of 64 on two threads, at several sizes and plans.
// usage: ladder_benchmark [--rows FILE --queries FILE] [--sizes N,N,...] [--plans R:M,R:M,...]
//                         [--threads N] [--filters N,N,...] [--lists ROWS[:CELLS:ITERATIONS]]
//                         [--batches N,N,...]
// --lists sorts the rows into lists of ROWS rows (0: the default); plans are then R:M:ROWS, ROWS in
// the lists looked through.
// --filters: every N-th row may be found, or with 0 the rows that are nearer to the other one of
// two kinds of questions; what the lists find of what the scan of all rows finds.
// --batches: batches of so many questions on two threads, with every kernel but the scalar ones,
// codes alone and with the exact stage, beside as many searches one by one; kernels take turns.
// Questions a second, and microseconds of processor time a question, which other jobs disturb less.
// Files hold f32 rows of 768 and nothing else. Without them clustered Gaussian rows are made.
// Rows beyond those of the file: grown_rows.h. They are kept in the row cache alone, mapped; the
// f32 rows of the final 2k are made anew, which takes about as long as reading them.
#include <malloc.h>

#include <array>
#include <cstring>
#include <ctime>
#include <optional>
#include <span>

#include "benchmarks/benchmark_support.h"
#include "benchmarks/grown_rows.h"
#include "core/file.h"
#include "core/thread_pool.h"
#include "core/vector_math.h"
#include "index/ladder_index.h"
#include "index/row_cache.h"
#include "index/scan_choice.h"

namespace {

using nestor::benchmark::ExactBest;
using nestor::benchmark::GrownRows;
using nestor::benchmark::must;
using nestor::benchmark::quantile;
using nestor::benchmark::rounded;
using nestor::benchmark::seconds_of;
using nestor::index::Candidate;
using nestor::index::LadderIndex;
using nestor::index::LadderPlan;
using nestor::index::RowCache;

constexpr std::size_t kWidth = GrownRows::kWidth;
constexpr std::size_t kQueries = 200;
constexpr std::size_t kBatch = 128 * 1024;
constexpr std::size_t kCacheSegmentRows = 512 * 1024;
constexpr std::int64_t kTop = 10;

struct Options {
  std::string rows_file;
  std::string queries_file;
  std::vector<std::size_t> sizes = {14'000, 100'000};
  std::vector<LadderPlan> plans = {{0, 0}};
  int scan_width = 256;
  int bits = 1;
  int threads = 1;
  std::vector<std::size_t> filters;
  std::vector<std::size_t> batches;
  std::optional<nestor::index::ListOptions> lists;
};

struct Collection {
  LadderIndex index;
  RowCache cache;
  std::vector<std::vector<Candidate>> exact;
  double build_seconds = 0;
};

std::vector<float> floats_of(const std::string& path) {
  const std::string bytes = must(nestor::read_file(path, std::uint64_t{8} << 30));
  std::vector<float> rows(bytes.size() / (4 * kWidth) * kWidth);
  std::memcpy(rows.data(), bytes.data(), rows.size() * 4);
  return rows;
}

std::vector<Candidate> rerank(const GrownRows& rows, std::span<const float> query,
                              const std::vector<Candidate>& candidates) {
  nestor::index::TopCandidates best(kTop);
  std::array<float, kWidth> row{};
  for (const Candidate& candidate : candidates) {
    rows.row(candidate.id - 1, row.data());
    best.offer({candidate.id, static_cast<float>(nestor::dot(query, row))});
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

// Kilobytes of a line of /proc/self/status.
double resident_mb(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stod(line.substr(name.size() + 1)) / 1000;
  }
  return 0;
}

// One pass over the rows: codes, cache and truth.
Collection make(const Options& options, const GrownRows& rows, std::span<const float> queries,
                std::size_t count, const nestor::benchmark::ScratchFolder& folder) {
  Collection made{LadderIndex({.width = static_cast<int>(kWidth),
                               .bits = options.bits,
                               .scan_width = options.scan_width}),
                  RowCache(static_cast<int>(kWidth), nestor::index::Metric::kCosine),
                  {}};
  ExactBest exact(queries, kTop);
  std::vector<std::string> segments;
  const auto save_tail = [&] {
    segments.push_back(folder / fmt::format("{}-{}", count, segments.size()));
    must(made.cache.write_tail(segments.back(), {}));
    // As a program finds it that opens the database: nothing of it in memory but what is looked at.
    made.cache = RowCache(static_cast<int>(kWidth), nestor::index::Metric::kCosine);
    for (const std::string& path : segments) (void)must(made.cache.open_segment(path));
  };
  std::vector<float> block;
  for (std::size_t first = 0; first < count; first += kBatch) {
    const std::size_t many = std::min(kBatch, count - first);
    rows.rows(first, many, block);
    std::vector<std::uint64_t> ids(many);
    for (std::size_t i = 0; i < many; ++i) ids[i] = first + i + 1;
    made.build_seconds += seconds_of([&] { must(made.index.add(ids, block)); });
    must(made.cache.add(ids, block));
    if (made.cache.tail_count() >= static_cast<std::int64_t>(kCacheSegmentRows)) {
      save_tail();
    }
    exact.offer(first, block);
  }
  if (made.cache.tail_count() > 0) save_tail();
  made.exact = exact.take();
  return made;
}

nlohmann::ordered_json run_plan(const Collection& collection, const GrownRows& rows,
                                const std::vector<float>& queries, const LadderPlan& plan,
                                int threads) {
  std::vector<double> scan, rank, exact_seconds, total;
  double recall = 0;
  const LadderIndex& index = collection.index;
  nestor::ThreadPool pool(2);
  nestor::ThreadPool* const shared = threads > 1 ? &pool : nullptr;
  nestor::index::LadderTrace trace;
  for (int pass = 0; pass < 3; ++pass) {  // the first warms the caches
    if (pass == 1) scan.clear(), rank.clear(), exact_seconds.clear(), total.clear();
    recall = 0;
    for (std::size_t q = 0; q < collection.exact.size(); ++q) {
      const std::span<const float> query = std::span(queries).subspan(q * kWidth, kWidth);
      std::vector<Candidate> candidates;
      const double seconds = seconds_of(
          [&] { candidates = must(index.search(query, plan, nullptr, shared, &trace)); });
      std::vector<Candidate> best;
      exact_seconds.push_back(seconds_of([&] {
        std::vector<std::uint64_t> ids;
        for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
        best = rerank(rows, query, must(collection.cache.finalists(query, ids, kTop)));
      }));
      scan.push_back(trace.scan_seconds);
      rank.push_back(trace.rank_seconds);
      total.push_back(seconds + exact_seconds.back());
      recall += share_found(best, collection.exact[q]) / static_cast<double>(kQueries);
    }
  }
  std::vector<float> batch(queries.begin(), queries.begin() + 64 * kWidth);
  std::vector<double> batches;
  for (int pass = 0; pass < 5; ++pass) {
    batches.push_back(seconds_of([&] { must(index.search_batch(batch, plan, nullptr, &pool)); }));
  }
  return {{"R", trace.plan.scan_count},
          {"M", trace.plan.rank_count},
          {"rows_scanned", trace.rows_scanned},
          {"lists_scanned", trace.lists_scanned},
          {"p50_ms", rounded(1e3 * quantile(total, 0.5))},
          {"p05_ms", rounded(1e3 * quantile(total, 0.05))},
          {"p95_ms", rounded(1e3 * quantile(total, 0.95))},
          {"scan_ms", rounded(1e3 * quantile(scan, 0.5))},
          {"rank_ms", rounded(1e3 * quantile(rank, 0.5))},
          {"exact_ms", rounded(1e3 * quantile(exact_seconds, 0.5))},
          {"scan_p05_ms", rounded(1e3 * quantile(scan, 0.05))},
          {"recall@10", rounded(recall)},
          {"batch64_queries_per_second", rounded(64 / quantile(batches, 0.5))}};
}

struct BatchTimes {
  std::string name;
  std::vector<double> codes, whole;          // seconds
  std::vector<double> codes_cpu, whole_cpu;  // of processor time, of all threads
};

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

nlohmann::ordered_json run_batches(Collection& collection, const GrownRows& rows,
                                   const std::vector<float>& queries, const LadderPlan& plan,
                                   std::size_t batch) {
  nestor::ThreadPool pool(2);
  const auto kernels = nestor::index::available_scan_kernels().first(
      std::max<std::size_t>(nestor::index::available_scan_kernels().size(), 2) - 1);
  std::vector<BatchTimes> times(kernels.size() + 1);
  LadderIndex& index = collection.index;
  const auto run = [&](BatchTimes& time, std::size_t first, bool one_by_one) {
    const auto asked = std::span(queries).subspan(first * kWidth, batch * kWidth);
    std::vector<std::vector<Candidate>> found(batch);
    const auto each = [&](const auto& work) {
      pool.for_each(static_cast<std::int64_t>(batch), [&](std::int64_t i, int) {
        const auto at = static_cast<std::size_t>(i);
        work(at, asked.subspan(at * kWidth, kWidth));
      });
    };
    const double before = processor_seconds();
    time.codes.push_back(seconds_of([&] {
      if (!one_by_one) {
        found = must(index.search_batch(asked, plan, nullptr, &pool));
        return;
      }
      each([&](std::size_t i, auto query) { found[i] = must(index.search(query, plan)); });
    }));
    time.codes_cpu.push_back(processor_seconds() - before);
    time.whole.push_back(time.codes.back() + seconds_of([&] {
                           each([&](std::size_t i, auto query) {
                             std::vector<std::uint64_t> ids;
                             for (const Candidate& candidate : found[i])
                               ids.push_back(candidate.id);
                             (void)rerank(rows, query,
                                          must(collection.cache.rank(query, ids, 2 * kTop)));
                           });
                         }));
    time.whole_cpu.push_back(processor_seconds() - before);
  };
  for (std::size_t pass = 0; pass < 40; ++pass) {
    const std::size_t first = pass * 7 % (kQueries - batch);
    for (std::size_t i = 0; i < kernels.size(); ++i) {
      index.use_kernels(*kernels[i]);
      times[i].name = kernels[i]->name;
      run(times[i], first, false);
    }
    index.use_kernels(nestor::index::scan_kernels());
    times.back().name = "one by one";
    run(times.back(), first, true);
  }
  nlohmann::ordered_json figures = {{"batch", batch}};
  const double many = static_cast<double>(batch);
  for (const BatchTimes& time : times) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < time.codes.size(); ++i) {
      ratios.push_back(times.back().codes_cpu[i] / time.codes_cpu[i]);
    }
    figures[time.name] = {{"codes_per_second", rounded(many / quantile(time.codes, 0.5))},
                          {"whole_per_second", rounded(many / quantile(time.whole, 0.5))},
                          {"best_codes_per_second", rounded(many / quantile(time.codes, 0.05))},
                          {"best_whole_per_second", rounded(many / quantile(time.whole, 0.05))},
                          {"codes_cpu_us", rounded(1e6 * quantile(time.codes_cpu, 0.5) / many)},
                          {"whole_cpu_us", rounded(1e6 * quantile(time.whole_cpu, 0.5) / many)},
                          {"one_by_one_to_this", rounded(quantile(ratios, 0.5))}};
  }
  return figures;
}

// Two kinds of questions: centres of k-means with two of them.
std::array<std::vector<float>, 2> kinds_of(std::span<const float> queries) {
  std::array<std::vector<float>, 2> centres;
  for (std::size_t kind = 0; kind < 2; ++kind) {
    const auto first = queries.subspan(kind * (kQueries - 1) * kWidth, kWidth);
    centres[kind].assign(first.begin(), first.end());
  }
  for (int iteration = 0; iteration < 20; ++iteration) {
    std::array<std::vector<float>, 2> sums{std::vector<float>(kWidth), std::vector<float>(kWidth)};
    for (std::size_t q = 0; q < kQueries; ++q) {
      const auto query = queries.subspan(q * kWidth, kWidth);
      std::vector<float>& sum =
          sums[nestor::dot(query, centres[1]) > nestor::dot(query, centres[0])];
      for (std::size_t d = 0; d < kWidth; ++d) sum[d] += query[d];
    }
    for (std::size_t kind = 0; kind < 2; ++kind) {
      if (nestor::normalize(sums[kind])) centres[kind] = sums[kind];
    }
  }
  return centres;
}

// The rows that some of the questions may find.
struct Allowed {
  std::string name;
  std::vector<std::uint64_t> ids;
  std::vector<std::size_t> questions;
};

std::vector<Allowed> every_nth_row(std::size_t count, std::size_t each) {
  Allowed allowed{.name = fmt::format("one row in {}", each), .ids = {}, .questions = {}};
  for (std::size_t id = each; id <= count; id += each) allowed.ids.push_back(id);
  for (std::size_t q = 0; q < kQueries; ++q) allowed.questions.push_back(q);
  return {allowed};
}

// Filters against the grain: each question among the rows that are nearer to the other kind.
std::vector<Allowed> rows_of_the_other_kind(const GrownRows& rows, std::size_t count,
                                            std::span<const float> queries) {
  const auto centres = kinds_of(queries);
  const auto kind_of = [&](std::span<const float> row) {
    return static_cast<std::size_t>(nestor::dot(row, centres[1]) > nestor::dot(row, centres[0]));
  };
  std::vector<Allowed> allowed(2);
  for (std::size_t q = 0; q < kQueries; ++q) {
    allowed[1 - kind_of(queries.subspan(q * kWidth, kWidth))].questions.push_back(q);
  }
  std::vector<float> row(kWidth);
  for (std::size_t i = 0; i < count; ++i) {
    rows.row(i, row.data());
    allowed[kind_of(row)].ids.push_back(i + 1);
  }
  for (Allowed& kind : allowed) {
    kind.name = fmt::format("{} rows of the other kind, {} questions", kind.ids.size(),
                            kind.questions.size());
  }
  return allowed;
}

nlohmann::ordered_json run_filter(const Collection& collection, const std::vector<float>& queries,
                                  const Allowed& allowed) {
  const LadderIndex& index = collection.index;
  const nestor::index::LadderFilter filter = must(index.filter(allowed.ids));
  std::vector<double> all, some;
  nestor::index::LadderTrace trace;
  double found = 0;
  for (const std::size_t q : allowed.questions) {
    const std::span<const float> query = std::span(queries).subspan(q * kWidth, kWidth);
    const auto best_of = [&](std::int64_t probe_rows, std::vector<double>& seconds) {
      std::vector<Candidate> candidates;
      seconds.push_back(seconds_of([&] {
        candidates =
            must(index.search(query, {.probe_rows = probe_rows}, &filter, nullptr, &trace));
      }));
      std::vector<std::uint64_t> kept;
      for (const Candidate& candidate : candidates) kept.push_back(candidate.id);
      return must(collection.cache.rank(query, kept, kTop));
    };
    const auto exact = best_of(LadderPlan::kEveryRow, all);
    found += share_found(best_of(0, some), exact) / static_cast<double>(allowed.questions.size());
  }
  return {{"filter", allowed.name},
          {"lists_scanned", trace.lists_scanned},
          {"codes_p50_ms", rounded(1e3 * quantile(some, 0.5))},
          {"all_rows_p50_ms", rounded(1e3 * quantile(all, 0.5))},
          {"of_those_of_all_rows", rounded(found)}};
}

nlohmann::ordered_json measure(const Options& options, const GrownRows& rows,
                               const std::vector<float>& queries, std::size_t count) {
  const nestor::benchmark::ScratchFolder folder;
  Collection collection = make(options, rows, queries, count, folder);
  const LadderIndex& index = collection.index;
  const double divisor = static_cast<double>(count);
  nlohmann::ordered_json figures = {
      {"rows", count},
      {"build_us_a_vector", rounded(1e6 * collection.build_seconds / divisor)},
      {"bytes_a_vector", rounded(static_cast<double>(index.memory_bytes()) / divisor)}};
  if (options.lists.has_value()) {
    figures["lists_us_a_vector"] =
        rounded(1e6 / divisor * seconds_of([&] {
                  collection.index =
                      must(LadderIndex::with_lists(must(index.version()), *options.lists));
                }));
    figures["probe_rows"] = index.probe_rows();
    std::fprintf(stderr, "%s\n", figures.dump().c_str());
  }
  must(index.save(folder / "ladder", nestor::index::IndexIdentity()));
  collection.index = must(LadderIndex::open(folder / "ladder")).index;
  ::malloc_trim(0);
  figures["anonymous_mb"] = rounded(resident_mb("RssAnon"));
  nlohmann::ordered_json plans = nlohmann::ordered_json::array();
  for (const LadderPlan& plan : options.plans) {
    plans.push_back(run_plan(collection, rows, queries, plan, options.threads));
    std::fprintf(stderr, "%zu %s\n", count, plans.back().dump().c_str());
    for (const std::size_t batch : options.batches) {
      figures["batches"].push_back(run_batches(collection, rows, queries, plan, batch));
      std::fprintf(stderr, "%zu %s\n", count, figures["batches"].back().dump().c_str());
    }
  }
  for (const std::size_t each : options.filters) {
    for (const Allowed& allowed :
         each == 0 ? rows_of_the_other_kind(rows, count, queries) : every_nth_row(count, each)) {
      if (allowed.questions.empty() || allowed.ids.empty()) continue;
      figures["filters"].push_back(run_filter(collection, queries, allowed));
      std::fprintf(stderr, "%s\n", figures["filters"].back().dump().c_str());
    }
  }
  std::vector<double> opens;
  for (int pass = 0; pass < 5; ++pass) {
    std::optional<LadderIndex::Opened> opened;  // closed outside of the time
    opens.push_back(seconds_of([&] { opened = must(LadderIndex::open(folder / "ladder")); }));
  }
  figures["open_ms"] = rounded(1e3 * quantile(opens, 0.5));
  figures["plans"] = plans;
  figures["mapped_mb"] = rounded(resident_mb("RssFile"));
  std::fprintf(stderr, "%s\n", figures.dump().c_str());
  return figures;
}

std::vector<std::size_t> numbers(const std::string& text, char separator) {
  std::vector<std::size_t> found;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    found.push_back(std::stoul(text.substr(at, end - at)));
    at = end + 1;
  }
  return found;
}

std::vector<LadderPlan> plans_of(const std::string& text) {
  std::vector<LadderPlan> plans;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const auto plan = numbers(text.substr(at, end - at), ':');
    plans.push_back({static_cast<std::int64_t>(plan[0]), static_cast<std::int64_t>(plan[1])});
    if (plan.size() > 2) plans.back().probe_rows = static_cast<std::int64_t>(plan[2]);
    at = end + 1;
  }
  return plans;
}

Options parse(int count, char** words) {
  Options options;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = words[i];
    const std::string value = words[i + 1];
    if (name == "--rows") options.rows_file = value;
    if (name == "--queries") options.queries_file = value;
    if (name == "--scan-width") options.scan_width = std::stoi(value);
    if (name == "--bits") options.bits = std::stoi(value);
    if (name == "--threads") options.threads = std::stoi(value);
    if (name == "--filters") options.filters = numbers(value, ',');
    if (name == "--batches") options.batches = numbers(value, ',');
    if (name == "--sizes") options.sizes = numbers(value, ',');
    if (name == "--lists") {
      const auto given = numbers(value, ':');
      options.lists.emplace();
      options.lists->rows_per_list = static_cast<std::int64_t>(given[0]);
      if (given.size() > 2) {
        options.lists->neighbour_cells = static_cast<std::int64_t>(given[1]);
        options.lists->iterations = static_cast<int>(given[2]);
      }
    }
    if (name == "--plans") options.plans = plans_of(value);
  }
  return options;
}

}  // namespace

int main(int count, char** words) {
  const Options options = parse(count, words);
  const bool real = !options.rows_file.empty();
  std::vector<float> base =
      real ? floats_of(options.rows_file) : nestor::benchmark::clustered_rows(14'000, kWidth, 1);
  std::vector<float> queries;
  if (real) {
    queries = floats_of(options.queries_file);
  } else {
    // Rows moved a little, every 61st of them.
    std::mt19937_64 random(3);
    for (std::size_t i = 0; i < kQueries * kWidth; ++i) {
      queries.push_back(base[i / kWidth * 61 * kWidth + i % kWidth] +
                        0.02F * (static_cast<float>(random() % 1000) / 500 - 1));
    }
  }
  queries.resize(kQueries * kWidth);
  const GrownRows rows(std::move(base));
  nlohmann::ordered_json sizes = nlohmann::ordered_json::array();
  for (const std::size_t size : options.sizes) {
    sizes.push_back(measure(options, rows, queries, size));
  }
  nestor::benchmark::report("ladder", {{"vectors", real ? "file" : "clustered"},
                                       {"kernels", nestor::index::scan_kernels().name},
                                       {"bits", options.bits},
                                       {"scan_width", options.scan_width},
                                       {"threads", options.threads},
                                       {"sizes", sizes}});
  return 0;
}
