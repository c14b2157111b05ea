#include "embed/model_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/file.h"
#include "core/macros.h"
#include "embed/packed_model.h"

namespace nestor::embed {
namespace {

constexpr const char* kModelName = "embeddinggemma-300m";
constexpr const char* kCacheName = "models--google--embeddinggemma-300m";

// What an encoder cannot do without; the rest is named by modules.json and missed at load.
constexpr const char* kNeeded[] = {"model.safetensors", "tokenizer.model", "config.json",
                                   "modules.json", "config_sentence_transformers.json"};

// Looks at a folder. Kinds of files are not looked at here: opening them says more.
ModelPlace look_at(std::string folder, std::string origin) {
  ModelPlace place;
  place.folder = std::move(folder);
  place.origin = std::move(origin);
  struct stat info {};
  if (::stat(place.folder.c_str(), &info) != 0) {
    place.problem = errno == ENOENT ? "no such folder" : std::generic_category().message(errno);
    return place;
  }
  if (!S_ISDIR(info.st_mode)) {
    place.problem = "not a folder";
    return place;
  }
  std::string missing;
  for (const char* name : kNeeded) {
    if (::stat((place.folder + "/" + name).c_str(), &info) == 0) continue;
    missing += (missing.empty() ? "it lacks " : ", ") + std::string(name);
  }
  place.has_source = missing.empty();
  for (const Precision precision : {Precision::kInt8, Precision::kBf16, Precision::kF32}) {
    if (::stat(packed_path(place.folder, precision).c_str(), &info) == 0) {
      place.packed.push_back(precision);
    }
  }
  if (place.packed.empty()) place.problem = std::move(missing);
  return place;
}

bool is_complete(const std::string& folder) { return look_at(folder, {}).problem.empty(); }

std::string hugging_face_hub() {
  if (std::string hub = environment("HF_HUB_CACHE"); !hub.empty()) return hub;
  if (std::string home = environment("HF_HOME"); !home.empty()) return home + "/hub";
  if (std::string cache = environment("XDG_CACHE_HOME"); cache.starts_with('/')) {
    return cache + "/huggingface/hub";
  }
  if (std::string home = environment("HOME"); !home.empty())
    return home + "/.cache/huggingface/hub";
  return {};
}

// The commit refs/main names: one line of hexadecimal digits.
std::string main_commit(const std::string& repository) {
  constexpr std::uint64_t kMostBytes = 128;
  const Result<std::string> text = read_file(repository + "/refs/main", kMostBytes);
  if (!text.ok()) return {};
  const std::string& line = text.value();
  return line.substr(0, line.find_first_not_of("0123456789abcdefABCDEF"));
}

}  // namespace

std::string default_model_folder() {
  const std::string data = data_folder();
  return data.empty() ? data : data + "/models/" + kModelName;
}

std::string hugging_face_model_folder() {
  const std::string hub = hugging_face_hub();
  if (hub.empty()) return {};
  const std::string repository = hub + "/" + kCacheName;
  const std::string snapshots = repository + "/snapshots";
  if (const std::string commit = main_commit(repository); !commit.empty()) {
    if (std::string folder = snapshots + "/" + commit; is_complete(folder)) return folder;
  }
  std::error_code error;
  for (std::filesystem::directory_iterator at(snapshots, error), end; !error && at != end;
       at.increment(error)) {
    if (std::string folder = at->path().string(); is_complete(folder)) return folder;
  }
  return repository;
}

std::string packed_path(const std::string& folder, Precision precision) {
  return folder + "/model-" + precision_name(precision) + std::string(kPackedSuffix);
}

std::vector<ModelPlace> model_places(const std::string& folder) {
  if (!folder.empty()) return {look_at(folder, "the folder asked for")};
  if (const std::string named = environment("NESTOR_MODEL"); !named.empty()) {
    return {look_at(named, "NESTOR_MODEL")};
  }
  std::vector<ModelPlace> places;
  if (std::string own = default_model_folder(); !own.empty()) {
    places.push_back(look_at(std::move(own), "Nestor's model folder"));
  }
  if (std::string cached = hugging_face_model_folder(); !cached.empty()) {
    places.push_back(look_at(std::move(cached), "the Hugging Face cache"));
  }
  return places;
}

namespace {

// A file that was named: packed, or something to pack.
Result<ModelLocation> locate_file(const std::string& path, std::optional<Precision> asked) {
  const Result<PackedSummary> packed = read_packed_summary(path);
  if (!packed.ok()) {
    if (path.ends_with(kPackedSuffix)) return packed.status();
    return ModelLocation{.packed = {}, .source = path};
  }
  if (!asked.has_value() || packed.value().precision == *asked) {
    return ModelLocation{.packed = path, .source = {}};
  }
  return Status(StatusCode::kUnsupported,
                path + " is packed as " + precision_name(packed.value().precision) +
                    ", asked for is " + precision_name(*asked) +
                    "; leave the precision out, or make the other one with `nestor model pack`");
}

// Of the packed files of a place, the one to open; nothing where none fits.
std::optional<Precision> choose_packed(const ModelPlace& place, std::optional<Precision> asked,
                                       Precision preferred) {
  const auto has = [&](Precision precision) {
    return std::find(place.packed.begin(), place.packed.end(), precision) != place.packed.end();
  };
  if (asked.has_value()) return has(*asked) ? asked : std::nullopt;
  if (has(preferred)) return preferred;
  // A checkpoint can be packed as preferred; without one, what there is.
  if (place.packed.empty() || place.has_source) return std::nullopt;
  return place.packed.front();
}

}  // namespace

Result<ModelLocation> find_model(const std::string& named, std::optional<Precision> asked,
                                 Precision preferred) {
  const std::string file = named.empty() ? environment("NESTOR_MODEL") : named;
  if (!file.empty() && is_regular_file(file)) return locate_file(file, asked);
  for (const ModelPlace& place : model_places(named)) {
    if (!place.problem.empty()) continue;
    const std::optional<Precision> packed = choose_packed(place, asked, preferred);
    if (!packed.has_value() && !place.has_source) continue;
    return ModelLocation{
        .packed = packed.has_value() ? packed_path(place.folder, *packed) : std::string(),
        .source = place.has_source ? place.folder : std::string()};
  }
  NESTOR_ASSIGN_OR_RETURN(const std::string folder, find_model_folder(named));
  const std::string wanted = precision_name(asked.value_or(preferred));
  return Status(
      StatusCode::kModelMissing,
      folder + " holds no " + wanted +
          " model and no checkpoint to make one from; leave the precision out, or get one "
          "with `nestor model pull --precision " +
          wanted + "`");
}

Result<std::string> find_model_folder(const std::string& folder) {
  const std::vector<ModelPlace> places = model_places(folder);
  std::string message = "EmbeddingGemma-300M is not in place. Looked in:";
  for (const ModelPlace& place : places) {
    if (place.problem.empty()) return place.folder;
    message += "\n  " + place.folder + " (" + place.origin + "): " + place.problem;
  }
  if (places.empty()) message += "\n  nowhere: neither HOME nor NESTOR_MODEL is set";
  message +=
      "\nTo get it, type one of:"
      "\n  nestor model pull --accept-gemma-terms   (download, 1.2 GB; the weights are under the "
      "Gemma "
      "Terms of Use)"
      "\n  nestor model pull --gguf --accept-gemma-terms   (0.3 GB, weights of 8 bits)"
      "\n  nestor model pull --from FOLDER          (copy one you have)"
      "\nor set NESTOR_MODEL to its folder.";
  return Status(StatusCode::kModelMissing, std::move(message));
}

}  // namespace nestor::embed
