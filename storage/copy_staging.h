// A folder in the making: everything goes into a folder with a temporary name beside the wanted
// one, and gets its name at the end, whole and synced, or is removed.
// Threads: one.
#pragma once

#include <string>

#include "core/file.h"
#include "nestor/status.h"

namespace nestor::storage {

class CopyStaging {
 public:
  // Makes TO.tmp-PID. Errors: kAlreadyExists (`to` is there and no empty folder), kIoError,
  // kNoSpace.
  static Result<CopyStaging> begin(const std::string& to);
  CopyStaging(CopyStaging&& other) noexcept;
  CopyStaging& operator=(CopyStaging&&) = delete;
  // Removes the folder, unless it got its name.
  ~CopyStaging();

  [[nodiscard]] const std::string& folder() const { return folder_; }
  // Empties it, for another try. Errors: kIoError.
  Status restart() const;
  // Syncs the folder, renames it, syncs its parent. Errors: as begin.
  Status commit();

 private:
  CopyStaging(std::string to, std::string folder);
  std::string to_;
  std::string folder_;  // empty once it has its name
};

// All bytes of `source` into a new file, synced. Errors: kIoError, kNoSpace, kDataLoss (the source
// was cut meanwhile).
Status copy_file(const RandomAccessFile& source, const std::string& to);

// kNoSpace with both numbers where less than `bytes` and the reserve are free at `folder`.
Status check_room_for(const std::string& folder, std::int64_t bytes);

}  // namespace nestor::storage
