#include "embed/packed_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/bytes.h"
#include "core/check.h"
#include "core/hash.h"
#include "core/macros.h"
#include "core/text.h"
#include "embed/packed_config.h"
#include "embed/quantize.h"
#include "embed/tiled_weights.h"
#include "embed/weights.h"

namespace nestor::embed {
namespace {

constexpr std::string_view kMagic = "NSTRMODL";
constexpr std::size_t kChecksumBytes = 8;
constexpr std::uint64_t kMostConfigBytes = 1 << 20;

std::string_view view_of(std::span<const char> bytes) { return {bytes.data(), bytes.size()}; }

float bf16_at(const char* bytes) {
  std::uint16_t half = 0;
  std::memcpy(&half, bytes, sizeof half);
  return from_bf16(half);
}

Status damaged(const std::string& path, const std::string& problem) {
  return {StatusCode::kDataLoss,
          fmt::format("{}: {}. The packed model is damaged; remove it and make it again with "
                      "`nestor model pack` or `nestor model pull`.",
                      escape_for_terminal(path, false), problem)};
}

}  // namespace

TableRowLayout table_row_layout(std::int64_t hidden_size, Precision precision) {
  constexpr std::int64_t kUnit = 16;
  TableRowLayout layout;
  const std::int64_t groups = (hidden_size + kTableGroup - 1) / kTableGroup;
  layout.scales = 8;
  layout.values = layout.scales + (precision == Precision::kInt8 ? groups * 2 : 0);
  const std::int64_t width = precision == Precision::kInt8   ? 1
                             : precision == Precision::kBf16 ? 2
                                                             : 4;
  layout.bytes = (layout.values + hidden_size * width + kUnit - 1) / kUnit * kUnit;
  return layout;
}

// magic, u32 version, u32 precision, then offset, bytes and checksum of each section (u64), zeros,
// and in the last 8 bytes of the page the XXH3-64 of all before.
std::string encode_packed_header(const PackedHeader& header) {
  ByteWriter writer;
  writer.raw(kMagic);
  writer.u32(kPackedVersion);
  writer.u32(static_cast<std::uint32_t>(header.precision));
  for (const PackedHeader::Section& section : header.sections) {
    writer.u64(section.offset);
    writer.u64(section.bytes);
    writer.u64(section.checksum);
  }
  std::string page = writer.take();
  page.resize(kPackedPage - kChecksumBytes, '\0');
  ByteWriter checksum;
  checksum.u64(hash64(page));
  return page + checksum.take();
}

Result<PackedHeader> decode_packed_header(std::string_view page, std::uint64_t file_bytes,
                                          const std::string& path) {
  if (page.size() < kPackedPage || !page.starts_with(kMagic)) {
    return damaged(path,
                   fmt::format("its {} bytes do not begin as a packed model does", file_bytes));
  }
  ByteReader reader(page.substr(kMagic.size(), kPackedPage - kMagic.size()));
  std::uint32_t version = 0;
  std::uint32_t precision = 0;
  reader.u32(version);
  reader.u32(precision);
  if (version != kPackedVersion) {
    return Status(
        StatusCode::kUnsupported,
        fmt::format("{} is a packed model of version {}, this program reads version {}. Make "
                    "it again with `nestor model pack`.",
                    escape_for_terminal(path, false), version, kPackedVersion));
  }
  std::uint64_t checksum = 0;
  ByteReader(page.substr(kPackedPage - kChecksumBytes, kChecksumBytes)).u64(checksum);
  if (checksum != hash64(page.substr(0, kPackedPage - kChecksumBytes)) ||
      precision > static_cast<std::uint32_t>(Precision::kInt8)) {
    return damaged(path, "its header does not match its checksum");
  }
  PackedHeader header;
  header.precision = static_cast<Precision>(precision);
  for (PackedHeader::Section& section : header.sections) {
    reader.u64(section.offset);
    reader.u64(section.bytes);
    reader.u64(section.checksum);
    if (section.offset % kPackedPage != 0 || section.offset > file_bytes ||
        section.bytes > file_bytes - section.offset) {
      return damaged(path,
                     fmt::format("a section of {} bytes at {} does not fit its {} bytes: it was "
                                 "cut",
                                 section.bytes, section.offset, file_bytes));
    }
  }
  return header;
}

std::uint64_t packed_checksum(std::string_view bytes, ThreadPool& pool) {
  const std::size_t count = (bytes.size() + kPackedPiece - 1) / kPackedPiece;
  std::vector<std::uint64_t> pieces(count);
  pool.for_each(static_cast<std::int64_t>(count), [&](std::int64_t index, int) {
    const auto at = static_cast<std::size_t>(index);
    pieces[at] = hash64(bytes.substr(at * kPackedPiece, kPackedPiece));
  });
  ByteWriter writer;
  for (const std::uint64_t piece : pieces) writer.u64(piece);
  return hash64(writer.bytes());
}

std::span<const char> PackedModel::section(PackedSection section) const {
  const PackedHeader::Section& at = header_.sections[static_cast<std::size_t>(section)];
  return file_.bytes().subspan(at.offset, at.bytes);
}

Status PackedModel::check_sections(ThreadPool& pool) const {
  for (int i = 0; i < kPackedSectionCount; ++i) {
    const auto which = static_cast<PackedSection>(i);
    if (which == PackedSection::kTable) continue;
    const PackedHeader::Section& at = header_.sections[static_cast<std::size_t>(i)];
    if (packed_checksum(view_of(section(which)), pool) != at.checksum) {
      return damaged(path(), fmt::format("section {} does not match its checksum", i));
    }
  }
  return {};
}

// Sizes follow from the configuration.
Status PackedModel::check_sizes() const {
  const auto expect = [&](PackedSection which, std::int64_t bytes) -> Status {
    if (static_cast<std::int64_t>(section(which).size()) == bytes) return {};
    return damaged(path(), fmt::format("section {} has {} bytes, its configuration calls for {}",
                                       static_cast<int>(which), section(which).size(), bytes));
  };
  const auto floats = static_cast<std::int64_t>(sizeof(float));
  NESTOR_RETURN_IF_ERROR(
      expect(PackedSection::kRotary, config_.context_tokens * config_.head_width * 2 * floats));
  NESTOR_RETURN_IF_ERROR(
      expect(PackedSection::kHead, config_.hidden_size * config_.output_width() * floats));
  NESTOR_RETURN_IF_ERROR(
      expect(PackedSection::kTable,
             config_.vocabulary_size * table_row_layout(config_.hidden_size, precision()).bytes));
  if (precision() == Precision::kF32) {
    return expect(PackedSection::kLayers, Weights::packed_bytes(config_));
  }
  const Result<TiledLayout> layout = tiled_layout(config_, precision());
  if (!layout.ok()) return damaged(path(), layout.status().message());
  return expect(PackedSection::kLayers, layout.value().bytes);
}

Result<PackedModel> PackedModel::open(const std::string& path, ThreadPool& pool) {
  NESTOR_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  PackedModel model(std::move(file));
  const std::string_view bytes = view_of(model.file_.bytes());
  NESTOR_ASSIGN_OR_RETURN(model.header_, decode_packed_header(bytes, bytes.size(), path));
  NESTOR_RETURN_IF_ERROR(model.check_sections(pool));
  Result<PackedConfig> config =
      decode_packed_config(view_of(model.section(PackedSection::kConfig)));
  if (!config.ok()) return damaged(path, config.status().message());
  model.config_ = std::move(config.value().model);
  model.identity_ = std::move(config.value().identity);
  NESTOR_RETURN_IF_ERROR(model.check_sizes());
  return model;
}

Status PackedModel::check_unchanged() const {
  if (file_.unchanged()) return {};
  return {StatusCode::kDataLoss,
          fmt::format("{} was changed while it was in use; close and open again",
                      escape_for_terminal(path(), false))};
}

Status PackedModel::read_embedding(std::int32_t id, std::span<float> row) const {
  NESTOR_CHECK(id >= 0 && id < config_.vocabulary_size, "a token id of the vocabulary");
  const TableRowLayout layout = table_row_layout(config_.hidden_size, precision());
  const std::uint64_t offset =
      header_.sections[static_cast<std::size_t>(PackedSection::kTable)].offset +
      static_cast<std::uint64_t>(id * layout.bytes);
  thread_local std::string bytes;
  bytes.resize(static_cast<std::size_t>(layout.bytes));
  // Not through the mapping: the rows that were touched would stay in memory.
  NESTOR_RETURN_IF_ERROR(file_.read(offset, bytes));
  std::uint64_t checksum = 0;
  std::memcpy(&checksum, bytes.data(), sizeof checksum);
  if (checksum != hash64(std::string_view(bytes).substr(sizeof checksum))) {
    return damaged(path(),
                   fmt::format("the embedding of token {} does not match its checksum", id));
  }
  const char* values = bytes.data() + layout.values;
  if (precision() == Precision::kInt8) {
    constexpr auto kGroup = static_cast<std::size_t>(kTableGroup);
    const char* scales = bytes.data() + layout.scales;
    for (std::size_t at = 0; at < row.size(); at += kGroup, scales += sizeof(std::uint16_t)) {
      const float scale = bf16_at(scales);
      const std::size_t end = std::min(at + kGroup, row.size());
      for (std::size_t i = at; i < end; ++i) {
        row[i] = static_cast<float>(static_cast<signed char>(values[i])) * scale;
      }
    }
  } else if (precision() == Precision::kBf16) {
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = bf16_at(values + 2 * i);
  } else {
    std::memcpy(row.data(), values, row.size_bytes());
  }
  return {};
}

Result<PackedSummary> read_packed_summary(const std::string& path) {
  NESTOR_ASSIGN_OR_RETURN(const RandomAccessFile file, RandomAccessFile::open(path));
  std::string page(std::min<std::uint64_t>(kPackedPage, file.bytes()), '\0');
  NESTOR_RETURN_IF_ERROR(file.read(0, page));
  NESTOR_ASSIGN_OR_RETURN(const PackedHeader header,
                          decode_packed_header(page, file.bytes(), path));
  const PackedHeader::Section& at =
      header.sections[static_cast<std::size_t>(PackedSection::kConfig)];
  if (at.bytes > kMostConfigBytes) return damaged(path, "its configuration is too long");
  std::string json(at.bytes, '\0');
  NESTOR_RETURN_IF_ERROR(file.read(at.offset, json));
  Result<PackedConfig> config = decode_packed_config(json);
  if (!config.ok()) return damaged(path, config.status().message());
  return PackedSummary{.precision = header.precision,
                       .config = std::move(config.value().model),
                       .identity = std::move(config.value().identity),
                       .bytes = file.bytes()};
}

}  // namespace nestor::embed
