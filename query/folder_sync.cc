#include "query/folder_sync.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <set>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "core/file.h"
#include "core/hash.h"
#include "core/macros.h"
#include "core/text.h"
#include "core/text_source.h"
#include "query/add_report.h"
#include "query/chunker.h"
#include "query/icu_text.h"
#include "query/input_check.h"
#include "query/name_forms.h"
#include "query/text_blocks.h"

namespace nestor::query {
namespace {

// About 32 passages of 256 tokens: some ten seconds of work on two cores, which is what a
// kill can cost.
constexpr std::int64_t kBatchBytes = 32 * 1024;
constexpr std::size_t kBatchDocuments = 64;
// Before anything is known: what English prose comes to with this tokenizer.
constexpr double kTokensPerByte = 0.24;
// See folder_sync.h: fewer missing documents than these are taken for what a person did.
constexpr std::int64_t kLeastOfAll = 2;
constexpr std::int64_t kLeastOfMost = 4;

std::string file_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

// What a reader would call it: the top-level heading, a heading of any level that it begins with,
// or the file's name.
std::string title_of(std::string_view text, std::string_view path) {
  std::string title = find_title(text);
  if (title.empty()) {
    const std::vector<TextBlock> blocks = find_blocks(text);
    if (!blocks.empty() && blocks.front().kind == BlockKind::kHeading) title = blocks.front().title;
  }
  if (title.empty()) title = file_name(path);
  title.resize(floor_to_code_point(title, kMostTitleBytes));
  return title;
}

class FolderSync {
 public:
  FolderSync(Database& database, std::string folder, const SyncOptions& options)
      : database_(database), folder_(std::move(folder)), options_(options) {}

  Result<SyncReport> run() {
    NESTOR_ASSIGN_OR_RETURN(
        FolderListing listing,
        walk_folder(folder_, {options_.most_file_bytes, options_.database_path, options_.stop}));
    NESTOR_RETURN_IF_ERROR(bind_collection());
    report_.skipped = std::move(listing.skipped);
    for (const FolderFile& file : listing.files) bytes_left_ += file.bytes;
    seen_.files_total = static_cast<std::int64_t>(listing.files.size());
    for (const FolderFile& file : listing.files) {
      NESTOR_RETURN_IF_ERROR(take(file));
      if (report_.interrupted) return std::move(report_);
    }
    NESTOR_RETURN_IF_ERROR(commit());
    if (!report_.interrupted) NESTOR_RETURN_IF_ERROR(remove_the_gone());
    if (!report_.interrupted) NESTOR_RETURN_IF_ERROR(mark_finished());
    return std::move(report_);
  }

 private:
  // The collection is there afterwards, belongs to this folder, and it is known whether an equal
  // text means an equal cut.
  Status bind_collection() {
    NESTOR_ASSIGN_OR_RETURN([[maybe_unused]] const bool created,
                            database_.create_collection(options_.collection));
    NESTOR_ASSIGN_OR_RETURN(const std::string bound, attribute(kFolderAttribute));
    if (!bound.empty() && bound != folder_ && !options_.own_database && is_folder(bound)) {
      return {
          StatusCode::kAlreadyExists,
          fmt::format("collection '{}' is kept in step with {}, not with {}. Give the new folder "
                      "another collection or another database",
                      options_.collection, quote_for_message(bound, 512),
                      quote_for_message(folder_, 512))};
    }
    if (bound != folder_) NESTOR_RETURN_IF_ERROR(set_attribute(kFolderAttribute, folder_));
    NESTOR_ASSIGN_OR_RETURN(const std::string cut, attribute(kCutAttribute));
    cut_is_known_ = cut == cut_name();
    // Until this run is through, some documents have the one cut and some the other.
    if (!cut_is_known_ && !cut.empty()) return set_attribute(kCutAttribute, "");
    return {};
  }

  // An attribute that was never set is empty.
  Result<std::string> attribute(const char* name) const {
    Result<std::string> value = database_.attribute(options_.collection, name);
    if (!value.ok() && value.status().code() == StatusCode::kNotFound) return std::string();
    return value;
  }

  Status set_attribute(const char* name, const std::string& value) {
    return database_.set_attribute(options_.collection, name, value);
  }

  [[nodiscard]] std::string cut_name() const {
    return options_.split.enabled ? fmt::format("{}", options_.split.passage_tokens) : "whole";
  }

  Status take(const FolderFile& file) {
    keys_.insert(file.path);
    bytes_left_ -= file.bytes;
    Result<std::string> bytes =
        read_file(folder_ + "/" + file.path, static_cast<std::uint64_t>(options_.most_file_bytes));
    if (!bytes.ok()) {
      const StatusCode code = bytes.status().code();
      const bool unreadable = code == StatusCode::kIoError;
      // What cannot be read now may be read tomorrow: its document stays. What went away does not.
      if (!unreadable) keys_.erase(file.path);
      skip(file.path, unreadable ? SkipReason::kUnreadable : SkipReason::kChanged,
           bytes.status().message());
      return {};
    }
    if (!take_text(file.path, bytes.value())) keys_.erase(file.path);
    const bool full = batch_bytes_ >= kBatchBytes || batch_.size() >= kBatchDocuments;
    if (full || options_.stop.stop_requested()) return commit();
    return {};
  }

  // False where the file is no document; it is then among the skipped.
  bool take_text(const std::string& path, std::string_view bytes) {
    if (!looks_like_text(path, bytes.substr(0, kTextHeadBytes))) {
      skip(path, SkipReason::kBinary, "");
      return false;
    }
    DecodedText decoded = decode_text(bytes);
    if (is_blank(decoded.text)) {
      skip(path, SkipReason::kEmpty, "");
      return false;
    }
    if (static_cast<std::int64_t>(decoded.text.size()) > options_.most_file_bytes) {
      skip(path, SkipReason::kTooLarge, "as UTF-8, with what is ill-formed repaired");
      return false;
    }
    if (decoded.source.changes.size() > kMostSourceChanges) {
      skip(path, SkipReason::kBinary, "too much of it is ill-formed");
      return false;
    }
    if (decoded.replaced_count > 0) report_.repaired.push_back({path, decoded.replaced_count});
    add_document(path, std::move(decoded));
    return true;
  }

  void skip(const std::string& path, SkipReason reason, std::string detail) {
    report_.skipped.push_back({path, reason, std::move(detail), false});
    ++seen_.files_done;
    tell();
  }

  void add_document(const std::string& path, DecodedText decoded) {
    ++report_.files;
    const std::string name = composed_name(path);
    Document document;
    document.key = path;
    document.title = title_of(decoded.text, name);
    document.text = std::move(decoded.text);
    document.metadata = {{"path", name}};
    document.source = std::move(decoded.source);
    texts_.insert(hash128(document.text));
    if (is_stored_already(document)) {
      ++report_.documents.documents_unchanged;
      ++seen_.files_done;
      tell();
      return;
    }
    batch_bytes_ += static_cast<std::int64_t>(document.text.size());
    batch_.push_back(std::move(document));
  }

  // Spares the model: Database::add would come to the same, but has to load it first.
  bool is_stored_already(const Document& document) const {
    if (!cut_is_known_) return false;
    const Result<Document> stored = database_.get(document.key, options_.collection);
    return stored.ok() && stored.value().text == document.text &&
           stored.value().title == document.title && stored.value().metadata == document.metadata &&
           stored.value().source == document.source;
  }

  Status commit() {
    if (options_.stop.stop_requested()) {
      report_.interrupted = true;
      return {};
    }
    if (batch_.empty()) return {};
    AddOptions add;
    add.collection = options_.collection;
    add.split = options_.split;
    add.stop = options_.stop;
    const SyncProgress before = seen_;
    add.progress = [&](const Progress& progress) {
      seen_.passages_done = before.passages_done + progress.passages_done;
      seen_.tokens_done = before.tokens_done + progress.tokens_done;
      tell(progress.tokens_total - progress.tokens_done);
    };
    const Result<AddReport> added = database_.add(batch_, add);
    seen_ = before;
    if (!added.ok()) {
      if (added.status().code() != StatusCode::kCancelled) return added.status();
      report_.interrupted = true;
      return {};
    }
    count(added.value());
    seen_.files_done += static_cast<std::int64_t>(batch_.size());
    batch_.clear();
    batch_bytes_ = 0;
    tell();
    return {};
  }

  void count(const AddReport& added) {
    accumulate(report_.documents, added);
    seen_.passages_done += added.passages_embedded;
    seen_.tokens_done += added.tokens_embedded;
    if (added.tokens_embedded > 0) bytes_embedded_ += batch_bytes_;
  }

  void tell(std::int64_t batch_tokens_left = 0) const {
    if (!options_.progress) return;
    SyncProgress progress = seen_;
    const double per_byte = bytes_embedded_ == 0
                                ? kTokensPerByte
                                : static_cast<double>(report_.documents.tokens_embedded) /
                                      static_cast<double>(bytes_embedded_);
    progress.tokens_total = progress.tokens_done + batch_tokens_left +
                            static_cast<std::int64_t>(per_byte * static_cast<double>(bytes_left_));
    options_.progress(progress);
  }

  // What could not be read, and all below it: a folder that cannot be listed says nothing about the
  // files in it.
  [[nodiscard]] std::vector<std::string> unreadable_paths() const {
    std::vector<std::string> paths;
    for (const SkippedFile& skipped : report_.skipped) {
      if (skipped.reason == SkipReason::kUnreadable) paths.push_back(skipped.path);
    }
    return paths;
  }

  struct GoneDocuments {
    std::int64_t of_files = 0;         // documents of files, gone or not
    std::vector<std::string> moved;    // their text is in the folder under another name
    std::vector<std::string> missing;  // it is not
  };

  Result<GoneDocuments> find_the_gone() const {
    const std::vector<std::string> unreadable = unreadable_paths();
    const auto may_still_be_there = [&](const std::string& key) {
      return std::any_of(unreadable.begin(), unreadable.end(), [&](const std::string& path) {
        return key == path || key.starts_with(path + "/");
      });
    };
    GoneDocuments gone;
    for (std::string after;;) {
      NESTOR_ASSIGN_OR_RETURN(const std::vector<std::string> keys,
                              database_.list_keys(options_.collection, after));
      if (keys.empty()) return gone;
      after = keys.back();
      for (const std::string& key : keys) {
        if (keys_.contains(key) || may_still_be_there(key)) {
          ++gone.of_files;
          continue;
        }
        const Result<Document> document = database_.get(key, options_.collection);
        const bool damaged = document.status().code() == StatusCode::kDataLoss;
        if (!document.ok() && !damaged) return document.status();
        // Documents that somebody added by hand are not ours to remove.
        if (!damaged && !is_document_of_file(document.value())) continue;
        ++gone.of_files;
        const bool moved = !damaged && texts_.contains(hash128(document.value().text));
        (moved ? gone.moved : gone.missing).push_back(key);
      }
    }
  }

  Status remove_the_gone() {
    NESTOR_ASSIGN_OR_RETURN(GoneDocuments gone, find_the_gone());
    NESTOR_ASSIGN_OR_RETURN(const bool kept, keeps_missing(gone));
    std::vector<std::string> removed = std::move(gone.moved);
    if (kept) {
      report_.missing = std::move(gone.missing);
    } else {
      removed.insert(removed.end(), gone.missing.begin(), gone.missing.end());
    }
    if (!removed.empty()) {
      NESTOR_ASSIGN_OR_RETURN(report_.removed,
                              database_.remove(removed, RemoveOptions{options_.collection}));
    }
    if (kept) return {};
    NESTOR_RETURN_IF_ERROR(set_attribute(kHeldAttribute, ""));
    return set_attribute(kFilesAttribute, fmt::format("{}", gone.of_files - std::ssize(removed)));
  }

  // Whether the missing documents stay; what later runs have to know of it is stored first.
  Result<bool> keeps_missing(const GoneDocuments& gone) {
    const std::int64_t missing = std::ssize(gone.missing);
    if (missing == 0 || options_.remove_missing) return false;
    NESTOR_ASSIGN_OR_RETURN(const std::string held, attribute(kHeldAttribute));
    NESTOR_ASSIGN_OR_RETURN(const std::string files, attribute(kFilesAttribute));
    // What came since says nothing of what was there before.
    std::int64_t before = gone.of_files - report_.documents.documents_added;
    std::int64_t last = 0;
    if (std::from_chars(files.data(), files.data() + files.size(), last).ec == std::errc()) {
      before = std::min(before, last);
    }
    const bool all = missing >= before && missing >= kLeastOfAll;
    const bool most = 2 * missing > before && missing >= kLeastOfMost;
    if (held.empty() && !all && !most) return false;
    NESTOR_RETURN_IF_ERROR(set_attribute(kHeldAttribute, fmt::format("{}", missing)));
    return true;
  }

  Status mark_finished() {
    if (!cut_is_known_) NESTOR_RETURN_IF_ERROR(set_attribute(kCutAttribute, cut_name()));
    // While documents are held back the collection is not in step with the folder.
    if (!report_.missing.empty()) return {};
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return set_attribute(
        kSyncedAttribute,
        fmt::format("{}", std::chrono::duration_cast<std::chrono::seconds>(now).count()));
  }

  Database& database_;
  const std::string folder_;  // real path
  const SyncOptions& options_;
  bool cut_is_known_ = false;
  std::vector<Document> batch_;
  std::int64_t batch_bytes_ = 0;
  std::int64_t bytes_left_ = 0;           // of files not looked at yet
  std::int64_t bytes_embedded_ = 0;       // of batches in which something was embedded
  std::unordered_set<std::string> keys_;  // whose documents stay
  std::set<Hash128> texts_;               // of the files
  SyncProgress seen_;
  SyncReport report_;
};

}  // namespace

bool is_document_of_file(const Document& document) {
  const auto path = document.metadata.find("path");
  if (path == document.metadata.end()) return false;
  // Before file names were composed, the path was the key as it is.
  return path->second == MetadataValue(document.key) ||
         path->second == MetadataValue(composed_name(document.key));
}

Result<SyncReport> sync_folder(Database& database, const std::string& folder,
                               const SyncOptions& options) {
  std::error_code error;
  const std::string real = std::filesystem::canonical(folder, error).string();
  if (error) return errno_status(error.value(), "find", folder);
  return FolderSync(database, real, options).run();
}

}  // namespace nestor::query
