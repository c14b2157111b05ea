#include "tools/cli/packing.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <system_error>

#include "core/cpu_features.h"
#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "core/thread_pool.h"
#include "embed/checkpoint.h"
#include "embed/model_folder.h"
#include "embed/pack.h"
#include "tools/cli/output.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

namespace fs = std::filesystem;

bool is_hugging_face_cache(const std::string& folder) {
  const std::string cache = embed::hugging_face_model_folder();
  std::error_code error;
  return !cache.empty() && fs::equivalent(folder, cache, error);
}

Result<std::string> usual_place(const PackRequest& request,
                                const embed::CheckpointIdentity& identity) {
  if (is_folder(request.source) && !is_hugging_face_cache(request.source)) {
    return embed::packed_path(request.source, request.precision);
  }
  const std::string own = embed::default_model_folder();
  if (identity.name != kKnownModelName) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("{} is {} and not EmbeddingGemma-300M itself: in Nestor's own model folder it "
                    "would be used for everything. Say where it goes with --output FILE, and use "
                    "it with --model FILE.",
                    request.source, identity.name));
  }
  if (own.empty()) {
    return Status(StatusCode::kInvalidArgument,
                  "no place for the packed model: neither XDG_DATA_HOME nor HOME is set; name one "
                  "with --output FILE");
  }
  NESTOR_RETURN_IF_ERROR(make_folders(own));
  return embed::packed_path(own, request.precision);
}

// A file that is there is replaced only if it is a packed model: never a checkpoint by a slip.
Status check_replaced(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error) || path.ends_with(embed::kPackedSuffix)) return {};
  if (embed::read_packed_summary(path).ok()) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("{} is there and is no packed model; it is not replaced. Choose another name "
                      "(such as …{}), or remove it first.",
                      quote_for_message(path, 512), embed::kPackedSuffix)};
}

Result<std::string> output_of(const PackRequest& request,
                              const embed::CheckpointIdentity& identity) {
  std::string path = request.output;
  if (path.empty()) {
    NESTOR_ASSIGN_OR_RETURN(path, usual_place(request, identity));
  } else if (is_folder(path)) {
    path = embed::packed_path(path, request.precision);
  }
  NESTOR_RETURN_IF_ERROR(check_replaced(path));
  return path;
}

}  // namespace

Result<PackedFile> pack_to_file(const PackRequest& request, Context& context) {
  if (!request.companion.empty() && is_folder(request.source)) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("--from supplies what a GGUF lacks; {} is a folder, which has all of "
                              "its model",
                              quote_for_message(request.source, 512)));
  }
  const auto start = std::chrono::steady_clock::now();
  ProgressLine line(context,
                    fmt::format("packing as {}", embed::precision_name(request.precision)));
  line.update(0, 0, [](double) { return "reading the checkpoint"; });
  NESTOR_ASSIGN_OR_RETURN(
      const std::unique_ptr<embed::Checkpoint> checkpoint,
      embed::open_checkpoint({.path = request.source,
                              .companion_folder = request.companion,
                              .allow_unverified = context.global.allow_unverified_model}));
  NESTOR_ASSIGN_OR_RETURN(std::string path, output_of(request, checkpoint->identity()));
  ThreadPool pool(useful_thread_count(context.global.thread_count));
  const Status packed = embed::pack_model(
      *checkpoint, request.precision, path, pool, [&](std::uint64_t done, std::uint64_t total) {
        line.update(static_cast<std::int64_t>(done), static_cast<std::int64_t>(total),
                    [](double rate) { return bytes_text(rate) + "/s"; });
        return !context.stop.stop_requested();
      });
  if (packed.code() == StatusCode::kCancelled) {
    return Status(StatusCode::kCancelled, "packing was stopped; nothing of it is left");
  }
  NESTOR_RETURN_IF_ERROR(packed);
  NESTOR_ASSIGN_OR_RETURN(embed::PackedSummary summary, embed::read_packed_summary(path));
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  return PackedFile{std::move(path), std::move(summary), passed.count()};
}

std::string packed_line(const PackedFile& packed) {
  return fmt::format("packed {} as {} from {} in {}: {}, {}", packed.summary.identity.name,
                     embed::precision_name(packed.summary.precision),
                     packed.summary.identity.format, seconds_text(packed.seconds),
                     escape_for_terminal(packed.path, false),
                     bytes_text(static_cast<double>(packed.summary.bytes)));
}

}  // namespace nestor::cli
