// Base64 of RFC 4648, section 4: the standard alphabet, padded, nothing else accepted.
// Threads: free functions, safe anywhere.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nestor {

std::string base64_encode(std::string_view bytes);
// Nothing where `text` is not what base64_encode gives: another character, a wrong length or
// padding, bits left over.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace nestor
