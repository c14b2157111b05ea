#include "tools/cli/beir_folder.h"

#include <doctest/doctest.h>

#include <set>

#include "core/file.h"
#include "tests/support/test_paths.h"

using nestor::Result;
using nestor::StatusCode;
using nestor::cli::BeirDocument;
using nestor::cli::BeirFolder;
using nestor::cli::read_beir_folder;

namespace {

struct Files {
  std::string corpus =
      "{\"_id\": \"d1\", \"title\": \"one\", \"text\": \"first\"}\n"
      "{\"_id\": \"d2\", \"text\": \"second\", \"metadata\": {}}\r\n"
      "\n"
      "{\"_id\": \"d3\", \"title\": null, \"text\": \"\"}";
  std::string queries =
      "{\"_id\": \"q1\", \"text\": \"one?\"}\n{\"_id\": \"q2\", \"text\": \"two?\"}\n"
      "{\"_id\": \"unjudged\", \"text\": \"?\"}\n";
  std::string judgments = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td3\t0\nq2\td2\t1\n";
};

Result<BeirFolder> read(const Files& files, const nestor::cli::BeirLimits& limits = {}) {
  const nestor::testing::TempFolder folder;
  REQUIRE(nestor::make_folders(folder / "qrels").ok());
  REQUIRE(nestor::write_file_atomic(folder / "corpus.jsonl", files.corpus).ok());
  REQUIRE(nestor::write_file_atomic(folder / "queries.jsonl", files.queries).ok());
  REQUIRE(nestor::write_file_atomic(folder / "qrels/test.tsv", files.judgments).ok());
  return read_beir_folder(folder.path(), limits);
}

// The refusal, which must be of the input and name where it stands.
void check_refused(const Files& files, const std::string& where, const std::string& why) {
  const Result<BeirFolder> folder = read(files);
  REQUIRE_FALSE(folder.ok());
  CHECK(folder.status().code() == StatusCode::kInvalidArgument);
  INFO(folder.status().message());
  CHECK(folder.status().message().find(where) != std::string::npos);
  CHECK(folder.status().message().find(why) != std::string::npos);
}

// 100 documents; query qN is answered by document 10 * N.
Files many() {
  Files files{.corpus = "", .queries = "", .judgments = "query-id\tcorpus-id\tscore\n"};
  for (int i = 0; i < 100; ++i) {
    files.corpus += "{\"_id\": \"d" + std::to_string(i) + "\", \"text\": \"t\"}\n";
  }
  for (int i = 0; i < 10; ++i) {
    files.queries += "{\"_id\": \"q" + std::to_string(i) + "\", \"text\": \"t\"}\n";
    files.judgments += "q" + std::to_string(i) + "\td" + std::to_string(10 * i) + "\t1\n";
  }
  return files;
}

std::set<std::string> keys_of(const BeirFolder& folder) {
  std::set<std::string> keys;
  for (const BeirDocument& document : folder.documents) keys.insert(document.key);
  return keys;
}

}  // namespace

TEST_CASE("a folder is read with titles, judgments and only the judged queries") {
  const Result<BeirFolder> read_folder = read({});
  REQUIRE(read_folder.ok());
  const BeirFolder& folder = read_folder.value();
  REQUIRE(folder.documents.size() == 3);
  CHECK(folder.documents[0].title == "one");
  CHECK(folder.documents[1].text == "second");
  CHECK(folder.documents[2].title.empty());
  REQUIRE(folder.queries.size() == 2);
  CHECK(folder.queries[0].judgments.at("d1") == 2);
  CHECK(folder.queries[0].judgments.at("d3") == 0);
  CHECK(folder.queries_dropped == 0);
}

TEST_CASE("malformed lines are refused with file and line") {
  Files files;
  SUBCASE("not JSON") {
    files.corpus += "\n{\"_id\": ";
    check_refused(files, "corpus.jsonl:5", "");
  }
  SUBCASE("not an object") {
    files.queries = "[1]\n";
    check_refused(files, "queries.jsonl:1", "not a JSON object");
  }
  SUBCASE("no text") {
    files.corpus = "{\"_id\": \"d1\"}\n";
    check_refused(files, "corpus.jsonl:1", "\"text\" is missing");
  }
  SUBCASE("a number for a key") {
    files.corpus = "{\"_id\": 1, \"text\": \"\"}\n";
    check_refused(files, "corpus.jsonl:1", "\"_id\" is number");
  }
  SUBCASE("an empty key") {
    files.corpus = "{\"_id\": \"\", \"text\": \"\"}\n";
    check_refused(files, "corpus.jsonl:1", "empty");
  }
  SUBCASE("a key twice") {
    files.corpus += "\n{\"_id\": \"d1\", \"text\": \"again\"}\n";
    check_refused(files, "corpus.jsonl:5", "stands in line 1");
  }
  SUBCASE("ill-formed UTF-8") {
    files.queries += "{\"_id\": \"q3\", \"text\": \"\xFF\"}\n";
    check_refused(files, "queries.jsonl:4", "");
  }
  SUBCASE("a judgment of two fields") {
    files.judgments += "q1 d1 1\n";
    check_refused(files, "test.tsv:5", "3 were expected");
  }
  SUBCASE("a judgment that is no number") {
    files.judgments += "q1\td1\tgood\n";
    check_refused(files, "test.tsv:5", "good");
  }
  SUBCASE("a judged query that is not there") {
    files.judgments += "q9\td1\t1\n";
    check_refused(files, "test.tsv", "q9");
  }
  SUBCASE("no judgment") {
    files.judgments = "query-id\tcorpus-id\tscore\n";
    check_refused(files, "test.tsv", "no judgment");
  }
  SUBCASE("no document") {
    files.corpus = "\n";
    check_refused(files, "corpus.jsonl", "no document");
  }
}

TEST_CASE("a missing file is named, with what belongs into the folder") {
  const nestor::testing::TempFolder folder;
  const Result<BeirFolder> nothing = read_beir_folder(folder.path());
  CHECK(nothing.status().code() == StatusCode::kNotFound);
  CHECK(nothing.status().message().find("qrels/test.tsv") != std::string::npos);
  CHECK(read_beir_folder(folder / "nowhere").status().code() == StatusCode::kNotFound);
}

TEST_CASE("with a limit the judged documents come first, then a seeded sample of the others") {
  const Result<BeirFolder> first = read(many(), {.documents = 30, .queries = 0, .seed = 3});
  const Result<BeirFolder> again = read(many(), {.documents = 30, .queries = 0, .seed = 3});
  const Result<BeirFolder> other = read(many(), {.documents = 30, .queries = 0, .seed = 4});
  REQUIRE(first.ok());
  REQUIRE(again.ok());
  REQUIRE(other.ok());
  CHECK(first.value().documents.size() == 30);
  CHECK(first.value().queries.size() == 10);
  for (int i = 0; i < 10; ++i) CHECK(keys_of(first.value()).contains("d" + std::to_string(10 * i)));
  CHECK(keys_of(first.value()) == keys_of(again.value()));
  CHECK(keys_of(first.value()) != keys_of(other.value()));
}

TEST_CASE("queries whose answers all fell out are dropped and counted") {
  const Result<BeirFolder> folder = read(many(), {.documents = 4});
  REQUIRE(folder.ok());
  CHECK(keys_of(folder.value()) == std::set<std::string>{"d0", "d10", "d20", "d30"});
  CHECK(folder.value().queries.size() == 4);
  CHECK(folder.value().queries_dropped == 6);
}

TEST_CASE("a limit on queries is a sample, and the documents are chosen for it") {
  const Result<BeirFolder> folder = read(many(), {.documents = 3, .queries = 3, .seed = 5});
  REQUIRE(folder.ok());
  CHECK(folder.value().queries.size() == 3);
  CHECK(folder.value().queries_dropped == 0);
  CHECK(folder.value().documents.size() == 3);
}
