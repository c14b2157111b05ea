// What does a filter cost before anything is searched? 100,000 documents of one row (or as many as
// the first argument says), filters that leave 50 % to one row, ranges, equalities and
// combinations: the set of matching rows made cold (nothing in the cache but the live rows), and
// with all conditions cached; the live rows themselves; writing with the field index; its bytes.
// Rows of 8 components: vectors have no part in it. About a minute.
#include <charconv>
#include <ctime>
#include <memory>
#include <optional>

#include "benchmarks/benchmark_support.h"
#include "query/filter_plan.h"
#include "storage/document_store.h"

namespace {

using nestor::Filter;
using nestor::benchmark::must;
using nestor::benchmark::quantile;
using nestor::benchmark::rounded;
using nestor::benchmark::seconds_of;
using nestor::query::CollectionFilters;
using nestor::query::FilterBudget;
using nestor::query::MatchingRows;
using nestor::storage::DocumentStore;
using Json = nlohmann::ordered_json;

constexpr int kWidth = 8;
constexpr std::int64_t kBatch = 10'000;
constexpr int kColdRuns = 5;
constexpr int kCachedRuns = 200;

nestor::storage::DocumentWrite document(std::int64_t i, std::int64_t count) {
  nestor::storage::DocumentWrite write;
  write.document.key = "folder" + std::to_string(i % 100) + "/file" + std::to_string(i);
  write.document.title = "title " + std::to_string(i);
  write.document.text = "text";
  // A permutation, so that a range of values is no range of rows.
  const std::int64_t mixed = i * 7'919 % count;
  write.document.metadata = {{"n", mixed},
                             {"share", static_cast<double>(mixed) / static_cast<double>(count)},
                             {"lang", i % 10 == 0 ? "de" : "en"},
                             {"tags", {"t" + std::to_string(i % 100), "all"}},
                             {"date", "2024-05-01T00:00:00Z"}};
  nestor::storage::Row row;
  row.passage.bytes = {0, 4};
  row.vector.assign(kWidth, 1.0F);
  write.rows.push_back(std::move(row));
  return write;
}

// Processor seconds of all threads, RocksDB's own included: what a busy machine leaves as it is.
double fill(DocumentStore& store, std::int64_t count) {
  must(store.create_collection("default", kWidth, true));
  const std::clock_t begin = std::clock();
  for (std::int64_t first = 0; first < count; first += kBatch) {
    nestor::storage::Batch batch;
    batch.collection = "default";
    batch.width = kWidth;
    for (std::int64_t i = first; i < std::min(count, first + kBatch); ++i) {
      batch.writes.push_back(document(i, count));
    }
    must(store.commit(batch));
  }
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

class Measurement {
 public:
  explicit Measurement(const DocumentStore& store)
      : store_(store),
        view_(store.view()),
        collection_(*must(store.find_collection(*view_, "default"))) {}

  Json run(const std::string& text) const {
    const Filter filter = must(Filter::parse(text));
    std::vector<double> cold;
    std::vector<double> cached;
    MatchingRows matching;
    const auto budget = std::make_shared<FilterBudget>();
    std::optional<CollectionFilters> filters;
    for (int i = 0; i < kColdRuns; ++i) {
      filters.emplace(budget);
      must(find(Filter(), *filters));  // the live rows
      cold.push_back(seconds_of([&] { matching = must(find(filter, *filters)); }));
    }
    for (int i = 0; i < kCachedRuns; ++i) {
      cached.push_back(seconds_of([&] { matching = must(find(filter, *filters)); }));
    }
    std::fprintf(stderr, "%-48s %8lld rows, cold %8.3f ms, cached %7.2f us\n", text.c_str(),
                 static_cast<long long>(matching.row_count), quantile(cold, 0.5) * 1e3,
                 quantile(cached, 0.5) * 1e6);
    return {{"filter", text},
            {"rows", matching.row_count},
            {"cold_ms", rounded(quantile(cold, 0.5) * 1e3)},
            {"cached_us", rounded(quantile(cached, 0.5) * 1e6)},
            {"cached_us_p95", rounded(quantile(cached, 0.95) * 1e6)},
            {"cache_bytes", budget->usage().bytes}};
  }

  double live_seconds() const {
    std::vector<double> seconds;
    for (int i = 0; i < kColdRuns; ++i) {
      CollectionFilters filters(std::make_shared<FilterBudget>());
      seconds.push_back(seconds_of([&] { must(find(Filter(), filters)); }));
    }
    return quantile(seconds, 0.5);
  }

 private:
  nestor::Result<MatchingRows> find(const Filter& filter, CollectionFilters& filters) const {
    return find_matching_rows(store_, *view_, collection_, filter, 0, filters);
  }

  const DocumentStore& store_;
  const DocumentStore::ViewPointer view_;
  const nestor::storage::Collection collection_;
};

}  // namespace

int main(int argc, char** argv) {
  std::int64_t count = 100'000;
  if (argc > 1) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), count);
  const nestor::benchmark::ScratchFolder folder;
  const auto store = must(DocumentStore::open(folder / "db", {}));
  const double write_seconds = fill(*store, count);
  const Measurement measurement(*store);
  const double live = measurement.live_seconds();
  std::fprintf(
      stderr,
      "%lld documents written in %.2f s of processor time, live rows in %.1f ms, %.1f MB on disk\n",
      static_cast<long long>(count), write_seconds, live * 1e3,
      static_cast<double>(store->disk_bytes()) / 1e6);
  const auto below = [&](double share) {
    return "n < " + std::to_string(static_cast<std::int64_t>(share * static_cast<double>(count)));
  };
  Json results = Json::array();
  for (const std::string& text :
       {below(0.5), below(0.1), below(0.01), below(0.001), std::string("n == 77"),
        std::string("share >= 0.5"), std::string("lang == \"en\""), std::string("lang != \"en\""),
        std::string("tags contains \"t7\""), std::string("key prefix \"folder7/\""),
        std::string("date >= \"2024-01-01\""), std::string("lang in [\"de\", \"en\"]"),
        std::string("title contains \"99\""),
        below(0.5) + " AND lang == \"de\" AND NOT tags contains \"t10\"",
        std::string("n == 1 OR n == 2 OR n == 3 OR n == 4")}) {
    results.push_back(measurement.run(text));
  }
  nestor::benchmark::report("filter", {{"documents", count},
                                       {"write_processor_seconds", rounded(write_seconds)},
                                       {"live_rows_ms", rounded(live * 1e3)},
                                       {"disk_bytes", store->disk_bytes()},
                                       {"filters", results}});
  return 0;
}
