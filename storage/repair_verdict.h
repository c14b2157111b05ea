// What a survey means: which acknowledged data is gone, what only has to be made again. Threads:
// free functions.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nestor/maintenance.h"
#include "storage/repair_survey.h"

namespace nestor::storage {

// What was found around the records.
struct RepairFindings {
  bool sound = false;               // RocksDB opens, reads everything, and holds what was promised
  std::vector<std::string> gaps;    // what RocksDB could not read
  bool manifest_bad = false;        // NESTOR is gone or damaged
  bool manifest_disagrees = false;  // NESTOR and RocksDB name two databases
  std::optional<std::uint64_t> watermark;  // none: gone or damaged
};

struct RepairVerdict {
  RepairReport report;                       // changed and set_aside are still open
  std::set<std::uint32_t> rewritten;         // collections that get new counts, digest and journal
  std::set<std::uint32_t> without_fields;    // whose field index goes
  std::set<std::uint32_t> without_contents;  // whose content index goes
  std::set<std::uint32_t> without_terms;     // whose postings go
  bool state_bad = false;
  [[nodiscard]] bool nothing_to_do() const { return report.lost.empty() && report.mended.empty(); }
};

// `journal_broken`: collections whose journal has a hole or an end that is not theirs.
RepairVerdict judge(const Survey& survey, const RepairFindings& findings,
                    const std::set<std::uint32_t>& journal_broken);

}  // namespace nestor::storage
