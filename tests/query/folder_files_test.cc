// Files as people have them: with byte order marks, damage, other encodings, accents in their
// names; and folders that come back empty.
#include <map>
#include <set>
#include <tuple>

#include "core/text.h"
#include "query/name_forms.h"
#include "storage/key_schema.h"
#include "storage/rocksdb_options.h"
#include "tests/query/folder_scene.h"

using namespace nestor;
using nestor::query::SkipReason;
using nestor::query::SyncOptions;
using nestor::query::SyncReport;
using nestor::testing::Scene;
using nestor::testing::skipped;
using nestor::testing::TempFolder;

TEST_CASE("a hit has the bytes and lines of the file as it is on disk") {
  Scene scene;
  const std::map<std::string, std::string> files = {
      {"plain.md", "first\n\n# Kettle\n\nThe kettle boils.\n"},
      {"crlf.md", "first\r\n\r\n# Kettle\r\n\r\nThe kettle boils.\r\n"},
      {"bom.md",
       "\xEF\xBB\xBF"
       "first\n\n# Kettle\n\nThe kettle boils.\n"},
      {"latin.txt", "caf\xE9 cr\xE8me\n\n# Kettle\n\nThe kettle boils \xE9.\n"},
      {"mark and damage.txt", "\xEF\xBB\xBF\x82\xB1\n\n# Kettle\n\nThe kettle boils.\n"}};
  for (const auto& [name, bytes] : files) scene.put(name, bytes);
  scene.sync();
  const auto found = scene.db.search("kettle boils", {.k = 50});
  REQUIRE(found.ok());
  std::set<std::string> seen;
  for (const Hit& hit : found.value().hits) {
    const std::string& bytes = files.at(hit.key);
    const std::string part =
        bytes.substr(std::size_t(hit.source_bytes.begin),
                     std::size_t(hit.source_bytes.end - hit.source_bytes.begin));
    CHECK(replace_invalid_utf8(part).text == hit.text);
    const auto lines_before =
        std::count(bytes.begin(), bytes.begin() + hit.source_bytes.begin, '\n');
    CHECK(hit.lines.first == lines_before + 1);
    seen.insert(hit.key);
  }
  CHECK(seen.size() == files.size());
}

TEST_CASE("UTF-16 and UTF-32 with a byte order mark are converted, without one they are no text") {
  Scene scene;
  const auto wide = [](std::string_view text, std::string mark, std::size_t width, bool big) {
    for (const char c : text) {
      std::string unit(width, '\0');
      unit[big ? width - 1 : 0] = c;
      mark += unit;
    }
    return mark;
  };
  const std::string text = "# Kettle\n\nThe kettle boils.\n";
  scene.put("16le", wide(text, "\xFF\xFE", 2, false));
  scene.put("16be.txt", wide(text, "\xFE\xFF", 2, true));
  scene.put("32le.md", wide(text, std::string("\xFF\xFE\0\0", 4), 4, false));
  scene.put("unmarked.txt", wide(text, "", 2, false));
  scene.put("noise", "\xff\xfe\xfd\xfc\xfb\x01\x02\x03\x04\x05");
  const SyncReport report = scene.sync();
  CHECK(report.documents.documents_added == 3);
  CHECK(report.repaired.empty());
  CHECK(skipped(report, "unmarked.txt", SkipReason::kBinary));
  CHECK(skipped(report, "noise", SkipReason::kBinary));
  for (const char* name : {"16le", "16be.txt", "32le.md"}) {
    CHECK(scene.get(name).text == text);
    CHECK(scene.get(name).title == "Kettle");
  }
  for (const Hit& hit : scene.db.search("kettle boils", {.k = 9}).value().hits) {
    const std::int64_t width = hit.key == "32le.md" ? 4 : 2;
    CHECK(hit.source_bytes.begin == width + width * hit.bytes.begin);
    CHECK(hit.source_bytes.end == width + width * hit.bytes.end);
  }
}

TEST_CASE("a folder that comes back empty, or nearly so, keeps its documents until it is told") {
  for (const auto& [files, gone, kept] : std::vector<std::tuple<int, int, bool>>{{1, 1, false},
                                                                                 {2, 2, true},
                                                                                 {3, 2, false},
                                                                                 {4, 3, false},
                                                                                 {6, 6, true},
                                                                                 {6, 4, true},
                                                                                 {6, 3, false},
                                                                                 {8, 4, false},
                                                                                 {9, 5, true}}) {
    CAPTURE(files);
    CAPTURE(gone);
    Scene scene;
    for (int i = 0; i < files; ++i) {
      scene.put(std::to_string(i) + ".md", "note number " + std::to_string(i));
    }
    scene.sync();
    for (int i = 0; i < gone; ++i)
      std::filesystem::remove(scene.folder + "/" + std::to_string(i) + ".md");
    // A file that came meanwhile says nothing of those that were there.
    scene.put("new.md", "something else");
    const SyncReport report = scene.sync();
    CHECK(std::ssize(report.missing) == (kept ? gone : 0));
    CHECK(report.removed == (kept ? 0 : gone));
    CHECK(std::ssize(scene.keys()) == files + 1 - (kept ? 0 : gone));
    // What is there can still be searched, and goes once that is asked for.
    SyncOptions remove;
    remove.remove_missing = true;
    const SyncReport removed = scene.sync(remove);
    CHECK(removed.missing.empty());
    CHECK(removed.removed == (kept ? gone : 0));
  }
}

TEST_CASE("a file is found by its name in either form of its accents") {
  Scene scene;
  const std::string composed = "r\xC3\xA9sum\xC3\xA9.md";
  const std::string decomposed = "re\xCC\x81sume\xCC\x81.md";
  const std::string mixed = "r\xC3\xA9sume\xCC\x81.txt";
  scene.put(decomposed, "a curriculum vitae");
  scene.put(mixed, "a letter");
  scene.sync();
  // The key is the name on disk, so that a program can open it; the path is in NFC.
  CHECK(scene.get(decomposed).metadata == Metadata{{"path", composed}});
  CHECK(scene.get(decomposed).title == composed);
  const auto count = [&](const std::string& filter) {
    return scene.db.count(query::with_name_forms(Filter::parse(filter).value())).value();
  };
  for (const char* typed : {"r\xC3\xA9s", "re\xCC\x81s"}) {
    CHECK(count(std::string("path prefix \"") + typed + "\"") == 2);
    CHECK(count(std::string("NOT path prefix \"") + typed + "\"") == 0);
    CHECK(count(std::string("path contains \"") + typed + "\" AND key exists") == 2);
  }
  for (const std::string& typed : {composed, decomposed}) {
    CHECK(count("path == \"" + typed + "\"") == 1);
    CHECK(count("key == \"" + typed + "\"") == 1);
    CHECK(count("path in [\"" + typed + "\", \"x\"]") == 1);
    CHECK(count("path not in [\"" + typed + "\"]") == 1);
  }
  CHECK(query::with_name_forms(Filter::parse("path prefix \"a\"").value()).to_string() ==
        "path prefix \"a\"");
}

TEST_CASE(
    "missing documents stay in every later run until they are back or their removal is asked") {
  Scene scene;
  const auto note = [](int i) { return std::to_string(i) + ".md"; };
  const auto put = [&](const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) scene.put(prefix + note(i), prefix + " number " + note(i));
  };
  put("old", 6);
  scene.sync();
  for (int i = 0; i < 6; ++i) std::filesystem::remove(scene.folder + "/old" + note(i));
  put("new", 7);
  for (int run = 0; run < 3; ++run) {
    const SyncReport report = scene.sync();
    CHECK(report.missing.size() == 6);
    CHECK(report.removed == 0);
    put("more" + std::to_string(run), 20);
  }
  // A few of them come back, as a cloud folder fills: the others are still waited for.
  put("old", 4);
  CHECK(scene.sync().missing.size() == 2);
  put("old", 6);
  CHECK(scene.sync().missing.empty());
  CHECK(scene.keys().size() == 73);
  // From here on all is as before: what a person deletes goes.
  std::filesystem::remove(scene.folder + "/old" + note(0));
  CHECK(scene.sync().removed == 1);
  for (int i = 1; i < 6; ++i) std::filesystem::remove(scene.folder + "/old" + note(i));
  CHECK(scene.sync().removed == 5);
}

TEST_CASE("after missing documents were removed on request, deleted files are removed as usual") {
  Scene scene;
  for (int i = 0; i < 4; ++i) scene.put(std::to_string(i), "old " + std::to_string(i));
  scene.sync();
  for (int i = 0; i < 4; ++i) std::filesystem::remove(scene.folder + "/" + std::to_string(i));
  for (int i = 5; i < 15; ++i) scene.put(std::to_string(i), "new " + std::to_string(i));
  CHECK(scene.sync().missing.size() == 4);
  SyncOptions remove;
  remove.remove_missing = true;
  CHECK(scene.sync(remove).removed == 4);
  std::filesystem::remove(scene.folder + "/5");
  const SyncReport report = scene.sync();
  CHECK(report.removed == 1);
  CHECK(report.missing.empty());
}

TEST_CASE("a damaged document whose file is gone is removed like any other") {
  TempFolder temp;
  const std::string folder = temp / "docs";
  for (const char* name : {"a", "b", "c"}) nestor::testing::write(folder + "/" + name, name);
  const auto encoder = std::make_shared<nestor::testing::HashEncoder>();
  {
    Database db = Scene::open(temp / "db", encoder);
    REQUIRE(nestor::query::sync_folder(db, folder, {}).ok());
  }
  {
    auto raw =
        nestor::storage::open_rocksdb(temp / "db/rocksdb", nestor::storage::OpenMode::kWrite);
    REQUIRE(raw.ok());
    REQUIRE(raw.value()->Put({}, nestor::storage::document_key(1, "b"), "rubbish").ok());
  }
  Database db = Scene::open(temp / "db", encoder);
  REQUIRE(db.get("b").status().code() == StatusCode::kDataLoss);
  std::filesystem::remove(folder + "/b");
  const auto report = nestor::query::sync_folder(db, folder, {});
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK(report.value().removed == 1);
  CHECK(db.list_keys().value() == std::vector<std::string>{"a", "c"});
}

TEST_CASE(
    "the database of a folder stays its own when the folder was moved and its old place taken") {
  Scene scene;
  scene.put("a", "one");
  scene.sync();
  const std::string moved = scene.temp / "moved";
  std::filesystem::rename(scene.folder, moved);
  scene.put("x", "somebody else's");
  SyncOptions options;
  CHECK(nestor::query::sync_folder(scene.db, moved, options).status().code() ==
        StatusCode::kAlreadyExists);
  options.own_database = true;
  CHECK(nestor::query::sync_folder(scene.db, moved, options).ok());
  CHECK(scene.db.attribute(kDefaultCollection, nestor::query::kFolderAttribute).value() ==
        std::filesystem::canonical(moved).string());
}

TEST_CASE("a renamed file is embedded again only where its name is its title") {
  Scene scene;
  scene.put("with.md", "# Heating\n\nThe boiler is in the cellar.\n");
  scene.put("without.md", "The boiler is in the cellar.\n");
  scene.sync();
  std::filesystem::rename(scene.folder + "/with.md", scene.folder + "/with-2.md");
  CHECK(scene.sync().documents.passages_embedded == 0);
  std::filesystem::create_directory(scene.folder + "/sub");
  std::filesystem::rename(scene.folder + "/without.md", scene.folder + "/sub/without.md");
  CHECK(scene.sync().documents.passages_embedded == 0);
  std::filesystem::rename(scene.folder + "/sub/without.md", scene.folder + "/other.md");
  CHECK(scene.sync().documents.passages_embedded == 1);
  CHECK(scene.get("other.md").title == "other.md");
}
