#include "nestor/embedder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <new>

#include "core/caught_status.h"
#include "core/check.h"
#include "core/cpu_features.h"
#include "core/log.h"
#include "core/macros.h"
#include "core/option_range.h"
#include "core/text.h"
#include "core/thread_pool.h"
#include "core/vector_math.h"
#include "embed/batcher.h"
#include "embed/loaded_model.h"
#include "embed/prompt.h"

namespace nestor {
namespace {

constexpr std::size_t kMostTextBytes = 1 << 20;

// Exceptions of the standard library and of those below end here.
template <typename Work>
auto without_exceptions(const char* action, const Work& work) -> decltype(work()) try {
  return work();
} catch (const std::bad_alloc&) {
  return caught_status(StatusCode::kOutOfMemory, {"no memory to ", action});
} catch (const std::exception& error) {
  return caught_status(StatusCode::kInternal, {"could not ", action, ": ", error.what()});
}

Status check_options(const EmbedderOptions& options) {
  return check_number("thread_count", options.thread_count, ranges::kThreads);
}

Status check_text(std::string_view text, const char* what, std::size_t index) {
  if (text.size() > kMostTextBytes) {
    return {StatusCode::kInvalidArgument,
            fmt::format("the {} of input {} has {} bytes, at most {} are embedded; split it", what,
                        index, with_thousands(static_cast<std::int64_t>(text.size())),
                        with_thousands(kMostTextBytes))};
  }
  if (const auto offset = find_invalid_utf8(text); offset.has_value()) {
    return {StatusCode::kInvalidArgument,
            fmt::format("the {} of input {} is not UTF-8: byte {} is 0x{:02x}", what, index,
                        *offset, static_cast<unsigned char>(text[*offset]))};
  }
  return {};
}

}  // namespace

// Constant after open, but for the batcher's scratch, which takes turns by itself.
struct Embedder::Impl {
  Impl(std::unique_ptr<embed::LoadedModel> loaded_model, std::unique_ptr<ThreadPool> thread_pool)
      : model(std::move(loaded_model)),
        pool(std::move(thread_pool)),
        batcher(model->encoder(), *pool),
        info(model->info()) {
    info.thread_count = pool->thread_count();
  }

  [[nodiscard]] Status check_process() const {
    if (getpid() == owner) return {};
    return {StatusCode::kFailedPrecondition,
            fmt::format("this Embedder belongs to process {}; its threads did not follow the "
                        "fork() into process {}. Open one after the fork.",
                        owner, getpid())};
  }

  Result<std::vector<Embedding>> embed(std::span<const EmbedInput> inputs, Role role,
                                       const EmbedOptions& options) const;

  const pid_t owner = getpid();
  const std::unique_ptr<const embed::LoadedModel> model;
  const std::unique_ptr<ThreadPool> pool;
  mutable embed::Batcher batcher;
  ModelInfo info;
};

Result<std::vector<Embedding>> Embedder::Impl::embed(std::span<const EmbedInput> inputs, Role role,
                                                     const EmbedOptions& options) const {
  NESTOR_RETURN_IF_ERROR(check_process());
  // Before the tokenizer, whose table is mapped too.
  NESTOR_RETURN_IF_ERROR(model->check_unchanged());
  const int width = options.width == 0 ? info.width : options.width;
  if (std::find(info.widths.begin(), info.widths.end(), width) == info.widths.end()) {
    std::string names;
    for (const int have : info.widths) names += (names.empty() ? "" : ", ") + std::to_string(have);
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("width {}, this model has {}", options.width, names));
  }
  std::vector<Embedding> results(inputs.size());
  std::vector<std::vector<std::int32_t>> ids(inputs.size());
  std::vector<std::span<const std::int32_t>> texts(inputs.size());
  std::vector<float*> rows(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(check_text(inputs[i].text, "text", i));
    NESTOR_RETURN_IF_ERROR(check_text(inputs[i].title, "title", i));
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (options.stop.stop_requested()) {
      return Status(StatusCode::kCancelled, "the embedding was stopped");
    }
    NESTOR_ASSIGN_OR_RETURN(
        embed::TokenizedText tokenized,
        model->tokenizer().tokenize(
            embed::prompted_text(model->config().prompts, role, inputs[i].title, inputs[i].text),
            model->config().context_tokens));
    ids[i] = std::move(tokenized.ids);
    texts[i] = ids[i];
    results[i].token_count = tokenized.token_count;
    results[i].truncated = tokenized.truncated;
    results[i].vector.resize(static_cast<std::size_t>(info.width));
    rows[i] = results[i].vector.data();
  }
  NESTOR_RETURN_IF_ERROR(batcher.run(texts, rows, options.stop, options.progress));
  if (width < info.width) {
    for (Embedding& result : results) result.vector = cut_to_width(result.vector, width);
  }
  return results;
}

Embedder::Embedder(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Embedder::Embedder(const Embedder&) = default;
Embedder::Embedder(Embedder&&) noexcept = default;
Embedder& Embedder::operator=(const Embedder&) = default;
Embedder& Embedder::operator=(Embedder&&) noexcept = default;
Embedder::~Embedder() = default;

Result<Embedder> Embedder::open(const EmbedderOptions& options) {
  return without_exceptions("load the model", [&]() -> Result<Embedder> {
    NESTOR_RETURN_IF_ERROR(check_options(options));
    auto pool = std::make_unique<ThreadPool>(useful_thread_count(options.thread_count));
    NESTOR_ASSIGN_OR_RETURN(std::unique_ptr<embed::LoadedModel> model,
                            embed::load_model(options, *pool));
    const ModelInfo& info = model->info();
    if (info.name != "embeddinggemma-300m") {
      log_to(options.log, LogLevel::kWarning,
             fmt::format("{}: the weights are not those of a known model; its vectors are a space "
                         "of their own, \"{}\"",
                         info.folder, info.name));
    }
    auto impl = std::make_shared<Impl>(std::move(model), std::move(pool));
    return Embedder(std::move(impl));
  });
}

Result<std::vector<Embedding>> Embedder::embed(std::span<const EmbedInput> inputs, Role role,
                                               const EmbedOptions& options) const {
  NESTOR_CHECK(impl_ != nullptr, "an Embedder that was moved from");
  return without_exceptions("embed", [&] { return impl_->embed(inputs, role, options); });
}

Result<Embedding> Embedder::embed_query(std::string_view text, const EmbedOptions& options) const {
  const EmbedInput input{.text = text};
  NESTOR_ASSIGN_OR_RETURN(std::vector<Embedding> results,
                          embed(std::span(&input, 1), Role::kQuery, options));
  return std::move(results.front());
}

Result<Embedding> Embedder::embed_document(std::string_view title, std::string_view text,
                                           const EmbedOptions& options) const {
  const EmbedInput input{.text = text, .title = title};
  NESTOR_ASSIGN_OR_RETURN(std::vector<Embedding> results,
                          embed(std::span(&input, 1), Role::kDocument, options));
  return std::move(results.front());
}

Result<int> Embedder::count_tokens(std::string_view text) const {
  NESTOR_CHECK(impl_ != nullptr, "an Embedder that was moved from");
  return without_exceptions("count tokens", [&]() -> Result<int> {
    NESTOR_RETURN_IF_ERROR(impl_->check_process());
    NESTOR_RETURN_IF_ERROR(impl_->model->check_unchanged());
    if (const auto offset = find_invalid_utf8(text); offset.has_value()) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("the text is not UTF-8: byte {} is 0x{:02x}", *offset,
                                static_cast<unsigned char>(text[*offset])));
    }
    NESTOR_ASSIGN_OR_RETURN(const std::int64_t count, impl_->model->tokenizer().count(text));
    return static_cast<int>(count);
  });
}

const ModelInfo& Embedder::info() const {
  NESTOR_CHECK(impl_ != nullptr, "an Embedder that was moved from");
  return impl_->info;
}

}  // namespace nestor
