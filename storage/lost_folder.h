// Where a repair puts what it cannot keep: a folder lost-YYYYMMDDTHHMMSS inside the database.
// `records` has damaged records byte for byte, `documents-COLLECTION.jsonl` the documents that can
// be read but lack vectors, one object a line as `nestor add --jsonl` takes them. Nothing reads it
// again but people. Layout of `records`: FORMAT.md. Threads: one.
#pragma once

#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "nestor/document.h"
#include "nestor/status.h"

namespace nestor::storage {

inline constexpr const char* kLostPrefix = "lost-";

class LostFolder {
 public:
  // Nothing is made before there is something to put in.
  explicit LostFolder(std::string database) : database_(std::move(database)) {}

  // Errors of all: kIoError, kNoSpace.
  Status put_record(std::string_view key, std::string_view value);
  Status put_document(const std::string& collection, const Document& document);
  // A copy of a file of the database, where it is there.
  Status put_copy(const std::string& name);
  // Makes the folder if it is not there yet, and syncs everything in it. To be called before what
  // lies in it is taken away.
  Status finish();
  // Empty: nothing was put in.
  [[nodiscard]] const std::string& path() const { return path_; }
  Status make();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  Status append(const std::string& name, std::string_view bytes);
  const std::string database_;
  std::string path_;
  std::map<std::string, std::unique_ptr<std::FILE, Close>> files_;
};

}  // namespace nestor::storage
