#include "nestor/document.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <variant>
#include <vector>

namespace nestor {
namespace {

template <typename T>
bool holds(const MetadataScalar& scalar) {
  return std::holds_alternative<T>(scalar.variant());
}

std::string refusal(const std::string& json) {
  const auto parsed = parse_metadata(json);
  if (parsed.ok()) return "accepted";
  CHECK(parsed.status().code() == StatusCode::kInvalidArgument);
  return parsed.status().message();
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("metadata comes back equal, every kind as what it was") {
  const Metadata metadata = {
      {"text", "naïve \"quoted\" \n\x01"},
      {"none", ""},
      {"whole", 2024},
      {"lowest", std::numeric_limits<std::int64_t>::min()},
      {"highest", std::numeric_limits<std::int64_t>::max()},
      {"real", 0.1},
      {"round", 3.0},
      {"great", 1e300},
      {"small", std::numeric_limits<double>::denorm_min()},
      {"yes", true},
      {"tags", {"db", "lsm"}},
      {"one", MetadataValue::List{"alone"}},
      {"mixed", {1, 1.0, true, "1"}},
      {"empty", MetadataValue::List{}},
      {"", "the empty name"},
  };
  const auto parsed = parse_metadata(metadata_to_json(metadata));
  REQUIRE(parsed.ok());
  CHECK(parsed.value() == metadata);
  CHECK(holds<std::int64_t>(parsed.value().at("whole").scalar()));
  CHECK(holds<double>(parsed.value().at("round").scalar()));
  CHECK(holds<bool>(parsed.value().at("yes").scalar()));
  const MetadataValue::List& mixed = parsed.value().at("mixed").list();
  CHECK(holds<std::int64_t>(mixed[0]));
  CHECK(holds<double>(mixed[1]));
  CHECK(holds<bool>(mixed[2]));
  CHECK(holds<std::string>(mixed[3]));
}

TEST_CASE("two strings in braces are a list, not a range of characters") {
  const Metadata metadata = {{"tags", {"db", "lsm"}}};
  REQUIRE(metadata.at("tags").is_list());
  CHECK(metadata.at("tags").list().size() == 2);
  CHECK(metadata_to_json(metadata) == R"({"tags":["db","lsm"]})");
}

TEST_CASE("JSON comes in the order of the names, and none is an empty object") {
  CHECK(metadata_to_json({}) == "{}");
  CHECK(metadata_to_json({{"b", 1}, {"a", 2.0}, {"B", false}}) == R"({"B":false,"a":2.0,"b":1})");
  CHECK(parse_metadata("{}").value().empty());
}

TEST_CASE("minus zero keeps its sign, and every integer of 64 bits is kept to its last digit") {
  const auto parsed = parse_metadata(
      R"({"zero":-0.0,"over":9223372036854775808,"top":9223372036854775807,"far":1e20,)"
      R"("most":18446744073709551615,"least":-9223372036854775808,"huge":18446744073709551616})");
  REQUIRE(parsed.ok());
  const Metadata& metadata = parsed.value();
  CHECK(std::signbit(std::get<double>(metadata.at("zero").scalar().variant())));
  CHECK(metadata.at("over") == MetadataValue(std::uint64_t{1} << 63));
  CHECK(holds<std::uint64_t>(metadata.at("over").scalar()));
  CHECK(metadata.at("top") == MetadataValue(std::numeric_limits<std::int64_t>::max()));
  CHECK(metadata.at("most") == MetadataValue(std::numeric_limits<std::uint64_t>::max()));
  CHECK(metadata.at("least") == MetadataValue(std::numeric_limits<std::int64_t>::min()));
  CHECK_FALSE(metadata.at("over") == metadata.at("most"));
  CHECK(holds<double>(metadata.at("far").scalar()));
  CHECK(metadata.at("huge") == MetadataValue(std::ldexp(1.0, 64)));  // which a double is exactly
  CHECK(parse_metadata(metadata_to_json(metadata)).value() == metadata);
  CHECK(metadata_to_json(metadata).find("\"zero\":-0.0") != std::string::npos);
  CHECK(holds<std::int64_t>(MetadataScalar(std::uint64_t{7})));  // one kind a value
}

TEST_CASE("a whole number that would be rounded is refused by name, with what to write") {
  for (const char* number : {"18446744073709551617", "-9223372036854775809",
                             "123456789012345678901234567890", "100000000000000000000001"}) {
    const std::string told = refusal(std::string(R"({"a":[1,)") + number + "]}");
    CHECK_MESSAGE(contains(told, number), told);
    CHECK(contains(told, "as a string"));
  }
  CHECK(parse_metadata(R"({"a":18446744073709551617.0,"b":1.8446744073709551617e19})").ok());
  CHECK(parse_metadata(R"({"a":1e20,"b":100000000000000000000})").ok());
}

TEST_CASE("numbers that are none or have no place are refused") {
  CHECK(contains(refusal(R"({"a":NaN})"), "metadata: not JSON"));
  CHECK(contains(refusal(R"({"a":Infinity})"), "metadata: not JSON"));
  CHECK(contains(refusal(R"({"a":[1,1e999]})"), "number overflow parsing '1e999'"));
  // What a caller put in by hand is written as null: no field, and no number that it is not.
  const double infinity = std::numeric_limits<double>::infinity();
  const std::string written = metadata_to_json({{"a", std::nan("")}, {"b", infinity}});
  CHECK(written == R"({"a":null,"b":null})");
  CHECK(parse_metadata(written).value().empty());
}

TEST_CASE("null is no field, and null in the place of the object is no metadata") {
  const auto parsed = parse_metadata(R"({"author":null,"year":2020})");
  REQUIRE(parsed.ok());
  CHECK(parsed.value() == Metadata{{"year", 2020}});
  CHECK(parse_metadata("null").value().empty());
}

TEST_CASE("objects, lists of lists and null in a list are refused, with the field's name") {
  CHECK(contains(refusal(R"({"field":{}})"), "'field' holds object"));
  CHECK(contains(refusal(R"({"field":["a",null]})"), "'field' holds null"));
  CHECK(contains(refusal(R"({"field":[[1]]})"), "nested deeper than 2"));
  CHECK(contains(refusal(R"({"field":{"a":{}}})"), "nested deeper than 2"));
  CHECK(contains(refusal("{\"\\u001b[2J\":{}}"), "'\\x1b[2J' holds object"));
}

TEST_CASE("what is no object is refused with what it is") {
  CHECK(contains(refusal("[1]"), "a JSON array, an object is expected"));
  CHECK(contains(refusal("\"text\""), "a JSON string, an object is expected"));
  CHECK(contains(refusal(""), "not JSON"));
  CHECK(contains(refusal(R"({"a":1,"a":2})"), "'a' stands twice"));
  CHECK(contains(refusal("{\"a\":\"\xff\"}"), "not JSON"));
}

TEST_CASE("1,000 levels, 100,000 keys and 10 MB each meet their cap") {
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "{\"a\":";
  CHECK(contains(refusal(deep + "1" + std::string(1000, '}')), "nested deeper than 2"));

  std::string many = "{\"k\":0";
  for (int i = 0; i < 100'000; ++i) many += ",\"" + std::to_string(i) + "\":0";
  CHECK(refusal(many + "}") != "accepted");

  CHECK(refusal("{\"a\":\"" + std::string(10'000'000, 'x') + "\"}") ==
        "metadata has 10000008 bytes, at most 1048576 are kept");
}

TEST_CASE("1,024 fields and 1 MiB are kept, one more is not") {
  Metadata metadata;
  for (int i = 0; i < 1024; ++i) metadata.emplace("field" + std::to_string(i), i);
  CHECK(parse_metadata(metadata_to_json(metadata)).value() == metadata);
  metadata.emplace("more", 0);
  CHECK(contains(refusal(metadata_to_json(metadata)), "1025 fields, at most 1024"));

  const std::string frame = "{\"a\":\"\"}";
  const std::string most(1048576 - frame.size(), 'x');
  CHECK(parse_metadata("{\"a\":\"" + most + "\"}").ok());
  CHECK(contains(refusal("{\"a\":\"x" + most + "\"}"), "1048577 bytes"));
}

TEST_CASE("equal numbers of different kinds are different metadata") {
  CHECK(MetadataValue(1) == MetadataValue(std::int64_t{1}));
  CHECK_FALSE(MetadataValue(1) == MetadataValue(1.0));
  CHECK_FALSE(MetadataValue(1) == MetadataValue(true));
  CHECK_FALSE(MetadataValue("a") == MetadataValue(MetadataValue::List{"a"}));
}

}  // namespace
}  // namespace nestor
