// Postings: always those of the documents that are there, verified both ways, and built later for a
// database of format 1.
#include "storage/term_index.h"

#include <doctest/doctest.h>
#include <rocksdb/db.h>

#include <map>
#include <random>
#include <set>
#include <tuple>

#include "storage/key_schema.h"
#include "storage/manifest.h"
#include "storage/term_codec.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::make_batch;
using testing::make_write;
using testing::must_commit;
using testing::must_open;
using testing::TempFolder;

namespace {

// row id, words of the row, positions
using PostingTuple = std::tuple<std::uint64_t, std::uint32_t, std::vector<std::uint32_t>>;
using Postings = std::map<std::string, std::vector<PostingTuple>>;

const std::vector<std::string> kWords = {"a", "ab", "abc", "b", std::string(128, 'z'), "\xff\xfe"};

// What TermMaker would say of row `index` of a text: its bytes are numbers of words.
RowTerms terms_of_row(const std::string& text, std::size_t index) {
  std::map<std::string, std::vector<std::uint32_t>> positions;
  std::uint32_t position = 0;
  for (const char c : text) {
    const std::size_t word = (static_cast<std::size_t>(c) + index) % (kWords.size() + 1);
    if (word < kWords.size()) positions[kWords[word]].push_back(position * 300);
    ++position;
  }
  RowTerms terms{.length = position, .terms = {}};
  for (auto& [term, at] : positions) terms.terms.push_back({term, at});
  return terms;
}

DocumentWrite write_with_terms(const std::string& key, const std::string& text, int rows) {
  DocumentWrite write = make_write(key, text, rows);
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i)
    write.terms.push_back(terms_of_row(text, i));
  return write;
}

Batch batch_of(std::vector<DocumentWrite> writes, std::vector<std::string> removals = {}) {
  Batch batch = make_batch(std::move(writes), std::move(removals));
  batch.analysis = "numbers";
  return batch;
}

Postings postings_of(const DocumentStore& store, std::uint64_t from = 0) {
  Postings found;
  const auto view = store.view();
  const Collection collection = testing::collection_of(store);
  for (const std::string& word : kWords) {
    const Status status = store.scan_postings(
        *view, collection, word, TermForms::kOne, from, [&](const Posting& posting) {
          found[word].emplace_back(posting.row_id, posting.length, posting.positions);
        });
    REQUIRE_MESSAGE(status.ok(), status.to_string());
  }
  return found;
}

// By reading every document and every row.
Postings brute_force(const DocumentStore& store) {
  Postings expected;
  const auto view = store.view();
  const Collection collection = testing::collection_of(store);
  const auto texts = testing::texts_of(store);
  const Status status = store.scan_rows(*view, collection, 0, [&](const Row& row) {
    const RowTerms terms =
        terms_of_row(texts.at(row.document_key), static_cast<std::size_t>(row.passage.index));
    for (const RowTerm& term : terms.terms)
      expected[term.term].emplace_back(row.id, terms.length, term.positions);
    return true;
  });
  REQUIRE(status.ok());
  return expected;
}

TermTotals totals_of(const DocumentStore& store) {
  const auto totals = store.term_totals(*store.view(), testing::collection_of(store));
  REQUIRE_MESSAGE(totals.ok(), totals.status().to_string());
  return totals.value();
}

Result<std::vector<RowTerms>> make_terms(const StoredDocument& document,
                                         std::span<const Row> rows) {
  std::vector<RowTerms> terms;
  for (const Row& row : rows)
    terms.push_back(
        terms_of_row(document.document.text, static_cast<std::size_t>(row.passage.index)));
  return terms;
}

std::string random_text(std::mt19937_64& random) {
  std::string text(random() % 30, 'a');
  for (char& c : text) c = static_cast<char>('a' + random() % 7);
  return text;
}

// RocksDB of a closed store, to damage it.
std::unique_ptr<rocksdb::DB> raw_database(const std::string& path) {
  rocksdb::DB* db = nullptr;
  REQUIRE(rocksdb::DB::Open({}, path + "/rocksdb", &db).ok());
  return std::unique_ptr<rocksdb::DB>(db);
}

std::vector<std::string> problems_of(const std::string& path) {
  StoreOptions options;
  options.read_only = true;
  auto report = must_open(path, options)->verify({});
  REQUIRE(report.ok());
  return report.value().problems;
}

}  // namespace

TEST_CASE("postings equal brute force after any adds, replacements and removals") {
  const std::uint64_t seed = testing::test_seed("postings");
  std::mt19937_64 random(seed);
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  for (int round = 0; round < 60; ++round) {
    std::vector<DocumentWrite> writes;
    std::vector<std::string> removals;
    std::set<std::string> used;
    for (std::uint64_t left = random() % 5; left > 0; --left) {
      const std::string key = "key" + std::to_string(random() % 9);
      if (!used.insert(key).second) continue;
      if (random() % 3 == 0) {
        removals.push_back(key);
      } else {
        writes.push_back(
            write_with_terms(key, random_text(random), static_cast<int>(1 + random() % 3)));
      }
    }
    must_commit(*store, batch_of(writes, removals));
    if (round % 16 == 0) store = (store.reset(), must_open(folder / "db"));
    CHECK(postings_of(*store) == brute_force(*store));
  }
  const Collection collection = testing::collection_of(*store);
  CHECK(totals_of(*store).rows == collection.passages);
  CHECK(totals_of(*store).complete);
  testing::check_verifies(*store);
}

TEST_CASE("a scan from a row id gives the documents written since") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  must_commit(*store, batch_of({write_with_terms("one", "abcdefg", 2)}));
  const std::uint64_t next = testing::collection_of(*store).next_row_id;
  must_commit(*store, batch_of({write_with_terms("two", "abcdefg", 2)}));
  const Postings later = postings_of(*store, next);
  CHECK(later.size() == kWords.size());
  for (const auto& [word, postings] : later) {
    for (const PostingTuple& posting : postings) CHECK(std::get<0>(posting) >= next);
  }
}

TEST_CASE("terms that cannot be stored are refused by name and nothing is written") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  const std::vector<RowTerm> wrong[] = {{{"b", {0}}, {"a", {1}}},
                                        {{"a", {0}}, {"a", {1}}},
                                        {{std::string("a\0b", 3), {0}}},
                                        {{std::string(129, 'a'), {0}}},
                                        {{"", {0}}},
                                        {{"a", {}}},
                                        {{"a", {2, 1}}}};
  for (const auto& terms : wrong) {
    DocumentWrite write = make_write("bad", "text");
    write.terms.push_back({.length = 2, .terms = terms});
    const auto committed = store->commit(batch_of({write}));
    CHECK(committed.status().code() == StatusCode::kInvalidArgument);
    CHECK(testing::contains(committed.status().message(), "bad"));
  }
  DocumentWrite write = make_write("bad", "text", 2);
  write.terms.resize(1);
  CHECK(store->commit(batch_of({write})).status().code() == StatusCode::kInvalidArgument);
  CHECK(testing::texts_of(*store).empty());
}

TEST_CASE("postings of two analyses do not mix, and are built again for another") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  must_commit(*store, batch_of({write_with_terms("one", "abc", 2)}));
  Batch other = batch_of({write_with_terms("two", "abc", 1)});
  other.analysis = "letters";
  const auto refused = store->commit(other);
  CHECK(refused.status().code() == StatusCode::kFailedPrecondition);
  CHECK(testing::contains(refused.status().message(), "numbers"));
  CHECK(testing::contains(refused.status().message(), "letters"));
  const TermMaker none = [](const StoredDocument&, std::span<const Row> rows) {
    return Result<std::vector<RowTerms>>(std::vector<RowTerms>(rows.size()));
  };
  REQUIRE(store->build_postings("default", "letters", none, {}).ok());
  CHECK(postings_of(*store).empty());
  CHECK(totals_of(*store).analysis == "letters");
  REQUIRE(store->commit(other).ok());
  testing::check_verifies(*store);
  REQUIRE(store->build_postings("default", "numbers", make_terms, {}).ok());
  CHECK(postings_of(*store) == brute_force(*store));
  testing::check_verifies(*store);
}

TEST_CASE("a database of format 1 gets its postings in batches, also after a stop in between") {
  const TempFolder folder;
  const std::string path = folder / "db";
  std::filesystem::copy(nestor::testing::tests_path("compat/v1"), path,
                        std::filesystem::copy_options::recursive);
  {
    auto store = must_open(path);
    CHECK(read_manifest(path).value()->format_version == kFormatVersion);
    CHECK(!totals_of(*store).complete);
    // A writer does not wait for the building: what it adds has postings, what it removes had none.
    must_commit(*store, batch_of({write_with_terms("new", "abcd", 2)}, {"c/\xc3\xa4"}));
    CHECK(!totals_of(*store).complete);
    testing::check_verifies(*store);
    std::stop_source stop;
    stop.request_stop();
    CHECK(store->build_postings("default", "numbers", make_terms, stop.get_token()).code() ==
          StatusCode::kCancelled);
    const TermMaker failing = [](const StoredDocument& document, std::span<const Row>) {
      return Result<std::vector<RowTerms>>(
          Status(StatusCode::kInternal, "no terms for " + document.document.key));
    };
    CHECK(!store->build_postings("default", "numbers", failing, {}).ok());
  }
  auto store = must_open(path);
  REQUIRE(store->build_postings("default", "numbers", make_terms, {}).ok());
  CHECK(totals_of(*store).complete);
  CHECK(postings_of(*store) == brute_force(*store));
  testing::check_verifies(*store);
  const std::uint64_t sequence = store->sequence(*store->view());
  REQUIRE(store->build_postings("default", "numbers", make_terms, {}).ok());
  CHECK(store->sequence(*store->view()) == sequence);
}

TEST_CASE("the forms of a term are read with it, also from a later row on, and listed") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  const auto with_terms = [](const std::string& key, const std::vector<std::string>& terms) {
    DocumentWrite write = make_write(key, "text", 1);
    RowTerms row{.length = 3, .terms = {}};
    for (const std::string& term : terms) row.terms.push_back({term, {1, 2}});
    write.terms.push_back(row);
    return write;
  };
  for (int i = 0; i < 30; ++i) {
    std::vector<std::string> terms = {"run", "run\1 s", "runs"};
    if (i % 10 == 0) terms.insert(terms.begin() + 1, "run\1\1");
    must_commit(*store, batch_of({with_terms("key" + std::to_string(i), terms)}));
  }
  const auto view = store->view();
  const Collection collection = testing::collection_of(*store);
  const auto rows_of = [&](TermForms forms, std::uint64_t from) {
    std::vector<std::uint64_t> rows;
    const Status status =
        store->scan_postings(*view, collection, "run", forms, from,
                             [&](const Posting& posting) { rows.push_back(posting.row_id); });
    REQUIRE_MESSAGE(status.ok(), status.to_string());
    return rows;
  };
  using Rows = std::vector<std::uint64_t>;
  CHECK(rows_of(TermForms::kOne, 0).size() == 30);
  CHECK(rows_of(TermForms::kOne, 29) == Rows{29, 30});
  CHECK(rows_of(TermForms::kAll, 0).size() == 63);
  CHECK(rows_of(TermForms::kAll, 30) == Rows{30, 30});
  CHECK(rows_of(TermForms::kAll, 21) ==
        Rows{21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 21, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30});
  std::vector<std::string> terms;
  REQUIRE(store
              ->scan_terms(*view, collection, "ru",
                           [&](std::string_view term) { terms.emplace_back(term); })
              .ok());
  CHECK(terms == std::vector<std::string>{"run", "run\1\1", "run\1 s", "runs"});
}

TEST_CASE("building that breaks off keeps its finished batches and goes on from there") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  std::vector<DocumentWrite> writes;
  for (int i = 0; i < 2'500; ++i) writes.push_back(make_write("key" + std::to_string(i), "abc"));
  must_commit(*store, make_batch(writes));
  int made = 0;
  const TermMaker breaking = [&](const StoredDocument& document, std::span<const Row> rows) {
    if (++made > 1'500) return Result<std::vector<RowTerms>>(Status(StatusCode::kInternal, "no"));
    return make_terms(document, rows);
  };
  CHECK(!store->build_postings("default", "numbers", breaking, {}).ok());
  store = (store.reset(), must_open(folder / "db"));
  CHECK(!totals_of(*store).complete);
  CHECK(totals_of(*store).rows == 1'000);
  testing::check_verifies(*store);
  made = 0;
  const TermMaker counting = [&](const StoredDocument& document, std::span<const Row> rows) {
    ++made;
    return make_terms(document, rows);
  };
  REQUIRE(store->build_postings("default", "numbers", counting, {}).ok());
  CHECK(made == 1'500);
  CHECK(totals_of(*store).complete);
  CHECK(postings_of(*store) == brute_force(*store));
  testing::check_verifies(*store);
}

TEST_CASE("verify finds a posting that is gone, one too many, and a list that is gone") {
  const TempFolder folder;
  const std::string path = folder / "db";
  {
    auto store = must_open(path);
    REQUIRE(store->create_collection("default", 0, false).ok());
    must_commit(*store, batch_of({write_with_terms("one", "abc", 1)}));
  }
  CHECK(problems_of(path).empty());
  const std::string gone = posting_key(1, "ab", 1);
  std::string value;
  {
    auto db = raw_database(path);
    REQUIRE(db->Get({}, gone, &value).ok());
    REQUIRE(db->Delete({}, gone).ok());
  }
  REQUIRE(problems_of(path).size() == 1);
  CHECK(testing::contains(problems_of(path)[0], "document 'one'"));
  {
    auto db = raw_database(path);
    REQUIRE(db->Put({}, gone, value).ok());
    const std::string foreign = posting_key(1, "ab", 77);
    const Posting posting{.row_id = 77, .length = 1, .positions = {0}};
    REQUIRE(db->Put({}, foreign, encode_postings(foreign, 77, {&posting, 1})).ok());
  }
  REQUIRE(problems_of(path).size() == 1);
  CHECK(testing::contains(problems_of(path)[0], "row 77"));
  {
    auto db = raw_database(path);
    REQUIRE(db->Delete({}, posting_key(1, "ab", 77)).ok());
    REQUIRE(db->Delete({}, document_terms_key(1, 1)).ok());
  }
  CHECK(problems_of(path).size() >= 2);  // the list, and the totals
  // A document whose list is gone can be removed, its postings are looked for.
  const auto removed = must_open(path)->commit(batch_of({}, {"one"}));
  CHECK_MESSAGE(removed.ok(), removed.status().to_string());
  CHECK(problems_of(path).empty());
}

TEST_CASE("records of postings have the bytes of FORMAT.md and nothing else decodes") {
  CHECK(hex_of(posting_key(3, "ab", 5)) == "70000000036162000000000000000005");
  CHECK(hex_of(document_terms_key(3, 5)) == "74000000030000000000000005");
  CHECK(hex_of(term_totals_key(3)) == "6b00000003");
  const std::string key = posting_key(3, "ab", 5);
  const std::vector<Posting> postings = {{.row_id = 5, .length = 7, .positions = {1, 3}},
                                         {.row_id = 6, .length = 300, .positions = {0}}};
  const std::string value = encode_postings(key, 5, postings);
  CHECK(hex_of(value) == "0102000702010201ac020100f6ac3c7c27603fa3");
  std::vector<Posting> read;
  REQUIRE(decode_postings(key, value, 5, read).ok());
  REQUIRE(read.size() == 2);
  CHECK(read[1].row_id == 6);
  CHECK(read[0].positions == postings[0].positions);
  const std::string list_key = document_terms_key(3, 5);
  const DocumentTerms list{.lengths = {7, 300}, .digest = {1, 2}, .terms = {"ab", "abc", "b"}};
  const std::string list_value = encode_document_terms(list_key, list);
  const auto list_read = decode_document_terms(list_key, list_value);
  REQUIRE(list_read.ok());
  CHECK(list_read.value().terms == list.terms);
  const std::string totals_key = term_totals_key(3);
  const TermTotals totals{.complete = true, .analysis = "1:auto", .rows = 2, .length = 307};
  const std::string totals_value = encode_term_totals(totals_key, totals);
  CHECK(decode_term_totals(totals_key, totals_value).value() == totals);
  CHECK(hex_of(list_value) ==
        "010207ac02010000000000000002000000000000000300026162020163000162768d496813c4592b");
  CHECK(hex_of(totals_value) == "010106313a6175746f02b302574955fc45b76f68");
  for (std::size_t i = 0; i < value.size() * 8; ++i) {
    std::string damaged = value;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ (1 << i % 8));
    std::vector<Posting> ignored;
    CHECK(!decode_postings(key, damaged, 5, ignored).ok());
  }
}

}  // namespace nestor::storage
