#include "nestor/options.h"

#include <array>
#include <utility>

#include "core/text.h"

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

}  // namespace

const char* role_name(Role role) {
  for (const auto& [value, name] : kRoles) {
    if (value == role) return name;
  }
  return "unknown";
}

Result<Role> parse_role(std::string_view name) {
  std::string known;
  for (const auto& [value, role_text] : kRoles) {
    if (name == role_text) return value;
    known += known.empty() ? "" : ", ";
    known += role_text;
  }
  return Status(StatusCode::kInvalidArgument,
                "no role " + quote_for_message(name, 64) + "; there are " + known);
}

}  // namespace nestor
