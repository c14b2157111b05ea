#include "tools/cli/model_pull_staging.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/file.h"
#include "core/hash.h"
#include "core/macros.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

namespace fs = std::filesystem;

Status from_error(const std::error_code& error, const std::string& action,
                  const std::string& path) {
  return errno_status(error.value(), action, path);
}

Status make_parent(const std::string& path) { return make_folders(fs::path(path).parent_path()); }

Status bring(const std::string& from, const std::string& to, TakeMode mode) {
  NESTOR_RETURN_IF_ERROR(make_parent(to));
  std::error_code error;
  fs::remove(to, error);
  if (mode == TakeMode::kMove) {
    fs::rename(from, to, error);
    return error ? from_error(error, "move", from) : Status();
  }
  // A link of a cache's snapshot is a symbolic one; the file behind it is what is wanted.
  const fs::path real = fs::canonical(from, error);
  if (error) return from_error(error, "read", from);
  if (mode == TakeMode::kLink) {
    fs::create_hard_link(real, to, error);
    if (!error) return {};
  }
  fs::copy_file(real, to, fs::copy_options::overwrite_existing, error);
  return error ? from_error(error, "copy to", to) : Status();
}

std::string staged_path(const std::string& folder, const char* file) {
  return folder + "/files/" + file;
}

Status sync_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = file >= 0 && ::fsync(file) == 0;
  const int error = errno;
  if (file >= 0) ::close(file);
  return synced ? Status() : errno_status(error, "sync", path);
}

// Every file inside, then the folders.
Status sync_all(const std::string& folder) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder, error)) {
    NESTOR_RETURN_IF_ERROR(entry.is_directory() ? sync_folder(entry.path())
                                                : sync_file(entry.path()));
  }
  if (error) return from_error(error, "read", folder);
  return sync_folder(folder);
}

}  // namespace

Status check_model_file(const std::string& path, const embed::KnownModelFile& known,
                        Context& context) {
  NESTOR_ASSIGN_OR_RETURN(const RandomAccessFile file, RandomAccessFile::open(path));
  if (file.bytes() != known.bytes) {
    return {StatusCode::kDataLoss, fmt::format("{}: {} bytes where the known {} has {}", path,
                                               file.bytes(), known.path, known.bytes)};
  }
  ProgressLine line(context, fmt::format("checking {}", known.path));
  std::int64_t done = 0;
  const auto on_bytes = [&](std::uint64_t count) {
    done += static_cast<std::int64_t>(count);
    line.update(done, static_cast<std::int64_t>(known.bytes),
                [](double rate) { return bytes_text(rate) + "/s"; });
    return !context.stop.stop_requested();
  };
  NESTOR_ASSIGN_OR_RETURN(const std::string found, sha256_hex_of_file(path, on_bytes));
  if (found == known.sha256) return {};
  return {StatusCode::kDataLoss, fmt::format("{}: SHA-256 {} where the known {} has {}", path,
                                             found, known.path, known.sha256)};
}

PullStaging::PullStaging(std::string target, std::string folder, int lock)
    : target_(std::move(target)), folder_(std::move(folder)), lock_(lock) {}

PullStaging::PullStaging(PullStaging&& other) noexcept
    : target_(std::move(other.target_)),
      folder_(std::move(other.folder_)),
      lock_(std::exchange(other.lock_, -1)),
      missing_(std::move(other.missing_)) {}

PullStaging::~PullStaging() {
  if (lock_ < 0) return;
  // Only what is empty goes: the rest is what the next pull goes on with.
  std::error_code ignored;
  for (const char* name : {"/hub", "/slices", "/pip", "/unpacked", ""}) {
    if (fs::is_empty(folder_ + name, ignored)) fs::remove(folder_ + name, ignored);
  }
  ::close(lock_);
}

Result<PullStaging> PullStaging::open(const std::string& target, ModelFileTable files,
                                      Context& context) {
  const fs::path path = fs::absolute(target).lexically_normal();
  const fs::path clean = path.has_filename() ? path : path.parent_path();
  const std::string folder =
      (clean.parent_path() / ("." + clean.filename().string() + ".partial")).string();
  NESTOR_RETURN_IF_ERROR(make_folders(folder));
  const int lock = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0) return errno_status(errno, "open", folder);
  PullStaging staging(clean.string(), folder, lock);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return Status(
        StatusCode::kLocked,
        folder + ": another `nestor model pull` is at work there; wait for it or stop it");
  }
  NESTOR_RETURN_IF_ERROR(staging.find_missing(files, context));
  return staging;
}

Status PullStaging::find_missing(ModelFileTable files, Context& context) {
  for (const embed::KnownModelFile& known : files) {
    Status found = check_model_file(target_ + "/" + known.path, known, context);
    if (!found.ok() && found.code() != StatusCode::kCancelled) {
      found = check_model_file(staged_path(folder_, known.path), known, context);
    }
    if (found.code() == StatusCode::kCancelled) return found;
    if (!found.ok()) missing_.push_back(&known);
  }
  return {};
}

std::uint64_t PullStaging::missing_bytes() const {
  std::uint64_t bytes = 0;
  for (const embed::KnownModelFile* known : missing_) bytes += known->bytes;
  return bytes;
}

bool PullStaging::has_new_files() const { return fs::exists(folder_ + "/files"); }

Result<std::string> PullStaging::workshop(const std::string& name) const {
  const std::string path = folder_ + "/" + name;
  NESTOR_RETURN_IF_ERROR(make_folders(path));
  return path;
}

Status PullStaging::take(const embed::KnownModelFile& known, const std::string& path, TakeMode mode,
                         Context& context) {
  if (const Status checked = check_model_file(path, known, context); !checked.ok()) {
    std::error_code ignored;
    if (mode == TakeMode::kMove && checked.code() == StatusCode::kDataLoss)
      fs::remove(path, ignored);
    return checked;
  }
  const std::string staged = staged_path(folder_, known.path);
  NESTOR_RETURN_IF_ERROR(bring(path, staged, mode));
  // A copy is read again: what lies here is what was checked.
  if (mode == TakeMode::kCopy) NESTOR_RETURN_IF_ERROR(check_model_file(staged, known, context));
  std::erase(missing_, &known);
  return {};
}

Status PullStaging::take_folder(const std::string& folder, TakeMode mode, Context& context,
                                std::vector<std::string>& complaints) {
  const std::vector<const embed::KnownModelFile*> wanted = missing_;
  for (const embed::KnownModelFile* known : wanted) {
    const std::string path = folder + "/" + known->path;
    const Status taken = take(*known, path, mode, context);
    if (taken.ok()) continue;
    if (taken.code() == StatusCode::kNotFound) {
      complaints.push_back(fmt::format("{}: not there", path));
    } else if (taken.code() == StatusCode::kDataLoss ||
               taken.code() == StatusCode::kInvalidArgument) {
      complaints.push_back(taken.message());
    } else {
      return taken;
    }
  }
  return {};
}

Status PullStaging::check_space(std::uint64_t bytes, const std::string& what_for) const {
  struct statvfs disk {};
  if (::statvfs(folder_.c_str(), &disk) != 0) return {};  // then writing will tell
  const auto free_bytes = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (free_bytes >= bytes) return {};
  return {StatusCode::kNoSpace,
          fmt::format(
              "{}: {} free where {} needs {}; make room or choose another place with --to FOLDER",
              folder_, bytes_text(static_cast<double>(free_bytes)), what_for,
              bytes_text(static_cast<double>(bytes)))};
}

Status PullStaging::finish() {
  const fs::path files = fs::path(folder_) / "files";
  std::error_code error;
  if (has_new_files()) {
    NESTOR_RETURN_IF_ERROR(sync_all(files.string()));
    fs::rename(files, target_, error);
    // A folder with something in it stays, with all that is not the model's; the files go in one by
    // one.
    if (error == std::errc::directory_not_empty || error == std::errc::file_exists) {
      error.clear();
      for (const fs::directory_entry& entry : fs::recursive_directory_iterator(files)) {
        if (entry.is_directory()) continue;
        const fs::path to = target_ / entry.path().lexically_relative(files);
        NESTOR_RETURN_IF_ERROR(make_parent(to));
        fs::rename(entry.path(), to, error);
        if (error) return from_error(error, "move a file to", to);
        NESTOR_RETURN_IF_ERROR(sync_folder(to.parent_path()));
      }
    }
    if (error) return from_error(error, "move the model to", target_);
    NESTOR_RETURN_IF_ERROR(sync_folder(fs::path(target_).parent_path()));
  }
  fs::remove_all(folder_, error);  // a rest that stays costs room, nothing else
  return {};
}

}  // namespace nestor::cli
