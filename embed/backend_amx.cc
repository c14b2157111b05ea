// Tables for processors with AMX (Sapphire Rapids and later): products in tiles, the rest in
// AVX-512.
//
// A block of 32 rows x 32 columns is four tiles of sums. While the tile unit works on one block,
// the vector units finish the block before it: its sums are stored one tile at a time, each when
// the first product of the next block wants its tile, and each further step takes some of the rows.
// What is met once goes past the first-level cache, so that what is met again stays there. What
// each of these is worth: DECISIONS.md, 47.
#include "embed/tiled_backend.h"

#if defined(__x86_64__) && defined(__AMX_INT8__) && defined(__AMX_BF16__)

#include <immintrin.h>

#include "core/amx_tiles.h"
#include "embed/backend_lanes_avx512.h"
#include "embed/backend_lanes_kernels.h"

namespace nestor::embed {
namespace {

using Lanes = Avx512Lanes<true, 0>;

// All eight tiles at their largest.
struct TilesInUse : AmxTiles {
  TilesInUse() : AmxTiles([](int) { return 16; }) {}
};

// The next panel on its way to the second-level cache while this one is worked on. Asked into the
// first level the lines wait for its few fill buffers: a third slower where weights come from
// memory.
class PanelPrefetch {
 public:
  PanelPrefetch(const std::uint8_t* panel, std::int64_t bytes, std::int64_t steps)
      : next_(panel), end_(panel + bytes), lines_a_step_((bytes / 64 + steps - 1) / steps) {}

  void step() {
    for (std::int64_t line = 0; line < lines_a_step_ && next_ < end_; ++line, next_ += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(next_), _MM_HINT_T1);
    }
  }

 private:
  const std::uint8_t* next_;
  const std::uint8_t* end_;
  std::int64_t lines_a_step_;
};

// Sums of one block, 32 rows of 32, on their way from the tiles to the vector units.
struct alignas(64) BlockSums {
  std::int32_t values[kBlockValues];
};

// A block whose sums are in the tiles, or stored and not finished.
struct Waiting {
  std::int32_t* sums = nullptr;
  std::int64_t row = 0;
  std::int64_t rows = 0;
  std::int64_t panel = 0;
  std::int64_t finished = 0;
};

enum class Kind { kInt8, kBf16 };
// Which operand is met once.
enum class Once { kRows, kPanels, kNeither };

// g++ 12's own intrinsics are macros that take the number of a tile as text.
template <int Tile, bool Stream>
inline void load_tile(const std::uint8_t* from) {
  if constexpr (Stream) {
    asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(kStepBytes), "i"(Tile));
  } else {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(kStepBytes), "i"(Tile));
  }
}

template <Kind K, int Sums, int Row, int Column>
inline void multiply_tiles() {
  if constexpr (K == Kind::kInt8) {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(Row), "i"(Column));
  } else {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(Row), "i"(Column));
  }
}

// Sums of the block before leave tile `Tile`, if there is one, and the tile begins at zero.
template <int Tile>
inline void begin_sums(std::int32_t* before) {
  if (before != nullptr) {
    std::int32_t* to = before + Tile / 2 * kTileRows * kPanelColumns + Tile % 2 * 16;
    constexpr std::int64_t kStride = kPanelColumns * 4;
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(kStride), "i"(Tile) : "memory");
  }
  asm volatile("tilezero %%tmm%c0" ::"i"(Tile));
}

template <Kind K, Once O, bool First>
inline void multiply_step(const std::uint8_t* upper, const std::uint8_t* lower,
                          const std::uint8_t* panel, std::int32_t* before) {
  // All loads before the products: in turns both are slower where the core's other thread is busy.
  load_tile<4, O == Once::kRows>(upper);
  load_tile<6, O == Once::kPanels>(panel);
  load_tile<7, O == Once::kPanels>(panel + kTileBytes);
  load_tile<5, O == Once::kRows>(lower);
  if constexpr (First) begin_sums<0>(before);
  multiply_tiles<K, 0, 4, 6>();
  if constexpr (First) begin_sums<1>(before);
  multiply_tiles<K, 1, 4, 7>();
  if constexpr (First) begin_sums<2>(before);
  multiply_tiles<K, 2, 5, 6>();
  if constexpr (First) begin_sums<3>(before);
  multiply_tiles<K, 3, 5, 7>();
}

struct BlockProduct {
  std::int64_t rows;
  const std::uint8_t* a;  // tiles
  const std::uint8_t* panels;
  std::int64_t panel_stride;  // bytes
  std::int64_t panel_begin;
  std::int64_t panel_end;
  std::int64_t steps;
  const std::uint8_t* next;  // weights wanted after these
  std::int64_t next_bytes;
};

// finish.block(row, panel, buffer) is where the sums of a block go; for the rest of it see
// lanes::Finish.
template <Kind K, Once O, typename Finish>
inline void multiply(const BlockProduct& t, const Finish& finish) {
  const TilesInUse tiles;
  BlockSums buffers[2];
  int buffer = 0;
  Waiting waiting;
  constexpr std::int64_t kEach = Finish::kRowsEach;
  const auto finish_until = [&](std::int64_t until) {
    if (until <= waiting.finished) return;
    finish.rows(waiting.sums + waiting.finished * kPanelColumns,
                (waiting.row + waiting.finished) / kEach, (until - waiting.finished) / kEach,
                waiting.panel);
    waiting.finished = until;
  };
  const std::int64_t tile_row = t.steps * kTileBytes;
  const std::int64_t blocks = (t.rows + kRowBlock - 1) / kRowBlock;
  const std::int64_t later_steps = t.steps > 1 ? t.steps - 1 : 1;
  const std::int64_t rows_a_step = (kRowBlock / kEach + later_steps - 1) / later_steps * kEach;
  for (std::int64_t panel = t.panel_begin; panel < t.panel_end; ++panel) {
    const std::uint8_t* b = t.panels + panel * t.panel_stride;
    const bool last = panel + 1 == t.panel_end;
    PanelPrefetch prefetch(last ? t.next : b + t.panel_stride,
                           last ? t.next_bytes : t.steps * kPanelStepBytes, blocks * t.steps);
    for (std::int64_t row = 0; row < t.rows; row += kRowBlock) {
      const std::uint8_t* upper = t.a + row / kTileRows * tile_row;
      const std::uint8_t* lower = upper + tile_row;
      prefetch.step();
      multiply_step<K, O, true>(upper, lower, b, waiting.sums);
      for (std::int64_t step = 1; step < t.steps; ++step) {
        prefetch.step();
        multiply_step<K, O, false>(upper + step * kTileBytes, lower + step * kTileBytes,
                                   b + step * kPanelStepBytes, nullptr);
        const std::int64_t until = waiting.finished + rows_a_step;
        finish_until(until < waiting.rows ? until : waiting.rows);
      }
      finish_until(waiting.rows);
      waiting = {.sums = finish.block(row, panel, buffers[buffer].values),
                 .row = row,
                 .rows = t.rows - row < kRowBlock ? t.rows - row : kRowBlock,
                 .panel = panel};
      buffer ^= 1;
    }
  }
  if (waiting.sums == nullptr) return;
  begin_sums<0>(waiting.sums);
  begin_sums<1>(waiting.sums);
  begin_sums<2>(waiting.sums);
  begin_sums<3>(waiting.sums);
  finish_until(waiting.rows);
}

// Sums go through a buffer, then `Rows` turns them into results.
template <typename Rows>
struct Buffered : Rows {
  std::int32_t* block(std::int64_t, std::int64_t, std::int32_t* buffer) const { return buffer; }
};

// Sums are what is wanted, and go where it is wanted.
struct Direct {
  static constexpr std::int64_t kRowsEach = kRowBlock;
  const ScoresTask& t;
  std::int32_t* block(std::int64_t row, std::int64_t panel, std::int32_t*) const {
    return reinterpret_cast<std::int32_t*>(
        t.result + (row / kRowBlock * t.product.panel_count + panel) * kBlockValues);
  }
  void rows(const std::int32_t*, std::int64_t, std::int64_t, std::int64_t) const {}
};

template <Precision P, bool Gelu, bool Fine>
inline void multiply_linear(const LinearTask& t) {
  constexpr Kind kKind = P == Precision::kInt8 ? Kind::kInt8 : Kind::kBf16;
  const BlockProduct product = {.rows = Fine ? 2 * t.rows : t.rows,
                                .a = t.a.data,
                                .panels = t.b.panels,
                                .panel_stride = t.b.steps * kPanelStepBytes,
                                .panel_begin = t.panel_begin,
                                .panel_end = t.panel_end,
                                .steps = t.b.steps,
                                .next = t.next,
                                .next_bytes = t.next_bytes};
  const Buffered<lanes::Finish<Lanes, P, Gelu, Fine>> finish{{t}};
  // One block of rows is met by every panel, several are longer than the first-level cache.
  product.rows > kRowBlock ? multiply<kKind, Once::kRows>(product, finish)
                           : multiply<kKind, Once::kPanels>(product, finish);
}

template <Precision P, bool Gelu>
void linear(const LinearTask& t) {
  if (P == Precision::kInt8 && t.a.fine) {
    multiply_linear<P, Gelu, P == Precision::kInt8>(t);
  } else {
    multiply_linear<P, Gelu, false>(t);
  }
}

BlockProduct block_product(const Bf16Task& t) {
  return {.rows = t.rows,
          .a = t.a,
          .panels = t.panels,
          .panel_stride = t.panel_stride,
          .panel_begin = 0,
          .panel_end = t.panel_count,
          .steps = t.steps,
          .next = nullptr,
          .next_bytes = 0};
}

void scores(const ScoresTask& t) {
  multiply<Kind::kBf16, Once::kNeither>(block_product(t.product), Direct{t});
}

void weighted_values(const ValuesTask& t) {
  multiply<Kind::kBf16, Once::kNeither>(block_product(t.product),
                                        Buffered<lanes::FinishValues<Lanes>>{{t}});
}

template <Precision P>
constexpr TiledBackend kTable =
    lanes::table_of<Lanes, P>(P == Precision::kInt8 ? "amx-int8" : "amx-bf16",
                              {linear<P, false>, linear<P, true>, scores, weighted_values});

}  // namespace

const TiledBackend* amx_tables(Precision precision) {
  return precision == Precision::kInt8   ? &kTable<Precision::kInt8>
         : precision == Precision::kBf16 ? &kTable<Precision::kBf16>
                                         : nullptr;
}

}  // namespace nestor::embed

#else

namespace nestor::embed {
const TiledBackend* amx_tables(Precision) { return nullptr; }
}  // namespace nestor::embed

#endif
