#include "tests/fuzz/fuzz_input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "core/bytes.h"
#include "core/hash.h"
#include "index/index_file.h"

namespace nestor::fuzz {
namespace {

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

void put_u64(std::string& bytes, std::size_t offset, std::uint64_t value) {
  ByteWriter out;
  out.u64(value);
  bytes.replace(offset, 8, out.bytes());
}

}  // namespace

void require(bool holds, const char* what) {
  if (holds) return;
  const std::string line = fmt::format("broken promise: {}\n", what);
  static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
  std::abort();
}

const std::string& as_file(std::string_view bytes) {
  static const InputFile file;
  return file.put(bytes);
}

std::string_view text_of(const std::uint8_t* data, std::size_t bytes) {
  return {reinterpret_cast<const char*>(data), bytes};
}

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

}  // namespace nestor::fuzz
