// A database on its way: readers that catch up, backups, bundles, export and import as lines of
// JSON. The calls are those of Database (nestor/database.h); FORMAT.md describes the bytes.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/export.h"
#include "nestor/filter.h"
#include "nestor/options.h"
#include "nestor/search.h"
#include "nestor/status.h"

namespace nestor {

struct RefreshReport {
  bool changed = false;
  std::uint64_t sequence = 0;  // of the last batch that this handle sees now
};

struct BackupOptions {
  // Where the copy lies on the same file system, its tables share their disk blocks with the
  // database (nothing ever changes them): quick, and no room is taken until the database drops
  // them. Such a copy does not outlive the disk; false copies every byte.
  bool hard_links = true;
  bool verify = true;  // read and check all of the copy before it gets its name
  std::stop_token stop = {};
};

struct BackupReport {
  std::uint64_t sequence = 0;     // of the last batch that is in it
  std::int64_t bytes = 0;         // of its files
  std::int64_t shared_bytes = 0;  // of these, shared with the database
  bool verified = false;
  std::int64_t documents = 0;  // as verified
  std::int64_t passages = 0;
};

struct BundledCollection {
  std::string name;
  std::string space;  // hex; "external" for bring-your-own vectors
  std::string model;
  int width = 0;
  std::int64_t documents = 0;
  std::int64_t passages = 0;
  std::string digest;  // 32 hex digits: the sum of the hashes of all records
  Metric metric = Metric::kCosine;
  std::map<std::string, std::string> attributes = {};  // the language among them
  bool operator==(const BundledCollection&) const = default;
};

// What a bundle is known by.
struct BundleReport {
  std::string sha256;  // of the file up to these digits, which are its last 64 bytes
  std::int64_t bytes = 0;
  int format_version = 0;
  std::uint64_t sequence = 0;
  std::vector<BundledCollection> collections;
};

struct ExportOptions {
  std::string collection = kDefaultCollection;
  Filter filter = {};   // empty: all documents; expired ones are left out anyway
  bool vectors = true;  // false: an import embeds the texts again
  std::stop_token stop = {};
};

struct ExportReport {
  std::int64_t documents = 0;
  std::int64_t passages = 0;
  std::uint64_t sequence = 0;  // of the state that was exported
};

// Takes one line, without its end. An error ends the export with it.
using LineWriter = std::function<Status(std::string_view line)>;
// Gives one line, without its end, valid until the next call; nothing at the end.
using LineSource = std::function<Result<std::optional<std::string_view>>()>;

struct ImportOptions {
  std::string collection = {};  // empty: the one that the file names
  bool reembed = false;         // embed the texts even where the vectors would do
  // How a new collection compares user vectors from a file of version 1, which does not say;
  // nothing: cosine. A file that says something else is refused.
  std::optional<Metric> metric = {};
  std::int64_t batch_documents = 256;  // in one atomic batch, 1 to 10,000; also at most 32 MiB
  std::stop_token stop = {};
  std::function<void(std::int64_t documents)> progress = {};  // after each batch
};

struct ImportReport {
  std::string collection;
  std::int64_t documents_added = 0;
  std::int64_t documents_updated = 0;
  std::int64_t documents_unchanged = 0;
  std::int64_t vectors_taken = 0;
  std::int64_t passages_embedded = 0;
  std::string note;  // why the vectors of the file were not taken; empty where they were
};

}  // namespace nestor
