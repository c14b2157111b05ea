#include "query/text_encoder.h"

#include <utility>

#include "core/macros.h"

namespace nestor::query {
namespace {

class EmbedderEncoder : public TextEncoder {
 public:
  explicit EmbedderEncoder(Embedder embedder) : embedder_(std::move(embedder)) {}
  Result<std::vector<Embedding>> encode(std::span<const EmbedInput> inputs, Role role,
                                        const EmbedOptions& options) const override {
    return embedder_.embed(inputs, role, options);
  }
  Result<int> count_tokens(std::string_view text) const override {
    return embedder_.count_tokens(text);
  }
  [[nodiscard]] const ModelInfo& info() const override { return embedder_.info(); }
  [[nodiscard]] const Embedder* embedder() const override { return &embedder_; }

 private:
  Embedder embedder_;
};

}  // namespace

EncoderFactory embedder_factory(const EmbedderOptions& options,
                                const std::optional<Embedder>& shared) {
  return [options, shared]() -> Result<EncoderPointer> {
    if (shared.has_value()) return EncoderPointer(std::make_shared<EmbedderEncoder>(*shared));
    NESTOR_ASSIGN_OR_RETURN(Embedder embedder, Embedder::open(options));
    return EncoderPointer(std::make_shared<EmbedderEncoder>(std::move(embedder)));
  };
}

}  // namespace nestor::query
