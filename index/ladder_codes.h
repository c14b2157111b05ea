// LadderCodes: where the codes of a collection lie. A coded row is cut in two: its first words lie
// in blocks of 16 rows, so that a scan streams through them; the rest lies row by row, so that a
// candidate costs one read. Rows are appended to segments that never move; a mapped file may be the
// first segment. A removed row keeps its place until the owner sweeps.
//
// A version (`version()`) shares the rows that are there and may be changed beside the original:
// no byte that one version can see is written by another. Whole groups of 64 rows are shared; the
// last rows, which do not fill a group, lie in a tail segment that each version copies before it
// appends. Groups are appended behind those that other versions see, by the one version that has
// claimed that place (Owned::claimed); another one that appends begins a segment of its own.
//
// A position counts rows from the first segment on, dead ones too; positions ascend with ids. Only
// in a first segment that is sorted into lists (code_lists.h) do they not: there the rows of a list
// lie together, within it by id, and two tables lead from the order of the ids to the places.
// Threads: const calls at once; other calls alone on their object, beside any use of other
// versions.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
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
  const std::uint64_t* ids = nullptr;     // (capacity), ascending
  // Of a segment in lists, else null: where the i-th id's row lies, and which id lies in a place.
  const std::uint32_t* places = nullptr;  // (rows)
  const std::uint32_t* ranks = nullptr;   // (rows)
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
  // No row in between was removed: only places between segments are without one.
  [[nodiscard]] bool all_live() const { return removed_count_ == 0; }
  [[nodiscard]] std::optional<std::uint64_t> last_id() const { return last_id_; }
  // One bit a position, in words of 64; zero past the end.
  [[nodiscard]] std::span<const std::uint64_t> live() const { return live_; }
  [[nodiscard]] std::int64_t memory_bytes() const;
  // Of them those in the mapped file.
  [[nodiscard]] std::int64_t mapped_bytes() const;
  // The most of our own that is held while so many rows are added.
  [[nodiscard]] std::int64_t bytes_with(std::int64_t more) const;
  // The most that `row_count` rows take, added one by one.
  static std::int64_t bytes_of(LadderLayout layout, std::int64_t row_count);
  // REQUIRES: position < row_count().
  [[nodiscard]] std::uint64_t id_at(std::int64_t position) const;
  // The position of a live row, or -1. Cost: a search by halves.
  [[nodiscard]] std::int64_t find(std::uint64_t id) const;
  // A live row's whole code, scan words first. REQUIRES: position < row_count().
  void row(std::int64_t position, std::uint32_t* words) const;
  // Visits the positions of all live rows in the order of their ids.
  void each_live(const std::function<void(std::int64_t position)>& visit) const;
  // Where each list begins, and the end of the last, counted in rows of the first segment; empty
  // without lists.
  [[nodiscard]] std::span<const std::uint32_t> list_begins() const { return list_begins_; }
  [[nodiscard]] std::int64_t listed_rows() const {
    return list_begins_.empty() ? 0 : segments_.front().rows;
  }

  // Room for that many more rows: the next appends of as many cannot fail. Errors: kOutOfMemory.
  Status reserve(std::int64_t row_count);
  // REQUIRES: reserved; id above all earlier ones.
  void append(std::uint64_t id, const std::uint32_t* words);
  // As if the row of that id had been here: ids to come are above it.
  void pass_id(std::uint64_t id) { last_id_ = std::max(last_id_.value_or(0), id); }
  // False if no such row is live.
  bool remove(std::uint64_t id);
  // The live rows alone in new segments, in the lists they were in. Errors: kOutOfMemory; then
  // nothing has changed.
  Status sweep();
  // The live rows of `from`, the first ones by id sorted into lists: `lists` says for each which
  // one, below `list_count`. REQUIRES: lists.size() <= from.live_count(). Errors: kOutOfMemory.
  static Result<LadderCodes> sorted(const LadderCodes& from, std::span<const std::uint32_t> lists,
                                    std::int64_t list_count);
  // Makes rows that lie in a mapped file the first segments. REQUIRES: empty; only the first one
  // may be in lists, which `list_begins` are of; the others have whole words of marks; ids ascend.
  // Errors: kOutOfMemory.
  Status adopt(std::span<const LadderSegment> segments, std::vector<std::uint32_t> list_begins,
               std::unique_ptr<MappedFile> file);
  // The rows as they are now, by sharing them: what is done to either one later does not show in
  // the other. Errors: kOutOfMemory. Cost: copies the marks, one bit per row.
  [[nodiscard]] Result<LadderCodes> version() const;
  // False when the mapped file was changed behind our back; its pages must not be touched then.
  [[nodiscard]] bool intact() const { return file_ == nullptr || file_->unchanged(); }

 private:
  struct Owned;
  [[nodiscard]] std::size_t segment_of(std::int64_t position) const;
  [[nodiscard]] bool is_live(std::int64_t position) const {
    return (live_[static_cast<std::size_t>(position / 64)] >> (position % 64) & 1) != 0;
  }
  Status put_sorted(const LadderCodes& from, std::span<const std::uint32_t> lists,
                    std::int64_t list_count);
  [[nodiscard]] std::int64_t tail_rows() const { return has_tail_ ? segments_.back().rows : 0; }
  // Rows that fit behind the whole groups without a new segment.
  [[nodiscard]] std::int64_t spare_rows() const;
  // Makes sure of `rows` more places for whole groups. May throw.
  void reserve_groups(std::int64_t rows);
  // A tail that no other version sees. May throw.
  void own_tail();
  // The full tail goes behind the whole groups.
  void flush_tail();

  LadderLayout layout_;
  std::vector<LadderSegment> segments_;
  std::vector<std::shared_ptr<Owned>> owned_;  // of the last ones of segments_, the tail's included
  bool has_tail_ = false;                      // the last segment is a tail of less than 64 rows
  bool growing_ = false;               // the segment before the tail, or the last one, may grow
  std::int64_t claimed_end_ = 0;       // rows of it that this version may write
  std::shared_ptr<Owned> next_;        // takes the groups once that one is full
  std::int64_t next_capacity_ = 0;     // rows in next_
  std::shared_ptr<Owned> blank_tail_;  // the memory of the next tail
  mutable std::atomic<bool> tail_shared_{false};  // another version sees the tail
  std::shared_ptr<MappedFile> file_;              // that the first segments lie in, or null
  std::vector<std::uint64_t> live_;
  std::vector<std::uint32_t> list_begins_;
  std::int64_t row_count_ = 0;  // the places between the rows in lists and the others too, as dead
  std::int64_t dead_count_ = 0;
  std::int64_t removed_count_ = 0;  // of the dead, those that were rows
  std::optional<std::uint64_t> last_id_;
};

}  // namespace nestor::index
