#include "storage/trace_search.h"

#include <fmt/format.h>
#include <rocksdb/utilities/debug.h>

#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "core/bytes.h"
#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "storage/field_codec.h"
#include "storage/key_schema.h"
#include "storage/lost_folder.h"
#include "storage/record_codec.h"
#include "storage/record_source.h"
#include "storage/rocksdb_options.h"
#include "storage/rocksdb_status.h"

namespace nestor::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostFindings = 100;
constexpr std::size_t kVersionsAtOnce = 2'000;
// A shorter key would be found anywhere; its encoded forms still are.
constexpr std::size_t kLeastRawKey = 6;

bool holds(std::string_view bytes, std::string_view part) {
  return bytes.find(part) != std::string_view::npos;
}

class TraceSearch {
 public:
  TraceSearch(const std::string& path, rocksdb::DB& db, const TraceQuery& query,
              const std::stop_token& stop)
      : path_(path), db_(db), query_(query), stop_(stop) {
    record_key_ = document_key(query.collection, query.key);
    field_key_ = kind_prefix({query.collection, true, "key"}, FieldKind::kString, false);
    append_string(field_key_, query.key);
    ByteWriter row;  // as rows and caches have it
    row.string(query.key);
    row_form_ = "\1" + row.bytes();
  }

  Result<ErasureReport> run() {
    NESTOR_RETURN_IF_ERROR(read_live());
    NESTOR_RETURN_IF_ERROR(search_records());
    NESTOR_RETURN_IF_ERROR(search_files());
    return std::move(report_);
  }

 private:
  // Rows of the documents that are there, by their first row.
  using Live = std::map<std::uint64_t, std::uint64_t>;

  void finding(std::string sentence) {
    if (report_.findings.size() < kMostFindings) {
      report_.findings.push_back(std::move(sentence));
    } else if (report_.findings.size() == kMostFindings) {
      report_.findings.emplace_back("there is more, which is not listed");
    }
  }

  Status check_stop() const {
    return stop_.stop_requested() ? Status(StatusCode::kCancelled, "the search was stopped")
                                  : Status();
  }

  Status read_live() {
    const std::string prefix = key_prefix(KeyTag::kDocument);
    const RecordSource::Visitor visit = [&](std::string_view key,
                                            std::string_view value) -> Result<bool> {
      NESTOR_RETURN_IF_ERROR(check_stop());
      if (key == record_key_) {
        finding(fmt::format("document {} is there and not deleted", quote_for_message(query_.key)));
      }
      const std::optional<ParsedKey> parsed = parse_key(key);
      NESTOR_ASSIGN_OR_RETURN(const StoredDocument document, decode_document(key, value));
      live_[parsed->collection][document.first_row_id] =
          static_cast<std::uint64_t>(document.passage_count);
      return true;
    };
    return RecordSource(db_, nullptr).scan(prefix, prefix_end(prefix), visit);
  }

  [[nodiscard]] bool is_live_row(std::uint32_t collection, std::uint64_t id) const {
    const auto found = live_.find(collection);
    if (found == live_.end()) return false;
    const auto after = found->second.upper_bound(id);
    if (after == found->second.begin()) return false;
    const auto& [first, count] = *std::prev(after);
    return id - first < count;
  }

  // Every version of every key, newest first, in chunks that end between two keys.
  Status search_records() {
    std::string begin;
    std::size_t most = kVersionsAtOnce;
    for (;;) {
      NESTOR_RETURN_IF_ERROR(check_stop());
      std::vector<rocksdb::KeyVersion> versions;
      NESTOR_RETURN_IF_ERROR(
          status_from_rocksdb(rocksdb::GetAllKeyVersions(&db_, begin, "", most, &versions),
                              "read all versions of the records"));
      const bool last = versions.size() < most;
      std::size_t end = versions.size();
      if (!last) {
        while (end > 0 && versions[end - 1].user_key == versions.back().user_key) --end;
        if (end == 0) {  // one key fills it all
          most *= 2;
          continue;
        }
        begin = versions.back().user_key;
      }
      for (std::size_t i = 0; i < end; ++i) {
        const bool newest = i == 0 || versions[i].user_key != versions[i - 1].user_key;
        on_version(versions[i], newest);
      }
      report_.records += static_cast<std::int64_t>(end);
      if (last) break;
      most = kVersionsAtOnce;
    }
    for (const auto& [tag, count] : nobodys_) {
      finding(
          fmt::format("{} of documents that are gone are still in RocksDB, whose cannot be "
                      "told; compact the database",
                      fmt::format("{} {}", with_thousands(count), tag)));
    }
    return {};
  }

  void on_version(const rocksdb::KeyVersion& version, bool newest) {
    const std::optional<ParsedKey> parsed = parse_key(version.user_key);
    const char* hidden = newest ? "" : " (an older version)";
    if (version.user_key == record_key_ && !newest) {
      finding(fmt::format("the record of {} is still in RocksDB{}", quote_for_message(query_.key),
                          hidden));
    } else if (version.user_key == record_key_ && live_of_key().empty()) {
      finding(fmt::format("the deletion mark of {} is still in RocksDB",
                          quote_for_message(query_.key)));
    }
    if (!parsed) return;
    bool live = newest;
    if (parsed->tag == KeyTag::kRow) {
      live = live && is_live_row(parsed->collection, parsed->number);
      if (parsed->collection == query_.collection && version.value.starts_with(row_form_)) {
        finding(fmt::format("row {} of {} is still in RocksDB{}", parsed->number,
                            quote_for_message(query_.key), hidden));
      }
    } else if (parsed->tag == KeyTag::kPosting || parsed->tag == KeyTag::kDocumentTerms) {
      live = check_owner(parsed->collection, parsed->number,
                         parsed->tag == KeyTag::kPosting ? "postings" : "lists of terms", newest);
    } else if (parsed->tag == KeyTag::kContent && !parsed->name.empty()) {
      live = is_live_row(parsed->collection, parsed->number);
      if (!live) ++nobodys_["entries of the content index"];
      live = live && newest;
    } else if (parsed->tag == KeyTag::kField) {
      FieldEntry entry;
      if (version.user_key.starts_with(field_key_)) {
        finding(fmt::format("an entry of the field index has the key {}",
                            quote_for_message(query_.key)));
      } else if (parse_field_key(version.user_key, entry)) {
        live = check_owner(parsed->collection, entry.first_row_id, "entries of the field index",
                           newest);
      }
    }
    for (const std::string& text : query_.texts) {
      if (!holds(version.user_key, text) && !holds(version.value, text)) continue;
      if (live) {
        shared_.insert(text);
        note(fmt::format("{} holds {}", describe_key(version.user_key), quote_for_message(text)));
      } else {
        finding(fmt::format("{}{} holds {}, and is not shown any more",
                            describe_key(version.user_key), hidden, quote_for_message(text)));
      }
    }
  }

  // Whether the record is of a document that is there; dead ones are counted.
  bool check_owner(std::uint32_t collection, std::uint64_t first_row_id, const char* what,
                   bool newest) {
    const auto found = live_.find(collection);
    const bool live = found != live_.end() && found->second.contains(first_row_id);
    if (!live) ++nobodys_[what];
    return live && newest;
  }

  [[nodiscard]] std::string live_of_key() const {
    std::string value;
    return db_.Get({}, record_key_, &value).ok() ? value : std::string();
  }

  void note(std::string sentence) {
    if (report_.notes.size() < kMostFindings) report_.notes.push_back(std::move(sentence));
  }

  Status search_files() {
    std::set<std::string> tables;
    std::vector<rocksdb::LiveFileMetaData> live;
    db_.GetLiveFilesMetaData(&live);
    for (const rocksdb::LiveFileMetaData& file : live) tables.insert(file.relative_filename);
    std::error_code error;
    fs::recursive_directory_iterator entry(path_, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
      NESTOR_RETURN_IF_ERROR(check_stop());
      const std::string name = fs::relative(entry->path(), path_, error).string();
      if (entry.depth() == 0 && name.starts_with(kLostPrefix)) {
        finding(
            fmt::format("{} was set aside by a repair and may hold anything; remove that "
                        "folder once it is of no more use",
                        name));
        entry.disable_recursion_pending();
        continue;
      }
      std::error_code ignored;
      if (!entry->is_regular_file(ignored) || entry->file_size(ignored) == 0) continue;
      if (entry->path().extension() == ".sst") {
        if (!tables.contains(entry->path().filename().string())) {
          finding(name + " is a table file that is no longer in use and was not removed");
        }
        continue;  // what is in it came by as records
      }
      NESTOR_RETURN_IF_ERROR(search_file(name));
    }
    if (!error) return {};
    return {StatusCode::kIoError, fmt::format("cannot list {}: {}", path_, error.message())};
  }

  Status search_file(const std::string& name) {
    const auto opened = MappedFile::open(path_ + "/" + name);
    if (opened.status().code() == StatusCode::kNotFound) return {};  // deleted meanwhile
    if (!opened.ok()) return opened.status();
    const std::string_view bytes(opened.value().bytes().data(), opened.value().bytes().size());
    ++report_.files;
    report_.bytes += static_cast<std::int64_t>(bytes.size());
    search_bytes(name, bytes);
    const std::string file = fs::path(name).filename().string();
    if (file.ends_with(".log") || file.starts_with("MANIFEST-")) {
      search_bytes(name, unframed_log(bytes));
    }
    return {};
  }

  void search_bytes(const std::string& name, std::string_view bytes) {
    const bool key = holds(bytes, record_key_) || holds(bytes, row_form_) ||
                     holds(bytes, field_key_) ||
                     (query_.key.size() >= kLeastRawKey && holds(bytes, query_.key));
    if (key && found_in_.insert(name).second) {
      finding(fmt::format("{} holds the key {}", name, quote_for_message(query_.key)));
    }
    for (const std::string& text : query_.texts) {
      if (!holds(bytes, text) || !found_in_.insert(name + '\0' + text).second) continue;
      const std::string sentence = fmt::format("{} holds {}", name, quote_for_message(text));
      if (shared_.contains(text)) {
        note(sentence + ", which other documents hold too");
      } else {
        finding(sentence);
      }
    }
  }

  const std::string& path_;
  rocksdb::DB& db_;
  const TraceQuery& query_;
  const std::stop_token& stop_;
  std::string record_key_;
  std::string field_key_;
  std::string row_form_;
  std::map<std::uint32_t, Live> live_;
  std::map<std::string, std::int64_t> nobodys_;
  std::set<std::string> shared_;    // texts that documents which are there hold
  std::set<std::string> found_in_;  // said already: a file, or a file and a text
  ErasureReport report_;
};

}  // namespace

std::string unframed_log(std::string_view bytes) {
  constexpr std::size_t kBlockBytes = 32'768;
  constexpr std::size_t kHeaderBytes = 7;             // crc 4, length 2, type 1
  constexpr std::size_t kRecyclableHeaderBytes = 11;  // and the log's number 4
  constexpr unsigned kFirstRecyclableType = 5;
  std::string text;
  for (std::size_t block = 0; block < bytes.size(); block += kBlockBytes) {
    std::string_view rest = bytes.substr(block, kBlockBytes);
    while (rest.size() >= kHeaderBytes) {
      const auto byte_at = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
      const std::size_t length = byte_at(4) | static_cast<std::size_t>(byte_at(5)) << 8U;
      const std::size_t header =
          byte_at(6) >= kFirstRecyclableType ? kRecyclableHeaderBytes : kHeaderBytes;
      if (byte_at(6) == 0 || header > rest.size()) break;
      text.append(rest.substr(header, length));
      rest.remove_prefix(std::min(rest.size(), header + length));
    }
  }
  return text;
}

Result<ErasureReport> search_traces(const std::string& path, rocksdb::DB& db,
                                    const TraceQuery& query, const std::stop_token& stop) {
  if (query.key.empty()) {
    return Status(StatusCode::kInvalidArgument, "name the key whose erasure is to be verified");
  }
  for (const std::string& text : query.texts) {
    if (text.empty()) {
      return Status(StatusCode::kInvalidArgument, "an empty text is in every file");
    }
  }
  return TraceSearch(path, db, query, stop).run();
}

}  // namespace nestor::storage
