// How near do the linear layers come to the processor's ceiling? The four products of a layer of
// EmbeddingGemma, 24 layers of weights in turns so that they are streamed, for every backend of
// int8 and bf16 and several row counts, on one thread and on all. Prints ms a pass and TOPS (2
// operations a multiply-add); README.md and DECISIONS.md say what the ceiling is.
#include <thread>

#include "benchmarks/benchmark_support.h"
#include "embed/backend.h"
#include "embed/tiled_workspace.h"

namespace {

using namespace nestor::embed;  // NOLINT: all of it is under the glass here
using nestor::benchmark::rounded;
using nestor::benchmark::seconds_of;
using Json = nlohmann::ordered_json;

constexpr int kLayers = 24;
constexpr int kRepeats = 7;

struct Shape {
  std::int64_t inner;
  std::int64_t columns;
  bool gelu;
};
constexpr std::array<Shape, 4> kShapes = {
    {{768, 1280, false}, {768, 768, false}, {768, 2304, true}, {1152, 768, false}}};

std::int64_t steps_of(const Shape& shape, Precision precision) {
  return shape.inner * (precision == Precision::kInt8 ? 1 : 2) / kStepBytes;
}

// Random weights of all layers, one thread's inputs and results.
class Layers {
 public:
  Layers(Precision precision, std::int64_t rows) : precision_(precision), rows_(rows) {
    std::mt19937 random(7);
    constexpr std::int64_t kMostColumns = 2304;
    scales_.assign(kMostColumns, 1e-4F);
    sums_.assign(kMostColumns, 0);
    biases_.assign(kMostColumns, 0.0F);
    row_scales_.assign(static_cast<std::size_t>(rows + kRowBlock), 1e-3F);
    for (const Shape& shape : kShapes) {
      const std::int64_t bytes =
          shape.columns / kPanelColumns * steps_of(shape, precision) * kPanelStepBytes;
      panels_.emplace_back().reserve(bytes * kLayers);
      fill(panels_.back(), bytes * kLayers, random);
    }
    const std::int64_t input_bytes =
        (rows + kRowBlock) * steps_of(kShapes[3], precision) * kStepBytes;
    inputs_.reserve(input_bytes);
    fill(inputs_, input_bytes, random);
    result_.reserve((rows + kRowBlock) * kMostColumns);
  }

  void run(const TiledBackend& backend) {
    for (int layer = 0; layer < kLayers; ++layer) {
      for (std::size_t i = 0; i < kShapes.size(); ++i) product(backend, layer, i);
    }
  }

 private:
  // Bytes from 0x3C to 0x3F: as bf16 they are ordinary numbers around 0.1.
  static void fill(AlignedBuffer<std::uint8_t>& buffer, std::int64_t bytes, std::mt19937& random) {
    for (std::int64_t i = 0; i < bytes; ++i) {
      buffer.data()[i] = static_cast<std::uint8_t>(0x3C + random() % 4);
    }
  }

  void product(const TiledBackend& backend, int layer, std::size_t which) {
    const Shape& shape = kShapes[which];
    const std::int64_t steps = steps_of(shape, precision_);
    const std::int64_t panel_count = shape.columns / kPanelColumns;
    const LinearTask task = {
        .rows = rows_,
        .a = {inputs_.data(), row_scales_.data(), false},
        .b = {panels_[which].data() + layer * panel_count * steps * kPanelStepBytes, scales_.data(),
              sums_.data(), biases_.data(), panel_count, steps},
        .panel_begin = 0,
        .panel_end = panel_count,
        .result = {result_.data(),
                   strip_values(shape.gelu ? HalfOrder::kPlain : HalfOrder::kPairs, rows_)}};
    (shape.gelu ? backend.linear_gelu : backend.linear)(task);
  }

  const Precision precision_;
  const std::int64_t rows_;
  std::vector<AlignedBuffer<std::uint8_t>> panels_;
  AlignedBuffer<std::uint8_t> inputs_;
  AlignedBuffer<std::uint16_t> result_;
  std::vector<float> scales_, biases_, row_scales_;
  std::vector<std::int32_t> sums_;
};

Json measure(const TiledBackend& backend, std::int64_t rows, int threads) {
  std::vector<std::unique_ptr<Layers>> layers;
  for (int i = 0; i < threads; ++i) {
    layers.push_back(std::make_unique<Layers>(backend.precision, rows));
    layers.back()->run(backend);
  }
  std::vector<double> seconds;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    seconds.push_back(seconds_of([&] {
      std::vector<std::jthread> workers;
      for (int i = 0; i < threads; ++i) {
        workers.emplace_back([&, i] { layers[static_cast<std::size_t>(i)]->run(backend); });
      }
    }));
  }
  double work = 0;
  for (const Shape& shape : kShapes) {
    work += 2.0 * static_cast<double>(rows * threads * kLayers * shape.inner * shape.columns);
  }
  const double median = nestor::benchmark::quantile(seconds, 0.5);
  const double best = *std::min_element(seconds.begin(), seconds.end());
  std::fprintf(stderr, "%-12s %-4s rows %4d x %d: %.2f ms, %.2f TOPS (best %.2f)\n", backend.name,
               precision_name(backend.precision), static_cast<int>(rows), threads, median * 1e3,
               work / median * 1e-12, work / best * 1e-12);
  return {{"backend", backend.name},
          {"precision", precision_name(backend.precision)},
          {"rows", rows},
          {"threads", threads},
          {"median_ms", rounded(median * 1e3)},
          {"tops", rounded(work / median * 1e-12)},
          {"best_tops", rounded(work / best * 1e-12)}};
}

}  // namespace

int main() {
  Json results = Json::array();
  const int processors = nestor::available_processor_count();
  for (const Precision precision : {Precision::kInt8, Precision::kBf16}) {
    for (const TiledBackend* backend : available_tiled_backends(precision)) {
      if (backend == scalar_tables(precision)) continue;
      for (const std::int64_t rows : {16, 64, 384}) {
        for (const int threads : {1, processors}) {
          results.push_back(measure(*backend, rows, threads));
        }
      }
    }
  }
  nestor::benchmark::report("linear", {{"layers", kLayers}, {"products", results}});
  return 0;
}
