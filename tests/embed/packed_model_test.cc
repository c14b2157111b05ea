// Packed model files from strangers: every damage is an error that names the file, never a signal.
#include "embed/packed_model.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "core/hash.h"
#include "core/vector_math.h"
#include "tests/embed/tiny_packed.h"

namespace nestor::embed {
namespace {

using testing::kPrecisions;
using testing::packed_tiny;
using testing::TempFolder;

// The bytes of a packed file, to be changed, with checksums that fit again where asked for.
class PackedBytes {
 public:
  explicit PackedBytes(Precision precision)
      : bytes_(testing::read_bytes(packed_tiny(precision))),
        header_(decode_packed_header(bytes_, bytes_.size(), "test").value()) {}

  std::string& bytes() { return bytes_; }
  PackedHeader& header() { return header_; }
  PackedHeader::Section& section(PackedSection which) {
    return header_.sections[static_cast<std::size_t>(which)];
  }
  char* at(PackedSection which, std::uint64_t offset = 0) {
    return bytes_.data() + section(which).offset + offset;
  }
  // Writes the header as it is now, with its checksum.
  void write_header() { bytes_.replace(0, kPackedPage, encode_packed_header(header_)); }
  void remake_checksum(PackedSection which) {
    ThreadPool pool(1);
    section(which).checksum = packed_checksum(
        std::string_view(bytes_).substr(section(which).offset, section(which).bytes), pool);
    write_header();
  }
  // Another configuration, as a text.
  void set_config(const std::string& json) {
    REQUIRE(json.size() <= kPackedPage);
    section(PackedSection::kConfig).bytes = json.size();
    std::memset(at(PackedSection::kConfig), 0, kPackedPage);
    std::memcpy(at(PackedSection::kConfig), json.data(), json.size());
    remake_checksum(PackedSection::kConfig);
  }
  nlohmann::json config() {
    return nlohmann::json::parse(bytes_.substr(section(PackedSection::kConfig).offset,
                                               section(PackedSection::kConfig).bytes));
  }

 private:
  std::string bytes_;
  PackedHeader header_;
};

// How opening such a file ends; it must fail and name the file.
StatusCode refusal_of(const std::string& bytes) {
  const TempFolder folder;
  const std::string path = folder / "damaged.nestor-model";
  testing::write_bytes(path, bytes);
  const auto opened = testing::open_model(path, nullptr, 1, "");
  REQUIRE_FALSE(opened.ok());
  CHECK_MESSAGE(opened.status().message().find("damaged.nestor-model") != std::string::npos,
                opened.status().to_string());
  return opened.status().code();
}

TEST_CASE("a packed file cut anywhere is data loss") {
  for (const Precision precision : kPrecisions) {
    PackedBytes good(precision);
    const std::uint64_t size = good.bytes().size();
    std::vector<std::uint64_t> lengths = {0,    1,    7,    8,        12,       20,
                                          4087, 4095, 4096, size / 3, size / 2, size - 1};
    for (const PackedHeader::Section& section : good.header().sections) {
      for (const std::uint64_t at : {section.offset, section.offset + section.bytes / 2,
                                     section.offset + section.bytes - 1}) {
        lengths.push_back(at);
      }
    }
    for (const std::uint64_t length : lengths) {
      CAPTURE(length);
      CHECK(refusal_of(good.bytes().substr(0, length)) == StatusCode::kDataLoss);
    }
  }
}

TEST_CASE("a bit turned in any section but the table is found at open") {
  for (const Precision precision : kPrecisions) {
    for (int i = 0; i < kPackedSectionCount; ++i) {
      const auto which = static_cast<PackedSection>(i);
      if (which == PackedSection::kTable) continue;
      const std::uint64_t size = PackedBytes(precision).section(which).bytes;
      for (const std::uint64_t at : {std::uint64_t{0}, size / 3, size / 2, size - 1}) {
        CAPTURE(i);
        CAPTURE(at);
        PackedBytes bad(precision);
        *bad.at(which, at) = static_cast<char>(*bad.at(which, at) ^ 0x10);
        CHECK(refusal_of(bad.bytes()) == StatusCode::kDataLoss);
      }
    }
  }
}

TEST_CASE("a bit turned anywhere in the header is refused") {
  std::mt19937 random(1);
  for (int round = 0; round < 80; ++round) {
    PackedBytes bad(Precision::kInt8);
    const std::size_t at = round < 40 ? static_cast<std::size_t>(round) : random() % kPackedPage;
    bad.bytes()[at] = static_cast<char>(bad.bytes()[at] ^ (1 << random() % 8));
    CAPTURE(at);
    const StatusCode code = refusal_of(bad.bytes());
    // Bytes 8 to 11 are the version.
    CHECK(code == (at >= 8 && at < 12 ? StatusCode::kUnsupported : StatusCode::kDataLoss));
  }
}

TEST_CASE("a bit turned in a row of the table is found when the row is read, and named") {
  for (const Precision precision : kPrecisions) {
    PackedBytes bad(precision);
    const auto layout = table_row_layout(32, precision);
    const PackedHeader::Section& table = bad.section(PackedSection::kTable);
    std::mt19937 random(2);
    for (std::uint64_t row = 0; row < table.bytes;
         row += static_cast<std::uint64_t>(layout.bytes)) {
      char* byte =
          bad.at(PackedSection::kTable, row + random() % static_cast<std::uint64_t>(layout.bytes));
      *byte = static_cast<char>(*byte ^ 4);
    }
    const TempFolder folder;
    testing::write_bytes(folder / "damaged.nestor-model", bad.bytes());
    const Embedder embedder = testing::open_packed(folder / "damaged.nestor-model");
    const auto result = embedder.embed_query("Mars");
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().code() == StatusCode::kDataLoss);
    CHECK(result.status().message().find("damaged.nestor-model") != std::string::npos);
    CHECK(result.status().message().find("token") != std::string::npos);
  }
}

TEST_CASE("other versions, precisions and magics are refused") {
  PackedBytes later(Precision::kInt8);
  later.bytes()[8] = 99;
  const TempFolder folder;
  testing::write_bytes(folder / "later.nestor-model", later.bytes());
  const auto refused = testing::open_model(folder / "later.nestor-model", nullptr, 1, "");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().code() == StatusCode::kUnsupported);
  for (const std::string& part :
       {std::string("later.nestor-model"), std::string("99"), std::string("nestor model pack")}) {
    CHECK(refused.status().message().find(part) != std::string::npos);
  }
  CHECK(refused.status().message().find(std::to_string(kPackedVersion)) != std::string::npos);
  PackedBytes foreign(Precision::kInt8);
  foreign.bytes().replace(0, 8, "GGUFGGUF");
  CHECK(refusal_of(foreign.bytes()) == StatusCode::kDataLoss);
  for (const int number : {0, 1, 3, 1 << 30, -1}) {
    PackedBytes other(Precision::kInt8);
    other.header().precision = static_cast<Precision>(number);
    other.write_header();
    CHECK(refusal_of(other.bytes()) == StatusCode::kDataLoss);
  }
}

TEST_CASE("sections that lie about their place or size are refused though the checksums fit") {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  for (int i = 0; i < kPackedSectionCount; ++i) {
    const auto which = static_cast<PackedSection>(i);
    const auto refuse = [&](const std::function<void(PackedHeader::Section&)>& edit) {
      CAPTURE(i);
      PackedBytes bad(Precision::kInt8);
      edit(bad.section(which));
      bad.write_header();
      CHECK(refusal_of(bad.bytes()) == StatusCode::kDataLoss);
    };
    using Section = PackedHeader::Section;
    refuse([](Section& section) { section.offset = kMost; });
    refuse([](Section& section) { section.offset = kMost - kPackedPage + 1; });
    refuse([](Section& section) { section.offset += 8; });
    refuse([](Section& section) { section.offset = 1ULL << 40; });
    refuse([](Section& section) { section.bytes = kMost; });
    refuse([](Section& section) { section.bytes = 1ULL << 62; });
    refuse([](Section& section) { section.bytes = 0; });
    refuse([](Section& section) { section.bytes -= 1; });
    refuse([](Section& section) { section.bytes += 1ULL << 30; });
  }
  // A whole section of another size, its checksum remade.
  for (const PackedSection which : {PackedSection::kTokenizer, PackedSection::kRotary,
                                    PackedSection::kLayers, PackedSection::kHead}) {
    for (const std::int64_t change : {-64, -4}) {
      PackedBytes bad(Precision::kInt8);
      bad.section(which).bytes += static_cast<std::uint64_t>(change);
      bad.remake_checksum(which);
      CAPTURE(static_cast<int>(which));
      CHECK(refusal_of(bad.bytes()) == StatusCode::kDataLoss);
    }
  }
}

TEST_CASE("a configuration that lies is refused though its checksum fits") {
  const std::vector<std::pair<const char*, nlohmann::json>> lies = {
      {"hidden_size", 48},
      {"hidden_size", 65536},
      {"hidden_size", 0},
      {"hidden_size", -32},
      {"hidden_size", 32.5},
      {"hidden_size", "32"},
      {"hidden_size", 1e300},
      {"vocabulary_size", 399},
      {"vocabulary_size", 401},
      {"vocabulary_size", 1 << 24},
      {"head_count", 4},
      {"head_count", 1024},
      {"head_width", 32},
      {"head_width", 17},
      {"key_head_count", 3},
      {"key_head_count", 2},
      {"feed_forward_size", 64},
      {"feed_forward_size", 50},
      {"feed_forward_size", 1 << 18},
      {"context_tokens", 97},
      {"context_tokens", 1 << 20},
      {"context_tokens", 1ULL << 63},
      {"local_reach", 0},
      {"layers", "lllllff"},
      {"layers", ""},
      {"layers", "lllllx"},
      {"layers", std::string(300, 'l')},
      {"bos_id", 399},
      {"eos_id", 1 << 20},
      {"bos_id", -1},
      {"norm_epsilon", -1},
      {"norm_epsilon", nullptr},
      {"score_scale", 0},
      {"dense", nlohmann::json::array()},
      {"dense", {{{"in", 32}, {"out", 784}}}},
      {"dense", {{{"in", 33}, {"out", 768}}}},
      {"dense", 5},
      {"space", 7},
      {"name", std::string(3900, 'n')},
      {"prompt_document", {}}};
  for (const Precision precision : kPrecisions) {
    for (const auto& [name, value] : lies) {
      PackedBytes bad(precision);
      nlohmann::json config = bad.config();
      config[name] = value;
      if (config.dump().size() > kPackedPage) continue;
      bad.set_config(config.dump());
      CAPTURE(std::string(precision_name(precision)));
      CAPTURE(std::string(name));
      CAPTURE(value.dump());
      const TempFolder folder;
      testing::write_bytes(folder / "lies.nestor-model", bad.bytes());
      const auto opened = testing::open_model(folder / "lies.nestor-model", nullptr, 1, "");
      if (opened.ok()) {
        // No lie that shows: the padding of the panels has room for a fourth head. It must work.
        CHECK(opened.value().embed_query("Mars").ok());
        const bool harmless = std::string(name) == "name" || std::string(name) == "head_count";
        CHECK(harmless);
        continue;
      }
      CHECK(opened.status().message().find("lies.nestor-model") != std::string::npos);
      const bool expected = opened.status().code() == StatusCode::kDataLoss ||
                            opened.status().code() == StatusCode::kUnsupported;
      CHECK_MESSAGE(expected, opened.status().to_string());
    }
  }
}

TEST_CASE("every field of the configuration is needed, and it must be JSON") {
  const nlohmann::json good = PackedBytes(Precision::kInt8).config();
  for (const auto& item : good.items()) {
    PackedBytes bad(Precision::kInt8);
    nlohmann::json config = good;
    config.erase(item.key());
    bad.set_config(config.dump());
    CAPTURE(item.key());
    CHECK(refusal_of(bad.bytes()) == StatusCode::kDataLoss);
  }
  for (const std::string& text :
       {std::string("{"), std::string("[]"), std::string("null"), std::string(4000, '['),
        std::string("\xff\xfe{}"), std::string(10, '\0')}) {
    PackedBytes bad(Precision::kInt8);
    bad.set_config(text);
    CHECK(refusal_of(bad.bytes()) == StatusCode::kDataLoss);
  }
}

TEST_CASE("weights that are nonsense with a fitting checksum give an error or a vector") {
  std::mt19937 random(3);
  for (const Precision precision : kPrecisions) {
    for (int round = 0; round < 12; ++round) {
      PackedBytes bad(precision);
      const std::uint64_t size = bad.section(PackedSection::kLayers).bytes;
      const std::uint64_t begin = round == 0 ? 0 : random() % size;
      const std::uint64_t end = round == 0 ? size : std::min(size, begin + random() % 4096);
      for (std::uint64_t i = begin; i < end; ++i) {
        *bad.at(PackedSection::kLayers, i) = static_cast<char>(random());
      }
      bad.remake_checksum(PackedSection::kLayers);
      const TempFolder folder;
      testing::write_bytes(folder / "nonsense", bad.bytes());
      const Embedder embedder = testing::open_packed(folder / "nonsense");
      for (const std::string& text : {std::string("Mars"), std::string(200, 'x')}) {
        const auto result = embedder.embed_query(text);
        if (result.ok()) {
          const std::vector<float>& vector = result.value().vector;
          CHECK(std::abs(dot(vector, vector) - 1) < 1e-4);
        } else {
          CHECK(result.status().code() == StatusCode::kInternal);
        }
      }
    }
  }
}

TEST_CASE("what is no regular file is refused without waiting") {
  const TempFolder folder;
  REQUIRE(mkfifo((folder / "fifo.nestor-model").c_str(), 0600) == 0);
  ThreadPool pool(1);
  for (const std::string& path :
       {folder / "fifo.nestor-model", folder.path(), std::string("/dev/zero")}) {
    const auto opened = PackedModel::open(path, pool);
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.status().code() == StatusCode::kInvalidArgument);
    CHECK(opened.status().message().find(path) != std::string::npos);
    CHECK_FALSE(read_packed_summary(path).ok());
  }
  CHECK(PackedModel::open(folder / "none", pool).status().code() == StatusCode::kNotFound);
  CHECK_FALSE(testing::open_model(folder / "fifo.nestor-model", nullptr, 1, "").ok());
}

TEST_CASE("the summary is that of the file, from its first pages alone") {
  for (const Precision precision : kPrecisions) {
    const auto summary = read_packed_summary(packed_tiny(precision));
    REQUIRE(summary.ok());
    CHECK(summary.value().precision == precision);
    CHECK(summary.value().config.hidden_size == 32);
    CHECK(summary.value().identity.name.starts_with("unverified-"));
    CHECK(summary.value().identity.format == "safetensors F32");
    CHECK(summary.value().bytes == std::filesystem::file_size(packed_tiny(precision)));
  }
}

// Runs `damage` on the file of an open embedder in a process of its own, then embeds and counts
// there. Returns how it ended: 0 when each call gave data loss, over 1000 for a signal.
int ends_as(Precision precision, const std::function<void(const std::string&)>& damage) {
  const TempFolder folder;
  const std::string path = folder / "model";
  testing::write_bytes(path, testing::read_bytes(packed_tiny(precision)));
  // A clock tick before the damage, so that the times of change differ.
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(20);
    const auto embedder = testing::open_model(path, "scalar", 1, "");
    if (!embedder.ok()) _exit(2);
    if (!embedder.value().embed_query("Mars").ok()) _exit(3);
    damage(path);
    const auto after = embedder.value().embed_query("the keys of a sorted run");
    if (after.status().code() != StatusCode::kDataLoss) _exit(4);
    if (after.status().message().find(path) == std::string::npos) _exit(5);
    if (embedder.value().count_tokens("Mars").status().code() != StatusCode::kDataLoss) _exit(7);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST_CASE("a file cut or rewritten while it is open gives data loss at the next call, no signal") {
  for (const Precision precision : kPrecisions) {
    const auto size = std::filesystem::file_size(packed_tiny(precision));
    for (const std::uintmax_t length : {std::uintmax_t{0}, std::uintmax_t{4096}, size / 2}) {
      CAPTURE(std::string(precision_name(precision)));
      CAPTURE(length);
      CHECK(ends_as(precision, [&](const std::string& path) {
              if (truncate(path.c_str(), static_cast<off_t>(length)) != 0) _exit(6);
            }) == 0);
    }
    CHECK(ends_as(precision, [&](const std::string& path) {
            testing::write_bytes(path, std::string(size, 'x'));
          }) == 0);
  }
}

TEST_CASE("a file that is replaced while it is open changes nothing for who has it open") {
  const TempFolder folder;
  const std::string path = folder / "model";
  testing::write_bytes(path, testing::read_bytes(packed_tiny(Precision::kInt8)));
  const Embedder embedder = testing::open_packed(path);
  const auto before = embedder.embed_query("Mars").value().vector;
  testing::pack_to(path, Precision::kBf16);
  const auto after = embedder.embed_query("Mars");
  REQUIRE_MESSAGE(after.ok(), after.status().to_string());
  CHECK(after.value().vector == before);
}

}  // namespace
}  // namespace nestor::embed
