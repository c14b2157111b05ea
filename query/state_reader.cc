#include "query/state_reader.h"

#include <fmt/format.h>

#include <memory>
#include <mutex>
#include <utility>

#include "core/macros.h"
#include "core/option_range.h"
#include "core/text.h"
#include "query/cache_check.h"
#include "query/expiry.h"
#include "query/field_names.h"
#include "query/input_check.h"
#include "query/portable_document.h"
#include "storage/manifest.h"

namespace nestor {

std::int64_t MemoryUsage::total() const {
  return index_codes + index_rows + filter_sets + filter_masks + keyword_lists + query_cache +
         block_cache + write_buffers + table_readers;
}

}  // namespace nestor

namespace nestor::query {

using storage::Collection;

namespace {

std::string precision_of(const Collection& collection) {
  if (collection.rows_by_mode.empty()) return collection.external ? "external" : "";
  if (collection.rows_by_mode.size() > 1) return "mixed";
  switch (static_cast<storage::NumericMode>(collection.rows_by_mode.begin()->first)) {
    case storage::NumericMode::kF32:
      return "f32";
    case storage::NumericMode::kExternal:
      return "external";
    case storage::NumericMode::kBf16:
      return "bf16";
    case storage::NumericMode::kInt8:
      return "int8";
  }
  return "unknown";
}

CollectionStats stats_of(const Collection& collection) {
  const auto [name, dim, user_vectors, metric, fingerprint, model, attributes] =
      describe(collection);
  return {.name = name,
          .documents = collection.documents,
          .passages = collection.passages,
          .width = dim,
          .space = user_vectors ? "external" : fingerprint,
          .model = model,
          .precision = precision_of(collection),
          .metric = metric,
          .text_bytes = collection.text_bytes,
          .truncated_passages = collection.truncated_passages,
          .attributes = attributes};
}

}  // namespace

Result<std::string> StateReader::attribute(const std::string& collection, const std::string& name) {
  NESTOR_ASSIGN_OR_RETURN(const auto found, context_.find(*context_.published.get(), collection));
  if (!found.has_value()) return std::string();
  const auto attribute = found->attributes.find(name);
  return attribute == found->attributes.end() ? std::string() : attribute->second;
}

Result<Document> StateReader::get(const std::string& key, const std::string& collection) {
  NESTOR_RETURN_IF_ERROR(check_key(key));
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const auto found, context_.find(*state, collection));
  if (found.has_value()) {
    NESTOR_ASSIGN_OR_RETURN(auto stored, store_.find_document(*state->view, found->id, key));
    if (stored.has_value() && !is_expired(stored->document.metadata, seconds_since_1970())) {
      return std::move(stored->document);
    }
  }
  return Status(StatusCode::kNotFound,
                "no document '" + key + "' in collection '" + collection + "'");
}

Result<std::vector<std::string>> StateReader::list_keys(const Filter& filter,
                                                        const std::string& collection,
                                                        const std::string& after,
                                                        std::int64_t limit) {
  NESTOR_RETURN_IF_ERROR(check_number("limit", limit, ranges::kListLimit));
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const CollectionStatePointer entry, context_.use(state, collection));
  if (entry == nullptr) return std::vector<std::string>();
  return list_matching_keys({.store = store_,
                             .view = *state->view,
                             .collection = entry->collection,
                             .filters = *entry->filters,
                             .now = seconds_since_1970()},
                            filter, after, limit);
}

Result<std::vector<UnknownField>> StateReader::unknown_fields(const Filter& filter,
                                                              const std::string& collection) {
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const auto found, context_.find(*state, collection));
  if (!found.has_value()) return std::vector<UnknownField>();
  return query::unknown_fields(store_, *state->view, *found, filter);
}

Result<std::int64_t> StateReader::count(const Filter& filter, const std::string& collection) {
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const CollectionStatePointer entry, context_.use(state, collection));
  if (entry == nullptr) return std::int64_t{0};
  return count_documents({.store = store_,
                          .view = *state->view,
                          .collection = entry->collection,
                          .filters = *entry->filters,
                          .now = seconds_since_1970()},
                         filter);
}

Result<Stats> StateReader::stats() {
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const auto collections, store_.collections(*state->view));
  // An older database that was opened read-only keeps its format.
  NESTOR_ASSIGN_OR_RETURN(const auto manifest, storage::read_manifest(store_.path()));
  Stats stats{
      .path = store_.path(),
      .format_version = manifest.has_value() ? manifest->format_version : storage::kFormatVersion,
      .sequence = store_.sequence(*state->view),
      .disk_bytes = store_.disk_bytes(),
      .collections = {}};
  for (const Collection& collection : collections)
    stats.collections.push_back(stats_of(collection));
  return stats;
}

Result<ExportReport> StateReader::export_documents(const LineWriter& write,
                                                   const ExportOptions& options) {
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const CollectionStatePointer entry,
                          context_.use(state, options.collection));
  Collection none;
  none.name = options.collection;
  const Collection& collection = entry != nullptr ? entry->collection : none;
  ExportReport report{.sequence = store_.sequence(*state->view)};
  NESTOR_RETURN_IF_ERROR(
      write(encode_header_line(header_of(collection, options.vectors, report.sequence))));
  Status status;
  const auto visit = [&](const storage::StoredDocument& document) {
    const auto one = [&]() -> Status {
      if (options.stop.stop_requested()) return {StatusCode::kCancelled, "the export was stopped"};
      std::vector<std::uint64_t> ids(static_cast<std::size_t>(document.passage_count));
      for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = document.first_row_id + i;
      NESTOR_ASSIGN_OR_RETURN(const std::vector<storage::Row> rows,
                              store_.rows(*state->view, collection, ids));
      ++report.documents;
      report.passages += std::ssize(rows);
      return write(encode_document_line(document, rows, options.vectors));
    };
    status = one();
    return status.ok();
  };
  if (entry != nullptr) {
    NESTOR_RETURN_IF_ERROR(scan_matching_documents({.store = store_,
                                                    .view = *state->view,
                                                    .collection = collection,
                                                    .filters = *entry->filters,
                                                    .now = seconds_since_1970()},
                                                   options.filter, "", visit));
    NESTOR_RETURN_IF_ERROR(status);
  }
  NESTOR_RETURN_IF_ERROR(write(encode_end_line(report.documents, report.passages)));
  return report;
}

Status StateReader::verify_caches(const DatabaseState& state, const Collection& collection,
                                  VerifyReport& report) {
  if (const std::string rows = row_cache_damage(store_, *state.view, collection); !rows.empty()) {
    report.notes.push_back("row cache of collection '" + collection.name +
                           "' is of no use: " + rows);
  }
  const auto loaded =
      load_index(store_, *state.view, collection, {}, indexes_.room_for(collection.name, true));
  if (context_.budget.limited() && loaded.status().code() == StatusCode::kOutOfMemory) {
    report.notes.push_back("the index was not compared: " + loaded.status().message());
    return {};
  }
  if (!loaded.ok()) {
    report.problems.push_back(loaded.status().message());
    return {};
  }
  if (!loaded.value().note.empty()) {
    report.notes.push_back("index cache of collection '" + collection.name +
                           "' is of no use: " + loaded.value().note);
  }
  return compare_index(store_, *state.view, collection, loaded.value().index, report);
}

Result<VerifyReport> StateReader::verify(const std::stop_token& stop) {
  NESTOR_ASSIGN_OR_RETURN(VerifyReport report, store_.verify(stop));
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const auto collections, store_.collections(*state->view));
  // Nobody writes cache files meanwhile, so that none is met half done.
  std::vector<std::shared_ptr<IndexSlot>> slots;
  for (const Collection& collection : collections) slots.push_back(context_.slot_of(collection.id));
  std::vector<std::unique_lock<std::timed_mutex>> files;
  for (const auto& slot : slots) files.emplace_back(slot->files);
  for (const CacheDamage& damage : damaged_caches(store_)) {
    // What is wrong with an index file is said by the attempt to load it, below.
    if (damage.path.ends_with("-codes.index") || damage.path.ends_with("-flat.index")) continue;
    report.notes.push_back("a cache is of no use: " + damage.what);
  }
  files.clear();  // searches that wait for an index go on; below, one collection is held at a time
  for (const Collection& collection : collections) {
    if (collection.passages == 0) continue;
    const HeldSlot held = context_.hold_slot(collection.id);
    if (stop.stop_requested()) return Status(StatusCode::kCancelled, "verifying was stopped");
    NESTOR_RETURN_IF_ERROR(verify_caches(*state, collection, report));
  }
  return report;
}

Result<ErasureReport> StateReader::verify_erased(const std::string& key,
                                                 const std::vector<std::string>& texts,
                                                 const std::string& collection,
                                                 const std::stop_token& stop) {
  NESTOR_ASSIGN_OR_RETURN(ErasureReport report, store_.find_traces(collection, key, texts, stop));
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const auto found, context_.find(*state, collection));
  if (!found.has_value()) return report;
  // Codes and cached rows carry no keys: they are told by the rows that they are of.
  const HeldSlot held = context_.hold_slot(found->id);
  NESTOR_ASSIGN_OR_RETURN(const std::int64_t dead, dead_cached_rows(store_, *state->view, *found));
  if (dead > 0) {
    report.findings.push_back(
        fmt::format("caches of collection '{}' hold {} rows that are removed; remove with "
                    "erase, or delete the folder {}",
                    collection, dead, store_.cache_folder()));
  }
  return report;
}

MemoryUsage StateReader::memory_usage() {
  MemoryUsage usage;
  for (const auto& [name, entry] : context_.published.get()->collections) {
    const IndexPointer held = IndexManager::in_memory(*entry);
    if (held == nullptr) continue;
    const CollectionIndex& index = held->index;
    usage.index_codes += index.code_bytes();
    usage.index_rows += index.memory_bytes() - index.code_bytes();
    usage.mapped_codes += index.mapped_bytes();
    usage.mapped_rows += index.mapped_row_bytes();
  }
  usage.held_back = context_.deferred.sentences();
  usage.budget = context_.budget.total;
  usage.filter_sets = static_cast<std::int64_t>(context_.filter_budget->usage().bytes);
  usage.filter_masks = static_cast<std::int64_t>(context_.masks.bytes());
  usage.keyword_lists = static_cast<std::int64_t>(context_.keywords.cached_bytes());
  usage.query_cache = static_cast<std::int64_t>(context_.query_cache.bytes());
  const storage::DocumentStore::Memory stored = store_.memory();
  usage.block_cache = stored.block_cache;
  usage.write_buffers = stored.write_buffers;
  usage.table_readers = stored.table_readers;
  usage.model_file = context_.encoder.file_bytes();
  return usage;
}

}  // namespace nestor::query
