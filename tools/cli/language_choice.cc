#include "tools/cli/language_choice.h"

#include "query/text_analysis.h"

namespace nestor::cli {

Status check_language(const std::string& language) {
  return language.empty() ? Status() : query::TextAnalyzer::make(language).status();
}

Status set_language(Database& database, const std::string& collection,
                    const std::string& language) {
  if (language.empty()) return {};
  return database.set_attribute(collection, query::kLanguageAttribute, language);
}

}  // namespace nestor::cli
