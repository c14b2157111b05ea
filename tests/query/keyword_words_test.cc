// What a reader who types a word finds by it, and what not: scripts, spellings, names, numbers.
// Each line is a text and a query; the texts are documents of one collection.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "nestor/database.h"
#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

struct Line {
  const char* text;
  const char* query;
};

class Collection {
 public:
  explicit Collection(const std::vector<Line>& lines, const std::string& language = "auto")
      : db_(must_open(folder_ / "db")) {
    REQUIRE(db_.create_collection("default", {.vector_width = 2}).ok());
    REQUIRE(db_.set_attribute("default", "nestor.language", language).ok());
    std::vector<Document> documents;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      documents.push_back(
          {.key = std::to_string(i), .title = "", .text = lines[i].text, .vector = {1, 0}});
    }
    const auto added = db_.add(documents);
    REQUIRE_MESSAGE(added.ok(), added.status().to_string());
  }

  [[nodiscard]] bool finds(const std::string& query, std::size_t document) const {
    const auto found = db_.search(query, {.k = 1'000, .mode = SearchMode::kKeyword});
    REQUIRE_MESSAGE(found.ok(), found.status().to_string());
    const auto& hits = found.value().hits;
    return std::any_of(hits.begin(), hits.end(),
                       [&](const Hit& hit) { return hit.key == std::to_string(document); });
  }

 private:
  static Database must_open(const std::string& path) {
    auto opened = query::open_database(path, {}, factory_of(std::make_shared<HashEncoder>()));
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    return std::move(opened).value();
  }

  TempFolder folder_;
  Database db_;
};

void check_found(const std::vector<Line>& lines, const std::string& language = "auto") {
  const Collection collection(lines, language);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    CHECK_MESSAGE(collection.finds(lines[i].query, i),
                  (std::string(lines[i].query) + " finds " + lines[i].text));
  }
}

void check_not_found(const std::vector<Line>& lines) {
  const Collection collection(lines);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    CHECK_MESSAGE(!collection.finds(lines[i].query, i),
                  (std::string(lines[i].query) + " does not find " + lines[i].text));
  }
}

}  // namespace

TEST_CASE("Latin letters are found however they are typed") {
  check_found({{"Kışın sıcak çorba", "KIŞIN"},
               {"SICAK ÇORBA", "sıcak"},
               {"DİKİLİ", "dikili"},
               {"ıhlamur", "IHLAMUR"},
               {"İZMİT", "izmit"},
               {"izmit", "İZMİT"},
               {"Gdańsk i Wrocław", "wroclaw"},
               {"Tromsø", "tromso"},
               {"Bjørn", "BJORN"},
               {"cœur", "coeur"},
               {"encyclopædia", "encyclopaedia"},
               {"Đà Nẵng", "da nang"},
               {"Þingvellir", "thingvellir"},
               {"Sauðárkrókur", "saudarkrokur"},
               {"mañana", "manana"},
               {"manana", "mañana"},
               {"Fußball", "FUSSBALL"},
               {"GROẞE", "große"},
               {"ＦＵＬＬ ｗｉｄｔｈ", "full"},
               {"oﬃcial ﬂoor", "official floor"},
               {"co\u00ADoperate", "cooperate"},
               {"zero\u200Bspace", "zerospace"},
               {"zero\u200Bspace", "zero"},
               {"a\uFEFFbc", "abc"},
               {"Łukasz", "łukasz"},
               {"naïve", "nai\u0308ve"},
               {"Ħamrun", "hamrun"},
               {"Müller", "mueller"},
               {"Koeln", "Köln"},
               {"Ångström", "angstroem"},
               {"Aarhus", "Århus"},
               {"Goethestrasse", "Göthestraße"}});
}

TEST_CASE("Greek, Cyrillic, Arabic, Hebrew and Devanagari words are found without their marks") {
  check_found({{"Θεσσαλονίκη", "θεσσαλονικη"},
               {"ΠΟΛΙΣ", "πόλις"},
               {"τὸν λόγον", "λογον"},
               {"Ещё не всё", "еще"},
               {"зеленый", "зелёный"},
               {"на́до", "надо"},
               {"книга", "книги"},
               {"м\u2019який", "м'який"},
               {"м'який", "мякий"},
               {"بَيْتٌ كَبِيرٌ", "بيت"},
               {"كبـــير", "كبير"},
               {"إسلام", "اسلام"},
               {"مستشفى", "مستشفي"},
               {"مكتبة", "مكتبه"},
               {"المكتبة", "مكتبة"},
               {"والبيت", "بيت"},
               {"کتابخانه", "كتابخانه"},
               {"می\u200Cشود", "میشود"},
               {"یہ کتاب ہے", "كتاب"},
               {"۱۲۳", "123"},
               {"סֵפֶר", "ספר"},
               {"ובספר", "ספר"},
               {"לבית", "הבית"},
               {"צה\"ל", "צה״ל"},
               {"सम्बन्ध", "संबंध"},
               {"अंक", "अङ्क"},
               {"फ़िल्म", "फिल्म"},
               {"चाँद", "चांद"},
               {"१२", "12"}});
}

TEST_CASE("letters that are letters of their own stay apart") {
  check_not_found({{"мои", "\"мой\""},  // my (plural) and my, which share a stem
                   {"заим", "займ"},    // warrior and of wars
                   {"тіло", "тїло"},    // i and yi
                   {"서울", "겨울은"},  // Seoul and winter
                   {"겨울은 춥다", "서울은"},
                   {"カード", "ガード"},  // card and guard
                   {"विधी", "\"विधा\""},
                   {"東京都庁", "京都"}});
}

TEST_CASE("Korean words are found with and without their particles, spaces and neighbours") {
  check_found({{"부산은 항구 도시다", "부산"},
               {"부산", "부산은"},
               {"도서관에서 읽었다", "도서관"},
               {"물을 마셨다", "물"},
               {"국립도서관", "도서관"},
               {"정보 검색", "정보검색"},
               {"GPU를 쓴다", "GPU"},
               {"GPU를 쓴다", "gpu를"},
               {"2025년에", "2025"},
               {"\u1112\u1161\u11ab\u1100\u116e\u11a8", "한국"},
               {"읽었습니다", "읽었다"}});
}

TEST_CASE("Chinese and Japanese words are found within longer ones and in either script") {
  check_found({{"北京大学生活", "大学"},
               {"中华人民共和国", "人民"},
               {"中華人民共和國", "人民"},
               {"漢語詞典", "汉语"},
               {"汉语", "漢語"},
               {"适者生存", "生存"},
               {"张伟明来了", "张伟明"},
               {"コンピューター", "コンピュータ"},
               {"ﾌﾟﾘﾝﾀ", "プリンタ"},
               {"東京都庁", "東京"},
               {"東京都庁", "東京都"},
               {"大阪タワー", "タワー"},
               {"大阪タワー", "大阪"},
               {"日本語Text", "text"}});
}

TEST_CASE("names of code find one another however they are joined") {
  check_found({{"orderId", "order_id"},
               {"order_id", "orderID"},
               {"order-id", "orderId"},
               {"order.id", "order id"},
               {"parseJSONBody", "parse json"},
               {"listAPIs", "api"},
               {"UTF-16", "utf16"},
               {"utf16", "UTF-16"},
               {"e-book", "ebook"},
               {"ebook", "e-book"},
               {"vue.js", "vuejs"},
               {"arm64_v8", "arm64-v8"},
               {"JWT2 flow", "jwt"},
               {"log4j", "log4j"},
               {"src/main/app.rs", "app.rs"},
               {"C:\\Temp\\log.txt", "log"},
               {"isn\u2019t", "isnt"},
               {"can't", "cant"},
               {"McDonald's", "mcdonalds"},
               {"O'Neill", "oneill"},
               {"l\u2019hiver", "hiver"},
               {"nell'acqua", "acqua"},
               {"İstanbul'da", "istanbul"},
               {"rock'n'roll", "roll"},
               {"@Deprecated", "deprecated"},
               {"mail bob@mail.example", "bob"},
               {"git@host.example:a", "host"},
               {"@types/node", "types"},
               {"#release", "release"},
               {"$PATH", "path"},
               {"CVE-2021-44228", "44228"},
               {"RFC-9110", "rfc9110"},
               {"~/.bashrc", "bashrc"},
               {"notes.txt", ".txt"},
               {"ASP.NET", ".NET"},
               {"C++20 modules", "C++"},
               {"libstdc++", "libstdc++"},
               {"the R&D team", "r&d"},
               {"AT&T", "at&t"},
               {"Node.js", "node.js"}});
}

TEST_CASE("versions and numbers are found in their other spellings and by their beginnings") {
  check_found({{"v2.4.1 is out", "2.4.1"},
               {"release 2.4.1", "v2.4.1"},
               {"2.4.1", "2.4"},
               {"java17.0", "17.0"},
               {"rust1.80", "1.80"},
               {"rust1.80", "rust 1.80"},
               {"rust1.80", "rust1"},
               {"SAML2.0", "saml2"},
               {"Debian v12", "12"},
               {"am 24.12.2023", "2023"},
               {"10.1.2.3", "10.1"},
               {"12,500 people", "12500"},
               {"12500 people", "12,500"},
               {"12.500,75 Euro", "12500.75"},
               {"2,5 kg", "2.5"},
               {"on 2023-11-07", "2023-11-07"},
               {"on 2023-11-07", "2023"},
               {"5km", "km"},
               {"½ cup", "½"},
               {"CO₂", "co2"},
               {"m²", "m2"},
               {"№7", "no7"},
               {"10:45", "10:45"},
               {"0x2A", "0x2a"},
               {"\U0001F9CA ice", "\U0001F9CA"},
               {"\u2764\uFE0F", "\u2764"}});
}

TEST_CASE("a name with a sign is not its letters") {
  check_not_found({{"vitamin C and vitamin D", "C++"},
                   {"vitamin C and vitamin D", "c#"},
                   {"vitamin C and vitamin D", "R&D"},
                   {"the F key", "F#"},
                   {"a fishing net", ".NET"},
                   {"look at this", "AT&T"},
                   {"C++ and C#", "C"},
                   {"a paper notepad", "Notepad++"}});
}

TEST_CASE("a word stands for the compounds that contain it where no text has it alone") {
  const Collection compounds({{"die Rheindampfschifffahrtsgesellschaft", ""},
                              {"Krankenversicherungsbeitrag", ""},
                              {"internationalization of applications", ""}});
  CHECK(compounds.finds("Schifffahrt", 0));
  CHECK(compounds.finds("Gesellschaft", 0));
  CHECK(compounds.finds("Versicherung", 1));
  CHECK_FALSE(compounds.finds("Beitrag", 0));
  // English stems are shorter than compounds.
  CHECK_FALSE(compounds.finds("nation", 2));
  CHECK_FALSE(compounds.finds("cation", 2));
  const std::vector<Line> both_lines = {{"die Rheindampfschifffahrtsgesellschaft", ""},
                                        {"Schifffahrt", ""}};
  const Collection both(both_lines);
  CHECK(both.finds("Schifffahrt", 1));
  CHECK_FALSE(both.finds("Schifffahrt", 0));
}

TEST_CASE("in a language of its own a word is found with and without its accents") {
  check_found(
      {{"les chevaux", "cheval"}, {"l'école fermée", "ecole"}, {"la fermeture", "fermeture"}},
      "french");
  check_found({{"die Häuser", "Haus"}, {"große Städte", "grosse Stadt"}, {"auf'm Tisch", "auf"}},
              "german");
  check_found({{"IŞIKLAR", "ışık"}, {"ışıklar", "IŞIK"}, {"İzmir'de", "izmir"}}, "turkish");
  check_found({{"canción", "cancion"}, {"cancion", "cancion"}}, "spanish");
}
