#include "embed/packed_cache.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "core/file.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/macros.h"
#include "embed/checkpoint.h"
#include "embed/pack.h"
#include "embed/packed_model.h"

namespace nestor::embed {
namespace {

constexpr std::size_t kDigits = 16;

// Path, size and time of change of every file the checkpoint may consist of.
std::string state_of(const std::filesystem::path& source) {
  std::string text;
  const auto add = [&](const std::filesystem::path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return;
    text += fmt::format("{} {} {}.{}\n", path.string(), info.st_size, info.st_mtim.tv_sec,
                        info.st_mtim.tv_nsec);
  };
  add(source);
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator at(source, error), end; !error && at != end;
       at.increment(error)) {
    const std::string extension = at->path().extension().string();
    if (extension == ".json" || extension == ".safetensors" || extension == ".model") {
      paths.push_back(at->path());
    }
  }
  std::sort(paths.begin(), paths.end());
  for (const std::filesystem::path& path : paths) add(path);
  return text;
}

void remove_older(const std::string& folder, const std::string& prefix, const std::string& suffix,
                  const std::string& keep) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(suffix) && name != keep) {
      std::error_code ignored;
      std::filesystem::remove(at->path(), ignored);
    }
  }
}

}  // namespace

Result<std::string> cached_packed_model(const std::string& source, Precision precision,
                                        bool allow_unverified, ThreadPool& pool,
                                        const LogCallback& log) {
  if (cache_folder().empty()) {
    return Status(StatusCode::kFailedPrecondition,
                  "no place to keep the packed model: neither XDG_CACHE_HOME nor HOME is set. Set "
                  "one, or pack it yourself with `nestor model pack`.");
  }
  std::error_code error;
  std::filesystem::path real = std::filesystem::canonical(source, error);
  if (error) real = source;
  const std::string folder = cache_folder() + "/models";
  const std::string prefix = sha256_hex(real.string()).substr(0, kDigits) + "-";
  const std::string suffix = fmt::format("-{}{}", precision_name(precision), kPackedSuffix);
  const std::string name = prefix + sha256_hex(state_of(real)).substr(0, kDigits) + suffix;
  std::string path = folder + "/" + name;
  const Result<PackedSummary> have = read_packed_summary(path);
  if (have.ok() && have.value().precision == precision) return path;
  log_to(
      log, LogLevel::kInfo,
      fmt::format("packing {} as {}, once (some 15 seconds)", source, precision_name(precision)));
  NESTOR_RETURN_IF_ERROR(make_folders(folder));
  NESTOR_ASSIGN_OR_RETURN(
      const std::unique_ptr<Checkpoint> checkpoint,
      open_checkpoint(
          {.path = source, .companion_folder = {}, .allow_unverified = allow_unverified}));
  NESTOR_RETURN_IF_ERROR(pack_model(*checkpoint, precision, path, pool));
  remove_older(folder, prefix, suffix, name);
  return path;
}

}  // namespace nestor::embed
