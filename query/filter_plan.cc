#include "query/filter_plan.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/macros.h"
#include "query/expiry.h"
#include "query/filter_match.h"

namespace nestor::query {
namespace {

using storage::FieldEntry;
using storage::FieldKind;
using storage::FieldPlace;
using storage::FieldRange;
using storage::StoredDocument;

std::shared_ptr<const LiveRows> make_live_rows(const std::vector<RowRun>& runs,
                                               std::vector<LiveRows::Expiry> expiries) {
  std::uint64_t lowest = runs.empty() ? 0 : runs.front().first;
  std::uint64_t end = 0;
  for (const RowRun& run : runs) {
    lowest = std::min(lowest, run.first);
    end = std::max(end, run.first + static_cast<std::uint64_t>(run.count));
  }
  const RowRange range = RowRange::of(lowest, std::max(lowest, end));
  RowSetBuilder rows(range);
  RowSetBuilder first_rows(range);
  for (const RowRun& run : runs) {
    rows.add(run.first, run.count);
    first_rows.add(run.first, 1);
  }
  std::sort(expiries.begin(), expiries.end(),
            [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  auto live = std::make_shared<LiveRows>();
  live->rows = std::make_shared<const RowSet>(rows.finish());
  live->first_rows = std::make_shared<const RowSet>(first_rows.finish());
  live->expiries = std::move(expiries);
  return live;
}

class Evaluation {
 public:
  Evaluation(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
             const storage::Collection& collection, CollectionFilters& filters)
      : store_(store), view_(view), collection_(collection), filters_(filters) {}

  Status prepare() {
    NESTOR_ASSIGN_OR_RETURN(indexed_, store_.has_field_index(view_, collection_.id));
    live_ = filters_.live();
    if (live_) return {};
    NESTOR_ASSIGN_OR_RETURN(live_, indexed_ ? live_from_index() : live_from_documents());
    live_ = filters_.put_live(std::move(live_));
    return {};
  }

  [[nodiscard]] bool indexed() const { return indexed_; }
  [[nodiscard]] const LiveRowsPointer& live() const { return live_; }

  Result<RowSetPointer> rows_of(const Filter::Node& node) {
    const bool group = node.op == FilterOperator::kAnd || node.op == FilterOperator::kOr;
    NESTOR_ASSIGN_OR_RETURN(RowSetPointer rows,
                            group ? rows_of_group(node) : rows_of_condition(node));
    if (!node.negated) return rows;
    return std::make_shared<const RowSet>(difference(*live_->rows, *rows));
  }

  // Null where nothing has expired.
  RowSetPointer expired(double now) {
    const auto end =
        std::upper_bound(live_->expiries.begin(), live_->expiries.end(), now,
                         [](double a, const LiveRows::Expiry& b) { return a < b.seconds; });
    if (end == live_->expiries.begin()) return nullptr;
    // So many have expired: no text of a condition looks like it.
    const std::string name = "\1" + std::to_string(end - live_->expiries.begin());
    if (RowSetPointer known = filters_.find(name, live_)) return known;
    RowSetBuilder builder(live_->rows->range());
    for (auto expiry = live_->expiries.begin(); expiry != end; ++expiry) {
      builder.add(expiry->first_row_id, expiry->row_count);
    }
    auto set = std::make_shared<const RowSet>(builder.finish());
    filters_.put(name, set, nullptr, live_);
    return set;
  }

 private:
  Result<std::shared_ptr<const LiveRows>> live_from_index() const {
    std::vector<RowRun> runs;
    NESTOR_RETURN_IF_ERROR(store_.scan_field(
        view_, whole_kind({collection_.id, true, "key"}, FieldKind::kString, false),
        [&](const FieldEntry& entry) {
          runs.push_back({entry.first_row_id, entry.row_count});
          return true;
        }));
    std::vector<LiveRows::Expiry> expiries;
    NESTOR_RETURN_IF_ERROR(store_.scan_field(
        view_, whole_kind({collection_.id, false, kExpiresAtField}, FieldKind::kNumber, false),
        [&](const FieldEntry& entry) {
          expiries.push_back({entry.number, entry.first_row_id, entry.row_count});
          return true;
        }));
    return make_live_rows(runs, std::move(expiries));
  }

  Result<std::shared_ptr<const LiveRows>> live_from_documents() const {
    std::vector<RowRun> runs;
    std::vector<LiveRows::Expiry> expiries;
    NESTOR_RETURN_IF_ERROR(
        store_.scan_documents(view_, collection_.id, "", [&](const StoredDocument& stored) {
          runs.push_back({stored.first_row_id, stored.passage_count});
          if (const auto expiry = expiry_of(stored.document.metadata)) {
            expiries.push_back({*expiry, stored.first_row_id, stored.passage_count});
          }
          return true;
        }));
    return make_live_rows(runs, std::move(expiries));
  }

  Result<RowSetPointer> rows_of_group(const Filter::Node& node) {
    const bool all = node.op == FilterOperator::kAnd;
    RowSetPointer rows;
    for (const NodePointer& child : node.children) {
      NESTOR_ASSIGN_OR_RETURN(const RowSetPointer next, rows_of(*child));
      if (!rows) {
        rows = next;
      } else {
        rows = std::make_shared<const RowSet>(all ? intersection(*rows, *next)
                                                  : set_union(*rows, *next));
      }
      if (all && rows->empty()) break;
    }
    if (rows) return rows;
    if (all) return live_->rows;
    return std::make_shared<const RowSet>(RowSetBuilder(live_->rows->range()).finish());
  }

  // Of the condition itself; the caller turns it round.
  Result<RowSetPointer> rows_of_condition(const Filter::Node& node) {
    if (RowSetPointer known = filters_.find(node.text, live_)) return known;
    NESTOR_ASSIGN_OR_RETURN(RowSet set, indexed_ ? read_index(node) : read_documents(node));
    auto shared = std::make_shared<const RowSet>(std::move(set));
    filters_.put(node.text, shared, &node, live_);
    return RowSetPointer(std::move(shared));
  }

  static bool condition_matches(const Filter::Node& node, const Document& document) {
    return matches(node, {document.key, document.title, document.metadata}) != node.negated;
  }

  Result<RowSet> read_documents(const Filter::Node& node) const {
    RowSetBuilder builder(live_->rows->range());
    NESTOR_RETURN_IF_ERROR(
        store_.scan_documents(view_, collection_.id, "", [&](const StoredDocument& stored) {
          if (condition_matches(node, stored.document)) {
            builder.add(stored.first_row_id, stored.passage_count);
          }
          return true;
        }));
    return builder.finish();
  }

  Result<RowSet> read_index(const Filter::Node& node) {
    const FieldPlace place{collection_.id, node.field.of_document, node.field.name};
    RowSetBuilder builder(live_->rows->range());
    doubtful_.clear();
    NESTOR_RETURN_IF_ERROR(collect(node, place, builder));
    NESTOR_RETURN_IF_ERROR(ask_documents(node, builder));
    return builder.finish();
  }

  Status collect(const Filter::Node& node, const FieldPlace& place, RowSetBuilder& builder) {
    switch (node.op) {
      case FilterOperator::kExists:
        return add_range(whole_field(place), builder);
      case FilterOperator::kEqual:
        if (node.is_list) return collect_equal_lists(node, place);
        return add_range(equal_range(place, node.values.front(), false), builder);
      case FilterOperator::kIn:
        for (const MetadataScalar& value : node.values) {
          NESTOR_RETURN_IF_ERROR(add_range(equal_range(place, value, false), builder));
        }
        return node.has_null ? add_missing(place, builder) : Status();
      case FilterOperator::kHas:
        return add_range(equal_range(place, node.values.front(), true), builder);
      case FilterOperator::kPrefix:
        return collect_prefix(node, place, builder);
      case FilterOperator::kContains:
        return collect_contains(node, place, builder);
      default:
        break;
    }
    if (node.has_null) return {};
    const MetadataScalar& value = node.values.front();
    const bool or_equal =
        node.op == FilterOperator::kLessEqual || node.op == FilterOperator::kGreaterEqual;
    const bool less = node.op == FilterOperator::kLess || node.op == FilterOperator::kLessEqual;
    return add_range(
        less ? less_range(place, value, or_equal) : greater_range(place, value, or_equal), builder);
  }

  Status add_range(const FieldRange& range, RowSetBuilder& builder) {
    return store_.scan_field(view_, range, [&](const FieldEntry& entry) {
      // A field that is there is there, cut or not; but cut strings may be others than they seem,
      // and are asked for in any case: few are that long.
      if (entry.cut) {
        doubtful_.push_back(entry.first_row_id);
      } else {
        builder.add(entry.first_row_id, entry.row_count);
      }
      return true;
    });
  }

  Status add_missing(const FieldPlace& place, RowSetBuilder& builder) {
    RowSetBuilder there(live_->rows->range());
    NESTOR_RETURN_IF_ERROR(store_.scan_field(view_, whole_field(place), [&](const auto& entry) {
      there.add(entry.first_row_id, entry.row_count);
      return true;
    }));
    for (const std::uint64_t id : difference(*live_->rows, there.finish()).to_ids()) {
      builder.add(id, 1);
    }
    return {};
  }

  // The index does not know the order of a list's elements: those that hold them all are asked.
  Status collect_equal_lists(const Filter::Node& node, const FieldPlace& place) {
    if (node.has_null) return {};
    if (node.values.empty()) {
      return doubt_all(whole_kind(place, FieldKind::kEmptyList, false));
    }
    std::optional<RowSet> candidates;
    for (const MetadataScalar& value : node.values) {
      RowSetBuilder first_rows(live_->rows->range());
      NESTOR_RETURN_IF_ERROR(
          store_.scan_field(view_, equal_range(place, value, true), [&](const FieldEntry& entry) {
            first_rows.add(entry.first_row_id, 1);
            return true;
          }));
      RowSet next = first_rows.finish();
      candidates = candidates ? intersection(*candidates, next) : std::move(next);
    }
    doubtful_ = candidates->to_ids();
    return {};
  }

  Status doubt_all(const FieldRange& range) {
    return store_.scan_field(view_, range, [&](const FieldEntry& entry) {
      doubtful_.push_back(entry.first_row_id);
      return true;
    });
  }

  Status collect_prefix(const Filter::Node& node, const FieldPlace& place, RowSetBuilder& builder) {
    const auto& prefix = std::get<std::string>(node.values.front().variant());
    const FieldRange range = prefix_range(place, prefix);
    if (prefix.size() > storage::kMostIndexedBytes) return doubt_all(range);
    // What the index holds of a longer string is enough to tell.
    return store_.scan_field(view_, range, [&](const FieldEntry& entry) {
      builder.add(entry.first_row_id, entry.row_count);
      return true;
    });
  }

  Status collect_contains(const Filter::Node& node, const FieldPlace& place,
                          RowSetBuilder& builder) {
    const MetadataScalar& value = node.values.front();
    NESTOR_RETURN_IF_ERROR(add_range(equal_range(place, value, true), builder));
    const auto* part = std::get_if<std::string>(&value.variant());
    if (part == nullptr) return {};
    return store_.scan_field(view_, whole_kind(place, FieldKind::kString, false),
                             [&](const FieldEntry& entry) {
                               if (entry.text.find(*part) != std::string::npos) {
                                 builder.add(entry.first_row_id, entry.row_count);
                               } else if (entry.cut) {
                                 doubtful_.push_back(entry.first_row_id);
                               }
                               return true;
                             });
  }

  // The documents of the rows in doubt decide for themselves.
  Status ask_documents(const Filter::Node& node, RowSetBuilder& builder) {
    constexpr std::size_t kAtOnce = 256;  // rows come with their vectors
    for (std::size_t first = 0; first < doubtful_.size(); first += kAtOnce) {
      const std::size_t count = std::min(kAtOnce, doubtful_.size() - first);
      NESTOR_ASSIGN_OR_RETURN(
          const std::vector<storage::Row> rows,
          store_.rows(view_, collection_, std::span(doubtful_).subspan(first, count)));
      for (const storage::Row& row : rows) {
        NESTOR_ASSIGN_OR_RETURN(const std::optional<StoredDocument> stored,
                                store_.find_document(view_, collection_.id, row.document_key));
        if (stored && condition_matches(node, stored->document)) {
          builder.add(stored->first_row_id, stored->passage_count);
        }
      }
    }
    doubtful_.clear();
    return {};
  }

  const storage::DocumentStore& store_;
  const storage::DocumentStore::View& view_;
  const storage::Collection& collection_;
  CollectionFilters& filters_;
  bool indexed_ = true;
  LiveRowsPointer live_;
  std::vector<std::uint64_t> doubtful_;  // first rows of documents that must be asked
};

}  // namespace

Result<MatchingRows> find_matching_rows(const storage::DocumentStore& store,
                                        const storage::DocumentStore::View& view,
                                        const storage::Collection& collection, const Filter& filter,
                                        double now, CollectionFilters& filters) {
  NESTOR_RETURN_IF_ERROR(filter.check());
  Evaluation evaluation(store, view, collection, filters);
  NESTOR_RETURN_IF_ERROR(evaluation.prepare());
  NESTOR_ASSIGN_OR_RETURN(RowSetPointer rows, evaluation.rows_of(filter.node()));
  MatchingRows matching;
  matching.live = evaluation.live();
  matching.indexed = evaluation.indexed();
  matching.live_count = matching.live->rows->count();
  if (const RowSetPointer expired = evaluation.expired(now)) {
    rows = std::make_shared<const RowSet>(difference(*rows, *expired));
    matching.live_count -= expired->count();
  }
  matching.row_count = rows->count();
  matching.everything = matching.row_count == matching.live->rows->count();
  matching.rows = std::move(rows);
  return matching;
}

std::int64_t count_matching_documents(const MatchingRows& matching) {
  return intersection(*matching.rows, *matching.live->first_rows).count();
}

}  // namespace nestor::query
