#include "nestor/filter.h"

#include <utility>

#include "core/macros.h"
#include "query/filter_json.h"
#include "query/filter_match.h"
#include "query/filter_node.h"
#include "query/filter_text.h"

namespace nestor {
namespace {

using query::FilterOperator;
using query::NodePointer;

const NodePointer& everything() {
  static const NodePointer node = query::make_group(FilterOperator::kAnd, {});
  return node;
}

Filter condition(FilterOperator op, const std::string& field, const MetadataValue& value,
                 bool negated = false) {
  std::vector<MetadataScalar> values;
  if (value.is_list()) {
    values = value.list();
  } else {
    values.push_back(value.scalar());
  }
  return Filter(query::make_condition(op, query::parse_field_name(field), std::move(values),
                                      value.is_list(), false, negated));
}

Filter joined(FilterOperator op, const Filter& a, const Filter& b) {
  return Filter(query::make_group(op, {a.node_pointer(), b.node_pointer()}));
}

}  // namespace

FilterField Filter::field(std::string name) { return FilterField(std::move(name)); }

Result<Filter> Filter::parse(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != text.npos && text[first] == '{') return parse_json(text);
  NESTOR_ASSIGN_OR_RETURN(NodePointer node, query::parse_filter_text(text));
  return Filter(std::move(node));
}

Result<Filter> Filter::parse_json(std::string_view json) {
  NESTOR_ASSIGN_OR_RETURN(NodePointer node, query::parse_filter_json(json));
  return Filter(std::move(node));
}

std::shared_ptr<const Filter::Node> Filter::node_pointer() const {
  return node_ ? node_ : everything();
}
const Filter::Node& Filter::node() const { return *node_pointer(); }

Status Filter::check() const { return node().error; }

bool Filter::empty() const {
  const Node& top = node();
  return top.error.ok() && top.op == FilterOperator::kAnd && top.children.empty() && !top.negated;
}

bool Filter::matches(const Document& document) const {
  return query::matches(node(), {document.key, document.title, document.metadata});
}

std::string Filter::to_string() const {
  return empty() ? std::string() : query::filter_to_text(node());
}

Filter operator&&(const Filter& a, const Filter& b) { return joined(FilterOperator::kAnd, a, b); }
Filter operator||(const Filter& a, const Filter& b) { return joined(FilterOperator::kOr, a, b); }
Filter Filter::operator!() const { return Filter(query::make_negation(node_pointer())); }

Filter FilterField::operator==(const MetadataValue& value) const {
  return condition(FilterOperator::kEqual, name_, value);
}
Filter FilterField::operator!=(const MetadataValue& value) const {
  return condition(FilterOperator::kEqual, name_, value, true);
}
Filter FilterField::operator<(const MetadataValue& value) const {
  return condition(FilterOperator::kLess, name_, value);
}
Filter FilterField::operator<=(const MetadataValue& value) const {
  return condition(FilterOperator::kLessEqual, name_, value);
}
Filter FilterField::operator>(const MetadataValue& value) const {
  return condition(FilterOperator::kGreater, name_, value);
}
Filter FilterField::operator>=(const MetadataValue& value) const {
  return condition(FilterOperator::kGreaterEqual, name_, value);
}
Filter FilterField::in(const MetadataValue::List& values) const {
  return condition(FilterOperator::kIn, name_, MetadataValue(values));
}
Filter FilterField::not_in(const MetadataValue::List& values) const {
  return condition(FilterOperator::kIn, name_, MetadataValue(values), true);
}
Filter FilterField::prefix(std::string_view bytes) const {
  return condition(FilterOperator::kPrefix, name_, MetadataValue(std::string(bytes)));
}
Filter FilterField::contains(const MetadataScalar& value) const {
  return condition(FilterOperator::kContains, name_, MetadataValue(value));
}
Filter FilterField::has(const MetadataScalar& value) const {
  return condition(FilterOperator::kHas, name_, MetadataValue(value));
}
Filter FilterField::exists() const {
  return Filter(query::make_condition(FilterOperator::kExists, query::parse_field_name(name_), {},
                                      false, false, false));
}

}  // namespace nestor
