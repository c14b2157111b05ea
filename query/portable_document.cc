#include "query/portable_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/base64.h"
#include "core/bytes.h"
#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"
#include "nestor/version.h"
#include "query/collection_attributes.h"
#include "query/ingest.h"
#include "query/input_check.h"
#include "query/passage_terms.h"

namespace nestor::query {
namespace {

using nlohmann::json;
using storage::NumericMode;
using storage::Row;

constexpr std::int64_t kMostInteger = std::int64_t{1} << 40;
constexpr std::size_t kMostHeadingPathBytes = 16 << 10;
// A long text has many passages, of a dozen values each.
constexpr JsonLimits kLineLimits = {
    .most_depth = 8, .most_values = 4'000'000, .exact_below = "metadata"};
constexpr std::array<std::pair<std::string_view, NumericMode>, 4> kModes = {
    {{"f32", NumericMode::kF32},
     {"external", NumericMode::kExternal},
     {"bf16", NumericMode::kBf16},
     {"int8", NumericMode::kInt8}}};

Status invalid(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }

std::string_view mode_name(NumericMode mode) {
  for (const auto& [name, known] : kModes) {
    if (known == mode) return name;
  }
  return "f32";
}

// The members of an object, each taken once; what is left over is not known and refused, for a
// misspelt name would lose data without a word.
class Members {
 public:
  Members(json& object, std::string whose) : object_(object), whose_(std::move(whose)) {}

  Result<std::string> string(const char* name) {
    NESTOR_ASSIGN_OR_RETURN(json value, take(name));
    if (!value.is_string()) return wrong(name, value, "a string");
    return std::move(value.get_ref<std::string&>());
  }
  Result<std::int64_t> integer(const char* name, std::int64_t low, std::int64_t high) {
    NESTOR_ASSIGN_OR_RETURN(const json value, take(name));
    return to_integer(name, value, low, high);
  }
  Result<bool> boolean(const char* name) {
    NESTOR_ASSIGN_OR_RETURN(const json value, take(name));
    if (!value.is_boolean()) return wrong(name, value, "true or false");
    return value.get<bool>();
  }
  Result<json> array(const char* name) {
    NESTOR_ASSIGN_OR_RETURN(json value, take(name));
    if (!value.is_array()) return wrong(name, value, "an array");
    return value;
  }
  // [first, second].
  Result<std::pair<std::int64_t, std::int64_t>> range(const char* name) {
    NESTOR_ASSIGN_OR_RETURN(const json value, array(name));
    if (value.size() != 2) {
      return invalid(
          fmt::format("{}: \"{}\" has {} elements, expected 2", whose_, name, value.size()));
    }
    NESTOR_ASSIGN_OR_RETURN(const auto first, to_integer(name, value[0], 0, kMostInteger));
    NESTOR_ASSIGN_OR_RETURN(const auto second, to_integer(name, value[1], 0, kMostInteger));
    return std::pair(first, second);
  }
  Result<json> take(const char* name) {
    const auto found = object_.find(name);
    if (found == object_.end()) {
      return invalid(fmt::format("{}: the member \"{}\" is missing", whose_, name));
    }
    json value = std::move(*found);
    object_.erase(found);
    return value;
  }
  [[nodiscard]] Status finish() const {
    if (object_.empty()) return {};
    return invalid(
        fmt::format("{}: there is no member {}", whose_, quote_for_message(object_.begin().key())));
  }

 private:
  [[nodiscard]] Status wrong(const char* name, const json& value, const char* expected) const {
    return invalid(fmt::format("{}: \"{}\" is a JSON {}, expected {}", whose_, name,
                               value.type_name(), expected));
  }
  Result<std::int64_t> to_integer(const char* name, const json& value, std::int64_t low,
                                  std::int64_t high) const {
    const bool fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() || value.get<std::uint64_t>() <= kMostInteger);
    const std::int64_t number = fits ? value.get<std::int64_t>() : -1;
    if (!fits || number < low || number > high) {
      return invalid(fmt::format("{}: \"{}\" is {}, expected a whole number from {} to {}", whose_,
                                 name, quote_for_message(value.dump()), low, high));
    }
    return number;
  }

  json& object_;
  std::string whose_;
};

Result<json> parse_object(std::string_view line) {
  NESTOR_ASSIGN_OR_RETURN(json object, parse_json(line, kLineLimits));
  if (!object.is_object()) {
    return invalid(fmt::format("a JSON {}; an object is expected", object.type_name()));
  }
  return object;
}

std::string vector_text(std::span<const float> vector) {
  ByteWriter bytes;
  bytes.floats(vector);
  return base64_encode(bytes.bytes());
}

Status read_vector(const PortableHeader& header, const std::string& whose, std::string_view text,
                   Row& row) {
  const std::optional<std::string> bytes = base64_decode(text);
  if (!bytes.has_value()) {
    return invalid(whose + ": the vector is no base64 (RFC 4648, padded)");
  }
  const auto width = static_cast<std::size_t>(header.collection.dim);
  if (bytes->size() != width * sizeof(float)) {
    return invalid(
        fmt::format("{}: the vector has {} bytes, expected {}, 4 for each of {} "
                    "components",
                    whose, bytes->size(), width * sizeof(float), width));
  }
  row.vector.resize(width);
  ByteReader reader(*bytes);
  reader.floats(row.vector);
  NESTOR_RETURN_IF_ERROR(
      check_vector(row.vector, header.collection.dim, whose, header.collection.metric));
  if (header.collection.user_vectors) return {};
  double squares = 0;
  for (const float value : row.vector) squares += static_cast<double>(value) * value;
  constexpr double kUnitTolerance = 1e-3;
  if (row.passage.mode == NumericMode::kExternal || std::abs(squares - 1) <= kUnitTolerance) {
    return {};
  }
  return invalid(
      fmt::format("{}: the vector has the length {}; a model's have 1", whose, std::sqrt(squares)));
}

Status check_place(const Document& document, const std::string& whose, const Row& row) {
  const ByteRange bytes = row.passage.bytes;
  const auto size = static_cast<std::int64_t>(document.text.size());
  const auto starts_code_point = [&](std::int64_t at) {
    return at == size ||
           (static_cast<unsigned char>(document.text[std::size_t(at)]) & 0xC0) != 0x80;
  };
  if (bytes.begin > bytes.end || bytes.end > size || !starts_code_point(bytes.begin) ||
      !starts_code_point(bytes.end)) {
    return invalid(
        fmt::format("{}: bytes {} to {} are no part of a text of {} bytes, or cut a "
                    "character",
                    whose, bytes.begin, bytes.end, size));
  }
  if (row.passage.lines.first < 1 || row.passage.lines.last < row.passage.lines.first) {
    return invalid(fmt::format("{}: lines {} to {}; they count from 1 up", whose,
                               row.passage.lines.first, row.passage.lines.last));
  }
  if (row.passage.heading_path.size() > kMostHeadingPathBytes ||
      row.passage.heading_path.find('\0') != std::string::npos) {
    return invalid(fmt::format("{}: a heading of {} bytes, at most {} without NUL are taken", whose,
                               row.passage.heading_path.size(), kMostHeadingPathBytes));
  }
  return {};
}

Result<Row> parse_passage(const PortableHeader& header, const Document& document, json& object,
                          std::int64_t index) {
  const std::string whose =
      fmt::format("passage {} of document {}", index, quote_for_message(document.key));
  if (!object.is_object()) return invalid(whose + " is no JSON object");
  Members members(object, whose);
  Row row;
  row.document_key = document.key;
  row.passage.index = index;
  NESTOR_ASSIGN_OR_RETURN(const auto bytes, members.range("bytes"));
  NESTOR_ASSIGN_OR_RETURN(const auto lines, members.range("lines"));
  NESTOR_ASSIGN_OR_RETURN(row.passage.heading_path, members.string("heading"));
  NESTOR_ASSIGN_OR_RETURN(const std::int64_t tokens,
                          members.integer("tokens", 0, std::numeric_limits<std::int32_t>::max()));
  NESTOR_ASSIGN_OR_RETURN(row.passage.truncated, members.boolean("truncated"));
  NESTOR_ASSIGN_OR_RETURN(const std::string mode, members.string("mode"));
  row.passage.bytes = {bytes.first, bytes.second};
  row.passage.lines = {lines.first, lines.second};
  row.passage.token_count = static_cast<std::int32_t>(tokens);
  const auto known = std::find_if(kModes.begin(), kModes.end(),
                                  [&](const auto& entry) { return entry.first == mode; });
  if (known == kModes.end() ||
      (header.collection.user_vectors && known->second != NumericMode::kExternal)) {
    return invalid(
        fmt::format("{}: the mode {}, expected {}", whose, quote_for_message(mode),
                    header.collection.user_vectors ? "external" : "f32, external, bf16 or int8"));
  }
  row.passage.mode = known->second;
  NESTOR_RETURN_IF_ERROR(check_place(document, whose, row));
  if (header.vectors) {
    NESTOR_ASSIGN_OR_RETURN(const std::string vector, members.string("vector"));
    NESTOR_RETURN_IF_ERROR(read_vector(header, whose, vector, row));
  }
  NESTOR_RETURN_IF_ERROR(members.finish());
  row.passage.content =
      content_hash(title_slot_of(document.title, row.passage.heading_path),
                   std::string_view(document.text)
                       .substr(static_cast<std::size_t>(bytes.first),
                               static_cast<std::size_t>(bytes.second - bytes.first)));
  return row;
}

Result<std::map<std::string, std::string>> parse_attributes(Members& members) {
  constexpr std::size_t kMostAttributes = 1'000;
  NESTOR_ASSIGN_OR_RETURN(const json object, members.take("attributes"));
  if (!object.is_object() || object.size() > kMostAttributes) {
    return invalid(
        fmt::format("the header: \"attributes\" is a JSON {} of {} members, expected an "
                    "object of at most {}",
                    object.type_name(), object.size(), kMostAttributes));
  }
  std::map<std::string, std::string> attributes;
  for (const auto& [name, value] : object.items()) {
    if (!value.is_string()) {
      return invalid(fmt::format("the header: the attribute {} is a JSON {}, expected a string",
                                 quote_for_message(name), value.type_name()));
    }
    if (!is_local_attribute(name)) attributes[name] = value.get<std::string>();
  }
  return attributes;
}

Status check_parsed(const storage::CollectionDescriptor& parsed) {
  NESTOR_RETURN_IF_ERROR(check_collection_name(parsed.name));
  constexpr std::size_t kMostNameBytes = 256;
  if (parsed.fingerprint.size() > kMostNameBytes || parsed.model.size() > kMostNameBytes) {
    return invalid(fmt::format(
        "the header: a space of {} bytes and a model's name of {}; at most {} are taken",
        parsed.fingerprint.size(), parsed.model.size(), kMostNameBytes));
  }
  if (!parsed.user_vectors && parsed.dim > 0 && parsed.fingerprint.empty()) {
    return invalid("the header: vectors of a model without the space that they belong to");
  }
  if (!parsed.user_vectors && parsed.metric != Metric::kCosine) {
    return invalid(fmt::format("the header: vectors of a model compared by {}, expected cosine",
                               metric_name(parsed.metric)));
  }
  if (const auto language = parsed.attributes.find(kLanguageAttribute);
      language != parsed.attributes.end()) {
    return TextAnalyzer::make(language->second).status().with_context("the header");
  }
  return {};
}

Result<storage::CollectionDescriptor> parse_descriptor(Members& members, int version) {
  storage::CollectionDescriptor parsed;
  // Every member by name, so that a new one cannot be left out.
  auto& [name, dim, user_vectors, metric, fingerprint, model, attributes] = parsed;
  NESTOR_ASSIGN_OR_RETURN(name, members.string("collection"));
  NESTOR_ASSIGN_OR_RETURN(user_vectors, members.boolean("external"));
  NESTOR_ASSIGN_OR_RETURN(const std::int64_t width,
                          members.integer("width", user_vectors ? 1 : 0, kMostVectorWidth));
  dim = static_cast<int>(width);
  NESTOR_ASSIGN_OR_RETURN(fingerprint, members.string("space"));
  NESTOR_ASSIGN_OR_RETURN(model, members.string("model"));
  if (version == kFirstExportVersion) {
    NESTOR_ASSIGN_OR_RETURN(const std::string language, members.string("language"));
    if (!language.empty()) attributes[kLanguageAttribute] = language;
  } else {
    NESTOR_ASSIGN_OR_RETURN(const std::string metric_text, members.string("metric"));
    NESTOR_ASSIGN_OR_RETURN(metric, parse_metric(metric_text));
    NESTOR_ASSIGN_OR_RETURN(attributes, parse_attributes(members));
  }
  NESTOR_RETURN_IF_ERROR(check_parsed(parsed));
  return parsed;
}

}  // namespace

PortableHeader header_of(const storage::Collection& collection, bool vectors,
                         std::uint64_t sequence) {
  PortableHeader header{
      .collection = describe(collection), .vectors = vectors, .sequence = sequence};
  std::erase_if(header.collection.attributes,
                [](const auto& attribute) { return is_local_attribute(attribute.first); });
  return header;
}

std::string encode_header_line(const PortableHeader& header) {
  // Every member by name, so that a new one cannot be left out.
  const auto& [name, dim, user_vectors, metric, fingerprint, model, attributes] = header.collection;
  nlohmann::ordered_json line;
  line["nestor"] = "export";
  line["version"] = kExportVersion;
  line["writer"] = kVersion;
  line["sequence"] = header.sequence;
  line["collection"] = name;
  line["external"] = user_vectors;
  line["vectors"] = header.vectors;
  line["width"] = dim;
  line["metric"] = metric_name(metric);
  line["space"] = fingerprint;
  line["model"] = model;
  line["attributes"] = attributes;
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string encode_document_line(const storage::StoredDocument& document, std::span<const Row> rows,
                                 bool vectors) {
  nlohmann::ordered_json line;
  line["key"] = document.document.key;
  line["title"] = document.document.title;
  line["text"] = document.document.text;
  line["metadata"] = nlohmann::ordered_json::parse(metadata_to_json(document.document.metadata));
  line["split_tokens"] = document.split_tokens;
  nlohmann::ordered_json& passages = line["passages"] = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    const storage::Passage& passage = row.passage;
    nlohmann::ordered_json written;
    written["bytes"] = {passage.bytes.begin, passage.bytes.end};
    written["lines"] = {passage.lines.first, passage.lines.last};
    written["heading"] = passage.heading_path;
    written["tokens"] = passage.token_count;
    written["truncated"] = passage.truncated;
    written["mode"] = mode_name(passage.mode);
    if (vectors) written["vector"] = vector_text(row.vector);
    passages.push_back(std::move(written));
  }
  return line.dump();
}

std::string encode_end_line(std::int64_t documents, std::int64_t passages) {
  nlohmann::ordered_json line;
  line["nestor"] = "end";
  line["documents"] = documents;
  line["passages"] = passages;
  return line.dump();
}

Result<PortableHeader> parse_header_line(std::string_view line) {
  NESTOR_ASSIGN_OR_RETURN(json object, parse_object(line));
  if (!object.contains("nestor") || object["nestor"] != "export") {
    return invalid(
        "no export begins here; for documents without passages and vectors there is `nestor add "
        "DB --jsonl`");
  }
  object.erase("nestor");
  Members members(object, "the header");
  NESTOR_ASSIGN_OR_RETURN(const std::int64_t version, members.integer("version", 1, kMostInteger));
  if (version > kExportVersion) {
    return Status(
        StatusCode::kUnsupported,
        fmt::format("an export of version {}, this program reads {} to {}; use a newer Nestor",
                    version, kFirstExportVersion, kExportVersion));
  }
  PortableHeader header;
  header.version = static_cast<int>(version);
  NESTOR_ASSIGN_OR_RETURN([[maybe_unused]] const std::string writer, members.string("writer"));
  NESTOR_ASSIGN_OR_RETURN(const std::int64_t sequence,
                          members.integer("sequence", 0, kMostInteger));
  header.sequence = static_cast<std::uint64_t>(sequence);
  NESTOR_ASSIGN_OR_RETURN(header.vectors, members.boolean("vectors"));
  NESTOR_ASSIGN_OR_RETURN(header.collection, parse_descriptor(members, header.version));
  NESTOR_RETURN_IF_ERROR(members.finish());
  return header;
}

Result<std::optional<PortableEnd>> parse_end_line(std::string_view line) {
  // Documents begin otherwise; they are not parsed twice to find that out.
  if (!line.starts_with(R"({"nestor")")) return std::optional<PortableEnd>();
  NESTOR_ASSIGN_OR_RETURN(json object, parse_object(line));
  if (object["nestor"] != "end") return invalid("\"nestor\" is neither a key nor the end");
  object.erase("nestor");
  Members members(object, "the last line");
  PortableEnd end;
  NESTOR_ASSIGN_OR_RETURN(end.documents, members.integer("documents", 0, kMostInteger));
  NESTOR_ASSIGN_OR_RETURN(end.passages, members.integer("passages", 0, kMostInteger));
  NESTOR_RETURN_IF_ERROR(members.finish());
  return std::optional<PortableEnd>(end);
}

Status check_import_fits(const storage::CollectionDescriptor& collection,
                         const PortableHeader& header) {
  const storage::CollectionDescriptor& file = header.collection;
  const bool fits =
      collection.user_vectors == file.user_vectors &&
      (!file.user_vectors || (collection.dim == file.dim && collection.metric == file.metric));
  if (fits) return {};
  const auto kept = [](const storage::CollectionDescriptor& of) {
    return of.user_vectors ? fmt::format("user vectors of dimension {}, compared by {}", of.dim,
                                         metric_name(of.metric))
                           : std::string("vectors of a model");
  };
  return invalid(
      fmt::format("collection '{}' keeps {}, the file holds {}; import it into another "
                  "collection with --collection",
                  collection.name, kept(collection), kept(file)));
}

Result<storage::DocumentWrite> parse_document(const PortableHeader& header, std::string_view line) {
  NESTOR_ASSIGN_OR_RETURN(json object, parse_object(line));
  Members members(object, "the document");
  storage::DocumentWrite write;
  Document& document = write.document;
  NESTOR_ASSIGN_OR_RETURN(document.key, members.string("key"));
  NESTOR_ASSIGN_OR_RETURN(document.title, members.string("title"));
  NESTOR_ASSIGN_OR_RETURN(document.text, members.string("text"));
  NESTOR_ASSIGN_OR_RETURN(const json metadata, members.take("metadata"));
  NESTOR_ASSIGN_OR_RETURN(document.metadata, parse_metadata(metadata.dump()));
  NESTOR_RETURN_IF_ERROR(check_document(document, /*split=*/true));
  NESTOR_ASSIGN_OR_RETURN(const std::int64_t split, members.integer("split_tokens", 0, 1 << 20));
  write.split_tokens = static_cast<std::uint32_t>(split);
  NESTOR_ASSIGN_OR_RETURN(json passages, members.array("passages"));
  NESTOR_RETURN_IF_ERROR(members.finish());
  if (passages.empty()) {
    return invalid(fmt::format("document {} has no passages; at least one is expected",
                               quote_for_message(document.key)));
  }
  for (std::size_t i = 0; i < passages.size(); ++i) {
    NESTOR_ASSIGN_OR_RETURN(
        Row row, parse_passage(header, document, passages[i], static_cast<std::int64_t>(i)));
    write.rows.push_back(std::move(row));
  }
  return write;
}

}  // namespace nestor::query
