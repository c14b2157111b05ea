#include "tools/cli/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/text.h"
#include "query/folder_sync.h"
#include "tools/cli/context.h"

namespace nestor::cli {
namespace {

constexpr std::size_t kSnippetLines = 3;
constexpr std::string_view kIndent = "    ";

// As UTF-16 escapes, the only ones that JSON has.
void append_json_escape(std::string& out, std::string_view code_point) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return static_cast<unsigned char>(code_point[i]) & 0x3F;
  };
  const auto first = static_cast<unsigned char>(code_point[0]);
  unsigned value = first;
  if (code_point.size() == 2) value = (first & 0x1F) << 6 | byte(1);
  if (code_point.size() == 3) value = (first & 0x0F) << 12 | byte(1) << 6 | byte(2);
  if (code_point.size() == 4) value = (first & 0x07) << 18 | byte(1) << 12 | byte(2) << 6 | byte(3);
  if (value < 0x10000) {
    out += fmt::format("\\u{:04x}", value);
  } else {
    value -= 0x10000;
    out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (value >> 10), 0xDC00 + (value & 0x3FF));
  }
}

}  // namespace

std::string with_unix_lines(std::string_view text) {
  std::string lines;
  lines.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      lines += text[i];
    } else if (i + 1 == text.size() || text[i + 1] != '\n') {
      lines += '\n';
    }
  }
  return lines;
}

namespace {

std::string one_line(std::string_view text) {
  std::string line = escape_for_terminal(text, true);
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::replace(line.begin(), line.end(), '\t', ' ');
  return line;
}

std::size_t indentation(const std::string& line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

// The passage's first lines that say something; headings stand in the line above already. What all
// lines but the first are indented by is left out: the passage begins in the middle of its first
// line, behind that line's indentation.
std::string snippet(std::string_view passage, bool under_heading, int width) {
  const std::string unix_lines = with_unix_lines(passage);
  std::string_view text = unix_lines;
  std::vector<std::string> lines;
  while (!text.empty() && lines.size() < kSnippetLines) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string line = one_line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t first = indentation(line);
    if (first == line.size()) continue;
    if (under_heading && lines.empty() && line[first] == '#' && !text.empty()) continue;
    lines.push_back(std::move(line));
  }
  std::size_t common = std::string::npos;
  for (std::size_t i = 1; i < lines.size(); ++i) common = std::min(common, indentation(lines[i]));
  std::string out;
  for (const std::string& line : lines) {
    const std::string shown = line.substr(std::min(common, indentation(line)));
    out += fmt::format("{}{}\n", kIndent,
                       cut_to_columns(shown, width - static_cast<int>(kIndent.size())));
  }
  const bool more = text.find_first_not_of(" \t\r\n") != text.npos;
  if (more && !lines.empty()) out.insert(out.size() - 1, out.ends_with("…\n") ? "" : " …");
  return out;
}

// The passage from where its snippet begins.
std::string_view why_found(const Hit& hit) {
  const auto begin = static_cast<std::size_t>(hit.snippet.begin);
  return std::string_view(hit.text).substr(begin <= hit.text.size() ? begin : 0);
}

}  // namespace

Json new_json() { return Json{{"schema_version", kSchemaVersion}}; }

std::string json_line(const Json& value) {
  const std::string plain = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string safe;
  safe.reserve(plain.size() + 1);
  for (std::size_t offset = 0; offset < plain.size();) {
    const char first = plain[offset];
    if (static_cast<unsigned char>(first) < 0x7F) {
      safe += first;
      ++offset;
      continue;
    }
    const std::size_t bytes = code_point_bytes(plain, offset);
    const std::string_view code_point = std::string_view(plain).substr(offset, bytes);
    if (escape_for_terminal(code_point, false) == code_point) {
      safe += code_point;
    } else {
      append_json_escape(safe, code_point);
    }
    offset += bytes;
  }
  return safe + "\n";
}

std::string json_text(std::string_view text) {
  return find_invalid_utf8(text).has_value() ? escape_for_terminal(text, false) : std::string(text);
}

Json metadata_as_json(const Metadata& metadata) { return Json::parse(metadata_to_json(metadata)); }

std::string PathPrefix::path_of(const std::string& key, const Metadata& metadata) const {
  if (prefix.empty()) return {};
  // A document that somebody added by hand beside the files has no path.
  return query::is_document_of_file({.key = key, .metadata = metadata}) ? prefix + key
                                                                        : std::string();
}

PathPrefix path_prefix_of(const Database& database, const std::string& collection,
                          const std::string& typed) {
  const Result<std::string> folder = database.attribute(collection, query::kFolderAttribute);
  if (!folder.ok() || folder.value().empty()) return {};
  std::string prefix = typed.empty() ? folder.value() : typed;
  if (!prefix.ends_with('/')) prefix += '/';
  return {prefix};
}

Json hit_as_json(const Hit& hit, const PathPrefix& paths) {
  Json json;
  json["key"] = hit.key;
  json["passage"] = hit.passage;
  json["score"] = hit.score;
  json["title"] = hit.title;
  json["heading_path"] = hit.heading_path;
  json["text"] = hit.text;
  json["metadata"] = metadata_as_json(hit.metadata);
  if (const std::string path = paths.path_of(hit.key, hit.metadata); !path.empty()) {
    json["path"] = json_text(path);
  }
  json["bytes"] = {hit.source_bytes.begin, hit.source_bytes.end};
  if (hit.keyword_score > 0) json["keyword_score"] = hit.keyword_score;
  if (hit.fused_score > 0) json["fused_score"] = hit.fused_score;
  if (hit.rerank_score.has_value()) json["rerank_score"] = *hit.rerank_score;
  if (hit.snippet.end > hit.snippet.begin) {
    json["snippet"] = {hit.snippet.begin, hit.snippet.end};
    json["matches"] = Json::array();
    for (const ByteRange& match : hit.matches) json["matches"].push_back({match.begin, match.end});
  }
  json["lines"] = {hit.lines.first, hit.lines.last};
  return json;
}

Json explanation_as_json(const Explanation& explain) {
  Json json;
  json["mode"] = search_mode_name(explain.mode);
  json["metric"] = metric_name(explain.metric);
  json["query_vectors"] = explain.query_vectors;
  json["query_cache_hits"] = explain.query_cache_hits;
  json["coarse_width"] = explain.coarse_width;
  json["coarse_bits"] = explain.coarse_bits;
  json["rerank_width"] = explain.rerank_width;
  json["scanned_further"] = explain.scan_count;
  json["candidates"] = explain.candidate_count;
  json["scored_exactly"] = explain.exact_count;
  json["recall_target"] = explain.recall_target;
  json["calibrated_on"] = explain.calibrated_on;
  json["keyword_matches"] = explain.keyword_count;
  json["passages"] = explain.passages;
  json["matching"] = explain.matching;
  json["exact"] = explain.exact;
  for (const auto& [name, phrases] :
       {std::pair("required", &explain.required), std::pair("excluded", &explain.excluded)}) {
    json[name] = Json::array();
    for (const std::string& phrase : *phrases) json[name].push_back(json_text(phrase));
  }
  json["backend"] = explain.backend;
  json["embed_seconds"] = explain.embed_seconds;
  json["filter_seconds"] = explain.filter_seconds;
  json["coarse_seconds"] = explain.coarse_seconds;
  json["rerank_seconds"] = explain.rerank_seconds;
  json["keyword_seconds"] = explain.keyword_seconds;
  json["fetch_seconds"] = explain.fetch_seconds;
  return json;
}

std::string score_for_people(const Hit& hit, std::int64_t rank, const Explanation& explain) {
  const std::string near = explain.query_vectors == 0
                               ? std::string()
                               : fmt::format("{} {:.3f}", metric_name(explain.metric), hit.score);
  const std::string words = fmt::format("BM25 {:.2f}", hit.keyword_score);
  switch (explain.mode) {
    case SearchMode::kVector:
      break;
    case SearchMode::kKeyword:
      return near.empty() ? words : fmt::format("{} ({})", words, near);
    case SearchMode::kHybrid:
      return fmt::format("#{} ({}, {})", rank, near, words);
  }
  return fmt::format("{:.3f}", hit.score);
}

std::string hit_for_people(const Hit& hit, const std::string& score, const PathPrefix& paths,
                           const Terminal& terminal) {
  std::string name = paths.path_of(hit.key, hit.metadata);
  if (name.empty()) name = hit.key;
  const std::string range = hit.lines.first == hit.lines.last
                                ? fmt::format("{}", hit.lines.first)
                                : fmt::format("{}-{}", hit.lines.first, hit.lines.last);
  name = escape_for_terminal(name, false);
  // A title that is the file's name stands in the path already.
  const std::string title = one_line(hit.title);
  std::string about = title.empty() || name.ends_with(title) ? "" : fmt::format("\"{}\"", title);
  // A heading path that begins with the title does not say it twice.
  std::string_view heading = hit.heading_path;
  if (!hit.title.empty() && heading.starts_with(hit.title)) {
    heading.remove_prefix(hit.title.size());
    if (heading.starts_with(" > ")) heading.remove_prefix(3);
  }
  if (!heading.empty()) about += (about.empty() ? "" : " > ") + one_line(heading);
  // Path and score stay whole for whoever copies them; the rest gives way to the width.
  const int used = static_cast<int>(name.size() + range.size() + score.size()) + 5;
  if (terminal.interactive) about = cut_to_columns(about, std::max(terminal.width - used, 20));
  return fmt::format(
      "{}:{}  {}{}{}\n{}", styled(terminal, Style::kCyan, name), range,
      styled(terminal, Style::kGreen, score), about.empty() ? "" : "  ",
      styled(terminal, Style::kBold, about),
      snippet(why_found(hit), !hit.heading_path.empty() && hit.snippet.begin == 0, terminal.width));
}

std::string clauses_for_people(const Explanation& explain) {
  std::string text;
  for (const auto& [name, phrases] :
       {std::pair("required", &explain.required), std::pair("excluded", &explain.excluded)}) {
    std::string list;
    for (const std::string& phrase : *phrases) {
      list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", one_line(phrase));
    }
    if (!list.empty()) text += fmt::format("{}{}: {}", text.empty() ? "" : "\n", name, list);
  }
  return text;
}

std::string plan_for_people(const Explanation& explain) {
  const std::string all = explain.matching == explain.passages
                              ? counted(explain.passages, "passage")
                              : fmt::format("{} of {} that match", with_thousands(explain.matching),
                                            counted(explain.passages, "passage"));
  const std::string by_words = fmt::format("{} by words", with_thousands(explain.keyword_count));
  if (explain.mode == SearchMode::kKeyword) {
    return fmt::format("{} of {}", by_words, all);
  }
  if (explain.mode == SearchMode::kHybrid) {
    Explanation meaning = explain;
    meaning.mode = SearchMode::kVector;
    return fmt::format("{}, and {}", plan_for_people(meaning), by_words);
  }
  if (explain.exact) {
    return fmt::format("{} wide, exact over {}", explain.rerank_width, all);
  }
  const std::string bits =
      explain.coarse_bits < 32 ? fmt::format("{} bit x ", explain.coarse_bits) : std::string();
  return fmt::format("{}{} -> {} wide, {} of {}", bits, explain.coarse_width, explain.rerank_width,
                     with_thousands(explain.candidate_count), all);
}

std::string seconds_text(double seconds) {
  if (seconds < 0.001) return fmt::format("{:.1f} ms", seconds * 1e3);
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1e3);
  return fmt::format("{:.1f} s", seconds);
}

std::string counted(std::int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", with_thousands(count), noun, count == 1 ? "" : "s");
}

}  // namespace nestor::cli
