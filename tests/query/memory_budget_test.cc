// A memory budget: how it is divided, that a whole process stays within it, and what is refused.
#include "query/memory_budget.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "index/ladder_index.h"
#include "query/open_database.h"
#include "query/row_files.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;
using query::MemoryBudget;

namespace {

constexpr std::int64_t kMebibyte = std::int64_t{1} << 20;
constexpr int kWidth = 256;
constexpr int kDocuments = 50'000;
constexpr int kBatch = 1'000;

Result<Database> try_open(const std::string& path, std::int64_t memory_bytes,
                          std::vector<std::string>* log = nullptr,
                          const query::Upkeep& upkeep = {}) {
  OpenOptions options{.memory_bytes = memory_bytes};
  if (log != nullptr) {
    options.log = [log](LogLevel level, std::string_view message) {
      if (level == LogLevel::kWarning) log->emplace_back(message);
    };
  }
  return query::open_database(
      path, options, factory_of(std::make_shared<HashEncoder>("hash-space", kWidth)), upkeep);
}

Database open_at(const std::string& path, std::int64_t memory_bytes,
                 std::vector<std::string>* log = nullptr, const query::Upkeep& upkeep = {}) {
  auto opened = try_open(path, memory_bytes, log, upkeep);
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

std::vector<Document> documents(int first, int count) {
  std::vector<Document> made;
  for (int i = first; i < first + count; ++i) {
    Document document{.key = "k" + std::to_string(i),
                      .text = "number" + std::to_string(i) + " third" + std::to_string(i / 3) +
                              " other" + std::to_string(i * 7 % 1'000)};
    document.metadata["group"] = static_cast<double>(i % 10);
    made.push_back(std::move(document));
  }
  return made;
}

void add_all(Database& db, int count) {
  AddOptions options;
  options.split.enabled = false;
  for (int first = 0; first < count; first += kBatch) {
    const auto added = db.add(documents(first, std::min(kBatch, count - first)), options);
    REQUIRE_MESSAGE(added.ok(), added.status().to_string());
    // So that the index is there from the start and grows with the rows.
    if (first == 0) REQUIRE(db.search("number5").ok());
  }
}

// Keys and scores of some searches, filtered ones too.
std::string answers(const Database& db, int count) {
  std::string lines;
  for (int i = 1; i < 40; ++i) {
    const std::string n = std::to_string(i * 1'493 % count);
    SearchOptions options{.k = 1};
    if (i % 4 == 0) options.mode = SearchMode::kHybrid;
    if (i % 3 == 0) {
      options.filter =
          Filter::parse("meta.group == " + std::to_string(i * 1'493 % count % 10)).value();
    }
    const auto found =
        db.search("number" + n + " third" + std::to_string(i * 1'493 % count / 3), options);
    REQUIRE_MESSAGE(found.ok(), found.status().to_string());
    for (const Hit& hit : found.value().hits) {
      lines += hit.key + " " + std::to_string(hit.score) + "\n";
    }
  }
  return lines;
}

std::int64_t most_resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("VmHWM:")) return std::strtoll(line.c_str() + 6, nullptr, 10) * 1024;
  }
  return 0;
}

struct Life {
  std::int64_t resident = 0;
  double seconds = 0;
  std::string answers;
};

// A process of its own, which runs the case "life under a budget" below: memory is told by process,
// and RocksDB's threads do not survive a fork.
Life live(const std::string& path, const std::string& memory, int count) {
  const std::string out = path + ".out";
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("NESTOR_TEST_LIFE", path.c_str(), 1);
    ::setenv("NESTOR_TEST_LIFE_MEMORY", memory.c_str(), 1);
    ::setenv("NESTOR_TEST_LIFE_COUNT", std::to_string(count).c_str(), 1);
    ::execl("/proc/self/exe", "nestor_test", "--no-intro", "--minimal", "--no-skip",
            "--test-case=life under a budget", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  Life life;
  std::ifstream file(out);
  file >> life.resident >> life.seconds;
  std::stringstream rest;
  rest << file.rdbuf();
  life.answers = rest.str();
  return life;
}

}  // namespace

TEST_CASE("life under a budget" * doctest::skip()) {
  const char* const path = std::getenv("NESTOR_TEST_LIFE");
  if (path == nullptr) return;
  const std::int64_t memory = std::atoll(std::getenv("NESTOR_TEST_LIFE_MEMORY"));
  const int count = std::atoi(std::getenv("NESTOR_TEST_LIFE_COUNT"));
  const auto start = std::chrono::steady_clock::now();
  std::string found;
  {
    Database db = open_at(path, memory);
    add_all(db, count);
    if (count > 0) found = answers(db, count);
    REQUIRE(db.compact().ok());
    REQUIRE(db.close().ok());
  }
  if (count > 0) {
    Database db = open_at(path, memory);
    CHECK(answers(db, count) == found);
    const MemoryUsage usage = db.memory_usage().value();
    CHECK(usage.budget == memory);
    if (memory > 0) CHECK(usage.total() - usage.mapped_codes <= memory);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::ofstream out(std::string(path) + ".out");
  out << most_resident_bytes() << " " << seconds.count() << "\n" << found;
}

TEST_CASE("a process stays within its budget, and answers as one without") {
  const TempFolder folder;
  constexpr std::int64_t kBudget = 64 * kMebibyte;
  // A batch of 1,000 rows in all its forms, and the pieces that work goes through.
  [[maybe_unused]] constexpr std::int64_t kAllowance = 16 * kMebibyte;
  const Life empty = live(folder / "empty", std::to_string(kBudget), 0);
  const Life limited = live(folder / "limited", std::to_string(kBudget), kDocuments);
  const Life free = live(folder / "free", "0", kDocuments);
  MESSAGE("resident MiB: empty ", empty.resident / kMebibyte, ", with 64 MiB ",
          limited.resident / kMebibyte, " in ", limited.seconds, " s, without ",
          free.resident / kMebibyte, " in ", free.seconds, " s");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they keep what was freed
  CHECK(limited.resident < empty.resident + kBudget + kAllowance);
  CHECK(limited.resident < free.resident);
#endif
  CHECK(limited.answers.size() > 100);
  CHECK(limited.answers == free.answers);
}

TEST_CASE("a budget is divided in fixed shares that are no more than the whole") {
  for (const std::int64_t total : {32 * kMebibyte, 64 * kMebibyte, 1'000'000'007L, 1L << 40}) {
    const MemoryBudget budget = MemoryBudget::of(total, 1L << 50).value();
    CAPTURE(total);
    CHECK(budget.limited());
    CHECK(budget.index == total / 2);
    CHECK(budget.store == total / 4);
    CHECK(budget.questions == total / 64);
    const std::int64_t sum = budget.index + budget.store + budget.filter_sets +
                             budget.keyword_lists + budget.row_tail + budget.filter_masks +
                             budget.questions;
    CHECK(sum <= total);
    CHECK(sum > total / 64 * 62);
    for (const int width : {8, 256, 768, 4096}) {
      const std::int64_t sampled = budget.train_rows(width);
      CHECK(sampled >= index::LadderIndex::kTrainRows);
      CHECK(sampled <= index::LadderIndex::kMostTrainRows);
      CHECK((sampled == index::LadderIndex::kTrainRows || sampled * width * 4 <= budget.index / 4));
      CHECK(budget.tail_rows(width, 0) <= query::kMostTailRows);
    }
    CHECK(budget.tail_rows(768, 0) * 788 <= budget.row_tail);
  }
  CHECK(MemoryBudget::of(64 * kMebibyte, 1'000).value().questions == 1'000);
}

TEST_CASE("without a budget every part has its usual size") {
  const MemoryBudget none = MemoryBudget::of(0, 4 * kMebibyte).value();
  CHECK_FALSE(none.limited());
  CHECK(none.store == 0);
  CHECK(none.filter_sets == 64 * kMebibyte);
  CHECK(none.keyword_lists == 64 * kMebibyte);
  CHECK(none.questions == 4 * kMebibyte);
  CHECK(none.tail_rows(768, 10'000'000) == query::kMostTailRows);
  CHECK(none.train_rows(768) == index::LadderIndex::kMostTrainRows);
  CHECK(none.import_bytes(1'000) == 1'000);
  const query::IndexRoom room{.budget = none, .others = 0, .hold_back = {}};
  CHECK(room.check("c", "build", [](const MemoryBudget&) { return 1L << 60; }).ok());
}

TEST_CASE("the least budget that is told is enough, and one below it is not") {
  const index::LadderShape shape = index::default_ladder_shape(768, true);
  for (const std::int64_t rows : {1'000'000L, 3'000'000L, 50'000'000L}) {
    const query::NeededBytes needed = [&](const MemoryBudget& budget) {
      return index::LadderIndex::build_bytes(shape, rows, budget.train_rows(768));
    };
    const std::int64_t least = query::least_budget(needed);
    CAPTURE(rows);
    CAPTURE(least);
    CHECK(least % kMebibyte == 0);
    const auto fits = [&](std::int64_t total) {
      const query::IndexRoom room{
          .budget = MemoryBudget::of(total, 0).value(), .others = 0, .hold_back = {}};
      return room.check("c", "build", needed);
    };
    CHECK(fits(least).ok());
    const Status refused = fits(least - kMebibyte);
    CHECK(refused.code() == StatusCode::kOutOfMemory);
    CHECK(refused.message().find("--memory " + query::budget_text(least)) != std::string::npos);
  }
  CHECK(query::budget_text(32 * kMebibyte) == "32M");
  CHECK(query::budget_text(2048 * kMebibyte) == "2G");
}

TEST_CASE("a budget below 32 MiB is refused with the figure") {
  const TempFolder folder;
  for (const std::int64_t bytes : {std::int64_t{1}, 32 * kMebibyte - 1}) {
    const auto opened = try_open(folder / "db", bytes);
    CHECK(opened.status().code() == StatusCode::kOutOfMemory);
    CHECK(opened.status().message().find("32M") != std::string::npos);
  }
  CHECK(try_open(folder / "db", -1).status().code() == StatusCode::kInvalidArgument);
  CHECK(try_open(folder / "db", 32 * kMebibyte).ok());
}

// Brought vectors are kept in full: 9,000 of 512 are 18 MB, 32 MiB leave 16 MiB for indexes.
TEST_CASE("vectors that do not fit are refused whole, and the least that is told takes them") {
  const TempFolder folder;
  const auto vectors = [](int first, int count) {
    std::vector<Document> made;
    for (int i = first; i < first + count; ++i) {
      Document document{.key = "v" + std::to_string(i), .vector = std::vector<float>(512, .01F)};
      document.vector[static_cast<std::size_t>(i % 512)] = static_cast<float>(1 + i / 512);
      made.push_back(std::move(document));
    }
    return made;
  };
  AddOptions options{.collection = "mine"};
  std::string refusal;
  {
    Database db = open_at(folder / "db", 32 * kMebibyte);
    for (int first = 0; first < 8'000; first += 1'000) {
      const auto added = db.add(vectors(first, 1'000), options);
      REQUIRE_MESSAGE(added.ok(), added.status().to_string());
    }
    const auto refused = db.add(vectors(8'000, 1'000), options);
    REQUIRE(refused.status().code() == StatusCode::kOutOfMemory);
    refusal = refused.status().message();
    CHECK(refusal.find("'mine'") != std::string::npos);
    CHECK(db.stats().value().collections.front().documents == 8'000);
    CHECK(db.get("v8000", "mine").status().code() == StatusCode::kNotFound);
    CHECK(db.search_vector(vectors(77, 1).front().vector, {.k = 1, .collection = "mine"})
              .value()
              .hits.front()
              .key == "v77");
  }
  const auto at = refusal.find("--memory ");
  REQUIRE(at != std::string::npos);
  const std::int64_t least = std::atoll(refusal.c_str() + at + 9) * kMebibyte;
  {
    Database db = open_at(folder / "db", least);
    REQUIRE(db.add(vectors(8'000, 1'000), options).ok());
    CHECK(db.search_vector(vectors(8'500, 1).front().vector, {.k = 1, .collection = "mine"}).ok());
  }
  // Now the index needs more than the first budget has: nothing is lost, and it says what to do.
  Database db = open_at(folder / "db", 32 * kMebibyte);
  const auto found = db.search_vector(vectors(77, 1).front().vector, {.collection = "mine"});
  CHECK(found.status().code() == StatusCode::kOutOfMemory);
  CHECK(found.status().message().find("--memory " + query::budget_text(least)) !=
        std::string::npos);
  CHECK(db.get("v8000", "mine").ok());
  CHECK(db.verify().value().problems.empty());
  CHECK(db.compact().ok());
}

TEST_CASE("lists that do not fit are left out, and said once") {
  const TempFolder folder;
  std::vector<std::string> log;
  Database db = open_at(folder / "db", 32 * kMebibyte, &log, {.list_rows = 2'000});
  add_all(db, 6'000);
  const std::string free = answers(db, 6'000);
  CHECK(free.size() > 100);
  // At this size lists fit.
  CHECK(db.memory_usage().value().held_back.empty());
  const query::IndexRoom room{.budget = MemoryBudget::of(32 * kMebibyte, 0).value(),
                              .others = 16 * kMebibyte - 1,
                              .hold_back = [&](const std::string& what, const Status& why) {
                                log.push_back(what + ": " + why.message());
                              }};
  CHECK_FALSE(room.fits("c", "sort the codes into lists", "searches go on",
                        [](const MemoryBudget&) { return std::int64_t{2}; }));
  REQUIRE(log.size() == 1);
  CHECK(log.front().find("searches go on") != std::string::npos);
}

TEST_CASE("dead rows stay masked where there is no room to sweep them") {
  const index::LadderShape shape = index::default_ladder_shape(kWidth, true);
  const auto filled = [&] {
    index::LadderIndex index(shape);
    std::vector<std::uint64_t> ids;
    std::vector<float> rows;
    for (std::uint64_t id = 1; id <= 4'000; ++id) {
      ids.push_back(id);
      for (int c = 0; c < kWidth; ++c) {
        rows.push_back(static_cast<float>((id * 31 + static_cast<std::uint64_t>(c) * 17) % 101) -
                       50);
      }
    }
    REQUIRE(index.add(ids, rows).ok());
    return index;
  };
  std::vector<std::uint64_t> gone;
  for (std::uint64_t id = 1; id <= 2'000; ++id) gone.push_back(id);
  index::LadderIndex swept = filled();
  index::LadderIndex masked = filled();
  const std::int64_t before = masked.memory_bytes();
  const std::int64_t grown = masked.bytes_with(4'000);
  CHECK(grown > before);
  masked.limit_memory(before + 1'000);
  const std::uint64_t generation = masked.generation();
  swept.remove(gone);
  masked.remove(gone);
  CHECK(swept.memory_bytes() < before);
  CHECK(masked.memory_bytes() == before);
  CHECK(masked.generation() == generation);
  CHECK(masked.live_count() == swept.live_count());
  const std::vector<float> question(kWidth, .5F);
  const auto a = swept.search(question, {.scan_count = 500, .rank_count = 50}).value();
  const auto b = masked.search(question, {.scan_count = 500, .rank_count = 50}).value();
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i].id == b[i].id);
}

TEST_CASE("a reader, an import and a measurement of recall work under a budget") {
  const TempFolder folder;
  Database writer = open_at(folder / "db", 32 * kMebibyte);
  add_all(writer, 3'000);
  const std::string expected = answers(writer, 3'000);
  OpenOptions options{.read_only = true, .memory_bytes = 32 * kMebibyte};
  auto reader = query::open_database(
      folder / "db", options, factory_of(std::make_shared<HashEncoder>("hash-space", kWidth)));
  REQUIRE(reader.ok());
  CHECK(answers(reader.value(), 3'000) == expected);
  REQUIRE(writer.add(documents(3'000, 10)).ok());
  REQUIRE(reader.value().refresh().value().changed);
  CHECK(reader.value().search("number3005 third1001", {.k = 1}).value().hits.front().key ==
        "k3005");
  const auto recall = writer.measure_recall({.k = 3, .sample = 10});
  REQUIRE_MESSAGE(recall.ok(), recall.status().to_string());
  std::vector<std::string> lines;
  REQUIRE(writer
              .export_documents([&](std::string_view line) {
                lines.emplace_back(line);
                return Status();
              })
              .ok());
  Database copy = open_at(folder / "copy", 32 * kMebibyte);
  std::size_t next = 0;
  const auto imported = copy.import_documents([&]() -> Result<std::optional<std::string_view>> {
    if (next == lines.size()) return std::optional<std::string_view>();
    return std::optional<std::string_view>(lines[next++]);
  });
  REQUIRE_MESSAGE(imported.ok(), imported.status().to_string());
  CHECK(imported.value().documents_added == 3'010);
  CHECK(answers(copy, 3'000) == expected);
}
