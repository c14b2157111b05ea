#include "embed/checkpoint_safetensors.h"

#include <fmt/format.h>

#include <utility>

#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"
#include "embed/fingerprint.h"
#include "embed/safetensors.h"

namespace nestor::embed {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr std::uint64_t kMostIndexBytes = 4ULL << 20;
constexpr std::size_t kMostShards = 64;
constexpr std::string_view kPrefix = "model.";

// A shard is a plain name: nothing outside the model's folder is read on the index's word.
bool is_shard_name(std::string_view name) {
  return name.ends_with(".safetensors") && name.front() != '.' && name.size() <= 255 &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// The files that hold the transformer, and for each tensor of an index the one it names.
struct ShardList {
  std::vector<std::string> files;
  std::map<std::string, std::string, std::less<>> file_of_tensor;  // empty without an index
};

Result<ShardList> list_shards(const std::string& folder) {
  if (is_regular_file(folder + "/" + kSingleFile)) return ShardList{{kSingleFile}, {}};
  const std::string path = folder + "/" + kIndexFile;
  const Result<std::string> text = read_file(path, kMostIndexBytes);
  if (!text.ok()) {
    if (text.status().code() != StatusCode::kNotFound) return text.status();
    return Status(StatusCode::kNotFound,
                  fmt::format("{}: neither {} nor {} is there", folder, kSingleFile, kIndexFile));
  }
  const Result<JsonValue> index = parse_json(text.value(), {.most_depth = 4});
  if (!index.ok()) return index.status().with_context(path);
  const auto damaged = [&](const std::string& problem) {
    return Status(StatusCode::kDataLoss, path + ": " + problem + "; get the model again");
  };
  const JsonValue* const map = index.value().find("weight_map");
  if (map == nullptr || !map->is_object()) {
    return damaged("it has no \"weight_map\"");
  }
  ShardList list;
  for (const auto& [tensor, file] : map->members()) {
    if (!file.is_string() || !is_shard_name(file.text())) {
      return damaged(
          fmt::format("tensor {} lies in {}, expected the plain name of a .safetensors "
                      "file in the same folder",
                      quote_for_message(tensor), quote_for_message(file.dump())));
    }
    list.file_of_tensor.emplace(tensor, file.get<std::string>());
  }
  std::map<std::string, int> names;
  for (const auto& [tensor, file] : list.file_of_tensor) names.emplace(file, 0);
  for (const auto& [name, unused] : names) list.files.push_back(name);
  if (list.files.empty() || list.files.size() > kMostShards) {
    return damaged(fmt::format("{} files, expected 1 to {}", list.files.size(), kMostShards));
  }
  return list;
}

// The tensors of all shards by the names they have there.
Result<StoredTensors> read_shards(const std::string& folder, const ShardList& list) {
  StoredTensors all;
  for (const std::string& name : list.files) {
    NESTOR_ASSIGN_OR_RETURN(RandomAccessFile opened, RandomAccessFile::open(folder + "/" + name));
    const auto file = std::make_shared<const RandomAccessFile>(std::move(opened));
    NESTOR_ASSIGN_OR_RETURN(TensorTable table, read_safetensors_header(*file));
    for (auto& [tensor, entry] : table) {
      const auto said = list.file_of_tensor.find(tensor);
      const bool agrees = list.file_of_tensor.empty() ||
                          (said != list.file_of_tensor.end() && said->second == name);
      if (!agrees || !all.emplace(tensor, StoredTensor{.file = file,
                                                       .format = entry.format,
                                                       .shape = std::move(entry.shape),
                                                       .offset = entry.offset})
                          .second) {
        return Status(StatusCode::kDataLoss,
                      fmt::format("{}: tensor {} is not where {} says; get the model again",
                                  file->path(), quote_for_message(tensor), kIndexFile));
      }
    }
  }
  return all;
}

// Moves `expected` from `found`, where it is called `name`, to `tensors`.
Status take_tensor(const ExpectedTensor& expected, const std::string& name, const std::string& path,
                   StoredTensors& found, StoredTensors& tensors) {
  const auto at = found.find(name);
  if (at == found.end() || at->second.shape != expected.shape) {
    return {StatusCode::kDataLoss,
            fmt::format("{}: tensor \"{}\" is {}, config.json calls for {}; this is not the model "
                        "it describes",
                        path, name, at == found.end() ? "missing" : shape_text(at->second.shape),
                        shape_text(expected.shape))};
  }
  StoredTensor& tensor = tensors[expected.name];
  tensor = std::move(at->second);
  tensor.added = expected.is_norm ? 1.0F : 0.0F;
  found.erase(at);
  return {};
}

Status check_nothing_left(const StoredTensors& found, const std::string& path) {
  if (found.empty()) return {};
  return {StatusCode::kDataLoss,
          fmt::format("{}: {} tensors the model's config.json does not call for, {} among them",
                      path, found.size(), quote_for_message(found.begin()->first))};
}

}  // namespace

Status add_dense_files(const std::string& folder, const ModelConfig& config,
                       StoredTensors& tensors) {
  const std::vector<ExpectedTensor> expected = dense_tensors(config);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::string module = folder + "/" + config.dense[i].folder;
    NESTOR_ASSIGN_OR_RETURN(StoredTensors found, read_shards(module, {{kSingleFile}, {}}));
    NESTOR_RETURN_IF_ERROR(take_tensor(expected[i], "linear.weight", module, found, tensors));
    NESTOR_RETURN_IF_ERROR(check_nothing_left(found, module));
  }
  return {};
}

Result<std::unique_ptr<Checkpoint>> open_safetensors_checkpoint(const CheckpointOptions& options) {
  const std::string& folder = options.path;
  NESTOR_ASSIGN_OR_RETURN(ModelConfig config, read_model_config(folder));
  NESTOR_ASSIGN_OR_RETURN(const ShardList list, list_shards(folder));
  NESTOR_ASSIGN_OR_RETURN(StoredTensors found, read_shards(folder, list));
  std::string prefix;
  if (!found.contains("embed_tokens.weight") &&
      found.contains(std::string(kPrefix) + "embed_tokens.weight")) {
    prefix = kPrefix;
  }
  StoredTensors tensors;
  for (const ExpectedTensor& expected : transformer_tensors(config)) {
    NESTOR_RETURN_IF_ERROR(take_tensor(expected, prefix + expected.name, folder, found, tensors));
  }
  NESTOR_RETURN_IF_ERROR(check_nothing_left(found, folder));
  NESTOR_RETURN_IF_ERROR(add_dense_files(folder, config, tensors));
  NESTOR_ASSIGN_OR_RETURN(
      LoadedTokenizer tokenizer,
      load_tokenizer_model(folder + "/tokenizer.model", config, options.allow_unverified));
  NESTOR_ASSIGN_OR_RETURN(const SpaceParts parts,
                          identify_folder(folder, config, tokenizer.sha256, list.files));
  CheckpointIdentity identity{.name = model_name_of(parts),
                              .space = space_of(parts),
                              .weights_sha256 = parts.weights_sha256,
                              .tokenizer_sha256 = tokenizer.sha256,
                              .format = "safetensors " + main_format_name(tensors)};
  return std::unique_ptr<Checkpoint>(std::make_unique<StoredCheckpoint>(
      std::move(config), std::move(identity), std::move(tokenizer.vocabulary), std::move(tensors)));
}

}  // namespace nestor::embed
