// Units into passages: as few as the limit of tokens asks for, of about equal size, a heading
// always with what stands below it. Threads: free functions; a UnitMaker belongs to one thread.
#pragma once

#include <span>
#include <vector>

#include "nestor/status.h"
#include "query/text_units.h"

namespace nestor::query {

using Passage = std::vector<TextUnit>;  // in order, never empty

// Tokens that the white space between two neighbours costs, estimated.
std::int64_t join_tokens(const TextUnit& before, const TextUnit& after);
// The passages of units that may stand together, appended to `passages`. Each is within `limit` by
// a count of its own, but for a single code point that alone has more. Errors: those of the maker.
// Cost: each passage of several units is counted once more.
Status pack_units(std::span<const TextUnit> units, int limit, UnitMaker& maker,
                  std::vector<Passage>& passages);

}  // namespace nestor::query
