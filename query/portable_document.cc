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
#include "core/json_writer.h"
#include "core/macros.h"
#include "core/text.h"
#include "core/text_source.h"
#include "nestor/version.h"
#include "query/collection_attributes.h"
#include "query/ingest.h"
#include "query/input_check.h"
#include "query/json_members.h"
#include "query/passage_terms.h"

namespace nestor::query {
namespace {

using json = JsonValue;
using storage::NumericMode;
using storage::Row;

constexpr std::int64_t kMostInteger = JsonMembers::kMostInteger;
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

void write_range(JsonWriter& line, const char* name, std::int64_t first, std::int64_t second) {
  line.key(name);
  line.begin_array();
  line.value(first);
  line.value(second);
  line.end_array();
}

void write_passage(JsonWriter& line, const Row& row, bool vectors) {
  const storage::Passage& passage = row.passage;
  line.begin_object();
  write_range(line, "bytes", passage.bytes.begin, passage.bytes.end);
  write_range(line, "lines", passage.lines.first, passage.lines.last);
  line.member("heading", passage.heading_path);
  line.member("tokens", passage.token_count);
  line.member("truncated", passage.truncated);
  line.member("mode", mode_name(passage.mode));
  if (vectors) line.member("vector", vector_text(row.vector));
  line.end_object();
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
  JsonMembers members(object, whose);
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

Result<std::map<std::string, std::string>> parse_attributes(JsonMembers& members) {
  NESTOR_ASSIGN_OR_RETURN(const json object, members.take("attributes"));
  if (!object.is_object() || object.size() > kMostAttributes) {
    return invalid(
        fmt::format("the header: \"attributes\" is a JSON {} of {} members, expected an "
                    "object of at most {}",
                    object.type_name(), object.size(), kMostAttributes));
  }
  std::map<std::string, std::string> attributes;
  for (const auto& [name, value] : object.members()) {
    if (!value.is_string()) {
      return invalid(fmt::format("the header: the attribute {} is a JSON {}, expected a string",
                                 quote_for_message(name), value.type_name()));
    }
    NESTOR_RETURN_IF_ERROR(check_attribute(name, value.text()).with_context("the header"));
    if (!is_local_attribute(name)) attributes[name] = value.text();
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

Result<storage::CollectionDescriptor> parse_descriptor(JsonMembers& members, int version) {
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

namespace {

void write_source(JsonWriter& line, const SourceMap& source) {
  line.begin_object();
  line.member("encoding", encoding_name(source.encoding));
  line.key("changes");
  line.begin_array();
  for (const SourceMap::Change& change : source.changes) {
    line.begin_array();
    line.value(change.text_offset);
    line.value(change.text_bytes);
    line.value(change.source_bytes);
    line.end_array();
  }
  line.end_array();
  line.end_object();
}

Result<SourceMap> parse_source(json object) {
  if (!object.is_object()) return invalid("\"source\" is no JSON object");
  JsonMembers members(object, "\"source\"");
  SourceMap source;
  NESTOR_ASSIGN_OR_RETURN(const std::string name, members.string("encoding"));
  NESTOR_ASSIGN_OR_RETURN(source.encoding, parse_encoding(name));
  NESTOR_ASSIGN_OR_RETURN(const json changes, members.array("changes"));
  NESTOR_RETURN_IF_ERROR(members.finish());
  for (const json& change : changes.elements()) {
    std::array<std::int32_t, 3> numbers{};
    const bool three = change.is_array() && change.size() == numbers.size();
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      // Whole numbers below 2^31; what they mean together is checked with the text.
      if (!three ||
          !change.elements()[i].is_whole_between(0, std::numeric_limits<std::int32_t>::max())) {
        return invalid("a change of \"source\" is " + quote_for_message(change.dump()) +
                       ", expected [text offset, bytes in the text, bytes in the file]");
      }
      numbers[i] = change.elements()[i].get<std::int32_t>();
    }
    source.changes.push_back({numbers[0], numbers[1], numbers[2]});
  }
  return source;
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
  JsonWriter line(JsonWriter::IllFormed::kReplace);
  line.begin_object();
  line.member("nestor", "export");
  line.member("version", kExportVersion);
  line.member("writer", kVersion);
  line.member("sequence", header.sequence);
  line.member("collection", name);
  line.member("external", user_vectors);
  line.member("vectors", header.vectors);
  line.member("width", dim);
  line.member("metric", metric_name(metric));
  line.member("space", fingerprint);
  line.member("model", model);
  line.key("attributes");
  line.begin_object();
  for (const auto& [attribute, value] : attributes) line.member(attribute, value);
  line.end_object();
  line.end_object();
  return line.take();
}

std::string encode_document_line(const storage::StoredDocument& document, std::span<const Row> rows,
                                 bool vectors) {
  JsonWriter line(JsonWriter::IllFormed::kRefuse);
  line.begin_object();
  line.member("key", document.document.key);
  line.member("title", document.document.title);
  line.member("text", document.document.text);
  line.key("metadata");
  line.literal(metadata_to_json(document.document.metadata));
  if (const SourceMap& source = document.document.source; !source.is_identity()) {
    line.key("source");
    write_source(line, source);
  }
  line.member("split_tokens", document.split_tokens);
  line.key("passages");
  line.begin_array();
  for (const Row& row : rows) write_passage(line, row, vectors);
  line.end_array();
  line.end_object();
  return line.take();
}

std::string encode_end_line(std::int64_t documents, std::int64_t passages) {
  JsonWriter line(JsonWriter::IllFormed::kRefuse);
  line.begin_object();
  line.member("nestor", "end");
  line.member("documents", documents);
  line.member("passages", passages);
  line.end_object();
  return line.take();
}

Result<PortableHeader> parse_header_line(std::string_view line) {
  NESTOR_ASSIGN_OR_RETURN(json object, parse_object(line));
  if (const json* const kind = object.find("nestor"); kind == nullptr || *kind != "export") {
    return invalid(
        "no export begins here; for documents without passages and vectors there is `nestor add "
        "DB --jsonl`");
  }
  object.members().erase("nestor");
  JsonMembers members(object, "the header");
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
  if (*object.find("nestor") != "end") return invalid("\"nestor\" is neither a key nor the end");
  object.members().erase("nestor");
  JsonMembers members(object, "the last line");
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
  JsonMembers members(object, "the document");
  storage::DocumentWrite write;
  Document& document = write.document;
  NESTOR_ASSIGN_OR_RETURN(document.key, members.string("key"));
  NESTOR_ASSIGN_OR_RETURN(document.title, members.string_or_null("title"));
  NESTOR_ASSIGN_OR_RETURN(document.text, members.string("text"));
  NESTOR_ASSIGN_OR_RETURN(const json metadata, members.take("metadata"));
  NESTOR_ASSIGN_OR_RETURN(document.metadata, parse_metadata(metadata.dump()));
  if (members.has("source")) {
    NESTOR_ASSIGN_OR_RETURN(json source, members.take("source"));
    NESTOR_ASSIGN_OR_RETURN(document.source, parse_source(std::move(source)));
  }
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
    NESTOR_ASSIGN_OR_RETURN(Row row, parse_passage(header, document, passages.elements()[i],
                                                   static_cast<std::int64_t>(i)));
    write.rows.push_back(std::move(row));
  }
  return write;
}

}  // namespace nestor::query
