// Database::Impl's change of a collection's model. Writers are held out for each commit and for the
// last look before the swap; embedding goes on beside them.
#include <fmt/format.h>

#include <utility>

#include "core/log.h"
#include "core/macros.h"
#include "query/cache_check.h"
#include "query/database_impl.h"
#include "query/passage_terms.h"
#include "query/renewal.h"
#include "storage/shadow_collection.h"

namespace nestor {
namespace {

using storage::Collection;

// So little is done again with writers held out; more is done beside them first, some times over.
constexpr std::int64_t kLittleWork = 64;
constexpr int kMostPasses = 8;

}  // namespace

Status Database::Impl::require_collection_of_texts(const Collection& collection) {
  if (!collection.external) return {};
  return {
      StatusCode::kInvalidArgument,
      fmt::format("collection '{}' keeps vectors that its callers bring; no model made them, so "
                  "there is none to change",
                  collection.name)};
}

// What of the old collection is only in this process: its index, its filters.
void Database::Impl::forget_collection(const std::string& name) {
  changed_.insert(name);
  const std::unique_lock lock(state);
  view = store->view();
  indexes.erase(name);
  filters.cache().clear();
}

Status Database::Impl::follow_in_shadow(const storage::Commit& commit,
                                        const storage::Batch& batch) {
  if (batch.removals.empty() || storage::is_shadow_name(batch.collection)) return {};
  const std::string name = storage::shadow_name(commit.collection);
  NESTOR_ASSIGN_OR_RETURN(const auto shadow, store->find_collection(*store->view(), name));
  if (!shadow.has_value()) return {};
  storage::Batch same;
  same.collection = name;
  same.removals = batch.removals;
  return store->commit(same).status();
}

// Errors: also those of the last pass. `writing` is held.
Status Database::Impl::level_shadow_language(const std::string& name) {
  const auto now = store->view();
  NESTOR_ASSIGN_OR_RETURN(const auto collection, store->find_collection(*now, name));
  if (!collection.has_value()) return {StatusCode::kNotFound, fmt::format("no '{}'", name)};
  const std::string hidden = storage::shadow_name(*collection);
  NESTOR_ASSIGN_OR_RETURN(const auto shadow, store->find_collection(*now, hidden));
  if (!shadow.has_value()) return store->create_shadow(name).status();
  if (query::language_of(*shadow) != query::language_of(*collection)) {
    const auto language = collection->attributes.find(query::kLanguageAttribute);
    const bool none = language == collection->attributes.end();
    NESTOR_RETURN_IF_ERROR(store->set_attribute(hidden, query::kLanguageAttribute,
                                                none ? std::string() : language->second));
  }
  NESTOR_ASSIGN_OR_RETURN(const auto renamed, store->find_collection(*store->view(), hidden));
  return query::build_postings(*store, *renamed, log, {});
}

Status Database::Impl::discard_shadow(const Collection& collection, ReembedReport& report) {
  const std::lock_guard writer(writing);
  NESTOR_ASSIGN_OR_RETURN(const auto shadow,
                          store->find_collection(*store->view(), storage::shadow_name(collection)));
  if (!shadow.has_value()) return {};
  report.documents_discarded += shadow->documents;
  NESTOR_RETURN_IF_ERROR(store->drop_shadow(collection.name));
  return take_new_view(collection.name);
}

Status Database::Impl::reembed_modes(const std::string& name, const query::EncoderPointer& model,
                                     const ReembedOptions& options, ReembedReport& report) {
  std::string after;
  for (;;) {
    const std::lock_guard writer(writing);
    const auto seen = current_view();
    NESTOR_ASSIGN_OR_RETURN(const auto collection, find(*seen, name));
    if (!collection.has_value()) return {};
    NESTOR_RETURN_IF_ERROR(query::check_space(*collection, model->info()));
    NESTOR_ASSIGN_OR_RETURN(
        const storage::Batch batch,
        query::other_modes_batch(*store, *seen, *collection, model, options, after, report));
    if (batch.writes.empty()) return {};
    NESTOR_ASSIGN_OR_RETURN(const storage::Commit commit, store->commit(batch));
    publish(commit, batch);
    report.changed = true;
  }
}

// The new collection in the old one's place. The last pass and the swap are one step for writers.
Status Database::Impl::swap_to_shadow(const Collection& old, query::Renewal& renewal) {
  const std::lock_guard writer(writing);
  NESTOR_RETURN_IF_ERROR(level_shadow_language(old.name));
  NESTOR_ASSIGN_OR_RETURN(const auto now, store->find_collection(*store->view(), old.name));
  if (!now.has_value() || now->id != old.id) {
    return {StatusCode::kInternal, fmt::format("collection '{}' was replaced meanwhile", old.name)};
  }
  if (now->sequence != renewal.level_sequence()) {
    NESTOR_RETURN_IF_ERROR(renewal.pass().status());
  }
  NESTOR_RETURN_IF_ERROR(store->swap_in_shadow(old.name).status());
  forget_collection(old.name);
  if (const Status removed = query::remove_caches_of_the_gone(*store, *store->view());
      !removed.ok()) {
    log_to(log, LogLevel::kWarning,
           "files of the old index are left until the next open: " + removed.message());
  }
  return {};
}

Status Database::Impl::reembed_in_shadow(const Collection& old, const query::TextEncoder& model,
                                         const ReembedOptions& options, ReembedReport& report) {
  NESTOR_ASSIGN_OR_RETURN(const auto begun,
                          store->find_collection(*store->view(), storage::shadow_name(old)));
  if (begun.has_value() && !begun->space.empty() && begun->space != model.info().space) {
    log_to(
        log, LogLevel::kWarning,
        fmt::format("{} documents of '{}' that a call with {} embedded are dropped: the model is "
                    "another",
                    begun->documents, old.name, begun->model));
    NESTOR_RETURN_IF_ERROR(discard_shadow(old, report));
  } else if (begun.has_value()) {
    report.documents_kept = begun->documents;
  }
  bool alone = false;  // this thread holds `writing`
  const auto commit = [this, &alone](const storage::Batch& batch) -> Result<storage::Commit> {
    std::unique_lock writer(writing, std::defer_lock);
    if (!alone) writer.lock();
    return store->commit(batch);
  };
  query::Renewal renewal(*store, old.name, model, options, commit, report);
  for (int passes = 0; passes < kMostPasses; ++passes) {
    {
      const std::lock_guard writer(writing);
      NESTOR_RETURN_IF_ERROR(level_shadow_language(old.name));
    }
    NESTOR_ASSIGN_OR_RETURN(const std::int64_t changed, renewal.pass());
    if (changed <= kLittleWork) break;
  }
  alone = true;
  NESTOR_RETURN_IF_ERROR(swap_to_shadow(old, renewal));
  report.changed = true;
  return {};
}

Result<ReembedReport> Database::Impl::reembed(const ReembedOptions& options) {
  if (store->read_only()) {
    return Status(StatusCode::kFailedPrecondition,
                  store->path() + " was opened read-only; nothing can be embedded again");
  }
  const std::unique_lock alone(reembedding_, std::try_to_lock);
  if (!alone.owns_lock()) {
    return Status(StatusCode::kFailedPrecondition,
                  "a reembed of this database is under way; one runs at a time");
  }
  ReembedReport report;
  NESTOR_ASSIGN_OR_RETURN(const auto collection, find(*store->view(), options.collection));
  if (!collection.has_value()) return report;
  NESTOR_RETURN_IF_ERROR(require_collection_of_texts(*collection));
  report.old_model = collection->model;
  report.documents = collection->documents;
  if (options.discard) {
    NESTOR_RETURN_IF_ERROR(discard_shadow(*collection, report));
    return report;
  }
  if (collection->space.empty()) return report;
  NESTOR_ASSIGN_OR_RETURN(const query::EncoderPointer model, encoder());
  report.new_model = model->info().name;
  if (collection->space != model->info().space) {
    NESTOR_RETURN_IF_ERROR(reembed_in_shadow(*collection, *model, options, report));
  } else if (options.all_modes) {
    NESTOR_RETURN_IF_ERROR(reembed_modes(collection->name, model, options, report));
  }
  NESTOR_ASSIGN_OR_RETURN(const auto now, find(*store->view(), options.collection));
  if (now.has_value()) {
    report.documents = now->documents;
    report.rows_of_other_modes = query::rows_of_other_modes(*now, model->info());
  }
  return report;
}

}  // namespace nestor
