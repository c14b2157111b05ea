#include "query/name_forms.h"

#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "query/filter_node.h"

namespace nestor::query {
namespace {

std::string normalized(const icu::Normalizer2* form, std::string_view name) {
  UErrorCode error = U_ZERO_ERROR;
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  form->normalizeUTF8(0, icu::StringPiece(name.data(), static_cast<std::int32_t>(name.size())),
                      sink, nullptr, error);
  return U_SUCCESS(error) ? out : std::string(name);
}

NodePointer with_forms(const NodePointer& node);

NodePointer group_with_forms(const Filter::Node& node) {
  std::vector<NodePointer> children;
  for (const NodePointer& child : node.children) children.push_back(with_forms(child));
  NodePointer made = make_group(node.op, children);
  return node.negated ? make_negation(made) : made;
}

bool is_named(const FieldName& field) {
  return field.of_document ? field.name == "key" : field.name == "path";
}

// A condition on one string, for each of the string's forms.
NodePointer any_form(const Filter::Node& node, const NodePointer& as_it_is) {
  const auto* text = std::get_if<std::string>(&node.values.front().variant());
  if (text == nullptr) return as_it_is;
  std::vector<NodePointer> forms;
  for (std::string& form : name_forms(*text)) {
    forms.push_back(make_condition(node.op, node.field, {std::move(form)}, false, false, false));
  }
  if (forms.size() == 1) return as_it_is;
  NodePointer made = make_group(FilterOperator::kOr, forms);
  return node.negated ? make_negation(made) : made;
}

NodePointer list_with_forms(const Filter::Node& node) {
  std::vector<MetadataScalar> values;
  for (const MetadataScalar& value : node.values) {
    const auto* text = std::get_if<std::string>(&value.variant());
    if (text == nullptr) {
      values.push_back(value);
      continue;
    }
    for (std::string& form : name_forms(*text)) values.emplace_back(std::move(form));
  }
  return make_condition(node.op, node.field, std::move(values), true, node.has_null, node.negated);
}

NodePointer with_forms(const NodePointer& node) {
  switch (node->op) {
    case FilterOperator::kAnd:
    case FilterOperator::kOr:
      return group_with_forms(*node);
    case FilterOperator::kIn:
      return is_named(node->field) ? list_with_forms(*node) : node;
    case FilterOperator::kEqual:
    case FilterOperator::kPrefix:
    case FilterOperator::kContains:
    case FilterOperator::kHas:
      return is_named(node->field) && !node->is_list ? any_form(*node, node) : node;
    default:
      return node;
  }
}

}  // namespace

std::string composed_name(std::string_view name) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* form = icu::Normalizer2::getNFCInstance(error);
  if (U_FAILURE(error) || find_invalid_utf8(name).has_value()) return std::string(name);
  return normalized(form, name);
}

std::vector<std::string> name_forms(std::string_view name) {
  std::vector<std::string> forms = {std::string(name)};
  if (find_invalid_utf8(name).has_value()) return forms;
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* decomposed = icu::Normalizer2::getNFDInstance(error);
  std::vector<std::string> others = {composed_name(name)};
  if (U_SUCCESS(error)) others.push_back(normalized(decomposed, name));
  for (std::string& form : others) {
    if (std::find(forms.begin(), forms.end(), form) == forms.end())
      forms.push_back(std::move(form));
  }
  return forms;
}

Filter with_name_forms(const Filter& filter) {
  if (filter.empty() || !filter.check().ok()) return filter;
  Filter wider(with_forms(filter.node_pointer()));
  // Where the forms come to more values than a filter may have, those that were typed count.
  return wider.check().ok() ? wider : filter;
}

}  // namespace nestor::query
