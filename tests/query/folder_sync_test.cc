// A collection kept in step with a folder, with a hash in the model's place.
#include "query/folder_sync.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tests/query/folder_scene.h"

using namespace nestor;
using nestor::query::SkipReason;
using nestor::query::sync_folder;
using nestor::query::SyncOptions;
using nestor::query::SyncReport;
using nestor::testing::Scene;
using nestor::testing::skipped;
using nestor::testing::write;

namespace {

// Root reads everything, so root is somebody else while this lives.
class NotRoot {
 public:
  NotRoot() : was_root_(::geteuid() == 0) {
    constexpr uid_t kNobody = 65534;
    if (was_root_) REQUIRE(::seteuid(kNobody) == 0);
  }
  ~NotRoot() {
    if (was_root_) CHECK(::seteuid(0) == 0);
  }
  NotRoot(const NotRoot&) = delete;
  NotRoot& operator=(const NotRoot&) = delete;

 private:
  const bool was_root_;
};

}  // namespace

TEST_CASE("text files of a folder become documents with path, title and text") {
  Scene scene;
  scene.put("ops/keys.md", "# Key rotation\n\nKeys are rotated every 90 days.\n");
  scene.put("plain.txt", "cats purr");
  scene.put("LICENSE", "do what you like");
  scene.put("chapter.md", "\n## Second level\n\ntext\n\n## Another\n");
  const SyncReport report = scene.sync();
  CHECK(report.files == 4);
  CHECK(report.documents.documents_added == 4);
  CHECK(report.skipped.empty());
  CHECK(scene.keys() ==
        std::vector<std::string>{"LICENSE", "chapter.md", "ops/keys.md", "plain.txt"});
  const Document keys = scene.get("ops/keys.md");
  CHECK(keys.title == "Key rotation");
  CHECK(keys.metadata == Metadata{{"path", "ops/keys.md"}});
  CHECK(scene.get("chapter.md").title == "Second level");
  CHECK(scene.get("plain.txt").title == "plain.txt");
  CHECK(scene.db.attribute(kDefaultCollection, query::kFolderAttribute).value() ==
        std::filesystem::canonical(scene.folder).string());
}

TEST_CASE("a second run embeds only what changed and removes what is gone") {
  Scene scene;
  scene.put("a.md", "alpha text");
  scene.put("b.md", "beta text");
  scene.put("c.md", "gamma text");
  scene.sync();
  const auto embedded = scene.encoder->encoded_count();
  SyncReport report = scene.sync();
  CHECK(report.documents.documents_unchanged == 3);
  CHECK(scene.encoder->encoded_count() == embedded);

  scene.put("b.md", "beta has changed");
  std::filesystem::remove(scene.folder + "/c.md");
  scene.put("d.md", "delta is new");
  report = scene.sync();
  CHECK(report.documents.documents_unchanged == 1);
  CHECK(report.documents.documents_updated == 1);
  CHECK(report.documents.documents_added == 1);
  CHECK(report.removed == 1);
  CHECK(scene.encoder->encoded_count() == embedded + 2);
  CHECK(scene.keys() == std::vector<std::string>{"a.md", "b.md", "d.md"});
  CHECK(scene.get("b.md").text == "beta has changed");
}

TEST_CASE("a file that is moved is one document, under its new path") {
  Scene scene;
  scene.put("old.md", "# Same\n\ncontent");
  scene.sync();
  std::filesystem::rename(scene.folder + "/old.md", scene.folder + "/new.md");
  const SyncReport report = scene.sync();
  CHECK(report.removed == 1);
  CHECK(report.documents.documents_added == 1);
  CHECK(scene.keys() == std::vector<std::string>{"new.md"});
  CHECK(scene.get("new.md").metadata == Metadata{{"path", "new.md"}});
}

TEST_CASE("an unchanged folder needs no model the second time") {
  Scene scene;
  scene.put("a.md", "alpha text");
  scene.sync();
  REQUIRE(scene.db.close().ok());
  auto without = query::open_database(scene.temp / "db", {}, []() -> Result<query::EncoderPointer> {
    return Status(StatusCode::kModelMissing, "no model in this test");
  });
  REQUIRE(without.ok());
  const auto report = sync_folder(without.value(), scene.folder, {});
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK(report.value().documents.documents_unchanged == 1);
}

TEST_CASE("another passage length cuts every document again") {
  Scene scene;
  std::string text;
  for (int i = 0; i < 200; ++i) text += "word" + std::to_string(i) + " ";
  scene.put("a.md", text);
  scene.sync();
  SyncOptions shorter;
  shorter.split.passage_tokens = 16;
  CHECK(scene.sync(shorter).documents.documents_updated == 1);
  CHECK(scene.sync(shorter).documents.documents_unchanged == 1);
  CHECK(scene.db.stats().value().collections.at(0).passages > 5);
}

TEST_CASE("what is not indexed is listed with the reason") {
  Scene scene;
  scene.put("good.md", "text");
  scene.put(".hidden", "secret");
  scene.put(".git/config", "x");
  scene.put("image.png", "not looked at");
  scene.put("binary", std::string_view("ELF\0\1\2", 6));
  scene.put("noise", "\xff\xfe\xfd\xfc\xfb\x01\x02\x03\x04\x05");
  scene.put("big.txt", std::string(2000, 'x'));
  std::filesystem::create_symlink("/", scene.folder + "/root");
  std::filesystem::create_symlink("good.md", scene.folder + "/link.md");
  std::filesystem::create_symlink("nowhere", scene.folder + "/dangling");
  REQUIRE(::mkfifo((scene.folder + "/pipe").c_str(), 0600) == 0);
  scene.put("bad\xff name.md", "text");
  scene.put("blank.md", "\n \t\n");
  scene.put("zero.txt", "");
  REQUIRE(Scene::open(scene.folder + "/other.nestor", scene.encoder).close().ok());
  scene.put("other.nestor/notes.md", "inside a database");
  SyncOptions options;
  options.most_file_bytes = 1000;
  const SyncReport report = scene.sync(options);
  CHECK(scene.keys() == std::vector<std::string>{"good.md"});
  CHECK(report.skipped.size() == 14);
  CHECK(skipped(report, ".hidden", SkipReason::kHidden));
  CHECK(skipped(report, ".git", SkipReason::kHidden));
  CHECK(skipped(report, "image.png", SkipReason::kBinaryName));
  CHECK(skipped(report, "binary", SkipReason::kBinary));
  CHECK(skipped(report, "noise", SkipReason::kBinary));
  CHECK(skipped(report, "big.txt", SkipReason::kTooLarge));
  CHECK(skipped(report, "blank.md", SkipReason::kEmpty));
  CHECK(skipped(report, "zero.txt", SkipReason::kEmpty));
  CHECK(skipped(report, "root", SkipReason::kSymbolicLink));
  CHECK(skipped(report, "link.md", SkipReason::kSymbolicLink));
  CHECK(skipped(report, "dangling", SkipReason::kSymbolicLink));
  CHECK(skipped(report, "pipe", SkipReason::kSpecial));
  CHECK(skipped(report, "bad\xff name.md", SkipReason::kBadName));
  CHECK(skipped(report, "other.nestor", SkipReason::kDatabase));
}

TEST_CASE("names with a line break or an escape are names like others") {
  Scene scene;
  scene.put("two\nlines.md", "first");
  scene.put("esc\x1b[2J.md", "second");
  const SyncReport report = scene.sync();
  CHECK(report.documents.documents_added == 2);
  CHECK(scene.get("two\nlines.md").text == "first");
  CHECK(scene.get("esc\x1b[2J.md").text == "second");
}

TEST_CASE(
    "ill-formed UTF-8 in a text is repaired and its file named, a byte order mark taken off") {
  Scene scene;
  scene.put("latin.txt", "a caf\xe9 in the old town, and then some more text around it");
  scene.put("bom.md", "\xEF\xBB\xBF# Title\n\ntext");
  const SyncReport report = scene.sync();
  REQUIRE(report.repaired.size() == 1);
  CHECK(report.repaired[0].path == "latin.txt");
  CHECK(report.repaired[0].sequences == 1);
  CHECK(scene.get("latin.txt").text ==
        "a caf\xEF\xBF\xBD in the old town, and then some more text around it");
  CHECK(scene.get("bom.md").title == "Title");
  CHECK(scene.get("bom.md").text == "# Title\n\ntext");
  // Also where nothing has changed since.
  CHECK(scene.sync().repaired.size() == 1);
}

TEST_CASE(
    "files that were moved, or emptied to nothing, are told apart from files that are missing") {
  Scene scene;
  for (int i = 0; i < 6; ++i)
    scene.put(std::to_string(i) + ".md", "note number " + std::to_string(i));
  scene.sync();
  std::filesystem::create_directories(scene.folder + "/sub");
  for (int i = 0; i < 6; ++i) {
    const std::string name = std::to_string(i) + ".md";
    std::filesystem::rename(scene.folder + "/" + name, scene.folder + "/sub/" + name);
  }
  const SyncReport moved = scene.sync();
  CHECK(moved.missing.empty());
  CHECK(moved.removed == 6);
  CHECK(scene.keys().front() == "sub/0.md");
  // As a cloud folder has files whose content is elsewhere.
  for (int i = 0; i < 6; ++i) scene.put("sub/" + std::to_string(i) + ".md", "");
  const SyncReport emptied = scene.sync();
  CHECK(emptied.missing.size() == 6);
  CHECK(scene.keys().size() == 6);
}

TEST_CASE("a path longer than a key is skipped with both numbers") {
  Scene scene;
  const std::string deep =
      std::string(200, 'a') + "/" + std::string(200, 'b') + "/" + std::string(200, 'c') + ".md";
  scene.put(deep, "text");
  const SyncReport report = scene.sync();
  REQUIRE(report.skipped.size() == 1);
  CHECK(report.skipped[0].reason == SkipReason::kBadName);
  CHECK(report.skipped[0].detail.find("605") != std::string::npos);
  CHECK(report.skipped[0].detail.find("512") != std::string::npos);
}

TEST_CASE("a run that is stopped keeps what it has done, and the next one finishes") {
  Scene scene;
  for (int i = 0; i < 150; ++i) {
    scene.put("file" + std::to_string(i) + ".md", "text number " + std::to_string(i));
  }
  std::stop_source source;
  SyncOptions options;
  options.stop = source.get_token();
  options.progress = [&](const query::SyncProgress& progress) {
    if (progress.files_done >= 64) source.request_stop();
  };
  const SyncReport first = scene.sync(options);
  CHECK(first.interrupted);
  const std::int64_t kept = first.documents.documents_added;
  CHECK(kept >= 64);
  CHECK(kept < 150);
  CHECK(scene.keys().size() == static_cast<std::size_t>(kept));
  const auto embedded = scene.encoder->encoded_count();
  const SyncReport second = scene.sync();
  CHECK_FALSE(second.interrupted);
  CHECK(second.documents.documents_unchanged == kept);
  CHECK(second.documents.documents_added == 150 - kept);
  CHECK(scene.encoder->encoded_count() == embedded + 150 - kept);
}

TEST_CASE("progress tells files, and totals that the work comes to") {
  Scene scene;
  for (int i = 0; i < 130; ++i) scene.put(std::to_string(i) + ".txt", "some words to embed here");
  query::SyncProgress last;
  bool fell_back = false;
  SyncOptions options;
  options.progress = [&](const query::SyncProgress& progress) {
    fell_back |= progress.files_done < last.files_done || progress.tokens_done < last.tokens_done;
    last = progress;
  };
  const SyncReport report = scene.sync(options);
  CHECK_FALSE(fell_back);
  CHECK(last.files_done == 130);
  CHECK(last.files_total == 130);
  CHECK(last.passages_done == 130);
  CHECK(last.tokens_done == report.documents.tokens_embedded);
  CHECK(last.tokens_total == last.tokens_done);
}

TEST_CASE("documents added by hand are not removed with the files") {
  Scene scene;
  scene.put("a.md", "alpha");
  REQUIRE(scene.db.add({{.key = "by hand", .text = "kept"}}).ok());
  scene.sync();
  std::filesystem::remove(scene.folder + "/a.md");
  CHECK(scene.sync().removed == 1);
  CHECK(scene.keys() == std::vector<std::string>{"by hand"});
}

TEST_CASE("a folder that cannot be read keeps its documents") {
  Scene scene;
  scene.put("subfolder/a.md", "alpha");
  scene.put("b", "beta");
  scene.sync();
  // Moved so deep that "b" still has a path that the system takes and "subfolder" has none: a way
  // to be unreadable that holds for root too.
  constexpr std::size_t kPathBytes = 4088;
  std::string deep = scene.temp / "deep";
  while (kPathBytes - deep.size() > 202) deep += "/" + std::string(200, 'd');
  std::filesystem::create_directories(deep);
  deep += "/" + std::string(kPathBytes - deep.size() - 1, 'e');
  std::filesystem::rename(scene.folder, deep);
  const auto report = sync_folder(scene.db, deep, {});
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK(skipped(report.value(), "subfolder", SkipReason::kUnreadable));
  CHECK(report.value().removed == 0);
  CHECK(scene.keys() == std::vector<std::string>{"b", "subfolder/a.md"});
}

TEST_CASE("a collection of one folder is not given another that exists") {
  Scene scene;
  scene.put("a.md", "alpha");
  scene.sync();
  const std::string other = scene.temp / "other";
  write(other + "/b.md", "beta");
  const auto refused = sync_folder(scene.db, other, {});
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().code() == StatusCode::kAlreadyExists);
  CHECK(refused.status().message().find("docs") != std::string::npos);
  CHECK(scene.keys() == std::vector<std::string>{"a.md"});
  // A folder that was moved is the same documents elsewhere.
  std::filesystem::rename(scene.folder, scene.temp / "moved");
  const auto moved = sync_folder(scene.db, scene.temp / "moved", {});
  REQUIRE_MESSAGE(moved.ok(), moved.status().to_string());
  CHECK(moved.value().documents.documents_unchanged == 1);
}

TEST_CASE("a database inside the folder is passed over, and the folder is only read") {
  Scene scene;
  scene.put("a.md", "alpha");
  const std::string inside = scene.folder + "/my.db";
  Database db = Scene::open(inside, scene.encoder);
  SyncOptions options;
  options.database_path = inside;
  const auto report = sync_folder(db, scene.folder, options);
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK(skipped(report.value(), "my.db", SkipReason::kDatabase));
  CHECK(report.value().documents.documents_added == 1);
  CHECK(std::distance(std::filesystem::directory_iterator(scene.folder),
                      std::filesystem::directory_iterator()) == 2);
}

TEST_CASE("a file and a missing folder are refused by name") {
  Scene scene;
  scene.put("a.md", "alpha");
  const auto file = sync_folder(scene.db, scene.folder + "/a.md", {});
  REQUIRE_FALSE(file.ok());
  CHECK(file.status().code() == StatusCode::kInvalidArgument);
  const auto missing = sync_folder(scene.db, scene.folder + "/none", {});
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.status().code() == StatusCode::kNotFound);
  CHECK(missing.status().message().find("none") != std::string::npos);
}
