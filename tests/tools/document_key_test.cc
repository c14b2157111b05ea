#include "tools/cli/document_key.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "query/open_database.h"
#include "storage/key_schema.h"
#include "storage/rocksdb_options.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;

TEST_CASE("a key whose document is damaged is found, so that the document can be deleted") {
  const testing::TempFolder folder;
  const auto encoder = std::make_shared<testing::HashEncoder>();
  const auto open = [&] {
    auto opened = query::open_database(folder / "db", {}, testing::factory_of(encoder));
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    return std::move(opened).value();
  };
  {
    Database db = open();
    REQUIRE(db.add({{.key = "a", .text = "one"}, {.key = "b", .text = "two"}}).ok());
  }
  {
    auto raw = storage::open_rocksdb(folder / "db/rocksdb", storage::OpenMode::kWrite);
    REQUIRE(raw.ok());
    REQUIRE(raw.value()->Put({}, storage::document_key(1, "a"), "rubbish").ok());
  }
  const Database db = open();
  REQUIRE(db.get("a").status().code() == StatusCode::kDataLoss);
  for (const auto& [typed, found] :
       std::vector<std::pair<std::string, bool>>{{"a", true}, {"b", true}, {"c", false}}) {
    const auto match = cli::find_key(db, typed, kDefaultCollection);
    REQUIRE_MESSAGE(match.ok(), match.status().to_string());
    CHECK(match.value().key == typed);
    CHECK(match.value().found == found);
  }
  CHECK(cli::find_key(db, std::string(600, 'k'), kDefaultCollection).status().code() ==
        StatusCode::kInvalidArgument);
}
