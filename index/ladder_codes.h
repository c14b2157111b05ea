// LadderCodes: where the codes of a collection lie. A coded row is cut in two: its first words lie
// in blocks of 16 rows, so that a scan streams through them; the rest lies row by row, so that a
// candidate costs one read. Rows are appended to segments that never move; a mapped file may be the
// first segment. A removed row keeps its place until the owner sweeps.
//
// A position counts rows from the first segment on, dead ones too; positions ascend with ids.
// Threads: const calls at once; the others need the owner's exclusive lock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/file.h"
#include "nestor/status.h"

namespace nestor::index {

struct LadderLayout {
  int scan_words = 0;
  int rest_words = 0;
  [[nodiscard]] std::int64_t row_bytes() const { return 4 * (scan_words + rest_words) + 8; }
};

struct LadderSegment {
  const std::uint32_t* blocks = nullptr;  // (capacity / 16, scan_words, 16)
  const std::uint32_t* rest = nullptr;    // (capacity, rest_words)
  const std::uint64_t* ids = nullptr;     // (capacity)
  std::int64_t rows = 0;
  std::int64_t capacity = 0;  // a multiple of 64
  std::int64_t first = 0;     // position of its first row, a multiple of 64
};

class LadderCodes {
 public:
  explicit LadderCodes(LadderLayout layout);
  ~LadderCodes();
  LadderCodes(LadderCodes&&) noexcept;
  LadderCodes& operator=(LadderCodes&&) noexcept;

  [[nodiscard]] LadderLayout layout() const { return layout_; }
  [[nodiscard]] std::span<const LadderSegment> segments() const { return segments_; }
  [[nodiscard]] std::int64_t row_count() const { return row_count_; }
  [[nodiscard]] std::int64_t live_count() const { return row_count_ - dead_count_; }
  [[nodiscard]] std::optional<std::uint64_t> last_id() const { return last_id_; }
  // One bit a position, in words of 64; zero past the end.
  [[nodiscard]] std::span<const std::uint64_t> live() const { return live_; }
  [[nodiscard]] std::int64_t memory_bytes() const;
  // REQUIRES: position < row_count().
  [[nodiscard]] std::uint64_t id_at(std::int64_t position) const;
  // The position of a live row, or -1. Cost: a search by halves.
  [[nodiscard]] std::int64_t find(std::uint64_t id) const;
  // A live row's whole code, scan words first. REQUIRES: position < row_count().
  void row(std::int64_t position, std::uint32_t* words) const;

  // Room for that many more rows: the next appends of as many cannot fail. Errors: kOutOfMemory.
  Status reserve(std::int64_t row_count);
  // REQUIRES: reserved; id above all earlier ones.
  void append(std::uint64_t id, const std::uint32_t* words);
  // False if no such row is live.
  bool remove(std::uint64_t id);
  // The live rows alone in new segments. Errors: kOutOfMemory; then nothing has changed.
  Status sweep();
  // Makes rows that lie in a mapped file the first segment. REQUIRES: empty, rows a multiple of 64,
  // ids ascend. Errors: kOutOfMemory.
  Status adopt(const LadderSegment& segment, std::unique_ptr<MappedFile> file);
  // False when the mapped file was changed behind our back; its pages must not be touched then.
  [[nodiscard]] bool intact() const { return file_ == nullptr || file_->unchanged(); }

 private:
  struct Owned;
  [[nodiscard]] std::size_t segment_of(std::int64_t position) const;

  LadderLayout layout_;
  std::vector<LadderSegment> segments_;
  std::vector<std::unique_ptr<Owned>> owned_;  // the last ones of segments_
  std::size_t filling_ = 0;  // the segment that takes the next row; those after it are empty
  std::unique_ptr<MappedFile> file_;  // that the first segment lies in, or null
  std::vector<std::uint64_t> live_;
  std::int64_t row_count_ = 0;
  std::int64_t dead_count_ = 0;
  std::optional<std::uint64_t> last_id_;
};

}  // namespace nestor::index
