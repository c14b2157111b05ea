// The change of a collection's model: nothing lost, nothing served by halves, every stop survived.
#include "nestor/reembed.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <thread>

#include "nestor/database.h"
#include "query/open_database.h"
#include "storage/document_store.h"
#include "storage/shadow_collection.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

using EncoderOfTest = std::shared_ptr<HashEncoder>;

EncoderOfTest model(const std::string& space, int width = 64) {
  return std::make_shared<HashEncoder>(space, width);
}

// The same model in another numeric mode.
class RoundedEncoder : public HashEncoder {
 public:
  explicit RoundedEncoder(const std::string& space) : HashEncoder(space, 64), rounded_(base()) {
    rounded_.precision = "bf16";
  }
  [[nodiscard]] const ModelInfo& info() const override { return rounded_; }

 private:
  [[nodiscard]] const ModelInfo& base() const { return HashEncoder::info(); }
  ModelInfo rounded_;
};

Database open_with(const std::string& path, const EncoderOfTest& encoder) {
  auto opened = query::open_database(path, {}, factory_of(encoder));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

// Stopped in its second batch: one is done.
void reembed_by_half(Database& db, const EncoderOfTest& encoder, ReembedOptions options = {}) {
  std::stop_source stop;
  int batches = 0;
  encoder->before_encode = [&] {
    if (++batches == 2) stop.request_stop();
  };
  options.stop = stop.get_token();
  REQUIRE(db.reembed(options).status().code() == StatusCode::kCancelled);
  encoder->before_encode = {};
}

Document document_of(int i, const std::string& word = "grows") {
  return {.key = fmt::format("k{:04}", i),
          .title = fmt::format("title {}", i % 7),
          .text = fmt::format("plant number {} {} in field {}", i, word, i % 13),
          .metadata = {{"field", i % 13}, {"tags", {"a", fmt::format("t{}", i % 3)}}}};
}

void fill(const std::string& path, int count, const std::string& space = "old") {
  Database db = open_with(path, model(space));
  std::vector<Document> documents;
  for (int i = 0; i < count; ++i) documents.push_back(document_of(i));
  REQUIRE(db.add(documents).ok());
  // Two cuts, one document of several passages, one collection that is none of its business.
  REQUIRE(db.add({{.key = "whole", .text = "uncut text of one passage"}}, {.split = {false}}).ok());
  std::string text;
  for (int i = 0; i < 300; ++i) text += fmt::format("word{} and more. ", i);
  REQUIRE(db.add({{.key = "long", .text = text}}, {.split = {true, 32}}).ok());
  REQUIRE(db.add({document_of(0)}, {.collection = "other"}).ok());
  REQUIRE(db.close().ok());
}

std::map<std::string, Document> documents_of(const Database& db) {
  std::map<std::string, Document> documents;
  for (const std::string& key : db.list_keys(kDefaultCollection, {}, 100'000).value())
    documents[key] = db.get(key).value();
  return documents;
}

void check_same(const std::map<std::string, Document>& a,
                const std::map<std::string, Document>& b) {
  REQUIRE(a.size() == b.size());
  for (const auto& [key, document] : a) {
    REQUIRE(b.contains(key));
    CHECK(b.at(key).text == document.text);
    CHECK(b.at(key).title == document.title);
    CHECK(b.at(key).metadata == document.metadata);
  }
}

void check_sound(const Database& db) {
  const auto report = db.verify();
  REQUIRE(report.ok());
  for (const std::string& problem : report.value().problems) MESSAGE(problem);
  CHECK(report.value().problems.empty());
}

// Every search finds what a database finds that only ever knew the new model.
void check_as_fresh(const Database& db, const EncoderOfTest& encoder, const TempFolder& folder) {
  Database fresh = open_with(folder / "fresh", encoder);
  for (const auto& [key, document] : documents_of(db)) {
    SplitOptions split;
    if (key == "whole") split = {false};
    if (key == "long") split = {true, 32};
    REQUIRE(fresh.add({document}, {.split = split}).ok());
  }
  const auto stats = db.stats().value().collections;
  const auto wanted = fresh.stats().value().collections;
  const auto here = std::find_if(stats.begin(), stats.end(),
                                 [](const auto& one) { return one.name == kDefaultCollection; });
  REQUIRE(here != stats.end());
  CHECK(here->space == encoder->info().space);
  CHECK(here->passages == wanted[0].passages);
  CHECK(here->documents == wanted[0].documents);
  for (const SearchMode mode : {SearchMode::kVector, SearchMode::kKeyword, SearchMode::kHybrid}) {
    for (const char* asked : {"plant number 17 grows", "word120", "uncut text"}) {
      const auto hits = db.search(asked, {.k = 5, .mode = mode});
      const auto same = fresh.search(asked, {.k = 5, .mode = mode});
      REQUIRE_MESSAGE(hits.ok(), hits.status().to_string());
      REQUIRE(same.ok());
      REQUIRE(hits.value().hits.size() == same.value().hits.size());
      REQUIRE(!hits.value().hits.empty());
      CHECK(hits.value().hits[0].key == same.value().hits[0].key);
      CHECK(hits.value().hits[0].score == doctest::Approx(same.value().hits[0].score));
    }
  }
}

ReembedReport reembedded(Database& db, const ReembedOptions& options = {}) {
  auto report = db.reembed(options);
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  return report.value();
}

}  // namespace

TEST_CASE("reembed brings a collection to the model in use and keeps all that is not a vector") {
  TempFolder folder;
  fill(folder / "db", 200);
  for (const int width : {64, 96}) {
    CAPTURE(width);
    const std::string path = folder / fmt::format("copy{}", width);
    std::filesystem::copy(folder / "db", path, std::filesystem::copy_options::recursive);
    const EncoderOfTest next = model("new", width);
    Database db = open_with(path, next);
    REQUIRE(db.set_attribute(kDefaultCollection, "origin", "here").ok());
    const auto before = documents_of(db);
    const Status mismatch = db.search("plant").status();
    CHECK(mismatch.code() == StatusCode::kModelMismatch);
    CHECK(mismatch.message().find("nestor reembed DB") != std::string::npos);
    const ReembedReport report = reembedded(db);
    CHECK(report.changed);
    CHECK(report.old_model == "hash-model-of-old");
    CHECK(report.new_model == "hash-model-of-new");
    CHECK(report.documents == 202);
    CHECK(report.documents_kept == 0);
    CHECK(report.passages_embedded == next->encoded_count());
    check_same(before, documents_of(db));
    CHECK(db.attribute(kDefaultCollection, "origin").value() == "here");
    CHECK(db.count(Filter::field("field") == 3).value() == 16);
    CHECK(db.search("plant", {.collection = "other"}).status().code() ==
          StatusCode::kModelMismatch);
    CHECK(db.add({document_of(900)}).ok());
    check_sound(db);
    REQUIRE(db.close().ok());
    Database again = open_with(path, next);
    check_as_fresh(again, next, TempFolder());
    check_sound(again);
    CHECK(again.stats().value().collections.size() == 2);
  }
}

TEST_CASE("the model in use already means nothing to do, and no work") {
  TempFolder folder;
  fill(folder / "db", 20);
  const EncoderOfTest same = model("old");
  Database db = open_with(folder / "db", same);
  const std::uint64_t sequence = db.stats().value().sequence;
  const ReembedReport report = reembedded(db);
  CHECK_FALSE(report.changed);
  CHECK(report.old_model == report.new_model);
  CHECK(report.passages_embedded == 0);
  CHECK(same->encoded_count() == 0);
  CHECK(db.stats().value().sequence == sequence);
}

TEST_CASE("what has no model, or is not there, is refused by name") {
  TempFolder folder;
  Database db = open_with(folder / "db", model("old"));
  REQUIRE(db.create_collection("brought", {.vector_width = 4}).ok());
  const Status brought = db.reembed({.collection = "brought"}).status();
  CHECK(brought.code() == StatusCode::kInvalidArgument);
  CHECK(brought.message().find("brought") != std::string::npos);
  CHECK(db.reembed({.collection = "absent"}).status().code() == StatusCode::kNotFound);
  CHECK(db.reembed({.collection = ".reembed-1"}).status().code() == StatusCode::kInvalidArgument);
  CHECK_FALSE(reembedded(db).changed);
}

TEST_CASE("a stopped reembed keeps what is embedded, serves the old model, and goes on") {
  TempFolder folder;
  fill(folder / "db", 400);
  const std::int64_t passages = [&] {
    Database db = open_with(folder / "db", model("old"));
    return db.stats().value().collections[0].passages;
  }();
  std::int64_t embedded = 0;
  const EncoderOfTest next = model("new");
  for (int calls = 0;; ++calls) {
    REQUIRE(calls < 20);
    Database db = open_with(folder / "db", next);
    const auto before = documents_of(db);
    std::stop_source stop;
    int batches = 0;
    next->before_encode = [&] {
      if (++batches == 3) stop.request_stop();
    };
    const auto report = db.reembed({.stop = stop.get_token()});
    next->before_encode = {};
    check_same(before, documents_of(db));
    check_sound(db);
    const std::int64_t so_far = next->encoded_count();
    if (report.ok()) {
      CHECK(report.value().documents_kept > 0);
      break;
    }
    CHECK(report.status().code() == StatusCode::kCancelled);
    CHECK(so_far > embedded);
    embedded = so_far;
    // Half done: nobody sees the hidden collection, and the old one answers.
    CHECK(db.stats().value().collections.size() == 2);
    CHECK(db.verify().value().documents == 403);
    CHECK(db.search("plant", {.mode = SearchMode::kKeyword}).value().hits.size() == 10);
    const auto vector = model("old")->encode(std::vector<EmbedInput>{{.text = "plant number 17"}},
                                             Role::kQuery, {});
    CHECK(db.search_vector(vector.value()[0].vector, {.k = 3}).value().hits.size() == 3);
  }
  // No passage was embedded twice.
  CHECK(next->encoded_count() == passages);
  Database db = open_with(folder / "db", next);
  check_as_fresh(db, next, folder);
}

TEST_CASE("a killed reembed goes on where its last batch ended") {
  TempFolder folder;
  fill(folder / "db", 300);
  const EncoderOfTest next = model("new");
  for (int batches = 1; batches <= 2; ++batches) {
    const pid_t child = ::fork();
    if (child == 0) {
      const EncoderOfTest mine = model("new");
      int begun = 0;
      mine->before_encode = [&] {
        if (++begun > batches) ::raise(SIGKILL);
      };
      auto db = query::open_database(folder / "db", {}, factory_of(mine));
      if (db.ok()) static_cast<void>(db.value().reembed());
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    Database db = open_with(folder / "db", model("old"));
    check_sound(db);
  }
  Database db = open_with(folder / "db", next);
  CHECK(reembedded(db).documents_kept == 192);  // three batches of 64
  check_as_fresh(db, next, folder);
}

TEST_CASE("documents removed and changed while it runs are not lost") {
  TempFolder folder;
  fill(folder / "db", 300);
  const EncoderOfTest next = model("new");
  Database db = open_with(folder / "db", next);
  int batches = 0;
  next->before_encode = [&] {
    if (++batches > 6) return;
    std::thread([&] {
      CHECK(db.remove({fmt::format("k{:04}", batches), fmt::format("k{:04}", 290 + batches)}).ok());
      CHECK(db.change_metadata({{.key = fmt::format("k{:04}", 20 + batches),
                                 .set = {{"field", 1'000 + batches}}}})
                .value() == 1);
      CHECK(db.search("plant", {.mode = SearchMode::kKeyword}).ok());
    }).join();
  };
  static_cast<void>(reembedded(db));
  next->before_encode = {};
  const int did = std::min(batches, 6);
  REQUIRE(did >= 3);
  CHECK(db.count().value() == 302 - 2 * did);
  for (int i = 1; i <= did; ++i) {
    CHECK(db.get(fmt::format("k{:04}", i)).status().code() == StatusCode::kNotFound);
    CHECK(db.count(Filter::field("field") == 1'000 + i).value() == 1);
  }
  check_sound(db);
  check_as_fresh(db, next, folder);
}

TEST_CASE("what is removed leaves a half-done reembed at once") {
  TempFolder folder;
  fill(folder / "db", 200);
  const EncoderOfTest next = model("new");
  Database db = open_with(folder / "db", next);
  reembed_by_half(db, next);
  REQUIRE(db.remove({"k0003"}).value() == 1);
  REQUIRE(db.close().ok());
  auto store = storage::DocumentStore::open(folder / "db", {.read_only = true});
  REQUIRE(store.ok());
  const auto view = store.value()->view();
  const auto source = store.value()->find_collection(*view, kDefaultCollection).value();
  const auto shadow = store.value()->find_collection(*view, storage::shadow_name(*source)).value();
  REQUIRE(shadow.has_value());
  CHECK(store.value()->find_document(*view, shadow->id, "k0002").value().has_value());
  CHECK_FALSE(store.value()->find_document(*view, shadow->id, "k0003").value().has_value());
}

TEST_CASE("what is erased leaves no trace in a half-done reembed either") {
  TempFolder folder;
  fill(folder / "db", 200);
  const EncoderOfTest next = model("new");
  Database db = open_with(folder / "db", next);
  reembed_by_half(db, next);
  REQUIRE(db.remove({"k0003", "k0199"}).value() == 2);  // one is in the shadow, one not yet
  CHECK_FALSE(db.verify_erased("k0003").value().findings.empty());
  REQUIRE(db.remove({"k0004"}, {.erase = true}).value() == 1);
  for (const char* key : {"k0003", "k0004", "k0199"}) {
    CAPTURE(key);
    const auto report = db.verify_erased(key);
    REQUIRE(report.ok());
    CHECK_MESSAGE(report.value().findings.empty(),
                  (report.value().findings.empty() ? "" : report.value().findings.front()));
  }
}

TEST_CASE("a half-done reembed is dropped by discard, and by a third model") {
  TempFolder folder;
  fill(folder / "db", 200);
  const auto half = [&](const EncoderOfTest& encoder) {
    Database db = open_with(folder / "db", encoder);
    reembed_by_half(db, encoder);
  };
  half(model("second"));
  {
    Database db = open_with(folder / "db", model("old"));
    CHECK(reembedded(db, {.discard = true}).documents_discarded == 64);
    CHECK(reembedded(db, {.discard = true}).documents_discarded == 0);
    check_sound(db);
    REQUIRE(db.search("plant").ok());
  }
  half(model("second"));
  const EncoderOfTest third = model("third");
  Database db = open_with(folder / "db", third);
  const ReembedReport report = reembedded(db);
  CHECK(report.documents_discarded == 64);
  CHECK(report.documents_kept == 0);
  check_sound(db);
  check_as_fresh(db, third, folder);
}

TEST_CASE("rows of another numeric mode are embedded again in place, where that is asked for") {
  TempFolder folder;
  fill(folder / "db", 150);
  const auto rounded = std::make_shared<RoundedEncoder>("old");
  Database db = open_with(folder / "db", rounded);
  const auto before = documents_of(db);
  const ReembedReport left = reembedded(db);
  CHECK_FALSE(left.changed);
  const std::int64_t passages = db.stats().value().collections[0].passages;
  CHECK(left.rows_of_other_modes == passages);
  reembed_by_half(db, rounded, {.all_modes = true});
  CHECK(db.stats().value().collections[0].precision == "mixed");
  const ReembedReport report = reembedded(db, {.all_modes = true});
  CHECK(report.changed);
  CHECK(report.rows_of_other_modes == 0);
  CHECK(rounded->encoded_count() == passages);
  CHECK(db.stats().value().collections[0].precision == "bf16");
  check_same(before, documents_of(db));
  check_sound(db);
}

TEST_CASE("rows and caches of the old model are gone after the swap") {
  TempFolder folder;
  fill(folder / "db", 200);
  const EncoderOfTest next = model("new");
  Database db = open_with(folder / "db", next);
  const auto files_of = [&](const std::string& beginning) {
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "db/cache"))
      files += entry.path().filename().string().starts_with(beginning);
    return files;
  };
  CHECK(files_of("1-") > 0);
  static_cast<void>(reembedded(db));
  CHECK(files_of("1-") == 0);
  REQUIRE(db.close().ok());
  CHECK(files_of("3-") > 0);  // the index of the one in its place is saved
  auto store = storage::DocumentStore::open(folder / "db", {.read_only = true});
  REQUIRE(store.ok());
  const auto view = store.value()->view();
  CHECK(store.value()->list_keys(*view, 1, "", 10).value().empty());
  CHECK_FALSE(store.value()->find_document(*view, 1, "k0001").value().has_value());
  CHECK_FALSE(store.value()->find_collection(*view, ".reembed-1").value().has_value());
}
