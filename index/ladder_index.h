// LadderIndex: the codes of one collection and the search over them. A scan of the first words of
// every code gives the best `scan_count` rows, the rest of their codes the best `rank_count`; those
// are for the caller to score exactly. A row costs its code and its id: 104 bytes at the default
// shape of 768 components of 1 bit.
//
// Below kTrainRows rows there are no codes yet: the rows themselves are kept and scored exactly.
// With the first rows beyond it the codes are trained and all rows encoded. Once the collection is
// eight times as large as what it was trained on, `wants_training` says so: the owner then builds a
// new index beside this one, and puts it in its place.
//
// From kListRows rows on a scan of all of them is slow: `wants_lists` says so, and the owner sorts
// them into lists, of which a search looks through the nearest:
//     version()             cheap
//     with_lists(version)   with no lock, in the background
//     catch_up(current)     under the lock that writers take, then the new one takes its place
// Rows added later are scanned whatever their list, until there are enough to want lists again.
//
// Threads: const calls at once; the others alone on their object, beside any use of other versions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "index/coarse_index.h"
#include "index/code_lists.h"
#include "index/code_quantizer.h"
#include "index/index_file.h"
#include "index/ladder_codes.h"
#include "index/list_sorter.h"
#include "index/scan_kernels.h"
#include "index/shared_array.h"
#include "index/vector_source.h"
#include "nestor/status.h"

namespace nestor::index {

// The codes kept of each row. The scan reads the first `scan_width` components.
struct LadderShape {
  int width = 0;       // of the rows
  int bits = 0;        // 1, 2, 4 or 8
  int scan_width = 0;  // at most width; below it, a whole number of 32-bit words
  bool operator==(const LadderShape&) const = default;
  [[nodiscard]] bool valid() const;
  [[nodiscard]] CodeShape code() const { return {.width = width, .bits = bits}; }
  [[nodiscard]] LadderLayout layout() const;
};
// 1 bit, the scan over 256 components; vectors of no Matryoshka model are scanned in full with 2
// bits. Measured: index/CODES.md.
LadderShape default_ladder_shape(int full_width, bool matryoshka);

// What a search spends. 0: the measured default for the number of rows that may be found.
struct LadderPlan {
  std::int64_t scan_count = 0;  // R: rows whose whole code is scored
  std::int64_t rank_count = 0;  // M: candidates handed back, at most scan_count
  // Where there are lists: rows in those looked through; the default was chosen by a check against
  // a scan of all rows. kEveryRow: no list is left out.
  std::int64_t probe_rows = 0;
  static constexpr std::int64_t kEveryRow = -1;
};
// Recall@10 of .99 or more after exact scores of the M candidates. Measured: index/CODES.md.
LadderPlan default_ladder_plan(const LadderShape& shape, std::int64_t row_count, std::int64_t k);

// Which rows may be found: a bit a position. Made by LadderIndex::filter, good until the positions
// move (`generation`); rows added later are not in it.
struct LadderFilter {
  std::uint64_t generation = 0;
  std::vector<std::uint64_t> words;
  std::int64_t count = 0;  // bits set when it was made
};

struct LadderTrace {
  LadderPlan plan;                 // as it was carried out
  std::int64_t rows_scanned = 0;   // that may be found
  std::int64_t lists_scanned = 0;  // 0: all rows, whatever their list
  bool exact = false;  // every row that may be found was scored exactly or is handed back
  double scan_seconds = 0;
  double rank_seconds = 0;
};

class LadderIndex {
 public:
  static constexpr std::int64_t kTrainRows = 1024;
  // Measured: index/CODES.md, section "Lists".
  static constexpr std::int64_t kListRows = 1'500'000;
  // Rows the codes are trained on, at most: the mean of 8,192 is known to a ninetieth of the
  // spread.
  static constexpr std::int64_t kMostTrainRows = 8192;

  // REQUIRES: shape.valid().
  explicit LadderIndex(LadderShape shape);
  // A new index of all live rows of `source`, trained on a sample spread over them, at most
  // `train_rows` of them and held in full precision. May run beside searches of another one. Cost:
  // a pass over the source, and another for the sample. Errors: those of the source, kOutOfMemory.
  static Result<LadderIndex> build(LadderShape shape, const VectorSource& source,
                                   std::int64_t train_rows = kMostTrainRows);

  [[nodiscard]] const LadderShape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t live_count() const;
  [[nodiscard]] std::optional<std::uint64_t> last_id() const;
  // Whether the row is live. Cost: a search by halves.
  [[nodiscard]] bool contains(std::uint64_t id) const { return codes_.find(id) >= 0; }
  [[nodiscard]] bool trained() const { return quantizer_ != nullptr; }
  [[nodiscard]] bool wants_training() const;
  [[nodiscard]] bool has_lists() const { return lists_ != nullptr; }
  // Rows in the lists that a search looks through by default; 0: in all.
  [[nodiscard]] std::int64_t probe_rows() const { return probe_rows_; }
  // At least so many rows, and no lists, or a quarter as many rows outside of them.
  [[nodiscard]] bool wants_lists(std::int64_t least_rows = kListRows) const;
  [[nodiscard]] std::int64_t memory_bytes() const;
  // Of them those in a mapped file, whose pages are the system's to take back.
  [[nodiscard]] std::int64_t mapped_bytes() const { return codes_.mapped_bytes(); }
  // The most of our own that is held while so many rows are added: ladder_memory.cc.
  [[nodiscard]] std::int64_t bytes_with(std::int64_t more) const;
  // The most that `build` holds for `row_count` rows, and with_lists beside its snapshot.
  static std::int64_t build_bytes(const LadderShape& shape, std::int64_t row_count,
                                  std::int64_t train_rows);
  static std::int64_t list_bytes(const LadderShape& shape, std::int64_t row_count);
  // Dead rows are swept out only where that holds no more of our own than so many bytes; otherwise
  // they stay masked until the codes are written to a file. 0: no limit.
  void limit_memory(std::int64_t most_bytes) { most_bytes_ = most_bytes; }
  // Changes whenever positions move: filters made before are refused then. No two indexes of this
  // process but versions of one have the same.
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  // Masks made before are of no use from here on. For rows at other positions than those that
  // another version of this index has there.
  void begin_generation() { generation_ = next_generation(); }

  // `rows` (ids, width). Ids ascend and are above all earlier ones. All or nothing.
  // Errors: kInvalidArgument, kOutOfMemory. Cost: about 2 us a row of 768.
  Status add(std::span<const std::uint64_t> ids, std::span<const float> rows);
  // Unknown ids are passed over. When a quarter is dead the codes move together; if there is no
  // memory for that, the dead stay masked until the next call.
  void remove(std::span<const std::uint64_t> ids);
  // Removes what is not live in `current`: after a `build` beside it, before taking its place.
  void remove_missing(const LadderIndex& current);

  // The rows as they are now, shared and not copied: what is done to either one later does not show
  // in the other. Errors: kOutOfMemory. Cost: copies one bit per row.
  [[nodiscard]] Result<LadderIndex> version() const;
  // A new index of the rows of `from`, sorted into lists, checked against the scan of all rows:
  // the lists looked through hold .95 of what that finds by the codes alone for made-up queries,
  // which is .99 of the exact best for real ones. Where that takes half of all rows, searches go on
  // looking through all. `stopped` (may be empty) is asked now and then.
  // Errors: kFailedPrecondition (untrained or empty), kDataLoss (its mapped file was changed),
  // kCancelled, kOutOfMemory, kInternal.
  // Cost: about 10 us a row, one thread; the memory of another index and 8 bytes a row.
  static Result<LadderIndex> with_lists(const LadderIndex& from, const ListOptions& options,
                                        const std::function<bool()>& stopped = {});
  // Removes what is not live in `current` and adds the codes of its rows above last_id(): after
  // with_lists, before taking its place. Errors: kFailedPrecondition (`current` has other codes: it
  // was trained anew meanwhile; drop this one), kOutOfMemory; this one is of no use then.
  Status catch_up(const LadderIndex& current);

  // The live ones of `ids` (ascending). Errors: kOutOfMemory.
  [[nodiscard]] Result<LadderFilter> filter(std::span<const std::uint64_t> ids) const;

  // The best rank_count rows of the filter (null: of all), best first, equal scores by lower id;
  // `score` is the cosine as the codes have it, exact where trace->exact on untrained rows. `pool`
  // (may be null) shares the scan. The same answer whatever the kernels and the threads.
  // Errors: kInvalidArgument (query too short, not finite), kFailedPrecondition (a filter of an
  // earlier generation), kOutOfMemory.
  Result<std::vector<Candidate>> search(std::span<const float> query, const LadderPlan& plan,
                                        const LadderFilter* filter = nullptr,
                                        ThreadPool* pool = nullptr,
                                        LadderTrace* trace = nullptr) const;
  // Many at once, `queries` (count, width), in one thread: the same answers. They walk over the
  // codes together, 32 at a time; where a search looks through lists, one after the other. `trace`
  // has what they share, and their seconds by the number of them. Memory: 32 times that of a
  // search, each 16 bytes for each of scan_count and 64 KB. Cost: index/CODES.md, section "Many
  // questions".
  Result<std::vector<std::vector<Candidate>>> search_many(std::span<const float> queries,
                                                          const LadderPlan& plan,
                                                          const LadderFilter* filter = nullptr,
                                                          LadderTrace* trace = nullptr) const;
  // How many of `count` queries each call of search_many takes so that all threads are busy.
  static std::size_t queries_a_group(std::size_t count, int thread_count);
  // The same, spread over the pool (may be null): each thread takes some of the queries.
  Result<std::vector<std::vector<Candidate>>> search_batch(std::span<const float> queries,
                                                           const LadderPlan& plan,
                                                           const LadderFilter* filter,
                                                           ThreadPool* pool) const;

  // The live rows' codes as a file (removed rows are left out), and back: mapped, every byte
  // checked, so that opening costs a checksum, on the threads of `pool` where it is given.
  // STORED: storage/FORMAT.md, section "Ladder files". Errors: those of index_file. After any of
  // them of `open`: build anew.
  Status save(const std::string& path, const IndexIdentity& identity) const;
  struct Opened;
  static Result<Opened> open(const std::string& path, ThreadPool* pool = nullptr);

  // For tests: the kernels to use in place of the machine's best.
  void use_kernels(const ScanKernels& kernels) { kernels_ = &kernels; }
  // For tests: the code a live row has. REQUIRES: trained.
  [[nodiscard]] std::optional<std::vector<std::uint32_t>> code_of(std::uint64_t id) const;
  [[nodiscard]] const CodeQuantizer& quantizer() const { return *quantizer_; }

 private:
  friend class LadderFile;
  struct Query;
  Status check_rows(std::span<const std::uint64_t> ids, std::span<const float> rows) const;
  Status add_raw(std::span<const std::uint64_t> ids, std::span<const float> rows);
  Status add_codes(std::span<const std::uint64_t> ids, std::span<const float> rows);
  Status check_query(std::span<const float> query, const LadderFilter* filter) const;
  std::vector<Candidate> search_raw(std::span<const float> query, const LadderPlan& plan,
                                    const LadderFilter* filter) const;
  [[nodiscard]] std::int64_t list_rows(const LadderPlan& plan, std::int64_t may_be_found) const;
  void search_group(std::span<const float> queries, const LadderPlan& plan,
                    std::span<const std::uint64_t> live, std::int64_t live_count,
                    std::span<std::vector<Candidate>> results, LadderTrace& trace) const;
  Status check_lists(const std::function<bool()>& stopped);
  [[nodiscard]] bool may_sweep() const;
  static std::uint64_t next_generation();

  LadderShape shape_;
  const ScanKernels* kernels_;
  // Shared by all versions, as are the lists.
  std::shared_ptr<const CodeQuantizer> quantizer_;
  LadderCodes codes_;       // untrained: ids and marks alone have a meaning
  SharedArray<float> raw_;  // (codes_.row_count(), width) unit rows while untrained
  std::int64_t trained_count_ = 0;
  std::shared_ptr<const CodeLists> lists_;
  std::int64_t probe_rows_ = 0;  // rows in the lists that a search looks through; 0: in all
  std::uint64_t generation_;
  std::int64_t most_bytes_ = 0;  // 0: no limit
};

struct LadderIndex::Opened {
  IndexIdentity identity;
  LadderIndex index;
};

}  // namespace nestor::index
