#include "embed/model_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/file.h"

namespace nestor::embed {
namespace {

constexpr const char* kModelName = "embeddinggemma-300m";
constexpr const char* kCacheName = "models--google--embeddinggemma-300m";

// What an encoder cannot do without; the rest is named by modules.json and missed at load.
constexpr const char* kNeeded[] = {"model.safetensors", "tokenizer.model", "config.json",
                                   "modules.json", "config_sentence_transformers.json"};

// Empty when everything is there. Kinds of files are not looked at here: opening them says more.
std::string problem_of(const std::string& folder) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) {
    return errno == ENOENT ? "no such folder" : std::generic_category().message(errno);
  }
  if (!S_ISDIR(info.st_mode)) return "not a folder";
  std::string missing;
  for (const char* name : kNeeded) {
    if (::stat((folder + "/" + name).c_str(), &info) == 0) continue;
    missing += (missing.empty() ? "it lacks " : ", ") + std::string(name);
  }
  return missing;
}

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
    if (std::string folder = snapshots + "/" + commit; problem_of(folder).empty()) return folder;
  }
  std::error_code error;
  for (std::filesystem::directory_iterator at(snapshots, error), end; !error && at != end;
       at.increment(error)) {
    if (std::string folder = at->path().string(); problem_of(folder).empty()) return folder;
  }
  return repository;
}

std::vector<ModelPlace> model_places(const std::string& folder) {
  if (!folder.empty()) return {{folder, "the folder asked for", problem_of(folder)}};
  if (const std::string named = environment("NESTOR_MODEL"); !named.empty()) {
    return {{named, "NESTOR_MODEL", problem_of(named)}};
  }
  std::vector<ModelPlace> places;
  if (std::string own = default_model_folder(); !own.empty()) {
    places.push_back({own, "Nestor's model folder", problem_of(own)});
  }
  if (std::string cached = hugging_face_model_folder(); !cached.empty()) {
    std::string problem = problem_of(cached);
    places.push_back({std::move(cached), "the Hugging Face cache", std::move(problem)});
  }
  return places;
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
      "\n  nestor model pull --from FOLDER          (copy one you have)"
      "\nor set NESTOR_MODEL to its folder.";
  return Status(StatusCode::kModelMissing, std::move(message));
}

}  // namespace nestor::embed
