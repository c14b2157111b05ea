#include "query/filter_json.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor::query {
namespace {

using Json = JsonValue;

Status error_at(const std::string& path, const std::string& what) {
  return {StatusCode::kInvalidArgument,
          fmt::format("filter, at {}: {}", path.empty() ? "the top" : path, what)};
}

std::string member(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

struct Operation {
  std::string_view name;
  FilterOperator op;
  bool negated;
};
constexpr Operation kOperations[] = {
    {"==", FilterOperator::kEqual, false},
    {"!=", FilterOperator::kEqual, true},
    {">", FilterOperator::kGreater, false},
    {">=", FilterOperator::kGreaterEqual, false},
    {"<", FilterOperator::kLess, false},
    {"<=", FilterOperator::kLessEqual, false},
    {"in", FilterOperator::kIn, false},
    {"not in", FilterOperator::kIn, true},
    {"prefix", FilterOperator::kPrefix, false},
    {"not prefix", FilterOperator::kPrefix, true},
    {"contains", FilterOperator::kContains, false},
    {"not contains", FilterOperator::kContains, true},
    {"has", FilterOperator::kHas, false},
    {"not has", FilterOperator::kHas, true},
    {"exists", FilterOperator::kExists, false},
};

Result<std::string> string_member(const Json& object, const std::string& path, const char* name) {
  const Json* const found = object.find(name);
  if (found == nullptr) {
    return error_at(path, fmt::format("\"{}\" is missing; {}", name,
                                      std::string_view(name) == "field"
                                          ? "a condition has field, operator and value"
                                          : "a condition has field, operator and value, a group "
                                            "has operator (AND, OR, NOT) and conditions"));
  }
  if (!found->is_string()) {
    return error_at(member(path, name),
                    fmt::format("a JSON {}, a string is expected", found->type_name()));
  }
  return found->get<std::string>();
}

Result<MetadataScalar> scalar_of(const Json& value, const std::string& path) {
  if (value.is_string()) return MetadataScalar(value.text());
  if (value.is_boolean()) return MetadataScalar(value.get<bool>());
  if (value.is_number_unsigned()) return MetadataScalar(value.get<std::uint64_t>());
  if (value.is_number_integer()) return MetadataScalar(value.get<std::int64_t>());
  if (value.is_number_float() && std::isfinite(value.get<double>())) {
    return MetadataScalar(value.get<double>());
  }
  return error_at(path, fmt::format("a JSON {}; a string, a number, a boolean, null or a flat list "
                                    "of them is expected",
                                    value.type_name()));
}

// Walks down at most kMostFilterDepth groups.
class JsonFilter {
 public:
  Result<NodePointer> node(const Json& object, const std::string& path, int depth) {
    if (depth > kMostFilterDepth) {
      return error_at(
          path, fmt::format("nested deeper than {} levels; write it flatter", kMostFilterDepth));
    }
    if (!object.is_object()) {
      return error_at(path, fmt::format("a JSON {}, an object is expected", object.type_name()));
    }
    NESTOR_ASSIGN_OR_RETURN(NodePointer made, object.find("field") != nullptr
                                                  ? condition(object, path)
                                                  : group(object, path, depth));
    if (made->error.ok()) return made;
    constexpr std::string_view kBegin = "filter: ";
    return error_at(path, made->error.message().substr(kBegin.size()));
  }

 private:
  Result<NodePointer> group(const Json& object, const std::string& path, int depth) {
    NESTOR_ASSIGN_OR_RETURN(const std::string op, string_member(object, path, "operator"));
    const Json* const conditions = object.find("conditions");
    if (conditions == nullptr) {
      for (const Operation& operation : kOperations) {
        if (operation.name == op) return string_member(object, path, "field").status();
      }
      return error_at(path, "\"conditions\" is missing; a group has operator and conditions");
    }
    if (!conditions->is_array()) {
      return error_at(member(path, "conditions"),
                      fmt::format("a JSON {}, a list is expected", conditions->type_name()));
    }
    if (op != "AND" && op != "OR" && op != "NOT") {
      return error_at(
          member(path, "operator"),
          fmt::format("{} joins no conditions; AND, OR or NOT is expected", quote_for_message(op)));
    }
    std::vector<NodePointer> children;
    for (std::size_t i = 0; i < conditions->size(); ++i) {
      const std::string place = member(path, fmt::format("conditions[{}]", i));
      NESTOR_ASSIGN_OR_RETURN(NodePointer child, node(conditions->elements()[i], place, depth + 1));
      children.push_back(std::move(child));
    }
    const NodePointer joined =
        make_group(op == "OR" ? FilterOperator::kOr : FilterOperator::kAnd, children);
    return op == "NOT" ? make_negation(joined) : joined;
  }

  Result<NodePointer> condition(const Json& object, const std::string& path) {
    NESTOR_ASSIGN_OR_RETURN(const std::string field, string_member(object, path, "field"));
    NESTOR_ASSIGN_OR_RETURN(const std::string name, string_member(object, path, "operator"));
    const Json* const value = object.find("value");
    if (value == nullptr) {
      return error_at(path, "\"value\" is missing; a condition has field, operator and value");
    }
    const Operation* operation = nullptr;
    for (const Operation& candidate : kOperations) {
      if (candidate.name == name) operation = &candidate;
    }
    if (operation == nullptr) {
      return error_at(member(path, "operator"),
                      fmt::format("{} compares nothing; one of == != > >= < <= in, not in, prefix, "
                                  "contains, has, exists is expected",
                                  quote_for_message(name)));
    }
    return compare(*operation, parse_field_name(field), *value, member(path, "value"));
  }

  Result<NodePointer> compare(const Operation& operation, FieldName field, const Json& value,
                              const std::string& path) {
    const FilterOperator op = operation.op;
    if (op == FilterOperator::kExists) {
      if (!value.is_boolean()) return error_at(path, "`exists` takes true or false");
      return make_condition(op, std::move(field), {}, false, false, !value.get<bool>());
    }
    if (op == FilterOperator::kIn && !value.is_array()) {
      return error_at(path, fmt::format("a JSON {}, `in` takes a list", value.type_name()));
    }
    const bool single = op == FilterOperator::kPrefix || op == FilterOperator::kContains ||
                        op == FilterOperator::kHas;
    if (single && (value.is_array() || value.is_null())) {
      return error_at(path,
                      fmt::format("a JSON {}, a single value is expected", value.type_name()));
    }
    if (op == FilterOperator::kPrefix && !value.is_string()) {
      return error_at(path, fmt::format("a JSON {}, `prefix` takes a string", value.type_name()));
    }
    std::vector<MetadataScalar> values;
    bool has_null = value.is_null();
    if (value.is_array()) {
      for (std::size_t i = 0; i < value.size(); ++i) {
        const Json& element = value.elements()[i];
        has_null = has_null || element.is_null();
        if (element.is_null()) continue;
        NESTOR_ASSIGN_OR_RETURN(MetadataScalar scalar,
                                scalar_of(element, fmt::format("{}[{}]", path, i)));
        values.push_back(std::move(scalar));
      }
    } else if (!value.is_null()) {
      NESTOR_ASSIGN_OR_RETURN(MetadataScalar scalar, scalar_of(value, path));
      values.push_back(std::move(scalar));
    }
    return make_condition(op, std::move(field), std::move(values), value.is_array(), has_null,
                          operation.negated);
  }
};

}  // namespace

Result<NodePointer> parse_filter_json(std::string_view json) {
  if (json.size() > kMostFilterBytes) {
    return filter_error(
        fmt::format("{} bytes of JSON, at most {} are taken", json.size(), kMostFilterBytes));
  }
  // A group is two levels of JSON: its object and its list.
  const auto parsed = parse_json(json, {.most_depth = 2 * kMostFilterDepth + 4,
                                        .most_values = 8 * kMostFilterValues,
                                        .exact_below = ""});
  if (!parsed.ok()) return parsed.status().with_context("filter");
  if (parsed.value().is_object() && parsed.value().empty()) {
    return make_group(FilterOperator::kAnd, {});
  }
  return JsonFilter().node(parsed.value(), "", 1);
}

}  // namespace nestor::query
