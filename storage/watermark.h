// The file WATERMARK: the sequence of the last acknowledged batch, kept apart from RocksDB, whose
// log recovery takes a damaged record for the end of the log. A store that comes up with less has
// lost what somebody was told is safe. Threads: one writer; read_watermark is safe anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nestor/status.h"

namespace nestor::storage {

inline constexpr const char* kWatermarkName = "WATERMARK";

// Whether the bytes of a file are a watermark, sound or not.
bool is_watermark(std::string_view bytes);
// The highest sequence of the valid slots. Errors: kDataLoss (missing, cut, no valid slot, of
// another database), kIoError.
Result<std::uint64_t> read_watermark(const std::string& folder, std::uint64_t database_id);
// A new file with sequence 0. Errors: kIoError, kNoSpace.
Status create_watermark(const std::string& folder, std::uint64_t database_id);

class WatermarkWriter {
 public:
  // Errors: kIoError.
  static Result<WatermarkWriter> open(const std::string& folder, std::uint64_t database_id);
  WatermarkWriter(WatermarkWriter&& other) noexcept;
  WatermarkWriter& operator=(WatermarkWriter&&) = delete;
  ~WatermarkWriter();
  // The bytes that say `sequence`, for advance.
  [[nodiscard]] std::string slot_of(std::uint64_t sequence) const;
  // On disk when it returns ok. Two slots take turns, so that a torn write leaves the one before.
  // Allocates nothing where it succeeds. Errors: kIoError, kNoSpace. Cost: one fdatasync.
  Status advance(std::uint64_t sequence, const std::string& slot);
  Status advance(std::uint64_t sequence) { return advance(sequence, slot_of(sequence)); }

 private:
  WatermarkWriter(int descriptor, std::string path, std::uint64_t database_id);
  int descriptor_;
  std::string path_;
  std::uint64_t database_id_;
};

}  // namespace nestor::storage
