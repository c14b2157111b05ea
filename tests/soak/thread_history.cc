// Four threads that add, delete, get and search side by side, and a history that says of every
// answer whether any order of the calls could have given it. A key has a version that only grows,
// even for a document, odd for its removal; keys are written in pairs, in one batch, by the one
// thread that owns them. Whoever reads a key must see no less than what was acknowledged, or seen
// by anybody, before the read began, and no more than was begun when it ended; and a search sees
// both of a pair or neither.
#include <fmt/format.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"

namespace nestor::soak {
namespace {

constexpr std::size_t kThreads = 4;
constexpr std::size_t kPairsOfThread = 12;
constexpr std::size_t kKeys = kThreads * kPairsOfThread * 2;

struct KeyHistory {
  std::atomic<std::uint64_t> begun{0};
  std::atomic<std::uint64_t> known{1};  // acknowledged or seen; 1: never written, so not there
};

class Threads {
 public:
  Threads(Database& database, std::uint64_t seed, std::uint64_t operations)
      : database_(database), seed_(seed), operations_(operations) {
    for (KeyHistory& key : keys_) key.begun = 1;
  }

  std::string run() {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) threads.emplace_back([this, i] { work(i); });
    threads.clear();
    return violation_;
  }

 private:
  static std::string name(std::size_t key) { return fmt::format("p{}", key); }

  Document document(std::size_t key, std::uint64_t version) const {
    Document made = document_of(1, name(key), {.text = version});
    made.metadata = {{"version", static_cast<std::int64_t>(version)}};
    return made;
  }

  void violated(std::string what) {
    const std::lock_guard lock(mutex_);
    if (violation_.empty()) violation_ = std::move(what);
    stop_ = true;
  }

  void work(std::size_t thread) {
    Random random(seed_ * 31 + thread);
    std::map<std::size_t, std::optional<Document>> remembered;  // of the sabotaged build
    for (std::uint64_t i = 0; i < operations_ / kThreads && !stop_; ++i) {
      const std::uint64_t choice = random.below(100);
      if (choice < 20) {
        write((thread * kPairsOfThread + random.below(kPairsOfThread)) * 2, random.one_in(4));
      } else if (choice < 24) {
        search(random);
      } else {
        get(random.below(kKeys), remembered);
      }
    }
  }

  void write(std::size_t key, bool remove) {
    const std::uint64_t version = (keys_[key].begun / 2 + 1) * 2 + (remove ? 1 : 0);
    keys_[key].begun = version;
    keys_[key + 1].begun = version;
    AddOptions options = add_options(1);
    const Status status =
        remove ? database_
                     .remove(std::vector<std::string>{name(key), name(key + 1)},
                             {.collection = "given"})
                     .status()
               : database_
                     .add(std::vector<Document>{document(key, version), document(key + 1, version)},
                          options)
                     .status();
    if (!status.ok()) return violated("a write: " + status.to_string());
    raise(keys_[key].known, version);
    raise(keys_[key + 1].known, version);
  }

  static void raise(std::atomic<std::uint64_t>& value, std::uint64_t to) {
    std::uint64_t now = value;
    while (now < to && !value.compare_exchange_weak(now, to)) {
    }
  }

  // `found`: the version, 0 for no document.
  void check(const char* how, std::size_t key, std::uint64_t low, std::uint64_t found) {
    const std::uint64_t high = keys_[key].begun;
    const bool may_be_absent = low % 2 == 1 || high > low;
    const bool right = found == 0 ? may_be_absent : found >= low && found <= high;
    if (!right) {
      violated(fmt::format("{}: {} at version {} (0: absent), known before were {}, begun {}", how,
                           name(key), found, low, high));
    }
    if (found != 0) raise(keys_[key].known, found);
  }

  void get(std::size_t key, std::map<std::size_t, std::optional<Document>>& remembered) {
    const std::uint64_t low = keys_[key].known;
    Result<Document> got = database_.get(name(key), "given");
    if (!got.ok() && got.status().code() != StatusCode::kNotFound)
      return violated("get: " + got.status().to_string());
    std::optional<Document> document;
    if (got.ok()) document = std::move(got).value();
    if (sabotaged(kStaleView)) document = remembered.try_emplace(key, document).first->second;
    check("get", key, low, document ? version_of(document->metadata) : 0);
  }

  static std::uint64_t version_of(const Metadata& metadata) {
    return static_cast<std::uint64_t>(
        std::get<std::int64_t>(metadata.at("version").scalar().variant()));
  }

  void search(Random& random) {
    std::vector<std::uint64_t> low(kKeys);
    for (std::size_t key = 0; key < kKeys; ++key) low[key] = keys_[key].known;
    const Document probe = document(random.below(kKeys), random.next());
    const Result<SearchResult> result =
        database_.search_vector(probe.vector, {.k = 1000, .collection = "given"});
    if (!result.ok()) return violated("search: " + result.status().to_string());
    std::vector<std::uint64_t> found(kKeys);
    for (const Hit& hit : result.value().hits) {
      const std::size_t key = std::stoul(hit.key.substr(1));
      if (found[key] != 0) violated("search: " + hit.key + " is there twice");
      found[key] = version_of(hit.metadata);
    }
    for (std::size_t key = 0; key < kKeys; ++key) {
      check("search", key, low[key], found[key]);
      if (key % 2 == 0 && found[key] != found[key + 1]) {
        violated(fmt::format("search: a torn pair {}, versions {} and {}", name(key), found[key],
                             found[key + 1]));
      }
    }
  }

  Database& database_;
  const std::uint64_t seed_;
  const std::uint64_t operations_;
  std::array<KeyHistory, kKeys> keys_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;  // guards violation_
  std::string violation_;
};

int run_threads(const std::string& path, std::uint64_t seed, std::uint64_t operations) {
  Client client(path);
  if (const Status status = client.open(); !status.ok()) return fail_life(status.to_string());
  const auto made = client.database().create_collection("given", {.vector_width = kGivenWidth});
  if (!made.ok()) return fail_life(made.status().to_string());
  const auto threads = std::make_unique<Threads>(client.database(), seed, operations);
  if (const std::string violation = threads->run(); !violation.empty()) return fail_life(violation);
  const auto report = client.database().verify();
  if (!report.ok()) return fail_life(report.status().to_string());
  if (!report.value().problems.empty())
    return fail_life("verify: " + report.value().problems.front());
  return client.close().ok() ? 0 : fail_life("close");
}

}  // namespace

HarnessReport soak_threads(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  report.cycles = options.cycles != 0 ? options.cycles : 200'000;
  const std::string path = folder + "/db";
  arm(path, {});
  const Death death =
      wait_for(start_child([&] { return run_threads(path, options.seed, report.cycles); }));
  if (!death.clean()) report.fail(death.describe());
  return report;
}

}  // namespace nestor::soak
