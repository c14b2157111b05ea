// Where index/ gets rows from, so that it need not know storage/: ids to prefixes of their vectors.
// Threads: implementations are safe for concurrent reads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "nestor/status.h"

namespace nestor::index {

class VectorSource {
 public:
  virtual ~VectorSource() = default;
  // The first `width` components of each row into `out` (ids, width).
  virtual Status read(std::span<const std::uint64_t> ids, int width, float* out) const = 0;
  // All live rows with id >= first in ascending order, `row` (full width); `visit` returns false to
  // stop.
  virtual Status scan(
      std::uint64_t first,
      const std::function<bool(std::uint64_t id, std::span<const float> row)>& visit) const = 0;
};

}  // namespace nestor::index
