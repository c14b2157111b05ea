// TextEncoder: what the pipelines need of a model, so that tests can put a cheap one in its place
// and later models fit beside the first. Threads: implementations are safe for any number of
// callers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "nestor/embedder.h"

namespace nestor::query {

class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  // As Embedder::embed, at the full width.
  virtual Result<std::vector<Embedding>> encode(std::span<const EmbedInput> inputs, Role role,
                                                const EmbedOptions& options) const = 0;
  // As Embedder::count_tokens.
  virtual Result<int> count_tokens(std::string_view text) const = 0;
  [[nodiscard]] virtual const ModelInfo& info() const = 0;
  // The public embedder behind it, or null.
  [[nodiscard]] virtual const Embedder* embedder() const { return nullptr; }
};

// Shared by the database and the calls in flight: a close() beside a search must not pull it away.
using EncoderPointer = std::shared_ptr<const TextEncoder>;
// Loads the encoder when it is first needed; called at most once with success.
using EncoderFactory = std::function<Result<EncoderPointer>()>;

// A factory for the genuine thing: `shared` if given, else the model that `options` find.
EncoderFactory embedder_factory(const EmbedderOptions& options,
                                const std::optional<Embedder>& shared);

}  // namespace nestor::query
