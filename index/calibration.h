// Calibration: what a search of this very collection has to spend for a recall. Made-up questions
// are asked exactly and through the codes; each true neighbour says how many rows the scan has to
// hand on, and how many candidates have to be ranked, for it to be found. From those any recall
// target has its plan. Measured beside the collection's real questions: index/CODES.md, "Plans".
//
// Threads: values; `calibrate` may run beside searches of the same index.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "index/ladder_index.h"
#include "index/vector_source.h"
#include "nestor/status.h"

namespace nestor::index {

// What stands in for questions: rows spread over the `row_count` of `source`, of unit length, with
// noise, for a question lies further from its answers than passages from one another. The same each
// time. At most `count`, (count, width). Errors: those of the source, kOutOfMemory.
Result<std::vector<float>> make_questions(const VectorSource& source, int width,
                                          std::int64_t row_count, std::int64_t count);

class Calibration {
 public:
  // Below so many rows the built-in plans are far on the safe side and cost nothing.
  static constexpr std::int64_t kLeastRows = 10'000;

  // Nothing measured: the built-in plans.
  Calibration() = default;
  // Of the rows of `source`, which `codes` is level with. REQUIRES: codes.trained().
  // Errors: those of the source, kOutOfMemory.
  // Cost: two passes over the source and 150 kFLOP a row; 1 s at 100,000 rows.
  static Result<Calibration> measure(const LadderIndex& codes, const VectorSource& source);

  [[nodiscard]] bool measured() const { return row_count_ > 0; }
  // In the collection when it was measured; 0: never.
  [[nodiscard]] std::int64_t row_count() const { return row_count_; }
  // The collection has grown to twice what was measured, or shrunk to half.
  [[nodiscard]] bool outgrown(std::int64_t row_count) const;

  // The cheapest plan that finds `recall` of the best k out of `row_count` rows that may be found.
  // REQUIRES: recall in (0, 1).
  [[nodiscard]] LadderPlan plan(const LadderShape& shape, std::int64_t row_count, std::int64_t k,
                                double recall) const;

  // STORED: storage/FORMAT.md, section "Calibrations".
  [[nodiscard]] std::string serialize() const;
  // Errors: kDataLoss.
  static Result<Calibration> parse(std::string_view bytes);

 private:
  // Of one true neighbour: the least plan that finds it.
  struct Need {
    std::uint32_t scan_count = 0;
    std::uint32_t rank_count = 0;
  };
  std::int64_t row_count_ = 0;
  std::vector<Need> needs_;
};

}  // namespace nestor::index
