// Where does the time of a pass go? Every step of a layer of EmbeddingGemma, in the order of a pass
// and over weights of 24 layers so that they are streamed, on one thread: microseconds a token and
// layer, the share of the whole, TOPS of the products. About a minute.
//
//   step_benchmark [BACKEND] [TOKENS A TEXT]        default: the preferred int8 backend, 128
//
// A shared machine changes its speed within seconds: `best` is the 2nd percentile, what the code
// can do, `median` what it met.
#include <cstring>

#include "benchmarks/benchmark_support.h"
#include "embed/backend.h"
#include "embed/rotation.h"
#include "embed/tiled_workspace.h"

namespace {

using namespace nestor::embed;  // NOLINT: all of it is under the glass here
using nestor::benchmark::quantile;
using nestor::benchmark::rounded;
using nestor::benchmark::seconds_of;
using Json = nlohmann::ordered_json;

constexpr std::int64_t kTokens = 384;
constexpr std::int64_t kHidden = 768;
constexpr std::int64_t kHeads = 3;
constexpr std::int64_t kHeadWidth = 256;
constexpr std::int64_t kHeadSteps = kHeadWidth / 32;
constexpr std::int64_t kInner = 1152;
constexpr std::int64_t kContext = 2048;
constexpr std::int64_t kBlockTokens = 32;
constexpr int kLayers = 24;
constexpr double kSeconds = 40;

// Weights of all layers of one product.
struct Product {
  std::int64_t inner;
  std::int64_t columns;
  bool gelu;
  AlignedBuffer<std::uint8_t> panels;

  [[nodiscard]] std::int64_t panel_count() const { return columns / kPanelColumns; }
  [[nodiscard]] std::int64_t steps() const { return inner / kStepBytes; }
  [[nodiscard]] std::int64_t bytes() const { return panel_count() * steps() * kPanelStepBytes; }
};

// A group of texts of equal length, as the encoder lays it out.
class Pass {
 public:
  Pass(const TiledBackend& backend, std::int64_t length)
      : backend_(backend),
        length_(length),
        texts_(std::max<std::int64_t>(1, kTokens / length)),
        key_steps_(round_up(length, 32) / 32),
        products_{{{kHidden, 1280, false, {}},
                   {kHidden, kHidden, false, {}},
                   {kHidden, 2 * kInner, true, {}},
                   {kInner, kHidden, false, {}}}} {
    std::mt19937 random(7);
    for (Product& product : products_) fill(product.panels, product.bytes() * kLayers, random);
    fill(inputs_, (tokens() + kRowBlock) * kInner, random);
    halves(wide_, 40 * strip_values(HalfOrder::kPairs, tokens()), random);
    halves(branch_, 24 * strip_values(HalfOrder::kPairs, tokens()), random);
    stream_.reserve(tokens() * kHidden);
    factors_.reserve(2 * kContext * kHeadWidth);
    std::fill_n(factors_.data(), 2 * kContext * kHeadWidth, 0.7F);
    scratch_.reserve(kRowsTogether * kInner);
    scales_.reserve(tokens() + kRowBlock);
    const std::int64_t rows = kHeads * kBlockTokens;
    queries_.reserve(key_steps_ * rows * kHeadSteps * kStepBytes);
    keys_.reserve(key_steps_ * kHeadSteps * kPanelStepBytes);
    values_.reserve(key_steps_ * kHeadSteps * kPanelStepBytes);
    scores_.reserve(rows * key_steps_ * kPanelColumns);
    weights_.reserve(rows * key_steps_ * kStepBytes);
    begins_.assign(static_cast<std::size_t>(rows), 0);
    ends_.assign(static_cast<std::size_t>(rows), static_cast<std::int32_t>(length));
    inverse_.assign(static_cast<std::size_t>(rows), 1.0F);
    places_.assign(static_cast<std::size_t>(rows), 0);
    sums_.assign(2 * kInner, 0);
  }

  [[nodiscard]] std::int64_t tokens() const { return texts_ * length_; }

  void norm() {
    backend_.norm({.rows = tokens(),
                   .width = kHidden,
                   .epsilon = 1e-6F,
                   .stream = stream_.data(),
                   .branch = branch(),
                   .post_scale = factors_.data(),
                   .pre_scale = factors_.data(),
                   .rotation = rotation_steps(kHidden),
                   .first_row = 0,
                   .out = inputs(),
                   .out_steps = kHidden / kStepBytes,
                   .scratch = scratch_.data()});
  }
  void input(const HalfRows& x, std::int64_t width, const RotationSteps& rotation) {
    backend_.make_input({.rows = tokens(),
                         .width = width,
                         .x = x,
                         .rotation = rotation,
                         .first_row = 0,
                         .out = inputs(),
                         .out_steps = width / kStepBytes,
                         .scratch = scratch_.data()});
  }
  void product(std::size_t which, int layer) {
    const Product& p = products_[which];
    const HalfRows result = which % 2 == 1 ? branch() : p.gelu ? activated() : joint();
    (p.gelu ? backend_.linear_gelu
            : backend_.linear)({.rows = tokens(),
                                .a = inputs(),
                                .b = {p.panels.data() + layer * p.bytes(), factors_.data(),
                                      sums_.data(), factors_.data(), p.panel_count(), p.steps()},
                                .panel_begin = 0,
                                .panel_end = p.panel_count(),
                                .result = result});
  }
  void heads(std::int64_t text, std::int64_t position) {
    backend_.make_heads({.tokens = std::min(kBlockTokens, length_ - position),
                         .position = position,
                         .ends_text = position + kBlockTokens >= length_,
                         .head_count = kHeads,
                         .head_width = kHeadWidth,
                         .epsilon = 1e-6F,
                         .joint = joint(),
                         .first_row = text * length_ + position,
                         .query_scale = factors_.data(),
                         .key_scale = factors_.data(),
                         .cosine = factors_.data(),
                         .sine = factors_.data(),
                         .queries = queries(position),
                         .keys = keys_.data(),
                         .values = values_.data(),
                         .key_steps = key_steps_,
                         .scratch = scratch_.data()});
  }
  void scores(std::int64_t position) {
    backend_.scores({.product = {.rows = rows_of(position),
                                 .a = queries(position),
                                 .panels = keys_.data(),
                                 .panel_stride = kHeadSteps * kPanelStepBytes,
                                 .panel_count = key_steps_,
                                 .steps = kHeadSteps},
                     .result = scores_.data()});
  }
  void softmax(std::int64_t position) {
    backend_.softmax({.rows = rows_of(position),
                      .panel_count = key_steps_,
                      .scores = scores_.data(),
                      .weights = weights_.data(),
                      .begins = begins_.data(),
                      .ends = ends_.data(),
                      .inverse_sums = inverse_.data()});
  }
  void values(std::int64_t text, std::int64_t position) {
    for (std::int64_t row = 0; row < rows_of(position); ++row) {
      places_[static_cast<std::size_t>(row)] =
          half_offset(HalfOrder::kPairs, text * length_ + position + row / kHeads) +
          row % kHeads * kHeadSteps * branch().strip;
    }
    backend_.weighted_values({.product = {.rows = rows_of(position),
                                          .a = weights_.data(),
                                          .panels = values_.data(),
                                          .panel_stride = key_steps_ * kPanelStepBytes,
                                          .panel_count = kHeadWidth / kPanelColumns,
                                          .steps = key_steps_},
                              .factors = inverse_.data(),
                              .places = places_.data(),
                              .result = branch()});
  }
  template <typename Work>
  void for_each_block(const Work& work) const {
    for (std::int64_t text = 0; text < texts_; ++text) {
      for (std::int64_t at = 0; at < length_; at += kBlockTokens) work(text, at);
    }
  }
  [[nodiscard]] HalfRows branch() { return strips(branch_, HalfOrder::kPairs); }
  [[nodiscard]] HalfRows joint() { return strips(wide_, HalfOrder::kPairs); }
  [[nodiscard]] HalfRows activated() { return strips(wide_, HalfOrder::kPlain); }

 private:
  [[nodiscard]] HalfRows strips(const AlignedBuffer<std::uint16_t>& buffer, HalfOrder order) const {
    return {buffer.data(), strip_values(order, tokens()), order};
  }
  // Bytes from 0x3C to 0x3F: as bf16 they are ordinary numbers around 0.1.
  static void fill(AlignedBuffer<std::uint8_t>& buffer, std::int64_t bytes, std::mt19937& random) {
    buffer.reserve(bytes);
    for (std::int64_t i = 0; i < bytes; ++i) {
      buffer.data()[i] = static_cast<std::uint8_t>(0x3C + random() % 4);
    }
  }
  static void halves(AlignedBuffer<std::uint16_t>& buffer, std::int64_t count,
                     std::mt19937& random) {
    buffer.reserve(count);
    for (std::int64_t i = 0; i < count; ++i) {
      buffer.data()[i] = static_cast<std::uint16_t>(0x3C00 + random() % 0x400);
    }
  }
  [[nodiscard]] TiledRows inputs() { return {inputs_.data(), scales_.data(), false}; }
  [[nodiscard]] std::uint8_t* queries(std::int64_t position) {
    return queries_.data() + position * kHeads * kHeadSteps * kStepBytes;
  }
  [[nodiscard]] std::int64_t rows_of(std::int64_t position) const {
    return kHeads * std::min(kBlockTokens, length_ - position);
  }

  const TiledBackend& backend_;
  const std::int64_t length_;
  const std::int64_t texts_;
  const std::int64_t key_steps_;
  std::array<Product, 4> products_;
  AlignedBuffer<std::uint8_t> inputs_, queries_, keys_, values_, weights_;
  AlignedBuffer<std::uint16_t> wide_, branch_;
  AlignedBuffer<float> stream_, factors_, scratch_, scales_, scores_;
  std::vector<std::int32_t> begins_, ends_, sums_;
  std::vector<float> inverse_;
  std::vector<std::int64_t> places_;
};

struct Step {
  const char* name;
  std::function<void(int layer)> run;
  double operations = 0;  // of a pass, multiplications and additions
  std::vector<double> seconds = {};
};

std::vector<Step> steps_of(Pass& pass, std::int64_t length) {
  const auto tokens = static_cast<double>(pass.tokens());
  const auto linear = [&](const char* name, std::size_t which, double inner, double columns) {
    return Step{name, [&pass, which](int layer) { pass.product(which, layer); },
                2 * tokens * inner * columns};
  };
  const auto norm = [&pass](int) { pass.norm(); };
  const double attention = 2 * tokens * kHeads * kHeadWidth * static_cast<double>(length);
  std::vector<Step> steps;
  steps.push_back({"norm before attention", norm});
  steps.push_back(linear("queries, keys, values", 0, kHidden, 1280));
  steps.push_back({"norm, rotary, panels", [&pass](int) {
                     pass.for_each_block([&](auto text, auto at) { pass.heads(text, at); });
                   }});
  steps.push_back({"queries by keys",
                   [&pass](int) { pass.for_each_block([&](auto, auto at) { pass.scores(at); }); },
                   attention});
  steps.push_back(
      {"softmax", [&pass](int) { pass.for_each_block([&](auto, auto at) { pass.softmax(at); }); }});
  steps.push_back(
      {"weights by values",
       [&pass](int) { pass.for_each_block([&](auto text, auto at) { pass.values(text, at); }); },
       attention});
  steps.push_back({"input of the output layer", [&pass](int) {
                     pass.input(pass.branch(), kHidden, head_rotation_steps(kHeads, kHeadWidth));
                   }});
  steps.push_back(linear("attention's output", 1, kHidden, kHidden));
  steps.push_back({"norm before feed forward", norm});
  steps.push_back(linear("gate, up, GELU", 2, kHidden, 2 * kInner));
  steps.push_back({"input of down",
                   [&pass](int) { pass.input(pass.activated(), kInner, rotation_steps(kInner)); }});
  steps.push_back(linear("down", 3, kInner, kHidden));
  return steps;
}

void measure(std::vector<Step>& steps) {
  double spent = 0;
  while (spent < kSeconds) {
    for (int layer = 0; layer < kLayers; ++layer) {
      for (Step& step : steps) {
        step.seconds.push_back(seconds_of([&] { step.run(layer); }));
        spent += step.seconds.back();
      }
    }
  }
}

}  // namespace

int main(int argument_count, char** arguments) {
  const std::string name = argument_count > 1 ? arguments[1] : "";
  const std::int64_t length = argument_count > 2 ? std::atoi(arguments[2]) : 128;
  const auto chosen = choose_tiled_backend(Precision::kInt8, name);
  if (!chosen.ok() || length < 1 || length > kContext) {
    std::fprintf(stderr, "%s\n",
                 chosen.ok() ? "1 to 2,048 tokens" : chosen.status().message().c_str());
    return 2;
  }
  Pass pass(*chosen.value(), length);
  std::vector<Step> steps = steps_of(pass, length);
  measure(steps);
  const double unit = 1e6 / static_cast<double>(pass.tokens());
  double median_sum = 0;
  double best_sum = 0;
  for (const Step& step : steps) {
    median_sum += quantile(step.seconds, 0.5) * unit;
    best_sum += quantile(step.seconds, 0.02) * unit;
  }
  Json rows = Json::array();
  for (const Step& step : steps) {
    const double median = quantile(step.seconds, 0.5);
    const double best = quantile(step.seconds, 0.02);
    Json row = {{"step", step.name},
                {"median_us", rounded(median * unit)},
                {"best_us", rounded(best * unit)},
                {"best_share", rounded(best * unit / best_sum)}};
    if (step.operations > 0) row["best_tops"] = rounded(step.operations / best * 1e-12);
    std::fprintf(stderr, "%-26s %6.3f us a token and layer, best %6.3f (%4.1f %%)", step.name,
                 median * unit, best * unit, 100 * best * unit / best_sum);
    if (step.operations > 0) std::fprintf(stderr, ", %.2f TOPS", step.operations / best * 1e-12);
    std::fprintf(stderr, "\n");
    rows.push_back(row);
  }
  std::fprintf(stderr, "%-26s %6.3f, best %6.3f: %.0f tokens a second\n", "all", median_sum,
               best_sum, 1e6 / (kLayers * best_sum));
  nestor::benchmark::report("step", {{"backend", chosen.value()->name},
                                     {"tokens_a_text", length},
                                     {"median_us", rounded(median_sum)},
                                     {"best_us", rounded(best_sum)},
                                     {"steps", rows}});
  return 0;
}
