#include "storage/field_index.h"

#include <algorithm>

#include "core/iso_date.h"
#include "core/macros.h"
#include "storage/field_codec.h"
#include "storage/key_schema.h"
#include "storage/record_frame.h"

namespace nestor::storage {
namespace {

// The keys of one document's entries, without the row id that ends them all.
class EntryKeys {
 public:
  EntryKeys(std::uint32_t collection, const StoredDocument& stored) : collection_(collection) {
    add_scalar({collection_, true, "key"}, stored.document.key, false);
    add_scalar({collection_, true, "title"}, stored.document.title, false);
    for (const auto& [name, value] : stored.document.metadata) add_field(name, value);
  }

  std::vector<std::string> take() { return std::move(keys_); }

 private:
  void add_field(const std::string& name, const MetadataValue& value) {
    const FieldPlace place{collection_, false, name};
    if (!value.is_list()) return add_scalar(place, value.scalar(), false);
    for (const MetadataScalar& element : value.list()) add_scalar(place, element, true);
    if (value.list().empty()) keys_.push_back(kind_prefix(place, FieldKind::kEmptyList, false));
  }

  void add_scalar(const FieldPlace& place, const MetadataScalar& value, bool element) {
    if (const auto* text = std::get_if<std::string>(&value.variant())) {
      keys_.push_back(kind_prefix(place, FieldKind::kString, element));
      append_string(keys_.back(), *text);
      const std::optional<Instant> date = parse_iso_date(*text);
      if (!date) return;
      keys_.push_back(kind_prefix(place, FieldKind::kDate, element));
      append_date(keys_.back(), *date);
    } else if (const auto* flag = std::get_if<bool>(&value.variant())) {
      keys_.push_back(kind_prefix(place, FieldKind::kBoolean, element));
      keys_.back().push_back(*flag ? '\x01' : '\0');
    } else {
      keys_.push_back(kind_prefix(place, FieldKind::kNumber, element));
      append_number(keys_.back(), value);
    }
  }

  const std::uint32_t collection_;
  std::vector<std::string> keys_;
};

std::string marker_key(std::uint32_t collection) { return key_prefix(KeyTag::kField, collection); }

}  // namespace

std::vector<std::pair<std::string, std::string>> field_entries(std::uint32_t collection,
                                                               const StoredDocument& document) {
  std::string row_id;
  for (int shift = 56; shift >= 0; shift -= 8) {
    row_id.push_back(static_cast<char>(document.first_row_id >> shift));
  }
  std::vector<std::pair<std::string, std::string>> entries;
  for (std::string& key : EntryKeys(collection, document).take()) {
    key += row_id;
    ByteWriter out;
    out.varint(static_cast<std::uint64_t>(document.passage_count));
    std::string value = seal_record(key, out);
    entries.emplace_back(std::move(key), std::move(value));
  }
  // A list may hold a value twice.
  std::sort(entries.begin(), entries.end());
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  return entries;
}

void FieldChanges::add(Change change) {
  bytes_ += change.key.size() + (change.value ? change.value->size() : 0);
  changes_.push_back(std::move(change));
}

void FieldChanges::remove(std::uint32_t collection, const StoredDocument& document) {
  for (auto& [key, value] : field_entries(collection, document)) {
    add({std::move(key), std::nullopt});
  }
}

void FieldChanges::put(std::uint32_t collection, const StoredDocument& document) {
  for (auto& [key, value] : field_entries(collection, document)) {
    add({std::move(key), std::move(value)});
  }
}

void FieldChanges::write_to(rocksdb::WriteBatch& batch) {
  std::stable_sort(changes_.begin(), changes_.end(),
                   [](const Change& a, const Change& b) { return a.key < b.key; });
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    const Change& change = changes_[i];
    if (i + 1 < changes_.size() && changes_[i + 1].key == change.key) continue;
    if (change.value) {
      batch.Put(change.key, *change.value);
    } else {
      batch.Delete(change.key);
    }
  }
  changes_.clear();
  bytes_ = 0;
}

void put_field_marker(std::uint32_t collection, rocksdb::WriteBatch& batch) {
  const std::string key = marker_key(collection);
  batch.Put(key, seal_record(key, ByteWriter()));
}

Result<bool> is_field_index_complete(const RecordSource& source, std::uint32_t collection) {
  const std::string key = marker_key(collection);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value, source.get(key));
  if (!value) return false;
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, *value));
  if (!payload.empty()) return damaged_record(key, "bytes in a record that has none");
  return true;
}

Status scan_field_index(const RecordSource& source, const FieldRange& range,
                        const FieldVisitor& visit) {
  if (range.begin >= range.end) return {};  // nothing lies between; RocksDB wants them in order
  FieldEntry entry;
  return source.scan(
      range.begin, range.end, [&](std::string_view key, std::string_view value) -> Result<bool> {
        NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, value));
        RecordReader in(payload);
        entry.row_count = in.count();
        if (!in.finished() || entry.row_count == 0 || !parse_field_key(key, entry)) {
          return damaged_record(key, "the checksum is right, the fields are not");
        }
        return visit(entry);
      });
}

Result<std::vector<std::string>> read_field_names(const RecordSource& source,
                                                  std::uint32_t collection, std::size_t limit) {
  std::vector<std::string> names;
  // Fields of the documents themselves, with 0 here, come before.
  std::string begin = key_prefix(KeyTag::kField, collection) + '\x01';
  const std::string end = prefix_end(begin);
  while (names.size() < limit) {
    std::optional<std::string> name;
    NESTOR_RETURN_IF_ERROR(
        source.scan(begin, end, [&](std::string_view key, std::string_view) -> Result<bool> {
          name = name_in_field_key(key);
          if (!name) return damaged_record(key, "its key names no field");
          return false;
        }));
    if (!name) break;
    begin = prefix_end(field_prefix({collection, false, *name}));
    names.push_back(*std::move(name));
  }
  return names;
}

}  // namespace nestor::storage
