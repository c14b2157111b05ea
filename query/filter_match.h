// What a filter means: the definition that every faster way must agree with.
// Threads: free functions, safe anywhere.
#pragma once

#include <compare>
#include <cstdint>
#include <string_view>

#include "nestor/document.h"
#include "query/filter_node.h"

namespace nestor::query {

struct DocumentView {
  std::string_view key;
  std::string_view title;
  const Metadata& metadata;
};

// A node that carries an error matches nothing.
bool matches(const Filter::Node& node, const DocumentView& document);

// Same kind and same value, as Filter says of `==`.
bool equal_scalars(const MetadataScalar& a, const MetadataScalar& b);
// Numbers with numbers, exactly; dates with dates; anything else is unordered.
std::partial_ordering order_scalars(const MetadataScalar& a, const MetadataScalar& b);

}  // namespace nestor::query
