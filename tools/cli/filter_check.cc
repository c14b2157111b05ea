#include "tools/cli/filter_check.h"

#include <fmt/format.h>

#include "core/macros.h"
#include "core/text.h"
#include "query/name_forms.h"

namespace nestor::cli {

Result<Filter> parse_filter(const std::string& text) {
  NESTOR_ASSIGN_OR_RETURN(const Filter filter, Filter::parse(text));
  return query::with_name_forms(filter);
}

std::string unknown_field_text(const UnknownField& field) {
  std::string text = fmt::format("no document has a field {}", quote_for_message(field.name));
  for (std::size_t i = 0; i < field.similar.size(); ++i) {
    text += fmt::format("{}{}", i == 0 ? "; did you mean " : " or ",
                        quote_for_message(field.similar[i]));
  }
  return field.similar.empty() ? text : text + "?";
}

Status caution_of_unknown_fields(const Database& database, const Filter& filter,
                                 const std::string& collection, Context& context) {
  if (filter.empty()) return {};
  NESTOR_ASSIGN_OR_RETURN(const std::vector<UnknownField> unknown,
                          database.unknown_fields(filter, collection));
  for (const UnknownField& field : unknown) {
    if (field.only_existence && field.similar.empty()) continue;
    context.caution("filter: " + unknown_field_text(field));
  }
  return {};
}

}  // namespace nestor::cli
