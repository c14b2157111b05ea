// One file of a closed database is damaged: a bit turned, a page zeroed, the end cut off, the file
// gone, or one record replaced by another that is well formed. What follows must be the same
// answers, or a word about it: an error at open or of the call, or a problem that verify names.
// Never a crash, never a wrong answer without a word.
#include <fmt/format.h>

#include <filesystem>
#include <map>

#include "storage/key_schema.h"
#include "storage/record_codec.h"
#include "storage/rocksdb_options.h"
#include "tests/soak/damage.h"
#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"

namespace nestor::soak {
namespace {

namespace fs = std::filesystem;

constexpr int kRefused = 2;  // exit codes of the child: open said so
constexpr int kTold = 3;     // a call or verify said so
constexpr const char* kRecord = "a document's record";

// The record of the first document of the first collection, whatever its number is.
Result<std::pair<std::string, std::string>> a_record(rocksdb::DB& db, const History& history) {
  for (std::uint32_t collection = 1; collection <= kCollections.size(); ++collection) {
    const std::string key =
        storage::document_key(collection, history.model.documents[0].begin()->first);
    std::string value;
    if (db.Get({}, key, &value).ok()) return std::pair(key, value);
  }
  return Status(StatusCode::kNotFound, "the record to be damaged is not there");
}

// kReplace: a text with another letter in it and every check of the record right: only the digest
// knows. kTurnInRecord: a bit of the record, with RocksDB's checks right: its own check knows.
int damage_record(const std::string& path, const History& history, Damage damage, Random& random) {
  const auto db = storage::open_rocksdb(path + "/rocksdb", storage::OpenMode::kWrite);
  if (!db.ok()) return fail_life(db.status().to_string());
  auto record = a_record(*db.value(), history);
  if (!record.ok()) return fail_life(record.status().to_string());
  auto& [key, value] = record.value();
  if (damage == Damage::kReplace) {
    auto stored = storage::decode_document(key, value);
    if (!stored.ok()) return fail_life(stored.status().to_string());
    stored.value().document.text.back() ^= 1;
    value = storage::encode_document(key, stored.value());
  } else {
    const std::uint64_t at = random.below(value.size());
    value[at] = static_cast<char>(value[at] ^ (1 << random.below(8)));
  }
  return db.value()->Put({}, key, value).ok() ? 0 : fail_life("put");
}

// Looks at a damaged database as a person would.
int look_at(const std::string& path, const History& history, bool read_only, bool strict) {
  Client client(path);
  if (const Status status = client.open(read_only); !status.ok()) {
    fail_life(status.to_string());
    return kRefused;
  }
  const auto verified = client.database().verify();
  const bool told = !verified.ok() || !verified.value().problems.empty();
  const Result<int> matched = client.match(history.model, nullptr);
  if (!matched.ok()) {
    const std::string what = matched.status().message();
    fail_life(what);
    const bool wrong_content =
        what.find("has an") != std::string::npos || what.find("has other") != std::string::npos;
    if (!what.starts_with("WRONG")) return kTold;
    return told && !(strict && wrong_content) ? kTold : 1;
  }
  const Status checked = client.check(history.model, history.seed);
  if (checked.ok()) return 0;
  fail_life(checked.message());
  const bool wrong_answer =
      checked.message().starts_with("WRONG") && !checked.message().starts_with("WRONG: verify");
  return wrong_answer && !told ? 1 : kTold;
}

class BitRot {
 public:
  BitRot(const HarnessOptions& options, const std::string& folder, HarnessReport& report)
      : options_(options), base_(folder + "/base"), path_(folder + "/db"), report_(report) {}

  bool build() {
    history_.seed = options_.seed;
    arm(base_, {});
    const Death death =
        wait_for(start_child([&] { return run_life({.path = base_, .op_count = 150}, history_); }));
    history_.learn();
    if (!death.clean()) report_.fail("the database to be damaged: " + death.describe());
    for (const auto& entry : fs::recursive_directory_iterator(base_)) {
      if (!entry.is_regular_file() || entry.file_size() == 0) continue;
      const std::string relative = fs::relative(entry.path(), base_).string();
      files_[kind_of_file(relative)].push_back(relative);
    }
    files_[kRecord] = {"rocksdb"};
    return death.clean();
  }

  void run() {
    const std::uint64_t repeats = options_.cycles != 0 ? options_.cycles : 200;
    report_.counts["kinds of files"] = files_.size();
    std::uint64_t cycle = 0;
    for (const auto& [kind, names] : files_) {
      for (std::uint64_t i = 0; i < repeats; ++i) {
        if (++cycle != options_.only && options_.only != 0) continue;
        if (cycle % options_.parts != options_.part - 1) continue;
        Random random(options_.seed * 1'000'003 + cycle);
        Damage damage = next_damage(i, random);
        if (kind == kRecord) damage = i == 0 ? Damage::kReplace : Damage::kTurnInRecord;
        const std::string& name = names[random.below(names.size())];
        if (one(cycle, kind, name, damage, random)) return;
      }
    }
  }

 private:
  // True to stop.
  bool one(std::uint64_t cycle, const std::string& kind, const std::string& name, Damage damage,
           Random& random) {
    remove_folder(path_);
    copy_folder(base_, path_);
    if (damage == Damage::kReplace || damage == Damage::kTurnInRecord) {
      const Death damaged =
          wait_for(start_child([&] { return damage_record(path_, history_, damage, random); }));
      if (!damaged.clean()) return report_.fail("damaging a record: " + damaged.describe());
    } else {
      damage_file(path_ + "/" + name, damage, random);
    }
    arm(path_, {});
    const bool read_only = random.one_in(2);
    const Death death = wait_for(start_child(
        [&] { return look_at(path_, history_, read_only, damage != Damage::kReplace); }));
    ++report_.cycles;
    const char* const what = kDamageNames[static_cast<std::size_t>(damage)];
    if (death.clean()) ++report_.counts["harmless or repaired"];
    if (death.exited && death.code == kRefused) ++report_.counts["refused at open"];
    if (death.exited && death.code == kTold) ++report_.counts["told by a call or verify"];
    if (death.exited && death.code != 1) return false;
    return report_.fail(fmt::format("--only {}: {} ({}), {}{}: {}", cycle, kind, name, what,
                                    read_only ? ", read-only" : "", death.describe()));
  }

  const HarnessOptions& options_;
  const std::string base_;
  const std::string path_;
  HarnessReport& report_;
  History history_;
  std::map<std::string, std::vector<std::string>> files_;
};

}  // namespace

HarnessReport soak_bit_rot(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  BitRot harness(options, folder, report);
  if (harness.build()) harness.run();
  return report;
}

}  // namespace nestor::soak
