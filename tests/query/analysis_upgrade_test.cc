// Postings that another analyzer made: rebuilt by a writer, who says so, and refused by a reader.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "nestor/database.h"
#include "query/open_database.h"
#include "query/passage_terms.h"
#include "storage/document_store.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

Result<Database> open(const std::string& path, const OpenOptions& options = {}) {
  return query::open_database(path, options, factory_of(std::make_shared<HashEncoder>()));
}

// A database whose postings say that `analysis` made them.
void make_database(const std::string& path, const std::string& analysis) {
  {
    auto made = open(path);
    REQUIRE_MESSAGE(made.ok(), made.status().to_string());
    REQUIRE(made.value().add({{.key = "a", .title = "", .text = "running water"}}).ok());
    REQUIRE(made.value().close().ok());
  }
  auto store = storage::DocumentStore::open(path, {});
  REQUIRE_MESSAGE(store.ok(), store.status().to_string());
  const storage::TermMaker none = [](const storage::StoredDocument&,
                                     std::span<const storage::Row> rows) {
    return Result<std::vector<storage::RowTerms>>(std::vector<storage::RowTerms>(rows.size()));
  };
  REQUIRE(store.value()->build_postings("default", analysis, none, {}).ok());
}

std::string lower_version() {
  std::string name = query::analysis_name("auto");
  const std::size_t icu = name.find("icu") + 3;
  return name.replace(icu, name.find(':') - icu, "71");
}

}  // namespace

TEST_CASE("a writer makes the postings of another analyzer or ICU anew and logs both") {
  for (const std::string& analysis : {std::string("1:auto"), lower_version()}) {
    CAPTURE(analysis);
    TempFolder folder;
    make_database(folder / "db", analysis);
    std::vector<std::string> lines;
    OpenOptions options;
    options.log = [&](LogLevel, std::string_view message) { lines.emplace_back(message); };
    auto opened = open(folder / "db", options);
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    const std::string expected = "the postings of collection 'default' were made by " +
                                 query::describe_analysis(analysis) + "; rebuilt with " +
                                 query::describe_analysis(query::analysis_name("auto"));
    CHECK(std::count(lines.begin(), lines.end(), expected) == 1);
    const auto found = opened.value().search("run", {.mode = SearchMode::kKeyword});
    REQUIRE_MESSAGE(found.ok(), found.status().to_string());
    CHECK(found.value().hits.size() == 1);
    CHECK(opened.value().verify().value().problems.empty());
    // Once is enough.
    REQUIRE(opened.value().close().ok());
    lines.clear();
    REQUIRE(open(folder / "db", options).ok());
    CHECK(std::count(lines.begin(), lines.end(), expected) == 0);
  }
}

TEST_CASE("a reader refuses postings of another analyzer, names both and what to type") {
  TempFolder folder;
  make_database(folder / "db", lower_version());
  OpenOptions options;
  options.read_only = true;
  auto opened = open(folder / "db", options);
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  for (const SearchMode mode : {SearchMode::kKeyword, SearchMode::kHybrid}) {
    const auto refused = opened.value().search("run", {.mode = mode});
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.status().code() == StatusCode::kFailedPrecondition);
    const std::string message = refused.status().message();
    CHECK(message.find(query::describe_analysis(lower_version())) != std::string::npos);
    CHECK(message.find(query::describe_analysis(query::analysis_name("auto"))) !=
          std::string::npos);
    CHECK(message.find("nestor compact") != std::string::npos);
  }
  CHECK(opened.value().search("run", {}).ok());
}

TEST_CASE("databases of formats 1 and 2 are searched by words once a writer opened them") {
  for (const char* version : {"v1", "v2"}) {
    CAPTURE(version);
    TempFolder folder;
    std::filesystem::copy(nestor::testing::tests_path(std::string("compat/") + version),
                          folder / "db", std::filesystem::copy_options::recursive);
    const SearchOptions words{.mode = SearchMode::kKeyword};
    OpenOptions read_only;
    read_only.read_only = true;
    {
      const auto reader = open(folder / "db", read_only);
      REQUIRE_MESSAGE(reader.ok(), reader.status().to_string());
      CHECK(reader.value().search("third", words).status().code() ==
            StatusCode::kFailedPrecondition);
    }
    {
      auto writer = open(folder / "db");
      REQUIRE_MESSAGE(writer.ok(), writer.status().to_string());
      REQUIRE(writer.value().close().ok());
    }
    const auto reader = open(folder / "db", read_only);
    REQUIRE(reader.ok());
    const auto found = reader.value().search("third", words);
    // The model of those databases is another; their words are there all the same.
    if (!found.ok()) CHECK(found.status().code() == StatusCode::kModelMismatch);
    const auto store = storage::DocumentStore::open(folder / "db", {.read_only = true});
    REQUIRE(store.ok());
    const auto view = store.value()->view();
    const auto collection = store.value()->find_collection(*view, "default");
    REQUIRE(collection.ok());
    const auto totals = store.value()->term_totals(*view, *collection.value());
    REQUIRE(totals.ok());
    CHECK(totals.value().complete);
    CHECK(totals.value().analysis == query::analysis_name("auto"));
  }
}
