// A filter's JSON form, Haystack's. Source: docs.haystack.deepset.ai, "Metadata Filtering"; where
// its text leaves open what happens, the tests that Haystack ships for document stores decide.
// Threads: free functions, safe anywhere.
#pragma once

#include <string_view>

#include "nestor/status.h"
#include "query/filter_node.h"

namespace nestor::query {

// Errors: kInvalidArgument, as Filter::parse_json.
Result<NodePointer> parse_filter_json(std::string_view json);

}  // namespace nestor::query
