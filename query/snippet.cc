#include "query/snippet.h"

#include <algorithm>
#include <functional>
#include <map>
#include <span>
#include <utility>

#include "core/macros.h"
#include "core/text.h"
#include "storage/records.h"

namespace nestor::query {
namespace {

struct Match {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t term = 0;  // of the query
};

// Which words of a passage a query asks for.
class WordFinder {
 public:
  explicit WordFinder(const KeywordQuery& query) {
    for (std::size_t term = 0; term < query.terms.size(); ++term) {
      add(query.terms[term].any, term);
      add(query.terms[term].otherwise, term);
      if (!query.terms[term].inside.empty()) inside_.emplace_back(query.terms[term].inside, term);
    }
  }

  // Ascending and apart; of two that overlap the one that begins first, then the longer one.
  [[nodiscard]] std::vector<Match> find(std::span<const TextToken> tokens) const {
    std::vector<Match> all;
    for (std::size_t first = 0; first < tokens.size();) {
      std::size_t last = first + 1;
      while (last < tokens.size() && tokens[last].position == tokens[first].position) ++last;
      find_at(tokens.subspan(first, last - first), all);
      first = last;
    }
    std::sort(all.begin(), all.end(), [](const Match& a, const Match& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
    });
    std::vector<Match> apart;
    for (const Match& match : all) {
      if (apart.empty() || match.begin >= apart.back().end) apart.push_back(match);
    }
    return apart;
  }

 private:
  struct Wanted {
    const TermsTogether* together = nullptr;
    std::size_t term = 0;
  };

  void add(const TermChoice& choice, std::size_t term) {
    for (const TermsTogether& together : choice)
      wanted_[together.front().term].push_back({&together, term});
  }

  // Tokens of one position.
  void find_at(std::span<const TextToken> tokens, std::vector<Match>& matches) const {
    for (const TextToken& token : tokens) {
      const std::string_view stored = token.term;
      const std::string_view base = stored.substr(0, stored.find(storage::kFormMark));
      find_wanted(stored, tokens, matches);
      if (base.size() < stored.size()) find_wanted(base, tokens, matches);
      for (const auto& [stem, term] : inside_) {
        if (is_inside(stem, stored)) matches.push_back({token.begin, token.end, term});
      }
    }
  }

  void find_wanted(std::string_view term, std::span<const TextToken> tokens,
                   std::vector<Match>& matches) const {
    const auto found = wanted_.find(term);
    if (found == wanted_.end()) return;
    for (const Wanted& wanted : found->second) {
      Match match{.begin = std::string_view::npos, .end = 0, .term = wanted.term};
      const bool all = std::all_of(
          wanted.together->begin(), wanted.together->end(), [&](const TermLookup& lookup) {
            const auto here =
                std::find_if(tokens.begin(), tokens.end(),
                             [&](const TextToken& token) { return lookup.matches(token.term); });
            if (here == tokens.end()) return false;
            match.begin = std::min<std::size_t>(match.begin, here->begin);
            match.end = std::max<std::size_t>(match.end, here->end);
            return true;
          });
      if (all) matches.push_back(match);
    }
  }

  std::map<std::string, std::vector<Wanted>, std::less<>> wanted_;  // by their first lookup
  std::vector<std::pair<std::string, std::size_t>> inside_;
};

// The first and last match of the best window of at most `size` bytes; matches are ascending.
std::pair<std::size_t, std::size_t> best_window(const std::vector<Match>& matches,
                                                std::size_t size) {
  std::map<std::size_t, int> inside;
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
  std::vector<TextToken> tokens;
  if (!query.terms.empty()) {
    NESTOR_RETURN_IF_ERROR(analyzer_.analyze(passage, 0, tokens).status());
  }
  const std::vector<Match> matches = WordFinder(query).find(tokens);

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
