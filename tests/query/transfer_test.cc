// Export and import: a round trip changes no bit, a stranger's lines are refused with their number.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base64.h"
#include "query/open_database.h"
#include "storage/document_store.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

struct Opened {
  std::shared_ptr<HashEncoder> encoder;
  Database db;
};

Opened open_at(const std::string& path, const std::string& space = "hash-space") {
  auto encoder = std::make_shared<HashEncoder>(space);
  auto opened = query::open_database(path, {}, factory_of(encoder));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return {encoder, std::move(opened).value()};
}

std::vector<std::string> export_lines(const Database& db, const ExportOptions& options = {}) {
  std::vector<std::string> lines;
  const auto report = db.export_documents(
      [&](std::string_view line) {
        lines.emplace_back(line);
        return Status();
      },
      options);
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK(report.value().documents + 2 == std::ssize(lines));
  return lines;
}

Result<ImportReport> import_lines(Database& db, const std::vector<std::string>& lines,
                                  const ImportOptions& options = {}) {
  std::size_t at = 0;
  return db.import_documents(
      [&]() -> Result<std::optional<std::string_view>> {
        if (at == lines.size()) return std::optional<std::string_view>();
        return std::optional<std::string_view>(lines[at++]);
      },
      options);
}

ImportReport must_import(Database& db, const std::vector<std::string>& lines,
                         const ImportOptions& options = {}) {
  auto report = import_lines(db, lines, options);
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  return std::move(report).value();
}

std::vector<Document> some_documents() {
  std::string lengthy = "# Storage\n\nRocksDB keeps sorted runs.\n\n## Trees\n\n";
  for (int i = 0; i < 400; ++i) lengthy += "Sentence number " + std::to_string(i) + " about runs. ";
  return {{.key = "a",
           .title = "Ein \"Titel\" \xF0\x9F\x90\x99",
           .text = lengthy,
           .metadata = {{"i", 5}, {"d", 5.0}, {"tiny", 4.9e-324}, {"tags", {"x", 1, true}}}},
          {.key = "b\x01\x1b", .text = "caf\u00E9 \n tabs\t and \\ slashes"},
          {.key = "empty", .text = ""},
          {.key = "file",
           .text = "caf\xEF\xBF\xBD in a file",
           .source = {.changes = {{0, 0, 3}, {3, 3, 1}}}},
          {.key = "wide file",
           .text = "in UTF-16",
           .source = {.encoding = SourceMap::Encoding::kUtf16Le}}};
}

// The rows of every document, by key: vectors bit by bit.
std::map<std::string, std::vector<std::string>> vectors_of(const std::string& path,
                                                           const std::string& collection) {
  const auto store = storage::DocumentStore::open(path, {.read_only = true});
  REQUIRE_MESSAGE(store.ok(), store.status().to_string());
  const auto view = store.value()->view();
  const auto found = store.value()->find_collection(*view, collection);
  REQUIRE(found.ok());
  std::map<std::string, std::vector<std::string>> vectors;
  REQUIRE(store.value()
              ->scan_rows(*view, *found.value(), 0,
                          [&](const storage::Row& row) {
                            std::string bytes(row.vector.size() * sizeof(float), '\0');
                            std::memcpy(bytes.data(), row.vector.data(), bytes.size());
                            vectors[row.document_key].push_back(bytes);
                            return true;
                          })
              .ok());
  return vectors;
}

std::vector<std::pair<std::string, double>> answers(const Database& db,
                                                    const SearchOptions& options) {
  const auto result = db.search("sorted runs number 17", options);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  std::vector<std::pair<std::string, double>> hits;
  for (const Hit& hit : result.value().hits) hits.emplace_back(hit.key + hit.text, hit.score);
  std::sort(hits.begin(), hits.end());
  return hits;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const std::size_t at = text.find(what);
  REQUIRE_MESSAGE(at != std::string::npos, what);
  return text.replace(at, what.size(), by);
}

}  // namespace

TEST_CASE("a round trip keeps every bit and every answer, and embeds nothing") {
  TempFolder folder;
  std::vector<std::string> lines;
  {
    auto [encoder, db] = open_at(folder / "from");
    REQUIRE(db.add(some_documents()).ok());
    lines = export_lines(db);
    auto [other, copy] = open_at(folder / "to");
    const ImportReport report = must_import(copy, lines);
    CHECK(report.documents_added == 5);
    CHECK(report.note == "");
    CHECK(report.vectors_taken > 3);
    CHECK(other->encoded_count() == 0);
    for (const Document& document : some_documents()) {
      const auto was = db.get(document.key);
      const auto is = copy.get(document.key);
      REQUIRE(is.ok());
      CHECK(is.value().title == was.value().title);
      CHECK(is.value().text == was.value().text);
      CHECK(is.value().metadata == was.value().metadata);
      CHECK(is.value().source == document.source);
    }
    for (const SearchMode mode : {SearchMode::kVector, SearchMode::kKeyword, SearchMode::kHybrid}) {
      CHECK(answers(copy, {.k = 1'000, .mode = mode}) == answers(db, {.k = 1'000, .mode = mode}));
    }
    nlohmann::json header = nlohmann::json::parse(lines[0]);
    nlohmann::json header_of_copy = nlohmann::json::parse(export_lines(copy)[0]);
    CHECK(header.at("sequence") != nullptr);
    header.at("sequence") = header_of_copy.at("sequence");  // the copy's own
    CHECK(header == header_of_copy);
    // What is in and equal is passed over, and a later add keeps the vectors.
    const ImportReport again = must_import(copy, lines);
    CHECK(again.documents_unchanged == 5);
    CHECK(again.documents_added + again.documents_updated == 0);
    const auto added = copy.add(some_documents());
    REQUIRE(added.ok());
    CHECK(added.value().documents_unchanged == 5);
    const auto verified = copy.verify();
    REQUIRE(verified.ok());
    CHECK(verified.value().problems == std::vector<std::string>{});
    auto [last, third] = open_at(folder / "third");
    REQUIRE(must_import(third, lines, {.batch_documents = 1}).documents_added == 5);
    CHECK(export_lines(third).back() == lines.back());
    CHECK(std::equal(lines.begin() + 1, lines.end(), export_lines(third).begin() + 1));
  }
  CHECK(vectors_of(folder / "from", "default") == vectors_of(folder / "to", "default"));
}

TEST_CASE("another space, no vectors or --reembed: the texts are embedded, and a note says why") {
  TempFolder folder;
  auto [encoder, db] = open_at(folder / "from");
  REQUIRE(db.add(some_documents()).ok());
  const auto lines = export_lines(db);
  auto [other, foreign] = open_at(folder / "foreign", "another-space");
  const ImportReport report = must_import(foreign, lines);
  CHECK(report.note.find("another-spac") != std::string::npos);
  CHECK(report.passages_embedded > 3);
  CHECK(other->encoded_count() == report.passages_embedded);
  CHECK(foreign.count().value() == 5);
  const auto bare = export_lines(db, {.vectors = false});
  CHECK(bare[1].find("\"vector\"") == std::string::npos);
  auto [third, without] = open_at(folder / "without");
  CHECK(must_import(without, bare).note.find("no vectors") != std::string::npos);
  CHECK(answers(without, {.k = 1'000}) == answers(db, {.k = 1'000}));
  auto [fourth, asked] = open_at(folder / "asked");
  CHECK(must_import(asked, lines, {.reembed = true}).vectors_taken == 0);
  CHECK(fourth->encoded_count() > 0);
}

TEST_CASE("filters, collections, brought vectors and languages go through") {
  TempFolder folder;
  auto [encoder, db] = open_at(folder / "from");
  REQUIRE(db.create_collection("words").ok());
  REQUIRE(db.set_attribute("words", "nestor.language", "german").ok());
  REQUIRE(db.set_attribute("words", "folder", "where somebody lives").ok());
  REQUIRE(db.add(some_documents(), {.collection = "words"}).ok());
  REQUIRE(db.add({{.key = "v", .text = "t", .vector = {3, 4, 0.25F}},
                  {.key = "w", .text = "t", .vector = {-1e-40F, 1, 1e30F}}},
                 {.collection = "own"})
              .ok());
  const auto only = Filter::parse("i == 5");
  REQUIRE(only.ok());
  CHECK(export_lines(db, {.collection = "words", .filter = only.value()}).size() == 3);
  const auto words = export_lines(db, {.collection = "words"});
  CHECK(words[0].find("somebody") == std::string::npos);
  auto [other, copy] = open_at(folder / "to");
  CHECK(must_import(copy, words).collection == "words");
  CHECK(copy.attribute("words", "nestor.language").value() == "german");
  const auto own = export_lines(db, {.collection = "own"});
  CHECK(must_import(copy, own, {.collection = "mine"}).vectors_taken == 2);
  CHECK(export_lines(copy, {.collection = "mine"})[2] == own[2]);
  CHECK(copy.search_vector(std::vector<float>{3, 4, 0.25F}, {.collection = "mine"})
            .value()
            .hits[0]
            .key == "v");
  // Neither kind goes into a collection of the other.
  CHECK(import_lines(copy, own, {.collection = "words"}).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(import_lines(copy, words, {.collection = "mine"}).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(import_lines(copy, export_lines(db, {.collection = "own", .vectors = false}),
                     {.collection = "new"})
            .status()
            .code() == StatusCode::kInvalidArgument);
  CHECK(db.export_documents([](std::string_view) { return Status(); }, {.collection = "none"})
            .status()
            .code() == StatusCode::kNotFound);
}

TEST_CASE("a stranger's lines are refused with their number; whole batches before stay") {
  TempFolder folder;
  auto [encoder, db] = open_at(folder / "from");
  REQUIRE(db.add({{.key = "a", .text = "one"}, {.key = "b", .text = "two"}}).ok());
  const auto good = export_lines(db);
  auto [other, copy] = open_at(folder / "to");
  const auto refused = [&](std::vector<std::string> lines, const std::string& number) {
    const Status status = import_lines(copy, lines, {.batch_documents = 1}).status();
    const bool told =
        status.code() == StatusCode::kInvalidArgument || status.code() == StatusCode::kUnsupported;
    CHECK_MESSAGE(told, status.to_string());
    CHECK_MESSAGE(status.message().substr(0, number.size()) == number, status.to_string());
  };
  const auto second = [&](const std::string& what, const std::string& by) {
    refused({good[0], good[1], replaced(good[2], what, by), good[3]}, "line 3: ");
  };
  const auto header = [&](const std::string& what, const std::string& by) {
    refused({replaced(good[0], what, by), good[1], good[2], good[3]}, "line 1: ");
  };
  const std::string vector = good[2].substr(good[2].find("\"vector\":\"") + 10, 4096);
  const auto encoded = [](std::vector<float> values) {
    std::string bytes(values.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return base64_encode(bytes);
  };
  std::vector<float> values(768, 0.0F);
  second(vector, encoded(values));  // zero
  values[0] = 2;
  second(vector, encoded(values));  // not of unit length
  values[0] = std::numeric_limits<float>::quiet_NaN();
  second(vector, encoded(values));
  second(vector, encoded(std::vector<float>(767, 0.036F)));  // another width
  second(vector, vector.substr(0, 4095));
  second(vector, vector.substr(0, 4095) + "*");
  second(vector, "\u00E9" + vector.substr(4));
  second("\"vector\":", "\"vektor\":");
  second("\"bytes\":[0,3]", "\"bytes\":[0,4]");
  second("\"bytes\":[0,3]", "\"bytes\":[2,1]");
  second("\"bytes\":[0,3]", "\"bytes\":[0]");
  second("\"bytes\":[0,3]", "\"bytes\":[-1,3]");
  second("\"bytes\":[0,3]", "\"bytes\":[0,18446744073709551615]");
  second("\"lines\":[1,1]", "\"lines\":[0,1]");
  second("\"mode\":\"", "\"mode\":\"x");
  second("\"truncated\":false", "\"truncated\":0");
  second("\"tokens\":", "\"tokens\":-");
  second("\"key\":\"b\"", "\"key\":\"\"");
  second("\"key\":\"b\"", "\"key\":\"b\",\"key\":\"c\"");
  second("\"metadata\":{}", "\"metadata\":{\"n\":1e999}");
  second("\"metadata\":{}", "\"metadata\":" + std::string(100'000, '['));
  second("\"text\":\"two\"", "\"text\":\"\xFF\xFE\"");
  second("\"split_tokens\":", "\"split_tokens\":9999999");
  second("{\"key\"", "[{\"key\"");
  refused({good[0], good[1], "", good[3]}, "line 3: ");
  refused({good[0], good[1], good[2]}, "line 4: ");
  refused({good[0], good[1], good[3]}, "line 3: ");
  refused({good[0], good[1], good[2], good[3], good[1]}, "line 5: ");
  refused({}, "line 1: ");
  refused({good[1], good[2]}, "line 1: ");
  header("\"version\":2", "\"version\":3");
  header("\"width\":768", "\"width\":65537");
  header("\"collection\":\"default\"", "\"collection\":\"../x\"");
  header("\"nestor\":\"export\"", "\"nestor\":\"end\"");
  header("\"external\":false", "\"external\":null");
  CHECK(copy.count().value() == 2);  // from the files that were cut behind their documents
  const Status told = import_lines(copy, {good[0], good[1], "x"}, {.batch_documents = 1}).status();
  CHECK(told.message().find("1 documents of the lines before are in") != std::string::npos);
  CHECK(must_import(copy, good).documents_unchanged == 2);
}

TEST_CASE("a document that lies about the file it came from is refused") {
  TempFolder folder;
  auto [encoder, db] = open_at(folder / "from");
  REQUIRE(db.add({{.key = "a", .text = "two"}}).ok());
  const auto good = export_lines(db);
  auto [other, copy] = open_at(folder / "to");
  const auto second = [&](const std::string& what, const std::string& by) {
    const Status status =
        import_lines(copy, {good[0], replaced(good[1], what, by), good[2]}).status();
    CHECK_MESSAGE(status.code() == StatusCode::kInvalidArgument, by);
    CHECK(status.message().substr(0, 8) == "line 2: ");
  };
  const std::string source = "\"metadata\":{},\"source\":{\"encoding\":\"UTF-8\",\"changes\":";
  for (const char* changes : {"[[0,0]]", "[[0,3,1]]", "[[2,3,1]]", "[[-1,0,3]]", "[[0,0,1e3]]", "3",
                              "[[0,0,99999999999]]", "[0,0,3]"}) {
    second("\"metadata\":{}", source + changes + "}");
  }
  second("\"metadata\":{}", "\"metadata\":{},\"source\":{\"encoding\":\"x\",\"changes\":[]}");
  CHECK(must_import(copy, good).documents_added == 1);
}

TEST_CASE("base64 is RFC 4648 and nothing else") {
  const std::vector<std::pair<std::string, std::string>> known = {{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"fooba", "Zm9vYmE="},
                                                                  {"foobar", "Zm9vYmFy"},
                                                                  {"\xFF\xFE\xFB", "//77"}};
  for (const auto& [bytes, text] : known) {
    CHECK(base64_encode(bytes) == text);
    CHECK(base64_decode(text) == bytes);
  }
  for (const char* bad : {"Z", "Zg", "Zg=", "Zg===", "=",
                          "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm9v\n", "Zm9 v", "Zm-_", "Z=g="}) {
    CHECK_MESSAGE(!base64_decode(bad).has_value(), bad);
  }
}

TEST_CASE("an export of version 1 takes the metric of the collection that is there") {
  TempFolder folder;
  auto [encoder, db] = open_at(folder / "from");
  const std::vector<std::string> old = {
      R"({"nestor":"export","version":1,"writer":"0.1","sequence":1,"collection":"own",)"
      R"("external":true,"vectors":true,"width":2,"space":"","model":"","language":""})",
      // (3, 4) and, which no cosine takes, (0, 0).
      R"({"key":"a","title":"","text":"t","metadata":{},"split_tokens":0,"passages":[)"
      R"({"bytes":[0,1],"lines":[1,1],"heading":"","tokens":0,"truncated":false,)"
      R"("mode":"external","vector":"AABAQAAAgEA="}]})",
      R"({"key":"b","title":"","text":"t","metadata":{},"split_tokens":0,"passages":[)"
      R"({"bytes":[0,1],"lines":[1,1],"heading":"","tokens":0,"truncated":false,)"
      R"("mode":"external","vector":"AAAAAAAAAAA="}]})",
      R"({"nestor":"end","documents":2,"passages":2})"};
  for (const Metric metric : {Metric::kL2, Metric::kDot}) {
    auto [other, to] = open_at(folder / std::string(metric_name(metric)));
    REQUIRE(to.create_collection("own", {.vector_width = 2, .metric = metric}).ok());
    CHECK(must_import(to, old).vectors_taken == 2);
    CHECK(must_import(to, old, {.collection = "new", .metric = metric}).note.empty());
    for (const CollectionStats& made : to.stats().value().collections) {
      CHECK(made.metric == metric);
    }
    const Metric another = metric == Metric::kL2 ? Metric::kDot : Metric::kL2;
    CHECK(import_lines(to, old, {.metric = another}).status().code() ==
          StatusCode::kInvalidArgument);
    const auto now = export_lines(to, {.collection = "own"});
    CHECK(import_lines(to, now, {.collection = "third", .metric = another}).status().code() ==
          StatusCode::kInvalidArgument);
    CHECK(must_import(to, now, {.collection = "third", .metric = metric}).vectors_taken == 2);
  }
}

TEST_CASE("attributes have bounds, in a call and in an import") {
  TempFolder folder;
  auto [encoder, db] = open_at(folder / "db");
  const auto refused = [&](const std::string& name, const std::string& value) {
    return db.set_attribute("c", name, value).code() == StatusCode::kInvalidArgument;
  };
  REQUIRE(db.create_collection("c").ok());
  const std::string most(64 << 10, 'v');
  REQUIRE(db.set_attribute("c", std::string(64, 'n'), most).ok());
  CHECK(refused("", "v"));
  CHECK(refused(std::string(65, 'n'), "v"));
  CHECK(refused("caf\xC3\xA9", "v"));
  CHECK(refused("a\nb", "v"));
  CHECK(refused("a", most + "v"));
  for (int i = 1; i < 100; ++i) {
    REQUIRE(db.set_attribute("c", "n" + std::to_string(i), "v").ok());
  }
  CHECK(refused("n100", "v"));
  REQUIRE(db.set_attribute("c", "n1", "another").ok());
  REQUIRE(db.set_attribute("c", "n1", "").ok());
  REQUIRE(db.set_attribute("c", "n100", "v").ok());
  const auto lines = export_lines(db, {.collection = "c"});
  auto [other, copy] = open_at(folder / "copy");
  must_import(copy, lines);
  for (const auto& [what, by] : std::vector<std::pair<std::string, std::string>>{
           {"\"n100\"", "\"\""},
           {"\"n100\"", "\"" + std::string(65, 'n') + "\""},
           {most, most + "v"},
           {"\"n100\":\"v\"", R"("n100":"v","n101":"v")"}}) {
    auto changed = lines;
    changed[0] = replaced(changed[0], what, by);
    CHECK(import_lines(copy, changed, {.collection = "d"}).status().code() ==
          StatusCode::kInvalidArgument);
  }
}
