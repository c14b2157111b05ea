// Every public method of Database beside every other one, beside a writer, a refresher and a
// closer. The methods stand in one list, which is compared with the public header: a method that is
// not in the list fails the test.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>

#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

// What one call of a method works with. `turn` differs from call to call.
struct World {
  Database& db;
  const std::string& folder;
  std::uint64_t turn = 0;

  [[nodiscard]] std::string key() const { return "k" + std::to_string(turn % 40); }
  // A path that no other call uses.
  [[nodiscard]] std::string path(const std::string& name) const {
    return folder + "/" + name + std::to_string(turn);
  }
};

// The status of one call; `is_expected` knows the failures that calls side by side may have.
struct Method {
  std::string name;  // as in the header; overloads share it
  std::function<Status(World&)> call;
};

std::vector<float> some_vector() {
  std::vector<float> vector(768, 0.0F);
  vector[7] = 1;
  return vector;
}

void remove_path(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

Status write_methods_of_import(World& world) {
  const std::vector<std::string> lines = [&] {
    std::vector<std::string> made;
    const auto exported = world.db.export_documents(
        [&](std::string_view line) {
          made.emplace_back(line);
          return Status();
        },
        {.filter = Filter::field("n") < 3});
    return exported.ok() ? made : std::vector<std::string>();
  }();
  if (lines.empty()) return {};
  std::size_t next = 0;
  return world.db
      .import_documents(
          [&]() -> Result<std::optional<std::string_view>> {
            if (next == lines.size()) return std::optional<std::string_view>();
            return std::optional<std::string_view>(lines[next++]);
          },
          {.collection = "imported"})
      .status();
}

std::vector<Method> writing_methods() {
  return {
      {"create_collection",
       [](World& w) { return w.db.create_collection("c" + std::to_string(w.turn % 3)).status(); }},
      {"set_attribute",
       [](World& w) { return w.db.set_attribute("default", "from", std::to_string(w.turn % 2)); }},
      {"add",
       [](World& w) {
         return w.db.add({{.key = w.key(), .text = "added words " + w.key()}}).status();
       }},
      {"add",
       [](World& w) {
         const Document document{.key = w.key(), .text = "added words " + w.key()};
         return w.db.add(std::span(&document, 1), {.removals = {"k41"}}).status();
       }},
      {"remove", [](World& w) { return w.db.remove({w.key()}).status(); }},
      {"remove",
       [](World& w) {
         const std::string key = w.key();
         return w.db.remove(std::span(&key, 1), {.erase = w.turn % 4 == 0}).status();
       }},
      {"remove_matching",
       [](World& w) { return w.db.remove_matching(Filter::field("n") == 39).status(); }},
      {"remove_expired", [](World& w) { return w.db.remove_expired().status(); }},
      {"change_metadata",
       [](World& w) {
         return w.db.change_metadata({{.key = w.key(), .set = {{"x", true}}}}).status();
       }},
      {"reembed", [](World& w) { return w.db.reembed({.all_modes = true}).status(); }},
      {"import_documents", write_methods_of_import},
      {"compact", [](World& w) { return w.db.compact().status(); }},
  };
}

std::vector<Method> searching_methods() {
  return {
      {"search",
       [](World& w) {
         return w.db.search("words of k3", {.mode = static_cast<SearchMode>(w.turn % 3)}).status();
       }},
      {"search",
       [](World& w) {
         return w.db
             .search(Query{.like = {.texts = {{"words"}}}},
                     {.filter = Filter::field("n") < 30, .coarse_width = w.turn % 2 == 0 ? 128 : 0})
             .status();
       }},
      {"search_vector", [](World& w) { return w.db.search_vector(some_vector()).status(); }},
      {"search_batch",
       [](World& w) {
         SearchOptions options;
         // A callback that asks the same database.
         options.rerank = [&db = w.db](const RerankRequest& request) {
           static_cast<void>(db.search("words", {.k = 1}));
           return std::vector<double>(request.candidates.size(), 1.0);
         };
         return w.db.search_batch({"words", "k4", "other"}, options).status();
       }},
      {"search_vectors",
       [](World& w) {
         std::vector<float> block = some_vector();
         block.resize(2 * 768, 0.5F);
         return w.db.search_vectors(block).status();
       }},
      {"measure_recall",
       [](World& w) { return w.db.measure_recall({.k = 2, .sample = 2}).status(); }},
  };
}

std::vector<Method> looking_methods() {
  return {
      {"attribute", [](World& w) { return w.db.attribute("default", "from").status(); }},
      {"get", [](World& w) { return w.db.get(w.key()).status(); }},
      {"list_keys", [](World& w) { return w.db.list_keys().status(); }},
      {"list_keys", [](World& w) { return w.db.list_keys(Filter::field("n") < 9).status(); }},
      {"unknown_fields",
       [](World& w) { return w.db.unknown_fields(Filter::field("none") == 1).status(); }},
      {"count", [](World& w) { return w.db.count().status(); }},
      {"count", [](World& w) { return w.db.count(Filter::field("n") >= 5).status(); }},
      {"stats", [](World& w) { return w.db.stats().status(); }},
      {"memory_usage", [](World& w) { return w.db.memory_usage().status(); }},
      {"verify",
       [](World& w) {
         const auto report = w.db.verify();
         if (!report.ok() || report.value().problems.empty()) return report.status();
         return Status(StatusCode::kInternal, report.value().problems.front());
       }},
      {"backup",
       [](World& w) {
         const std::string to = w.path("backup");
         const Status status = w.db.backup(to, {.verify = false}).status();
         remove_path(to);
         return status;
       }},
      {"bundle",
       [](World& w) {
         const std::string file = w.path("bundle");
         const std::string to = w.path("unbundled");
         Status status = w.db.bundle(file, {.verify = false}).status();
         if (status.ok()) status = Database::unbundle(file, to, {.verify = false}).status();
         remove_path(file);
         remove_path(to);
         return status;
       }},
      {"export_documents",
       [](World& w) {
         return w.db.export_documents([](std::string_view) { return Status(); }).status();
       }},
      {"verify_erased", [](World& w) { return w.db.verify_erased("never there").status(); }},
      {"refresh", [](World& w) { return w.db.refresh().status(); }},
      // An encoder of the test's own has no public Embedder.
      {"embedder",
       [](World& w) {
         const Status status = w.db.embedder().status();
         return status.code() == StatusCode::kFailedPrecondition ? Status() : status;
       }},
  };
}

std::vector<Method> reading_methods() {
  std::vector<Method> methods = looking_methods();
  for (Method& method : searching_methods()) methods.push_back(std::move(method));
  return methods;
}

// Methods that the list of pairs cannot hold, each with the reason.
const std::set<std::string> kNotOfOneHandle = {
    "open",      // makes the handle
    "close",     // ends every pair
    "repair",    // wants the folder for itself
    "unbundle",  // static; called by `bundle`
};

// Takes `prefix` off the beginning of `text`, where it is.
bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::set<std::string> declared_methods() {
  std::ifstream file(nestor::testing::tests_path("../core/include/nestor/database.h"));
  std::stringstream text;
  text << file.rdbuf();
  std::string header = text.str();
  const std::size_t begin = header.find("class NESTOR_API Database {");
  REQUIRE(begin != std::string::npos);
  header = header.substr(begin, header.find("\n};", begin) - begin);
  std::set<std::string> names;
  std::istringstream lines(header);
  for (std::string line; std::getline(lines, line);) {
    std::string_view rest = line;
    if (!take_prefix(rest, "  ")) continue;
    take_prefix(rest, "static ");
    if (!rest.starts_with("Result<") && !rest.starts_with("Status ")) continue;
    const std::size_t end = rest.find('(');
    if (end == std::string_view::npos) continue;
    names.emplace(rest.substr(0, end).substr(rest.rfind(' ', end) + 1));
  }
  return names;
}

// Failures that calls side by side may have.
bool is_expected(const Status& status) {
  if (status.ok()) return true;
  const std::string& message = status.message();
  const auto says = [&](const char* part) { return message.find(part) != std::string::npos; };
  switch (status.code()) {
    case StatusCode::kNotFound:  // of a key or a collection that another call removes or makes
      return true;
    case StatusCode::kIoError:  // of a reader whose writer goes on
      return says("refresh it and verify again");
    case StatusCode::kFailedPrecondition:
      return says("was closed") || says("one runs at a time") || says("compact again");
    default:
      return false;
  }
}

std::unique_ptr<Database> open_at(const std::string& path, bool read_only) {
  auto opened =
      query::open_database(path, {.read_only = read_only, .embedder = {.thread_count = 2}},
                           factory_of(std::make_shared<HashEncoder>()));
  if (!opened.ok()) MESSAGE(opened.status().to_string());
  REQUIRE(opened.ok());
  return std::make_unique<Database>(std::move(opened).value());
}

// Enough documents for trained codes and a row cache.
void fill(Database& db) {
  std::vector<Document> documents;
  for (int i = 0; i < 1100; ++i) {
    documents.push_back({.key = (i < 40 ? "k" : "m") + std::to_string(i),
                         .text = "words of k" + std::to_string(i),
                         .metadata = {{"n", i}}});
  }
  REQUIRE(db.add(documents).ok());
}

enum class Then { kGoOn, kClose };

class Stress {
 public:
  explicit Stress(const std::string& folder) : folder_(folder) {}

  // All side by side, again and again, until each was called and kSlice is over; then the handle
  // may be closed under them. The one that was called last was beside all others, which went on.
  void run(Database& db, const std::vector<const Method*>& methods, Then then) {
    std::atomic<bool> stop{false};
    std::vector<std::atomic<int>> calls(methods.size());
    const auto end = std::chrono::steady_clock::now() + kSlice;
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < methods.size(); ++i) {
        threads.emplace_back([&, i] {
          while (!stop) {
            World world{.db = db, .folder = folder_, .turn = turn_++};
            const Status status = methods[i]->call(world);
            if (!is_expected(status)) fail(methods[i]->name + ": " + status.to_string());
            ++calls[i];
          }
        });
      }
      for (const auto& count : calls) {
        while (count == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
      std::this_thread::sleep_until(end);
      if (then == Then::kClose) CHECK(db.close().ok());
      stop = true;
    }
    CHECK_MESSAGE(failures_ == 0, messages_);
    const bool closed = db.count().status().code() == StatusCode::kFailedPrecondition;
    CHECK(closed == (then == Then::kClose));
  }

 private:
  static constexpr std::chrono::milliseconds kSlice{5};

  void fail(const std::string& message) {
    failures_.fetch_add(1);
    const std::lock_guard lock(mutex_);
    messages_ += message + "\n";
  }

  const std::string folder_;
  std::atomic<std::uint64_t> turn_{0};
  std::atomic<int> failures_{0};
  std::mutex mutex_;
  std::string messages_;
};

const Method& named(const std::vector<Method>& methods, const std::string& name) {
  for (const Method& method : methods) {
    if (method.name == name) return method;
  }
  FAIL(name << " is not in the list");
  return methods.front();
}

}  // namespace

TEST_CASE("every public method of Database stands in the list of the stress test") {
  std::set<std::string> listed = kNotOfOneHandle;
  for (const auto& methods : {writing_methods(), reading_methods()}) {
    for (const Method& method : methods) listed.insert(method.name);
  }
  const std::set<std::string> declared = declared_methods();
  CHECK(declared.size() > 25);
  CHECK(listed == declared);
}

TEST_CASE("every two methods run beside one another, a writer, a refresher and a closer") {
  TempFolder folder;
  fill(*open_at(folder / "db", false));
  std::vector<Method> methods = writing_methods();
  for (Method& method : reading_methods()) methods.push_back(std::move(method));
  const Method& writer = named(methods, "add");
  const Method& refresher = named(methods, "refresh");
  Stress stress(folder / "");
  // A handle serves for about eight pairs and is closed under the last of them; each method is in
  // some of the pairs that end so.
  std::unique_ptr<Database> db;
  for (std::size_t a = 0; a < methods.size(); ++a) {
    for (std::size_t b = a; b < methods.size(); ++b) {
      CAPTURE(methods[a].name);
      CAPTURE(methods[b].name);
      if (db == nullptr) db = open_at(folder / "db", false);
      const Then then = (a + b) % 8 == 0 ? Then::kClose : Then::kGoOn;
      stress.run(*db, {&methods[a], &methods[b], &writer, &refresher}, then);
      if (then == Then::kClose) db.reset();
    }
  }
  db.reset();
  CHECK(open_at(folder / "db", false)->verify().value().problems.empty());
}

TEST_CASE("a reader's methods run beside its refresh while another handle writes") {
  TempFolder folder;
  const auto writer = open_at(folder / "db", false);
  fill(*writer);
  const std::vector<Method> methods = reading_methods();
  const Method& refresher = named(methods, "refresh");
  const Method write_elsewhere{
      "add", [&](World& world) {
        return writer->add({{.key = world.key(), .text = "new words " + world.key()}}).status();
      }};
  Stress stress(folder / "");
  for (const Method& method : methods) {
    CAPTURE(method.name);
    const auto db = open_at(folder / "db", true);
    stress.run(*db, {&method, &method, &refresher, &refresher, &write_elsewhere}, Then::kClose);
  }
}
