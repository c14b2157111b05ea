// Files that come from elsewhere or lie where a disk may have changed them: what stands at the
// beginning of a bundle, lines of an export, calibrations, segments of cached rows.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "index/calibration.h"
#include "index/row_cache.h"
#include "query/portable_document.h"
#include "storage/bundle_header.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_targets.h"

namespace nestor::fuzz {
namespace {

namespace fs = std::filesystem;

void write(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// A folder for the two files of a segment, removed at the end.
class SegmentFolder {
 public:
  SegmentFolder()
      : path_((fs::temp_directory_path() / fmt::format("nestor-fuzz-{}", ::getpid())).string()) {
    fs::create_directories(path_);
  }
  ~SegmentFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  SegmentFolder(const SegmentFolder&) = delete;
  SegmentFolder& operator=(const SegmentFolder&) = delete;
  // Another one each time: what is mapped must not change.
  std::string next() { return fmt::format("{}/{}", path_, ++count_); }

 private:
  std::string path_;
  std::uint64_t count_ = 0;
};

void read_segment(std::string_view segment, std::string_view rows) {
  constexpr int kWidth = 4;
  static SegmentFolder folder;
  const std::string path = folder.next();
  write(path, segment);
  write(path + ".rows", rows);
  index::RowCache cache(kWidth, index::Metric::kCosine);
  if (cache.open_segment(path).ok() && cache.row_count() > 0) {
    const std::vector<float> question = {1, 0, 0, 0};
    for (std::uint64_t id = 1; id <= 3; ++id)
      static_cast<void>(cache.rank(question, std::vector<std::uint64_t>{id}, 1).ok());
    require(cache.last_id().has_value(), "a segment with rows has a last one");
  }
  fs::remove(path);
  fs::remove(path + ".rows");
}

}  // namespace

int bundle(const std::uint8_t* data, std::size_t bytes) {
  const std::string_view input = text_of(data, bytes);
  if (input.size() < storage::kBundleStartBytes) return 0;
  const std::string_view rest = input.substr(storage::kBundleStartBytes);
  const auto start =
      storage::parse_bundle_start("fuzz", input.substr(0, storage::kBundleStartBytes));
  const std::size_t taken =
      start.ok() ? std::min<std::size_t>(start.value().header_bytes, rest.size()) : rest.size();
  const std::uint32_t version = start.ok() ? start.value().version : storage::kBundleVersion;
  const auto header = storage::parse_bundle_header("fuzz", version, rest.substr(0, taken), bytes);
  if (!header.ok()) return 0;
  std::uint64_t all = 0;
  for (const storage::BundledFile& file : header.value().files) {
    for (const fs::path& part : fs::path(file.name)) {
      require(part != ".." && part != "/", "no name of a bundle leads out of the folder");
    }
    all += file.bytes;
  }
  require(all <= bytes, "the files of a bundle lie in it");
  return 0;
}

int export_lines(const std::uint8_t* data, std::size_t bytes) {
  const std::string_view input = text_of(data, bytes);
  static_cast<void>(query::parse_header_line(input).ok());
  static_cast<void>(query::parse_end_line(input).ok());
  query::PortableHeader header;
  header.collection.name = "default";
  header.collection.dim = 2;
  header.vectors = false;
  static_cast<void>(query::parse_document(header, input).ok());
  header.vectors = true;
  static_cast<void>(query::parse_document(header, input).ok());
  return 0;
}

int plan(const std::uint8_t* data, std::size_t bytes) {
  const auto read = index::Calibration::parse(text_of(data, bytes));
  if (!read.ok()) return 0;
  const index::LadderPlan made =
      read.value().plan(index::default_ladder_shape(768, true), 1000, 10, 0.95);
  require(made.rank_count >= 0 && made.rank_count <= made.scan_count, "a plan can be carried out");
  return 0;
}

// The last bytes of an input are the rows of the file beside it: three of four components.
int row_segment(const std::uint8_t* data, std::size_t bytes) {
  const std::string_view input = text_of(data, bytes);
  constexpr std::size_t kRowBytes = 12;
  const std::size_t segment = bytes - std::min(bytes, kRowBytes);
  read_segment(input.substr(0, segment), input.substr(segment));
  read_segment(with_checks(input.substr(0, segment)), input.substr(segment));
  return 0;
}

}  // namespace nestor::fuzz
