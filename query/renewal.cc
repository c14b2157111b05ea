#include "query/renewal.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/macros.h"
#include "query/ingest.h"
#include "query/input_check.h"
#include "query/passage_terms.h"
#include "storage/shadow_collection.h"

namespace nestor::query {
namespace {

using storage::Collection;
using storage::StoredDocument;

// A batch ends with the document that passes one of these: what a kill costs at most, and what is
// in memory at once.
constexpr std::size_t kBatchDocuments = 64;
constexpr std::size_t kBatchTextBytes = std::size_t{1} << 20;
constexpr std::int64_t kRemovalsPage = 10'000;

Status cancelled(const ReembedReport& report) {
  return {StatusCode::kCancelled,
          fmt::format("reembed was stopped; {} passages of this call are kept, and the next call "
                      "goes on from there",
                      report.passages_embedded)};
}

// The cut a document is to have: its own. One that came with a vector may be too long to be one
// passage.
std::uint32_t wanted_cut(const StoredDocument& stored) {
  if (stored.split_tokens == 0 && stored.document.text.size() > kMostUnsplitTextBytes) {
    return static_cast<std::uint32_t>(SplitOptions().passage_tokens);
  }
  return stored.split_tokens;
}

bool says_the_same(const StoredDocument& stored, const StoredDocument& in_shadow) {
  return stored.document.title == in_shadow.document.title &&
         stored.document.text == in_shadow.document.text &&
         stored.document.metadata == in_shadow.document.metadata &&
         stored.document.source == in_shadow.document.source &&
         wanted_cut(stored) == in_shadow.split_tokens;
}

AddOptions add_options(std::uint32_t cut, const ReembedOptions& options,
                       const ProgressCallback& progress) {
  AddOptions add{.stop = options.stop, .progress = progress};
  add.split.enabled = cut > 0;
  if (cut > 0) add.split.passage_tokens = static_cast<int>(cut);
  return add;
}

// Reads all that has to be read; nothing is embedded yet.
Result<PreparedBatch> read(const storage::DocumentStore& store,
                           const storage::DocumentStore::View& view, const Collection& collection,
                           std::span<const Document> documents, const AddOptions& options,
                           const TextEncoder& encoder) {
  // Borrowed: the caller holds it for longer than this call.
  const EncoderPointer borrowed(EncoderPointer(), &encoder);
  NESTOR_ASSIGN_OR_RETURN(PreparedBatch prepared,
                          read_batch(store, view, collection, documents, options,
                                     [&] { return Result<EncoderPointer>(borrowed); }));
  prepared.batch.collection = collection.name;
  return prepared;
}

void account(const AddReport& added, ReembedReport& report) {
  report.passages_embedded += added.passages_embedded;
  report.passages_truncated += added.passages_truncated;
  report.tokens_embedded += added.tokens_embedded;
}

}  // namespace

// One way through, and the batch in the making. Every batch is read from the newest state, so that
// no state is held for as long as the whole takes: a document that changes behind the pass makes
// the collection's sequence another one than the pass began with.
struct Renewal::Pass {
  Collection collection;
  Collection shadow;
  std::string after;                                    // the last key looked at
  std::map<std::uint32_t, std::vector<Document>> cuts;  // what is to be written, by its cut
};

Renewal::Renewal(const storage::DocumentStore& store, std::string collection,
                 TextEncoder const& encoder, const ReembedOptions& options, RenewalCommit commit,
                 ReembedReport& report)
    : store_(store),
      collection_(std::move(collection)),
      encoder_(encoder),
      options_(options),
      commit_(std::move(commit)),
      report_(report) {}

Result<std::int64_t> Renewal::pass() {
  Pass pass;
  const storage::DocumentStore::ViewPointer view = store_.view();
  NESTOR_ASSIGN_OR_RETURN(auto collection, store_.find_collection(*view, collection_));
  if (!collection.has_value()) {
    return Status(StatusCode::kNotFound, fmt::format("no collection '{}'", collection_));
  }
  pass.collection = std::move(*collection);
  NESTOR_ASSIGN_OR_RETURN(auto shadow,
                          store_.find_collection(*view, storage::shadow_name(pass.collection)));
  if (!shadow.has_value()) {
    return Status(StatusCode::kInternal,
                  fmt::format("collection '{}' has no shadow to be embedded in", collection_));
  }
  pass.shadow = std::move(*shadow);
  std::int64_t changed = 0;
  for (bool more = true; more;) {
    NESTOR_RETURN_IF_ERROR(gather(pass, more));
    NESTOR_ASSIGN_OR_RETURN(const std::int64_t written, write(pass));
    changed += written;
  }
  NESTOR_ASSIGN_OR_RETURN(const std::int64_t removed, remove_surplus(pass));
  level_sequence_ = pass.collection.sequence;
  return changed + removed;
}

// The next documents that the shadow lacks, or has as they were.
Status Renewal::gather(Pass& pass, bool& more) const {
  const auto mode = static_cast<std::uint8_t>(numeric_mode_of(encoder_.info()));
  const auto& modes = pass.shadow.rows_by_mode;
  const bool one_mode =
      std::all_of(modes.begin(), modes.end(), [&](const auto& rows) { return rows.first == mode; });
  std::size_t documents = 0;
  std::size_t bytes = 0;
  more = false;
  Status status;
  const storage::DocumentStore::ViewPointer view = store_.view();
  NESTOR_RETURN_IF_ERROR(store_.scan_documents(
      *view, pass.collection.id, pass.after, [&](const StoredDocument& stored) {
        if (options_.stop.stop_requested()) {
          status = cancelled(report_);
          return false;
        }
        if (documents >= kBatchDocuments || bytes >= kBatchTextBytes) {
          more = true;
          return false;
        }
        pass.after = stored.document.key;
        auto there = store_.find_document(*view, pass.shadow.id, stored.document.key);
        status = there.status();
        if (!status.ok()) return false;
        if (one_mode && there.value().has_value() && says_the_same(stored, *there.value())) {
          return true;
        }
        ++documents;
        bytes += stored.document.text.size();
        pass.cuts[wanted_cut(stored)].push_back(stored.document);
        return true;
      }));
  return status;
}

Result<std::int64_t> Renewal::write(Pass& pass) {
  std::int64_t written = 0;
  for (const auto& [cut, documents] : pass.cuts) {
    // The newest state, which only grew by this renewal's own batches and lost what was removed.
    storage::DocumentStore::ViewPointer now = store_.view();
    NESTOR_ASSIGN_OR_RETURN(const auto shadow, store_.find_collection(*now, pass.shadow.name));
    if (!shadow.has_value()) {
      return Status(
          StatusCode::kInternal,
          fmt::format("the shadow of collection '{}' went while it was filled", collection_));
    }
    const AddOptions add = add_options(cut, options_, progress_of(pass.collection, *shadow));
    NESTOR_ASSIGN_OR_RETURN(PreparedBatch prepared,
                            read(store_, *now, *shadow, documents, add, encoder_));
    now.reset();
    NESTOR_RETURN_IF_ERROR(embed_batch(add, nullptr, prepared));
    if (prepared.batch.writes.empty()) continue;
    NESTOR_ASSIGN_OR_RETURN([[maybe_unused]] const storage::Commit done, commit_(prepared.batch));
    account(prepared.report, report_);
    written += std::ssize(prepared.batch.writes);
  }
  pass.cuts.clear();
  return written;
}

// What was removed from the collection after it came into the shadow.
Result<std::int64_t> Renewal::remove_surplus(const Pass& pass) {
  std::int64_t removed = 0;
  std::string after;
  for (;;) {
    if (options_.stop.stop_requested()) return cancelled(report_);
    const storage::DocumentStore::ViewPointer view = store_.view();
    NESTOR_ASSIGN_OR_RETURN(const std::vector<std::string> keys,
                            store_.list_keys(*view, pass.shadow.id, after, kRemovalsPage));
    if (keys.empty()) return removed;
    after = keys.back();
    storage::Batch batch;
    batch.collection = pass.shadow.name;
    for (const std::string& key : keys) {
      NESTOR_ASSIGN_OR_RETURN(const auto there,
                              store_.find_document(*view, pass.collection.id, key));
      if (!there.has_value()) batch.removals.push_back(key);
    }
    if (batch.removals.empty()) continue;
    NESTOR_ASSIGN_OR_RETURN(const storage::Commit done, commit_(batch));
    removed += done.removed_documents;
  }
}

ProgressCallback Renewal::progress_of(const Collection& collection,
                                      const Collection& shadow) const {
  if (!options_.progress) return {};
  const std::int64_t left = std::max<std::int64_t>(collection.passages - shadow.passages, 0);
  return [this, left](const Progress& progress) {
    Progress whole;
    whole.passages_done = report_.passages_embedded + progress.passages_done;
    whole.passages_total = std::max(report_.passages_embedded + left, whole.passages_done);
    whole.tokens_done = report_.tokens_embedded + progress.tokens_done;
    const double share = static_cast<double>(whole.passages_done) /
                         static_cast<double>(std::max<std::int64_t>(whole.passages_total, 1));
    whole.tokens_total =
        share > 0 ? static_cast<std::int64_t>(static_cast<double>(whole.tokens_done) / share) : 0;
    options_.progress(whole);
  };
}

std::int64_t rows_of_other_modes(const Collection& collection, const ModelInfo& model) {
  std::int64_t rows = 0;
  for (const auto& [mode, count] : collection.rows_by_mode) {
    const auto numeric = static_cast<storage::NumericMode>(mode);
    if (numeric != numeric_mode_of(model) && numeric != storage::NumericMode::kExternal)
      rows += count;
  }
  return rows;
}

Result<PreparedBatch> other_modes_batch(const storage::DocumentStore& store,
                                        const storage::DocumentStore::View& view,
                                        const Collection& collection, const EncoderPointer& encoder,
                                        const ReembedOptions& options, std::string& after,
                                        const ReembedReport& report) {
  const storage::NumericMode mode = numeric_mode_of(encoder->info());
  std::vector<Document> documents;  // of one cut
  std::uint32_t cut = 0;
  std::size_t bytes = 0;
  Status status;
  const auto take = [&](const StoredDocument& stored) {
    if (options.stop.stop_requested()) status = cancelled(report);
    const bool full = documents.size() >= kBatchDocuments || bytes >= kBatchTextBytes;
    if (!status.ok() || full || (!documents.empty() && stored.split_tokens != cut)) return false;
    std::vector<std::uint64_t> ids(static_cast<std::size_t>(stored.passage_count));
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = stored.first_row_id + i;
    const auto rows = store.rows(view, collection, ids);
    status = rows.status();
    if (!status.ok()) return false;
    after = stored.document.key;
    const bool other = std::any_of(rows.value().begin(), rows.value().end(), [&](const auto& row) {
      return row.passage.mode != mode && row.passage.mode != storage::NumericMode::kExternal;
    });
    if (!other) return true;
    cut = stored.split_tokens;
    bytes += stored.document.text.size();
    documents.push_back(stored.document);
    return true;
  };
  NESTOR_RETURN_IF_ERROR(store.scan_documents(view, collection.id, after, take));
  NESTOR_RETURN_IF_ERROR(status);
  if (documents.empty()) return PreparedBatch();
  NESTOR_ASSIGN_OR_RETURN(PreparedBatch prepared, read(store, view, collection, documents,
                                                       add_options(cut, options, {}), *encoder));
  prepared.encoder = encoder;
  return prepared;
}

Status embed_other_modes(const Collection& collection, const ReembedOptions& options,
                         PreparedBatch& prepared, ReembedReport& report) {
  ProgressCallback progress;
  if (options.progress) {
    const std::int64_t total =
        report.passages_embedded + rows_of_other_modes(collection, prepared.encoder->info());
    progress = [&options, &report, total](const Progress& one) {
      options.progress({.passages_done = report.passages_embedded + one.passages_done,
                        .passages_total = total,
                        .tokens_done = report.tokens_embedded + one.tokens_done});
    };
  }
  NESTOR_RETURN_IF_ERROR(
      embed_batch({.stop = options.stop, .progress = progress}, nullptr, prepared));
  account(prepared.report, report);
  return {};
}

}  // namespace nestor::query
