#include "tools/cli/jsonl_documents.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor::cli {
namespace {

using json = JsonValue;

Status invalid(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }

Result<json> parse_object(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  if (first != line.npos && line[first] == '[') {
    return invalid(
        "a JSON array; one object a line is expected. To turn a file with one array into lines: "
        "jq -c '.[]' FILE");
  }
  NESTOR_ASSIGN_OR_RETURN(json object, parse_json(line, {.exact_below = "metadata"}));
  if (!object.is_object()) {
    return invalid(fmt::format("a JSON {}; one object a line is expected", object.type_name()));
  }
  return object;
}

Status require(const json& object, const char* name) {
  const json* const found = object.find(name);
  if (found != nullptr && !found->is_null()) return {};
  return invalid(fmt::format("the member \"{}\" is {}, expected a string", name,
                             found == nullptr ? "missing" : "null"));
}

Result<std::string> take_string(json& value, std::string_view name) {
  if (!value.is_string()) {
    return invalid(
        fmt::format("the member \"{}\" is a JSON {}, expected a string", name, value.type_name()));
  }
  return value.take_text();
}

Result<std::vector<float>> vector_of(const json& value) {
  if (!value.is_array() || value.empty()) {
    return invalid("a vector is a JSON array of at least one number");
  }
  std::vector<float> vector;
  vector.reserve(value.size());
  for (const json& component : value.elements()) {
    if (!component.is_number()) {
      return invalid(fmt::format("component {} of the vector is a JSON {}, expected a number",
                                 vector.size(), component.type_name()));
    }
    const double wide = component.get<double>();
    if (std::abs(wide) > std::numeric_limits<float>::max()) {
      return invalid(fmt::format("component {} of the vector is {}, more than a float holds",
                                 vector.size(), wide));
    }
    vector.push_back(static_cast<float>(wide));
  }
  return vector;
}

Status unknown_member(const std::string& name, std::string_view known) {
  return invalid(
      fmt::format("there is no member {}; there are {}", quote_for_message(name), known));
}

}  // namespace

Result<Document> parse_document_line(std::string_view line) {
  NESTOR_ASSIGN_OR_RETURN(json object, parse_object(line));
  for (const char* name : {"key", "text"}) {
    NESTOR_RETURN_IF_ERROR(require(object, name));
  }
  Document document;
  for (auto& [name, value] : object.members()) {
    // Null is what programs write for "there is none".
    if (value.is_null() && (name == "title" || name == "metadata" || name == "vector")) continue;
    if (name == "key") {
      NESTOR_ASSIGN_OR_RETURN(document.key, take_string(value, name));
    } else if (name == "title") {
      NESTOR_ASSIGN_OR_RETURN(document.title, take_string(value, name));
    } else if (name == "text") {
      NESTOR_ASSIGN_OR_RETURN(document.text, take_string(value, name));
    } else if (name == "metadata") {
      NESTOR_ASSIGN_OR_RETURN(document.metadata, parse_metadata(value.dump()));
    } else if (name == "vector") {
      NESTOR_ASSIGN_OR_RETURN(document.vector, vector_of(value));
    } else {
      return unknown_member(name, "key, title, text, metadata and vector");
    }
  }
  return document;
}

Result<EmbedLine> parse_embed_line(std::string_view line) {
  NESTOR_ASSIGN_OR_RETURN(json object, parse_object(line));
  NESTOR_RETURN_IF_ERROR(require(object, "text"));
  EmbedLine parsed;
  for (auto& [name, value] : object.members()) {
    if (value.is_null() && name == "title") continue;
    if (name == "text") {
      NESTOR_ASSIGN_OR_RETURN(parsed.text, take_string(value, name));
    } else if (name == "title") {
      NESTOR_ASSIGN_OR_RETURN(parsed.title, take_string(value, name));
    } else {
      return unknown_member(name, "text and title");
    }
  }
  return parsed;
}

Result<std::vector<float>> parse_vector(std::string_view text) {
  NESTOR_ASSIGN_OR_RETURN(const json value, parse_json(text));
  return vector_of(value);
}

}  // namespace nestor::cli
