#include "storage/watermark.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/bytes.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/macros.h"

namespace nestor::storage {
namespace {

constexpr std::string_view kMagic = "NESTORWM";
// A page each, so that one torn write cannot reach both.
constexpr std::size_t kSlotBytes = 4096;
constexpr std::size_t kFileBytes = 2 * kSlotBytes;

std::string encode_slot(std::uint64_t sequence, std::uint64_t database_id) {
  ByteWriter out;
  out.raw(kMagic);
  out.u64(sequence);
  out.u64(database_id);
  out.u64(hash64(out.bytes()));
  return out.take();
}

struct Slot {
  std::uint64_t sequence = 0;
  std::uint64_t database_id = 0;
};

std::optional<Slot> parse_slot(std::string_view bytes) {
  ByteReader in(bytes);
  Slot slot;
  std::string_view magic;
  std::uint64_t check = 0;
  in.raw(kMagic.size(), magic);
  in.u64(slot.sequence);
  in.u64(slot.database_id);
  const std::size_t covered = bytes.size() - in.rest().size();
  if (!in.u64(check) || magic != kMagic || check != hash64(bytes.substr(0, covered))) {
    return std::nullopt;
  }
  return slot;
}

Status unusable(const std::string& path, const std::string& what) {
  return {StatusCode::kDataLoss,
          fmt::format("{} {}: whether acknowledged documents are gone cannot be told; restore the "
                      "whole folder from a backup, or index again into a new one",
                      path, what)};
}

}  // namespace

bool is_watermark(std::string_view bytes) {
  return bytes.size() == kFileBytes &&
         (bytes.starts_with(kMagic) || bytes.substr(kSlotBytes).starts_with(kMagic));
}

Result<std::uint64_t> read_watermark(const std::string& folder, std::uint64_t database_id) {
  const std::string path = folder + "/" + kWatermarkName;
  const Result<std::string> bytes = read_file(path, kFileBytes);
  if (bytes.status().code() == StatusCode::kNotFound) return unusable(path, "is missing");
  if (bytes.status().code() == StatusCode::kInvalidArgument) {
    return unusable(path, "is damaged (" + bytes.status().message() + ")");
  }
  if (!bytes.ok()) return bytes.status();
  if (bytes.value().size() != kFileBytes) {
    return unusable(path,
                    fmt::format("has {} bytes, expected {}", bytes.value().size(), kFileBytes));
  }
  std::optional<std::uint64_t> highest;
  for (const std::size_t offset : {std::size_t{0}, kSlotBytes}) {
    const std::optional<Slot> slot =
        parse_slot(std::string_view(bytes.value()).substr(offset, kSlotBytes));
    if (!slot) continue;
    if (slot->database_id != database_id) {
      return unusable(path, fmt::format("belongs to database {:016x}, the folder to {:016x}",
                                        slot->database_id, database_id));
    }
    highest = std::max(highest.value_or(0), slot->sequence);
  }
  if (!highest) return unusable(path, "is damaged in both slots");
  return *highest;
}

Status create_watermark(const std::string& folder, std::uint64_t database_id) {
  std::string bytes = encode_slot(0, database_id);
  bytes.resize(kFileBytes);
  return write_file_atomic(folder + "/" + kWatermarkName, bytes);
}

WatermarkWriter::WatermarkWriter(int descriptor, std::string path, std::uint64_t database_id)
    : descriptor_(descriptor), path_(std::move(path)), database_id_(database_id) {}

WatermarkWriter::WatermarkWriter(WatermarkWriter&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      database_id_(other.database_id_) {}

WatermarkWriter::~WatermarkWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<WatermarkWriter> WatermarkWriter::open(const std::string& folder,
                                              std::uint64_t database_id) {
  std::string path = folder + "/" + kWatermarkName;
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return errno_status(errno, "open for writing", path);
  return WatermarkWriter(descriptor, std::move(path), database_id);
}

std::string WatermarkWriter::slot_of(std::uint64_t sequence) const {
  return encode_slot(sequence, database_id_);
}

Status WatermarkWriter::advance(std::uint64_t sequence, const std::string& slot) {
  const auto offset = static_cast<off_t>(sequence % 2 * kSlotBytes);
  ssize_t written = 0;
  do {
    written = ::pwrite(descriptor_, slot.data(), slot.size(), offset);
  } while (written < 0 && errno == EINTR);
  if (written < 0) return errno_status(errno, "write", path_);
  if (static_cast<std::size_t>(written) != slot.size()) {
    return {StatusCode::kIoError,
            fmt::format("cannot write {}: {} of {} bytes were taken", path_, written, slot.size())};
  }
  if (::fdatasync(descriptor_) != 0) return errno_status(errno, "sync", path_);
  return {};
}

}  // namespace nestor::storage
