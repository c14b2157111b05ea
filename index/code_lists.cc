#include "index/code_lists.h"

#include <algorithm>
#include <cstring>

#include "core/macros.h"
#include "index/scan_choice.h"

namespace nestor::index {
namespace {

CodeShape shape_of(int width) { return {.width = width, .bits = 8}; }

}  // namespace

CodeLists::CodeLists(int width, std::span<const float> centroids)
    : quantizer_(shape_of(width), centroids, static_cast<std::size_t>(width)) {
  const std::size_t words = static_cast<std::size_t>(quantizer_.shape().words());
  const std::size_t each = static_cast<std::size_t>(width);
  const std::size_t lists = centroids.size() / each;
  codes_.resize(lists * words);
  for (std::size_t i = 0; i < lists; ++i) {
    quantizer_.encode(centroids.subspan(i * each, each), codes_.data() + i * words);
  }
}

void CodeLists::nearest(std::span<const float> query, std::int64_t likely,
                        const std::function<bool(std::uint32_t list)>& enough) const {
  const CodeQuery coded = quantizer_.query(query);
  std::vector<std::int32_t> scores(static_cast<std::size_t>(count()));
  scan_kernels().score_rows({.codes = codes_.data(),
                             .words = quantizer_.shape().words(),
                             .bits = 8,
                             .row_weights = coded.row_weights.data(),
                             .count = count(),
                             .scores = scores.data()});
  // Score and number in one, so that a sort compares once: better first, then the lower number.
  std::vector<std::uint64_t> order(scores.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = std::uint64_t{~(static_cast<std::uint32_t>(scores[i]) ^ 0x80000000U)} << 32 | i;
  }
  auto sorted = order.begin();
  std::int64_t step = std::max<std::int64_t>(likely, 16);
  for (auto at = order.begin(); at != order.end(); ++at) {
    if (at == sorted) {
      sorted += std::min<std::ptrdiff_t>(step, order.end() - sorted);
      if (sorted != order.end()) std::nth_element(at, sorted, order.end());
      std::sort(at, sorted);
      step *= 2;
    }
    if (enough(static_cast<std::uint32_t>(*at & 0xFFFFFFFFU))) return;
  }
}

std::size_t CodeLists::serialized_bytes(int width, std::int64_t count) {
  const CodeShape shape = shape_of(width);
  return CodeQuantizer::serialized_bytes(shape) +
         static_cast<std::size_t>(count) * static_cast<std::size_t>(shape.bytes());
}

std::string CodeLists::serialize() const {
  return quantizer_.serialize() +
         std::string(reinterpret_cast<const char*>(codes_.data()), codes_.size() * 4);
}

Result<CodeLists> CodeLists::parse(std::string_view bytes, int width, std::int64_t count) {
  if (bytes.size() != serialized_bytes(width, count)) {
    return Status(StatusCode::kDataLoss, "lists: centroids cut short; the cache is damaged");
  }
  const CodeShape shape = shape_of(width);
  const std::size_t head = CodeQuantizer::serialized_bytes(shape);
  NESTOR_ASSIGN_OR_RETURN(CodeQuantizer quantizer, CodeQuantizer::parse(bytes.substr(0, head)));
  if (quantizer.shape() != shape) {
    return Status(StatusCode::kDataLoss, "lists: centroids of another width; the cache is damaged");
  }
  std::vector<std::uint32_t> codes(static_cast<std::size_t>(count) *
                                   static_cast<std::size_t>(shape.words()));
  std::memcpy(codes.data(), bytes.data() + head, codes.size() * 4);
  return CodeLists(std::move(quantizer), std::move(codes));
}

}  // namespace nestor::index
