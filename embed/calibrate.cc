#include "embed/calibrate.h"

#include "core/macros.h"
#include "embed/bpe_tokenizer.h"
#include "embed/calibration_texts.h"
#include "embed/tiled_encoder.h"

namespace nestor::embed {
namespace {

// Sums of the inputs of one linear layer.
struct InputSum {
  std::vector<double> values;
  std::int64_t texts = 0;

  void add(const LinearInput& input, std::size_t width, std::uint8_t input_bias) {
    values.resize(width, 0.0);
    for (std::int64_t row = 0; row < input.rows; ++row) {
      const std::uint8_t* bytes =
          input.data + input_offset(input.fine ? 2 * row : row, 0, input.steps);
      // Every text counts the same, or the long ones would speak for all.
      const double scale = static_cast<double>(input.scales[row]) / static_cast<double>(input.rows);
      for (std::size_t i = 0; i < width; ++i) {
        values[i] +=
            scale * static_cast<std::int8_t>(
                        bytes[input_offset(0, static_cast<std::int64_t>(i), 0)] ^ input_bias);
      }
    }
    ++texts;
  }
  [[nodiscard]] std::vector<float> mean() const {
    std::vector<float> result;
    result.reserve(values.size());
    for (const double value : values) {
      result.push_back(static_cast<float>(value / static_cast<double>(texts)));
    }
    return result;
  }
};

}  // namespace

Result<std::vector<LayerMeans>> calibrate(const PackedModel& model, const TiledBackend& backend) {
  const ModelConfig& config = model.config();
  const std::array<std::int64_t, kLinearLayerCount> widths = {
      config.hidden_size, config.head_count * config.head_width, config.hidden_size,
      config.feed_forward_size};
  NESTOR_ASSIGN_OR_RETURN(const std::unique_ptr<BpeTokenizer> tokenizer,
                          BpeTokenizer::open(model.section(PackedSection::kTokenizer),
                                             model.identity().tokenizer_sha256));
  NESTOR_ASSIGN_OR_RETURN(const std::unique_ptr<Encoder> encoder,
                          TiledEncoder::create(model, backend));
  std::vector<std::array<InputSum, kLinearLayerCount>> sums(config.layers.size());
  const std::unique_ptr<Workspace> workspace = encoder->make_workspace();
  dynamic_cast<TiledWorkspace&>(*workspace).observer = [&](const LinearInput& input) {
    const auto which = static_cast<std::size_t>(input.which);
    sums[input.layer][which].add(input, static_cast<std::size_t>(widths[which]),
                                 backend.input_bias);
  };
  for (const char* text : calibration_texts()) {
    NESTOR_ASSIGN_OR_RETURN(const TokenizedText tokenized,
                            tokenizer->tokenize(text, config.context_tokens));
    const std::span<const std::int32_t> ids(tokenized.ids);
    NESTOR_RETURN_IF_ERROR(
        encoder->encode(std::span(&ids, 1), Team(), std::stop_token(), *workspace).status());
  }
  std::vector<LayerMeans> means(sums.size());
  for (std::size_t layer = 0; layer < sums.size(); ++layer) {
    for (std::size_t which = 0; which < means[layer].size(); ++which) {
      means[layer][which] = sums[layer][which].mean();
    }
  }
  return means;
}

}  // namespace nestor::embed
