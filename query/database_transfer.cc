// The calls of Database that move a database, or follow one: refresh, backup, bundle, export,
// import.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "core/macros.h"
#include "query/catch_up.h"
#include "query/database_impl.h"
#include "query/expiry.h"
#include "query/import_documents.h"
#include "query/passage_terms.h"
#include "storage/backup.h"
#include "storage/bundle.h"

namespace nestor {

using storage::Collection;
using ViewPointer = storage::DocumentStore::ViewPointer;

namespace {

std::vector<std::uint64_t> row_ids_of(const storage::StoredDocument& document) {
  std::vector<std::uint64_t> ids(static_cast<std::size_t>(document.passage_count));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = document.first_row_id + i;
  return ids;
}

bool same_row(const storage::Row& a, const storage::Row& b) {
  const storage::Passage& x = a.passage;
  const storage::Passage& y = b.passage;
  return x.bytes == y.bytes && x.lines == y.lines && x.heading_path == y.heading_path &&
         x.token_count == y.token_count && x.truncated == y.truncated && x.mode == y.mode &&
         x.content == y.content && a.vector == b.vector;
}

bool same_document(const storage::DocumentWrite& write, const storage::StoredDocument& stored,
                   const std::vector<storage::Row>& rows) {
  return write.document.title == stored.document.title &&
         write.document.text == stored.document.text &&
         write.document.metadata == stored.document.metadata &&
         write.document.source == stored.document.source &&
         write.split_tokens == stored.split_tokens && write.rows.size() == rows.size() &&
         std::equal(rows.begin(), rows.end(), write.rows.begin(), same_row);
}

// An index on its way to the state that a refresh found.
struct NextIndex {
  Collection collection;
  std::optional<query::CatchUp> missing;
  std::optional<query::LoadedIndex> anew;
};

// False where the parts of the index came apart: it has to be made anew.
bool bring_level(NextIndex& to, Database::Impl::LevelIndex& index) {
  index.collection = std::move(to.collection);
  if (to.anew.has_value()) {
    index.loaded = std::move(*to.anew);
    return true;
  }
  query::CollectionIndex& changed = *index.loaded.index;
  changed.remove(to.missing->removed);
  return changed.add(to.missing->ids, to.missing->rows).ok() &&
         changed.live_count() == index.collection.passages;
}

}  // namespace

Result<RefreshReport> Database::Impl::refresh() {
  const std::lock_guard writer(writing);
  NESTOR_RETURN_IF_ERROR(store->refresh().status());
  const ViewPointer next = store->view();
  const ViewPointer seen = current_view();
  const RefreshReport report{.changed = store->sequence(*next) != store->sequence(*seen),
                             .sequence = store->sequence(*next)};
  if (!report.changed) return report;
  std::map<std::string, LevelIndex*> loaded;
  query::IndexRoom room;
  {
    // Only this call changes or takes away what is there; searches add to it.
    const std::shared_lock lock(state);
    for (auto& [name, index] : indexes) loaded.emplace(name, &index);
    room = room_for({}, true);
  }
  std::map<std::string, NextIndex> nexts;
  for (const auto& [name, index] : loaded) {
    NESTOR_ASSIGN_OR_RETURN(const auto collection, store->find_collection(*next, name));
    if (!collection.has_value() || collection->width == 0) continue;
    NextIndex made{.collection = *collection, .missing = {}, .anew = {}};
    NESTOR_ASSIGN_OR_RETURN(made.missing,
                            query::read_catch_up(*store, *next, index->collection, *collection,
                                                 *index->loaded.index, room));
    if (!made.missing.has_value()) {
      auto anew = query::load_for_reader(*store, *next, *collection, log, room);
      // Not beside the one there is: the next search loads it, once that is gone.
      if (budget.limited() && anew.status().code() == StatusCode::kOutOfMemory) continue;
      NESTOR_ASSIGN_OR_RETURN(made.anew, std::move(anew));
    }
    nexts.emplace(name, std::move(made));
  }
  const std::unique_lock lock(state);
  view = next;
  for (auto entry = indexes.begin(); entry != indexes.end();) {
    // One that is not there was loaded meanwhile: the next search does it again.
    const auto found = nexts.find(entry->first);
    const bool level = found != nexts.end() && bring_level(found->second, entry->second);
    entry = level ? std::next(entry) : indexes.erase(entry);
  }
  return report;
}

Result<BackupReport> Database::Impl::backup(const std::string& to,
                                            const BackupOptions& options) const {
  NESTOR_ASSIGN_OR_RETURN(const storage::BackupResult result,
                          storage::backup_store(store->path(), to, options));
  return BackupReport{.sequence = result.sequence,
                      .bytes = result.bytes,
                      .shared_bytes = result.linked_bytes,
                      .verified = options.verify,
                      .documents = result.documents,
                      .passages = result.passages};
}

Result<BundleReport> Database::Impl::bundle(const std::string& file,
                                            const BackupOptions& options) const {
  return storage::write_bundle(store->path(), file, options);
}

Result<BundleReport> Database::unbundle(const std::string& file, const std::string& to,
                                        const BackupOptions& options) {
  return storage::read_bundle(file, to, options);
}

Result<ExportReport> Database::Impl::export_documents(const LineWriter& write,
                                                      const ExportOptions& options) const {
  const ViewPointer seen = current_view();
  NESTOR_ASSIGN_OR_RETURN(const auto found, find(*seen, options.collection));
  Collection none;
  none.name = options.collection;
  const Collection& collection = found.has_value() ? *found : none;
  ExportReport report{.sequence = store->sequence(*seen)};
  NESTOR_RETURN_IF_ERROR(write(
      query::encode_header_line(query::header_of(collection, options.vectors, report.sequence))));
  Status status;
  const auto visit = [&](const storage::StoredDocument& document) {
    const auto one = [&]() -> Status {
      if (options.stop.stop_requested()) return {StatusCode::kCancelled, "the export was stopped"};
      NESTOR_ASSIGN_OR_RETURN(const std::vector<storage::Row> rows,
                              store->rows(*seen, collection, row_ids_of(document)));
      ++report.documents;
      report.passages += std::ssize(rows);
      return write(query::encode_document_line(document, rows, options.vectors));
    };
    status = one();
    return status.ok();
  };
  if (found.has_value()) {
    const query::DocumentSource source{.store = *store,
                                       .view = *seen,
                                       .collection = collection,
                                       .cache = filters.cache(),
                                       .now = query::seconds_since_1970()};
    NESTOR_RETURN_IF_ERROR(query::scan_matching_documents(source, options.filter, "", visit));
    NESTOR_RETURN_IF_ERROR(status);
  }
  NESTOR_RETURN_IF_ERROR(write(query::encode_end_line(report.documents, report.passages)));
  return report;
}

Result<bool> Database::Impl::takes_vectors(const query::PortableHeader& header,
                                           const std::optional<Collection>& collection,
                                           const ImportOptions& options, std::string& note) {
  const storage::CollectionDescriptor& file = header.collection;
  if (file.user_vectors) {
    if (header.vectors) return true;
    return Status(StatusCode::kInvalidArgument,
                  "the file was made without its vectors, which no model can make again");
  }
  if (file.dim == 0) return true;  // nothing was ever in it
  if (!header.vectors) {
    note = "the file has no vectors: the texts are embedded";
    return false;
  }
  if (options.reembed) {
    note = "the texts are embedded again, as was asked for";
    return false;
  }
  std::string wanted = collection.has_value() ? collection->space : "";
  if (wanted.empty()) {
    const auto model = encoder();
    if (!model.ok() && model.status().code() != StatusCode::kModelMissing) return model.status();
    wanted = model.ok() ? model.value()->info().space : file.fingerprint;
  }
  if (wanted == file.fingerprint) return true;
  note = fmt::format(
      "the vectors of the file are of {} (space {:.12}), wanted is the space {:.12}: the texts "
      "are embedded again",
      file.model, file.fingerprint, wanted);
  return false;
}

Result<bool> Database::Impl::settle_import(const query::PortableHeader& header,
                                           const ImportOptions& options, ImportReport& report) {
  NESTOR_ASSIGN_OR_RETURN(const auto found,
                          store->find_collection(*current_view(), report.collection));
  if (found.has_value()) {
    NESTOR_RETURN_IF_ERROR(query::check_import_fits(describe(*found), header));
  }
  NESTOR_ASSIGN_OR_RETURN(const bool takes, takes_vectors(header, found, options, report.note));
  if (found.has_value()) return takes;
  storage::CollectionDescriptor descriptor =
      takes ? header.collection : without_model(header.collection);
  descriptor.name = report.collection;
  if (header.version == query::kFirstExportVersion && descriptor.user_vectors) {
    report.note = "the file is of version 1, which does not name the metric: it is cosine here";
  }
  NESTOR_RETURN_IF_ERROR(create_collection(descriptor).status());
  return takes;
}

Status Database::Impl::import_batch(const query::PortableHeader& header,
                                    const std::string& collection,
                                    std::vector<storage::DocumentWrite> writes,
                                    ImportReport& report) {
  const std::lock_guard writer(writing);
  const ViewPointer seen = current_view();
  NESTOR_ASSIGN_OR_RETURN(const auto found, find(*seen, collection));
  if (!found.has_value()) return {StatusCode::kNotFound, "no collection " + collection};
  storage::Batch batch{.collection = collection,
                       .width = header.collection.dim,
                       .space = header.collection.fingerprint,
                       .model = header.collection.model,
                       .analysis = query::analysis_name(query::language_of(*found))};
  NESTOR_ASSIGN_OR_RETURN(const auto analyzer,
                          query::TextAnalyzer::make(query::language_of(*found)));
  std::map<std::string, std::size_t> last_of_key;
  for (std::size_t i = 0; i < writes.size(); ++i) last_of_key[writes[i].document.key] = i;
  ImportReport counts;
  for (std::size_t i = 0; i < writes.size(); ++i) {
    storage::DocumentWrite& write = writes[i];
    if (last_of_key[write.document.key] != i) continue;
    NESTOR_ASSIGN_OR_RETURN(const auto stored,
                            store->find_document(*seen, found->id, write.document.key));
    if (stored.has_value()) {
      NESTOR_ASSIGN_OR_RETURN(const auto rows, store->rows(*seen, *found, row_ids_of(*stored)));
      if (same_document(write, *stored, rows)) {
        ++counts.documents_unchanged;
        continue;
      }
    }
    ++(stored.has_value() ? counts.documents_updated : counts.documents_added);
    counts.vectors_taken += std::ssize(write.rows);
    NESTOR_ASSIGN_OR_RETURN(write.terms,
                            query::make_document_terms(*analyzer, write.document, write.rows));
    batch.writes.push_back(std::move(write));
  }
  if (!batch.writes.empty()) {
    NESTOR_RETURN_IF_ERROR(check_room(batch, found, header.collection.user_vectors));
    NESTOR_ASSIGN_OR_RETURN(const storage::Commit commit, store->commit(batch));
    publish(commit, batch);
  }
  report.documents_added += counts.documents_added;
  report.documents_updated += counts.documents_updated;
  report.documents_unchanged += counts.documents_unchanged;
  report.vectors_taken += counts.vectors_taken;
  return {};
}

Result<ImportReport> Database::Impl::import_documents(const LineSource& next,
                                                      const ImportOptions& options) {
  if (store->read_only()) {
    return Status(StatusCode::kFailedPrecondition,
                  store->path() + " was opened read-only; nothing can be imported");
  }
  const auto embed = [&](const query::PortableHeader&, std::vector<storage::DocumentWrite> writes,
                         ImportReport& report) -> Status {
    const auto split = static_cast<int>(writes.front().split_tokens);
    AddOptions add_options{
        .collection = report.collection, .split = {.enabled = split > 0}, .stop = options.stop};
    if (split > 0) add_options.split.passage_tokens = split;
    std::vector<Document> documents;
    for (storage::DocumentWrite& write : writes) documents.push_back(std::move(write.document));
    NESTOR_ASSIGN_OR_RETURN(const AddReport added, add(documents, add_options));
    report.documents_added += added.documents_added;
    report.documents_updated += added.documents_updated;
    report.documents_unchanged += added.documents_unchanged;
    report.passages_embedded += added.passages_embedded;
    return {};
  };
  return query::import_lines(
      next, options,
      {.settle = [&](const query::PortableHeader& header,
                     ImportReport& report) { return settle_import(header, options, report); },
       .take =
           [&](const query::PortableHeader& header, std::vector<storage::DocumentWrite> writes,
               ImportReport& report) {
             return import_batch(header, report.collection, std::move(writes), report);
           },
       .embed = embed,
       .batch_bytes = budget.import_bytes(query::kMostImportBytes)});
}

}  // namespace nestor
