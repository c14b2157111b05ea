// Nestor's side of search_vs_peers: answers requests, a JSON object a line, so that it and its
// peers can take turns on one machine.
//
//   search_worker index       index::LadderIndex, index::RowCache, f32 rows for the last ones
//   search_worker database    nestor::Database with default options: snapshots, texts, metadata
//
//   {"op":"about"}                                           -> {"version", "about", "machine"}
//   {"op":"build","vectors":F,"texts":F,"count":N,"folder":D,"threads":T}
//                                                            -> {"build_s", "build_cpu_s",
//                                                            "rows_bytes"}
//   {"op":"open","vectors":F,"queries":F,"count":N,"folder":D}   -> {"open_s", "settings",
//   "batches"}
//   {"op":"run","setting":S,"queries":[…],"budget_s":B}      -> {"ms":[…], "ids":[[…],…]}
//   {"op":"batch","setting":S,"queries":[…],"threads":T,"repeat":R}  -> {"seconds":[…]}
//   {"op":"memory"}              -> {"anonymous", "mapped"}: bytes above those before "open"
// rows_bytes: of the file of vectors, where the line leaves the f32 rows there (as an index leaves
// them in the store); the pages of that file are not among "mapped".
// Files of vectors and queries hold f32 rows of 768 and nothing else; a row's id is its number.
#include <time.h>

#include <charconv>
#include <cstring>
#include <iostream>
#include <memory>
#include <span>

#include "benchmarks/benchmark_support.h"
#include "benchmarks/row_encoder.h"
#include "core/file.h"
#include "core/thread_pool.h"
#include "core/vector_math.h"
#include "index/ladder_index.h"
#include "index/row_cache.h"
#include "index/scan_choice.h"
#include "index/top_candidates.h"
#include "query/open_database.h"

namespace {

using nestor::benchmark::must;
using nestor::benchmark::seconds_of;
using nestor::index::Candidate;
using nestor::index::LadderIndex;
using nestor::index::LadderPlan;
using nestor::index::RowCache;

constexpr std::size_t kWidth = 768;
constexpr std::int64_t kTop = 10;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "search_worker: %s\n", why.c_str());
  std::exit(2);
}

double processor_seconds() {
  struct timespec now {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Memory {
  std::int64_t anonymous = 0;
  std::int64_t mapped = 0;
};

// Resident bytes of this process.
Memory memory_now() {
  Memory memory;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) memory.anonymous += 1024 * std::stoll(line.substr(8));
    if (line.starts_with("RssFile:")) memory.mapped += 1024 * std::stoll(line.substr(8));
    if (line.starts_with("RssShmem:")) memory.anonymous += 1024 * std::stoll(line.substr(9));
  }
  return memory;
}

// Of the mappings of one file.
std::int64_t resident_bytes_of(const std::string& path) {
  std::int64_t bytes = 0;
  bool inside = false;
  std::ifstream maps("/proc/self/smaps");
  for (std::string line; std::getline(maps, line);) {
    // Only the head of a mapping has a dash before its first blank.
    if (line.substr(0, line.find(' ')).find('-') != line.npos) inside = line.ends_with(path);
    if (inside && line.starts_with("Rss:")) bytes += 1024 * std::stoll(line.substr(4));
  }
  return bytes;
}

// f32 rows in a mapped file; ids begin at 1 there, as in the store.
class MappedRows : public nestor::index::VectorSource {
 public:
  MappedRows(const std::string& path, std::size_t count)
      : file_(must(nestor::MappedFile::open(path))), count_(count) {
    if (file_.bytes().size() < count * kWidth * sizeof(float)) {
      give_up(fmt::format("{}: {} bytes, expected {} rows of {} f32", path, file_.bytes().size(),
                          count, kWidth));
    }
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::span<const float> all() const {
    return {reinterpret_cast<const float*>(file_.bytes().data()), count_ * kWidth};
  }
  [[nodiscard]] std::span<const float> row(std::uint64_t id) const {
    return all().subspan((id - 1) * kWidth, kWidth);
  }
  nestor::Status read(std::span<const std::uint64_t> ids, int width, float* out) const override {
    for (const std::uint64_t id : ids) {
      out = std::copy_n(row(id).data(), static_cast<std::size_t>(width), out);
    }
    return {};
  }
  nestor::Status scan(
      std::uint64_t first,
      const std::function<bool(std::uint64_t, std::span<const float>)>& visit) const override {
    for (std::uint64_t id = std::max<std::uint64_t>(first, 1); id <= count_; ++id) {
      if (!visit(id, row(id))) break;
    }
    return {};
  }

 private:
  nestor::MappedFile file_;
  std::size_t count_;
};

struct Place {
  std::string vectors;
  std::string texts;
  std::string folder;
  std::size_t count = 0;
};

// One way to search with Nestor.
class Line {
 public:
  virtual ~Line() = default;
  [[nodiscard]] virtual std::string about() const = 0;
  [[nodiscard]] virtual std::vector<std::string> settings() const = 0;
  virtual void build(const Place& place) = 0;
  virtual void open(const Place& place) = 0;
  // The best ten rows, from 0.
  [[nodiscard]] virtual std::vector<std::uint64_t> search(std::span<const float> query,
                                                          const std::string& setting) const = 0;
  // Only where `batches`; the answers are made and let go.
  virtual void search_batch(std::span<const float>, const std::string&, int) const {}
  [[nodiscard]] virtual bool batches() const { return false; }
  [[nodiscard]] virtual bool leaves_rows_outside() const { return false; }
};

class IndexLine : public Line {
 public:
  std::string about() const override {
    return fmt::format("codes ({}), mapped 8-bit rows, mapped f32 rows",
                       nestor::index::scan_kernels().name);
  }
  // R:M of LadderPlan; the first is what Nestor would take by itself.
  std::vector<std::string> settings() const override {
    return {"default",  "200:40",   "400:60",   "800:100",   "1600:100",
            "3200:150", "6400:250", "9600:400", "19200:800", "38400:1200"};
  }
  void build(const Place& place) override {
    const MappedRows rows(place.vectors, place.count);
    const auto shape = nestor::index::default_ladder_shape(static_cast<int>(kWidth), true);
    must(must(LadderIndex::build(shape, rows)).save(place.folder + "/ladder", {}));
    RowCache cache(static_cast<int>(kWidth), nestor::index::Metric::kCosine);
    constexpr std::size_t kSegment = std::size_t{1} << 19;
    for (std::size_t done = 0; done < place.count; done += kSegment) {
      std::vector<std::uint64_t> ids(std::min(kSegment, place.count - done));
      for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = done + i + 1;
      must(cache.add(ids, rows.all().subspan(done * kWidth, ids.size() * kWidth)));
      const std::string segment = fmt::format("{}/rows{}", place.folder, done / kSegment);
      must(cache.write_tail(segment, {}));
      must(cache.map_tail(segment, {}, cache.tail_count()));
    }
  }
  void open(const Place& place) override {
    index_.reset();
    cache_.reset();
    index_ = std::make_unique<LadderIndex>(must(LadderIndex::open(place.folder + "/ladder")).index);
    cache_ = std::make_unique<RowCache>(static_cast<int>(kWidth), nestor::index::Metric::kCosine);
    for (int i = 0; nestor::is_regular_file(fmt::format("{}/rows{}", place.folder, i)); ++i) {
      must(cache_->open_segment(fmt::format("{}/rows{}", place.folder, i)));
    }
    rows_ = std::make_unique<MappedRows>(place.vectors, place.count);
  }
  std::vector<std::uint64_t> search(std::span<const float> query,
                                    const std::string& setting) const override {
    return last_ones(query, must(index_->search(query, plan_of(setting))));
  }
  bool batches() const override { return true; }
  bool leaves_rows_outside() const override { return true; }
  void search_batch(std::span<const float> queries, const std::string& setting,
                    int threads) const override {
    nestor::ThreadPool pool(threads);
    const auto found = must(index_->search_batch(queries, plan_of(setting), nullptr, &pool));
    pool.for_each(static_cast<std::int64_t>(found.size()), [&](std::int64_t i, int) {
      const auto at = static_cast<std::size_t>(i);
      (void)last_ones(queries.subspan(at * kWidth, kWidth), found[at]);
    });
  }

 private:
  static LadderPlan plan_of(const std::string& setting) {
    if (setting == "default") return {};
    const std::size_t colon = setting.find(':');
    return {.scan_count = std::stoll(setting), .rank_count = std::stoll(setting.substr(colon + 1))};
  }
  // The cache ranks the candidates, the rows themselves the best of those.
  std::vector<std::uint64_t> last_ones(std::span<const float> query,
                                       const std::vector<Candidate>& candidates) const {
    std::vector<std::uint64_t> ids;
    ids.reserve(candidates.size());
    for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
    nestor::index::TopCandidates best(kTop);
    for (const Candidate& candidate : must(cache_->finalists(query, ids, kTop))) {
      const double score = nestor::dot(query, rows_->row(candidate.id));
      best.offer({candidate.id, static_cast<float>(score)});
    }
    ids.clear();
    for (const Candidate& candidate : best.take()) ids.push_back(candidate.id - 1);
    return ids;
  }

  std::unique_ptr<LadderIndex> index_;
  std::unique_ptr<RowCache> cache_;
  std::unique_ptr<MappedRows> rows_;
};

class DatabaseLine : public Line {
 public:
  std::string about() const override { return "the whole database: texts, metadata, snapshots"; }
  std::vector<std::string> settings() const override {
    return {"default", "candidates 60", "candidates 200", "candidates 400"};
  }
  void build(const Place& place) override {
    std::vector<std::string> texts;
    std::ifstream file(place.texts);
    for (std::string line; std::getline(file, line);) {
      texts.push_back(nlohmann::json::parse(line).value("text", ""));
    }
    if (texts.empty()) give_up(place.texts + ": no texts");
    const MappedRows rows(place.vectors, place.count);
    const auto encoder =
        std::make_shared<const nestor::benchmark::RowEncoder>(rows.all(), static_cast<int>(kWidth));
    nestor::Database database =
        must(nestor::query::open_database(place.folder + "/database", {}, [encoder] {
          return nestor::Result<nestor::query::EncoderPointer>(encoder);
        }));
    constexpr std::size_t kBatch = 1000;
    nestor::AddOptions options;
    options.split.enabled = false;
    for (std::size_t begin = 0; begin < place.count; begin += kBatch) {
      std::vector<nestor::Document> batch;
      for (std::size_t i = begin; i < std::min(begin + kBatch, place.count); ++i) {
        batch.push_back(
            {.key = std::to_string(i), .text = fmt::format("{} {}", i, texts[i % texts.size()])});
      }
      must(database.add(batch, options));
    }
    must(database.search_vector(rows.row(1)));  // whatever is made at the first search
    must(database.close());
  }
  void open(const Place& place) override {
    database_.reset();
    database_ = std::make_unique<nestor::Database>(
        must(nestor::Database::open(place.folder + "/database")));
    // What is opened late counts: until it can answer.
    must(database_->search_vector(MappedRows(place.vectors, 1).row(1)));
  }
  std::vector<std::uint64_t> search(std::span<const float> query,
                                    const std::string& setting) const override {
    nestor::SearchOptions options;
    if (setting != "default") {
      options.candidate_count = std::stoll(setting.substr(std::strlen("candidates ")));
    }
    std::vector<std::uint64_t> ids;
    for (const nestor::Hit& hit : must(database_->search_vector(query, options)).hits) {
      ids.push_back(std::stoull(hit.key));
    }
    return ids;
  }

 private:
  std::unique_ptr<nestor::Database> database_;
};

struct Worker {
  std::unique_ptr<Line> line;
  std::vector<float> queries;
  Memory before;
  std::string vectors;  // the file that was opened
};

Place place_of(const nlohmann::json& request) {
  return {.vectors = request.at("vectors"),
          .texts = request.value("texts", ""),
          .folder = request.at("folder"),
          .count = request.at("count")};
}

std::vector<float> rows_of(const nlohmann::json& request, const Worker& worker) {
  std::vector<float> rows;
  for (const std::size_t i : request.at("queries").get<std::vector<std::size_t>>()) {
    if ((i + 1) * kWidth > worker.queries.size()) give_up(fmt::format("no query {}", i));
    const auto begin = worker.queries.begin() + static_cast<std::ptrdiff_t>(i * kWidth);
    rows.insert(rows.end(), begin, begin + kWidth);
  }
  return rows;
}

nlohmann::ordered_json build(const nlohmann::json& request, Worker& worker) {
  const double before = processor_seconds();
  const Place place = place_of(request);
  const double seconds = seconds_of([&] { worker.line->build(place); });
  return {{"build_s", seconds},
          {"build_cpu_s", processor_seconds() - before},
          {"rows_bytes",
           worker.line->leaves_rows_outside() ? place.count * kWidth * sizeof(float) : 0}};
}

nlohmann::ordered_json open(const nlohmann::json& request, Worker& worker) {
  {
    const std::string bytes =
        must(nestor::read_file(request.at("queries").get<std::string>(), std::uint64_t{1} << 30));
    worker.queries.resize(bytes.size() / sizeof(float));
    std::memcpy(worker.queries.data(), bytes.data(), worker.queries.size() * sizeof(float));
  }  // the text goes before memory is looked at
  worker.before = memory_now();
  const Place place = place_of(request);
  worker.vectors = place.vectors;
  const double seconds = seconds_of([&] { worker.line->open(place); });
  return {{"open_s", seconds},
          {"settings", worker.line->settings()},
          {"batches", worker.line->batches()}};
}

nlohmann::ordered_json run(const nlohmann::json& request, const Worker& worker) {
  const auto setting = request.at("setting").get<std::string>();
  const double budget = request.at("budget_s");
  const std::vector<float> queries = rows_of(request, worker);
  std::vector<double> milliseconds;
  std::vector<std::vector<std::uint64_t>> ids;
  double spent = 0;
  for (std::size_t at = 0; at < queries.size() && spent < budget; at += kWidth) {
    std::vector<std::uint64_t> found;
    const double seconds = seconds_of(
        [&] { found = worker.line->search(std::span(queries).subspan(at, kWidth), setting); });
    spent += seconds;
    milliseconds.push_back(1e3 * seconds);
    ids.push_back(std::move(found));
  }
  return {{"ms", milliseconds}, {"ids", ids}};
}

nlohmann::ordered_json batch(const nlohmann::json& request, const Worker& worker) {
  const std::vector<float> queries = rows_of(request, worker);
  std::vector<double> seconds;
  for (int left = request.at("repeat"); left > 0; --left) {
    seconds.push_back(seconds_of(
        [&] { worker.line->search_batch(queries, request.at("setting"), request.at("threads")); }));
  }
  return {{"seconds", seconds}};
}

nlohmann::ordered_json memory(const Worker& worker) {
  const Memory now = memory_now();
  const std::int64_t given =
      worker.line->leaves_rows_outside() ? resident_bytes_of(worker.vectors) : 0;
  return {{"anonymous", now.anonymous - worker.before.anonymous},
          {"mapped", now.mapped - worker.before.mapped - given}};
}

nlohmann::ordered_json answer(const nlohmann::json& request, Worker& worker) {
  const auto op = request.at("op").get<std::string>();
  if (op == "about") {
    return {{"version", nestor::benchmark::commit()},
            {"about", worker.line->about()},
            {"machine", nestor::benchmark::machine()}};
  }
  if (op == "build") return build(request, worker);
  if (op == "open") return open(request, worker);
  if (op == "run") return run(request, worker);
  if (op == "batch") return batch(request, worker);
  if (op == "memory") return memory(worker);
  give_up("op " + op + ": expected about, build, open, run, batch or memory");
}

}  // namespace

int main(int count, char** words) {
  Worker worker;
  const std::string kind = count == 2 ? words[1] : "";
  if (kind == "index") {
    worker.line = std::make_unique<IndexLine>();
  } else if (kind == "database") {
    worker.line = std::make_unique<DatabaseLine>();
  } else {
    give_up("expected one word, index or database");
  }
  try {
    for (std::string line; std::getline(std::cin, line);) {
      std::puts(answer(nlohmann::json::parse(line), worker).dump().c_str());
      std::fflush(stdout);
    }
  } catch (const std::exception& error) {  // a request that is not what the comment above says
    give_up(error.what());
  }
  return 0;
}
