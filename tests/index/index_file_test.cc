#include "index/index_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "core/file.h"
#include "tests/index/random_rows.h"
#include "tests/support/test_paths.h"

namespace nestor::index {
namespace {

using nestor::testing::TempFolder;

IndexFile example() {
  IndexFile file;
  file.identity = {.collection = "notes",
                   .collection_id = 3,
                   .space = "ab12",
                   .width = 128,
                   .sequence = 77,
                   .digest = {.low = 5, .high = 6}};
  for (int i = 0; i < 300; ++i) file.payload.push_back(static_cast<char>(i * 7));
  return file;
}

std::string written(const std::string& path, const IndexFile& file) {
  REQUIRE(write_index_file(path, file).ok());
  return read_file(path, 1 << 26).value();
}

StatusCode code_of(const std::string& path, const std::string& bytes) {
  REQUIRE(write_file_atomic(path, bytes).ok());
  return read_index_file(path).status().code();
}

TEST_CASE("an index file comes back as it was written") {
  const TempFolder folder;
  for (IndexFile file : {example(), IndexFile{}}) {
    written(folder / "cache", file);
    const auto found = read_index_file(folder / "cache");
    REQUIRE(found.ok());
    CHECK(found.value().identity == file.identity);
    CHECK(found.value().payload == file.payload);
  }
}

TEST_CASE("no file is not found") {
  const TempFolder folder;
  CHECK(read_index_file(folder / "none").status().code() == StatusCode::kNotFound);
}

TEST_CASE("an index file cut at any length is data loss") {
  const TempFolder folder;
  const std::string bytes = written(folder / "cache", example());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    CAPTURE(length);
    // Not synced: hundreds of files.
    std::FILE* file = std::fopen((folder / "cut").c_str(), "wb");
    REQUIRE(file != nullptr);
    CHECK(std::fwrite(bytes.data(), 1, length, file) == length);
    std::fclose(file);
    CHECK(read_index_file(folder / "cut").status().code() == StatusCode::kDataLoss);
  }
}

TEST_CASE("bytes after the end are data loss, and the message has both lengths") {
  const TempFolder folder;
  const std::string bytes = written(folder / "cache", example());
  CHECK(code_of(folder / "long", bytes + "x") == StatusCode::kDataLoss);
  const std::string message = read_index_file(folder / "long").status().message();
  CHECK(message.find(std::to_string(bytes.size() + 1) + " bytes") != std::string::npos);
  CHECK(message.find("promises 300 more") != std::string::npos);
}

TEST_CASE("one flipped bit anywhere is noticed before the payload is handed on") {
  const TempFolder folder;
  const std::string bytes = written(folder / "cache", example());
  testing::RandomRows random(testing::test_seed("index_file flips"));
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string flipped = bytes;
    flipped[at] ^= static_cast<char>(1 << random.below(8));
    std::FILE* file = std::fopen((folder / "flipped").c_str(), "wb");
    REQUIRE(file != nullptr);
    CHECK(std::fwrite(flipped.data(), 1, flipped.size(), file) == flipped.size());
    std::fclose(file);
    CAPTURE(at);
    const StatusCode code = read_index_file(folder / "flipped").status().code();
    // Bytes 8 to 11 are the version number: another one is named as such.
    CHECK(code == (at >= 8 && at < 12 ? StatusCode::kUnsupported : StatusCode::kDataLoss));
  }
}

TEST_CASE("a file of many pieces is checked to its last one, read or mapped") {
  const TempFolder folder;
  IndexFile file = example();
  file.payload.resize((std::size_t{4} << 20) * 5 + 17);
  testing::RandomRows random(testing::test_seed("index_file pieces"));
  for (char& byte : file.payload) byte = static_cast<char>(random.below(256));
  const std::string path = folder / "cache";
  const std::string bytes = written(path, file);
  const auto mapped = map_index_file(path);
  REQUIRE(mapped.ok());
  CHECK(mapped.value().payload() == file.payload);
  auto writer = IndexFileWriter::create(folder / "pieces", file.identity, file.payload.size());
  REQUIRE(writer.ok());
  REQUIRE(writer.value().write(0, file.payload).ok());
  REQUIRE(writer.value().commit().ok());
  const auto same = read_index_file(folder / "pieces");
  REQUIRE(same.ok());
  CHECK(same.value().payload == file.payload);
  for (std::size_t piece = 0; piece <= 5; ++piece) {
    std::string flipped = bytes;
    const std::size_t at = std::min(piece * (std::size_t{4} << 20) + random.below(17),
                                    17 + (std::size_t{4} << 20) * 5 - 1);
    flipped[bytes.size() - file.payload.size() + at] ^= 4;
    CHECK(code_of(folder / "flipped", flipped) == StatusCode::kDataLoss);
    CHECK(map_index_file(folder / "flipped").status().code() == StatusCode::kDataLoss);
  }
}

TEST_CASE("lengths that lie are refused before anything is allocated for them") {
  const TempFolder folder;
  const std::string bytes = written(folder / "cache", example());
  for (const int at : {12, 16}) {  // identity length, payload length
    std::string lying = bytes;
    for (int i = 0; i < (at == 12 ? 4 : 8); ++i) lying[static_cast<std::size_t>(at + i)] = '\xff';
    CHECK(code_of(folder / "lying", lying) == StatusCode::kDataLoss);
  }
}

TEST_CASE("a future version is unsupported and both numbers are named") {
  const TempFolder folder;
  std::string bytes = written(folder / "cache", example());
  bytes[8] = 9;
  CHECK(code_of(folder / "future", bytes) == StatusCode::kUnsupported);
  const std::string message = read_index_file(folder / "future").status().message();
  CHECK(message.find("format version 9") != std::string::npos);
  CHECK(message.find("reads version 2") != std::string::npos);
}

TEST_CASE("a folder and a FIFO in the file's place are errors and not waited for") {
  const TempFolder folder;
  CHECK_FALSE(read_index_file(folder.path()).ok());
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  CHECK_FALSE(read_index_file(folder / "fifo").ok());
}

TEST_CASE("a file cannot be written where there is no folder") {
  const TempFolder folder;
  CHECK_FALSE(write_index_file(folder / "none/cache", example()).ok());
}

TEST_CASE("a name too long for the head is refused when written") {
  const TempFolder folder;
  IndexFile file = example();
  file.identity.collection.assign(70000, 'n');
  CHECK(write_index_file(folder / "cache", file).code() == StatusCode::kInvalidArgument);
}

TEST_CASE("what belongs to another collection, model or history is said in words") {
  const IndexIdentity ours = example().identity;
  CHECK(describe_mismatch(ours, ours).empty());
  IndexIdentity other = ours;
  other.collection = "mail";
  CHECK(describe_mismatch(other, ours) == "the collection is mail, expected notes");
  other = ours;
  other.collection_id = 4;
  CHECK(describe_mismatch(other, ours) == "the collection's number is 4, expected 3");
  other = ours;
  other.space = "cd34";
  CHECK(describe_mismatch(other, ours) == "the vector space is cd34, expected ab12");
  other = ours;
  other.width = 256;
  CHECK(describe_mismatch(other, ours) == "the width is 256, expected 128");
  other = ours;
  other.sequence = 78;
  CHECK(describe_mismatch(other, ours) == "the sequence is 78, expected 77");
  other = ours;
  other.digest.high = 7;
  CHECK(describe_mismatch(other, ours).find("the digest at sequence 77") == 0);
}

}  // namespace
}  // namespace nestor::index
