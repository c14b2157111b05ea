// One writer a folder: a lock the kernel owns, so that no crash leaves a stale one behind.
// Threads: safe anywhere; a FolderLock belongs to its holder.
#pragma once

#include <string>

#include "nestor/status.h"

namespace nestor::storage {

inline constexpr const char* kLockName = "LOCK";

class FolderLock {
 public:
  // Makes `folder`/LOCK if need be. Errors: kLocked (names the pid of the holder, this process
  // included), kIoError (among others: a file system without locks).
  static Result<FolderLock> take(const std::string& folder);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  // Lets go. In a forked child the parent's lock stays.
  ~FolderLock();

 private:
  FolderLock(int descriptor, std::string folder_identity);
  int descriptor_;
  std::string folder_identity_;
};

}  // namespace nestor::storage
