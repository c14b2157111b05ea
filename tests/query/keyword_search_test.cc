// Keyword search against arithmetic done the plain way over all passages: BM25, phrases, words left
// out, filters, ties, and a cache that is never behind.
#include "query/keyword_search.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "query/passage_terms.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::query {
namespace {

namespace fixture = storage::testing;

std::unique_ptr<TextAnalyzer> must_make_analyzer() {
  auto made = TextAnalyzer::make(kAutoLanguage);
  REQUIRE_MESSAGE(made.ok(), made.status().to_string());
  return std::move(made).value();
}

// A store of documents with one passage each, and the words of every row beside it.
class Corpus {
 public:
  explicit Corpus(std::size_t cache_bytes = KeywordSearch::kCacheBytes)
      : analyzer_(must_make_analyzer()),
        store_(fixture::must_open(folder_ / "db")),
        search_(cache_bytes) {
    REQUIRE(store_->create_collection("default", 0, false).ok());
  }

  void add(const std::string& key, const std::string& text) { commit({{key, text}}, {}); }

  void commit(const std::map<std::string, std::string>& texts, std::vector<std::string> removals) {
    std::vector<storage::DocumentWrite> writes;
    for (const auto& [key, text] : texts) {
      storage::DocumentWrite write = fixture::make_write(key, text);
      write.document.title.clear();
      write.rows[0].passage.heading_path.clear();
      auto terms = make_document_terms(*analyzer_, write.document, write.rows);
      REQUIRE(terms.ok());
      write.terms = std::move(terms).value();
      writes.push_back(std::move(write));
    }
    for (const std::string& key : removals) rows_.erase(key);
    storage::Batch batch = fixture::make_batch(writes, std::move(removals));
    batch.analysis = analysis_name(kAutoLanguage);
    const storage::Commit committed = fixture::must_commit(*store_, batch);
    for (std::size_t i = 0; i < writes.size(); ++i)
      rows_[writes[i].document.key] = {committed.row_ids[i], writes[i].document.text};
  }

  [[nodiscard]] KeywordQuery parse(const std::string& text) {
    auto query = parse_keyword_query(text, *analyzer_);
    REQUIRE(query.ok());
    return std::move(query).value();
  }

  Result<KeywordRanking> try_search(const std::string& text, const KeywordOptions& options = {}) {
    return search_.search(*store_, *store_->view(), fixture::collection_of(*store_), parse(text),
                          options);
  }
  std::vector<KeywordHit> search(const std::string& text, const KeywordOptions& options = {}) {
    auto ranking = try_search(text, options);
    REQUIRE_MESSAGE(ranking.ok(), ranking.status().to_string());
    for (const KeywordHit& hit : ranking.value().hits) CHECK(hit.score < ranking.value().bound);
    return std::move(ranking).value().hits;
  }
  // Keys of the hits, in a line.
  std::string keys(const std::string& text) {
    std::string line;
    for (const KeywordHit& hit : search(text)) line += (line.empty() ? "" : " ") + key_of(hit);
    return line;
  }
  std::string key_of(const KeywordHit& hit) {
    for (const auto& [key, row] : rows_) {
      if (row.first == hit.row_id) return key;
    }
    FAIL("a hit that is no passage: ", hit.row_id);
    return {};
  }

  // All rows that match, by the formula and by reading every text.
  std::vector<KeywordHit> brute_force(const std::string& text) {
    const KeywordQuery query = parse(text);
    std::map<std::uint64_t, std::vector<TextToken>> tokens;
    std::map<std::uint64_t, double> lengths;
    double total = 0;
    for (const auto& [key, row] : rows_) {
      const auto end = analyzer_->analyze(row.second, 0, tokens[row.first]);
      REQUIRE(end.ok());
      total += lengths[row.first] = end.value();
    }
    const auto count = static_cast<double>(rows_.size());
    std::map<std::uint64_t, double> scores;
    for (const QueryTerm& term : query.terms) {
      std::map<std::uint64_t, double> frequencies;
      for (const auto& [row, of_row] : tokens) {
        const auto positions = positions_of(term.any, of_row);
        if (!positions.empty()) frequencies[row] = static_cast<double>(positions.size());
      }
      if (term.beside && frequencies.empty()) continue;
      const auto with = static_cast<double>(frequencies.size());
      const double idf = std::log(1 + (count - with + 0.5) / (with + 0.5));
      for (const auto& [row, f] : frequencies)
        scores[row] += idf * f * 2.2 / (f + 1.2 * (0.25 + 0.75 * lengths[row] * count / total));
    }
    std::vector<KeywordHit> hits;
    for (const auto& [row, score] : scores) {
      const auto stands_here = [&](const Phrase& phrase) {
        return phrase_in(phrase, tokens[row]) && positions_of(phrase.unless, tokens[row]).empty();
      };
      if (std::all_of(query.required.begin(), query.required.end(), stands_here) &&
          std::none_of(query.forbidden.begin(), query.forbidden.end(), stands_here))
        hits.push_back({row, score});
    }
    return hits;
  }

  storage::DocumentStore& store() { return *store_; }
  KeywordSearch& searcher() { return search_; }

 private:
  // Where the tokens of one position match.
  static std::set<std::uint32_t> positions_of(const TermChoice& choice,
                                              const std::vector<TextToken>& tokens) {
    std::set<std::uint32_t> positions;
    for (const TextToken& at : tokens) {
      const auto stands = [&](const TermLookup& lookup) {
        return std::any_of(tokens.begin(), tokens.end(), [&](const TextToken& token) {
          return token.position == at.position && lookup.matches(token.term);
        });
      };
      if (std::any_of(choice.begin(), choice.end(), [&](const TermsTogether& together) {
            return std::all_of(together.begin(), together.end(), stands);
          }))
        positions.insert(at.position);
    }
    return positions;
  }

  static bool phrase_in(const Phrase& phrase, const std::vector<TextToken>& tokens) {
    const auto starts = positions_of(phrase.words[0].word, tokens);
    return std::any_of(starts.begin(), starts.end(), [&](std::uint32_t start) {
      return std::all_of(phrase.words.begin(), phrase.words.end(), [&](const PhraseWord& word) {
        return positions_of(word.word, tokens)
            .contains(start - phrase.words[0].offset + word.offset);
      });
    });
  }

  fixture::TempFolder folder_;
  std::unique_ptr<TextAnalyzer> analyzer_;
  std::unique_ptr<storage::DocumentStore> store_;
  KeywordSearch search_;
  std::map<std::string, std::pair<std::uint64_t, std::string>> rows_;
};

std::string random_words(std::mt19937_64& random, std::size_t most) {
  static const char* const kWords[] = {
      "red",        "green",   "blue", "fooBar", "os.path",
      "path",       "the",     "the",  "the",    "\u0e20\u0e32\u0e29\u0e32",
      "na\u00efve", "running", "runs", "run",    "\uc11c\uc6b8\uc740",
      "paths",      "foo-bar"};
  std::string text;
  for (std::size_t left = random() % (most + 1); left > 0; --left) {
    text += kWords[random() % std::size(kWords)];
    text += ' ';
  }
  return text;
}

void check_equal(std::vector<KeywordHit> found, std::vector<KeywordHit> expected, std::size_t k) {
  std::sort(expected.begin(), expected.end(), [](const KeywordHit& a, const KeywordHit& b) {
    return a.score != b.score ? a.score > b.score : a.row_id < b.row_id;
  });
  if (expected.size() > k) expected.resize(k);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    // Sums in another order differ in their last bits, and rows with them in theirs.
    CHECK(found[i].score == doctest::Approx(expected[i].score).epsilon(1e-12));
    if (i > 0) CHECK(found[i - 1].score >= found[i].score);
  }
}

}  // namespace

TEST_CASE("scores, order and matches are those of the formula over all passages") {
  const std::uint64_t seed = fixture::test_seed("keyword search");
  std::mt19937_64 random(seed);
  Corpus corpus;
  for (int round = 0; round < 40; ++round) {
    std::map<std::string, std::string> texts;
    std::vector<std::string> removals;
    for (std::uint64_t left = random() % 6; left > 0; --left)
      texts["key" + std::to_string(random() % 30)] = random_words(random, 30);
    const std::string removed = "key" + std::to_string(random() % 30);
    if (!texts.contains(removed)) removals.push_back(removed);
    corpus.commit(texts, removals);
    for (int i = 0; i < 4; ++i) {
      std::string query = random_words(random, 5);
      if (i == 1) query += "\"the path\"";
      if (i == 2) query += "-green";
      if (i == 3) query += "+red -\"the the\"";
      if (i == 0) query += "\"running\" \uc11c\uc6b8";
      CAPTURE(query);
      const std::vector<KeywordHit> expected = corpus.brute_force(query);
      check_equal(corpus.search(query, {.k = 7}), expected, 7);
      std::set<std::uint64_t> matching;
      for (const KeywordHit& hit : expected) matching.insert(hit.row_id);
      const auto all = corpus.search(query, {.k = 1'000});
      for (const KeywordHit& hit : all) CHECK(matching.contains(hit.row_id));
      check_equal(all, expected, 1'000);
    }
  }
}

TEST_CASE("of equal scores the lower row id comes first, also where k cuts between them") {
  Corpus corpus;
  for (int i = 0; i < 20; ++i) corpus.add("key" + std::to_string(i), "same words here");
  const auto hits = corpus.search("words", {.k = 5});
  REQUIRE(hits.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(hits[i].row_id == i + 1);
}

TEST_CASE("phrases stand together and in order, also across the parts of a name") {
  Corpus corpus;
  corpus.add("a", "the quick brown fox");
  corpus.add("b", "brown quick the fox");
  corpus.add("c", "use os.path.join to join");
  CHECK(corpus.keys("\"quick brown\"") == "a");
  CHECK(corpus.keys("\"Quick BROWN\" fox") == "a");
  CHECK(corpus.keys("\"path join\"") == "c");
  CHECK(corpus.keys("\"path.join\"") == "c");
  CHECK(corpus.keys("\"join path\"").empty());
  CHECK(corpus.keys("fox -\"quick brown\"") == "b");
  CHECK(corpus.keys("fox -quick").empty());
  CHECK(corpus.keys("+os.path fox") == "c");
}

TEST_CASE("quotes and exclusions mean the word as written, case and accents folded") {
  Corpus corpus;
  corpus.add("a", "University entrance");
  corpus.add("b", "a universal remote");
  corpus.add("c", "the universe, universally");
  corpus.add("d", "UNIVERSIT\u00c9 de Paris");
  CHECK(corpus.keys("university") == "c a b");
  CHECK(corpus.keys("\"university\"") == "a");
  CHECK(corpus.keys("\"Universit\u00e9\"") == "d");
  CHECK(corpus.keys("\"univers\"").empty());
  CHECK(corpus.keys("university -universal") == "c a");
  CHECK(corpus.keys("university -universities") == "c a b");
  CHECK(corpus.keys("university -\"universal remote\"") == "c a");
  CHECK(corpus.keys("university +universally") == "c");
  corpus.add("e", "the universal university");
  CHECK(corpus.keys("\"universal university\"") == "e");
  CHECK(corpus.keys("\"universities universal\"").empty());
}

TEST_CASE("names as they are joined are no words in quotes, their parts and signs are") {
  Corpus corpus;
  corpus.add("a", "send an e-mail");
  corpus.add("b", "send an email");
  corpus.add("c", "C++ templates");
  corpus.add("d", "Notepad++ opens");
  corpus.add("e", "notepad opens");
  CHECK(corpus.keys("email") == "b a");
  CHECK(corpus.keys("\"email\"") == "b");
  CHECK(corpus.keys("\"e-mail\"") == "a");
  CHECK(corpus.keys("send -email") == "a");
  CHECK(corpus.keys("\"C++ templates\"") == "c");
  CHECK(corpus.keys("\"Notepad++\"") == "d");
  CHECK(corpus.keys("\"notepad opens\"") == "d e");
}

TEST_CASE("an excluded word in quotes or not: passages with the option are kept or go") {
  Corpus corpus;
  corpus.add("a", "find . -name x looks for a name");
  corpus.add("b", "the name of the file to find");
  CHECK(corpus.keys("find -name") == "a");
  CHECK(corpus.keys("find -\"name\"").empty());
  CHECK(corpus.keys("find \"-name\"") == "a b");
}

TEST_CASE("Korean words in quotes are found within longer ones, with all of their syllables") {
  Corpus corpus;
  corpus.add("a", "\uc11c\uc6b8\uc740 \ud06c\ub2e4");  // "Seoul (topic) is large"
  corpus.add("b", "\uaca8\uc6b8\uc740 \ucda5\ub2e4");  // "winter is cold"
  corpus.add("c", "\ud55c\uad6d\uc5b4\uad50\uc2e4");   // "Korean class"
  CHECK(corpus.keys("\"\uc11c\uc6b8\"") == "a");
  CHECK(corpus.keys("\"\uc6b8\uc740\" -\uc11c\uc6b8") == "b");
  CHECK(corpus.keys("\uad6d\uc5b4\uad50") == "c");
  CHECK(corpus.keys("\uad6d\uad50\uc2e4").empty());
}

TEST_CASE("signs and quotes that mean nothing are passed over") {
  Corpus corpus;
  corpus.add("a", "minus -1 and -f and a dash - here");
  CHECK(corpus.keys("dash - here") == "a");
  CHECK(corpus.keys("dash -f") == "a");
  CHECK(corpus.keys("and -1") == "a");
  CHECK(corpus.keys("\"dash") == "a");
  CHECK(corpus.keys("\"\" dash") == "a");
  for (const char* nothing : {"", "\"", "-", "+", "\"\"", "- \" +", "-dash"}) {
    CAPTURE(nothing);
    CHECK(corpus.keys(nothing).empty());
  }
}

TEST_CASE("a filter is obeyed and never costs a hit that passes it") {
  Corpus corpus;
  for (int i = 0; i < 50; ++i) corpus.add("key" + std::to_string(i), "words words");
  KeywordOptions options{.k = 10, .filter = [](std::uint64_t row) { return row > 45; }};
  const auto hits = corpus.search("words", options);
  REQUIRE(hits.size() == 5);
  CHECK(hits[0].row_id == 46);
}

TEST_CASE("scores of given rows are those of the search, to the last bit") {
  std::mt19937_64 random(3);
  Corpus corpus;
  for (int i = 0; i < 60; ++i) corpus.add("key" + std::to_string(i), random_words(random, 40));
  const std::string text = "red path running the";
  const auto hits = corpus.search(text, {.k = 1'000});
  std::vector<std::uint64_t> rows;
  for (const KeywordHit& hit : hits) rows.push_back(hit.row_id);
  rows.push_back(999'999);
  const auto scores =
      corpus.searcher().scores(corpus.store(), *corpus.store().view(),
                               fixture::collection_of(corpus.store()), corpus.parse(text), rows);
  REQUIRE(scores.ok());
  for (std::size_t i = 0; i < hits.size(); ++i) CHECK(scores.value()[i] == hits[i].score);
  CHECK(scores.value().back() == 0);
}

TEST_CASE("an older view stays as it was, a small cache changes nothing") {
  Corpus corpus(2'000);
  corpus.add("a", "first words");
  const auto view = corpus.store().view();
  const storage::Collection before = fixture::collection_of(corpus.store());
  CHECK(corpus.keys("words") == "a");
  corpus.commit({{"b", "more words"}}, {"a"});
  CHECK(corpus.keys("words") == "b");
  const auto old =
      corpus.searcher().search(corpus.store(), *view, before, corpus.parse("words"), {});
  REQUIRE(old.ok());
  REQUIRE(old.value().hits.size() == 1);
  CHECK(old.value().hits[0].row_id == 1);
  CHECK(corpus.keys("words") == "b");
  std::mt19937_64 random(5);
  for (int i = 0; i < 40; ++i) corpus.add("key" + std::to_string(i), random_words(random, 40));
  check_equal(corpus.search("red the path", {.k = 100}), corpus.brute_force("red the path"), 100);
  CHECK(corpus.searcher().cached_bytes() <= 2'000);
}

TEST_CASE("a stop ends the search, and postings that are not complete say what to do") {
  Corpus corpus;
  corpus.add("a", "words");
  std::stop_source stop;
  stop.request_stop();
  CHECK(corpus.try_search("words", {.stop = stop.get_token()}).status().code() ==
        StatusCode::kCancelled);

  storage::StoreOptions options;
  options.read_only = true;
  const auto old = fixture::must_open(nestor::testing::tests_path("compat/v1"), options);
  const auto analyzer = must_make_analyzer();
  const auto query = parse_keyword_query("first", *analyzer);
  KeywordSearch search;
  const auto refused =
      search.search(*old, *old->view(), fixture::collection_of(*old), query.value(), {});
  CHECK(refused.status().code() == StatusCode::kFailedPrecondition);
  CHECK(fixture::contains(refused.status().message(), "open"));
}

TEST_CASE("a query of very many words is cut and says so, in time that grows with it") {
  const auto analyzer = must_make_analyzer();
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "word" + std::to_string(i) + " ";
  const auto query = parse_keyword_query(text, *analyzer);
  REQUIRE(query.ok());
  CHECK(query.value().terms.size() == kMostQueryTerms);
  CHECK(query.value().terms_left_out == 200'000 - kMostQueryTerms);
}

TEST_CASE("a database of format 1 is searchable by words once they are built") {
  const fixture::TempFolder folder;
  std::filesystem::copy(nestor::testing::tests_path("compat/v1"), folder / "db",
                        std::filesystem::copy_options::recursive);
  const auto store = fixture::must_open(folder / "db");
  REQUIRE(build_postings(*store, fixture::collection_of(*store), {}, {}).ok());
  const auto analyzer = must_make_analyzer();
  const auto query = parse_keyword_query("third", *analyzer);
  KeywordSearch search;
  const auto hits =
      search.search(*store, *store->view(), fixture::collection_of(*store), query.value(), {});
  REQUIRE(hits.ok());
  CHECK(hits.value().hits.size() == 3);
  fixture::check_verifies(*store);
}

}  // namespace nestor::query
