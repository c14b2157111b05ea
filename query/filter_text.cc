#include "query/filter_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/json_writer.h"
#include "core/macros.h"
#include "core/text.h"
#include "query/filter_lexer.h"

namespace nestor::query {
namespace {

std::string lower(std::string_view word) {
  std::string lowered(word);
  for (char& c : lowered) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return lowered;
}

constexpr std::string_view kKeyWords[] = {"and",   "or",     "not",      "in",     "has", "true",
                                          "false", "exists", "contains", "prefix", "null"};

bool is_key_word(std::string_view word) {
  return std::find(std::begin(kKeyWords), std::end(kKeyWords), lower(word)) != std::end(kKeyWords);
}

// A value as it is written: a scalar, null or a list of both.
struct ParsedValue {
  std::size_t offset = 0;
  std::vector<MetadataScalar> values = {};
  bool is_list = false;
  bool has_null = false;
};

// Recursive descent; every step down is counted, so the stack holds at most kMostFilterDepth of
// them.
class FilterParser {
 public:
  explicit FilterParser(std::string_view text) : text_(text), lexer_(text) {}

  Result<NodePointer> run() {
    NESTOR_RETURN_IF_ERROR(advance());
    if (token_.kind == TokenKind::kEnd) return make_group(FilterOperator::kAnd, {});
    NESTOR_ASSIGN_OR_RETURN(NodePointer node, any_of(1));
    if (token_.kind != TokenKind::kEnd) return expected("AND, OR or the end");
    return node;
  }

 private:
  Status advance() {
    NESTOR_ASSIGN_OR_RETURN(token_, lexer_.next());
    return {};
  }

  Status error_at(std::size_t offset, const std::string& what) const {
    return filter_text_error(text_, offset, what);
  }

  Status expected(const std::string& what) const {
    return error_at(token_.offset,
                    fmt::format("expected {}, found {}", what, describe_token(token_)));
  }

  [[nodiscard]] bool at_word(std::string_view word) const {
    return token_.kind == TokenKind::kWord && lower(token_.text) == word;
  }
  [[nodiscard]] bool at_sign(std::string_view sign) const {
    return token_.kind == TokenKind::kSign && token_.text == sign;
  }

  Result<NodePointer> any_of(int depth) {
    std::vector<NodePointer> children;
    while (true) {
      NESTOR_ASSIGN_OR_RETURN(NodePointer child, all_of(depth));
      children.push_back(std::move(child));
      if (!at_word("or") && !at_sign("||")) break;
      NESTOR_RETURN_IF_ERROR(advance());
    }
    return checked(make_group(FilterOperator::kOr, children), token_.offset);
  }

  Result<NodePointer> all_of(int depth) {
    std::vector<NodePointer> children;
    while (true) {
      NESTOR_ASSIGN_OR_RETURN(NodePointer child, one(depth));
      children.push_back(std::move(child));
      if (!at_word("and") && !at_sign("&&")) break;
      NESTOR_RETURN_IF_ERROR(advance());
    }
    return checked(make_group(FilterOperator::kAnd, children), token_.offset);
  }

  Result<NodePointer> one(int depth) {
    bool negated = false;
    while (at_word("not") || at_sign("!")) {
      negated = !negated;
      NESTOR_RETURN_IF_ERROR(advance());
    }
    NodePointer node;
    if (at_sign("(")) {
      if (depth >= kMostFilterDepth) {
        return error_at(token_.offset, fmt::format("nested deeper than {} levels; write it flatter",
                                                   kMostFilterDepth));
      }
      const std::size_t opened = token_.offset;
      NESTOR_RETURN_IF_ERROR(advance());
      NESTOR_ASSIGN_OR_RETURN(node, any_of(depth + 1));
      if (!at_sign(")")) {
        if (token_.kind == TokenKind::kEnd) {
          return error_at(opened, "the bracket that opens here is never closed");
        }
        return expected("AND, OR or \")\"");
      }
      NESTOR_RETURN_IF_ERROR(advance());
    } else {
      NESTOR_ASSIGN_OR_RETURN(node, condition());
    }
    return negated ? make_negation(node) : node;
  }

  [[nodiscard]] bool at_value() const {
    return token_.kind == TokenKind::kValue || at_word("true") || at_word("false") ||
           at_word("null");
  }

  Result<NodePointer> condition() {
    if (at_value()) return membership();
    const std::size_t begin = token_.offset;
    NESTOR_ASSIGN_OR_RETURN(const FieldName field, field_name());
    bool negated = false;
    if (at_word("not")) {
      negated = true;
      NESTOR_RETURN_IF_ERROR(advance());
    }
    if (at_word("exists")) {
      NESTOR_RETURN_IF_ERROR(advance());
      return made(FilterOperator::kExists, field, {.offset = begin}, negated);
    }
    FilterOperator op{};
    NESTOR_RETURN_IF_ERROR(operation(negated, op));
    NESTOR_ASSIGN_OR_RETURN(ParsedValue value, any_value());
    if (op == FilterOperator::kIn && !value.is_list) {
      return error_at(value.offset, "`in` takes a list, such as [1, 2]");
    }
    const bool text = op == FilterOperator::kPrefix;
    const bool scalar = text || op == FilterOperator::kContains || op == FilterOperator::kHas;
    if (scalar && (value.is_list || value.has_null)) {
      return error_at(value.offset, "a single value is expected here, not a list or null");
    }
    if (text && !std::holds_alternative<std::string>(value.values.front().variant())) {
      return error_at(value.offset, "`prefix` takes a string");
    }
    return made(op, field, std::move(value), negated);
  }

  // "x" [not] in field
  Result<NodePointer> membership() {
    NESTOR_ASSIGN_OR_RETURN(ParsedValue value, scalar_value());
    if (value.has_null) {
      return error_at(value.offset, "null is in no list; write `field == null`");
    }
    bool negated = false;
    if (at_word("not")) {
      negated = true;
      NESTOR_RETURN_IF_ERROR(advance());
    }
    if (!at_word("in")) return expected("`in` and a field after the value");
    NESTOR_RETURN_IF_ERROR(advance());
    NESTOR_ASSIGN_OR_RETURN(const FieldName field, field_name());
    return made(FilterOperator::kHas, field, std::move(value), negated);
  }

  Result<FieldName> field_name() {
    const bool name = token_.kind == TokenKind::kName ||
                      (token_.kind == TokenKind::kWord && !is_key_word(token_.text));
    if (!name) return expected("a field (key words stand in `back quotes` to be one)");
    if (token_.text.empty()) return error_at(token_.offset, "a field has no name");
    FieldName field = parse_field_name(token_.text);
    NESTOR_RETURN_IF_ERROR(advance());
    return field;
  }

  Status operation(bool& negated, FilterOperator& op) {
    constexpr std::pair<std::string_view, FilterOperator> kSigns[] = {
        {"==", FilterOperator::kEqual},  {"=", FilterOperator::kEqual},
        {"!=", FilterOperator::kEqual},  {"<>", FilterOperator::kEqual},
        {"<", FilterOperator::kLess},    {"<=", FilterOperator::kLessEqual},
        {">", FilterOperator::kGreater}, {">=", FilterOperator::kGreaterEqual},
    };
    constexpr std::pair<std::string_view, FilterOperator> kWords[] = {
        {"in", FilterOperator::kIn},
        {"prefix", FilterOperator::kPrefix},
        {"contains", FilterOperator::kContains},
        {"has", FilterOperator::kHas},
    };
    for (const auto& [sign, meaning] : kSigns) {
      if (!at_sign(sign) || negated) continue;
      op = meaning;
      negated = sign == "!=" || sign == "<>";
      return advance();
    }
    for (const auto& [word, meaning] : kWords) {
      if (!at_word(word)) continue;
      op = meaning;
      return advance();
    }
    return expected(negated ? "in, prefix, contains, has or exists after \"not\""
                            : "one of == != < <= > >= in, not in, prefix, contains, has, exists");
  }

  Result<ParsedValue> any_value() {
    const bool round = at_sign("(");
    if (!round && !at_sign("[")) return scalar_value();
    const std::string close = round ? ")" : "]";
    ParsedValue list{.offset = token_.offset, .is_list = true};
    NESTOR_RETURN_IF_ERROR(advance());
    while (!at_sign(close)) {
      NESTOR_ASSIGN_OR_RETURN(ParsedValue element, scalar_value());
      list.has_null = list.has_null || element.has_null;
      if (!element.has_null) list.values.push_back(std::move(element.values.front()));
      if (list.values.size() > kMostFilterValues) {
        return error_at(element.offset, fmt::format("more than {} values; ask in several calls",
                                                    kMostFilterValues));
      }
      if (at_sign(close)) break;
      if (!at_sign(",")) return expected(fmt::format("\",\" or \"{}\"", close));
      NESTOR_RETURN_IF_ERROR(advance());
    }
    NESTOR_RETURN_IF_ERROR(advance());
    return list;
  }

  Result<ParsedValue> scalar_value() {
    if (!at_value()) {
      return expected("a value (a \"string\", a number, true, false or null)");
    }
    ParsedValue value{.offset = token_.offset};
    if (token_.kind == TokenKind::kValue) {
      value.values.push_back(token_.value);
    } else if (at_word("null")) {
      value.has_null = true;
    } else {
      value.values.emplace_back(at_word("true"));
    }
    NESTOR_RETURN_IF_ERROR(advance());
    return value;
  }

  Result<NodePointer> made(FilterOperator op, const FieldName& field, ParsedValue value,
                           bool negated) const {
    return checked(
        make_condition(op, field, std::move(value.values), value.is_list, value.has_null, negated),
        value.offset);
  }

  Result<NodePointer> checked(NodePointer node, std::size_t offset) const {
    if (node->error.ok()) return node;
    constexpr std::string_view kBegin = "filter: ";
    return error_at(offset, node->error.message().substr(kBegin.size()));
  }

  const std::string_view text_;
  FilterLexer lexer_;
  Token token_;
};

std::string scalar_to_text(const MetadataScalar& value) {
  JsonWriter writer(JsonWriter::IllFormed::kReplace);
  std::visit([&](const auto& held) { writer.value(held); }, value.variant());
  return writer.take();
}

std::string field_to_text(const FieldName& field) {
  const std::string name = written_field_name(field);
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  };
  const bool bare = !name.empty() && plain(name.front()) && name.front() != '.' &&
                    !(name.front() >= '0' && name.front() <= '9') &&
                    std::all_of(name.begin(), name.end(), plain) && !is_key_word(name);
  if (bare) return name;
  std::string quoted = "`";
  for (const char c : name) quoted += c == '`' ? "``" : std::string(1, c);
  return quoted + "`";
}

std::string value_to_text(const Filter::Node& node) {
  std::string text;
  for (const MetadataScalar& value : node.values) {
    text += (text.empty() ? "" : ", ") + scalar_to_text(value);
  }
  if (node.has_null) text += text.empty() ? "null" : ", null";
  return node.is_list ? "[" + text + "]" : text;
}

std::string condition_to_text(const Filter::Node& node) {
  const std::string field = field_to_text(node.field);
  const char* const maybe_not = node.negated ? "not " : "";
  const auto infix = [&](const char* sign) {
    return fmt::format("{} {} {}", field, sign, value_to_text(node));
  };
  const auto ordering = [&](const char* sign) {
    return node.negated ? "NOT " + infix(sign) : infix(sign);
  };
  switch (node.op) {
    case FilterOperator::kEqual:
      return infix(node.negated ? "!=" : "==");
    case FilterOperator::kLess:
      return ordering("<");
    case FilterOperator::kLessEqual:
      return ordering("<=");
    case FilterOperator::kGreater:
      return ordering(">");
    case FilterOperator::kGreaterEqual:
      return ordering(">=");
    case FilterOperator::kIn:
      return fmt::format("{} {}in {}", field, maybe_not, value_to_text(node));
    case FilterOperator::kPrefix:
      return fmt::format("{} {}prefix {}", field, maybe_not, value_to_text(node));
    case FilterOperator::kContains:
      return fmt::format("{} {}contains {}", field, maybe_not, value_to_text(node));
    case FilterOperator::kHas:
      return fmt::format("{} {}has {}", field, maybe_not, value_to_text(node));
    case FilterOperator::kExists:
      return fmt::format("{} {}exists", field, maybe_not);
    case FilterOperator::kAnd:
    case FilterOperator::kOr:
      break;
  }
  return {};
}

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

Status filter_text_error(std::string_view text, std::size_t offset, const std::string& what) {
  constexpr std::size_t kContextBytes = 48;  // shown on either side of the place
  offset = std::min(offset, text.size());
  const std::size_t newline = offset == 0 ? text.npos : text.rfind('\n', offset - 1);
  const std::size_t line_begin = newline == text.npos ? 0 : newline + 1;
  const std::size_t line_end = std::min(text.find('\n', offset), text.size());
  std::size_t begin = line_begin;
  if (offset - begin > kContextBytes) {
    begin = std::max(line_begin, floor_to_code_point(text, offset - kContextBytes));
  }
  std::size_t end = line_end;
  if (end - offset > kContextBytes) end = floor_to_code_point(text, offset + kContextBytes);
  const std::string before = (begin > line_begin ? "..." : "") +
                             escape_for_terminal(text.substr(begin, offset - begin), false);
  const std::string after =
      escape_for_terminal(text.substr(offset, end - offset), false) + (end < line_end ? "..." : "");
  const std::size_t column = code_points(text.substr(line_begin, offset - line_begin)) + 1;
  const bool lines = text.find('\n') != text.npos;
  const auto line =
      std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n') + 1;
  return {StatusCode::kInvalidArgument,
          fmt::format("filter, {}column {}: {}\n  {}{}\n  {}^",
                      lines ? fmt::format("line {}, ", line) : "", column, what, before, after,
                      std::string(code_points(before), ' '))};
}

Result<NodePointer> parse_filter_text(std::string_view text) {
  if (text.size() > kMostFilterBytes) {
    return filter_text_error(text.substr(0, floor_to_code_point(text, kMostFilterBytes)),
                             kMostFilterBytes,
                             fmt::format("the filter has {} bytes, at most {} are taken",
                                         text.size(), kMostFilterBytes));
  }
  if (const auto offset = find_invalid_utf8(text)) {
    return filter_text_error(
        replace_invalid_utf8(text).text, *offset,
        fmt::format("not UTF-8: byte 0x{:02x}", static_cast<unsigned char>(text[*offset])));
  }
  return FilterParser(text).run();
}

std::string filter_to_text(const Filter::Node& node) {
  if (node.op != FilterOperator::kAnd && node.op != FilterOperator::kOr) {
    return condition_to_text(node);
  }
  const bool all = node.op == FilterOperator::kAnd;
  // Every document has a key.
  if (node.children.empty()) return all != node.negated ? "key exists" : "key not exists";
  std::string text;
  for (const NodePointer& child : node.children) {
    const bool group = child->op == FilterOperator::kAnd || child->op == FilterOperator::kOr;
    const bool brackets = group && !child->children.empty() && !child->negated;
    if (!text.empty()) text += all ? " AND " : " OR ";
    text += brackets ? "(" + filter_to_text(*child) + ")" : filter_to_text(*child);
  }
  return node.negated ? "NOT (" + text + ")" : text;
}

}  // namespace nestor::query
