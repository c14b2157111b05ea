#include "query/number_forms.h"

#include <algorithm>

namespace nestor::query {
namespace {

// Longer lists and versions are found whole.
constexpr std::size_t kMostParts = 8;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0;;) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    if (end == text.size()) return parts;
    begin = end + 1;
  }
}

// Groups of three behind a first one of one to three that is not 0: thousands.
bool is_grouped(const std::vector<std::string_view>& parts) {
  return parts.size() > 1 && parts[0].size() <= 3 && !parts[0].starts_with('0') &&
         std::all_of(parts.begin() + 1, parts.end(),
                     [](std::string_view part) { return part.size() == 3; });
}

// 24.12.2024: also found by its year.
bool is_date(const std::vector<std::string_view>& parts) {
  return parts.size() == 3 && parts[0].size() <= 2 && parts[1].size() <= 2 && parts[2].size() == 4;
}

std::string without(std::string_view text, char separator) {
  std::string out(text);
  std::erase(out, separator);
  return out;
}

void add_parts(const std::vector<std::string_view>& parts, NumberForms& forms) {
  if (parts.size() <= kMostParts)
    forms.variants.insert(forms.variants.end(), parts.begin(), parts.end());
}

NumberForms dotted(std::string_view text) {
  NumberForms forms{.number = std::string(text), .variants = {}};
  const auto parts = split(text, '.');
  if (is_grouped(parts)) forms.variants.push_back(without(text, '.'));
  if (is_date(parts)) forms.variants.emplace_back(parts[2]);
  if (parts.size() > kMostParts) return forms;
  for (std::size_t count = 2; count < parts.size(); ++count) {
    const char* const end = parts[count - 1].data() + parts[count - 1].size();
    forms.variants.emplace_back(text.data(), end);
  }
  return forms;
}

}  // namespace

NumberForms number_forms(std::string_view text) {
  const std::string plain = without(text, '\'');
  const auto by_comma = split(plain, ',');
  if (by_comma.size() == 1) return dotted(plain);
  const std::size_t last_comma = plain.rfind(',');
  const std::size_t point = plain.find('.');
  if (point == std::string::npos) {
    if (is_grouped(by_comma)) return {.number = without(plain, ','), .variants = {}};
    NumberForms forms{.number = plain, .variants = {}};
    if (by_comma.size() == 2) forms.number[last_comma] = '.';
    add_parts(by_comma, forms);
    return forms;
  }
  const std::string_view whole = std::string_view(plain).substr(0, point);
  if (point > last_comma && plain.rfind('.') == point && is_grouped(split(whole, ','))) {
    return {.number = without(plain, ','), .variants = {}};
  }
  if (by_comma.size() == 2 && is_grouped(split(by_comma[0], '.')) &&
      by_comma[1].find('.') == std::string_view::npos) {
    std::string number = without(plain, '.');
    number[number.find(',')] = '.';
    return {.number = std::move(number), .variants = {}};
  }
  NumberForms forms{.number = plain, .variants = {}};
  add_parts(by_comma, forms);
  return forms;
}

}  // namespace nestor::query
