// LadderIndex as a file and back. STORED: storage/FORMAT.md, section "Ladder files".
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <exception>

#include "core/bytes.h"
#include "core/macros.h"
#include "core/vector_math.h"
#include "index/ladder_index.h"

namespace nestor::index {
namespace {

static_assert(std::endian::native == std::endian::little, "the codes are mapped as they lie");

constexpr std::string_view kMagic = "NSTRLADR";
constexpr std::uint64_t kHeadBytes = 8 + 4 * 4 + 8 + 8;
constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kMostFileRows = std::uint64_t{1} << 32;
constexpr std::int64_t kPieceRows = 4096;
constexpr std::uint64_t kMarkRows = 64;
constexpr std::uint64_t kListHeadBytes = 3 * 8;
// What a file holds. STORED: never renumber.
enum class Content : std::uint32_t { kRows = 0, kCodes = 1, kLists = 2 };
// Rounding each component to float moves a squared length by less than 1e-6.
constexpr double kUnitTolerance = 1e-4;

struct FileHead {
  LadderShape shape;
  Content content = Content::kRows;
  std::uint64_t count = 0;
  std::uint64_t trained_count = 0;
  std::uint64_t listed = 0;  // rows in lists, the first ones by id
  std::uint64_t lists = 0;
  std::uint64_t probe_rows = 0;
  [[nodiscard]] bool trained() const { return content != Content::kRows; }
  // Rows outside of lists lie behind the others, from a whole word of marks on.
  [[nodiscard]] std::uint64_t tail_slot() const {
    return (listed + kMarkRows - 1) / kMarkRows * kMarkRows;
  }
};

// Where the parts stand, from the payload's first byte on. Those of the codes begin at multiples of
// 64 of the file, so that they can be used where they are mapped.
struct Sections {
  std::uint64_t quantizer = kHeadBytes;
  std::uint64_t list_head = 0;
  std::uint64_t ids = 0;
  std::uint64_t blocks = 0;  // untrained: the rows
  std::uint64_t rest = 0;
  std::uint64_t places = 0;
  std::uint64_t ranks = 0;
  std::uint64_t begins = 0;
  std::uint64_t centroids = 0;
  std::uint64_t end = 0;
};

Sections sections_of(const FileHead& head, std::uint64_t payload_offset) {
  const auto aligned = [&](std::uint64_t at) {
    return (payload_offset + at + kAlignment - 1) / kAlignment * kAlignment - payload_offset;
  };
  const LadderLayout layout = head.shape.layout();
  const std::uint64_t row_floats = static_cast<std::uint64_t>(head.shape.width) * 4;
  const std::uint64_t slots = head.tail_slot() + (head.count - head.listed);
  const std::uint64_t padded = (slots + kBlockRows - 1) / kBlockRows * kBlockRows;
  Sections at;
  at.list_head = at.quantizer + (head.trained() ? CodeQuantizer::serialized_bytes(head.shape.code())
                                                : std::uint64_t{0});
  at.ids = aligned(at.list_head + (head.content == Content::kLists ? kListHeadBytes : 0));
  at.blocks = aligned(at.ids + head.count * 8);
  if (!head.trained()) {
    at.rest = at.end = at.blocks + head.count * row_floats;
    return at;
  }
  at.rest = aligned(at.blocks + padded * static_cast<std::uint64_t>(layout.scan_words) * 4);
  at.end = at.rest + slots * static_cast<std::uint64_t>(layout.rest_words) * 4;
  if (head.content != Content::kLists) return at;
  at.places = aligned(at.end);
  at.ranks = aligned(at.places + head.listed * 4);
  at.begins = aligned(at.ranks + head.listed * 4);
  at.centroids = aligned(at.begins + (head.lists + 1) * 4);
  at.end = at.centroids + CodeLists::serialized_bytes(head.shape.scan_width,
                                                      static_cast<std::int64_t>(head.lists));
  return at;
}

std::string_view bytes_of(const auto& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0])};
}

Status damaged(const std::string& path, const std::string& what) {
  return {StatusCode::kDataLoss,
          fmt::format("{}: {}; this ladder file is damaged, it is built anew from the store", path,
                      what)};
}

Result<FileHead> read_head(const std::string& path, std::string_view payload) {
  ByteReader reader(payload);
  std::string_view magic;
  std::uint32_t width = 0;
  std::uint32_t bits = 0;
  std::uint32_t scan_width = 0;
  std::uint32_t content = 0;
  FileHead head;
  if (!reader.raw(kMagic.size(), magic) || magic != kMagic) {
    return damaged(path, fmt::format("what it holds does not begin with {}", kMagic));
  }
  reader.u32(width);
  reader.u32(bits);
  reader.u32(scan_width);
  reader.u32(content);
  reader.u64(head.count);
  reader.u64(head.trained_count);
  const bool in_range = reader.ok() && width <= kMostCodeWidth && bits <= 8 &&
                        scan_width <= width && content <= 2 && head.count < kMostFileRows &&
                        head.trained_count < kMostFileRows;
  head.shape = {.width = in_range ? static_cast<int>(width) : 0,
                .bits = in_range ? static_cast<int>(bits) : 0,
                .scan_width = in_range ? static_cast<int>(scan_width) : 0};
  head.content = static_cast<Content>(content);
  if (!in_range || !head.shape.valid()) {
    return damaged(path, fmt::format("{} rows of {} components of {} bits, {} of them scanned",
                                     head.count, width, bits, scan_width));
  }
  if (head.content != Content::kLists) return head;
  const std::size_t at = kHeadBytes + CodeQuantizer::serialized_bytes(head.shape.code());
  ByteReader lists(payload.substr(std::min(at, payload.size())));
  lists.u64(head.listed);
  lists.u64(head.lists);
  if (!lists.u64(head.probe_rows) || head.listed > head.count || head.listed == 0 ||
      head.lists == 0 || head.lists > head.listed || head.probe_rows > head.listed) {
    return damaged(path, fmt::format("{} of {} rows in {} lists, {} to be looked through",
                                     head.listed, head.count, head.lists, head.probe_rows));
  }
  return head;
}

}  // namespace

// Rows on their way into a file, a piece at a time.
class RowPieces {
 public:
  RowPieces(const IndexFileWriter& file, const Sections& at, LadderLayout layout)
      : file_(file),
        at_(at),
        scan_words_(static_cast<std::size_t>(layout.scan_words)),
        rest_words_(static_cast<std::size_t>(layout.rest_words)) {}

  Status add(const std::uint32_t* row) {
    const std::size_t lane = rows_++ % kBlockRows;
    if (lane == 0) blocks_.resize(blocks_.size() + scan_words_ * kBlockRows);
    std::uint32_t* block = blocks_.data() + blocks_.size() - scan_words_ * kBlockRows;
    for (std::size_t word = 0; word < scan_words_; ++word) {
      block[word * kBlockRows + lane] = row[word];
    }
    rest_.insert(rest_.end(), row + scan_words_, row + scan_words_ + rest_words_);
    return rows_ == kPieceRows ? flush(slot_ + rows_) : Status();
  }

  // What there is; the next row goes to `next_slot`, a multiple of 16.
  Status flush(std::uint64_t next_slot) {
    NESTOR_RETURN_IF_ERROR(
        file_.write(at_.blocks + slot_ * scan_words_ * sizeof(std::uint32_t), bytes_of(blocks_)));
    NESTOR_RETURN_IF_ERROR(
        file_.write(at_.rest + slot_ * rest_words_ * sizeof(std::uint32_t), bytes_of(rest_)));
    blocks_.clear();
    rest_.clear();
    rows_ = 0;
    slot_ = next_slot;
    return {};
  }

 private:
  const IndexFileWriter& file_;
  const Sections& at_;
  std::size_t scan_words_;
  std::size_t rest_words_;
  std::uint64_t slot_ = 0;
  std::size_t rows_ = 0;
  std::vector<std::uint32_t> blocks_;
  std::vector<std::uint32_t> rest_;
};

// Rows in lists without the removed ones: the tables that lead to their new places.
struct CompactLists {
  std::vector<std::uint32_t> places;
  std::vector<std::uint32_t> ranks;
  std::vector<std::uint32_t> begins;
};

CompactLists compact(const LadderCodes& codes) {
  CompactLists made;
  const LadderSegment& from = codes.segments().front();
  const auto is_live = [&](std::int64_t place) {
    return (codes.live()[static_cast<std::size_t>(place / 64)] >> (place % 64) & 1) != 0;
  };
  std::vector<std::uint32_t> new_place(static_cast<std::size_t>(from.rows));
  std::uint32_t next = 0;
  const std::span<const std::uint32_t> begins = codes.list_begins();
  for (std::size_t list = 0; list + 1 < begins.size(); ++list) {
    made.begins.push_back(next);
    for (std::uint32_t place = begins[list]; place < begins[list + 1]; ++place) {
      new_place[place] = next;
      if (is_live(place)) ++next;
    }
  }
  made.begins.push_back(next);
  made.ranks.resize(next);
  for (std::int64_t rank = 0; rank < from.rows; ++rank) {
    const std::uint32_t place = from.places[rank];
    if (!is_live(place)) continue;
    made.ranks[new_place[place]] = static_cast<std::uint32_t>(made.places.size());
    made.places.push_back(new_place[place]);
  }
  return made;
}

// Reaches into LadderIndex for both directions.
class LadderFile {
 public:
  static Status write(const LadderIndex& index, const std::string& path,
                      const IndexIdentity& identity);
  static Result<LadderIndex::Opened> open(const std::string& path, ThreadPool* pool);

 private:
  static Status write_ids(const LadderIndex& index, const IndexFileWriter& file,
                          const Sections& at);
  static Status write_codes(const LadderIndex& index, const IndexFileWriter& file,
                            const Sections& at, const FileHead& head);
  static Status write_raw(const LadderIndex& index, const IndexFileWriter& file,
                          const Sections& at);
  static Status read_raw(const std::string& path, std::string_view payload, const Sections& at,
                         std::span<const std::uint64_t> ids, LadderIndex& index);
  static Status read_lists(const std::string& path, std::string_view payload, const Sections& at,
                           const FileHead& head, LadderIndex& index,
                           std::vector<std::uint32_t>& begins);
  static Status read_codes(const Sections& at, const FileHead& head, MappedIndexFile mapped,
                           std::vector<std::uint32_t> begins, LadderIndex& index);
};

Status LadderFile::write_ids(const LadderIndex& index, const IndexFileWriter& file,
                             const Sections& at) {
  std::vector<std::uint64_t> ids;
  std::uint64_t written = 0;
  Status status;
  const auto flush = [&] {
    if (status.ok()) status = file.write(at.ids + written * 8, bytes_of(ids));
    written += ids.size();
    ids.clear();
  };
  index.codes_.each_live([&](std::int64_t position) {
    ids.push_back(index.codes_.id_at(position));
    if (static_cast<std::int64_t>(ids.size()) == kPieceRows) flush();
  });
  flush();
  return status;
}

Status LadderFile::write_codes(const LadderIndex& index, const IndexFileWriter& file,
                               const Sections& at, const FileHead& head) {
  const LadderCodes& codes = index.codes_;
  std::vector<std::uint32_t> row(static_cast<std::size_t>(index.shape_.code().words()));
  RowPieces pieces(file, at, codes.layout());
  const auto put = [&](const LadderSegment& segment) -> Status {
    for (std::int64_t position = segment.first; position < segment.first + segment.rows;
         ++position) {
      if ((codes.live()[static_cast<std::size_t>(position / 64)] >> (position % 64) & 1) == 0) {
        continue;
      }
      codes.row(position, row.data());
      NESTOR_RETURN_IF_ERROR(pieces.add(row.data()));
    }
    return {};
  };
  for (const LadderSegment& segment : codes.segments()) {
    NESTOR_RETURN_IF_ERROR(put(segment));
    if (segment.places != nullptr) NESTOR_RETURN_IF_ERROR(pieces.flush(head.tail_slot()));
  }
  return pieces.flush(0);
}

Status LadderFile::write_raw(const LadderIndex& index, const IndexFileWriter& file,
                             const Sections& at) {
  std::vector<float> raw;
  index.codes_.each_live([&](std::int64_t position) {
    const auto width = static_cast<std::size_t>(index.shape_.width);
    const auto row = index.raw_.items().subspan(static_cast<std::size_t>(position) * width, width);
    raw.insert(raw.end(), row.begin(), row.end());
  });
  return file.write(at.blocks, bytes_of(raw));
}

Status LadderFile::write(const LadderIndex& index, const std::string& path,
                         const IndexIdentity& identity) {
  FileHead head{.shape = index.shape_,
                .content = index.trained() ? Content::kCodes : Content::kRows,
                .count = static_cast<std::uint64_t>(index.live_count()),
                .trained_count = static_cast<std::uint64_t>(index.trained_count_)};
  CompactLists lists;
  if (index.has_lists() && index.codes_.listed_rows() > 0) lists = compact(index.codes_);
  if (!lists.places.empty()) {
    head.content = Content::kLists;
    head.listed = lists.places.size();
    head.lists = lists.begins.size() - 1;
    head.probe_rows = std::min(static_cast<std::uint64_t>(index.probe_rows_), head.listed);
  }
  const Sections at = sections_of(head, index_payload_offset(identity));
  NESTOR_ASSIGN_OR_RETURN(IndexFileWriter file, IndexFileWriter::create(path, identity, at.end));
  ByteWriter bytes;
  bytes.raw(kMagic);
  bytes.u32(static_cast<std::uint32_t>(head.shape.width));
  bytes.u32(static_cast<std::uint32_t>(head.shape.bits));
  bytes.u32(static_cast<std::uint32_t>(head.shape.scan_width));
  bytes.u32(static_cast<std::uint32_t>(head.content));
  bytes.u64(head.count);
  bytes.u64(head.trained_count);
  if (head.trained()) bytes.raw(index.quantizer_->serialize());
  if (head.content == Content::kLists) {
    bytes.u64(head.listed);
    bytes.u64(head.lists);
    bytes.u64(head.probe_rows);
    NESTOR_RETURN_IF_ERROR(file.write(at.places, bytes_of(lists.places)));
    NESTOR_RETURN_IF_ERROR(file.write(at.ranks, bytes_of(lists.ranks)));
    NESTOR_RETURN_IF_ERROR(file.write(at.begins, bytes_of(lists.begins)));
    NESTOR_RETURN_IF_ERROR(file.write(at.centroids, index.lists_->serialize()));
  }
  NESTOR_RETURN_IF_ERROR(file.write(0, bytes.bytes()));
  NESTOR_RETURN_IF_ERROR(write_ids(index, file, at));
  NESTOR_RETURN_IF_ERROR(head.trained() ? write_codes(index, file, at, head)
                                        : write_raw(index, file, at));
  return file.commit();
}

Status LadderFile::read_raw(const std::string& path, std::string_view payload, const Sections& at,
                            std::span<const std::uint64_t> ids, LadderIndex& index) {
  const std::size_t width = static_cast<std::size_t>(index.shape_.width);
  std::vector<float> rows(ids.size() * width);
  if (!rows.empty()) std::memcpy(rows.data(), payload.data() + at.blocks, rows.size() * 4);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::span<const float> row = std::span(rows).subspan(i * width, width);
    const double square = dot(row, row);
    if (!(square == 0 || std::abs(square - 1) < kUnitTolerance)) {
      return damaged(path, fmt::format("row {} is neither of unit length nor zero", ids[i]));
    }
  }
  return index.add(ids, rows);
}

Status LadderFile::read_lists(const std::string& path, std::string_view payload, const Sections& at,
                              const FileHead& head, LadderIndex& index,
                              std::vector<std::uint32_t>& begins) {
  const auto* const places = reinterpret_cast<const std::uint32_t*>(payload.data() + at.places);
  const auto* const ranks = reinterpret_cast<const std::uint32_t*>(payload.data() + at.ranks);
  // That each table undoes the other is the checksum's to say; a walk through both at random takes
  // as long as half of the checksum.
  std::uint32_t furthest = 0;
  for (std::uint64_t i = 0; i < head.listed; ++i) {
    furthest = std::max({furthest, places[i], ranks[i]});
  }
  if (furthest >= head.listed) {
    return damaged(path,
                   fmt::format("a row in place {} of lists that hold {}", furthest, head.listed));
  }
  begins.resize(head.lists + 1);
  std::memcpy(begins.data(), payload.data() + at.begins, begins.size() * 4);
  if (begins.front() != 0 || begins.back() != head.listed ||
      !std::is_sorted(begins.begin(), begins.end())) {
    return damaged(path, fmt::format("{} lists that do not follow one another", head.lists));
  }
  auto lists = CodeLists::parse(payload.substr(at.centroids), head.shape.scan_width,
                                static_cast<std::int64_t>(head.lists));
  if (!lists.ok()) return lists.status().with_context(path);
  index.lists_ = std::make_shared<const CodeLists>(std::move(lists).value());
  index.probe_rows_ = static_cast<std::int64_t>(head.probe_rows);
  return {};
}

Status LadderFile::read_codes(const Sections& at, const FileHead& head, MappedIndexFile mapped,
                              std::vector<std::uint32_t> begins, LadderIndex& index) {
  const LadderLayout layout = index.codes_.layout();
  const char* payload = mapped.payload().data();
  const auto words_at = [&](std::uint64_t from) {
    return reinterpret_cast<const std::uint32_t*>(payload + from);
  };
  const auto* const ids = reinterpret_cast<const std::uint64_t*>(payload + at.ids);
  const auto listed = static_cast<std::int64_t>(head.listed);
  const auto slot = static_cast<std::int64_t>(head.tail_slot());
  const auto flat = static_cast<std::int64_t>(head.count - head.listed);
  const LadderSegment sorted{.blocks = words_at(at.blocks),
                             .rest = words_at(at.rest),
                             .ids = ids,
                             .places = words_at(at.places),
                             .ranks = words_at(at.ranks),
                             .rows = listed};
  const LadderSegment tail{.blocks = sorted.blocks + slot * layout.scan_words,
                           .rest = sorted.rest + slot * layout.rest_words,
                           .ids = ids + listed,
                           .rows = flat / 64 * 64};
  // What does not fill a word of marks is copied, so that the rows to come join on behind it.
  std::vector<std::uint32_t> words;
  const std::vector<std::uint64_t> left(tail.ids + tail.rows, tail.ids + flat);
  const std::int64_t row_words = layout.scan_words + layout.rest_words;
  for (std::int64_t position = tail.rows; position < flat; ++position) {
    const std::uint32_t* block = tail.blocks +
                                 position / kBlockRows * layout.scan_words * kBlockRows +
                                 position % kBlockRows;
    for (int word = 0; word < layout.scan_words; ++word) {
      words.push_back(block[word * kBlockRows]);
    }
    const std::uint32_t* rest = tail.rest + position * layout.rest_words;
    words.insert(words.end(), rest, rest + layout.rest_words);
  }
  auto file = std::make_unique<MappedFile>(std::move(mapped.file));
  NESTOR_RETURN_IF_ERROR(
      index.codes_.adopt(std::array{sorted, tail}, std::move(begins), std::move(file)));
  if (left.empty()) return {};
  NESTOR_RETURN_IF_ERROR(index.codes_.reserve(static_cast<std::int64_t>(left.size())));
  for (std::size_t i = 0; i < left.size(); ++i) {
    index.codes_.append(left[i], words.data() + static_cast<std::int64_t>(i) * row_words);
  }
  return {};
}

Result<LadderIndex::Opened> LadderFile::open(const std::string& path, ThreadPool* pool) {
  NESTOR_ASSIGN_OR_RETURN(MappedIndexFile mapped, map_index_file(path, pool));
  const std::string_view payload = mapped.payload();
  NESTOR_ASSIGN_OR_RETURN(const FileHead head, read_head(path, payload));
  const Sections at = sections_of(head, mapped.payload_offset);
  if (payload.size() != at.end) {
    return damaged(
        path, fmt::format("{} bytes for {} rows, expected {}", payload.size(), head.count, at.end));
  }
  if (!head.trained() && head.count >= static_cast<std::uint64_t>(LadderIndex::kTrainRows)) {
    return damaged(path, fmt::format("{} rows without codes, the most are {}", head.count,
                                     LadderIndex::kTrainRows - 1));
  }
  const std::span<const std::uint64_t> ids(
      reinterpret_cast<const std::uint64_t*>(payload.data() + at.ids), head.count);
  for (std::size_t i = 1; i < ids.size(); ++i) {
    if (ids[i] <= ids[i - 1]) {
      return damaged(path, fmt::format("row id {} after {}", ids[i], ids[i - 1]));
    }
  }
  LadderIndex::Opened opened{mapped.identity, LadderIndex(head.shape)};
  LadderIndex& index = opened.index;
  if (!head.trained()) {
    NESTOR_RETURN_IF_ERROR(read_raw(path, payload, at, ids, index));
    return opened;
  }
  const std::string_view coded =
      payload.substr(at.quantizer, CodeQuantizer::serialized_bytes(head.shape.code()));
  auto quantizer = CodeQuantizer::parse(coded);
  if (!quantizer.ok()) return quantizer.status().with_context(path);
  if (quantizer.value().shape() != head.shape.code()) {
    return damaged(path, "its codes are of another shape than it says");
  }
  index.quantizer_ = std::make_shared<const CodeQuantizer>(std::move(quantizer).value());
  index.trained_count_ = static_cast<std::int64_t>(head.trained_count);
  std::vector<std::uint32_t> begins;
  if (head.content == Content::kLists) {
    NESTOR_RETURN_IF_ERROR(read_lists(path, payload, at, head, index, begins));
  }
  NESTOR_RETURN_IF_ERROR(read_codes(at, head, std::move(mapped), std::move(begins), index));
  return opened;
}

Status LadderIndex::save(const std::string& path, const IndexIdentity& identity) const {
  if (!codes_.intact()) {
    return {StatusCode::kDataLoss,
            path + ": the mapped file it would be made of was changed by another process"};
  }
  try {
    return LadderFile::write(*this, path, identity);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return {StatusCode::kOutOfMemory, path + ": no memory to write this ladder file"};
  }
}

Result<LadderIndex::Opened> LadderIndex::open(const std::string& path, ThreadPool* pool) {
  try {
    return LadderFile::open(path, pool);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(StatusCode::kOutOfMemory, path + ": no memory to hold this ladder file");
  }
}

}  // namespace nestor::index
