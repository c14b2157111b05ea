#include "tests/fuzz/fuzz_targets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "core/bytes.h"
#include "core/file.h"
#include "core/hash.h"
#include "embed/gguf.h"
#include "embed/safetensors.h"
#include "embed/vocabulary.h"
#include "index/coarse_index.h"
#include "index/index_file.h"
#include "index/ladder_index.h"
#include "nestor/document.h"
#include "nestor/filter.h"
#include "tools/cli/jsonl_documents.h"

namespace nestor::fuzz {
namespace {

// What was accepted must be accepted again, and say the same.
void require(bool holds, const char* what) {
  if (holds) return;
  const std::string line = fmt::format("broken promise: {}\n", what);
  static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
  std::abort();
}

// A file in memory with the bytes of the input, one for the whole run.
class InputFile {
 public:
  InputFile()
      : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)),
        path_(fmt::format("/proc/self/fd/{}", descriptor_)) {}
  const std::string& put(std::string_view bytes) const {
    require(::ftruncate(descriptor_, 0) == 0, "the input file");
    require(
        ::pwrite(descriptor_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
        "the input file");
    return path_;
  }

 private:
  int descriptor_;
  std::string path_;
};

const std::string& as_file(std::string_view bytes) {
  static const InputFile file;
  return file.put(bytes);
}

std::string_view text_of(const std::uint8_t* data, std::size_t bytes) {
  return {reinterpret_cast<const char*>(data), bytes};
}

int safetensors(const std::uint8_t* data, std::size_t bytes) {
  const auto file = RandomAccessFile::open(as_file(text_of(data, bytes)));
  if (!file.ok()) return 0;
  const auto table = embed::read_safetensors_header(file.value());
  if (!table.ok()) return 0;
  for (const auto& [name, entry] : table.value()) {
    require(entry.offset <= bytes && entry.bytes <= bytes - entry.offset,
            "a tensor lies in the file");
  }
  return 0;
}

int gguf(const std::uint8_t* data, std::size_t bytes) {
  const auto file = RandomAccessFile::open(as_file(text_of(data, bytes)));
  if (!file.ok()) return 0;
  const auto header = embed::read_gguf_header(file.value());
  if (!header.ok()) return 0;
  for (const auto& [name, tensor] : header.value().tensors) {
    require(tensor.offset <= bytes && tensor.bytes <= bytes - tensor.offset,
            "a tensor lies in the file");
  }
  return 0;
}

int tokenizer(const std::uint8_t* data, std::size_t bytes) {
  static_cast<void>(embed::read_sentencepiece_model(text_of(data, bytes)));
  return 0;
}

int metadata(const std::uint8_t* data, std::size_t bytes) {
  const auto parsed = parse_metadata(text_of(data, bytes));
  if (!parsed.ok()) return 0;
  const auto again = parse_metadata(metadata_to_json(parsed.value()));
  require(again.ok() && again.value() == parsed.value(), "metadata comes back as it was");
  return 0;
}

int filter(const std::uint8_t* data, std::size_t bytes) {
  static_cast<void>(Filter::parse(text_of(data, bytes)).ok());
  return 0;
}

int jsonl(const std::uint8_t* data, std::size_t bytes) {
  static_cast<void>(cli::parse_document_line(text_of(data, bytes)).ok());
  static_cast<void>(cli::parse_embed_line(text_of(data, bytes)).ok());
  static_cast<void>(cli::parse_vector(text_of(data, bytes)).ok());
  return 0;
}

void put_u64(std::string& bytes, std::size_t offset, std::uint64_t value) {
  ByteWriter out;
  out.u64(value);
  bytes.replace(offset, 8, out.bytes());
}

// The checks of FORMAT.md, "Index caches", made to fit, so that what lies behind them is reached.
std::string with_checks(std::string_view input) {
  constexpr std::size_t kHead = 32;
  std::string bytes(input);
  if (bytes.size() < kHead + 8) return bytes;
  const std::size_t identity = static_cast<unsigned char>(bytes[12]) |
                               static_cast<std::size_t>(static_cast<unsigned char>(bytes[13])) << 8;
  if (bytes.size() < kHead + identity + 8) return bytes;
  const std::size_t payload = kHead + identity + 8;
  bytes[14] = bytes[15] = '\0';
  put_u64(bytes, 16, bytes.size() - payload);
  put_u64(bytes, 24, index::index_payload_hash(std::string_view(bytes).substr(payload)));
  put_u64(bytes, kHead + identity, hash64(std::string_view(bytes).substr(0, kHead + identity)));
  return bytes;
}

void read_index(std::string_view bytes) {
  const std::string& path = as_file(bytes);
  static_cast<void>(index::LadderIndex::open(path).ok());
  const auto file = index::read_index_file(path);
  if (file.ok()) static_cast<void>(index::CoarseIndex::parse(file.value().payload).ok());
}

int index_file(const std::uint8_t* data, std::size_t bytes) {
  read_index(text_of(data, bytes));
  read_index(with_checks(text_of(data, bytes)));
  return 0;
}

}  // namespace

const std::map<std::string, Target>& targets() {
  static const std::map<std::string, Target> kAll = {
      {"filter", filter},      {"gguf", gguf},         {"index", index_file},
      {"jsonl", jsonl},        {"metadata", metadata}, {"safetensors", safetensors},
      {"tokenizer", tokenizer}};
  return kAll;
}

}  // namespace nestor::fuzz
