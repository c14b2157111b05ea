#include "query/field_names.h"

#include <unicode/unistr.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/macros.h"
#include "query/filter_node.h"

namespace nestor::query {
namespace {

using storage::DocumentStore;

// More than a person would look through, and few enough to compare a name with all of them.
constexpr std::size_t kMostNames = 10'000;
constexpr std::size_t kMostSimilar = 3;

void collect_fields(const Filter::Node& node, std::vector<UnknownField>& fields) {
  for (const NodePointer& child : node.children) collect_fields(*child, fields);
  if (!node.children.empty() || node.field.name.empty() || node.field.of_document) return;
  const bool absence =
      node.op == FilterOperator::kExists || (node.op == FilterOperator::kIn && node.has_null);
  const auto known = std::find_if(fields.begin(), fields.end(), [&](const UnknownField& field) {
    return field.name == node.field.name;
  });
  if (known == fields.end()) {
    fields.push_back({.name = node.field.name, .similar = {}, .only_existence = absence});
  } else {
    known->only_existence = known->only_existence && absence;
  }
}

Result<bool> has_field(const DocumentStore& store, const DocumentStore::View& view,
                       const storage::Collection& collection, const std::string& name) {
  bool found = false;
  NESTOR_RETURN_IF_ERROR(store.scan_field(view, storage::whole_field({collection.id, false, name}),
                                          [&](const storage::FieldEntry&) {
                                            found = true;
                                            return false;
                                          }));
  return found;
}

// What a person sees as one letter, whatever its case.
icu::UnicodeString folded(std::string_view name) {
  icu::UnicodeString text = icu::UnicodeString::fromUTF8(
      icu::StringPiece(name.data(), static_cast<std::int32_t>(name.size())));
  return text.foldCase();
}

// Insertions, deletions, substitutions and exchanges of neighbours (optimal string alignment).
std::int32_t distance(const icu::UnicodeString& a, const icu::UnicodeString& b) {
  const std::size_t width = static_cast<std::size_t>(b.length()) + 1;
  std::vector<std::int32_t> table((static_cast<std::size_t>(a.length()) + 1) * width);
  const auto at = [&](std::int32_t i, std::int32_t j) -> std::int32_t& {
    return table[static_cast<std::size_t>(i) * width + static_cast<std::size_t>(j)];
  };
  for (std::int32_t i = 0; i <= a.length(); ++i) at(i, 0) = i;
  for (std::int32_t j = 0; j <= b.length(); ++j) at(0, j) = j;
  for (std::int32_t i = 1; i <= a.length(); ++i) {
    for (std::int32_t j = 1; j <= b.length(); ++j) {
      const std::int32_t changed = a[i - 1] == b[j - 1] ? 0 : 1;
      at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + changed});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
      }
    }
  }
  return at(a.length(), b.length());
}

}  // namespace

Result<std::vector<std::string>> field_names(const DocumentStore& store,
                                             const DocumentStore::View& view,
                                             const storage::Collection& collection,
                                             std::size_t limit) {
  NESTOR_ASSIGN_OR_RETURN(const bool indexed, store.has_field_index(view, collection.id));
  if (indexed) return store.field_names(view, collection.id, limit);
  std::set<std::string> names;
  NESTOR_RETURN_IF_ERROR(
      store.scan_documents(view, collection.id, "", [&](const storage::StoredDocument& stored) {
        for (const auto& [name, value] : stored.document.metadata) names.insert(name);
        return names.size() < limit;
      }));
  std::vector<std::string> sorted(names.begin(), names.end());
  sorted.resize(std::min(sorted.size(), limit));
  return sorted;
}

Result<std::vector<UnknownField>> unknown_fields(const DocumentStore& store,
                                                 const DocumentStore::View& view,
                                                 const storage::Collection& collection,
                                                 const Filter& filter) {
  NESTOR_RETURN_IF_ERROR(filter.check());
  std::vector<UnknownField> asked;
  collect_fields(filter.node(), asked);
  if (asked.empty()) return asked;
  NESTOR_ASSIGN_OR_RETURN(const bool indexed, store.has_field_index(view, collection.id));
  std::vector<std::string> names;
  if (!indexed) {
    // Of all documents: with one of them left out a field could be missing.
    NESTOR_ASSIGN_OR_RETURN(names, field_names(store, view, collection, SIZE_MAX));
  }
  std::vector<UnknownField> unknown;
  for (UnknownField& field : asked) {
    bool known = std::binary_search(names.begin(), names.end(), field.name);
    if (indexed) {
      NESTOR_ASSIGN_OR_RETURN(known, has_field(store, view, collection, field.name));
    }
    if (!known) unknown.push_back(std::move(field));
  }
  if (unknown.empty()) return unknown;
  if (indexed) {
    NESTOR_ASSIGN_OR_RETURN(names, field_names(store, view, collection, kMostNames));
  }
  std::vector<std::string> written = {"key", "title"};
  for (const std::string& name : names) written.push_back(written_field_name({false, name}));
  for (UnknownField& field : unknown) field.similar = similar_names(field.name, written);
  return unknown;
}

std::vector<std::string> similar_names(std::string_view typed,
                                       const std::vector<std::string>& names) {
  constexpr std::int32_t kMostUnits = 64;  // of UTF-16: longer names are not misspelt but others
  const icu::UnicodeString wanted = folded(typed);
  if (wanted.length() > kMostUnits) return {};
  std::vector<std::pair<std::int32_t, std::string>> near;
  for (const std::string& name : names) {
    const icu::UnicodeString candidate = folded(name);
    const std::int32_t most = std::max(wanted.length(), candidate.length()) / 3;
    if (std::abs(candidate.length() - wanted.length()) > most) continue;
    const std::int32_t apart = distance(wanted, candidate);
    if (apart <= most) near.emplace_back(apart, name);
  }
  std::sort(near.begin(), near.end());
  if (near.size() > kMostSimilar) near.resize(kMostSimilar);
  std::vector<std::string> similar;
  for (auto& [apart, name] : near) similar.push_back(std::move(name));
  return similar;
}

}  // namespace nestor::query
