// What filters mean. The first cases are those of the test suite that Haystack ships for document
// stores, in our words; each expectation is written out as a plain predicate.
#include "query/filter_match.h"

#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "nestor/filter.h"

namespace nestor {
namespace {

std::vector<Document> haystack_documents() {
  std::vector<Document> documents;
  for (int i = 0; i < 3; ++i) {
    const std::string name = "name_" + std::to_string(i);
    const auto add = [&](Metadata metadata) {
      documents.push_back(
          {.key = std::to_string(documents.size()), .metadata = std::move(metadata)});
    };
    add({{"name", name}, {"page", "100"}, {"number", 2}, {"date", "1969-07-21T20:17:40"}});
    add({{"name", name}, {"page", "123"}, {"number", -2}, {"date", "1972-12-11T19:54:58"}});
    add({{"name", name}, {"page", "90"}, {"number", -10}, {"date", "1989-11-09T17:53:00"}});
    add({{"name", name}, {"no_embedding", true}, {"chapter", "conclusion"}});
    add({{"name", "zeros_doc"}});
    add({{"name", "ones_doc"}});
  }
  return documents;
}

using Predicate = std::function<bool(const Metadata&)>;

void check_filter(const std::string& text, const Predicate& expected) {
  const auto filter = Filter::parse(text);
  REQUIRE_MESSAGE(filter.ok(), filter.status().to_string());
  CAPTURE(text);
  for (const Document& document : haystack_documents()) {
    CAPTURE(document.key);
    CHECK(filter.value().matches(document) == expected(document.metadata));
  }
}

Predicate with_number(const std::function<bool(std::int64_t)>& holds, bool when_missing = false) {
  return [=](const Metadata& metadata) {
    const auto found = metadata.find("number");
    return found == metadata.end()
               ? when_missing
               : holds(std::get<std::int64_t>(found->second.scalar().variant()));
  };
}

// The dates of the sample sort as text.
Predicate with_date(const std::function<bool(const std::string&)>& holds) {
  return [=](const Metadata& metadata) {
    const auto found = metadata.find("date");
    return found != metadata.end() &&
           holds(std::get<std::string>(found->second.scalar().variant()));
  };
}

bool holds(const std::string& text, const Metadata& metadata) {
  const auto filter = Filter::parse(text);
  REQUIRE_MESSAGE(filter.ok(), filter.status().to_string());
  return filter.value().matches({.key = "src/a", .title = "T", .metadata = metadata});
}

}  // namespace

TEST_CASE("Haystack's cases: no filter finds everything") {
  check_filter("", [](const Metadata&) { return true; });
  check_filter("{}", [](const Metadata&) { return true; });
}

TEST_CASE("Haystack's cases: == and !=, also with null") {
  check_filter("number == 100", with_number([](auto n) { return n == 100; }));
  check_filter("number == 2", with_number([](auto n) { return n == 2; }));
  check_filter("number == null", with_number([](auto) { return false; }, true));
  check_filter("number != 100", with_number([](auto n) { return n != 100; }, true));
  check_filter("number != -2", with_number([](auto n) { return n != -2; }, true));
  check_filter("number != null", with_number([](auto) { return true; }));
}

TEST_CASE("Haystack's cases: ordering numbers, dates and null") {
  check_filter("number > 0", with_number([](auto n) { return n > 0; }));
  check_filter("number >= -2", with_number([](auto n) { return n >= -2; }));
  check_filter("number < 0", with_number([](auto n) { return n < 0; }));
  check_filter("number <= -2", with_number([](auto n) { return n <= -2; }));
  const std::string moon = "1969-07-21T20:17:40";
  const std::string last = "1972-12-11T19:54:58";
  check_filter("date > '" + last + "'", with_date([&](const auto& d) { return d > last; }));
  check_filter("date >= '" + moon + "'", with_date([&](const auto& d) { return d >= moon; }));
  check_filter("date < '" + moon + "'", with_date([&](const auto& d) { return d < moon; }));
  check_filter("date <= '" + moon + "'", with_date([&](const auto& d) { return d <= moon; }));
  for (const std::string sign : {">", ">=", "<", "<="}) {
    check_filter("number " + sign + " null", [](const Metadata&) { return false; });
    CHECK_FALSE(Filter::parse("number " + sign + " '1'").ok());
    CHECK_FALSE(Filter::parse("number " + sign + " [1]").ok());
  }
}

TEST_CASE("Haystack's cases: in and not in") {
  check_filter("number in [10, -10]", with_number([](auto n) { return n == 10 || n == -10; }));
  check_filter("number not in [9, 2]", with_number([](auto n) { return n != 9 && n != 2; }, true));
  CHECK_FALSE(Filter::parse("number in 9").ok());
  CHECK_FALSE(Filter::parse("number not in 9").ok());
}

TEST_CASE("Haystack's cases: AND, OR and NOT") {
  const auto is_first = [](const Metadata& m) { return m.at("name") == MetadataValue("name_0"); };
  const auto two = with_number([](auto n) { return n == 2; });
  const std::string conditions =
      R"("conditions":[{"field":"meta.number","operator":"==","value":2},
                       {"field":"meta.name","operator":"==","value":"name_0"}]})";
  check_filter(R"({"operator":"AND",)" + conditions,
               [&](const Metadata& m) { return two(m) && is_first(m); });
  check_filter(R"({"operator":"OR",)" + conditions,
               [&](const Metadata& m) { return two(m) || is_first(m); });
  check_filter(R"({"operator":"NOT",)" + conditions,
               [&](const Metadata& m) { return !(two(m) && is_first(m)); });
}

TEST_CASE("hostile input 38: integers and doubles are one exact order up to the last bit") {
  const std::int64_t big = (std::int64_t{1} << 53) + 1;  // no double holds it
  CHECK(holds("n == 9007199254740993", {{"n", big}}));
  CHECK_FALSE(holds("n == 9007199254740992.0", {{"n", big}}));
  CHECK(holds("n > 9007199254740992.0", {{"n", big}}));
  CHECK(holds("n < 9007199254740994.0", {{"n", big}}));
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const std::int64_t least = std::numeric_limits<std::int64_t>::min();
  CHECK(holds("n < 9223372036854775808", {{"n", most}}));
  CHECK_FALSE(holds("n == 9223372036854775808", {{"n", most}}));
  CHECK(holds("n == -9223372036854775808.0", {{"n", least}}));
  CHECK(holds("n == -9223372036854775808", {{"n", least}}));
  CHECK(holds("n >= 9223372036854775808", {{"n", 9223372036854775808.0}}));
  CHECK(holds("n == 0 and n == -0.0 and n >= 0", {{"n", -0.0}}));
  CHECK(holds("n == 0.0", {{"n", 0}}));
  CHECK(holds("n < -1 and n > -2", {{"n", -1.5}}));
  CHECK(holds("n > -1.5 and n < 1.5", {{"n", -1}}));
  CHECK(holds("n < 1e308", {{"n", most}}));
  CHECK(holds("n > -1e308", {{"n", least}}));
  CHECK_FALSE(parse_metadata(R"({"n": 1e999})").ok());
  CHECK_FALSE(parse_metadata(R"({"n": NaN})").ok());
  CHECK_FALSE(Filter::parse("n == 1e999").ok());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(query::equal_scalars(nan, nan));
  CHECK(query::order_scalars(1, nan) == std::partial_ordering::unordered);
}

TEST_CASE("numbers of any two kinds compare as exact arithmetic has them") {
  // The x87 format has 64 bits of mantissa: every number here is one of its own.
  static_assert(std::numeric_limits<long double>::digits >= 64);
  std::vector<std::pair<MetadataScalar, long double>> numbers;
  const auto take = [&](auto number) { numbers.emplace_back(number, number); };
  std::mt19937_64 random(3);
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t any = random() >> random() % 64;
    for (const std::uint64_t bits : {any, any + 1, any | std::uint64_t{1} << 63}) {
      take(bits);
      take(static_cast<std::int64_t>(bits));
      take(static_cast<double>(bits));
      take(static_cast<double>(static_cast<std::int64_t>(bits)) + 0.5);
    }
  }
  for (const double edge : {0.0, 9223372036854775808.0, 18446744073709551616.0, 1e300}) {
    for (const double number : {edge, -edge, std::nextafter(edge, 0.0), edge + 1}) take(number);
  }
  for (const auto& [a, exact_a] : numbers) {
    for (const auto& [b, exact_b] : numbers) {
      const bool right = query::order_scalars(a, b) == (exact_a <=> exact_b) &&
                         query::equal_scalars(a, b) == (exact_a == exact_b);
      if (right) continue;
      CAPTURE(static_cast<double>(exact_a));
      CAPTURE(static_cast<double>(exact_b));
      CHECK(right);
    }
  }
}

TEST_CASE("integers above 2^63 - 1 stay apart in filters of every form") {
  const Metadata metadata = {{"n", 18446744073709551614U}, {"l", {18446744073709551614U}}};
  CHECK(holds("n == 18446744073709551614", metadata));
  CHECK_FALSE(holds("n == 18446744073709551615", metadata));
  CHECK_FALSE(holds("n == 1.8446744073709551614e19", metadata));  // is 2^64
  CHECK(holds("n > 18446744073709551613 and n < 1.8446744073709551614e19", metadata));
  CHECK(holds("18446744073709551614 in l and 18446744073709551613 not in l", metadata));
  CHECK(holds(R"({"field":"meta.n","operator":"==","value":18446744073709551614})", metadata));
  CHECK_FALSE(
      holds(R"({"field":"meta.n","operator":"==","value":18446744073709551615})", metadata));
  const Filter built = Filter::field("n") == 18446744073709551614U;
  CHECK(built.matches({.key = "k", .metadata = metadata}));
  CHECK(Filter::parse(built.to_string()).value().matches({.key = "k", .metadata = metadata}));
  for (const char* wrong : {"n == 18446744073709551617", "n < -9223372036854775809",
                            R"({"field":"n","operator":"<","value":18446744073709551617})"}) {
    const Status status = Filter::parse(wrong).status();
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK_MESSAGE(status.message().find("has more digits than are kept") != std::string::npos,
                  status.message());
  }
}

TEST_CASE("kinds are kept apart: a boolean is no number, a string no number, a list no scalar") {
  CHECK_FALSE(holds("a == 1", {{"a", true}}));
  CHECK_FALSE(holds("a == 1", {{"a", "1"}}));
  CHECK_FALSE(holds("a == 'x'", {{"a", {"x"}}}));
  CHECK_FALSE(holds("a > 0", {{"a", "2024-01-01"}}));
  CHECK_FALSE(holds("a > '2020-01-01'", {{"a", 5}}));
  CHECK_FALSE(holds("a > '2020-01-01'", {{"a", "zebra"}}));
  CHECK(holds("a == true", {{"a", true}}));
  CHECK(holds("a != true", {{"a", false}}));
}

TEST_CASE("dates are equal and ordered as instants") {
  CHECK(holds("d == '2024-05-01T00:00:00Z'", {{"d", "2024-05-01"}}));
  CHECK(holds("d == '2024-05-01T02:00:00+02:00'", {{"d", "2024-05-01"}}));
  CHECK(holds("d > '2024-05-01T01:00:00+02:00' and d < '2024-05-01T00:00:00.000000001Z'",
              {{"d", "2024-05-01"}}));
}

TEST_CASE("prefix, contains, list membership, exists, key and title") {
  const Metadata metadata = {
      {"path", "src/a.cc"}, {"tags", {"rust", 3, true}}, {"none", MetadataValue::List{}}};
  CHECK(holds("path prefix 'src/'", metadata));
  CHECK_FALSE(holds("path prefix 'rc'", metadata));
  CHECK(holds("path contains '/a.'", metadata));
  CHECK(holds("path contains ''", metadata));
  CHECK_FALSE(holds("path contains 3", metadata));
  CHECK(holds("tags contains 'rust'", metadata));
  CHECK_FALSE(holds("tags contains 'rus'", metadata));
  CHECK(holds("3.0 in tags and true in tags and 'rust' in tags", metadata));
  CHECK_FALSE(holds("'src/a.cc' in path", metadata));
  CHECK(holds("'x' not in tags", metadata));
  CHECK(holds("'x' not in missing", metadata));
  CHECK(holds("none exists and none == [] and none != null", metadata));
  CHECK(holds("tags == ['rust', 3.0, true]", metadata));
  CHECK_FALSE(holds("tags == ['rust', true, 3]", metadata));
  CHECK_FALSE(holds("tags == ['rust', 3, true, null]", metadata));
  CHECK(holds("missing in [1, null] and path not in [null]", metadata));
  CHECK(holds("key prefix 'src/' and title == 'T' and key exists", metadata));
  CHECK(holds("meta.key == null", metadata));
  CHECK(holds("meta.key == 7", {{"key", 7}}));
  CHECK_FALSE(holds("tags prefix 'rust'", metadata));
}

}  // namespace nestor
