#include "query/ingest.h"

#include <fmt/format.h>

#include <map>
#include <utility>
#include <vector>

#include "core/bytes.h"
#include "core/hash.h"
#include "core/macros.h"
#include "core/text.h"
#include "query/chunker.h"
#include "query/content_reuse.h"
#include "query/input_check.h"
#include "query/passage_terms.h"

namespace nestor::query {
namespace {

using storage::NumericMode;

std::string_view passage_text(const Document& document, const storage::Row& row) {
  const ByteRange range = row.passage.bytes;
  return std::string_view(document.text)
      .substr(static_cast<std::size_t>(range.begin),
              static_cast<std::size_t>(range.end - range.begin));
}

void take_embedding(const Embedding& embedding, storage::Row& row) {
  row.vector = embedding.vector;
  row.passage.token_count = embedding.token_count;
  row.passage.truncated = embedding.truncated;
}

void take_vector(const storage::Row& from, AddReport& report, storage::Row& to) {
  to.vector = from.vector;
  to.passage.token_count = from.passage.token_count;
  to.passage.truncated = from.passage.truncated;
  ++report.passages_reused;
}

class Preparation {
 public:
  Preparation(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
              const std::optional<storage::Collection>& collection, const AddOptions& options,
              const EncoderGetter& encoder)
      : store_(store),
        view_(view),
        collection_(collection),
        options_(options),
        get_encoder_(encoder) {}

  Result<PreparedBatch> run(std::span<const Document> documents) {
    NESTOR_RETURN_IF_ERROR(check(documents));
    prepared_.seen.collection = collection_;
    NESTOR_RETURN_IF_ERROR(settle_collection(documents));
    if (collection_.has_value() && collection_->width > 0 && !prepared_.external) {
      reuse_.emplace(store_, view_, *collection_);
    }
    std::map<std::string_view, const Document*> last_of_key;  // of equal keys the last wins
    for (const Document& document : documents) last_of_key[document.key] = &document;
    for (const Document& document : documents) {
      if (last_of_key[document.key] != &document) continue;
      if (options_.stop.stop_requested())
        return Status(StatusCode::kCancelled, "adding was stopped");
      NESTOR_RETURN_IF_ERROR(take(document));
    }
    NESTOR_RETURN_IF_ERROR(make_terms());
    prepared_.encoder = encoder_;
    return std::move(prepared_);
  }

 private:
  Status check(std::span<const Document> documents) const {
    NESTOR_RETURN_IF_ERROR(check_collection_name(options_.collection));
    NESTOR_RETURN_IF_ERROR(check_split(options_.split));
    if (documents.size() > kMostDocuments) {
      return {StatusCode::kInvalidArgument,
              fmt::format("{} documents in one call; at most {} are taken", documents.size(),
                          kMostDocuments)};
    }
    for (const Document& document : documents) {
      NESTOR_RETURN_IF_ERROR(check_document(document, options_.split.enabled));
    }
    return {};
  }

  // Decides whether vectors come from the model or from the caller, and how wide they are.
  Status settle_collection(std::span<const Document> documents) {
    storage::Batch& batch = prepared_.batch;
    batch.collection = options_.collection;
    if (collection_.has_value()) {
      prepared_.external = collection_->external;
    } else {
      prepared_.collection_missing = true;
      prepared_.external = !documents.empty();
      for (const Document& document : documents) prepared_.external &= !document.vector.empty();
    }
    if (prepared_.external) {
      batch.width = collection_.has_value() ? collection_->width
                                            : static_cast<int>(documents[0].vector.size());
      if (batch.width > kMostVectorWidth) {
        return {StatusCode::kInvalidArgument,
                fmt::format("vectors of {} components; at most {} are taken", batch.width,
                            kMostVectorWidth)};
      }
      return {};
    }
    if (documents.empty()) return {};
    NESTOR_ASSIGN_OR_RETURN(encoder_, get_encoder_());
    const ModelInfo& model = encoder_->info();
    if (collection_.has_value()) NESTOR_RETURN_IF_ERROR(check_space(*collection_, model));
    batch.width = model.width;
    batch.space = model.space;
    batch.model = model.name;
    return {};
  }

  Status take(const Document& document) {
    const std::string whose = fmt::format("document {}", quote_for_message(document.key));
    if (!document.vector.empty()) {
      NESTOR_RETURN_IF_ERROR(
          check_vector(document.vector, prepared_.batch.width, whose,
                       collection_.has_value() ? collection_->metric : Metric::kCosine));
    } else if (prepared_.external) {
      return {StatusCode::kInvalidArgument,
              fmt::format("{} has no vector; collection '{}' keeps vectors that its callers bring "
                          "(width {}). Give "
                          "one, or use another collection for texts alone",
                          whose, options_.collection, prepared_.batch.width)};
    }
    const bool split = options_.split.enabled && document.vector.empty();
    const auto split_tokens = static_cast<std::uint32_t>(split ? options_.split.passage_tokens : 0);

    std::optional<storage::StoredDocument> old;
    std::vector<storage::Row> old_rows;
    if (collection_.has_value()) {
      NESTOR_ASSIGN_OR_RETURN(const bool damaged, read_old(document.key, old, old_rows));
      if (damaged) {
        ++prepared_.report.documents_updated;
        return cut(document, split_tokens, {});
      }
    }
    if (old.has_value()) {
      if (is_unchanged(document, split_tokens, *old, old_rows)) {
        ++prepared_.report.documents_unchanged;
        return {};
      }
      ++prepared_.report.documents_updated;
    } else {
      ++prepared_.report.documents_added;
    }
    return cut(document, split_tokens, old_rows);
  }

  // What the key holds now. True where it is damaged: it is then replaced whatever it was.
  Result<bool> read_old(const std::string& key, std::optional<storage::StoredDocument>& old,
                        std::vector<storage::Row>& rows) {
    auto document = store_.find_document(view_, collection_->id, key);
    NESTOR_RETURN_IF_ERROR(prepared_.seen.note(key, document));
    if (document.status().code() == StatusCode::kDataLoss) return true;
    if (!document.ok()) return document.status();
    old = std::move(document).value();
    if (!old.has_value()) return false;
    auto found = rows_of(*old);
    if (found.status().code() == StatusCode::kDataLoss) return true;
    if (!found.ok()) return found.status();
    rows = std::move(found).value();
    return false;
  }

  Result<std::vector<storage::Row>> rows_of(const storage::StoredDocument& document) const {
    std::vector<std::uint64_t> ids(static_cast<std::size_t>(document.passage_count));
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = document.first_row_id + i;
    return store_.rows(view_, *collection_, ids);
  }

  bool is_unchanged(const Document& document, std::uint32_t split_tokens,
                    const storage::StoredDocument& old,
                    const std::vector<storage::Row>& old_rows) const {
    if (document.title != old.document.title || document.text != old.document.text ||
        document.metadata != old.document.metadata || document.source != old.document.source ||
        split_tokens != old.split_tokens) {
      return false;
    }
    const NumericMode mode =
        document.vector.empty() ? numeric_mode_of(encoder_->info()) : NumericMode::kExternal;
    for (const storage::Row& row : old_rows) {
      if (row.passage.mode != mode) return false;
    }
    return document.vector.empty() ||
           (old_rows.size() == 1 && old_rows[0].vector == document.vector);
  }

  // The document's passages; those that say what an old one said take its vector.
  Status cut(const Document& document, std::uint32_t split_tokens,
             const std::vector<storage::Row>& old_rows) {
    std::vector<Chunk> chunks;
    if (split_tokens > 0) {
      const auto counter = [this](std::string_view text) { return encoder_->count_tokens(text); };
      NESTOR_ASSIGN_OR_RETURN(
          chunks, split_into_chunks(document.text, {.chunk_tokens = static_cast<int>(split_tokens)},
                                    counter));
    } else {
      chunks.push_back(whole_text_chunk(document.text));
    }
    storage::DocumentWrite write;
    write.document = document;
    write.document.vector.clear();
    write.split_tokens = split_tokens;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      storage::Row row;
      row.document_key = document.key;
      row.passage.index = static_cast<std::int64_t>(i);
      row.passage.bytes = chunks[i].bytes;
      row.passage.lines = chunks[i].lines;
      row.passage.heading_path = std::move(chunks[i].heading_path);
      const std::string slot = title_slot_of(document.title, row.passage.heading_path);
      row.passage.content = content_hash(slot, passage_text(document, row));
      if (!document.vector.empty()) {
        row.passage.mode = NumericMode::kExternal;
        row.vector = document.vector;
      } else {
        row.passage.mode = numeric_mode_of(encoder_->info());
        NESTOR_ASSIGN_OR_RETURN(const bool reused, reuse(row, old_rows, slot, document));
        if (!reused) {
          await(passage_text(document, row),
                {.write = prepared_.batch.writes.size(), .row = i, .title_slot = slot});
        }
      }
      write.rows.push_back(std::move(row));
    }
    prepared_.batch.writes.push_back(std::move(write));
    return {};
  }

  // From the document's own old rows, or from any row of the collection that says the same.
  Result<bool> reuse(storage::Row& row, const std::vector<storage::Row>& old_rows,
                     const std::string& slot, const Document& document) {
    for (const storage::Row& old : old_rows) {
      if (old.passage.content != row.passage.content || old.passage.mode != row.passage.mode)
        continue;
      take_vector(old, prepared_.report, row);
      return true;
    }
    if (!reuse_.has_value()) return false;
    NESTOR_ASSIGN_OR_RETURN(
        const std::optional<storage::Row> same,
        reuse_->find(slot, passage_text(document, row), row.passage.content, row.passage.mode));
    if (same.has_value()) take_vector(*same, prepared_.report, row);
    return same.has_value();
  }

  // To be embedded; of equal passages the first one is, and the others take its vector.
  void await(std::string_view text, PendingPassage pending) {
    const auto [known, first] =
        pending_of_.emplace(std::pair(pending.title_slot, text), prepared_.pending.size());
    if (first) {
      prepared_.pending.push_back(std::move(pending));
    } else {
      prepared_.pending[known->second].twins.emplace_back(pending.write, pending.row);
    }
  }

  Status make_terms() {
    const std::string language =
        collection_.has_value() ? language_of(*collection_) : kAutoLanguage;
    NESTOR_ASSIGN_OR_RETURN(const std::unique_ptr<TextAnalyzer> analyzer,
                            TextAnalyzer::make(language));
    prepared_.batch.analysis = analysis_name(language);
    for (storage::DocumentWrite& write : prepared_.batch.writes) {
      NESTOR_ASSIGN_OR_RETURN(write.terms,
                              make_document_terms(*analyzer, write.document, write.rows));
    }
    return {};
  }

  const storage::DocumentStore& store_;
  const storage::DocumentStore::View& view_;
  const std::optional<storage::Collection>& collection_;
  const AddOptions& options_;
  const EncoderGetter& get_encoder_;
  EncoderPointer encoder_;  // set unless every vector is the caller's
  PreparedBatch prepared_;
  // Positions in prepared_.pending, by title slot and text (of the caller's documents).
  std::map<std::pair<std::string, std::string_view>, std::size_t> pending_of_;
  std::optional<ContentReuse> reuse_;  // where there are rows to take from
};

}  // namespace

Hash128 content_hash(std::string_view title_slot, std::string_view text) {
  ByteWriter content;
  content.string(title_slot);
  content.string(text);
  return hash128(content.bytes());
}

NumericMode numeric_mode_of(const ModelInfo& model) {
  if (model.precision == "bf16") return NumericMode::kBf16;
  if (model.precision == "int8") return NumericMode::kInt8;
  return NumericMode::kF32;
}

Status check_space(const storage::Collection& collection, const ModelInfo& model) {
  if (collection.space.empty() || collection.space == model.space) return {};
  return {StatusCode::kModelMismatch,
          fmt::format("collection '{}' was embedded with {} (space {:.12}), the model in place is "
                      "{} (space {:.12}, "
                      "{}); vectors of two spaces cannot be compared. Use the first model with "
                      "--model FOLDER, another collection for the second, or bring this one to "
                      "the second with: nestor reembed DB{}",
                      collection.name, collection.model, collection.space, model.name, model.space,
                      model.folder,
                      collection.name == kDefaultCollection ? std::string()
                                                            : " --collection " + collection.name)};
}

Result<PreparedBatch> read_batch(const storage::DocumentStore& store,
                                 const storage::DocumentStore::View& view,
                                 const std::optional<storage::Collection>& collection,
                                 std::span<const Document> documents, const AddOptions& options,
                                 const EncoderGetter& encoder) {
  return Preparation(store, view, collection, options, encoder).run(documents);
}

Status embed_batch(const AddOptions& options, EmbeddedPassages* embedded, PreparedBatch& prepared) {
  const auto row_at = [&](std::size_t write, std::size_t row) -> storage::Row& {
    return prepared.batch.writes[write].rows[row];
  };
  const auto text_of = [&](const PendingPassage& pending) {
    return passage_text(prepared.batch.writes[pending.write].document,
                        row_at(pending.write, pending.row));
  };
  const auto settle = [&](const PendingPassage& pending, const Embedding& embedding) {
    storage::Row& row = row_at(pending.write, pending.row);
    take_embedding(embedding, row);
    prepared.report.tokens_embedded += embedding.token_count;
    ++prepared.report.passages_embedded;
    for (const auto& [write, twin] : pending.twins) {
      take_vector(row, prepared.report, row_at(write, twin));
    }
  };
  if (embedded != nullptr) {
    std::erase_if(prepared.pending, [&](const PendingPassage& pending) {
      const Embedding* const known = embedded->find(pending.title_slot, text_of(pending));
      if (known != nullptr) settle(pending, *known);
      return known != nullptr;
    });
  }
  std::vector<EmbedInput> inputs;
  for (const PendingPassage& pending : prepared.pending) {
    inputs.push_back({.text = text_of(pending), .title = pending.title_slot});
  }
  if (!inputs.empty()) {
    NESTOR_ASSIGN_OR_RETURN(
        const std::vector<Embedding> embeddings,
        prepared.encoder->encode(inputs, Role::kDocument,
                                 {.stop = options.stop, .progress = options.progress}));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      settle(prepared.pending[i], embeddings[i]);
      if (embedded != nullptr) {
        embedded->put(prepared.pending[i].title_slot, inputs[i].text, embeddings[i]);
      }
    }
  }
  prepared.pending.clear();
  for (const auto& write : prepared.batch.writes) {
    for (const storage::Row& row : write.rows)
      prepared.report.passages_truncated += row.passage.truncated;
  }
  return {};
}

const Embedding* EmbeddedPassages::find(std::string_view title_slot, std::string_view text) const {
  const auto same_text = of_text_.find(text);
  if (same_text == of_text_.end()) return nullptr;
  const auto found = same_text->second.find(title_slot);
  return found == same_text->second.end() ? nullptr : &found->second;
}

void EmbeddedPassages::put(std::string_view title_slot, std::string_view text,
                           const Embedding& embedding) {
  of_text_[std::string(text)].emplace(title_slot, embedding);
}

}  // namespace nestor::query
