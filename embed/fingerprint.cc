#include "embed/fingerprint.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/json_writer.h"
#include "core/macros.h"
#include "embed/prompt.h"

namespace nestor::embed {
namespace {

// Source: google/embeddinggemma-300m on Hugging Face, the revision with dtype float32.
constexpr std::array<KnownModelFile, 11> kKnownFiles = {{
    {"model.safetensors", "cbf5a78393b6a033e0b8a63a57549964f7ed5c6fbeb4ba0694214f36123f2fd2",
     1'211'486'072},
    {"tokenizer.json", "6852f8d561078cc0cebe70ca03c5bfdd0d60a45f9d2e0e1e4cc05b68e9ec329e",
     33'385'008},
    {"2_Dense/model.safetensors",
     "c327f2acb00149676ade24a75e11eb6ebbd367f9ee050267ba56829d2979f702", 9'437'272},
    {"3_Dense/model.safetensors",
     "ffb6cc5162e11e2ce6bc2367e121ee3bbbc4e82e1ee26826bd7573d4948d81b8", 9'437'272},
    {"tokenizer.model", "1299c11d7cf632ef3b4e11937501358ada021bbdf7c47638d13c0ee982f2e79c",
     4'689'074},
    {"config.json", "8f863f76e2d9c710cc833dc92efa898c9adfd41031c786507cc6b0e49c2e3e68", 1'488},
    {"config_sentence_transformers.json",
     "8eadac15526f83d8950aa8d962a7f4f6e3d678bea71689960194561f33a5f64f", 997},
    {"modules.json", "5b5649645fb756dad1a8e2efe7872d3bb32bc00b93c95f276dd17f474eedccdc", 573},
    {"1_Pooling/config.json", "35bbd47d7fdf1e378db6130bcc668b09d1aa67a7bbf7c8f89a9c71f4cc8ebcc6",
     312},
    {"2_Dense/config.json", "0661e5e0b67b8f8408ab31ab5d073a78972fc1dc24a49992a64796557e4f9e53",
     134},
    {"3_Dense/config.json", "8c4575c49353d63fb907878856ba94384635c3b2711fd5b7439e7f71888c66fc",
     134},
}};

std::string known_sha256(std::string_view path) {
  for (const KnownModelFile& file : kKnownFiles) {
    if (path == file.path) return file.sha256;
  }
  return {};
}

// What must not have changed for a remembered checksum to hold.
struct FileIdentity {
  std::string key;  // hash of the real path: a path need not be UTF-8, a JSON name must
  std::int64_t bytes = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

Result<FileIdentity> identify(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return errno_status(errno, "look at", path);
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  const auto nanoseconds = [](const timespec& time) {
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
  };
  return FileIdentity{.key = sha256_hex(error ? path : real.string()).substr(0, 32),
                      .bytes = info.st_size,
                      .modified_ns = nanoseconds(info.st_mtim),
                      .changed_ns = nanoseconds(info.st_ctim),
                      .inode = info.st_ino};
}

// The file of remembered checksums. Its content is not trusted: what does not read as it should is
// not there.
class ChecksumCache {
 public:
  ChecksumCache() : folder_(cache_folder()) {
    if (folder_.empty()) return;
    const Result<std::string> text = read_file(path(), kMostBytes);
    if (!text.ok()) return;
    const Result<JsonValue> parsed = parse_json(text.value());
    if (!parsed.ok() || !parsed.value().is_object() || parsed.value().size() >= kMostEntries) {
      return;
    }
    for (const auto& [key, entry] : parsed.value().members()) {
      if (std::optional<Entry> read = entry_of(key, entry)) entries_[key] = *std::move(read);
    }
  }

  [[nodiscard]] std::string find(const FileIdentity& identity) const {
    const auto at = entries_.find(identity.key);
    return at != entries_.end() && at->second.file == identity ? at->second.sha256 : std::string();
  }

  void remember(const FileIdentity& identity, const std::string& sha256) {
    if (folder_.empty()) return;
    entries_[identity.key] = {identity, sha256};
    // A cache that cannot be written costs time and nothing else.
    if (make_folders(folder_).ok()) {
      [[maybe_unused]] const Status ignored = write_file_atomic(path(), written());
    }
  }

 private:
  struct Entry {
    FileIdentity file;
    std::string sha256;
  };
  static constexpr std::uint64_t kMostBytes = 1 << 20;
  static constexpr std::size_t kMostEntries = 256;

  [[nodiscard]] std::string path() const { return folder_ + "/checksums.json"; }

  static std::optional<Entry> entry_of(const std::string& key, const JsonValue& object) {
    const auto whole = [&](const char* name) {
      const JsonValue* const number = object.find(name);
      return number != nullptr && number->is_whole_between(INT64_MIN, INT64_MAX)
                 ? std::optional(number->get<std::int64_t>())
                 : std::nullopt;
    };
    const auto bytes = whole("bytes"), modified = whole("modified_ns"),
               changed = whole("changed_ns");
    const JsonValue* const inode = object.find("inode");
    const JsonValue* const sha256 = object.find("sha256");
    const bool plausible =
        object.size() == 5 && bytes && modified && changed && inode != nullptr &&
        inode->is_number_unsigned() && sha256 != nullptr && sha256->is_string() &&
        sha256->text().size() == 64 &&
        sha256->text().find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!plausible) return std::nullopt;
    return Entry{.file = {.key = key,
                          .bytes = *bytes,
                          .modified_ns = *modified,
                          .changed_ns = *changed,
                          .inode = inode->get<std::uint64_t>()},
                 .sha256 = sha256->text()};
  }

  [[nodiscard]] std::string written() const {
    JsonWriter writer(JsonWriter::IllFormed::kReplace, /*indent=*/1);
    writer.begin_object();
    for (const auto& [key, entry] : entries_) {
      writer.key(key);
      writer.begin_object();
      writer.member("bytes", entry.file.bytes);
      writer.member("changed_ns", entry.file.changed_ns);
      writer.member("inode", entry.file.inode);
      writer.member("modified_ns", entry.file.modified_ns);
      writer.member("sha256", entry.sha256);
      writer.end_object();
    }
    writer.end_object();
    return writer.take();
  }

  std::string folder_;
  std::map<std::string, Entry> entries_;
};

ModelFileReport inspect(const std::string& folder, const KnownModelFile& known,
                        const std::function<bool(std::uint64_t)>& on_bytes, Status& stopped) {
  ModelFileReport report;
  report.known = &known;
  const std::string path = folder + "/" + known.path;
  const Result<RandomAccessFile> file = RandomAccessFile::open(path);
  if (!file.ok()) {
    report.state = file.status().code() == StatusCode::kNotFound ? ModelFileState::kMissing
                                                                 : ModelFileState::kUnreadable;
    report.problem = file.status().message();
    return report;
  }
  report.bytes = file.value().bytes();
  if (report.bytes != known.bytes) {
    report.state = ModelFileState::kDiffers;
    report.problem = fmt::format("{} has {} bytes, expected {}", path, report.bytes, known.bytes);
    return report;
  }
  Result<std::string> sha256 = sha256_hex_of_file(path, on_bytes);
  if (!sha256.ok()) {
    if (sha256.status().code() == StatusCode::kCancelled) stopped = sha256.status();
    report.state = ModelFileState::kUnreadable;
    report.problem = sha256.status().message();
    return report;
  }
  report.sha256 = std::move(sha256).value();
  report.state = report.sha256 == known.sha256 ? ModelFileState::kGood : ModelFileState::kDiffers;
  if (report.state == ModelFileState::kDiffers) {
    report.problem =
        fmt::format("{} has the SHA-256 {}, expected {}", path, report.sha256, known.sha256);
  }
  return report;
}

}  // namespace

std::span<const KnownModelFile> known_model_files() { return kKnownFiles; }

const std::string& known_tokenizer_sha256() {
  static const std::string kSha256 = known_sha256("tokenizer.model");
  return kSha256;
}

const std::string& known_vocabulary_sha256() {
  static const std::string kSha256 =
      "fcc9a9c3f66183808b3e494edaf79790dd8f6b0ff86581cf02454d606cc0db4d";
  return kSha256;
}

Result<std::vector<ModelFileReport>> verify_model_files(const std::string& folder,
                                                        const VerifyProgress& on_progress) {
  std::uint64_t total = 0;
  for (const KnownModelFile& file : kKnownFiles) total += file.bytes;
  std::uint64_t done = 0;
  Status stopped;
  std::vector<ModelFileReport> reports;
  for (const KnownModelFile& file : kKnownFiles) {
    const std::uint64_t before = done;
    reports.push_back(inspect(
        folder, file,
        [&](std::uint64_t bytes) {
          done += bytes;
          return !on_progress || on_progress(done, total);
        },
        stopped));
    NESTOR_RETURN_IF_ERROR(stopped);
    done = before + file.bytes;
  }
  return reports;
}

Result<std::string> cached_sha256_of_file(const std::string& path) {
  // One at a time, so that files opened side by side do not lose each other's entries.
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  NESTOR_ASSIGN_OR_RETURN(const FileIdentity before, identify(path));
  ChecksumCache cache;
  if (std::string sha256 = cache.find(before); !sha256.empty()) return sha256;
  NESTOR_ASSIGN_OR_RETURN(std::string sha256, sha256_hex_of_file(path));
  NESTOR_ASSIGN_OR_RETURN(const FileIdentity after, identify(path));
  if (before == after) cache.remember(after, sha256);
  return sha256;
}

Result<SpaceParts> identify_folder(const std::string& folder, const ModelConfig& config,
                                   const std::string& tokenizer_sha256,
                                   const std::vector<std::string>& weight_files) {
  SpaceParts parts;
  parts.config = &config;
  parts.tokenizer_sha256 = tokenizer_sha256;
  std::string list;
  for (const std::string& file : weight_files) {
    NESTOR_ASSIGN_OR_RETURN(parts.weights_sha256, cached_sha256_of_file(folder + "/" + file));
    list += file + " " + parts.weights_sha256 + "\n";
  }
  if (weight_files.size() != 1) parts.weights_sha256 = sha256_hex(list);
  for (const DenseConfig& dense : config.dense) {
    NESTOR_ASSIGN_OR_RETURN(std::string sha256, cached_sha256_of_file(folder + "/" + dense.folder +
                                                                      "/model.safetensors"));
    parts.dense_sha256s.push_back(std::move(sha256));
  }
  return parts;
}

std::string space_of(const SpaceParts& parts) {
  constexpr int kRoleCount = 8;
  std::string text = "nestor vector space 1\n";
  text += "checkpoint " + parts.weights_sha256 + "\n";
  for (const std::string& dense : parts.dense_sha256s) text += "dense " + dense + "\n";
  text += "tokenizer " + parts.tokenizer_sha256 + "\n";
  text += "pooling mean\n";
  for (int role = 0; role < kRoleCount; ++role) {
    const std::string prompt = bare_prompt(parts.config->prompts, static_cast<Role>(role));
    text += fmt::format("prompt {} {} {}\n", role, prompt.size(), prompt);
  }
  return sha256_hex(text);
}

std::string model_name_of(const SpaceParts& parts) {
  bool known = parts.weights_sha256 == known_sha256("model.safetensors") &&
               parts.dense_sha256s.size() == parts.config->dense.size() &&
               parts.dense_sha256s.size() == 2;
  for (std::size_t i = 0; known && i < parts.dense_sha256s.size(); ++i) {
    known = parts.dense_sha256s[i] ==
            known_sha256(parts.config->dense[i].folder + "/model.safetensors");
  }
  return known ? "embeddinggemma-300m" : "unverified-" + parts.weights_sha256.substr(0, 8);
}

}  // namespace nestor::embed
