// CodeLists: the centroids of the lists that the rows of a large ladder are sorted into, and which
// lists a query is to look through. Each centroid is a unit vector of the scanned components; which
// rows lie in which list LadderCodes knows. index/CODES.md, section "Lists".
// Threads: const calls at once.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "index/code_quantizer.h"
#include "nestor/status.h"

namespace nestor::index {

class CodeLists {
 public:
  // `centroids` (count, width), finite.
  CodeLists(int width, std::span<const float> centroids);

  [[nodiscard]] int width() const { return quantizer_.shape().width; }
  [[nodiscard]] std::int64_t count() const {
    return static_cast<std::int64_t>(codes_.size()) / quantizer_.shape().words();
  }
  [[nodiscard]] std::int64_t memory_bytes() const {
    return static_cast<std::int64_t>(codes_.capacity() * sizeof(std::uint32_t));
  }

  // Lists from the nearest on, until `enough` says so after hearing of each one, or all. Of equally
  // near ones the first comes first. `query` (at least width), `likely` a guess of how many.
  // Cost: about 1 ms for 40,000 lists. Throws std::bad_alloc.
  void nearest(std::span<const float> query, std::int64_t likely,
               const std::function<bool(std::uint32_t list)>& enough) const;

  // As bytes, and back. STORED: storage/FORMAT.md, section "Ladder files". Errors: kDataLoss.
  [[nodiscard]] std::string serialize() const;
  static Result<CodeLists> parse(std::string_view bytes, int width, std::int64_t count);
  static std::size_t serialized_bytes(int width, std::int64_t count);

 private:
  CodeLists(CodeQuantizer quantizer, std::vector<std::uint32_t> codes)
      : quantizer_(std::move(quantizer)), codes_(std::move(codes)) {}
  CodeQuantizer quantizer_;           // 8 bits a component
  std::vector<std::uint32_t> codes_;  // (count, words)
};

}  // namespace nestor::index
