// One file of the cache of a large collection is damaged: trained codes, with lists and without,
// the plan, the row cache's list, its segments and their rows. A cache is no promise: the database
// must open, answer as before, say in verify which file is of no use, and after the next writer
// have nothing to say any more.
#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "core/bytes.h"
#include "core/file.h"
#include "core/macros.h"
#include "index/index_file.h"
#include "query/open_database.h"
#include "tests/soak/damage.h"
#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"
#include "tests/support/hash_encoder.h"

namespace nestor::soak {
namespace {

namespace fs = std::filesystem;

constexpr int kFirstRows = 1300;  // above index::LadderIndex::kTrainRows: codes
constexpr int kRows = 1500;       // the rest makes a second segment of cached rows
constexpr int kGroup = 12;        // documents that share a word
constexpr int kRemoved = 40;      // one in so many
constexpr std::int64_t kListRows = 1200;
constexpr int kSaidNothing = 2;  // exit codes of the child
constexpr int kSaidSo = 0;

constexpr std::array<const char*, 2> kBases = {"codes", "codes in lists"};

Result<Database> open_large(const std::string& path, bool lists, bool read_only = false) {
  OpenOptions options;
  options.read_only = read_only;
  auto encoder = std::make_shared<testing::HashEncoder>("hash-space", kEncoderWidth);
  query::Upkeep upkeep;
  if (lists) upkeep.list_rows = kListRows;
  return query::open_database(path, options, testing::factory_of(std::move(encoder)), upkeep);
}

Document numbered(int i) {
  return {.key = fmt::format("k{}", i), .text = fmt::format("n{} group{} m{}", i, i / kGroup, i)};
}

Status add_numbered(Database& database, int begin, int end) {
  std::vector<Document> documents;
  for (int i = begin; i < end; ++i) documents.push_back(numbered(i));
  return database.add(documents).status();
}

// What a search finds by a plan that leaves no room for chance: the documents of a group are far
// nearer than all others, and 400 candidates hold them whatever the codes are.
Result<std::string> answers(const Database& database) {
  std::string all;
  for (int group = 2; group < kRows / kGroup; group += 9) {
    NESTOR_ASSIGN_OR_RETURN(
        const SearchResult found,
        database.search(fmt::format("group{}", group), {.k = 10, .candidate_count = 400}));
    for (const Hit& hit : found.hits) all += fmt::format("{} {:.6f}\n", hit.key, hit.score);
    const int first = group * kGroup + 1;
    NESTOR_ASSIGN_OR_RETURN(const SearchResult usual, database.search(numbered(first).text));
    if (usual.hits.empty() || usual.hits[0].key != numbered(first).key)
      return Status(StatusCode::kDataLoss, fmt::format("k{} is not found by its text", first));
  }
  return all;
}

bool has_lists(const std::string& path) {
  const auto opened = index::LadderIndex::open(path + "/cache/1-codes.index");
  return opened.ok() && opened.value().index.has_lists();
}

// Nestor measures a plan from 10,000 rows on, which would be most of the harness's time: one as
// FORMAT.md, "Calibrations", has it.
Status write_plan(const std::string& path) {
  constexpr std::uint64_t kNeeds = 960;
  NESTOR_ASSIGN_OR_RETURN(const index::LadderIndex::Opened codes,
                          index::LadderIndex::open(path + "/cache/1-codes.index"));
  ByteWriter plan;
  plan.raw("NSTRCALB");
  plan.u64(kRows);
  plan.u64(kNeeds);
  for (std::uint32_t i = 0; i < kNeeds; ++i) {
    plan.u32(64 + i);
    plan.u32(16 + i / 8);
  }
  return index::write_index_file(path + "/cache/1-plan.index", {codes.identity, plan.take()});
}

Status make_base(const std::string& path, bool lists) {
  {
    NESTOR_ASSIGN_OR_RETURN(Database database, open_large(path, lists));
    NESTOR_RETURN_IF_ERROR(add_numbered(database, 0, kFirstRows));
    NESTOR_RETURN_IF_ERROR(database.search("group1").status());
    NESTOR_RETURN_IF_ERROR(database.close());
  }
  NESTOR_ASSIGN_OR_RETURN(Database database, open_large(path, lists));
  NESTOR_RETURN_IF_ERROR(database.search("group1").status());
  NESTOR_RETURN_IF_ERROR(add_numbered(database, kFirstRows, kRows));
  std::vector<std::string> gone;
  for (int i = 0; i < kRows; i += kRemoved) gone.push_back(numbered(i).key);
  NESTOR_RETURN_IF_ERROR(database.remove(gone).status());
  NESTOR_RETURN_IF_ERROR(database.close());
  // Lists are made in the background, and closing does not wait for them.
  for (int i = 1; i <= 50 && lists && !has_lists(path); ++i) {
    NESTOR_ASSIGN_OR_RETURN(Database again, open_large(path, lists));
    NESTOR_RETURN_IF_ERROR(again.search("group1").status());
    std::this_thread::sleep_for(std::chrono::milliseconds(100 * i));
    NESTOR_RETURN_IF_ERROR(again.close());
  }
  if (lists && !has_lists(path)) return {StatusCode::kInternal, path + ": no lists were made"};
  return write_plan(path);
}

int keep_answers(const std::string& path, bool lists) {
  const Status made = make_base(path, lists);
  if (!made.ok()) return fail_life(made.to_string());
  // As a reader: the files stay as they are.
  auto database = open_large(path, lists, true);
  if (!database.ok()) return fail_life(database.status().to_string());
  const auto verified = database.value().verify();
  if (!verified.ok() || !verified.value().problems.empty() || !verified.value().notes.empty())
    return fail_life("verify has something to say of a sound database");
  const auto before = answers(database.value());
  if (!before.ok()) return fail_life(before.status().to_string());
  std::ofstream(path + ".answers") << before.value();
  return 0;
}

std::string difference(const std::string& before, const std::string& now) {
  const auto at = std::mismatch(before.begin(), before.end(), now.begin(), now.end()).first;
  return fmt::format("an answer is another from byte {} of {} on", at - before.begin(),
                     before.size());
}

struct Look {
  std::string path;
  std::string before;  // the answers
  bool lists = false;
  bool read_only = false;
  bool must_say = false;  // verify has to name the file
  std::string file;       // its name
};

// The damage is gone after a writer was there.
Status look_again(const Look& look) {
  NESTOR_ASSIGN_OR_RETURN(Database database, open_large(look.path, look.lists));
  NESTOR_ASSIGN_OR_RETURN(const VerifyReport verified, database.verify());
  if (!verified.problems.empty())
    return {StatusCode::kDataLoss, "behind a writer, verify: " + verified.problems.front()};
  for (const std::string& note : verified.notes) {
    // A collection of so few rows gets no new plan; the damaged one stays, and is not used.
    if (note.find("-plan.index") == note.npos)
      return {StatusCode::kDataLoss, "behind a writer, verify still: " + note};
  }
  NESTOR_ASSIGN_OR_RETURN(const std::string now, answers(database));
  if (now != look.before)
    return {StatusCode::kDataLoss, "behind a writer, " + difference(look.before, now)};
  return database.close();
}

Result<int> look_once(const Look& look) {
  NESTOR_ASSIGN_OR_RETURN(Database database, open_large(look.path, look.lists, look.read_only));
  NESTOR_ASSIGN_OR_RETURN(const VerifyReport verified, database.verify());
  if (!verified.problems.empty())
    return Status(StatusCode::kDataLoss, "verify: " + verified.problems.front());
  bool said = false;
  for (const std::string& note : verified.notes) said |= note.find(look.file) != note.npos;
  if (look.must_say && !said)
    return Status(StatusCode::kDataLoss, "verify says nothing of " + look.file);
  NESTOR_ASSIGN_OR_RETURN(const std::string now, answers(database));
  if (now != look.before) return Status(StatusCode::kDataLoss, difference(look.before, now));
  if (!look.read_only) {
    NESTOR_RETURN_IF_ERROR(database.add({{.key = "new", .text = "zebra"}}).status());
    NESTOR_RETURN_IF_ERROR(database.remove({"new"}).status());
  }
  NESTOR_RETURN_IF_ERROR(database.close());
  return said ? kSaidSo : kSaidNothing;
}

int look_at(const Look& look) {
  const Result<int> looked = look_once(look);
  if (!looked.ok()) return fail_life(looked.status().to_string());
  if (look.read_only) return looked.value();
  const Status again = look_again(look);
  return again.ok() ? looked.value() : fail_life(again.to_string());
}

struct Target {
  std::string kind;
  std::size_t base = 0;
  std::vector<std::string> files;  // of the cache folder
};

std::string kind_of_cache(const std::string& name, bool lists) {
  if (name.ends_with(".rowseg")) return "a row segment";
  if (name.ends_with(".rowseg.rows")) return "the rows of a segment";
  if (name.ends_with("-rows.index")) return "the list of row segments";
  if (name.ends_with("-plan.index")) return "the plan";
  return lists ? "codes in lists" : "codes";
}

// Rows of removed documents stay in a segment, and nobody reads them any more.
bool is_removed_row(const std::string& name, std::uint64_t at) {
  const int first = name.find(fmt::format("-{}.", kRows)) != name.npos ? kFirstRows : 0;
  return (first + static_cast<int>(at / kEncoderWidth)) % kRemoved == 0;
}

class CacheRot {
 public:
  CacheRot(const HarnessOptions& options, const std::string& folder, HarnessReport& report)
      : options_(options), folder_(folder), report_(report) {}

  bool build() {
    std::map<std::string, Target> targets;
    for (std::size_t base = 0; base < kBases.size(); ++base) {
      const std::string path = base_path(base);
      arm(path, {});
      const Death death = wait_for(start_child([&] { return keep_answers(path, base == 1); }));
      if (!death.clean()) {
        report_.fail(fmt::format("the database of {}: {}", kBases[base], death.describe()));
        return false;
      }
      before_[base] = read_file(path + ".answers", std::uint64_t{1} << 24).value();
      for (const auto& entry : fs::directory_iterator(path + "/cache")) {
        const std::string name = entry.path().filename().string();
        const std::string kind = kind_of_cache(name, base == 1);
        // Of the second only what the first has not.
        if (base == 1 && kind != kBases[1]) continue;
        targets[kind].kind = kind;
        targets[kind].base = base;
        targets[kind].files.push_back(name);
      }
    }
    for (auto& [kind, target] : targets) targets_.push_back(std::move(target));
    constexpr std::size_t kKinds = 6;
    if (targets_.size() != kKinds)
      report_.fail(fmt::format("{} kinds of caches, {} expected", targets_.size(), kKinds));
    return report_.failures.empty();
  }

  // Kinds take turns, so that ten failures tell of all of them.
  void run() {
    const std::uint64_t repeats = options_.cycles != 0 ? options_.cycles : 200;
    report_.counts["kinds of caches"] = targets_.size();
    for (std::uint64_t cycle = 1; cycle <= repeats * targets_.size(); ++cycle) {
      if (cycle != options_.only && options_.only != 0) continue;
      if (cycle % options_.parts != options_.part - 1) continue;
      if (one(cycle)) return;
    }
  }

 private:
  [[nodiscard]] std::string base_path(std::size_t base) const {
    return fmt::format("{}/base-{}", folder_, base);
  }

  // True to stop.
  bool one(std::uint64_t cycle) {
    const Target& target = targets_[(cycle - 1) % targets_.size()];
    Random random(options_.seed * 1'000'003 + cycle);
    const Damage damage = next_damage((cycle - 1) / targets_.size(), random);
    const std::string& name = target.files[random.below(target.files.size())];
    Look look{.path = folder_ + "/db",
              .before = before_[target.base],
              .lists = target.base == 1,
              .read_only = random.one_in(2),
              .file = name};
    // Rows have no name of their own: the segment that they belong to is named.
    if (name.ends_with(".rows")) look.file.resize(name.size() - 5);
    remove_folder(look.path);
    copy_folder(base_path(target.base), look.path);
    const Damaged damaged = damage_file(look.path + "/cache/" + name, damage, random);
    // That a cache is not there is no damage; that one misses a part is.
    const bool part_of_one = name.find(".rowseg") != name.npos;
    look.must_say = damaged.changed && (damage != Damage::kDelete || part_of_one);
    if (name.ends_with(".rows") && damage == Damage::kFlip && is_removed_row(name, damaged.at))
      look.must_say = false;
    arm(look.path, {});
    const Death death = wait_for(start_child([&] { return look_at(look); }));
    ++report_.cycles;
    const bool fine = death.exited && death.code != 1;
    if (fine && death.code == kSaidSo) ++report_.counts["named by verify"];
    if (fine && death.code == kSaidNothing) ++report_.counts["nothing to name"];
    if (fine) return false;
    return report_.fail(fmt::format("--only {}: {} ({}), {}{}: {}", cycle, target.kind, name,
                                    kDamageNames[static_cast<std::size_t>(damage)],
                                    look.read_only ? ", read-only" : "", death.describe()));
  }

  const HarnessOptions& options_;
  const std::string folder_;
  HarnessReport& report_;
  std::array<std::string, 2> before_;
  std::vector<Target> targets_;
};

}  // namespace

HarnessReport soak_cache_rot(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  CacheRot harness(options, folder, report);
  if (harness.build()) harness.run();
  return report;
}

}  // namespace nestor::soak
