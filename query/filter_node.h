// A filter's tree, and the only way to make a node: checked, flat where it can be, never deeper or
// larger than the limits, so that walking one needs no guard of its own.
// Threads: nodes never change once made.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/filter.h"

namespace nestor::query {

inline constexpr std::size_t kMostFilterBytes = 64 << 10;
inline constexpr std::size_t kMostFilterValues = 10'000;  // in all conditions together
inline constexpr int kMostFilterDepth = 64;

enum class FilterOperator : std::uint8_t {
  kAnd,  // of no children: everything
  kOr,   // of no children: nothing
  kEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kPrefix,
  kContains,
  kHas,
  kExists,
};

bool is_ordering(FilterOperator op);

// Which field of which side of the document.
struct FieldName {
  bool of_document = false;  // `key` or `title`; else metadata
  std::string name;
  bool operator==(const FieldName&) const = default;
};

// From the form of filters: bare key and title are the document's, "meta." is taken off.
FieldName parse_field_name(std::string_view written);
// The reverse, without quotes.
std::string written_field_name(const FieldName& field);

using NodePointer = std::shared_ptr<const Filter::Node>;

// A condition. Ordering against null and `in` with null have has_null; `== null` is not exists.
NodePointer make_condition(FilterOperator op, FieldName field, std::vector<MetadataScalar> values,
                           bool is_list, bool has_null, bool negated);
// kAnd or kOr; children of the same operator are taken in.
NodePointer make_group(FilterOperator op, const std::vector<NodePointer>& children);
NodePointer make_negation(const NodePointer& node);

// "filter: ..." under kInvalidArgument.
Status filter_error(const std::string& what);

}  // namespace nestor::query

namespace nestor {

struct Filter::Node {
  query::FilterOperator op = query::FilterOperator::kAnd;
  bool negated = false;
  std::vector<query::NodePointer> children = {};  // of groups
  query::FieldName field = {};                    // of conditions, as all that follows
  std::vector<MetadataScalar> values = {};
  bool is_list = false;   // the value is a list, not a scalar
  bool has_null = false;  // null is, or is among, the values
  // As filter_to_text, without the negation: what equal conditions have in common.
  std::string text = {};
  int depth = 1;
  std::size_t value_count = 0;
  Status error = {};  // of the builder; such a node has no children and matches nothing
};

}  // namespace nestor
