// The writer's import, and the refresh of a reader.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/macros.h"
#include "query/import_documents.h"
#include "query/input_check.h"
#include "query/passage_terms.h"
#include "query/writer.h"

namespace nestor::query {

using storage::Collection;
using storage::DocumentStore;

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

// What an import says of the documents of one batch.
struct ImportedBatch {
  storage::Batch batch;
  ImportReport counts;
  SeenDocuments seen;
};

Result<ImportedBatch> prepare_import(const DocumentStore& store, const DocumentStore::View& view,
                                     const Collection& collection, const PortableHeader& header,
                                     const std::vector<storage::DocumentWrite>& writes) {
  const std::string language = language_of(collection);
  ImportedBatch made;
  made.seen.collection = collection;
  made.batch = {.collection = collection.name,
                .width = header.collection.dim,
                .space = header.collection.fingerprint,
                .model = header.collection.model,
                .analysis = analysis_name(language)};
  NESTOR_ASSIGN_OR_RETURN(const auto analyzer, TextAnalyzer::make(language));
  std::map<std::string, std::size_t> last_of_key;
  for (std::size_t i = 0; i < writes.size(); ++i) last_of_key[writes[i].document.key] = i;
  for (std::size_t i = 0; i < writes.size(); ++i) {
    const std::string& key = writes[i].document.key;
    if (last_of_key[key] != i) continue;
    const auto looked_up = store.find_document(view, collection.id, key);
    NESTOR_RETURN_IF_ERROR(looked_up.status());
    NESTOR_RETURN_IF_ERROR(made.seen.note(key, looked_up));
    const auto& stored = looked_up.value();
    if (stored.has_value()) {
      NESTOR_ASSIGN_OR_RETURN(const auto rows, store.rows(view, collection, row_ids_of(*stored)));
      if (same_document(writes[i], *stored, rows)) {
        ++made.counts.documents_unchanged;
        continue;
      }
    }
    ++(stored.has_value() ? made.counts.documents_updated : made.counts.documents_added);
    made.counts.vectors_taken += std::ssize(writes[i].rows);
    storage::DocumentWrite write = writes[i];
    NESTOR_ASSIGN_OR_RETURN(write.terms,
                            make_document_terms(*analyzer, write.document, write.rows));
    made.batch.writes.push_back(std::move(write));
  }
  return made;
}

}  // namespace

Result<bool> Writer::takes_vectors(const PortableHeader& header,
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
    const auto model = context_.encoder.get();
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

Result<bool> Writer::settle_import(PortableHeader& header, const ImportOptions& options,
                                   ImportReport& report) {
  NESTOR_ASSIGN_OR_RETURN(
      const auto found, store_.find_collection(*context_.published.get()->view, report.collection));
  const bool unsaid = header.version == kFirstExportVersion && header.collection.user_vectors;
  if (unsaid) {
    const Metric metric = found.has_value() ? found->metric : Metric::kCosine;
    header.collection.metric = options.metric.value_or(metric);
  } else if (options.metric.value_or(header.collection.metric) != header.collection.metric) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("the vectors of the file are compared by {}, not by {}; leave the "
                              "metric out",
                              metric_name(header.collection.metric), metric_name(*options.metric)));
  }
  if (found.has_value()) {
    NESTOR_RETURN_IF_ERROR(check_import_fits(describe(*found), header));
  }
  NESTOR_ASSIGN_OR_RETURN(const bool takes, takes_vectors(header, found, options, report.note));
  if (found.has_value()) return takes;
  storage::CollectionDescriptor descriptor =
      takes ? header.collection : without_model(header.collection);
  descriptor.name = report.collection;
  if (unsaid && !options.metric.has_value()) {
    report.note =
        "the file is of version 1, which does not name the metric: it is cosine here. If it was "
        "another one, import into a new collection with --metric";
  }
  NESTOR_RETURN_IF_ERROR(create_collection(descriptor).status());
  return takes;
}

Status Writer::import_batch(const PortableHeader& header, const std::string& collection,
                            const std::vector<storage::DocumentWrite>& writes,
                            ImportReport& report) {
  for (;;) {
    const StatePointer seen = context_.published.get();
    NESTOR_ASSIGN_OR_RETURN(const auto found, context_.find(*seen, collection));
    if (!found.has_value()) return {StatusCode::kNotFound, "no collection " + collection};
    NESTOR_ASSIGN_OR_RETURN(const ImportedBatch prepared,
                            prepare_import(store_, *seen->view, *found, header, writes));
    NESTOR_RETURN_IF_ERROR(check_room(prepared.batch, found, header.collection.user_vectors));
    auto held = lock(collection);
    NESTOR_ASSIGN_OR_RETURN(const bool same, still_as_seen(store_, *context_.published.get()->view,
                                                           collection, prepared.seen));
    if (!same) continue;
    if (!prepared.batch.writes.empty()) {
      NESTOR_RETURN_IF_ERROR(commit(prepared.batch).status());
    }
    held.unlock();
    report.documents_added += prepared.counts.documents_added;
    report.documents_updated += prepared.counts.documents_updated;
    report.documents_unchanged += prepared.counts.documents_unchanged;
    report.vectors_taken += prepared.counts.vectors_taken;
    if (!prepared.batch.writes.empty()) indexes_.after_commit(collection);
    return {};
  }
}

Result<ImportReport> Writer::import_documents(const LineSource& next,
                                              const ImportOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_writable("imported"));
  const auto embed = [&](const PortableHeader&, std::vector<storage::DocumentWrite> writes,
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
  return import_lines(
      next, options,
      {.settle = [&](PortableHeader& header,
                     ImportReport& report) { return settle_import(header, options, report); },
       .take =
           [&](const PortableHeader& header, const std::vector<storage::DocumentWrite>& writes,
               ImportReport& report) {
             return import_batch(header, report.collection, writes, report);
           },
       .embed = embed,
       .batch_bytes = context_.budget.import_bytes(kMostImportBytes)});
}

// The collection as it is in `view`; its index is brought there by the journal, or loaded anew
// where that is quicker. Null: nobody uses it there.
Result<CollectionStatePointer> Writer::refreshed(const DocumentStore::ViewPointer& view,
                                                 const std::string& name,
                                                 const CollectionState& before) {
  NESTOR_ASSIGN_OR_RETURN(const auto found, store_.find_collection(*view, name));
  if (!found.has_value() || found->width == 0) return CollectionStatePointer();
  auto after = std::make_shared<CollectionState>();
  after->collection = *found;
  after->filters = std::make_shared<CollectionFilters>(context_.filter_budget);
  after->slot = context_.slot_of(found->id);
  const IndexPointer index = IndexManager::in_memory(before);
  if (index == nullptr) return CollectionStatePointer(std::move(after));
  const IndexRoom room = indexes_.room_for(name, true);
  NESTOR_ASSIGN_OR_RETURN(LoadedIndex next, index->version());
  NESTOR_ASSIGN_OR_RETURN(const bool applied,
                          apply_journal(store_, *view, before.collection, *found, next, room));
  // A reader has no file to write a full tail to, and codes are trained anew with the rest.
  const CachedRows* const cached = next.index.rows();
  const bool outgrown =
      next.index.wants_training() ||
      (cached != nullptr &&
       cached->rows.tail_count() > room.budget.tail_rows(found->width, found->passages));
  if (!applied || outgrown) {
    auto anew = load_for_reader(store_, *view, *found, context_.log_callback, room);
    // Not beside the one there is: the next search loads it, once that is gone.
    if (context_.budget.limited() && anew.status().code() == StatusCode::kOutOfMemory) {
      return CollectionStatePointer(std::move(after));
    }
    NESTOR_ASSIGN_OR_RETURN(next, std::move(anew));
  }
  after->index = std::make_shared<const LoadedIndex>(std::move(next));
  return CollectionStatePointer(std::move(after));
}

Result<RefreshReport> Writer::refresh() {
  const std::lock_guard held(context_.commit);
  NESTOR_RETURN_IF_ERROR(store_.refresh().status());
  const StatePointer seen = context_.published.get();
  auto next = std::make_shared<DatabaseState>();
  next->view = store_.view();
  const RefreshReport report{
      .changed = store_.sequence(*next->view) != store_.sequence(*seen->view),
      .sequence = store_.sequence(*next->view)};
  if (!report.changed) return report;
  for (const auto& [name, before] : seen->collections) {
    NESTOR_ASSIGN_OR_RETURN(CollectionStatePointer after, refreshed(next->view, name, *before));
    if (after != nullptr) next->collections.emplace(name, std::move(after));
  }
  context_.published.put(std::move(next));
  return report;
}

}  // namespace nestor::query
