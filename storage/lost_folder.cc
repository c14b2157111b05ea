#include "storage/lost_folder.h"

#include <errno.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <system_error>

#include "core/bytes.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json_writer.h"
#include "core/macros.h"

namespace nestor::storage {

namespace fs = std::filesystem;

Status LostFolder::make() {
  if (!path_.empty()) return {};
  const std::string stem =
      fmt::format("{}/{}{:%Y%m%dT%H%M%S}", database_, kLostPrefix, fmt::gmtime(std::time(nullptr)));
  for (int number = 1;; ++number) {
    std::string path = number == 1 ? stem : fmt::format("{}-{}", stem, number);
    std::error_code error;
    if (fs::create_directory(path, error)) {
      path_ = std::move(path);
      return sync_folder(database_);
    }
    if (error) {
      return {StatusCode::kIoError, fmt::format("cannot make {}: {}", path, error.message())};
    }
  }
}

Status LostFolder::append(const std::string& name, std::string_view bytes) {
  NESTOR_RETURN_IF_ERROR(make());
  auto& file = files_[name];
  const std::string path = path_ + "/" + name;
  if (file == nullptr) file.reset(std::fopen(path.c_str(), "wbe"));
  if (file == nullptr) return errno_status(errno, "make", path);
  if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) {
    return errno_status(errno, "write", path);
  }
  return {};
}

Status LostFolder::put_record(std::string_view key, std::string_view value) {
  ByteWriter out;
  if (!files_.contains("records")) out.raw("NESTORLR");
  ByteWriter record;
  record.string(key);
  record.string(value);
  out.raw(record.bytes());
  out.u64(hash64(record.bytes()));
  return append("records", out.bytes());
}

Status LostFolder::put_document(const std::string& collection, const Document& document) {
  JsonWriter line(JsonWriter::IllFormed::kReplace);
  line.begin_object();
  line.member("key", document.key);
  if (!document.title.empty()) line.member("title", document.title);
  line.member("text", document.text);
  if (!document.metadata.empty()) {
    line.key("metadata");
    line.literal(metadata_to_json(document.metadata));
  }
  line.end_object();
  return append(fmt::format("documents-{}.jsonl", collection), line.take() + "\n");
}

Status LostFolder::put_copy(const std::string& name) {
  const std::string from = database_ + "/" + name;
  if (!is_regular_file(from)) return {};
  NESTOR_RETURN_IF_ERROR(make());
  std::error_code error;
  fs::copy_file(from, path_ + "/" + name, fs::copy_options::overwrite_existing, error);
  if (!error) return {};
  return {StatusCode::kIoError,
          fmt::format("cannot copy {} to {}: {}", from, path_, error.message())};
}

Status LostFolder::finish() {
  for (auto& [name, file] : files_) {
    if (std::fflush(file.get()) != 0 || ::fsync(::fileno(file.get())) != 0) {
      return errno_status(errno, "sync", path_ + "/" + name);
    }
  }
  files_.clear();
  return path_.empty() ? Status() : sync_folder(path_);
}

}  // namespace nestor::storage
