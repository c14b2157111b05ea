#include "query/filter_match.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <type_traits>
#include <utility>

#include "core/iso_date.h"

namespace nestor::query {
namespace {

// Exactly: no integer is rounded to a double, which beyond 2^53 would make neighbours equal.
template <typename Integer>
std::partial_ordering order_with_double(Integer a, double b) {
  // All integers of the type are in [low, end), and both are doubles.
  constexpr bool kSigned = std::is_signed_v<Integer>;
  constexpr double kTwoTo63 = 9223372036854775808.0;
  constexpr double kLow = kSigned ? -kTwoTo63 : 0;
  constexpr double kEnd = kSigned ? kTwoTo63 : 2 * kTwoTo63;
  if (std::isnan(b)) return std::partial_ordering::unordered;
  if (b >= kEnd) return std::partial_ordering::less;
  if (b < kLow) return std::partial_ordering::greater;
  const auto whole = static_cast<Integer>(b);  // towards zero
  if (a != whole) return a <=> whole;
  return 0.0 <=> b - static_cast<double>(whole);
}

std::partial_ordering reversed(std::partial_ordering order) {
  if (order == std::partial_ordering::less) return std::partial_ordering::greater;
  if (order == std::partial_ordering::greater) return std::partial_ordering::less;
  return order;
}

template <typename Type>
constexpr bool kIsNumber = std::is_arithmetic_v<Type> && !std::is_same_v<Type, bool>;

// Of numbers of any two kinds; whatever is none is ordered against nothing.
struct NumberOrder {
  template <typename A, typename B>
  std::partial_ordering operator()(const A& a, const B& b) const {
    if constexpr (!kIsNumber<A> || !kIsNumber<B>) {
      return std::partial_ordering::unordered;
    } else if constexpr (std::is_same_v<A, B>) {
      return a <=> b;
    } else if constexpr (std::is_same_v<B, double>) {
      return order_with_double(a, b);
    } else if constexpr (std::is_same_v<A, double>) {
      return reversed(order_with_double(b, a));
    } else {
      if (std::cmp_equal(a, b)) return std::partial_ordering::equivalent;
      return std::cmp_less(a, b) ? std::partial_ordering::less : std::partial_ordering::greater;
    }
  }
};

// The field's scalar, or none where it is missing or a list.
std::optional<MetadataScalar> scalar_of(const FieldName& field, const DocumentView& document) {
  if (field.of_document) return MetadataScalar(field.name == "key" ? document.key : document.title);
  const auto found = document.metadata.find(field.name);
  if (found == document.metadata.end() || found->second.is_list()) return std::nullopt;
  return found->second.scalar();
}

const MetadataValue::List* list_of(const FieldName& field, const DocumentView& document) {
  if (field.of_document) return nullptr;
  const auto found = document.metadata.find(field.name);
  const bool list = found != document.metadata.end() && found->second.is_list();
  return list ? &found->second.list() : nullptr;
}

bool has_element(const MetadataValue::List* list, const MetadataScalar& value) {
  return list != nullptr && std::any_of(list->begin(), list->end(), [&](const auto& element) {
           return equal_scalars(element, value);
         });
}

bool is_ordered(FilterOperator op, const MetadataScalar& found, const MetadataScalar& wanted) {
  const std::partial_ordering order = order_scalars(found, wanted);
  switch (op) {
    case FilterOperator::kLess:
      return order < 0;
    case FilterOperator::kLessEqual:
      return order <= 0;
    case FilterOperator::kGreater:
      return order > 0;
    default:
      return order >= 0;
  }
}

bool text_matches(FilterOperator op, const MetadataScalar& found, const MetadataScalar& wanted) {
  const auto* text = std::get_if<std::string>(&found.variant());
  const auto* part = std::get_if<std::string>(&wanted.variant());
  if (text == nullptr || part == nullptr) return false;
  return op == FilterOperator::kPrefix ? text->starts_with(*part)
                                       : text->find(*part) != std::string::npos;
}

bool condition_holds(const Filter::Node& node, const DocumentView& document) {
  const std::optional<MetadataScalar> scalar = scalar_of(node.field, document);
  const MetadataValue::List* const list = list_of(node.field, document);
  const bool there = scalar.has_value() || list != nullptr;
  const auto equals_one = [&](const MetadataScalar& value) {
    return equal_scalars(*scalar, value);
  };
  switch (node.op) {
    case FilterOperator::kExists:
      return there;
    case FilterOperator::kEqual:
      if (!node.is_list) return scalar && equals_one(node.values.front());
      // A stored list holds no null.
      return list != nullptr && !node.has_null &&
             std::equal(list->begin(), list->end(), node.values.begin(), node.values.end(),
                        equal_scalars);
    case FilterOperator::kIn:
      if (!there) return node.has_null;
      return scalar && std::any_of(node.values.begin(), node.values.end(), equals_one);
    case FilterOperator::kPrefix:
      return scalar && text_matches(node.op, *scalar, node.values.front());
    case FilterOperator::kContains:
      return scalar ? text_matches(node.op, *scalar, node.values.front())
                    : has_element(list, node.values.front());
    case FilterOperator::kHas:
      return has_element(list, node.values.front());
    default:
      return scalar && !node.has_null && is_ordered(node.op, *scalar, node.values.front());
  }
}

}  // namespace

bool equal_scalars(const MetadataScalar& a, const MetadataScalar& b) {
  const auto* text_a = std::get_if<std::string>(&a.variant());
  const auto* text_b = std::get_if<std::string>(&b.variant());
  if (text_a != nullptr && text_b != nullptr && *text_a == *text_b) return true;
  const auto* flag_a = std::get_if<bool>(&a.variant());
  const auto* flag_b = std::get_if<bool>(&b.variant());
  if (flag_a != nullptr || flag_b != nullptr) {
    return flag_a != nullptr && flag_b != nullptr && *flag_a == *flag_b;
  }
  return order_scalars(a, b) == 0;
}

std::partial_ordering order_scalars(const MetadataScalar& a, const MetadataScalar& b) {
  const MetadataScalar::Variant& va = a.variant();
  const MetadataScalar::Variant& vb = b.variant();
  if (const auto* text_a = std::get_if<std::string>(&va)) {
    const auto* text_b = std::get_if<std::string>(&vb);
    if (text_b == nullptr) return std::partial_ordering::unordered;
    const std::optional<Instant> date_a = parse_iso_date(*text_a);
    const std::optional<Instant> date_b = parse_iso_date(*text_b);
    if (!date_a || !date_b) return std::partial_ordering::unordered;
    return *date_a <=> *date_b;
  }
  return std::visit(NumberOrder(), va, vb);
}

bool matches(const Filter::Node& node, const DocumentView& document) {
  if (!node.error.ok()) return false;
  const auto child_matches = [&](const NodePointer& child) { return matches(*child, document); };
  bool holds = false;
  if (node.op == FilterOperator::kAnd) {
    holds = std::all_of(node.children.begin(), node.children.end(), child_matches);
  } else if (node.op == FilterOperator::kOr) {
    holds = std::any_of(node.children.begin(), node.children.end(), child_matches);
  } else {
    holds = condition_holds(node, document);
  }
  return holds != node.negated;
}

}  // namespace nestor::query
