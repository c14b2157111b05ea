#include "embed/pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <vector>

#include "core/cpu_features.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/macros.h"
#include "embed/backend.h"
#include "embed/bpe_table_builder.h"
#include "embed/calibrate.h"
#include "embed/pack_layers.h"
#include "embed/packed_config.h"
#include "embed/packed_model.h"
#include "embed/quantize.h"
#include "embed/rotary.h"
#include "embed/tiled_weights.h"
#include "embed/weights.h"

namespace nestor::embed {
namespace {

constexpr std::int64_t kTableRowsAtOnce = 2048;

std::string_view bytes_of(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

class Packer {
 public:
  Packer(const Checkpoint& checkpoint, Precision precision, FileReplacement& file, ThreadPool& pool,
         const PackProgress& on_progress)
      : checkpoint_(checkpoint),
        config_(checkpoint.config()),
        file_(file),
        pool_(pool),
        on_progress_(on_progress),
        row_layout_(table_row_layout(config_.hidden_size, precision)) {
    header_.precision = precision;
    if (precision == Precision::kInt8) rounds_ = 2;
  }

  Status run() {
    const bool tiled = header_.precision != Precision::kF32;
    NESTOR_ASSIGN_OR_RETURN(layout_, tiled ? tiled_layout(config_, header_.precision)
                                           : Result<TiledLayout>(TiledLayout()));
    const std::int64_t layer_bytes = tiled ? layout_.bytes : Weights::packed_bytes(config_);
    NESTOR_ASSIGN_OR_RETURN(const std::string tokenizer,
                            build_tokenizer_table(checkpoint_.vocabulary()));
    const std::string config = encode_packed_config(config_, checkpoint_.identity());
    std::int64_t table_bytes = config_.vocabulary_size * row_layout_.bytes;
    // The final norm behind the layers is not reported.
    total_ = static_cast<std::uint64_t>((tiled ? layout_.final_norm : layer_bytes) + table_bytes);
    NESTOR_RETURN_IF_ERROR(place(PackedSection::kConfig, config));
    NESTOR_RETURN_IF_ERROR(place(PackedSection::kTokenizer, tokenizer));
    NESTOR_RETURN_IF_ERROR(place_rotary());
    begin(PackedSection::kLayers, static_cast<std::uint64_t>(layer_bytes));
    NESTOR_RETURN_IF_ERROR(place_head());
    NESTOR_RETURN_IF_ERROR(place_table(static_cast<std::uint64_t>(table_bytes)));
    if (!tiled) return place_float_layers(static_cast<std::size_t>(layer_bytes));
    std::vector<LayerMeans> means(config_.layers.size());
    NESTOR_RETURN_IF_ERROR(place_layers(means));
    if (header_.precision != Precision::kInt8) return {};
    // Once more, with biases: what the model without them is given is near enough.
    NESTOR_ASSIGN_OR_RETURN(means, calibrate_written());
    return place_layers(means);
  }

 private:
  PackedHeader::Section& begin(PackedSection section, std::uint64_t bytes) {
    PackedHeader::Section& at = header_.sections[static_cast<std::size_t>(section)];
    at.offset = end_;
    at.bytes = bytes;
    end_ += (bytes + kPackedPage - 1) / kPackedPage * kPackedPage;
    return at;
  }

  Status place(PackedSection section, std::string_view bytes) {
    PackedHeader::Section& at = begin(section, bytes.size());
    at.checksum = packed_checksum(bytes, pool_);
    return file_.write(at.offset, bytes);
  }

  Status report(std::uint64_t bytes) {
    done_ += bytes;
    if (!on_progress_) return {};
    const std::lock_guard lock(progress_mutex_);
    if (on_progress_(done_, total_)) return {};
    return {StatusCode::kCancelled, "packing was stopped"};
  }

  Status place_rotary() {
    std::string bytes;
    for (const double base : {config_.local_rotation_base, config_.full_rotation_base}) {
      const Rotary rotary = make_rotary(config_.context_tokens, config_.head_width, base);
      bytes += bytes_of(rotary.cosine);
      bytes += bytes_of(rotary.sine);
    }
    return place(PackedSection::kRotary, bytes);
  }

  Result<std::vector<LayerMeans>> calibrate_written() {
    NESTOR_ASSIGN_OR_RETURN(const PackedModel model, PackedModel::open(file_.temporary(), pool_));
    NESTOR_ASSIGN_OR_RETURN(const TiledBackend* backend,
                            choose_tiled_backend(header_.precision, forced_backend()));
    return calibrate(model, *backend);
  }

  Status place_layers(const std::vector<LayerMeans>& means) {
    std::string section(static_cast<std::size_t>(layout_.bytes), '\0');
    Status packed = pool_.try_for_each(
        static_cast<std::int64_t>(config_.layers.size()), [&](std::int64_t i, int) -> Status {
          NESTOR_RETURN_IF_ERROR(pack_tiled_layer(checkpoint_, layout_, static_cast<std::size_t>(i),
                                                  means[static_cast<std::size_t>(i)],
                                                  section.data() + i * layout_.layer_bytes));
          return report(static_cast<std::uint64_t>(layout_.layer_bytes) / rounds_);
        });
    NESTOR_RETURN_IF_ERROR(std::move(packed));
    std::vector<float> norm(static_cast<std::size_t>(config_.hidden_size));
    NESTOR_RETURN_IF_ERROR(checkpoint_.read("norm.weight", 0, norm));
    std::memcpy(section.data() + layout_.final_norm, norm.data(), norm.size() * sizeof(float));
    return finish(section);
  }

  Status place_float_layers(std::size_t bytes) {
    std::vector<float> section(bytes / sizeof(float));
    NESTOR_RETURN_IF_ERROR(Weights::pack(checkpoint_, section, pool_));
    NESTOR_RETURN_IF_ERROR(report(bytes));
    return finish(bytes_of(section));
  }

  // Writes the layers, then the header over everything.
  Status finish(std::string_view section) {
    PackedHeader::Section& at = header_.sections[static_cast<std::size_t>(PackedSection::kLayers)];
    at.checksum = packed_checksum(section, pool_);
    NESTOR_RETURN_IF_ERROR(file_.write(at.offset, section));
    return file_.write(0, encode_packed_header(header_));
  }

  // The Dense layers have no activation in between: their product is one (hidden, output_width).
  Status place_head() {
    const auto hidden = static_cast<std::size_t>(config_.hidden_size);
    std::vector<double> head(hidden * hidden, 0.0);  // (hidden, width), at first the identity
    for (std::size_t i = 0; i < hidden; ++i) head[i * hidden + i] = 1.0;
    std::size_t width = hidden;
    for (std::size_t module = 0; module < config_.dense.size(); ++module) {
      const auto out = static_cast<std::size_t>(config_.dense[module].out_features);
      std::vector<float> weight(out * width);
      NESTOR_RETURN_IF_ERROR(checkpoint_.read(fmt::format("dense.{}.weight", module), 0, weight));
      std::vector<double> next(hidden * out, 0.0);
      pool_.for_each(static_cast<std::int64_t>(hidden), [&](std::int64_t index, int) {
        const double* from = head.data() + static_cast<std::size_t>(index) * width;
        double* to = next.data() + static_cast<std::size_t>(index) * out;
        for (std::size_t j = 0; j < out; ++j) {
          const float* row = weight.data() + j * width;
          double sum = 0;
          for (std::size_t k = 0; k < width; ++k) sum += from[k] * static_cast<double>(row[k]);
          to[j] = sum;
        }
      });
      head = std::move(next);
      width = out;
    }
    const std::vector<float> folded(head.begin(), head.end());
    return place(PackedSection::kHead, bytes_of(folded));
  }

  Status place_table(std::uint64_t bytes) {
    const std::uint64_t offset = begin(PackedSection::kTable, bytes).offset;
    const auto hidden = static_cast<std::size_t>(config_.hidden_size);
    const std::int64_t count = (config_.vocabulary_size + kTableRowsAtOnce - 1) / kTableRowsAtOnce;
    return pool_.try_for_each(count, [&](std::int64_t index, int) -> Status {
      const std::int64_t first = index * kTableRowsAtOnce;
      const auto rows =
          static_cast<std::size_t>(std::min(kTableRowsAtOnce, config_.vocabulary_size - first));
      std::vector<float> values(rows * hidden);
      NESTOR_RETURN_IF_ERROR(checkpoint_.read("embed_tokens.weight", first, values));
      const auto row_bytes = static_cast<std::size_t>(row_layout_.bytes);
      std::string out(rows * row_bytes, '\0');
      for (std::size_t row = 0; row < rows; ++row) {
        place_table_row(std::span(values).subspan(row * hidden, hidden), header_.precision,
                        row_layout_, out.data() + row * row_bytes);
      }
      NESTOR_RETURN_IF_ERROR(
          file_.write(offset + static_cast<std::uint64_t>(first * row_layout_.bytes), out));
      return report(out.size());
    });
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  FileReplacement& file_;
  ThreadPool& pool_;
  const PackProgress& on_progress_;
  const TableRowLayout row_layout_;
  TiledLayout layout_;
  PackedHeader header_;
  std::uint64_t end_ = kPackedPage;
  std::uint64_t total_ = 0;
  std::uint64_t rounds_ = 1;  // over the layers
  std::atomic<std::uint64_t> done_ = 0;
  std::mutex progress_mutex_;
};

}  // namespace

Status pack_model(const Checkpoint& checkpoint, Precision precision, const std::string& path,
                  ThreadPool& pool, const PackProgress& on_progress) {
  NESTOR_ASSIGN_OR_RETURN(FileReplacement file, FileReplacement::create(path));
  NESTOR_RETURN_IF_ERROR(Packer(checkpoint, precision, file, pool, on_progress).run());
  return file.commit();
}

}  // namespace nestor::embed
