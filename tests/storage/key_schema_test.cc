#include "storage/key_schema.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace nestor::storage {

TEST_CASE("keys sort by collection, then by id or key, whatever their bytes") {
  const std::vector<std::string> ordered = {
      catalog_key("a"),
      document_key(1, "\x01"),
      document_key(1, "a"),
      document_key(1, "a/b"),
      document_key(1, "\xff"),
      document_key(1, "\xff\xff"),
      document_key(2, "a"),
      document_key(0x100, "a"),
      document_key(0xffffffff, "a"),
      key_prefix(KeyTag::kField, 1),
      key_prefix(KeyTag::kField, 1) + "\1",
      key_prefix(KeyTag::kField, 2),
      journal_key(1, 9),
      journal_key(1, 256),
      meta_key("state"),
      row_key(1, 1),
      row_key(1, 0xff),
      row_key(1, 0x100),
      row_key(1, 0xffffffffffffffff),
      row_key(2, 0),
  };
  CHECK(std::is_sorted(ordered.begin(), ordered.end()));
}

TEST_CASE("every key of a collection lies between its prefix and the prefix's end, no other does") {
  const std::string prefix = key_prefix(KeyTag::kDocument, 0x01ff);
  const std::string end = prefix_end(prefix);
  for (const std::string name : {"a", "\xff\xff\xff", "d", "r\x01"}) {
    const std::string inside = document_key(0x01ff, name);
    CHECK(inside >= prefix);
    CHECK(inside < end);
    for (const std::uint32_t other : {0x01feU, 0x0200U, 0x01ff00U}) {
      const std::string outside = document_key(other, name);
      CHECK((outside < prefix || outside >= end));
    }
  }
  CHECK(prefix_end(key_prefix(KeyTag::kRow, 0xffffffff)) == "s");
}

TEST_CASE("a key comes back in its parts") {
  const std::string document = document_key(7, "../../etc\xff");
  const auto parsed = parse_key(document);
  REQUIRE(parsed.has_value());
  CHECK(parsed->tag == KeyTag::kDocument);
  CHECK(parsed->collection == 7);
  CHECK(parsed->name == "../../etc\xff");
  const std::string row = row_key(8, 0x0102030405060708);
  CHECK(parse_key(row)->collection == 8);
  CHECK(parse_key(row)->number == 0x0102030405060708);
  const std::string meta = meta_key("state");
  CHECK(parse_key(meta)->name == "state");
}

TEST_CASE("bytes that are no key are told apart") {
  for (const std::string bytes :
       {"", "x", "d", "d\x01\x02", "c", "m", "r12345678901", "r1234567890123", "j", "z1234"}) {
    CHECK_FALSE(parse_key(bytes).has_value());
    CHECK(describe_key(bytes).starts_with("unknown key"));
  }
}

}  // namespace nestor::storage
