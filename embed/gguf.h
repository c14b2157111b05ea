// GGUF: the metadata and the tensor table of a file of llama.cpp or Ollama, taken from bytes nobody
// vouches for. Only the header is read here; every count and length is checked against the bytes
// there are and against the caps below before anything is built from it.
//
// Format: magic, u32 version, counts, key-value pairs, tensor infos, padding, data; little-endian.
// Versions 2 and 3. Source: gguf.h and gguf.cpp of ggml, docs/gguf.md.
// Threads: free functions and values, safe anywhere; the file may be read by many at once.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/file.h"
#include "embed/number_format.h"
#include "nestor/status.h"

namespace nestor::embed {

// EmbeddingGemma's has some 40 pairs, 316 tensors and three arrays of 262,144 in 6.5 MB.
inline constexpr std::uint64_t kMostGgufHeaderBytes = 64ULL << 20;
inline constexpr std::uint64_t kMostGgufPairs = 1024;
inline constexpr std::uint64_t kMostGgufTensors = 4096;
inline constexpr std::uint64_t kMostGgufArrayElements = 4ULL << 20;  // of all arrays together
inline constexpr std::uint64_t kMostGgufStringBytes = 1ULL << 20;
inline constexpr std::uint64_t kMostGgufNameBytes = 256;
inline constexpr std::uint32_t kMostGgufDimensions = 4;
inline constexpr std::uint64_t kMostGgufAlignment = 1ULL << 16;

// Unsigned numbers, signed ones, floating ones, bool, string, and arrays of each; bools in an array
// are whole numbers, and so are unsigned ones up to 2^63.
using GgufValue =
    std::variant<std::uint64_t, std::int64_t, double, bool, std::string, std::vector<std::int64_t>,
                 std::vector<double>, std::vector<std::string>>;

// Row-major, the slowest dimension first: the reverse of what the file says.
struct GgufTensor {
  NumberFormat format = NumberFormat::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  // of its first byte in the file
  std::uint64_t bytes = 0;
};

struct GgufHeader {
  std::uint32_t version = 0;
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::map<std::string, GgufTensor, std::less<>> tensors;

  [[nodiscard]] const GgufValue* find(std::string_view key) const;
  // The value as text, or null where it is missing or none.
  [[nodiscard]] const std::string* text(std::string_view key) const;
};

// True where the file begins as a GGUF does, of whatever version. Errors: those of reading.
Result<bool> is_gguf(const RandomAccessFile& file);

// Tensors lie within the file, aligned, without overlap. Errors: kDataLoss (damaged or hostile:
// names the file, the place and both values), kUnsupported (another version, big-endian, a number
// format this version does not read), kIoError. Cost: one pass over the header.
Result<GgufHeader> read_gguf_header(const RandomAccessFile& file);

}  // namespace nestor::embed
