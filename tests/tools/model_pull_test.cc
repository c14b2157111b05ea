#include "tools/cli/model_pull.h"

#include <doctest/doctest.h>

#include "tests/tools/pull_fixture.h"

namespace fs = std::filesystem;
using nestor::Result;
using nestor::Status;
using nestor::StatusCode;
using nestor::cli::PullOptions;
using nestor::testing::content_of;
using nestor::testing::holds;
using nestor::testing::HubStandIn;
using nestor::testing::kContents;
using nestor::testing::PullFixture;
using nestor::testing::write;

namespace {

void make_mirror(const PullFixture& world, const std::vector<std::string>& extra = {}) {
  nestor::cli::ChildCommand command;
  command.arguments = {"python3", nestor::testing::tests_path("support/make_mirror_wheels.py"),
                       world.source(), world.path("wheels"), "2"};
  command.arguments.insert(command.arguments.end(), extra.begin(), extra.end());
  const Result<nestor::cli::ChildResult> made = nestor::cli::run_child(command, {}, {});
  REQUIRE(made.ok());
  REQUIRE(made.value().exit_code == 0);
  PullFixture::set("PIP_NO_INDEX", "1");
  PullFixture::set("PIP_FIND_LINKS", world.path("wheels"));
}

}  // namespace

TEST_CASE("a model comes from the folder named, whole, and a second pull leaves it as it is") {
  PullFixture world;
  PullOptions options = world.options();
  options.from = world.source();
  REQUIRE(world.pull(options).ok());
  world.check_whole();
  CHECK(content_of(world.source() + "/tokenizer.model") == "the tokenizer");
  const Result<std::string> again = world.pull();
  REQUIRE(again.ok());
  CHECK(again.value() == "in place already");
  world.check_whole();
}

TEST_CASE("a folder with a damaged file is refused by name, and the target sees nothing of it") {
  PullFixture world;
  write(world.source() + "/tokenizer.model", "the tokeniser");
  PullOptions options = world.options();
  options.from = world.source();
  const Status status = world.pull(options).status();
  CHECK(status.code() == StatusCode::kNotFound);
  CHECK(holds(status.message(), "tokenizer.model"));
  CHECK(holds(status.message(), nestor::sha256_hex("the tokeniser")));
  CHECK_FALSE(fs::exists(world.target()));
}

TEST_CASE("what else lies in the target stays there, and only what is missing is brought") {
  PullFixture world;
  write(world.target() + "/notes.txt", "mine");
  write(world.target() + "/tokenizer.model", "the tokenizer");
  write(world.target() + "/model.safetensors", "cut");
  PullOptions options = world.options();
  options.from = world.source();
  fs::remove(world.source() + "/tokenizer.model");
  REQUIRE(world.pull(options).ok());
  world.check_whole();
  CHECK(content_of(world.target() + "/notes.txt") == "mine");
}

TEST_CASE("the Hugging Face cache is used by link, without asking anybody") {
  PullFixture world;
  const std::string repository = world.path("hf/hub/models--google--embeddinggemma-300m");
  const std::string snapshot = repository + "/snapshots/0123abcd";
  for (const auto& [path, content] : kContents) {
    const std::string blob = repository + "/blobs/" + nestor::sha256_hex(content);
    write(blob, content);
    fs::create_directories(fs::path(snapshot + "/" + path).parent_path());
    fs::create_symlink(blob, snapshot + "/" + path);
  }
  // The place counts as a model only with these.
  for (const char* name : {"config.json", "modules.json", "config_sentence_transformers.json"}) {
    write(snapshot + "/" + name, "{}");
  }
  write(repository + "/refs/main", "0123abcd");
  const Result<std::string> source = world.pull();
  REQUIRE(source.ok());
  CHECK(holds(source.value(), "the Hugging Face cache"));
  world.check_whole();
  CHECK(fs::hard_link_count(world.target() + "/model.safetensors") == 2);
  CHECK_FALSE(fs::is_symlink(world.target() + "/model.safetensors"));
}

TEST_CASE("with nothing to bring it from, everything that was tried is listed with what to type") {
  PullFixture world;
  const Status status = world.pull().status();
  CHECK(status.code() == StatusCode::kModelMissing);
  INFO(status.message());
  CHECK(holds(status.message(), "the Hugging Face cache"));
  CHECK(holds(status.message(), "HF_TOKEN"));
  CHECK(holds(status.message(), "nestor model pull --accept-gemma-terms"));
  CHECK(holds(status.message(), "nestor model pull --from FOLDER"));
  CHECK_FALSE(fs::exists(world.staging()));
}

TEST_CASE("offline, the Hub is not asked") {
  PullFixture world;
  PullFixture::set("HF_TOKEN", "good-token");
  PullFixture::set("HF_HUB_OFFLINE", "1");
  const HubStandIn hub(world);
  CHECK(holds(world.pull().status().message(), "HF_HUB_OFFLINE"));
  CHECK(hub.log().empty());
}

TEST_CASE("the Hub's files come with a token that neither the process list nor the store sees") {
  PullFixture world;
  // A curl in front of the real one that writes down how it was called.
  write(world.path("bin/curl"), "#!/bin/sh\necho \"$@\" >>'" + world.path("calls") +
                                    "'\nPATH=${PATH#*:} exec curl \"$@\"\n");
  fs::permissions(world.path("bin/curl"), fs::perms::owner_all);
  PullFixture::set("PATH", world.path("bin") + ":" + getenv("PATH"));
  write(world.path("hf/token"), "good-token\n");
  const HubStandIn hub(world);
  const Result<std::string> source = world.pull();
  INFO(source.status().message());
  REQUIRE(source.ok());
  world.check_whole();
  CHECK(holds(hub.log(),
              "127.0.0.1 /google/embeddinggemma-300m/resolve/main/2_Dense/config.json - Bearer "
              "good-token"));
  CHECK(holds(hub.log(), "localhost /store/2_Dense/config.json - -"));
  CHECK_FALSE(content_of(world.path("calls")).empty());
  CHECK_FALSE(holds(content_of(world.path("calls")), "good-token"));
}

TEST_CASE("a refusal of the Hub says in three steps how to get in") {
  PullFixture world;
  const HubStandIn hub(world);
  std::string answer = "401";
  SUBCASE("no token") {}
  SUBCASE("a token without access") {
    PullFixture::set("HF_TOKEN", "blocked");
    answer = "403";
  }
  const Status status = world.pull().status();
  CHECK(status.code() == StatusCode::kModelMissing);
  INFO(status.message());
  CHECK(holds(status.message(), "answered " + answer));
  CHECK(holds(status.message(), "1. accept the licence"));
  CHECK(holds(status.message(), "2. type `hf auth login`, or set HF_TOKEN"));
  CHECK(holds(status.message(), "3. type `nestor model pull` again"));
  CHECK_FALSE(holds(status.message(), "blocked"));
}

TEST_CASE("a token that is not one word is refused before it reaches anybody") {
  PullFixture world;
  PullFixture::set("HF_TOKEN", "two\nlines");
  CHECK(world.pull().status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("an interrupted download goes on where it stopped") {
  PullFixture world;
  PullFixture::set("HF_TOKEN", "good-token");
  {
    const HubStandIn hub(world, "100000");
    const Status status = world.pull().status();
    CHECK(status.code() == StatusCode::kModelMissing);
    CHECK(holds(status.message(), "what has come is kept"));
    CHECK_FALSE(fs::exists(world.target()));
  }
  const HubStandIn hub(world);
  const Result<std::string> source = world.pull();
  INFO(source.status().message());
  REQUIRE(source.ok());
  world.check_whole();
  CHECK(holds(hub.log(), "/store/model.safetensors bytes=100000- -"));
}

TEST_CASE("a rest of something else is thrown away and fetched again from the start") {
  PullFixture world;
  PullFixture::set("HF_TOKEN", "good-token");
  write(world.staging() + "/hub/model.safetensors.part", std::string(50'000, 'x'));
  const HubStandIn hub(world);
  REQUIRE(world.pull().ok());
  world.check_whole();
  CHECK(holds(hub.log(), "/store/model.safetensors bytes=50000- -"));
  CHECK(holds(hub.log(), "/store/model.safetensors - -"));
}

TEST_CASE("a Hub that sends something else is not believed") {
  PullFixture world;
  PullFixture::set("HF_TOKEN", "good-token");
  write(world.source() + "/tokenizer.model", "the tokeniser");
  const HubStandIn hub(world);
  const Status status = world.pull().status();
  CHECK(holds(status.message(), "is not the known model"));
  CHECK_FALSE(fs::exists(world.target()));
}

TEST_CASE("the mirror is used only on the word, and as data only") {
  PullFixture world;
  make_mirror(world);
  CHECK(world.pull().status().code() == StatusCode::kModelMissing);
  PullOptions options = world.options();
  options.accept_gemma_terms = true;
  const Result<std::string> source = world.pull(options);
  INFO(source.status().message());
  REQUIRE(source.ok());
  world.check_whole();
  CHECK_FALSE(fs::exists(world.target() + "/unknown.py"));
  CHECK_FALSE(fs::exists(world.path("wheels/imported")));
}

TEST_CASE("slices that have come are kept until the model is whole") {
  PullFixture world;
  make_mirror(world);
  PullOptions options = world.options();
  options.accept_gemma_terms = true;
  const std::string last = world.path("wheels/nestor_test_mirror-0.2.2-py3-none-any.whl");
  fs::rename(last, world.path("aside"));
  const Status status = world.pull(options).status();
  CHECK(status.code() == StatusCode::kModelMissing);
  CHECK(holds(status.message(), "slice 2"));
  fs::remove_all(world.path("wheels"));
  write(last, content_of(world.path("aside")));
  const Result<std::string> source = world.pull(options);
  INFO(source.status().message());
  REQUIRE(source.ok());
  world.check_whole();
}

TEST_CASE("an archive that names paths outside, or holds other bytes, is refused") {
  PullFixture world;
  PullOptions options = world.options();
  options.accept_gemma_terms = true;
  std::string expected = "refused: the archive names";
  SUBCASE("above") { make_mirror(world, {"model_download/../../outside"}); }
  SUBCASE("absolute") { make_mirror(world, {"/outside"}); }
  SUBCASE("other bytes") {
    write(world.source() + "/tokenizer.model", "the tokeniser");
    make_mirror(world);
    expected = "is not the known model";
  }
  const Status status = world.pull(options).status();
  CHECK(status.code() == StatusCode::kModelMissing);
  INFO(status.message());
  CHECK(holds(status.message(), expected));
  CHECK_FALSE(fs::exists(world.target()));
}

TEST_CASE("two pulls at once: the second is told so") {
  PullFixture world;
  const auto held =
      nestor::cli::PullStaging::open(world.target(), world.options().files, world.context());
  REQUIRE(held.ok());
  CHECK(world.pull().status().code() == StatusCode::kLocked);
}

TEST_CASE("a stopped child is gone, and so are its children") {
  PullFixture world;
  std::stop_source source;
  const std::string pid_file = world.path("pid");
  const nestor::cli::ChildCommand command{
      .arguments = {"sh", "-c", "sleep 60 & echo $! >'" + pid_file + "'; wait"},
      .input = {},
      .working_folder = {},
      .environment = {}};
  const auto start = std::chrono::steady_clock::now();
  const auto ended = nestor::cli::run_child(command, source.get_token(), [&] {
    if (!content_of(pid_file).empty()) source.request_stop();
  });
  CHECK(ended.status().code() == StatusCode::kCancelled);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
  std::string pid = content_of(pid_file);
  pid.pop_back();
  // The grandchild is nobody's any more; a reaped or a dead one has no command line.
  bool gone = false;
  for (int i = 0; i < 50 && !gone; ++i) {
    gone = content_of("/proc/" + pid + "/cmdline").empty();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  CHECK(gone);
}

TEST_CASE("a child's words, its exit code and a missing program are told apart") {
  nestor::cli::ChildCommand command;
  command.arguments = {"sh", "-c", "cat; echo two >&2; exit 3"};
  command.input = "one";
  const auto ended = nestor::cli::run_child(command, {}, {});
  REQUIRE(ended.ok());
  CHECK(ended.value().exit_code == 3);
  CHECK(ended.value().output == "one");
  CHECK(ended.value().errors == "two\n");
  command.arguments = {"no-such-program-of-nestor"};
  CHECK(nestor::cli::run_child(command, {}, {}).status().code() == StatusCode::kNotFound);
  CHECK(nestor::cli::last_line("one\n two \n\n") == " two");
}
