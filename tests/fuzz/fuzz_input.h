// What the fuzz targets share: how an input becomes a file, and what a broken promise does.
// Threads: one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nestor::fuzz {

// Ends the program where it does not hold, which is what a fuzzer looks for.
void require(bool holds, const char* what);
std::string_view text_of(const std::uint8_t* data, std::size_t bytes);
// The path of a file in memory with these bytes, until the next call.
const std::string& as_file(std::string_view bytes);
// The checks of FORMAT.md, "Index caches", made to fit, so that what lies behind them is reached.
std::string with_checks(std::string_view input);

}  // namespace nestor::fuzz
