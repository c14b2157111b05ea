// The writer's change of a collection's model. Embedding goes on beside other writers; those of the
// collection itself wait only where they would otherwise keep the swap from ever coming.
#include <fmt/format.h>

#include <utility>

#include "core/macros.h"
#include "query/cache_check.h"
#include "query/passage_terms.h"
#include "query/writer.h"
#include "storage/shadow_collection.h"

namespace nestor::query {
namespace {

using storage::Collection;

// Passes beside the writers of the collection; then they wait for the last one.
constexpr int kMostPassesBeside = 8;

Status require_collection_of_texts(const Collection& collection) {
  if (!collection.external) return {};
  return {
      StatusCode::kInvalidArgument,
      fmt::format("collection '{}' keeps vectors that its callers bring; no model made them, so "
                  "there is none to change",
                  collection.name)};
}

}  // namespace

Status Writer::prepare_shadow(const std::string& name) {
  const storage::DocumentStore::ViewPointer view = context_.published.get()->view;
  NESTOR_ASSIGN_OR_RETURN(const auto collection, store_.find_collection(*view, name));
  if (!collection.has_value()) return {StatusCode::kNotFound, fmt::format("no '{}'", name)};
  const std::string hidden = storage::shadow_name(*collection);
  NESTOR_ASSIGN_OR_RETURN(const auto shadow, store_.find_collection(*view, hidden));
  if (!shadow.has_value()) return apply(store_.prepare_shadow(name), hidden).status();
  if (language_of(*shadow) == language_of(*collection)) return build_postings(*shadow);
  const auto language = collection->attributes.find(kLanguageAttribute);
  const bool none = language == collection->attributes.end();
  NESTOR_ASSIGN_OR_RETURN(const storage::Commit renamed,
                          apply(store_.prepare_attribute(hidden, kLanguageAttribute,
                                                         none ? std::string() : language->second),
                                hidden));
  return build_postings(renamed.collection);
}

Status Writer::discard_shadow(const Collection& collection, ReembedReport& report) {
  const auto held = lock(collection.name);
  NESTOR_ASSIGN_OR_RETURN(
      const auto shadow,
      store_.find_collection(*context_.published.get()->view, storage::shadow_name(collection)));
  if (!shadow.has_value()) return {};
  NESTOR_RETURN_IF_ERROR(
      apply(store_.prepare_drop_shadow(collection.name), collection.name).status());
  report.documents_discarded += shadow->documents;
  return {};
}

Status Writer::reembed_modes(const std::string& name, const EncoderPointer& model,
                             const ReembedOptions& options, ReembedReport& report) {
  std::string after;
  for (;;) {
    StatePointer state = context_.published.get();
    NESTOR_ASSIGN_OR_RETURN(const auto collection, context_.find(*state, name));
    if (!collection.has_value()) return {};
    NESTOR_RETURN_IF_ERROR(check_space(*collection, model->info()));
    std::string last = after;
    ReembedReport done = report;
    NESTOR_ASSIGN_OR_RETURN(
        PreparedBatch prepared,
        other_modes_batch(store_, *state->view, *collection, model, options, last, done));
    state.reset();
    if (prepared.batch.writes.empty()) return {};
    NESTOR_RETURN_IF_ERROR(embed_other_modes(*collection, options, prepared, done));
    auto held = lock(name);
    NESTOR_ASSIGN_OR_RETURN(const bool same, still_as_seen(store_, *context_.published.get()->view,
                                                           name, prepared.seen));
    if (!same) continue;
    NESTOR_RETURN_IF_ERROR(commit(prepared.batch).status());
    held.unlock();
    after = last;
    report = std::move(done);
    report.changed = true;
    indexes_.after_commit(name);
  }
}

// With the commit mutex held, and the files of the old collection's slot. The new collection takes
// the old one's place.
Status Writer::swap_to_shadow(const Collection& old, IndexSlot& slot) {
  NESTOR_RETURN_IF_ERROR(apply(store_.prepare_swap(old.name), old.name).status());
  context_.retire_slot(old.id, slot);
  if (const Status removed = remove_caches_of_the_gone(store_, *context_.published.get()->view);
      !removed.ok()) {
    context_.log(LogLevel::kWarning,
                 "files of the old index are left until the next open: " + removed.message());
  }
  return {};
}

// False where the staging collection is not that of the newest state.
Result<bool> Writer::try_swap(const Collection& old, const Renewal& renewal) {
  const HeldSlot slot = context_.hold_slot(old.id);
  const std::lock_guard held(context_.commit);
  NESTOR_RETURN_IF_ERROR(prepare_shadow(old.name));
  NESTOR_ASSIGN_OR_RETURN(const auto now,
                          store_.find_collection(*context_.published.get()->view, old.name));
  if (!now.has_value() || now->id != old.id) {
    return Status(StatusCode::kInternal,
                  fmt::format("collection '{}' was replaced meanwhile", old.name));
  }
  if (now->sequence != renewal.level_sequence()) return false;
  NESTOR_RETURN_IF_ERROR(swap_to_shadow(old, *slot.slot));
  return true;
}

namespace {

// Changes of the collection wait while it lives.
class Pause {
 public:
  Pause(std::mutex& commit, std::string& paused, std::condition_variable& unpaused)
      : commit_(commit), paused_(paused), unpaused_(unpaused) {}
  void begin(const std::string& collection) {
    const std::lock_guard held(commit_);
    paused_ = collection;
  }
  ~Pause() {
    {
      const std::lock_guard held(commit_);
      paused_.clear();
    }
    unpaused_.notify_all();
  }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;

 private:
  std::mutex& commit_;
  std::string& paused_;
  std::condition_variable& unpaused_;
};

}  // namespace

Status Writer::reembed_in_shadow(const Collection& old, const TextEncoder& model,
                                 const ReembedOptions& options, ReembedReport& report) {
  NESTOR_ASSIGN_OR_RETURN(const auto begun, store_.find_collection(*context_.published.get()->view,
                                                                   storage::shadow_name(old)));
  if (begun.has_value() && !begun->space.empty() && begun->space != model.info().space) {
    context_.log(
        LogLevel::kWarning,
        fmt::format("{} documents of '{}' that a call with {} embedded are dropped: the model is "
                    "another",
                    begun->documents, old.name, begun->model));
    NESTOR_RETURN_IF_ERROR(discard_shadow(old, report));
  } else if (begun.has_value()) {
    report.documents_kept = begun->documents;
  }
  const auto commit_to_shadow = [this](const storage::Batch& batch) -> Result<storage::Commit> {
    const std::lock_guard held(context_.commit);
    return commit(batch);
  };
  Pause pause(context_.commit, paused_, unpaused_);
  ReembedOptions quiet = options;
  quiet.progress = {};  // a callback that writes would wait for the end of the pause
  Renewal renewal(store_, old.name, model, options, commit_to_shadow, report);
  Renewal last_renewal(store_, old.name, model, quiet, commit_to_shadow, report);
  for (int passes = 0;; ++passes) {
    const bool beside = passes < kMostPassesBeside;
    if (!beside) pause.begin(old.name);
    {
      const std::lock_guard held(context_.commit);
      NESTOR_RETURN_IF_ERROR(prepare_shadow(old.name));
    }
    Renewal& pass = beside ? renewal : last_renewal;
    NESTOR_RETURN_IF_ERROR(pass.pass().status());
    NESTOR_ASSIGN_OR_RETURN(const bool swapped, try_swap(old, pass));
    if (swapped) break;
  }
  report.changed = true;
  return {};
}

Result<ReembedReport> Writer::reembed(const ReembedOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_writable("embedded again"));
  const std::unique_lock alone(context_.reembedding, std::try_to_lock);
  if (!alone.owns_lock()) {
    return Status(StatusCode::kFailedPrecondition,
                  "a reembed of this database is under way; one runs at a time");
  }
  ReembedReport report;
  NESTOR_ASSIGN_OR_RETURN(const auto collection,
                          context_.find(*context_.published.get(), options.collection));
  if (!collection.has_value()) return report;
  NESTOR_RETURN_IF_ERROR(require_collection_of_texts(*collection));
  report.old_model = collection->model;
  report.documents = collection->documents;
  if (options.discard) {
    NESTOR_RETURN_IF_ERROR(discard_shadow(*collection, report));
    return report;
  }
  if (collection->space.empty()) return report;
  NESTOR_ASSIGN_OR_RETURN(const EncoderPointer model, context_.encoder.get());
  report.new_model = model->info().name;
  if (collection->space != model->info().space) {
    NESTOR_RETURN_IF_ERROR(reembed_in_shadow(*collection, *model, options, report));
  } else if (options.all_modes) {
    NESTOR_RETURN_IF_ERROR(reembed_modes(collection->name, model, options, report));
  }
  NESTOR_ASSIGN_OR_RETURN(const auto now,
                          context_.find(*context_.published.get(), options.collection));
  if (now.has_value()) {
    report.documents = now->documents;
    report.rows_of_other_modes = rows_of_other_modes(*now, model->info());
  }
  return report;
}

}  // namespace nestor::query
