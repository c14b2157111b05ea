// What a heading says without its markup: "## `Vec` and [slices](x.md) {#v} ##" is "Vec and
// slices". Threads: free functions, safe anywhere.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace nestor::query {

// Longer ones are cut and end in "…": a heading path goes into the prompt's title slot and must
// stay small beside a passage.
inline constexpr std::size_t kMostHeadingBytes = 200;

// `line`: the text of a heading, without the marks that make it one. Code spans, links, images and
// strong emphasis lose their marks, white space is folded; `_` and a single `*` stay, for names are
// full of them.
std::string plain_heading(std::string_view line);

}  // namespace nestor::query
