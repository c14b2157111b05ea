#include "core/vector_math_product.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "core/cpu_features.h"

namespace nestor {
namespace {

// Everything below is inlined into a function that carries the target attribute: no code of a wider
// instruction set can leave it (style.md, 18).
#define NESTOR_INLINE inline __attribute__((always_inline))

template <int kLanes>
struct Lanes;
template <>
struct Lanes<4> {
  using Floats = float __attribute__((vector_size(16)));
};
template <>
struct Lanes<8> {
  using Floats = float __attribute__((vector_size(32)));
};
template <>
struct Lanes<16> {
  using Floats = float __attribute__((vector_size(64)));
};

// Columns of one tile; with the rows of a tile the sums fill the registers.
constexpr int kTileColumns = 4;
// Columns whose rows of b stay in the nearest caches while all rows of a pass by.
constexpr std::int64_t kColumnBlock = 64;

// Vectors are passed by reference: by value their ABI would depend on the instruction set.
template <typename Floats>
NESTOR_INLINE void load(const float* from, Floats& to) {
  std::memcpy(&to, from, sizeof(Floats));
}

// In each 128-bit group of two vectors: kFrom, kFrom + 1 of both in turns, as unpcklps (0) and
// unpckhps (2) do.
template <int kFrom, typename Floats, std::size_t... kAt>
NESTOR_INLINE void interleave(const Floats& a, const Floats& b, Floats& to,
                              std::index_sequence<kAt...>) {
  constexpr std::size_t kLanes = sizeof...(kAt);
  to = __builtin_shufflevector(a, b, (kAt % 2 * kLanes + kAt / 4 * 4 + kAt % 4 / 2 + kFrom)...);
}
// In each 128-bit group: the halves that begin at kFrom, of a and then of b.
template <int kFrom, typename Floats, std::size_t... kAt>
NESTOR_INLINE void join_halves(const Floats& a, const Floats& b, Floats& to,
                               std::index_sequence<kAt...>) {
  constexpr std::size_t kLanes = sizeof...(kAt);
  to = __builtin_shufflevector(a, b, (kAt % 4 / 2 * kLanes + kAt / 4 * 4 + kAt % 2 + kFrom)...);
}

template <int kFrom, typename Floats, typename Half, std::size_t... kAt>
NESTOR_INLINE void take_half(const Floats& from, Half& to, std::index_sequence<kAt...>) {
  to = __builtin_shufflevector(from, from, (kAt + kFrom)...);
}

// Adds the 128-bit groups of a vector, halves onto halves.
template <int kLanes>
NESTOR_INLINE void add_groups(const typename Lanes<kLanes>::Floats& groups,
                              Lanes<kTileColumns>::Floats& totals) {
  if constexpr (kLanes == kTileColumns) {
    totals = groups;
  } else {
    constexpr int kHalf = kLanes / 2;
    typename Lanes<kHalf>::Floats low;
    typename Lanes<kHalf>::Floats high;
    take_half<0>(groups, low, std::make_index_sequence<kHalf>());
    take_half<kHalf>(groups, high, std::make_index_sequence<kHalf>());
    low += high;
    add_groups<kHalf>(low, totals);
  }
}

// The sums of the lanes of four vectors, each in the same order.
template <int kLanes>
NESTOR_INLINE void sum_lanes(const typename Lanes<kLanes>::Floats (&vectors)[kTileColumns],
                             Lanes<kTileColumns>::Floats& totals) {
  using Floats = typename Lanes<kLanes>::Floats;
  constexpr std::make_index_sequence<kLanes> kAll;
  Floats low;
  Floats high;
  Floats pairs[2];
#pragma GCC unroll 2
  for (int pair = 0; pair < 2; ++pair) {
    interleave<0>(vectors[2 * pair], vectors[2 * pair + 1], low, kAll);
    interleave<2>(vectors[2 * pair], vectors[2 * pair + 1], high, kAll);
    pairs[pair] = low + high;
  }
  join_halves<0>(pairs[0], pairs[1], low, kAll);
  join_halves<2>(pairs[0], pairs[1], high, kAll);
  const Floats groups = low + high;  // (kLanes / 4 groups, four vectors)
  add_groups<kLanes>(groups, totals);
}

// kRows x kColumns elements of a product with transposed b; a and b point to their first rows.
template <int kLanes, int kRows, int kColumns>
NESTOR_INLINE void transposed_tile(std::int64_t inner, float factor, ConstMatrix a, ConstMatrix b,
                                   Matrix result) {
  using Floats = typename Lanes<kLanes>::Floats;
  Floats sums[kRows][kColumns] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= inner; i += kLanes) {
    Floats left[kRows];
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) load(a.data + row * a.stride + i, left[row]);
#pragma GCC unroll 8
    for (int column = 0; column < kColumns; ++column) {
      Floats right;
      load(b.data + column * b.stride + i, right);
#pragma GCC unroll 8
      for (int row = 0; row < kRows; ++row) sums[row][column] += left[row] * right;
    }
  }
  // What is left of the rows, filled up with zeros: the same operations, and so the same rounding,
  // whatever the tile.
  if (i < inner) {
    const auto rest = static_cast<std::size_t>(inner - i) * sizeof(float);
#pragma GCC unroll 8
    for (int column = 0; column < kColumns; ++column) {
      Floats right = {};
      std::memcpy(&right, b.data + column * b.stride + i, rest);
#pragma GCC unroll 8
      for (int row = 0; row < kRows; ++row) {
        Floats left = {};
        std::memcpy(&left, a.data + row * a.stride + i, rest);
        sums[row][column] += left * right;
      }
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < kRows; ++row) {
    Floats of_row[kTileColumns] = {};
#pragma GCC unroll 4
    for (int column = 0; column < kColumns; ++column) of_row[column] = sums[row][column];
    Lanes<kTileColumns>::Floats totals;
    sum_lanes<kLanes>(of_row, totals);
    totals *= factor;
    std::memcpy(result.data + row * result.stride, &totals, kColumns * sizeof(float));
  }
}

// kRows rows of a against all columns of the block.
template <int kLanes, int kRows>
NESTOR_INLINE void transposed_rows(std::int64_t columns, std::int64_t inner, float factor,
                                   ConstMatrix a, ConstMatrix b, Matrix result) {
  std::int64_t column = 0;
  for (; column + kTileColumns <= columns; column += kTileColumns) {
    transposed_tile<kLanes, kRows, kTileColumns>(inner, factor, a,
                                                 {b.data + column * b.stride, b.stride},
                                                 {result.data + column, result.stride});
  }
  for (; column < columns; ++column) {
    transposed_tile<kLanes, kRows, 1>(inner, factor, a, {b.data + column * b.stride, b.stride},
                                      {result.data + column, result.stride});
  }
}

template <int kLanes, int kTileRows>
NESTOR_INLINE void all_transposed(ProductShape shape, float factor, ConstMatrix a, ConstMatrix b,
                                  Matrix result) {
  for (std::int64_t column = 0; column < shape.columns; column += kColumnBlock) {
    const std::int64_t columns = std::min(kColumnBlock, shape.columns - column);
    const ConstMatrix block = {b.data + column * b.stride, b.stride};
    std::int64_t row = 0;
    for (; row + kTileRows <= shape.rows; row += kTileRows) {
      transposed_rows<kLanes, kTileRows>(
          columns, shape.inner, factor, {a.data + row * a.stride, a.stride}, block,
          {result.data + row * result.stride + column, result.stride});
    }
    for (; row < shape.rows; ++row) {
      transposed_rows<kLanes, 1>(columns, shape.inner, factor, {a.data + row * a.stride, a.stride},
                                 block,
                                 {result.data + row * result.stride + column, result.stride});
    }
  }
}

// kRows rows x kVectors vectors of columns of a product; a points to its first row, b to its first
// column.
template <int kLanes, int kRows, int kVectors>
NESTOR_INLINE void plain_tile(std::int64_t inner, ConstMatrix a, ConstMatrix b, Matrix result) {
  using Floats = typename Lanes<kLanes>::Floats;
  Floats sums[kRows][kVectors] = {};
  for (std::int64_t i = 0; i < inner; ++i) {
    Floats right[kVectors];
#pragma GCC unroll 8
    for (int vector = 0; vector < kVectors; ++vector) {
      load(b.data + i * b.stride + vector * kLanes, right[vector]);
    }
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      const float weight = a.data[row * a.stride + i];
#pragma GCC unroll 8
      for (int vector = 0; vector < kVectors; ++vector) sums[row][vector] += weight * right[vector];
    }
  }
  for (int row = 0; row < kRows; ++row) {
    std::memcpy(result.data + row * result.stride, sums[row], sizeof sums[row]);
  }
}

template <int kLanes, int kRows, int kVectors>
NESTOR_INLINE void plain_rows(std::int64_t columns, std::int64_t inner, ConstMatrix a,
                              ConstMatrix b, Matrix result) {
  std::int64_t column = 0;
  for (; column + kVectors * kLanes <= columns; column += kVectors * kLanes) {
    plain_tile<kLanes, kRows, kVectors>(inner, a, {b.data + column, b.stride},
                                        {result.data + column, result.stride});
  }
  for (; column < columns; ++column) {
    for (int row = 0; row < kRows; ++row) {
      float total = 0;
      for (std::int64_t i = 0; i < inner; ++i) {
        total += a.data[row * a.stride + i] * b.data[i * b.stride + column];
      }
      result.data[row * result.stride + column] = total;
    }
  }
}

template <int kLanes, int kTileRows, int kVectors>
NESTOR_INLINE void all_plain(ProductShape shape, ConstMatrix a, ConstMatrix b, Matrix result) {
  std::int64_t row = 0;
  for (; row + kTileRows <= shape.rows; row += kTileRows) {
    plain_rows<kLanes, kTileRows, kVectors>(shape.columns, shape.inner,
                                            {a.data + row * a.stride, a.stride}, b,
                                            {result.data + row * result.stride, result.stride});
  }
  for (; row < shape.rows; ++row) {
    plain_rows<kLanes, 1, kVectors>(shape.columns, shape.inner, {a.data + row * a.stride, a.stride},
                                    b, {result.data + row * result.stride, result.stride});
  }
}

// One instruction set's products; `attributes` names the set. Rows of a tile, and of a plain one
// with its vectors of columns: as many as leave registers for the operands, of 32 with AVX-512 and
// of 16 otherwise.
#define NESTOR_PRODUCTS(suffix, lanes, rows, plain_rows, vectors, attributes)          \
  attributes void transposed_##suffix(ProductShape shape, float factor, ConstMatrix a, \
                                      ConstMatrix b, Matrix result) {                  \
    all_transposed<lanes, rows>(shape, factor, a, b, result);                          \
  }                                                                                    \
  attributes void plain_##suffix(ProductShape shape, ConstMatrix a, ConstMatrix b,     \
                                 Matrix result) {                                      \
    all_plain<lanes, plain_rows, vectors>(shape, a, b, result);                        \
  }                                                                                    \
  constexpr Products kProducts_##suffix = {transposed_##suffix, plain_##suffix};

struct Products {
  void (*transposed)(ProductShape, float, ConstMatrix, ConstMatrix, Matrix);
  void (*plain)(ProductShape, ConstMatrix, ConstMatrix, Matrix);
};

NESTOR_PRODUCTS(baseline, 4, 2, 4, 2, )
#if defined(__x86_64__)
NESTOR_PRODUCTS(avx2, 8, 3, 6, 2, __attribute__((target("avx2,fma"))))
NESTOR_PRODUCTS(avx512, 16, 6, 6, 4, __attribute__((target("avx512f,avx2,fma"))))
#endif

const Products& widest_products() {
#if defined(__x86_64__)
  if (vector_units().avx512) return kProducts_avx512;
  if (vector_units().avx2) return kProducts_avx2;
#endif
  return kProducts_baseline;
}

const Products& products() {
  static const Products& chosen = widest_products();
  return chosen;
}

}  // namespace

void product_transposed(ProductShape shape, float factor, ConstMatrix a, ConstMatrix b,
                        Matrix result) {
  products().transposed(shape, factor, a, b, result);
}

void product(ProductShape shape, ConstMatrix a, ConstMatrix b, Matrix result) {
  products().plain(shape, a, b, result);
}

}  // namespace nestor
