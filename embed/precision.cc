#include "embed/precision.h"

#include "core/text.h"

namespace nestor::embed {

const char* precision_name(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return "f32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kInt8:
      return "int8";
  }
  return "unknown";
}

Result<Precision> parse_precision(std::string_view name) {
  for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
    if (name == precision_name(precision)) return precision;
  }
  return Status(StatusCode::kUnsupported,
                "the precision " + quote_for_message(name) +
                    " does not exist in this version; it has: int8, bf16, f32");
}

}  // namespace nestor::embed
