#include "query/keyword_query.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "core/macros.h"
#include "query/passage_terms.h"

namespace nestor::query {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::size_t kLeastLetters = 3;  // of an excluded or required word of Latin letters

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_ascii(char c) { return static_cast<signed char>(c) >= 0; }

// One piece of what was typed.
struct Piece {
  char sign = 0;  // '+', '-' or none
  bool quoted = false;
  std::string_view text;
};

std::size_t end_of_word(std::string_view text, std::size_t from) {
  return std::min(text.find_first_of(kSpace, from), text.size());
}

// Without the punctuation that a sentence leaves behind a word.
std::string_view without_stop(std::string_view word) {
  return word.substr(0, word.find_last_not_of(".,;!?") + 1);
}

// Whether a sign before the word excludes or requires it: "-folder" and "-猫" do; "-f", "-rf",
// "-xzf", "-O2", "--amend", "-std=c++20" and "-1" are options and numbers, which are text.
bool takes_sign(std::string_view word) {
  constexpr std::string_view kInner = "._'-";
  constexpr std::string_view kVowels = "aeiouyAEIOUY";
  word = without_stop(word);
  if (word.empty() || (is_ascii(word[0]) && !is_ascii_letter(word[0]))) return false;
  std::size_t letters = 0;
  bool vowel = false;
  for (const char c : word) {
    if (!is_ascii(c)) return true;  // no option is written so
    letters += is_ascii_letter(c) ? 1 : 0;
    vowel |= kVowels.find(c) != std::string_view::npos;
    const bool known = is_ascii_letter(c) || is_digit(c) || kInner.find(c) != kInner.npos;
    if (!known) return false;
  }
  return letters >= kLeastLetters && vowel;
}

// Quotation marks within a Hebrew abbreviation, such as the one of "the army", are letters to it.
bool is_gershayim(std::string_view text, std::size_t at) {
  const auto is_hebrew = [&](std::size_t lead) {
    return lead + 1 < text.size() && text[lead] == '\xD7';
  };
  return at >= 2 && is_hebrew(at - 2) && is_hebrew(at + 1);
}

// Which quotation marks close one another: typewriter ones, curly ones ("German" ones too) and
// guillemets, each in any direction.
enum class QuoteKind : int { kStraight, kCurly, kAngle };

struct QuoteMark {
  std::string_view text;
  QuoteKind kind;
};

constexpr std::array kQuoteMarks = {
    QuoteMark{"\"", QuoteKind::kStraight},  QuoteMark{"\uFF02", QuoteKind::kStraight},
    QuoteMark{"\u201C", QuoteKind::kCurly}, QuoteMark{"\u201D", QuoteKind::kCurly},
    QuoteMark{"\u201E", QuoteKind::kCurly}, QuoteMark{"\u201F", QuoteKind::kCurly},
    QuoteMark{"\u00AB", QuoteKind::kAngle}, QuoteMark{"\u00BB", QuoteKind::kAngle},
};

// The quotation mark that begins at `at`, if one does.
const QuoteMark* quote_at(std::string_view text, std::size_t at) {
  const std::string_view rest = text.substr(at);
  for (const QuoteMark& mark : kQuoteMarks) {
    if (rest.starts_with(mark.text) && !(mark.text == "\"" && is_gershayim(text, at))) return &mark;
  }
  return nullptr;
}

// Where the next quotation mark begins; the end of the text where there is none.
std::size_t find_quote(std::string_view text, std::size_t from) {
  while (from < text.size() && quote_at(text, from) == nullptr) ++from;
  return from;
}

// A phrase: what stands between the quotation mark at `open` and the next one of its kind.
struct Quoted {
  std::string_view text;
  std::size_t end = 0;  // behind the closing mark
};

std::optional<Quoted> quoted_at(std::string_view text, std::size_t open) {
  const QuoteMark* const mark = open < text.size() ? quote_at(text, open) : nullptr;
  if (mark == nullptr) return {};
  const std::size_t begin = open + mark->text.size();
  for (std::size_t at = begin; at < text.size(); ++at) {
    const QuoteMark* const close = quote_at(text, at);
    if (close != nullptr && close->kind == mark->kind)
      return Quoted{.text = text.substr(begin, at - begin), .end = at + close->text.size()};
  }
  return {};
}

// The piece at `at`, which moves behind it.
Piece next_piece(std::string_view text, std::size_t& at) {
  Piece piece;
  std::size_t begin = at;
  const bool word_starts = at == 0 || kSpace.find(text[at - 1]) != std::string_view::npos;
  if (word_starts && (text[at] == '+' || text[at] == '-')) {
    const std::size_t next = at + 1;
    const bool quote = next < text.size() && quote_at(text, next) != nullptr;
    if (quote ? quoted_at(text, next).has_value()
              : takes_sign(text.substr(next, end_of_word(text, next) - next))) {
      piece.sign = text[at];
      begin = next;
    }
  }
  if (const auto quoted = quoted_at(text, begin); quoted.has_value()) {
    piece.quoted = true;
    piece.text = quoted->text;
    at = quoted->end;
    return piece;
  }
  if (const QuoteMark* const alone = quote_at(text, begin); alone != nullptr) {
    at = begin + alone->text.size();
    return piece;
  }
  std::size_t end = end_of_word(text, begin);
  if (piece.sign == 0) {  // a quote inside a word begins a phrase
    end = find_quote(text.substr(0, end), begin);
    while (end < text.size() && kSpace.find(text[end]) != std::string_view::npos) ++end;
  }
  piece.text = text.substr(begin, end - begin);
  at = end;
  return piece;
}

void append_signature(const TermChoice& choice, std::string& signature) {
  for (const TermsTogether& together : choice) {
    for (const TermLookup& lookup : together)
      signature.append(lookup.term).append(lookup.forms ? "\n*" : "\n");
    signature += '|';
  }
}

class Parser {
 public:
  explicit Parser(TextAnalyzer& analyzer) : analyzer_(analyzer) {
    query_.analysis = analysis_name(analyzer.language());
  }

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
    NESTOR_ASSIGN_OR_RETURN(std::vector<QueryWord> words, analyzer_.analyze_query(text));
    for (QueryWord& word : words) {
      score({.any = std::move(word.any),
             .otherwise = std::move(word.otherwise),
             .inside = std::move(word.inside),
             .beside = word.written.empty()});
    }
    return {};
  }

  // A word that is required by its sign alone scores by its stem, what is quoted as written.
  Status take_clause(const Piece& piece) {
    NESTOR_ASSIGN_OR_RETURN(std::vector<QueryWord> words, analyzer_.analyze_query(piece.text));
    Phrase phrase{.text = std::string(piece.quoted ? piece.text : without_stop(piece.text)),
                  .words = {}};
    for (QueryWord& word : words) {
      if (piece.sign != '-' && !(piece.quoted && word.written.empty()))
        score({.any = piece.quoted ? word.written : word.any, .beside = word.written.empty()});
      if (!word.written.empty())
        phrase.words.push_back({.word = std::move(word.written), .offset = word.position});
    }
    if (phrase.words.empty()) return {};
    if (piece.sign != '-') {
      query_.required.push_back(std::move(phrase));
      return {};
    }
    if (!piece.quoted) {
      NESTOR_ASSIGN_OR_RETURN(phrase.unless, option_of(piece.text));
    }
    query_.forbidden.push_back(std::move(phrase));
    return {};
  }

  // What a passage has that speaks of the option "-word".
  Result<TermChoice> option_of(std::string_view word) {
    NESTOR_ASSIGN_OR_RETURN(std::vector<QueryWord> words,
                            analyzer_.analyze_query("-" + std::string(word)));
    const bool option =
        !words.empty() && words[0].written.empty() && words[0].any[0][0].term.starts_with('-');
    return option ? std::move(words[0].any) : TermChoice();
  }

  void score(QueryTerm term) {
    std::string signature;
    append_signature(term.any, signature);
    if (known_.contains(signature)) return;
    if (query_.terms.size() == kMostQueryTerms) {
      ++query_.terms_left_out;
      return;
    }
    known_.insert(std::move(signature));
    query_.terms.push_back(std::move(term));
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
