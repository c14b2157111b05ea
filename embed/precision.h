// Precision: the numeric mode of an encoder, which is also what a packed model file holds.
// Threads: values and free functions, safe anywhere.
#pragma once

#include <string_view>

#include "nestor/status.h"

namespace nestor::embed {

// STORED: in packed model files and beside every row of a database; never renumber.
enum class Precision : int {
  kF32 = 0,
  kBf16 = 1,  // weights and the inputs of products in bfloat16, sums in f32
  kInt8 =
      2,  // weights by channel, inputs of linear layers by token, rotated; attention in bfloat16
};

// "f32", "bf16", "int8".
const char* precision_name(Precision precision);
// Errors: kUnsupported (names the precisions there are).
Result<Precision> parse_precision(std::string_view name);

}  // namespace nestor::embed
