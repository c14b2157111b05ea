// A set of row ids of one collection: what a filter leaves over. Dense as a bitmap, sparse as a
// sorted list, whichever is smaller, so that both a scan with a test and a visit of few rows are
// cheap.
// Threads: a RowSet never changes; a builder belongs to one thread.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace nestor {

// All ids the set may hold: begin <= id < end. begin is a multiple of 64.
struct RowRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  // The range of these ids with its begin rounded down.
  static RowRange of(std::uint64_t first, std::uint64_t end) { return {first & ~63ULL, end}; }
  [[nodiscard]] std::size_t word_count() const {
    return end <= begin ? 0 : static_cast<std::size_t>((end - begin + 63) / 64);
  }
  bool operator==(const RowRange&) const = default;
};

// Consecutive ids.
struct RowRun {
  std::uint64_t first = 0;
  std::int64_t count = 0;
};

class RowSet {
 public:
  RowSet() = default;

  [[nodiscard]] const RowRange& range() const { return range_; }
  [[nodiscard]] std::int64_t count() const { return count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] bool contains(std::uint64_t id) const;
  // Which form it has: ids() where sparse, words() where not; the other one is empty.
  [[nodiscard]] bool is_sparse() const { return sparse_; }
  // Ascending.
  [[nodiscard]] std::span<const std::uint64_t> ids() const { return ids_; }
  // Bit i of word w stands for the id range().begin + 64 w + i.
  [[nodiscard]] std::span<const std::uint64_t> words() const { return words_; }
  // Ascending, whatever the form. Cost: 8 bytes an id.
  [[nodiscard]] std::vector<std::uint64_t> to_ids() const;
  // The bitmap, whatever the form.
  [[nodiscard]] std::vector<std::uint64_t> to_words() const;
  [[nodiscard]] std::size_t memory_bytes() const;
  bool operator==(const RowSet&) const = default;

 private:
  friend class RowSetBuilder;
  friend RowSet intersection(const RowSet& a, const RowSet& b);
  friend RowSet set_union(const RowSet& a, const RowSet& b);
  friend RowSet difference(const RowSet& a, const RowSet& b);
  friend RowSet changed(const RowSet& set, std::uint64_t end,
                        std::span<const std::uint64_t> removed, std::span<const RowRun> added);
  static RowSet of_words(RowRange range, std::vector<std::uint64_t> words);
  static RowSet of_ids(RowRange range, std::vector<std::uint64_t> ids);

  RowRange range_;
  std::int64_t count_ = 0;
  bool sparse_ = true;
  std::vector<std::uint64_t> ids_;
  std::vector<std::uint64_t> words_;
};

// REQUIRES of all three: both sets have one range.
// Cost: a pass over the bitmaps, some 30 us for 5 million rows; over the ids where one is sparse.
RowSet intersection(const RowSet& a, const RowSet& b);
RowSet set_union(const RowSet& a, const RowSet& b);
RowSet difference(const RowSet& a, const RowSet& b);  // in a, not in b

// The set over a range that goes on to `end`, without `removed`, with `added`.
// REQUIRES: end at least that of the range; `added` in the new range. Cost: a pass over the bitmap.
RowSet changed(const RowSet& set, std::uint64_t end, std::span<const std::uint64_t> removed,
               std::span<const RowRun> added);

// Ids in any order, any of them twice.
class RowSetBuilder {
 public:
  explicit RowSetBuilder(RowRange range) : range_(range) {}
  // Ids outside the range are passed over.
  void add(std::uint64_t first, std::int64_t count);
  RowSet finish();

 private:
  void make_dense();
  void set_run(std::uint64_t first, std::uint64_t end);

  RowRange range_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> runs_;  // while they are few
  std::vector<std::uint64_t> words_;
};

}  // namespace nestor
