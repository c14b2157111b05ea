// LadderIndex as a file and back. STORED: storage/FORMAT.md, section "Ladder files".
#include <fmt/format.h>

#include <algorithm>
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
// Rounding each component to float moves a squared length by less than 1e-6.
constexpr double kUnitTolerance = 1e-4;

// Where the parts stand, from the payload's first byte on. Those of the codes begin at multiples of
// 64 of the file, so that they can be used where they are mapped.
struct Sections {
  std::uint64_t quantizer = kHeadBytes;
  std::uint64_t ids = 0;
  std::uint64_t blocks = 0;  // untrained: the rows
  std::uint64_t rest = 0;
  std::uint64_t end = 0;
};

Sections sections_of(const LadderShape& shape, bool trained, std::uint64_t count,
                     std::uint64_t payload_offset) {
  const auto aligned = [&](std::uint64_t at) {
    return (payload_offset + at + kAlignment - 1) / kAlignment * kAlignment - payload_offset;
  };
  const LadderLayout layout = shape.layout();
  const std::uint64_t row_floats = static_cast<std::uint64_t>(shape.width) * 4;
  const std::uint64_t padded = (count + kBlockRows - 1) / kBlockRows * kBlockRows;
  Sections at;
  at.ids = aligned(at.quantizer +
                   (trained ? CodeQuantizer::serialized_bytes(shape.code()) : std::uint64_t{0}));
  at.blocks = aligned(at.ids + count * 8);
  if (!trained) {
    at.rest = at.end = at.blocks + count * row_floats;
    return at;
  }
  at.rest = aligned(at.blocks + padded * static_cast<std::uint64_t>(layout.scan_words) * 4);
  at.end = at.rest + count * static_cast<std::uint64_t>(layout.rest_words) * 4;
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

struct FileHead {
  LadderShape shape;
  bool trained = false;
  std::uint64_t count = 0;
  std::uint64_t trained_count = 0;
};

Result<FileHead> read_head(const std::string& path, std::string_view payload) {
  ByteReader reader(payload);
  std::string_view magic;
  std::uint32_t width = 0;
  std::uint32_t bits = 0;
  std::uint32_t scan_width = 0;
  std::uint32_t trained = 0;
  FileHead head;
  if (!reader.raw(kMagic.size(), magic) || magic != kMagic) {
    return damaged(path, fmt::format("what it holds does not begin with {}", kMagic));
  }
  reader.u32(width);
  reader.u32(bits);
  reader.u32(scan_width);
  reader.u32(trained);
  reader.u64(head.count);
  reader.u64(head.trained_count);
  const bool in_range = reader.ok() && width <= kMostCodeWidth && bits <= 8 &&
                        scan_width <= width && trained <= 1 && head.count < kMostFileRows &&
                        head.trained_count < kMostFileRows;
  head.shape = {.width = in_range ? static_cast<int>(width) : 0,
                .bits = in_range ? static_cast<int>(bits) : 0,
                .scan_width = in_range ? static_cast<int>(scan_width) : 0};
  head.trained = trained == 1;
  if (!in_range || !head.shape.valid()) {
    return damaged(path, fmt::format("{} rows of {} components of {} bits, {} of them scanned",
                                     head.count, width, bits, scan_width));
  }
  return head;
}

}  // namespace

// Reaches into LadderIndex for both directions.
class LadderFile {
 public:
  static Status write(const LadderIndex& index, const std::string& path,
                      const IndexIdentity& identity);
  static Result<LadderIndex::Opened> open(const std::string& path);

 private:
  static Status write_rows(const LadderIndex& index, const IndexFileWriter& file,
                           const Sections& at);
  static Status read_raw(const std::string& path, std::string_view payload, const Sections& at,
                         std::span<const std::uint64_t> ids, LadderIndex& index);
  static Status read_codes(const Sections& at, std::int64_t count, MappedIndexFile mapped,
                           LadderIndex& index);
};

Status LadderFile::write_rows(const LadderIndex& index, const IndexFileWriter& file,
                              const Sections& at) {
  const LadderLayout layout = index.codes_.layout();
  const std::size_t scan_words = static_cast<std::size_t>(layout.scan_words);
  const std::size_t width = static_cast<std::size_t>(index.shape_.width);
  std::vector<std::uint64_t> ids;
  std::vector<std::uint32_t> blocks;
  std::vector<std::uint32_t> rest;
  std::vector<float> raw;
  std::vector<std::uint32_t> row(scan_words + static_cast<std::size_t>(layout.rest_words));
  std::uint64_t written = 0;
  const auto flush = [&]() -> Status {
    NESTOR_RETURN_IF_ERROR(file.write(at.ids + written * 8, bytes_of(ids)));
    if (index.trained()) {
      NESTOR_RETURN_IF_ERROR(file.write(at.blocks + written * scan_words * 4, bytes_of(blocks)));
      NESTOR_RETURN_IF_ERROR(file.write(
          at.rest + written * static_cast<std::uint64_t>(layout.rest_words) * 4, bytes_of(rest)));
    } else {
      NESTOR_RETURN_IF_ERROR(file.write(at.blocks + written * width * 4, bytes_of(raw)));
    }
    written += ids.size();
    ids.clear();
    blocks.clear();
    rest.clear();
    raw.clear();
    return {};
  };
  for (std::int64_t position = 0; position < index.codes_.row_count(); ++position) {
    const std::uint64_t id = index.codes_.id_at(position);
    if (index.codes_.find(id) < 0) continue;
    const std::size_t lane = ids.size() % kBlockRows;
    ids.push_back(id);
    if (index.trained()) {
      index.codes_.row(position, row.data());
      if (lane == 0) blocks.resize(blocks.size() + scan_words * kBlockRows);
      std::uint32_t* block = blocks.data() + blocks.size() - scan_words * kBlockRows;
      for (std::size_t word = 0; word < scan_words; ++word) {
        block[word * kBlockRows + lane] = row[word];
      }
      rest.insert(rest.end(), row.begin() + layout.scan_words, row.end());
    } else {
      const auto from = index.raw_.begin() + position * index.shape_.width;
      raw.insert(raw.end(), from, from + index.shape_.width);
    }
    if (static_cast<std::int64_t>(ids.size()) == kPieceRows) NESTOR_RETURN_IF_ERROR(flush());
  }
  return flush();
}

Status LadderFile::write(const LadderIndex& index, const std::string& path,
                         const IndexIdentity& identity) {
  const std::uint64_t count = static_cast<std::uint64_t>(index.live_count());
  const std::uint64_t offset = index_payload_offset(identity);
  const Sections at = sections_of(index.shape_, index.trained(), count, offset);
  NESTOR_ASSIGN_OR_RETURN(IndexFileWriter file, IndexFileWriter::create(path, identity, at.end));
  ByteWriter head;
  head.raw(kMagic);
  head.u32(static_cast<std::uint32_t>(index.shape_.width));
  head.u32(static_cast<std::uint32_t>(index.shape_.bits));
  head.u32(static_cast<std::uint32_t>(index.shape_.scan_width));
  head.u32(index.trained() ? 1 : 0);
  head.u64(count);
  head.u64(static_cast<std::uint64_t>(index.trained_count_));
  if (index.trained()) head.raw(index.quantizer_->serialize());
  NESTOR_RETURN_IF_ERROR(file.write(0, head.bytes()));
  NESTOR_RETURN_IF_ERROR(write_rows(index, file, at));
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

Status LadderFile::read_codes(const Sections& at, std::int64_t count, MappedIndexFile mapped,
                              LadderIndex& index) {
  const LadderLayout layout = index.codes_.layout();
  const char* payload = mapped.payload().data();
  LadderSegment all{.blocks = reinterpret_cast<const std::uint32_t*>(payload + at.blocks),
                    .rest = reinterpret_cast<const std::uint32_t*>(payload + at.rest),
                    .ids = reinterpret_cast<const std::uint64_t*>(payload + at.ids),
                    .rows = count / 64 * 64};
  // What does not fill a word of marks is copied, so that the rows to come join on behind it.
  std::vector<std::uint32_t> words;
  std::vector<std::uint64_t> ids(all.ids + all.rows, all.ids + count);
  const std::int64_t row_words = layout.scan_words + layout.rest_words;
  for (std::int64_t position = all.rows; position < count; ++position) {
    const std::uint32_t* block =
        all.blocks + position / kBlockRows * layout.scan_words * kBlockRows + position % kBlockRows;
    for (int word = 0; word < layout.scan_words; ++word) {
      words.push_back(block[word * kBlockRows]);
    }
    const std::uint32_t* rest = all.rest + position * layout.rest_words;
    words.insert(words.end(), rest, rest + layout.rest_words);
  }
  auto file = std::make_unique<MappedFile>(std::move(mapped.file));
  NESTOR_RETURN_IF_ERROR(index.codes_.adopt(all, std::move(file)));
  if (ids.empty()) return {};
  NESTOR_RETURN_IF_ERROR(index.codes_.reserve(static_cast<std::int64_t>(ids.size())));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    index.codes_.append(ids[i], words.data() + static_cast<std::int64_t>(i) * row_words);
  }
  return {};
}

Result<LadderIndex::Opened> LadderFile::open(const std::string& path) {
  NESTOR_ASSIGN_OR_RETURN(MappedIndexFile mapped, map_index_file(path));
  const std::string_view payload = mapped.payload();
  NESTOR_ASSIGN_OR_RETURN(const FileHead head, read_head(path, payload));
  const Sections at = sections_of(head.shape, head.trained, head.count, mapped.payload_offset);
  if (payload.size() != at.end) {
    return damaged(
        path, fmt::format("{} bytes for {} rows, expected {}", payload.size(), head.count, at.end));
  }
  if (!head.trained && head.count >= static_cast<std::uint64_t>(LadderIndex::kTrainRows)) {
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
  if (!head.trained) {
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
  index.quantizer_ = std::move(quantizer).value();
  index.trained_count_ = static_cast<std::int64_t>(head.trained_count);
  NESTOR_RETURN_IF_ERROR(
      read_codes(at, static_cast<std::int64_t>(head.count), std::move(mapped), index));
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

Result<LadderIndex::Opened> LadderIndex::open(const std::string& path) {
  try {
    return LadderFile::open(path);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(StatusCode::kOutOfMemory, path + ": no memory to hold this ladder file");
  }
}

}  // namespace nestor::index
