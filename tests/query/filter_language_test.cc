// The filter language as text, as JSON and as C++: what is read, what is refused, and where.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "nestor/filter.h"
#include "query/filter_node.h"

namespace nestor {
namespace {

std::string text_of(const std::string& text) {
  const auto parsed = Filter::parse(text);
  REQUIRE_MESSAGE(parsed.ok(), parsed.status().to_string());
  return parsed.value().to_string();
}

std::string error_of(const std::string& text) {
  const auto parsed = Filter::parse(text);
  REQUIRE_MESSAGE(!parsed.ok(), text);
  CHECK(parsed.status().code() == StatusCode::kInvalidArgument);
  return parsed.status().message();
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string repeated(const std::string& part, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += part;
  return text;
}

}  // namespace

TEST_CASE("text is read with AND before OR, and printed so that it reads back the same") {
  const std::pair<std::string, std::string> cases[] = {
      {"year >= 2020 AND (lang == \"de\" OR tags contains \"rust\") AND NOT path prefix \"src/\"",
       "year >= 2020 AND (lang == \"de\" OR tags contains \"rust\") AND path not prefix \"src/\""},
      {"a = 1 or b = 2 and c = 3", "a == 1 OR (b == 2 AND c == 3)"},
      {"!(a<>1&&b!=2)||'it\\'s' in tags", "NOT (a != 1 AND b != 2) OR tags has \"it's\""},
      {"a in (1, 2.5, true, null)", "a in [1, 2.5, true, null]"},
      {"a not in ['x']", "a not in [\"x\"]"},
      {"\"x\" not in tags", "tags not has \"x\""},
      {"a exists and b not exists", "a exists AND b not exists"},
      {"a == null or a != null", "a not exists OR a exists"},
      {"not not a == 1", "a == 1"},
      {"NOT a < 1", "NOT a < 1"},
      {"`in` == 1 and `a b``c` == 2 and meta.key == 3 and key == 4 and meta.x == 5",
       "`in` == 1 AND `a b``c` == 2 AND meta.key == 3 AND key == 4 AND x == 5"},
      {"d > '2024-05-01T12:00:00Z'", "d > \"2024-05-01T12:00:00Z\""},
      {"a == [] or a == [1, 'x']", "a == [] OR a == [1, \"x\"]"},
      {"a == -0", "a == 0"},
      {"a == 9223372036854775807 and b == 9223372036854775808 and c == -1e3",
       "a == 9223372036854775807 AND b == 9223372036854775808 AND c == -1000.0"},
      {"a == \"\\u00e9\\ud83d\\ude00\\n\"", "a == \"\xc3\xa9\xf0\x9f\x98\x80\\n\""},
      {" \n\t", ""},
  };
  for (const auto& [text, printed] : cases) {
    CAPTURE(text);
    CHECK(text_of(text) == printed);
    CHECK(text_of(printed) == printed);
  }
}

TEST_CASE("a filter built in C++ is the one the text says") {
  const Filter built = Filter::field("year") >= 2020 &&
                       (Filter::field("lang") == "de" || Filter::field("tags").contains("rust")) &&
                       !Filter::field("path").prefix("src/");
  CHECK(built.to_string() ==
        "year >= 2020 AND (lang == \"de\" OR tags contains \"rust\") AND path not prefix \"src/\"");
  CHECK((Filter::field("n") == 0).to_string() == "n == 0");
  CHECK((Filter::field("n") == nullptr).to_string() == "n not exists");
  CHECK((Filter::field("n") != nullptr).to_string() == "n exists");
  CHECK((Filter::field("n").in({1, "x", true})).to_string() == "n in [1, \"x\", true]");
  CHECK((Filter::field("n").not_in({1})).to_string() == "n not in [1]");
  CHECK((Filter::field("n") < 2.5).to_string() == "n < 2.5");
  CHECK((Filter() && Filter::field("n") == 1).to_string() == "n == 1");
  CHECK(Filter().empty());
  CHECK(Filter().check().ok());
  CHECK_FALSE((!Filter()).empty());
}

TEST_CASE("a filter built wrong says so when it is checked, and matches nothing") {
  const Filter wrong = Filter::field("year") > "soon";
  CHECK(contains(wrong.check().message(), "filter: 'year' is ordered against the string 'soon'"));
  CHECK_FALSE((!wrong || Filter()).check().ok());
  CHECK_FALSE((!wrong).matches({.key = "a"}));
  CHECK_FALSE((Filter::field("a") < MetadataValue{1, 2}).check().ok());
  CHECK_FALSE((Filter::field("a") < true).check().ok());
  CHECK_FALSE((Filter::field("") == 1).check().ok());
  CHECK_FALSE((Filter::field("a") == std::numeric_limits<double>::quiet_NaN()).check().ok());
  Filter deep = Filter::field("a") == 1;
  for (int i = 0; i < 100'000; ++i) {
    deep = i % 2 == 0 ? (deep || Filter::field("b") == 1) : (deep && Filter::field("c") == 1);
  }
  CHECK(contains(deep.check().message(), "nested deeper than 64 levels"));
  CHECK((Filter::field("a") == 1 && Filter::field("a") == 1).check().ok());
  Filter wide = Filter::field("b") == 1;
  for (int i = 0; i < 300; ++i) {
    wide = wide || Filter::field("a").in(MetadataValue::List(50, MetadataScalar(i)));
  }
  CHECK(contains(wide.check().message(), "at most 10000 are taken"));
  CHECK((Filter() || Filter::field("b") == 1).matches({.key = "a"}));
}

TEST_CASE("a mistake in the text is told with its column and a caret below it") {
  CHECK(error_of("year >= )") ==
        "filter, column 9: expected a value (a \"string\", a number, true, false or null), found "
        "')'\n  year >= )\n          ^");
  const std::pair<std::string, std::string> cases[] = {
      {"year", "column 5: expected one of =="},
      {"year ==", "column 8: expected a value"},
      {"year == 1 lang == 2", "column 11: expected AND, OR or the end, found 'lang'"},
      {"(year == 1", "column 1: the bracket that opens here is never closed"},
      {"a == 1)", "column 7: expected AND, OR or the end"},
      {"a > 'soon'", "column 5: 'a' is ordered against the string 'soon', which is no ISO"},
      {"a > [1]", "column 5: 'a' is ordered against a list"},
      {"a > true", "column 5: 'a' is ordered against a boolean"},
      {"a in 9", "column 6: `in` takes a list"},
      {"a not == 9", "column 7: expected in, prefix"},
      {"a prefix 9", "column 10: `prefix` takes a string"},
      {"a contains [9]", "column 12: a single value"},
      {"a == [1, [2]]", "column 10: expected a value"},
      {"a == [1 2]", "column 9: expected \",\" or \"]\""},
      {"and == 1", "column 1: expected a field"},
      {"`` == 1", "column 1"},
      {"a == 1 ; b", "column 8: ';' means nothing here"},
      {"a == 12ab", "column 6: '12ab' is no number"},
      {"a == 1e999", "column 6: '1e999' is outside the range of a double"},
      {"a == nan", "column 6: expected a value"},
      {"null in a", "column 1: null is in no list"},
      {"\xc3\xa4 == \xc3\xb6", "column 6: expected a value"},
      {"a == 1\nand b =", "line 2, column 8: expected a value"},
      {"a == \xff", "column 6: not UTF-8: byte 0xff"},
  };
  for (const auto& [text, message] : cases) {
    CAPTURE(text);
    CHECK_MESSAGE(contains(error_of(text), message), error_of(text));
  }
}

TEST_CASE("hostile input 39: brackets ten thousand deep are refused at the first too many") {
  CHECK(contains(error_of(repeated("(", 10'000) + "a == 1" + repeated(")", 10'000)),
                 "column 64: nested deeper than 64 levels"));
  const std::string deepest = repeated("(", 63) + "a == 1" + repeated(")", 63);
  CHECK(text_of(deepest) == "a == 1");
  CHECK(text_of(repeated("not ", 10'000) + "a == 1") == "a == 1");
  std::string json = R"({"field":"a","operator":"==","value":1})";
  for (int i = 0; i < 64; ++i) json = R"({"operator":"NOT","conditions":[)" + json + "]}";
  CHECK(contains(error_of(json), "nested deeper than 64 levels"));
  CHECK(contains(error_of(repeated(R"({"operator":"OR","conditions":[)", 2000)), "filter"));
  // Alternating groups cannot be made flat.
  std::string alternating = "a == 1";
  for (int i = 0; i < 40; ++i) alternating = "((" + alternating + ") or b == 1) and c == 1";
  CHECK(contains(error_of(alternating), "nested deeper than 64 levels"));
}

TEST_CASE("hostile input 40: a filter of 1 MB, an open string and a bad escape have their column") {
  CHECK(contains(error_of(std::string(1 << 20, 'a')),
                 "column 65537: the filter has 1048576 bytes, at most 65536 are taken"));
  CHECK(contains(error_of("{" + std::string(1 << 20, ' ')), "1048577 bytes of JSON"));
  CHECK(contains(error_of("a == \"open"), "column 6: the string that begins here has no closing"));
  CHECK(contains(error_of("`open == 1"), "column 1: the name that begins here has no closing"));
  CHECK(contains(error_of("a == \"x\\q\""), "column 8: no such escape"));
  CHECK(contains(error_of("a == \"\\u12g4\""), "column 7: \\u is followed by four"));
  CHECK(contains(error_of("a == \"\\ud800\""), "column 7: half of a surrogate pair"));
  CHECK(contains(error_of("a == \"\\"), "column 7: no such escape"));
  std::string many = "a in [0";
  for (int i = 0; i < 10'000; ++i) many += ",1";
  CHECK(contains(error_of(many + "]"), "more than 10000 values"));
  CHECK(contains(error_of("a == \x1b[2J"), "\\x1b"));
}

TEST_CASE("hostile inputs of every kind end in an error or a filter, in time") {
  const auto begin = std::chrono::steady_clock::now();
  const std::string alphabet = "ab1 .\"'`\\()[],=<>!&|\n\x01\xc3\xa4{}:u";
  std::uint64_t state = 12345;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = round % 3 == 0 ? "a == " : "";
    for (int i = 0; i < 24; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      text += alphabet[(state >> 33) % alphabet.size()];
    }
    const auto parsed = Filter::parse(text);
    if (!parsed.ok()) {
      REQUIRE(parsed.status().code() == StatusCode::kInvalidArgument);
      continue;
    }
    const std::string printed = parsed.value().to_string();
    REQUIRE_MESSAGE(text_of(printed) == printed, printed);
  }
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(60));
}

TEST_CASE("Haystack's JSON is read, with meta. and without") {
  CHECK(text_of(R"({"operator":"AND","conditions":[
          {"field":"meta.year","operator":">=","value":2020},
          {"operator":"OR","conditions":[{"field":"lang","operator":"in","value":["de","en",null]},
                                         {"field":"meta.ok","operator":"!=","value":true}]}]})") ==
        "year >= 2020 AND (lang in [\"de\", \"en\", null] OR ok != true)");
  CHECK(text_of(R"({"operator":"NOT","conditions":[{"field":"a","operator":"==","value":1},
                                                    {"field":"b","operator":"==","value":2}]})") ==
        "NOT (a == 1 AND b == 2)");
  CHECK(text_of("{}").empty());
  CHECK(text_of(R"({"operator":"OR","conditions":[]})") == "key not exists");
  CHECK(text_of(R"({"field":"a","operator":"exists","value":false})") == "a not exists");
  CHECK(text_of(R"({"field":"a","operator":"not prefix","value":"x"})") == "a not prefix \"x\"");
  CHECK(text_of(R"({"field":"a","operator":"==","value":18446744073709551615})") ==
        "a == 18446744073709551615");
}

TEST_CASE("JSON with a key missing or a wrong value is refused with its place") {
  const std::pair<std::string, std::string> cases[] = {
      {R"({"conditions":[{"field":"a","operator":"==","value":1}]})",
       "top: \"operator\" is missing"},
      {R"({"operator":"AND"})", "\"conditions\" is missing"},
      {R"({"operator":"AND","conditions":[{"operator":"==","value":"t"}]})",
       "at conditions[0]: \"field\" is missing"},
      {R"({"operator":"AND","conditions":[{"field":"meta.name","value":"t"}]})",
       "at conditions[0]: \"operator\" is missing"},
      {R"({"operator":"AND","conditions":[{"field":"meta.name","operator":"=="}]})",
       "at conditions[0]: \"value\" is missing"},
      {R"({"field":"n","operator":"in","value":9})", "at value: a JSON number, `in` takes a list"},
      {R"({"field":"n","operator":"not in","value":"xy"})", "`in` takes a list"},
      {R"({"field":"n","operator":">","value":"1"})", "which is no ISO 8601 date"},
      {R"({"field":"n","operator":"<=","value":[1]})", "ordered against a list"},
      {R"({"field":"n","operator":"~","value":1})", "at operator: '~' compares nothing"},
      {R"({"operator":"XOR","conditions":[]})", "at operator: 'XOR' joins no conditions"},
      {R"({"operator":"AND","conditions":{}})", "at conditions: a JSON object, a list is expected"},
      {R"({"operator":"AND","conditions":[3]})", "conditions[0]: a JSON number, an object"},
      {R"({"field":"n","operator":"==","value":{"a":1}})", "at value: a JSON object"},
      {R"({"field":"n","operator":"in","value":[[1]]})", "at value[0]: a JSON array"},
      {R"({"field":3,"operator":"==","value":1})", "at field: a JSON number"},
      {R"({"field":"n","operator":"==","value":1e999})", "filter: "},
      {R"({"field":"n")", "filter: "},
      {R"({"field":"","operator":"==","value":1})", "a field has no name"},
  };
  for (const auto& [json, message] : cases) {
    CAPTURE(json);
    CHECK_MESSAGE(contains(error_of(json), message), error_of(json));
  }
}

}  // namespace nestor
