#include "tools/cli/number_option.h"

namespace nestor::cli {

std::string option_name(const std::string& names) {
  const std::size_t comma = names.rfind(',');
  return comma == std::string::npos ? names : names.substr(comma + 1);
}

CLI::Option* add_bytes(CLI::App& command, const std::string& names, std::int64_t& value,
                       const NumberRange& range, const std::string& help) {
  const auto read = [&value, range, name = option_name(names)](const std::string& text) {
    const Result<std::int64_t> parsed = parse_bytes(name, text, range);
    if (!parsed.ok()) throw CLI::ValidationError(parsed.status().message());
    value = parsed.value();
  };
  return command.add_option_function<std::string>(names, read, help)->type_name("SIZE");
}

}  // namespace nestor::cli
