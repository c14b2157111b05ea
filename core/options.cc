#include "nestor/options.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "core/text.h"
#include "nestor/search.h"

namespace nestor {
namespace {

constexpr std::array<std::pair<Role, const char*>, 8> kRoles = {{
    {Role::kQuery, "query"},
    {Role::kDocument, "document"},
    {Role::kQuestionAnswering, "question-answering"},
    {Role::kFactChecking, "fact-checking"},
    {Role::kClassification, "classification"},
    {Role::kClustering, "clustering"},
    {Role::kSentenceSimilarity, "sentence-similarity"},
    {Role::kCodeRetrieval, "code-retrieval"},
}};

constexpr std::array<std::pair<SearchMode, const char*>, 3> kSearchModes = {{
    {SearchMode::kVector, "vector"},
    {SearchMode::kKeyword, "keyword"},
    {SearchMode::kHybrid, "hybrid"},
}};

constexpr std::array<std::pair<Metric, const char*>, 3> kMetrics = {{
    {Metric::kCosine, "cosine"},
    {Metric::kDot, "dot"},
    {Metric::kL2, "l2"},
}};

template <typename Names, typename Value>
const char* name_of(const Names& names, Value value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  return "unknown";
}

template <typename Value, std::size_t Count>
Result<Value> parse_name(const std::array<std::pair<Value, const char*>, Count>& names,
                         std::string_view kind, std::string_view typed) {
  std::string there_are;
  for (const auto& [value, name] : names) {
    if (typed == name) return value;
    there_are += there_are.empty() ? "" : ", ";
    there_are += name;
  }
  return Status(StatusCode::kInvalidArgument, fmt::format("no {} {}; there are {}", kind,
                                                          quote_for_message(typed, 64), there_are));
}

}  // namespace

const char* role_name(Role role) { return name_of(kRoles, role); }
Result<Role> parse_role(std::string_view name) { return parse_name(kRoles, "role", name); }

const char* search_mode_name(SearchMode mode) { return name_of(kSearchModes, mode); }
Result<SearchMode> parse_search_mode(std::string_view name) {
  return parse_name(kSearchModes, "search mode", name);
}

const char* metric_name(Metric metric) { return name_of(kMetrics, metric); }
Result<Metric> parse_metric(std::string_view name) { return parse_name(kMetrics, "metric", name); }

}  // namespace nestor
