#include "embed/weights.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "core/check.h"
#include "core/macros.h"
#include "core/text.h"
#include "core/vector_math.h"

namespace nestor::embed {
namespace {

constexpr std::size_t kHugePageBytes = 2 << 20;
constexpr std::int64_t kTensorAlignment = 16;        // floats: a cache line
constexpr std::int64_t kReadFloats = (2 << 20) / 4;  // one piece of work for the pool

using Shape = std::vector<std::int64_t>;

// A tensor the configuration calls for, and where it goes.
struct WantedTensor {
  std::string name;
  Shape shape;
  std::int64_t arena_offset = 0;  // floats
  std::size_t file_index = 0;     // 0: the transformer's; then those of the Dense modules
  bool is_norm = false;

  [[nodiscard]] std::int64_t count() const {
    std::int64_t product = 1;
    for (const std::int64_t dimension : shape) product *= dimension;
    return product;
  }
};

// Lays tensors out in one piece of memory. Those placed with `joined` follow the one before without
// a gap, so that products that share their input become one.
class ArenaPlan {
 public:
  std::int64_t place(std::string name, Shape shape, bool joined = false) {
    if (!joined) size_ += (kTensorAlignment - size_ % kTensorAlignment) % kTensorAlignment;
    WantedTensor& tensor = wanted_.emplace_back();
    tensor.name = std::move(name);
    tensor.shape = std::move(shape);
    tensor.arena_offset = size_;
    tensor.file_index = file_index_;
    size_ += tensor.count();
    return tensor.arena_offset;
  }
  std::int64_t place_norm(std::string name, std::int64_t width) {
    const std::int64_t offset = place(std::move(name), {width});
    wanted_.back().is_norm = true;
    return offset;
  }
  // What is placed from now on lies in the next file.
  void next_file() { ++file_index_; }
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] const std::vector<WantedTensor>& wanted() const { return wanted_; }

 private:
  std::size_t file_index_ = 0;
  std::vector<WantedTensor> wanted_;
  std::int64_t size_ = 0;
};

// Offsets of one layer in the arena.
struct LayerPlan {
  std::int64_t input_norm, query_key_value, query_norm, key_norm, attention_output;
  std::int64_t post_attention_norm, pre_feed_forward_norm, gate_up, down, post_feed_forward_norm;
};

LayerPlan plan_layer(std::size_t index, const ModelConfig& config, ArenaPlan& arena) {
  const std::string prefix = fmt::format("layers.{}.", index);
  const std::string attention = prefix + "self_attn.";
  const std::string mlp = prefix + "mlp.";
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t query_width = config.head_count * config.head_width;
  const std::int64_t key_width = config.key_head_count * config.head_width;
  const std::int64_t inner = config.feed_forward_size;
  LayerPlan plan = {};
  plan.input_norm = arena.place_norm(prefix + "input_layernorm.weight", hidden);
  plan.query_key_value = arena.place(attention + "q_proj.weight", {query_width, hidden});
  arena.place(attention + "k_proj.weight", {key_width, hidden}, true);
  arena.place(attention + "v_proj.weight", {key_width, hidden}, true);
  plan.query_norm = arena.place_norm(attention + "q_norm.weight", config.head_width);
  plan.key_norm = arena.place_norm(attention + "k_norm.weight", config.head_width);
  plan.attention_output = arena.place(attention + "o_proj.weight", {hidden, query_width});
  plan.post_attention_norm = arena.place_norm(prefix + "post_attention_layernorm.weight", hidden);
  plan.pre_feed_forward_norm =
      arena.place_norm(prefix + "pre_feedforward_layernorm.weight", hidden);
  plan.gate_up = arena.place(mlp + "gate_proj.weight", {inner, hidden});
  arena.place(mlp + "up_proj.weight", {inner, hidden}, true);
  plan.down = arena.place(mlp + "down_proj.weight", {hidden, inner});
  plan.post_feed_forward_norm =
      arena.place_norm(prefix + "post_feedforward_layernorm.weight", hidden);
  return plan;
}

struct ModelPlan {
  ArenaPlan arena;
  std::vector<LayerPlan> layers;
  std::int64_t final_norm = 0;
  std::vector<std::int64_t> dense;
};

ModelPlan plan_model(const ModelConfig& config) {
  ModelPlan plan;
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    plan.layers.push_back(plan_layer(i, config, plan.arena));
  }
  plan.final_norm = plan.arena.place_norm("norm.weight", config.hidden_size);
  for (const DenseConfig& dense : config.dense) {
    plan.arena.next_file();
    plan.dense.push_back(
        plan.arena.place("linear.weight", {dense.out_features, dense.in_features}));
  }
  return plan;
}

LayerWeights view_layer(const LayerPlan& plan, const float* arena) {
  return {.input_norm = arena + plan.input_norm,
          .query_key_value = arena + plan.query_key_value,
          .query_norm = arena + plan.query_norm,
          .key_norm = arena + plan.key_norm,
          .attention_output = arena + plan.attention_output,
          .post_attention_norm = arena + plan.post_attention_norm,
          .pre_feed_forward_norm = arena + plan.pre_feed_forward_norm,
          .gate_up = arena + plan.gate_up,
          .down = arena + plan.down,
          .post_feed_forward_norm = arena + plan.post_feed_forward_norm};
}

// The tensor `name` of `table`, taken out of it. Errors: kDataLoss (missing, another shape).
Result<TensorEntry> take_tensor(TensorTable& table, const std::string& name, const Shape& shape,
                                const std::string& path) {
  const auto at = table.find(name);
  if (at == table.end()) {
    return Status(StatusCode::kDataLoss,
                  fmt::format("{}: tensor \"{}\" {} is missing; this is not the model its "
                              "config.json describes",
                              path, name, shape_text(shape)));
  }
  if (at->second.shape != shape) {
    return Status(StatusCode::kDataLoss,
                  fmt::format("{}: tensor \"{}\" is {}, config.json calls for {}", path, name,
                              shape_text(at->second.shape), shape_text(shape)));
  }
  TensorEntry entry = std::move(at->second);
  table.erase(at);
  return entry;
}

Status check_nothing_left(const TensorTable& table, const std::string& path) {
  if (table.empty()) return {};
  return {StatusCode::kDataLoss,
          fmt::format("{}: {} tensors the model's config.json does not call for, {} among them",
                      path, table.size(), quote_for_message(table.begin()->first))};
}

// A stretch of one tensor: at most kReadFloats floats.
struct ReadPiece {
  const RandomAccessFile* file;
  const WantedTensor* tensor;
  NumberFormat format;
  std::uint64_t file_offset;
  std::int64_t arena_offset;
  std::int64_t count;
};

Status read_piece(const ReadPiece& piece, float* arena) {
  const std::span<float> floats(arena + piece.arena_offset, static_cast<std::size_t>(piece.count));
  NESTOR_RETURN_IF_ERROR(read_floats(*piece.file, piece.format, piece.file_offset, floats));
  if (!all_finite(floats)) {
    return {StatusCode::kDataLoss,
            fmt::format("{}: tensor \"{}\" holds NaN or infinity; the file is damaged, get the "
                        "model again",
                        piece.file->path(), piece.tensor->name)};
  }
  if (piece.tensor->is_norm) {
    for (float& scale : floats) scale += 1.0F;
  }
  return {};
}

Status read_pieces(const std::vector<ReadPiece>& pieces, float* arena, ThreadPool& pool) {
  return pool.try_for_each(static_cast<std::int64_t>(pieces.size()), [&](std::int64_t index, int) {
    return read_piece(pieces[static_cast<std::size_t>(index)], arena);
  });
}

// Finds every tensor of the plan in its file and cuts the reading into pieces. `files` and `tables`
// go together; the tables must be used up.
Result<std::vector<ReadPiece>> plan_reads(const ArenaPlan& plan,
                                          const std::vector<const RandomAccessFile*>& files,
                                          std::vector<TensorTable>& tables) {
  std::vector<ReadPiece> pieces;
  for (const WantedTensor& wanted : plan.wanted()) {
    const RandomAccessFile* file = files[wanted.file_index];
    NESTOR_ASSIGN_OR_RETURN(
        const TensorEntry entry,
        take_tensor(tables[wanted.file_index], wanted.name, wanted.shape, file->path()));
    for (std::int64_t done = 0; done < wanted.count(); done += kReadFloats) {
      pieces.push_back({file, &wanted, entry.format,
                        entry.offset + stored_bytes(entry.format, done), wanted.arena_offset + done,
                        std::min(kReadFloats, wanted.count() - done)});
    }
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(check_nothing_left(tables[i], files[i]->path()));
  }
  return pieces;
}

float* allocate_arena(std::int64_t floats) {
  std::size_t bytes = static_cast<std::size_t>(floats) * sizeof(float);
  bytes += (kHugePageBytes - bytes % kHugePageBytes) % kHugePageBytes;
  void* memory = std::aligned_alloc(kHugePageBytes, bytes);
  // Advice only: huge pages save a quarter of the load time and many TLB misses in the products.
  if (memory != nullptr) ::madvise(memory, bytes, MADV_HUGEPAGE);
  return static_cast<float*>(memory);
}

}  // namespace

void Weights::FreeArena::operator()(float* arena) const { std::free(arena); }

Result<Weights> Weights::load(const std::string& folder, const ModelConfig& config,
                              ThreadPool& pool) {
  std::vector<RandomAccessFile> dense_files;
  for (const DenseConfig& dense : config.dense) {
    NESTOR_ASSIGN_OR_RETURN(
        RandomAccessFile file,
        RandomAccessFile::open(folder + "/" + dense.folder + "/model.safetensors"));
    dense_files.push_back(std::move(file));
  }
  NESTOR_ASSIGN_OR_RETURN(RandomAccessFile transformer_file,
                          RandomAccessFile::open(folder + "/model.safetensors"));
  std::vector<const RandomAccessFile*> files = {&transformer_file};
  for (const RandomAccessFile& file : dense_files) files.push_back(&file);
  std::vector<TensorTable> tables;
  for (const RandomAccessFile* file : files) {
    NESTOR_ASSIGN_OR_RETURN(TensorTable table, read_safetensors_header(*file));
    tables.push_back(std::move(table));
  }
  NESTOR_ASSIGN_OR_RETURN(
      TensorEntry embeddings,
      take_tensor(tables.front(), "embed_tokens.weight",
                  {config.vocabulary_size, config.hidden_size}, transformer_file.path()));

  // Every shape is found in a file before memory is asked for: a configuration cannot ask for more
  // than the files hold.
  const ModelPlan plan = plan_model(config);
  NESTOR_ASSIGN_OR_RETURN(const std::vector<ReadPiece> pieces,
                          plan_reads(plan.arena, files, tables));
  std::unique_ptr<float, FreeArena> arena(allocate_arena(plan.arena.size()));
  if (arena == nullptr) {
    return Status(StatusCode::kOutOfMemory,
                  fmt::format("no memory for {} floats of layer weights", plan.arena.size()));
  }
  NESTOR_RETURN_IF_ERROR(read_pieces(pieces, arena.get(), pool));

  Weights weights;
  weights.table_file_ = std::move(transformer_file);
  weights.table_ = std::move(embeddings);
  weights.view_arena(config, arena.get());
  weights.arena_ = std::move(arena);
  return weights;
}

void Weights::view_arena(const ModelConfig& config, const float* arena) {
  const ModelPlan plan = plan_model(config);
  for (const LayerPlan& layer : plan.layers) layers_.push_back(view_layer(layer, arena));
  final_norm_ = arena + plan.final_norm;
  for (const std::int64_t offset : plan.dense) dense_.push_back(arena + offset);
}

namespace {

// In a packed model the Dense modules are one matrix and have a section of their own.
ModelConfig without_dense(ModelConfig config) {
  config.dense.clear();
  return config;
}

}  // namespace

Weights Weights::view(const PackedModel& model) {
  Weights weights;
  weights.packed_ = &model;
  weights.view_arena(without_dense(model.config()),
                     reinterpret_cast<const float*>(model.section(PackedSection::kLayers).data()));
  weights.head_ = reinterpret_cast<const float*>(model.section(PackedSection::kHead).data());
  return weights;
}

std::int64_t Weights::packed_bytes(const ModelConfig& config) {
  return plan_model(without_dense(config)).arena.size() * static_cast<std::int64_t>(sizeof(float));
}

Status Weights::pack(const Checkpoint& checkpoint, std::span<float> section, ThreadPool& pool) {
  const ModelPlan plan = plan_model(without_dense(checkpoint.config()));
  const std::vector<WantedTensor>& wanted = plan.arena.wanted();
  return pool.try_for_each(static_cast<std::int64_t>(wanted.size()), [&](std::int64_t index, int) {
    const WantedTensor& tensor = wanted[static_cast<std::size_t>(index)];
    return checkpoint.read(tensor.name, 0,
                           section.subspan(static_cast<std::size_t>(tensor.arena_offset),
                                           static_cast<std::size_t>(tensor.count())));
  });
}

Status Weights::read_embedding(std::int32_t id, std::span<float> row) const {
  if (packed_ != nullptr) return packed_->read_embedding(id, row);
  NESTOR_CHECK(id >= 0 && id < table_.shape[0], "a token id of the vocabulary");
  NESTOR_CHECK(static_cast<std::int64_t>(row.size()) == table_.shape[1], "a row of the table");
  const std::uint64_t offset = table_.offset + stored_bytes(table_.format, id * table_.shape[1]);
  NESTOR_RETURN_IF_ERROR(read_floats(*table_file_, table_.format, offset, row));
  if (all_finite(row)) return {};
  return {StatusCode::kDataLoss,
          fmt::format("{}: the embedding of token {} holds NaN or infinity; the file is damaged, "
                      "get the model again",
                      table_file_->path(), id)};
}

}  // namespace nestor::embed
