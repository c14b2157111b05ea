// Options that take a number. All of a command's go through these, so that every one is checked
// against its range (core/option_range.h) while the command line is read: what is no number, and
// what is outside, is an error of the command line and names the option.
// Threads: one, the main thread.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "core/option_range.h"

namespace nestor::cli {

// "--k" of "-k,--k": what messages call the option.
std::string option_name(const std::string& names);

// `value` must live as long as `command`; it is changed only where the option is given.
template <typename Number>
CLI::Option* add_number(CLI::App& command, const std::string& names, Number& value,
                        const NumberRange& range, const std::string& help) {
  const auto read = [&value, range, name = option_name(names)](const std::string& text) {
    const auto take = [&](auto parsed) {
      if (!parsed.ok()) throw CLI::ValidationError(parsed.status().message());
      value = static_cast<Number>(parsed.value());
    };
    if constexpr (std::is_integral_v<Number>) {
      take(parse_whole_number(name, text, range));
    } else {
      take(parse_number(name, text, range));
    }
  };
  return command.add_option_function<std::string>(names, read, help)
      ->type_name(std::is_integral_v<Number> ? "INT" : "NUMBER");
}

// An option that may be left out altogether.
template <typename Number>
CLI::Option* add_number(CLI::App& command, const std::string& names, std::optional<Number>& value,
                        const NumberRange& range, const std::string& help) {
  const auto read = [&value, range, name = option_name(names)](const std::string& text) {
    const Result<double> parsed = parse_number(name, text, range);
    if (!parsed.ok()) throw CLI::ValidationError(parsed.status().message());
    value = static_cast<Number>(parsed.value());
  };
  static_assert(std::is_floating_point_v<Number>);
  return command.add_option_function<std::string>(names, read, help)->type_name("NUMBER");
}

// A number of bytes with a unit, such as 512M.
CLI::Option* add_bytes(CLI::App& command, const std::string& names, std::int64_t& value,
                       const NumberRange& range, const std::string& help);

}  // namespace nestor::cli
