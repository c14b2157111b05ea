#include "query/content_reuse.h"

#include <utility>
#include <vector>

#include "core/macros.h"
#include "query/passage_terms.h"

namespace nestor::query {
namespace {

// Two texts of one hash are not to be met; a few rows are looked at all the same.
constexpr std::size_t kMostRows = 4;

bool is_damage(const Status& status) { return status.code() == StatusCode::kDataLoss; }

}  // namespace

Result<std::optional<storage::Row>> ContentReuse::find(std::string_view title_slot,
                                                       std::string_view text,
                                                       const Hash128& content,
                                                       storage::NumericMode mode) {
  const auto none = std::optional<storage::Row>();
  auto ids = store_.rows_of_content(view_, collection_, content, mode, kMostRows);
  if (is_damage(ids.status())) return none;
  if (!ids.ok()) return ids.status();
  for (const std::uint64_t id : ids.value()) {
    auto rows = store_.rows(view_, collection_, std::vector<std::uint64_t>{id});
    if (is_damage(rows.status())) continue;
    if (!rows.ok()) return rows.status();
    storage::Row& row = rows.value().front();
    if (row.passage.content != content || row.passage.mode != mode) continue;
    NESTOR_ASSIGN_OR_RETURN(const bool same, says(row, title_slot, text));
    if (same) return std::optional<storage::Row>(std::move(row));
  }
  return none;
}

Result<bool> ContentReuse::says(const storage::Row& row, std::string_view title_slot,
                                std::string_view text) {
  if (!last_.has_value() || last_->document.key != row.document_key) {
    auto found = store_.find_document(view_, collection_.id, row.document_key);
    if (is_damage(found.status())) return false;
    if (!found.ok()) return found.status();
    last_ = std::move(found).value();
    if (!last_.has_value()) return false;
  }
  const Document& document = last_->document;
  const ByteRange bytes = row.passage.bytes;
  return bytes.end <= static_cast<std::int64_t>(document.text.size()) &&
         std::string_view(document.text)
                 .substr(static_cast<std::size_t>(bytes.begin),
                         static_cast<std::size_t>(bytes.end - bytes.begin)) == text &&
         title_slot_of(document.title, row.passage.heading_path) == title_slot;
}

}  // namespace nestor::query
