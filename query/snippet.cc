#include "query/snippet.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/macros.h"
#include "core/text.h"

namespace nestor::query {
namespace {

struct Match {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string_view term;
};

// The first and last match of the best window of at most `size` bytes; matches are ascending.
std::pair<std::size_t, std::size_t> best_window(const std::vector<Match>& matches,
                                                std::size_t size) {
  std::map<std::string_view, int> inside;
  std::pair<std::size_t, std::size_t> best{0, 0};
  std::pair<std::size_t, std::size_t> best_worth{0, 0};  // different words, then all
  std::size_t first = 0;
  for (std::size_t last = 0; last < matches.size(); ++last) {
    ++inside[matches[last].term];
    while (first < last && matches[last].end - matches[first].begin > size) {
      const auto leaving = inside.find(matches[first++].term);
      if (--leaving->second == 0) inside.erase(leaving);
    }
    const std::pair worth{inside.size(), last - first + 1};
    if (worth > best_worth) {
      best_worth = worth;
      best = {first, last};
    }
  }
  return best;
}

// The largest of `ends` (and 0) that is at most `at`.
std::size_t floor_of(const std::vector<std::int32_t>& ends, std::size_t at) {
  const auto after = std::upper_bound(ends.begin(), ends.end(), static_cast<std::int32_t>(at));
  return after == ends.begin() ? 0 : static_cast<std::size_t>(*(after - 1));
}

std::size_t ceiling_of(const std::vector<std::int32_t>& ends, std::size_t at) {
  const auto found = std::lower_bound(ends.begin(), ends.end(), static_cast<std::int32_t>(at));
  return found == ends.end() ? at : static_cast<std::size_t>(*found);
}

}  // namespace

Result<Snippet> SnippetMaker::make(std::string_view passage, const KeywordQuery& query,
                                   std::int64_t target_bytes) {
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(target_bytes, 1));
  const std::set<std::string_view> wanted(query.terms.begin(), query.terms.end());
  std::vector<TextToken> tokens;
  if (!wanted.empty()) {
    NESTOR_RETURN_IF_ERROR(analyzer_.analyze(passage, 0, tokens).status());
  }
  std::vector<Match> matches;
  for (const TextToken& token : tokens) {
    if (!wanted.contains(token.term)) continue;
    // A part of a name whose whole is a match already shows nothing more.
    if (!matches.empty() && token.begin < matches.back().end) continue;
    matches.push_back({token.begin, token.end, token.term});
  }

  std::size_t begin = 0;
  std::size_t end = std::min(size, passage.size());
  if (!matches.empty()) {
    const auto [first, last] = best_window(matches, size);
    const std::size_t from = matches[first].begin;
    const std::size_t to = matches[last].end;
    const std::size_t spare = size - std::min(size, to - from);
    // A third of what is left stands before, for the reader to come in; near the end more.
    begin = from - std::min(from, spare / 3);
    end = std::min(passage.size(), std::max(to, begin + size));
    begin = std::min(begin, end - std::min(end, size));
    begin = std::min(begin, from);
  }
  // Where no words are cut; a word longer than the snippet is, between grapheme clusters.
  NESTOR_ASSIGN_OR_RETURN(const std::vector<std::int32_t> words, breaks_.line_break_ends(passage));
  NESTOR_ASSIGN_OR_RETURN(const std::vector<std::int32_t> clusters, breaks_.grapheme_ends(passage));
  const std::size_t latest_begin = matches.empty() ? begin : begin + size / 4;
  const std::size_t word_begin = ceiling_of(words, begin);
  const bool keeps_match =
      matches.empty() || std::none_of(matches.begin(), matches.end(), [&](const Match& match) {
        return match.begin >= begin && match.begin < word_begin;
      });
  if (begin > 0)
    begin = word_begin <= latest_begin && keeps_match ? word_begin : floor_of(clusters, begin);
  const std::size_t word_end = end == passage.size() ? end : floor_of(words, end);
  const bool end_keeps = std::none_of(matches.begin(), matches.end(), [&](const Match& match) {
    return match.begin < end && match.end > word_end && match.end <= end;
  });
  end = word_end > begin && end_keeps ? word_end : ceiling_of(clusters, end);

  Snippet snippet;
  const Trimmed trimmed = trim(passage.substr(begin, end - begin));
  snippet.bytes = {static_cast<std::int64_t>(begin + trimmed.begin),
                   static_cast<std::int64_t>(begin + trimmed.end)};
  for (const Match& match : matches) {
    const ByteRange range{static_cast<std::int64_t>(match.begin),
                          static_cast<std::int64_t>(match.end)};
    if (range.begin >= snippet.bytes.begin && range.end <= snippet.bytes.end)
      snippet.matches.push_back(range);
  }
  return snippet;
}

}  // namespace nestor::query
