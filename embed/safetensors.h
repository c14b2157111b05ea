// Safetensors: what tensors a weight file holds and where, taken from bytes nobody vouches for.
// Only the header is read here; every range in it has been checked against the file before it is
// returned.
//
// Format: u64 little-endian header length, a JSON object name -> {dtype, shape, data_offsets}, then
// the data. Source: the safetensors project's format description. Threads: free functions and
// values, safe anywhere; the file may be read by many at once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/file.h"
#include "embed/number_format.h"
#include "nestor/status.h"

namespace nestor::embed {

// The genuine file has 314 entries in 33,648 bytes.
inline constexpr std::uint64_t kMostHeaderBytes = 1ULL << 20;
inline constexpr std::int64_t kMostTensors = 4096;
inline constexpr std::size_t kMostDimensions = 8;

// One tensor: row-major, little-endian, `bytes` = those of a number * the product of its shape.
struct TensorEntry {
  NumberFormat format = NumberFormat::kF32;  // F32, F16 or BF16
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  // of its first byte in the file
  std::uint64_t bytes = 0;
};
using TensorTable = std::map<std::string, TensorEntry, std::less<>>;

// "[3072, 768]".
std::string shape_text(const std::vector<std::int64_t>& shape);

// The table of `file`. The tensors tile the data exactly: no overlap, no gap, nothing after the
// last. Errors: kDataLoss (damaged or hostile: names the file, the tensor and both values),
// kUnsupported (a dtype other than F32, F16 and BF16), kIoError. Cost: one read of the header.
Result<TensorTable> read_safetensors_header(const RandomAccessFile& file);

}  // namespace nestor::embed
