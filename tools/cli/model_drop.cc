#include "tools/cli/model_drop.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "embed/fingerprint.h"

namespace nestor::cli {
namespace {

namespace fs = std::filesystem;

bool is_gguf_name(const fs::path& path) { return path.extension() == ".gguf"; }

void take(SourceFiles& files, const std::string& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  if (!error) files.bytes += bytes;
  files.paths.push_back(path);
}

}  // namespace

Result<SourceFiles> find_source_files(const std::string& folder,
                                      const embed::CheckpointIdentity& packed, Context& context) {
  SourceFiles files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string path = at->path().string();
    if (!is_gguf_name(at->path()) || !is_regular_file(path)) continue;
    const Result<std::string> sha256 = embed::cached_sha256_of_file(path);
    if (sha256.ok() && sha256.value() == packed.weights_sha256) take(files, path);
  }
  if (error) return errno_status(error.value(), "read", folder);
  for (const embed::KnownModelFile& known : embed::known_model_files()) {
    if (context.stop.stop_requested()) return Status(StatusCode::kCancelled, "stopped");
    const std::string path = folder + "/" + known.path;
    if (!is_regular_file(path)) continue;
    const Result<std::string> sha256 = embed::cached_sha256_of_file(path);
    // The biggest comes first, and it says whether the others are of the same checkpoint.
    const bool weights = known.path == embed::known_model_files().front().path;
    if (weights && (!sha256.ok() || sha256.value() != packed.weights_sha256)) break;
    if (sha256.ok() && sha256.value() == known.sha256) take(files, path);
  }
  return files;
}

Status remove_source_files(const std::string& folder, const SourceFiles& files) {
  if (fs::is_symlink(folder)) {
    return {StatusCode::kInvalidArgument,
            fmt::format("{} is a symbolic link: what it holds may be somebody else's, so nothing "
                        "was removed",
                        quote_for_message(folder, 512))};
  }
  for (const std::string& path : files.paths) {
    const fs::path parent = fs::path(path).parent_path();
    if (parent != fs::path(folder) && fs::is_symlink(parent)) continue;
    std::error_code error;
    fs::remove(path, error);
    if (error) return errno_status(error.value(), "remove", path);
    if (parent != fs::path(folder) && fs::is_empty(parent, error)) fs::remove(parent, error);
  }
  return sync_folder(folder);
}

}  // namespace nestor::cli
