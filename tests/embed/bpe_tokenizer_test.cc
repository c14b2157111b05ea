#include "embed/bpe_tokenizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>

#include "core/text.h"
#include "embed/model_config.h"
#include "embed/prompt.h"
#include "embed/sentencepiece_tokenizer.h"
#include "tests/embed/sentencepiece_writer.h"
#include "tests/embed/tiny_model.h"

namespace nestor::embed {
namespace {

using testing::GoldenText;

constexpr std::int64_t kAllTokens = 1 << 30;

// NESTOR_TEST_SEED, or one that differs from run to run; printed, so that a failure can be had
// again.
std::uint32_t test_seed() {
  const char* given = std::getenv("NESTOR_TEST_SEED");
  const auto seed = given != nullptr ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10))
                                     : std::random_device()();
  std::printf("bpe_tokenizer_test: NESTOR_TEST_SEED=%u\n", seed);
  return seed;
}

// The same tokenizer.model by both readers.
struct Twins {
  Vocabulary vocabulary;
  std::string table;
  std::unique_ptr<Tokenizer> sentencepiece;
  std::unique_ptr<BpeTokenizer> bpe;
};

std::unique_ptr<Twins> twins_of(const std::string& path) {
  auto twins = std::make_unique<Twins>();
  auto vocabulary = read_sentencepiece_model(testing::read_bytes(path));
  REQUIRE_MESSAGE(vocabulary.ok(), vocabulary.status().to_string());
  twins->vocabulary = std::move(vocabulary).value();
  auto table = build_tokenizer_table(twins->vocabulary);
  REQUIRE_MESSAGE(table.ok(), table.status().to_string());
  twins->table = std::move(table).value();
  auto bpe = BpeTokenizer::open(twins->table, "the hash");
  REQUIRE_MESSAGE(bpe.ok(), bpe.status().to_string());
  twins->bpe = std::move(bpe).value();
  auto other = SentencepieceTokenizer::load(
      path,
      {.vocabulary_size = static_cast<std::int64_t>(twins->vocabulary.pieces.size()),
       .bos_id = twins->vocabulary.bos_id,
       .eos_id = twins->vocabulary.eos_id},
      true);
  REQUIRE_MESSAGE(other.ok(), other.status().to_string());
  twins->sentencepiece = std::move(other).value();
  return twins;
}

// Loaded once: the table of 262,144 pieces takes a third of a second to build.
const Twins* genuine_twins() {
  static const std::unique_ptr<Twins> kTwins = [] {
    const std::string folder = testing::genuine_model();
    return folder.empty() ? nullptr : twins_of(folder + "/tokenizer.model");
  }();
  if (kTwins == nullptr) testing::skip("the genuine model is not in place");
  return kTwins.get();
}

std::unique_ptr<Twins> tiny_twins() {
  return twins_of(testing::fixture("tiny-model/tokenizer.model"));
}

std::vector<std::int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text) {
  const auto got = tokenizer.tokenize(text, kAllTokens);
  REQUIRE_MESSAGE(got.ok(), got.status().to_string());
  CHECK(got.value().token_count == static_cast<int>(got.value().ids.size()));
  CHECK_FALSE(got.value().truncated);
  CHECK(tokenizer.count(text).value() + 2 == got.value().token_count);
  return got.value().ids;
}

bool same_ids(const Twins& twins, const std::string& text) {
  const bool same = ids_of(*twins.sentencepiece, text) == ids_of(*twins.bpe, text);
  CHECK_MESSAGE(same, quote_for_message(text, 1000));
  return same;
}

class RandomText {
 public:
  explicit RandomText(std::uint32_t seed) : random_(seed) {}

  std::uint32_t below(std::size_t bound) {
    return static_cast<std::uint32_t>(random_() % static_cast<std::uint32_t>(bound));
  }

  std::string code_point(char32_t value) {
    std::string text;
    if (value < 0x80) {
      text += static_cast<char>(value);
    } else if (value < 0x800) {
      text += static_cast<char>(0xC0 | value >> 6);
    } else if (value < 0x10000) {
      text += static_cast<char>(0xE0 | value >> 12);
      text += static_cast<char>(0x80 | (value >> 6 & 0x3F));
    } else {
      text += static_cast<char>(0xF0 | value >> 18);
      text += static_cast<char>(0x80 | (value >> 12 & 0x3F));
      text += static_cast<char>(0x80 | (value >> 6 & 0x3F));
    }
    if (value >= 0x80) text += static_cast<char>(0x80 | (value & 0x3F));
    return text;
  }

  // A few characters of one script, or of what breaks tokenizers.
  std::string morsel(const Vocabulary& vocabulary) {
    static constexpr std::pair<char32_t, char32_t> kScripts[] = {
        {'a', 'z'},         {'A', 'z'},         {' ', '~'},         {0x80, 0x24F},
        {0x370, 0x3FF},     {0x400, 0x45F},     {0x590, 0x6FF},     {0x900, 0x97F},
        {0xE00, 0xE5B},     {0x1100, 0x11FF},   {0x2000, 0x206F},   {0x2190, 0x25FF},
        {0x3040, 0x30FF},   {0x4E00, 0x9FFF},   {0xAC00, 0xD7A3},   {0xFB00, 0xFFFD},
        {0x1F300, 0x1F9FF}, {0x20000, 0x2A6DF}, {0xE0000, 0xE007F}, {0x10FF00, 0x10FFFF},
        {0, 0x20},          {0x300, 0x36F},     {0x1D400, 0x1D7FF}};
    static const std::string kMorsels[] = {"<bos>",
                                           "<eos>",
                                           "<pad>",
                                           "<unk>",
                                           "<0x0A>",
                                           "<start_of_turn>",
                                           "<unused7",
                                           "<unused6241>",
                                           "\xE2\x96\x81",
                                           "\xE2\x96\x81\xE2\x96\x81 ",
                                           "<table>",
                                           "</td><td>",
                                           "<h1>",
                                           "<",
                                           "</",
                                           "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB",
                                           "\xE2\x80\x8D",
                                           "\xEF\xBF\xBD",
                                           "> ",
                                           ">\n",
                                           "\r\n",
                                           "std::vector<int> v{};",
                                           "def f(x):\n    return x\n",
                                           "https://a.b/c?d=e&f=g",
                                           "don't",
                                           "1234567890",
                                           "\xFF",
                                           "\xE2\x96",
                                           "\xC0\x80",
                                           "\xED\xA0\x80",
                                           "\xF0\x9F"};
    std::string text;
    const std::size_t count = 1 + below(8);
    switch (below(6)) {
      case 0:
      case 1: {
        const auto& [first, last] = kScripts[below(std::size(kScripts))];
        for (std::size_t i = 0; i < count; ++i) text += code_point(first + below(last - first + 1));
        return text;
      }
      case 2:
        return kMorsels[below(std::size(kMorsels))];
      case 3:
        return std::string(1 + below(40), "  \n\t"[below(4)]);
      default:
        for (std::size_t i = 0; i < count / 2 + 1; ++i) {
          text += vocabulary.pieces[below(vocabulary.pieces.size())].text;
        }
        return text;
    }
  }

  std::string text(const Vocabulary& vocabulary) {
    std::string text;
    const std::size_t count = 1 + below(12);
    for (std::size_t i = 0; i < count; ++i) {
      text += morsel(vocabulary);
      if (below(2) == 0) text += ' ';
    }
    return text;
  }

 private:
  std::mt19937 random_;
};

TEST_CASE("golden texts get the reference's ids in both roles") {
  const Twins* twins = genuine_twins();
  if (twins == nullptr) return;
  const auto config = read_model_config(testing::genuine_model());
  REQUIRE(config.ok());
  for (const GoldenText& text : testing::read_golden()) {
    CAPTURE(text.name);
    for (const Role role : {Role::kQuery, Role::kDocument}) {
      const auto& expected = role == Role::kQuery ? text.query : text.document;
      const std::string prompted =
          prompted_text(config.value().prompts, role, text.title, text.text);
      CHECK(same_ids(*twins, prompted));
      const auto got = twins->bpe->tokenize(prompted, 2048);
      REQUIRE(got.ok());
      if (text.spelled_out()) continue;
      CHECK(got.value().ids == expected.ids);
      CHECK(got.value().token_count == expected.token_count);
      CHECK(got.value().truncated == expected.truncated);
    }
  }
}

TEST_CASE("the tiny model's texts get their ids, whole and cut") {
  const std::unique_ptr<Twins> twins = tiny_twins();
  const auto config = read_model_config(testing::fixture("tiny-model"));
  REQUIRE(config.ok());
  for (const testing::TinyExpectation& expected : testing::read_tiny_expectations()) {
    const auto got = twins->bpe->tokenize(
        prompted_text(config.value().prompts, expected.role, expected.title, expected.text), 96);
    REQUIRE(got.ok());
    CHECK(got.value().ids == expected.output.ids);
    CHECK(got.value().token_count == expected.output.token_count);
    CHECK(got.value().truncated == expected.output.truncated);
  }
}

TEST_CASE("random texts get sentencepiece's ids, ill-formed bytes and all") {
  RandomText random(test_seed());
  const std::unique_ptr<Twins> tiny = tiny_twins();
  for (int i = 0; i < 1500; ++i) same_ids(*tiny, random.text(tiny->vocabulary));
  const Twins* genuine = genuine_twins();
  if (genuine == nullptr) return;
  for (int i = 0; i < 4000; ++i) same_ids(*genuine, random.text(genuine->vocabulary));
}

// Pieces of a few letters in random order of their scores, some equal, some made of characters that
// are no pieces, and user-defined ones that overlap.
Vocabulary random_vocabulary(RandomText& random) {
  Vocabulary vocabulary = testing::bare_vocabulary();
  const std::vector<std::string> letters = {"a", "b", "\xC3\xA9", "\xE2\x96\x81",
                                            "\xF0\x9F\x8D\x8E"};
  std::vector<std::string> texts;
  const auto add = [&](const std::string& text, PieceKind kind) {
    if (std::ranges::find(texts, text) != texts.end()) return;
    texts.push_back(text);
    vocabulary.pieces.push_back({text, -static_cast<float>(random.below(30)), kind});
  };
  for (const std::string& letter : letters) {
    if (random.below(4) != 0) add(letter, PieceKind::kNormal);
  }
  for (int i = 0; i < 60; ++i) {
    std::string text;
    const std::size_t length = 2 + random.below(5);
    for (std::size_t at = 0; at < length; ++at) text += letters[random.below(letters.size())];
    // Mostly what can be merged from two pieces already there.
    if (!texts.empty() && random.below(4) != 0) {
      text = texts[random.below(texts.size())] + texts[random.below(texts.size())];
    }
    if (text.size() < 30) {
      add(text, random.below(12) == 0 ? PieceKind::kUserDefined : PieceKind::kNormal);
    }
  }
  return vocabulary;
}

TEST_CASE("random vocabularies with equal scores and odd pieces give sentencepiece's ids") {
  RandomText random(test_seed());
  const testing::TempFolder folder;
  const std::vector<std::string> letters = {"a", "b",  "\xC3\xA9",    " ", "\xF0\x9F\x8D\x8E",
                                            "c", "\n", "\xE2\x96\x81"};
  for (int round = 0; round < 80; ++round) {
    testing::write_bytes(folder / "tokenizer.model",
                         testing::sentencepiece_model(random_vocabulary(random)));
    const std::unique_ptr<Twins> twins = twins_of(folder / "tokenizer.model");
    for (int i = 0; i < 60; ++i) {
      std::string text;
      const std::size_t length = 1 + random.below(i < 50 ? 20 : 400);
      // Few letters, so that pieces meet; now and then a rarer one.
      for (std::size_t at = 0; at < length; ++at) {
        text += letters[random.below(random.below(8) == 0 ? letters.size() : 5)];
      }
      if (!same_ids(*twins, text)) return;
    }
  }
}

TEST_CASE("a longer text keeps its first ids and ends in EOS, and says so") {
  const std::unique_ptr<Twins> twins = tiny_twins();
  const std::string text = "the keys of a sorted run are kept in blocks \xE7\x81\xAB";
  const std::vector<std::int32_t> whole = ids_of(*twins->bpe, text);
  const auto count = static_cast<std::int64_t>(whole.size());
  for (std::int64_t most = 2; most <= count + 1; ++most) {
    const auto cut = twins->bpe->tokenize(text, most);
    REQUIRE(cut.ok());
    const auto& ids = cut.value().ids;
    CHECK(static_cast<std::int64_t>(ids.size()) == std::min(most, count));
    CHECK(cut.value().truncated == (most < count));
    CHECK(cut.value().token_count == count);
    CHECK(ids.back() == 1);
    CHECK(std::equal(ids.begin(), ids.end() - 1, whole.begin()));
  }
  CHECK(ids_of(*twins->bpe, "") == std::vector<std::int32_t>{2, 1});
  CHECK(twins->bpe->sha256() == "the hash");
  CHECK(twins->bpe->vocabulary_size() == 400);
  CHECK(twins->bpe->bos_id() == 2);
  CHECK(twins->bpe->eos_id() == 1);
}

// Of this process on a processor: a busy machine must not fail a test of quadratic time.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

TEST_CASE("a million marks on a letter and words of 1 MiB take under 2 s each") {
  const Twins* twins = genuine_twins();
  if (twins == nullptr) return;
  std::string marks = "e";
  for (int i = 0; i < 500'000; ++i) marks += "\xCC\x81";
  RandomText random(test_seed());
  std::string word(1 << 20, 'a');
  for (char& letter : word) letter = static_cast<char>('a' + random.below(26));
  std::string kanji;
  while (kanji.size() < (1 << 20)) kanji += random.code_point(0x4E00 + random.below(0x2000));
  const std::vector<std::string> texts = {marks,
                                          word,
                                          kanji,
                                          std::string(1 << 20, 'a'),
                                          std::string(1 << 20, '<'),
                                          std::string(1 << 20, ' ')};
  for (const std::string& text : texts) {
    const double start = processor_seconds();
    const auto got = twins->bpe->tokenize(text, 2048);
    CHECK(processor_seconds() - start < 2);
    REQUIRE(got.ok());
    CHECK(got.value().ids.size() == 2048);
    CHECK(got.value().truncated);
    // The same as sentencepiece on the part that both have as one piece of work.
    same_ids(*twins, text.substr(0, 12'288));
  }
}

TEST_CASE("opening a table builds nothing") {
  const Twins* twins = genuine_twins();
  if (twins == nullptr) return;
  const double start = processor_seconds();
  for (int i = 0; i < 1000; ++i) REQUIRE(BpeTokenizer::open(twins->table, "").ok());
  CHECK(processor_seconds() - start < 1);
}

TEST_CASE("a vocabulary that cannot be tokenized as sentencepiece does is refused by name") {
  const auto status_with = [](const Piece& piece) {
    Vocabulary vocabulary = testing::bare_vocabulary();
    vocabulary.pieces.push_back(piece);
    return build_tokenizer_table(vocabulary).status();
  };
  CHECK(status_with({"fine", -1}).ok());
  CHECK(status_with({"gone", -1, PieceKind::kUnused}).code() == StatusCode::kUnsupported);
  CHECK(status_with({"x", -1, PieceKind::kControl}).code() == StatusCode::kUnsupported);
  CHECK(status_with({std::string("a\0b", 3), -1, PieceKind::kUserDefined}).code() ==
        StatusCode::kUnsupported);
  CHECK(status_with({"<bos>", -1}).code() == StatusCode::kDataLoss);
  CHECK(status_with({"<0x0G>", -1, PieceKind::kByte}).code() == StatusCode::kDataLoss);
  CHECK(status_with({"", -1}).code() == StatusCode::kDataLoss);
  CHECK(status_with({"\xFF", -1}).code() == StatusCode::kDataLoss);
  CHECK(status_with({std::string(1025, 'x'), -1}).code() == StatusCode::kDataLoss);
  CHECK(status_with({"a", std::numeric_limits<float>::infinity()}).code() == StatusCode::kDataLoss);
  CHECK(status_with({"gone", -1, PieceKind::kUnused}).message().find("gone") != std::string::npos);

  Vocabulary vocabulary = testing::bare_vocabulary();
  vocabulary.pieces.pop_back();
  CHECK(build_tokenizer_table(vocabulary).status().message().find("<0xFF>") != std::string::npos);
  vocabulary = testing::bare_vocabulary();
  vocabulary.eos_id = 260;
  CHECK(build_tokenizer_table(vocabulary).status().code() == StatusCode::kDataLoss);
  CHECK(build_tokenizer_table({}).status().code() == StatusCode::kDataLoss);
}

// Opens the table from a buffer of exactly its size and, where it opens, tokenizes.
bool opens_and_stays_in_range(const std::vector<char>& table,
                              const std::vector<std::string>& texts) {
  const auto opened = BpeTokenizer::open(table, "");
  if (!opened.ok()) return false;
  for (const std::string& text : texts) {
    const auto got = opened.value()->tokenize(text, kAllTokens);
    REQUIRE(got.ok());
    const bool in_range = std::ranges::all_of(got.value().ids, [&](std::int32_t id) {
      return id >= 0 && id < opened.value()->vocabulary_size();
    });
    CHECK(in_range);
  }
  return true;
}

TEST_CASE("a damaged table is refused or gives ids of the vocabulary, never more") {
  RandomText random(test_seed());
  Vocabulary vocabulary = random_vocabulary(random);
  vocabulary.pieces.push_back({"<tag>", 0, PieceKind::kUserDefined});
  vocabulary.pieces.push_back({"\xE7\x81\xAB", 0, PieceKind::kUserDefined});
  const std::string good = build_tokenizer_table(vocabulary).value();
  std::vector<std::string> texts = {"<tag><tag", "\xE7\x81\xAB\xE7\x81", "\xF4\x8F\xBF\xBF"};
  for (int i = 0; i < 4; ++i) texts.push_back(random.text(vocabulary));
  REQUIRE(opens_and_stays_in_range({good.begin(), good.end()}, texts));

  for (std::size_t bytes = 0; bytes < good.size(); bytes += bytes < 4096 ? 1 : 511) {
    const auto end = good.begin() + static_cast<std::ptrdiff_t>(bytes);
    CHECK_FALSE(opens_and_stays_in_range({good.begin(), end}, texts));
  }
  std::vector<char> damaged(good.begin(), good.end());
  for (std::size_t at = 0; at < good.size(); ++at) {
    // Every byte that says something, and some of the zeros.
    if (good[at] == 0 && at > 2048 && random.below(16) != 0) continue;
    for (const char mask : {'\x01', '\x80', '\xFF'}) {
      damaged[at] = static_cast<char>(good[at] ^ mask);
      opens_and_stays_in_range(damaged, texts);
    }
    damaged[at] = good[at];
  }
  // Whole stretches of noise behind a sound header.
  for (int round = 0; round < 200; ++round) {
    const std::size_t begin = 1088 + random.below(good.size() - 1088);
    const std::size_t end = std::min(good.size(), begin + 1 + random.below(70'000));
    for (std::size_t at = begin; at < end; ++at) damaged[at] = static_cast<char>(random.below(256));
    opens_and_stays_in_range(damaged, texts);
    damaged.assign(good.begin(), good.end());
  }
}

TEST_CASE("a table of another version is refused with both numbers") {
  std::string table = build_tokenizer_table(testing::bare_vocabulary()).value();
  table[8] = 9;
  const auto refused = BpeTokenizer::open(table, "");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().code() == StatusCode::kUnsupported);
  CHECK(refused.status().message().find("version 9, this Nestor reads 1") != std::string::npos);
}

}  // namespace
}  // namespace nestor::embed
