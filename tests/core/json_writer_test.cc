#include "core/json_writer.h"

#include <doctest/doctest.h>

#include <bit>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "core/json.h"
#include "nestor/document.h"

namespace nestor {
namespace {

using nlohmann::json;

std::string written_by_library(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

template <typename Value>
std::string written(const Value& value) {
  JsonWriter writer(JsonWriter::IllFormed::kReplace);
  writer.value(value);
  return writer.take();
}

// Of 0 to 40 characters: all control characters, quotes, code points of 1 to 4 bytes, and, where
// they are asked for, bytes that are no UTF-8.
std::string random_text(std::mt19937_64& random, bool ill_formed) {
  static const std::vector<std::string> kParts = {"a",  "Z",      " ", "/",  "\"",
                                                  "\\", "\x7f",   "é", "߿", "ࠀ",
                                                  "€",  "\u2028", "�", "😀",  "\U0010FFFF"};
  static const std::vector<std::string> kWrong = {
      "\x80",         "\xff",     "\xC0\x80",         "\xE2\x82",
      "\xED\xA0\x80", "\xF0\x9F", "\xF4\x90\x80\x80", "\xE2"};
  std::string text;
  for (std::uint64_t left = random() % 41; left > 0; --left) {
    const std::uint64_t kind = random() % 8;
    if (kind < 2) {
      text += static_cast<char>(random() % 0x20);
    } else if (kind == 2 && ill_formed) {
      text += kWrong[random() % kWrong.size()];
    } else {
      text += kParts[random() % kParts.size()];
    }
  }
  return text;
}

// Of any bits: every exponent, subnormal ones, infinities and what is no number.
double random_double(std::mt19937_64& random) {
  const std::uint64_t bits = random();
  switch (random() % 4) {
    case 0:
      return static_cast<double>(static_cast<std::int64_t>(bits) >> (random() % 64));
    case 1:
      return static_cast<double>(static_cast<std::int32_t>(bits)) / 1000.0;
    default:
      return std::bit_cast<double>(bits);
  }
}

TEST_CASE("strings are written byte for byte as the library writes them, ill-formed ones too") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20'000; ++round) {
    const std::string text = random_text(random, round % 2 == 1);
    REQUIRE(written(text) == written_by_library(text));
  }
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    REQUIRE(written(text) == written_by_library(text));
  }
}

TEST_CASE("numbers are written byte for byte as the library writes them") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 200'000; ++round) {
    const double number = random_double(random);
    REQUIRE(written(number) == written_by_library(number));
    const std::uint64_t whole = random() >> (random() % 64);
    REQUIRE(written(whole) == written_by_library(whole));
    const auto below = static_cast<std::int64_t>(~whole);
    REQUIRE(written(below) == written_by_library(below));
  }
  for (const double number :
       {0.0, -0.0, 1.0, 0.1, 1e15, 1e16, 1e17, 1e-4, 1e-5, 1e-7, 5e-324, 1.7976931348623157e308,
        2.2250738585072014e-308, 9007199254740993.0, std::numeric_limits<double>::quiet_NaN(),
        std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    CHECK(written(number) == written_by_library(number));
  }
  CHECK(written(INT64_MIN) == "-9223372036854775808");
  CHECK(written(UINT64_MAX) == "18446744073709551615");
}

TEST_CASE(
    "a string that is no UTF-8 is refused as the library refuses it, where that is asked for") {
  JsonWriter writer(JsonWriter::IllFormed::kRefuse);
  CHECK_THROWS_AS(writer.value("a\xff"), json::type_error);
}

// A tree of every kind, at most four deep.
json random_tree(std::mt19937_64& random, int depth) {
  const std::uint64_t kind = random() % (depth == 4 ? 6 : 8);
  if (kind == 0) return nullptr;
  if (kind == 1) return random() % 2 == 0;
  if (kind == 2) return random() >> (random() % 64);
  if (kind == 3) return -static_cast<std::int64_t>(random() >> (1 + random() % 63)) - 1;
  if (kind == 4) {
    const double number = random_double(random);
    return number - number == 0 ? number : 0.5;
  }
  if (kind == 5) return random_text(random, false);
  json made = kind == 6 ? json::array() : json::object();
  for (std::uint64_t left = random() % 5; left > 0; --left) {
    json below = random_tree(random, depth + 1);
    if (kind == 6) {
      made.push_back(std::move(below));
    } else {
      made[random_text(random, false)] = std::move(below);
    }
  }
  return made;
}

void write_value(JsonWriter& writer, const json& value) {
  if (value.is_object()) {
    writer.begin_object();
    for (const auto& [name, member] : value.items()) {
      writer.key(name);
      write_value(writer, member);
    }
    writer.end_object();
  } else if (value.is_array()) {
    writer.begin_array();
    for (const json& element : value) write_value(writer, element);
    writer.end_array();
  } else {
    writer.literal(value.dump());
  }
}

TEST_CASE("trees are written with and without indents as the library writes them, and read back") {
  std::mt19937_64 random(13);
  for (int round = 0; round < 5'000; ++round) {
    const json tree = random_tree(random, 0);
    for (const int indent : {JsonWriter::kOneLine, 0, 1, 3}) {
      JsonWriter writer(JsonWriter::IllFormed::kRefuse, indent);
      write_value(writer, tree);
      REQUIRE(writer.take() == tree.dump(indent));
    }
    const auto parsed = parse_json(tree.dump());
    REQUIRE(parsed.ok());
    REQUIRE(parsed.value().dump() == tree.dump());
    REQUIRE(std::string(parsed.value().type_name()) == tree.type_name());
  }
}

TEST_CASE("metadata is written as a tree of the library with the same members") {
  std::mt19937_64 random(17);
  const auto scalar = [&](bool ill_formed) -> MetadataScalar {
    const std::uint64_t kind = random() % 4;
    if (kind == 0) return random_text(random, ill_formed);
    if (kind == 1) return static_cast<std::int64_t>(random()) >> (random() % 64);
    if (kind == 2) return random_double(random);
    return random() % 2 == 0;
  };
  const auto as_tree = [](const MetadataScalar& value) {
    return std::visit([](const auto& held) { return json(held); }, value.variant());
  };
  for (int round = 0; round < 5'000; ++round) {
    Metadata metadata;
    json tree = json::object();
    for (std::uint64_t left = random() % 8; left > 0; --left) {
      const std::string name = random_text(random, round % 2 == 1);
      if (random() % 3 == 0) {
        MetadataValue::List list;
        json elements = json::array();
        for (std::uint64_t count = random() % 5; count > 0; --count) {
          list.push_back(scalar(round % 2 == 1));
          elements.push_back(as_tree(list.back()));
        }
        metadata.insert_or_assign(name, MetadataValue(std::move(list)));
        tree[name] = std::move(elements);
      } else {
        const MetadataScalar value = scalar(round % 2 == 1);
        metadata.insert_or_assign(name, MetadataValue(value));
        tree[name] = as_tree(value);
      }
    }
    REQUIRE(metadata_to_json(metadata) == written_by_library(tree));
  }
}

}  // namespace
}  // namespace nestor
