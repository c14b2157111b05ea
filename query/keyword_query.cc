#include "query/keyword_query.h"

#include <algorithm>
#include <set>

#include "core/macros.h"

namespace nestor::query {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// One piece of what was typed.
struct Piece {
  char sign = 0;  // '+', '-' or none
  bool quoted = false;
  std::string_view text;
};

std::size_t end_of_word(std::string_view text, std::size_t from) {
  return std::min(text.find_first_of(kSpace, from), text.size());
}

// The piece at `at`, which moves behind it.
Piece next_piece(std::string_view text, std::size_t& at) {
  Piece piece;
  std::size_t begin = at;
  const bool word_starts = at == 0 || kSpace.find(text[at - 1]) != std::string_view::npos;
  if (word_starts && (text[at] == '+' || text[at] == '-')) {
    const std::size_t next = at + 1;
    const bool phrase = next < text.size() && text[next] == '"' &&
                        text.find('"', next + 1) != std::string_view::npos;
    const bool word = end_of_word(text, next) - std::min(next, text.size()) >= 2 &&
                      !is_digit(text[next]) && text[next] != '-' && text[next] != '"';
    if (phrase || word) {
      piece.sign = text[at];
      begin = next;
    }
  }
  if (text[begin] == '"') {
    if (const std::size_t close = text.find('"', begin + 1); close != std::string_view::npos) {
      piece.quoted = true;
      piece.text = text.substr(begin + 1, close - begin - 1);
      at = close + 1;
      return piece;
    }
    at = begin + 1;
    return piece;
  }
  std::size_t end = end_of_word(text, begin);
  if (piece.sign == 0) {  // a quote inside a word begins a phrase
    end = begin + std::min(text.substr(begin, end - begin).find('"'), end - begin);
    while (end < text.size() && kSpace.find(text[end]) != std::string_view::npos) ++end;
  }
  piece.text = text.substr(begin, end - begin);
  at = end;
  return piece;
}

class Parser {
 public:
  explicit Parser(TextAnalyzer& analyzer) : analyzer_(analyzer) {}

  Result<KeywordQuery> run(std::string_view text) {
    std::string plain;  // words in a row are analyzed together: Thai words have no space between
    for (std::size_t at = 0; at < text.size();) {
      const Piece piece = next_piece(text, at);
      if (piece.sign == 0 && !piece.quoted) {
        plain.append(piece.text);
        continue;
      }
      NESTOR_RETURN_IF_ERROR(take_words(plain));
      plain.clear();
      NESTOR_RETURN_IF_ERROR(take_clause(piece));
    }
    NESTOR_RETURN_IF_ERROR(take_words(plain));
    return std::move(query_);
  }

 private:
  Status take_words(std::string_view text) {
    std::vector<TextToken> tokens;
    NESTOR_RETURN_IF_ERROR(analyzer_.analyze(text, 0, tokens).status());
    for (const TextToken& token : tokens) score(token.term);
    return {};
  }

  Status take_clause(const Piece& piece) {
    std::vector<TextToken> tokens;
    NESTOR_RETURN_IF_ERROR(analyzer_.analyze(piece.text, 0, tokens).status());
    std::vector<PhraseTerm> phrase;
    for (const TextToken& token : tokens) {
      if (piece.sign != '-') score(token.term);
      // Parts say it all: path.join as a phrase is also in os.path.join, whose whole is another.
      if (!token.whole) phrase.push_back({token.term, token.position});
    }
    if (phrase.empty()) return {};
    (piece.sign == '-' ? query_.forbidden : query_.required).push_back(std::move(phrase));
    return {};
  }

  void score(const std::string& term) {
    if (known_.contains(term)) return;
    if (query_.terms.size() == kMostQueryTerms) {
      ++query_.terms_left_out;
      return;
    }
    known_.insert(term);
    query_.terms.push_back(term);
  }

  TextAnalyzer& analyzer_;
  KeywordQuery query_;
  std::set<std::string> known_;
};

}  // namespace

Result<KeywordQuery> parse_keyword_query(std::string_view text, TextAnalyzer& analyzer) {
  return Parser(analyzer).run(text);
}

}  // namespace nestor::query
