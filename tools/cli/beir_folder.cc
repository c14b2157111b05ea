#include "tools/cli/beir_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/file.h"
#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"
#include "tools/cli/line_reader.h"

namespace nestor::cli {
namespace {

using QueryJudgments = std::map<std::string, Judgments>;

Status line_error(const std::string& path, std::int64_t line, const std::string& cause) {
  return {StatusCode::kInvalidArgument, fmt::format("{}:{}: {}", path, line, cause)};
}

// Calls `work(line, number)` for every line that is not blank, without its line end.
Status for_each_line(const std::string& path,
                     const std::function<Status(std::string_view, std::int64_t)>& work) {
  if (!is_regular_file(path)) {
    return {
        StatusCode::kNotFound,
        path +
            ": no such file; a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/test.tsv"};
  }
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno_status(errno, "open", path);
  Status status;
  LineReader reader(file, {});
  for (;;) {
    const Result<std::optional<std::string_view>> line = reader.next();
    if (!line.ok()) status = line.status().with_context(path);
    if (!line.ok() || !line.value().has_value()) break;
    std::string_view rest = *line.value();
    while (!rest.empty() && (rest.back() == '\r' || rest.back() == ' ')) rest.remove_suffix(1);
    if (!rest.empty()) status = work(rest, reader.line_number());
    if (!status.ok()) break;
  }
  ::close(file);
  return status;
}

// The string member `name`; `fallback` where it may be left out or null.
Result<std::string> string_member(const JsonValue& object, const char* name, bool required) {
  const JsonValue* const found = object.find(name);
  if (found == nullptr || (found->is_null() && !required)) {
    if (!required) return std::string();
    return Status(StatusCode::kInvalidArgument, fmt::format("\"{}\" is missing", name));
  }
  if (!found->is_string()) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("\"{}\" is {} where a string was expected", name, found->type_name()));
  }
  return found->get<std::string>();
}

Result<BeirDocument> parse_record(std::string_view line) {
  NESTOR_ASSIGN_OR_RETURN(const JsonValue object, parse_json(line));
  if (!object.is_object()) return Status(StatusCode::kInvalidArgument, "not a JSON object");
  BeirDocument record;
  NESTOR_ASSIGN_OR_RETURN(record.key, string_member(object, "_id", true));
  NESTOR_ASSIGN_OR_RETURN(record.text, string_member(object, "text", true));
  NESTOR_ASSIGN_OR_RETURN(record.title, string_member(object, "title", false));
  if (record.key.empty()) return Status(StatusCode::kInvalidArgument, "\"_id\" is empty");
  return record;
}

// Every record of a .jsonl, in order; `_id`s are unique.
Status read_records(const std::string& path, const std::function<void(BeirDocument)>& keep) {
  std::unordered_map<std::string, std::int64_t> seen;
  return for_each_line(path, [&](std::string_view line, std::int64_t number) -> Status {
    Result<BeirDocument> record = parse_record(line);
    if (!record.ok()) return line_error(path, number, record.status().message());
    const auto [first, is_new] = seen.emplace(record.value().key, number);
    if (!is_new) {
      return line_error(path, number,
                        fmt::format("_id {} stands in line {} already",
                                    quote_for_message(record.value().key), first->second));
    }
    keep(std::move(record).value());
    return {};
  });
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (;;) {
    const std::size_t tab = line.find('\t');
    fields.push_back(line.substr(0, tab));
    if (tab == std::string_view::npos) return fields;
    line.remove_prefix(tab + 1);
  }
}

Result<QueryJudgments> read_judgments(const std::string& path) {
  QueryJudgments judged;
  std::int64_t rows = 0;
  NESTOR_RETURN_IF_ERROR(
      for_each_line(path, [&](std::string_view line, std::int64_t number) -> Status {
        const std::vector<std::string_view> fields = fields_of(line);
        if (fields.size() != 3) {
          return line_error(
              path, number,
              fmt::format(
                  "{} tab-separated fields where 3 were expected: query-id, corpus-id, score",
                  fields.size()));
        }
        int judgment = 0;
        const char* end = fields[2].data() + fields[2].size();
        const auto [stopped, error] = std::from_chars(fields[2].data(), end, judgment);
        const bool is_number = error == std::errc() && stopped == end;
        if (rows++ == 0 && !is_number) return {};  // the header
        if (!is_number) {
          return line_error(
              path, number,
              fmt::format("the score {} is not a whole number", quote_for_message(fields[2])));
        }
        judged[std::string(fields[0])][std::string(fields[1])] = judgment;
        return {};
      }));
  if (judged.empty()) return Status(StatusCode::kInvalidArgument, path + ": no judgment in it");
  return judged;
}

// A seeded sample of `count` of the indices [0, total), in rising order. Spelled out because the
// standard library's shuffle is not the same everywhere.
std::set<std::size_t> sample(std::vector<std::size_t> indices, std::size_t count,
                             std::uint64_t seed) {
  std::mt19937_64 random(seed);
  count = std::min(count, indices.size());
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(indices[i], indices[i + random() % (indices.size() - i)]);
  }
  return {indices.begin(), indices.begin() + static_cast<std::ptrdiff_t>(count)};
}

template <typename T>
void keep_only(std::vector<T>& items, const std::set<std::size_t>& kept) {
  std::vector<T> rest;
  for (const std::size_t index : kept) rest.push_back(std::move(items[index]));
  items = std::move(rest);
}

Result<std::vector<BeirQuery>> read_queries(const std::string& folder) {
  NESTOR_ASSIGN_OR_RETURN(QueryJudgments judged, read_judgments(folder + "/qrels/test.tsv"));
  std::vector<BeirQuery> queries;
  NESTOR_RETURN_IF_ERROR(read_records(folder + "/queries.jsonl", [&](BeirDocument record) {
    auto node = judged.extract(record.key);
    if (node.empty()) return;
    queries.push_back({std::move(record.key), std::move(record.text), std::move(node.mapped())});
  }));
  if (!judged.empty()) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{}/qrels/test.tsv: query {} is judged and not in queries.jsonl",
                              folder, quote_for_message(judged.begin()->first)));
  }
  return queries;
}

void limit_documents(std::vector<BeirDocument>& documents, const std::vector<BeirQuery>& queries,
                     const BeirLimits& limits) {
  const auto limit = static_cast<std::size_t>(limits.documents);
  if (limit == 0 || documents.size() <= limit) return;
  std::unordered_set<std::string_view> judged;
  for (const BeirQuery& query : queries) {
    for (const auto& [key, judgment] : query.judgments) judged.insert(key);
  }
  std::set<std::size_t> kept;
  std::vector<std::size_t> others;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    if (!judged.contains(documents[i].key)) {
      others.push_back(i);
    } else if (kept.size() < limit) {
      kept.insert(i);
    }
  }
  kept.merge(sample(std::move(others), limit - kept.size(), limits.seed));
  keep_only(documents, kept);
}

// Forgets judgments of documents that are not there, then queries with nothing to find.
void drop_unanswerable(BeirFolder& folder) {
  std::unordered_set<std::string_view> present;
  for (const BeirDocument& document : folder.documents) present.insert(document.key);
  const auto unanswerable = [&](BeirQuery& query) {
    std::erase_if(query.judgments, [&](const auto& one) { return !present.contains(one.first); });
    return std::none_of(query.judgments.begin(), query.judgments.end(),
                        [](const auto& one) { return one.second > 0; });
  };
  folder.queries_dropped = static_cast<std::int64_t>(std::erase_if(folder.queries, unanswerable));
}

}  // namespace

Result<BeirFolder> read_beir_folder(const std::string& path, const BeirLimits& limits) {
  if (!is_folder(path)) return Status(StatusCode::kNotFound, path + ": no such folder");
  BeirFolder folder;
  NESTOR_ASSIGN_OR_RETURN(folder.queries, read_queries(path));
  if (limits.queries > 0 && static_cast<std::size_t>(limits.queries) < folder.queries.size()) {
    std::vector<std::size_t> indices(folder.queries.size());
    for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = i;
    keep_only(folder.queries,
              sample(std::move(indices), static_cast<std::size_t>(limits.queries), limits.seed));
  }
  NESTOR_RETURN_IF_ERROR(read_records(path + "/corpus.jsonl", [&](BeirDocument document) {
    folder.documents.push_back(std::move(document));
  }));
  if (folder.documents.empty()) {
    return Status(StatusCode::kInvalidArgument, path + "/corpus.jsonl: no document in it");
  }
  limit_documents(folder.documents, folder.queries, limits);
  drop_unanswerable(folder);
  if (folder.queries.empty()) {
    return Status(StatusCode::kInvalidArgument, path +
                                                    ": no query has a relevant document among "
                                                    "those read; raise the limits or check the ids "
                                                    "of qrels/test.tsv");
  }
  return folder;
}

}  // namespace nestor::cli
