// A filter's text form: parser and printer. Threads: free functions, safe anywhere.
#pragma once

#include <string>
#include <string_view>

#include "nestor/status.h"
#include "query/filter_node.h"

namespace nestor::query {

// Errors: kInvalidArgument, as Filter::parse.
Result<NodePointer> parse_filter_text(std::string_view text);
std::string filter_to_text(const Filter::Node& node);

// "filter, column 14: <what>", and below it the line of `text` that holds `offset` with a caret.
// Columns count code points from 1; a text of several lines gets "line 2, column 3".
Status filter_text_error(std::string_view text, std::size_t offset, const std::string& what);

}  // namespace nestor::query
