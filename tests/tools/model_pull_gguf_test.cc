#include "tools/cli/model_pull_gguf.h"

#include <doctest/doctest.h>

#include "tests/tools/pull_fixture.h"

namespace fs = std::filesystem;
using nestor::Result;
using nestor::Status;
using nestor::StatusCode;
using nestor::testing::content_of;
using nestor::testing::holds;
using nestor::testing::HubStandIn;
using nestor::testing::PullFixture;
using nestor::testing::write;

namespace {

Result<std::string> pull_open_gguf(PullFixture& world, const std::string& what) {
  return nestor::cli::pull_gguf(
      {.what = what, .target = world.target(), .accept_gemma_terms = true, .packed_sha256 = {}},
      world.context());
}

void write_ggufs(const PullFixture& world) {
  write(world.source() + "/tiny-Q8_0.gguf", "GGUF" + std::string(100'000, 'q'));
  write(world.source() + "/tiny-BF16.gguf", "GGUF bf16");
}

}  // namespace

TEST_CASE("a GGUF comes from an open repository by its quantisation, without a token") {
  PullFixture world;
  write_ggufs(world);
  const HubStandIn hub(world);
  const Result<std::string> path = pull_open_gguf(world, "open/model-GGUF");
  REQUIRE_MESSAGE(path.ok(), path.status().to_string());
  CHECK(path.value() == world.target() + "/tiny-Q8_0.gguf");
  CHECK(content_of(path.value()) == content_of(world.source() + "/tiny-Q8_0.gguf"));
  CHECK_FALSE(fs::exists(world.staging()));
  CHECK_FALSE(holds(hub.log(), "tiny-BF16"));
  REQUIRE(pull_open_gguf(world, "open/model-GGUF:bf16").ok());
  CHECK(content_of(world.target() + "/tiny-BF16.gguf") == "GGUF bf16");
  CHECK(fs::exists(path.value()));
}

TEST_CASE("a GGUF that was interrupted goes on, and one that is there is not asked for again") {
  PullFixture world;
  write_ggufs(world);
  {
    const HubStandIn cut(world, "40000");
    // curl itself goes on a few times; what comes is whole in the end, or kept for the next call.
    if (!pull_open_gguf(world, "open/model-GGUF").ok()) CHECK(fs::exists(world.staging()));
  }
  const HubStandIn hub(world);
  REQUIRE(pull_open_gguf(world, "open/model-GGUF").ok());
  CHECK(content_of(world.target() + "/tiny-Q8_0.gguf") ==
        content_of(world.source() + "/tiny-Q8_0.gguf"));
  CHECK(holds(hub.log(), "bytes=40000-"));
  const std::string before = hub.log();
  REQUIRE(pull_open_gguf(world, "open/model-GGUF").ok());
  CHECK_FALSE(holds(hub.log().substr(before.size()), "resolve"));
}

TEST_CASE("a quantisation a repository lacks is refused with those it has") {
  PullFixture world;
  write_ggufs(world);
  const HubStandIn hub(world);
  const Status status = pull_open_gguf(world, "open/model-GGUF:Q4_K_M").status();
  CHECK(status.code() == StatusCode::kNotFound);
  CHECK(holds(status.message(), "tiny-BF16.gguf"));
  CHECK(pull_open_gguf(world, "other/repository").status().code() == StatusCode::kModelMissing);
}

TEST_CASE("listings that lie about names and hashes bring nothing") {
  PullFixture world;
  write_ggufs(world);
  const HubStandIn hub(world);
  const std::string listing = world.source() + "/listing.json";
  const std::string hash(64, 'a');
  for (const std::string& text :
       {std::string("[]"), std::string("{"), std::string(R"({"siblings":[1,{},{"rfilename":2}]})"),
        R"({"siblings":[{"rfilename":"../x-Q8_0.gguf","size":4,"lfs":{"sha256":")" + hash +
            R"("}}]})",
        std::string(R"({"siblings":[{"rfilename":"tiny-Q8_0.gguf","size":4}]})"),
        R"({"siblings":[{"rfilename":"tiny-Q8_0.gguf","size":100004,"lfs":{"sha256":")" + hash +
            R"("}}]})"}) {
    CAPTURE(text);
    write(listing, text);
    CHECK_FALSE(pull_open_gguf(world, "open/model-GGUF").ok());
    CHECK_FALSE(fs::exists(world.target()));
  }
}

TEST_CASE("a file a person has is used where it lies, and nobody is asked offline") {
  PullFixture world;
  write(world.path("blob"), "GGUF");
  CHECK(pull_open_gguf(world, world.path("blob")).value() == world.path("blob"));
  for (const char* what : {"blob", "a/b/c", "../b", "a/..", "a/b:", "a/b:Q8/0", "-a/ b"}) {
    CAPTURE(what);
    CHECK(pull_open_gguf(world, what).status().code() == StatusCode::kInvalidArgument);
  }
  PullFixture::set("HF_HUB_OFFLINE", "1");
  const HubStandIn hub(world);
  CHECK(pull_open_gguf(world, "").status().code() == StatusCode::kModelMissing);
  CHECK(hub.log().empty());
}

TEST_CASE("without a word on the terms nobody is asked, and what is packed is not fetched again") {
  PullFixture world;
  write_ggufs(world);
  const HubStandIn hub(world);
  nestor::cli::GgufRequest request{.what = "open/model-GGUF",
                                   .target = world.target(),
                                   .accept_gemma_terms = false,
                                   .packed_sha256 = {}};
  const Status status = nestor::cli::pull_gguf(request, world.context()).status();
  CHECK(status.code() == StatusCode::kModelMissing);
  CHECK(holds(status.message(), "--gguf open/model-GGUF --accept-gemma-terms"));
  CHECK(hub.log().empty());
  request.accept_gemma_terms = true;
  request.packed_sha256 = nestor::sha256_hex(content_of(world.source() + "/tiny-Q8_0.gguf"));
  const Result<std::string> path = nestor::cli::pull_gguf(request, world.context());
  REQUIRE_MESSAGE(path.ok(), path.status().to_string());
  CHECK(path.value().empty());
  CHECK_FALSE(holds(hub.log(), "resolve"));
  CHECK_FALSE(fs::exists(world.target()));
}
