// The forms in which checkpoints store numbers, and how they become f32. Shared by safetensors
// (F32, F16, BF16) and GGUF (those and the block formats).
//
// Threads: free functions and values, safe anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/file.h"
#include "nestor/status.h"

namespace nestor::embed {

// The values are those of ggml_type (ggml.h). Source of the layouts: ggml-common.h, ggml-quants.c.
enum class NumberFormat : std::uint32_t {
  kF32 = 0,    // IEEE 754 binary32
  kF16 = 1,    // IEEE 754 binary16
  kQ4_0 = 2,   // 32 values: f16 d, 16 bytes; value i is d * ((byte i & 15) - 8), value 16 + i the
               // high half of byte i
  kQ8_0 = 8,   // 32 values: f16 d, 32 int8; value i is d * q[i]
  kBf16 = 30,  // the upper half of a binary32
};

// The format of a ggml_type; nothing where it is none of these.
std::optional<NumberFormat> number_format_of_ggml(std::uint32_t type);
// "Q4_K" for a ggml_type that exists, "type 99" for one that does not.
std::string ggml_type_name(std::uint32_t type);
const char* number_format_name(NumberFormat format);

// Values are stored in blocks of so many values and so many bytes.
struct BlockSize {
  std::int64_t values = 1;
  std::int64_t bytes = 4;
};
BlockSize block_size(NumberFormat format);
// Of `values` numbers. REQUIRES: whole blocks, values >= 0.
std::uint64_t stored_bytes(NumberFormat format, std::int64_t values);

// REQUIRES: bytes.size() == stored_bytes(format, out.size()).
void to_floats(NumberFormat format, std::string_view bytes, std::span<float> out);

// Reads out.size() numbers from `offset`; NaN and infinity come through. Errors: kDataLoss (the
// file ends earlier), kIoError. REQUIRES: whole blocks. Cost: one pread a MiB.
Status read_floats(const RandomAccessFile& file, NumberFormat format, std::uint64_t offset,
                   std::span<float> out);

}  // namespace nestor::embed
