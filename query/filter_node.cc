#include "query/filter_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/iso_date.h"
#include "core/text.h"
#include "query/filter_text.h"

namespace nestor::query {
namespace {

constexpr std::string_view kMetaPrefix = "meta.";

bool is_group(const Filter::Node& node) {
  return node.op == FilterOperator::kAnd || node.op == FilterOperator::kOr;
}

NodePointer wrong_node(Status error) {
  Filter::Node node;
  node.error = std::move(error);
  return std::make_shared<const Filter::Node>(std::move(node));
}

Status check_values(const Filter::Node& node) {
  const std::string field = quote_for_message(written_field_name(node.field));
  for (const MetadataScalar& value : node.values) {
    const auto* number = std::get_if<double>(&value.variant());
    if (number != nullptr && !std::isfinite(*number)) {
      return filter_error(fmt::format("{} is compared with a number that is not finite", field));
    }
    const auto* text = std::get_if<std::string>(&value.variant());
    if (text != nullptr && find_invalid_utf8(*text)) {
      return filter_error(fmt::format("{} is compared with a string that is not UTF-8", field));
    }
  }
  if (!is_ordering(node.op) || node.has_null) return {};
  if (node.is_list) {
    return filter_error(fmt::format(
        "{} is ordered against a list; < <= > >= take a number or an ISO 8601 date", field));
  }
  const MetadataScalar& value = node.values.front();
  if (const auto* text = std::get_if<std::string>(&value.variant())) {
    if (parse_iso_date(*text)) return {};
    return filter_error(fmt::format(
        "{} is ordered against the string {}, which is no ISO 8601 date; < <= > >= take a number "
        "or a date such as \"2024-05-01\" or \"2024-05-01T12:00:00Z\"",
        field, quote_for_message(*text)));
  }
  if (std::holds_alternative<bool>(value.variant())) {
    return filter_error(fmt::format(
        "{} is ordered against a boolean; < <= > >= take a number or an ISO 8601 date", field));
  }
  return {};
}

Status check_node(const Filter::Node& node) {
  if (node.depth > kMostFilterDepth) {
    return filter_error(
        fmt::format("nested deeper than {} levels; write it flatter", kMostFilterDepth));
  }
  if (node.value_count > kMostFilterValues) {
    return filter_error(fmt::format("{} values, at most {} are taken; ask in several calls",
                                    node.value_count, kMostFilterValues));
  }
  if (node.op == FilterOperator::kAnd || node.op == FilterOperator::kOr) return {};
  if (node.field.name.empty()) return filter_error("a field has no name");
  if (find_invalid_utf8(node.field.name)) return filter_error("a field's name is not UTF-8");
  return check_values(node);
}

NodePointer finish(Filter::Node node) {
  if (Status status = check_node(node); !status.ok()) return wrong_node(std::move(status));
  if (!is_group(node)) {
    const bool negated = std::exchange(node.negated, false);
    node.text = filter_to_text(node);
    node.negated = negated;
  }
  return std::make_shared<const Filter::Node>(std::move(node));
}

}  // namespace

bool is_ordering(FilterOperator op) {
  return op >= FilterOperator::kLess && op <= FilterOperator::kGreaterEqual;
}

FieldName parse_field_name(std::string_view written) {
  if (written == "key" || written == "title") return {true, std::string(written)};
  if (written.starts_with(kMetaPrefix)) written.remove_prefix(kMetaPrefix.size());
  return {false, std::string(written)};
}

std::string written_field_name(const FieldName& field) {
  if (field.of_document) return field.name;
  const bool taken =
      field.name == "key" || field.name == "title" || field.name.starts_with(kMetaPrefix);
  return taken ? std::string(kMetaPrefix) + field.name : field.name;
}

NodePointer make_condition(FilterOperator op, FieldName field, std::vector<MetadataScalar> values,
                           bool is_list, bool has_null, bool negated) {
  Filter::Node node;
  node.op = op;
  node.negated = negated;
  node.field = std::move(field);
  if (op == FilterOperator::kEqual && has_null && !is_list) {
    node.op = FilterOperator::kExists;
    node.negated = !negated;
    return finish(std::move(node));
  }
  node.value_count = values.size() + (has_null ? 1 : 0);
  node.values = std::move(values);
  node.is_list = is_list;
  node.has_null = has_null;
  return finish(std::move(node));
}

NodePointer make_group(FilterOperator op, const std::vector<NodePointer>& children) {
  Filter::Node node;
  node.op = op;
  for (const NodePointer& child : children) {
    if (!child->error.ok()) return child;
    const bool taken_in = is_group(*child) && child->op == op && !child->negated;
    if (taken_in) {
      node.children.insert(node.children.end(), child->children.begin(), child->children.end());
    } else {
      node.children.push_back(child);
    }
    node.depth = std::max(node.depth, child->depth + (taken_in ? 0 : 1));
    // A condition without a value counts too: the limit bounds the whole tree.
    node.value_count += std::max<std::size_t>(child->value_count, 1);
  }
  if (node.children.size() == 1) return node.children.front();
  return finish(std::move(node));
}

NodePointer make_negation(const NodePointer& node) {
  if (!node->error.ok()) return node;
  Filter::Node negation = *node;
  negation.negated = !negation.negated;
  return std::make_shared<const Filter::Node>(std::move(negation));
}

Status filter_error(const std::string& what) {
  return {StatusCode::kInvalidArgument, "filter: " + what};
}

}  // namespace nestor::query
