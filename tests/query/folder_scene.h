// A folder of documents and a database beside it, with a hash in the model's place. Threads: one.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "query/folder_sync.h"
#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

namespace nestor::testing {

inline void write(const std::string& path, std::string_view text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

struct Scene {
  TempFolder temp;
  std::string folder = temp / "docs";
  std::shared_ptr<HashEncoder> encoder = std::make_shared<HashEncoder>();
  Database db;

  Scene() : db(open(temp / "db", encoder)) { std::filesystem::create_directories(folder); }

  static Database open(const std::string& path, const std::shared_ptr<HashEncoder>& encoder) {
    auto opened = query::open_database(path, {}, factory_of(encoder));
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    return std::move(opened).value();
  }
  void put(const std::string& name, std::string_view text) const {
    write(folder + "/" + name, text);
  }
  query::SyncReport sync(const query::SyncOptions& options = {}) {
    auto report = query::sync_folder(db, folder, options);
    REQUIRE_MESSAGE(report.ok(), report.status().to_string());
    return std::move(report).value();
  }
  Document get(const std::string& key) const {
    auto document = db.get(key);
    REQUIRE_MESSAGE(document.ok(), document.status().to_string());
    return std::move(document).value();
  }
  std::vector<std::string> keys() const { return db.list_keys().value(); }
};

inline bool skipped(const query::SyncReport& report, const std::string& path,
                    query::SkipReason reason) {
  return std::any_of(report.skipped.begin(), report.skipped.end(), [&](const auto& entry) {
    return entry.path == path && entry.reason == reason;
  });
}

}  // namespace nestor::testing
