// PullStaging: the folder beside the target in which a model comes together. It outlives an
// interrupted pull, so the next one goes on where that one stopped; a lock keeps two pulls out of
// each other's way. A file gets in only with the SHA-256 of the table, and the target sees nothing
// before all are there. Threads: one.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "embed/fingerprint.h"
#include "nestor/status.h"
#include "tools/cli/context.h"

namespace nestor::cli {

using ModelFileTable = std::span<const embed::KnownModelFile>;

enum class TakeMode {
  kMove,
  kLink,
  kCopy
};  // kLink copies where the file system has no hard links

// Whether the file at `path` is `known`; size first, then SHA-256. Errors: kNotFound, kDataLoss
// (what was found and what was expected), kCancelled, kIoError.
Status check_model_file(const std::string& path, const embed::KnownModelFile& known,
                        Context& context);

class PullStaging {
 public:
  // Errors: kLocked, kIoError.
  static Result<PullStaging> open(const std::string& target, ModelFileTable files,
                                  Context& context);
  PullStaging(PullStaging&& other) noexcept;
  PullStaging& operator=(PullStaging&&) = delete;
  PullStaging(const PullStaging&) = delete;
  PullStaging& operator=(const PullStaging&) = delete;
  ~PullStaging();

  // Files of the table that are good neither in the target nor here.
  [[nodiscard]] const std::vector<const embed::KnownModelFile*>& missing() const {
    return missing_;
  }
  [[nodiscard]] std::uint64_t missing_bytes() const;
  // Whether files were taken in, now or by an earlier pull, that are not in the target yet.
  [[nodiscard]] bool has_new_files() const;
  // A subfolder for a source's own unfinished work, made when asked for.
  Result<std::string> workshop(const std::string& name) const;

  // Checks the file at `path` and takes it in; `missing()` is shorter by it afterwards. A moved
  // file that fails the check is removed. Errors: those of check_model_file.
  Status take(const embed::KnownModelFile& known, const std::string& path, TakeMode mode,
              Context& context);
  // Takes what fits of a folder in the model's layout; what does not is said in `complaints`.
  // Errors: kCancelled, kIoError, kNoSpace.
  Status take_folder(const std::string& folder, TakeMode mode, Context& context,
                     std::vector<std::string>& complaints);

  // kNoSpace with both numbers where less than `bytes` is free.
  [[nodiscard]] Status check_space(std::uint64_t bytes, const std::string& what_for) const;

  // REQUIRES: missing() is empty. Puts the files into the target, in one step where it does not
  // exist yet, and removes this folder.
  Status finish();

 private:
  PullStaging(std::string target, std::string folder, int lock);
  Status find_missing(ModelFileTable files, Context& context);

  std::string target_;
  std::string folder_;
  int lock_ = -1;
  std::vector<const embed::KnownModelFile*> missing_;
};

}  // namespace nestor::cli
