// Every allocation of a call fails once, one after the other: the call fails with a status and has
// changed nothing, or it succeeds; the store and every search then agree with one another, and the
// same call succeeds. Allocations of RocksDB on the calling thread are among them: those may close
// the store for writing or end the process, and the next open has all of the call or nothing.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "core/macros.h"
#include "query/expiry.h"
#include "query/open_database.h"
#include "tests/soak/client.h"
#include "tests/soak/crash_place.h"
#include "tests/soak/failing_new.h"
#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"
#include "tests/support/hash_encoder.h"

namespace nestor::soak {
namespace {

constexpr std::array<const char*, 16> kNames = {"add new documents",
                                                "add over old ones",
                                                "remove",
                                                "remove matching",
                                                "change metadata",
                                                "import",
                                                "compact",
                                                "search by vector",
                                                "search by keywords",
                                                "search both ways",
                                                "search filtered",
                                                "count",
                                                "export",
                                                "get",
                                                "reembed",
                                                "search past expired documents"};
// The last two are kinds of their own, below.
constexpr std::size_t kReembed = kNames.size() - 2;
constexpr std::size_t kExpired = kNames.size() - 1;
constexpr std::uint64_t kDocuments = 24;
// Of one call with everything around it: RocksDB may wait for ever for what an exception left out.
constexpr unsigned kMostSecondsOfCall = 15;

PlannedOp add_of(std::uint64_t number, std::uint64_t first_key) {
  PlannedOp op{.kind = OpKind::kAdd, .number = number};
  for (std::uint64_t i = 0; i < 3; ++i) op.keys.push_back(fmt::format("k{}", first_key + i));
  return op;
}

using Lines = std::vector<std::string>;

Result<Lines> export_all(const Database& database) {
  Lines lines;
  const auto exported = database.export_documents([&](std::string_view line) {
    lines.emplace_back(line);
    return Status();
  });
  NESTOR_RETURN_IF_ERROR(exported.status());
  return lines;
}

Status import_all(Database& database, const Lines& lines) {
  std::size_t next = 0;
  const LineSource source = [&]() -> Result<std::optional<std::string_view>> {
    if (next == lines.size()) return std::optional<std::string_view>();
    return std::optional<std::string_view>(lines[next++]);
  };
  return call_library([&] { return database.import_documents(source); }).status();
}

// The call of a kind; what it writes depends on `number` alone.
class Call {
 public:
  Call(std::size_t kind, std::uint64_t number) : kind_(kind) {
    const std::uint64_t round = number % 5;
    if (kind == 0) op_ = add_of(number, kDocuments + 3 * round);
    if (kind == 1) op_ = add_of(number, 3 * round);
    if (kind == 2) op_ = {.kind = OpKind::kRemove, .number = number, .keys = {"k1", "k30"}};
    if (kind == 3) {
      op_ = {.kind = OpKind::kRemoveMatching, .number = number, .part = static_cast<int>(round)};
    }
    if (kind == 4) op_ = {.kind = OpKind::kChangeMetadata, .number = number, .keys = {"k2", "k5"}};
    number_ = number;
  }

  Status run(Client& client) const {
    Database& database = client.database();
    SearchOptions options{.k = 5};
    switch (kind_) {
      case 5:
        return import_all(database, lines_);
      case 6:
        return call_library([&] { return database.compact(); }).status();
      case 8:
        options.mode = SearchMode::kKeyword;
        break;
      case 9:
        options.mode = SearchMode::kHybrid;
        break;
      case 10:
        options.filter = Filter::field("part") == static_cast<std::int64_t>(number_ % 5);
        break;
      case 11: {
        const Filter filter = Filter::field("part") > std::int64_t{1};
        return call_library([&] { return database.count(filter); }).status();
      }
      case 12:
        return call_library([&] {
                 return database.export_documents([](std::string_view) { return Status(); });
               })
            .status();
      case 13:
        return call_library([&] { return database.get("k3"); }).status();
      default:
        break;
    }
    if (kind_ < 5) return client.execute(*op_);
    return call_library([&] { return database.search("common word7 word9", options); }).status();
  }
  void apply_to(Model& model) const {
    if (op_.has_value()) soak::apply(*op_, model);
    if (exported_.has_value()) model = *exported_;
  }
  // So that there is something to remove, and something else to import.
  Status run_before(Client& client, Model& model) {
    if (kind_ != 2 && kind_ != 3 && kind_ != 5) return {};
    if (kind_ == 5) {
      NESTOR_ASSIGN_OR_RETURN(lines_, export_all(client.database()));
      exported_ = model;
    }
    for (std::uint64_t first = 0; first < (kind_ == 5 ? 3 : kDocuments + 9); first += 3) {
      const PlannedOp op = add_of(number_, first);
      NESTOR_RETURN_IF_ERROR(client.execute(op));
      soak::apply(op, model);
    }
    return {};
  }

 private:
  std::size_t kind_;
  std::uint64_t number_ = 0;
  std::optional<PlannedOp> op_;
  Lines lines_;                    // of kind 5
  std::optional<Model> exported_;  // what they say
};

bool writing_is_over(const Status& status) {
  return status.message().find("open it again") != std::string::npos;
}

// All of the call may be there, or nothing.
bool is_unknown(const Status& status) {
  return writing_is_over(status) || status.message().find("so far is kept") != std::string::npos ||
         status.message().find("are removed") != std::string::npos;
}

// Open, filled, and searched once, so that indexes and caches are there.
Status prepare(Client& client, Model& model) {
  NESTOR_RETURN_IF_ERROR(client.open());
  NESTOR_ASSIGN_OR_RETURN(const int matched, client.match(model, nullptr));
  static_cast<void>(matched);
  return client.check(model, 1);
}

// What the child has to say of the model it works with: whether the last call is in it.
int sweep(const std::string& path, std::size_t kind, std::uint64_t first, std::uint64_t stride,
          Model model) {
  LifePage& page = life_page();
  Client client(path);
  if (const Status status = prepare(client, model); !status.ok()) {
    return fail_life("before: " + status.to_string());
  }
  page.verified = true;
  for (std::uint64_t n = first;; n += stride) {
    // Numbers of operations are above those that filled the database.
    Call call(kind, 1000 + n);
    page.begun = n;
    ::alarm(kMostSecondsOfCall);
    if (const Status before = call.run_before(client, model); !before.ok()) {
      return fail_life(
          fmt::format("{}, before allocation {}: {}", kNames[kind], n, before.to_string()));
    }
    Model with = model;
    call.apply_to(with);
    const auto failed = [&](const std::string& what) {
      return fail_life(fmt::format("{}, allocation {}: {}", kNames[kind], n, what));
    };
    fail_allocation(n);
    const Status status = call.run(client);
    const bool met = fail_allocation(0);
    if (!status.ok()) page.refused = page.refused + 1;
    if (!status.ok() && is_unknown(status)) {
      if (writing_is_over(status)) {
        static_cast<void>(client.close());
        if (const Status opened = client.open(); !opened.ok()) return failed(opened.to_string());
      }
      const Result<int> which = client.match(model, &with);
      if (!which.ok()) return failed(which.status().to_string());
      if (which.value() == 1) model = with;
    } else {
      if (status.ok() || sabotaged(kCountFailed)) model = with;
      const Result<int> same = client.match(model, nullptr);
      if (!same.ok()) return failed(status.to_string() + "; then " + same.status().to_string());
      if (const Status checked = client.check(model, n); !checked.ok()) {
        return failed(status.to_string() + "; then " + checked.to_string());
      }
    }
    if (const Status again = call.run(client); !again.ok()) {
      return failed("the same call again: " + again.to_string());
    }
    model = with;
    page.acked = n;
    if (!met) break;  // the call has no so many allocations
  }
  page.answer = 4;  // all of them
  return client.close().ok() ? 0 : 1;
}

// A collection goes from one vector space to the other and back.
int sweep_reembed(const std::string& path, std::uint64_t first, std::uint64_t stride,
                  std::uint64_t documents) {
  LifePage& page = life_page();
  const auto open = [&](std::uint64_t n) {
    auto encoder =
        std::make_shared<testing::HashEncoder>(n % 2 == 0 ? "space-a" : "space-b", kEncoderWidth);
    return query::open_database(path, {}, testing::factory_of(std::move(encoder)));
  };
  page.verified = true;
  for (std::uint64_t n = first;; n += stride) {
    page.begun = n;
    ::alarm(kMostSecondsOfCall);
    const auto failed = [&](const std::string& what) {
      return fail_life(fmt::format("reembed, allocation {}: {}", n, what));
    };
    auto opened = open(n / stride);
    if (!opened.ok()) return failed(opened.status().to_string());
    std::optional<Database> database = std::move(opened).value();
    fail_allocation(n);
    const Status status = call_library([&] { return database->reembed(); }).status();
    const bool met = fail_allocation(0);
    if (!status.ok()) page.refused = page.refused + 1;
    if (!status.ok() && writing_is_over(status)) {
      static_cast<void>(database->close());
      opened = open(n / stride);
      if (!opened.ok()) return failed(opened.status().to_string());
      database.emplace(std::move(opened).value());
    }
    if (database->count().ok() &&
        database->count().value() != static_cast<std::int64_t>(documents)) {
      return failed(status.to_string() + "; then documents are missing");
    }
    if (const Status again = database->reembed().status(); !again.ok()) {
      return failed("the same call again: " + again.to_string());
    }
    const auto found = database->search("common", {.k = 1000});
    const auto verified = database->verify();
    if (!found.ok()) return failed(found.status().to_string());
    if (!verified.ok() || !verified.value().problems.empty()) {
      return failed("verify: " + (verified.ok() ? verified.value().problems.front()
                                                : verified.status().to_string()));
    }
    page.acked = n;
    if (!met) break;
  }
  page.answer = 4;
  return 0;
}

// Those that have expired stay hidden, also where the search that comes across them first fails.
int sweep_expired(const std::string& path, std::uint64_t first, std::uint64_t stride) {
  LifePage& page = life_page();
  auto opened = query::open_database(
      path, {},
      testing::factory_of(std::make_shared<testing::HashEncoder>("hash-space", kEncoderWidth)));
  if (!opened.ok()) return fail_life(opened.status().to_string());
  Database database = std::move(opened).value();
  page.verified = true;
  for (std::uint64_t n = first;; n += stride) {
    page.begun = n;
    ::alarm(kMostSecondsOfCall);
    const auto failed = [&](const std::string& what) {
      return fail_life(fmt::format("{}, allocation {}: {}", kNames[kExpired], n, what));
    };
    // A search that keeps the rows there are; then two batches, the second with what has expired.
    Status before =
        database.search("common", {.filter = Filter::field("part") >= std::int64_t{0}}).status();
    for (const Document& document :
         {Document{.key = "plain", .text = "common plain"},
          Document{
              .key = "gone", .text = "common gone", .metadata = {{query::kExpiresAtField, 1}}}}) {
      if (before.ok()) before = database.add({document}).status();
    }
    if (!before.ok()) return failed("before it: " + before.to_string());
    fail_allocation(n);
    const Status status =
        call_library([&] { return database.search("common", {.k = 1000}); }).status();
    const bool met = fail_allocation(0);
    if (!status.ok()) page.refused = page.refused + 1;
    const auto found = database.search("common", {.k = 1000});
    if (!found.ok()) return failed("the same call again: " + found.status().to_string());
    const auto has = [&](const char* key) {
      return std::ranges::any_of(found.value().hits,
                                 [&](const Hit& hit) { return hit.key == key; });
    };
    if (has("gone")) return failed(status.to_string() + "; then an expired document is found");
    if (!has("plain")) return failed(status.to_string() + "; then a document is not found");
    const auto removed = database.remove({"plain", "gone"});
    if (!removed.ok()) return failed(removed.status().to_string());
    page.acked = n;
    if (!met) break;
  }
  page.answer = 4;
  return 0;
}

int guarded_child(const std::function<int()>& work) {
  watch_crashes();
  try {
    return work();
  } catch (const std::exception& error) {
    fail_allocation(0);
    return fail_life(fmt::format("{} came through the interface", error.what()));
  }
}

// The documents that every kind begins with, written by a child of its own.
Model fill(const std::string& path, HarnessReport& report) {
  Model model;
  std::vector<PlannedOp> ops;
  for (std::uint64_t first = 0; first < kDocuments; first += 3) {
    ops.push_back(add_of(first + 1, first));
    apply(ops.back(), model);
  }
  const Death death = wait_for(start_child([&] {
    Client client(path);
    if (const Status status = client.open(); !status.ok()) return fail_life(status.to_string());
    for (const PlannedOp& op : ops) {
      if (const Status status = client.execute(op); !status.ok())
        return fail_life(status.to_string());
    }
    return client.close().ok() ? 0 : 1;
  }));
  if (!death.clean()) report.fail("filling: " + death.describe());
  return model;
}

// One kind after the other. A process that RocksDB ended is looked at by the next one, which goes
// on with the allocation behind it.
void sweep_kind(std::size_t kind, std::uint64_t stride, std::uint64_t offset,
                const std::string& folder, HarnessReport& report) {
  const std::string path = fmt::format("{}/sweep{}", folder, kind);
  arm(path, {});
  const char* const name = kNames[kind];
  const Model filled = fill(path, report);
  std::uint64_t next = 1 + offset % stride;
  for (bool fresh = true;; fresh = false) {
    // What a process that died did last is not known: it begins with the documents again.
    if (!fresh) {
      remove_folder(path);
      static_cast<void>(fill(path, report));
    }
    const Death death = wait_for(start_child([&] {
      return guarded_child([&] {
        if (kind == kReembed) return sweep_reembed(path, next, stride, kDocuments);
        if (kind == kExpired) return sweep_expired(path, next, stride);
        return sweep(path, kind, next, stride, filled);
      });
    }));
    LifePage& page = life_page();
    const std::uint64_t last = page.begun;
    report.cycles += last < next ? 0 : (last - next) / stride + 1;
    report.counts["calls that failed with a status"] += page.refused;
    if (death.clean() && page.answer == 4) {
      report.counts[fmt::format("allocations in {}", name)] = last;
      break;
    }
    const bool in_rocksdb = !death.exited && page.verified && crashed_inside_rocksdb();
    if (!in_rocksdb) {
      report.fail(fmt::format("{}, allocation {}: {}", name, last, death.describe()));
      break;
    }
    ++report.counts[death.signal == SIGALRM ? "processes that waited for ever inside RocksDB"
                                            : "processes that ended inside RocksDB"];
    const Death after = wait_for(start_child([&] {
      auto encoder = std::make_shared<testing::HashEncoder>("hash-space", kEncoderWidth);
      auto opened = query::open_database(path, {}, testing::factory_of(std::move(encoder)));
      if (!opened.ok()) return fail_life(opened.status().to_string());
      const auto verified = opened.value().verify();
      if (!verified.ok()) return fail_life(verified.status().to_string());
      return verified.value().problems.empty() ? 0 : fail_life(verified.value().problems.front());
    }));
    if (!after.clean()) {
      report.fail(fmt::format("{}, after allocation {}: {}", name, last, after.describe()));
      break;
    }
    next = last + stride;
  }
  remove_folder(path);
}

}  // namespace

HarnessReport soak_allocations(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  // Calls have so many allocations in all; of them about `cycles` are tried, 0: every one.
  constexpr std::uint64_t kAbout = 12'000;
  const std::uint64_t stride =
      options.cycles == 0 ? 1 : std::max<std::uint64_t>(kAbout / options.cycles, 1);
  for (std::size_t kind = 0; kind < kNames.size(); ++kind) {
    if (kind % options.parts != options.part - 1) continue;
    sweep_kind(kind, stride, options.seed, folder, report);
  }
  return report;
}

}  // namespace nestor::soak
