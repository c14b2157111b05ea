#include "query/chunk_packing.h"

#include <algorithm>
#include <cstdlib>

#include "core/macros.h"

namespace nestor::query {
namespace {

// A last passage of less than this part of the limit is put right with the one before it, if a
// paragraph can be divided for it.
constexpr std::int64_t kTinyPercent = 15;

std::int64_t sum_of_tokens(std::span<const TextUnit> units) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < units.size(); ++i) {
    sum += units[i].tokens + (i == 0 ? 0 : join_tokens(units[i - 1], units[i]));
  }
  return sum;
}

// Units [first, end) that stay together: headings and what follows them.
struct Bundle {
  std::size_t first = 0;
  std::size_t end = 0;
  std::int64_t tokens = 0;
};

std::vector<Bundle> bundle(std::span<const TextUnit> units, std::int64_t limit) {
  std::vector<Bundle> bundles;
  for (std::size_t i = 0; i < units.size(); ++i) {
    const bool below_heading = i > 0 && units[i - 1].kind == BlockKind::kHeading;
    if (below_heading) {
      Bundle& last = bundles.back();
      const std::int64_t tokens =
          last.tokens + join_tokens(units[i - 1], units[i]) + units[i].tokens;
      if (tokens <= limit) {
        last.end = i + 1;
        last.tokens = tokens;
        continue;
      }
    }
    bundles.push_back({.first = i, .end = i + 1, .tokens = units[i].tokens});
  }
  return bundles;
}

// Each passage is filled towards an equal share of what is left, so that no small rest remains.
std::vector<Passage> fill_evenly(std::span<const TextUnit> units, std::int64_t limit) {
  const std::vector<Bundle> bundles = bundle(units, limit);
  std::vector<Passage> passages;
  std::int64_t left = sum_of_tokens(units);
  for (std::size_t i = 0; i < bundles.size();) {
    const std::int64_t share = left / std::max<std::int64_t>(1, (left + limit - 1) / limit);
    std::int64_t sum = bundles[i].tokens;
    std::size_t end = i + 1;
    for (; end < bundles.size(); ++end) {
      const Bundle& next = bundles[end];
      const std::int64_t wider =
          sum + join_tokens(units[next.first - 1], units[next.first]) + next.tokens;
      if (wider > limit || wider - share > share - sum) break;
      sum = wider;
    }
    const auto first_unit = units.begin() + static_cast<std::ptrdiff_t>(bundles[i].first);
    const auto end_unit = units.begin() + static_cast<std::ptrdiff_t>(bundles[end - 1].end);
    passages.emplace_back(first_unit, end_unit);
    left -= sum;
    if (end < bundles.size()) left -= join_tokens(*(end_unit - 1), *end_unit);
    i = end;
  }
  return passages;
}

// Divides the last paragraph before a tiny rest into sentences and shares both passages out again;
// leaves them as they are where that does not help.
Status balance_tail(std::int64_t limit, UnitMaker& maker, std::vector<Passage>& passages) {
  if (passages.size() < 2 || sum_of_tokens(passages.back()) * 100 >= limit * kTinyPercent)
    return {};
  const Passage& full = passages[passages.size() - 2];
  const auto found = std::find_if(full.rbegin(), full.rend(), [](const TextUnit& unit) {
    return unit.whole && unit.kind == BlockKind::kProse;
  });
  if (found == full.rend()) return {};
  const auto paragraph = found.base() - 1;
  Passage units(full.begin(), paragraph);
  NESTOR_RETURN_IF_ERROR(maker.append_parts(*paragraph, units));
  units.insert(units.end(), paragraph + 1, full.end());
  units.insert(units.end(), passages.back().begin(), passages.back().end());
  const std::vector<Passage> shared = fill_evenly(units, limit);
  if (shared.size() != 2 || sum_of_tokens(shared[1]) <= sum_of_tokens(passages.back())) return {};
  passages.resize(passages.size() - 2);
  passages.insert(passages.end(), shared.begin(), shared.end());
  return {};
}

// The unit that the second half begins with: near the middle, not right after a heading if that can
// be helped.
std::size_t middle_of(const Passage& passage) {
  const std::int64_t half = sum_of_tokens(passage) / 2;
  std::size_t best = 1;
  std::int64_t least_cost = -1;
  std::int64_t sum = 0;
  for (std::size_t i = 1; i < passage.size(); ++i) {
    sum += passage[i - 1].tokens;
    const bool after_heading = passage[i - 1].kind == BlockKind::kHeading;
    const std::int64_t cost = std::abs(sum - half) + (after_heading ? 2 * half : 0);
    if (least_cost >= 0 && cost >= least_cost) continue;
    least_cost = cost;
    best = i;
  }
  return best;
}

// The sum of the parts is an estimate; what counts is the count of the whole.
Status append_checked(Passage passage, std::int64_t limit, UnitMaker& maker,
                      std::vector<Passage>& passages) {
  if (passage.size() > 1) {
    NESTOR_ASSIGN_OR_RETURN(const std::int64_t tokens,
                            maker.count(passage.front().begin, passage.back().end));
    if (tokens > limit) {
      const auto middle = passage.begin() + static_cast<std::ptrdiff_t>(middle_of(passage));
      NESTOR_RETURN_IF_ERROR(
          append_checked(Passage(passage.begin(), middle), limit, maker, passages));
      return append_checked(Passage(middle, passage.end()), limit, maker, passages);
    }
  }
  passages.push_back(std::move(passage));
  return {};
}

// A block that fits the limit, but not with the headings above it, gives up its first parts to
// them.
Status divide_below_headings(std::span<const TextUnit> units, std::int64_t limit, UnitMaker& maker,
                             Passage& divided) {
  std::int64_t heading_tokens = 0;
  for (std::size_t i = 0; i < units.size(); ++i) {
    const TextUnit& unit = units[i];
    if (i > 0) heading_tokens += join_tokens(units[i - 1], unit);
    if (unit.kind == BlockKind::kHeading) {
      heading_tokens += unit.tokens;
      divided.push_back(unit);
      continue;
    }
    const bool below_heading = i > 0 && units[i - 1].kind == BlockKind::kHeading;
    if (below_heading && unit.whole && heading_tokens + unit.tokens > limit) {
      NESTOR_RETURN_IF_ERROR(maker.append_parts(unit, divided));
    } else {
      divided.push_back(unit);
    }
    heading_tokens = 0;
  }
  return {};
}

}  // namespace

// Gemma has tokens for runs of line ends up to about thirty; half of that is on the safe side.
std::int64_t join_tokens(const TextUnit& before, const TextUnit& after) {
  const std::int64_t gap = static_cast<std::int64_t>(after.begin - before.end);
  return gap <= 1 ? gap : 1 + gap / 16;
}

Status pack_units(std::span<const TextUnit> units, int limit, UnitMaker& maker,
                  std::vector<Passage>& passages) {
  if (units.empty()) return {};
  Passage divided;
  divided.reserve(units.size());
  NESTOR_RETURN_IF_ERROR(divide_below_headings(units, limit, maker, divided));
  std::vector<Passage> filled = fill_evenly(divided, limit);
  NESTOR_RETURN_IF_ERROR(balance_tail(limit, maker, filled));
  for (Passage& passage : filled) {
    NESTOR_RETURN_IF_ERROR(append_checked(std::move(passage), limit, maker, passages));
  }
  return {};
}

}  // namespace nestor::query
