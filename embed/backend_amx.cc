// Tables for processors with AMX (Sapphire Rapids and later): products in tiles, the rest in
// AVX-512.
//
// A block of 32 rows x 32 columns is four tiles of sums. While the tile unit works on one block,
// the vector units finish the block before it: its sums wait in one of two buffers, and each step
// of the inner loop takes some of its rows.
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
      _mm_prefetch(reinterpret_cast<const char*>(next_), _MM_HINT_T2);
    }
  }

 private:
  const std::uint8_t* next_;
  const std::uint8_t* end_;
  std::int64_t lines_a_step_;
};

// Sums of one block, 32 rows of 32, on their way from the tiles to the vector units.
struct alignas(64) BlockSums {
  std::int32_t values[kRowBlock * kPanelColumns];
};

enum class Kind { kInt8, kBf16 };

template <Kind K>
inline void multiply_step(const std::uint8_t* upper, const std::uint8_t* lower, std::int64_t stride,
                          const std::uint8_t* panel) {
  _tile_loadd(4, upper, stride);
  _tile_loadd(6, panel, 64);
  _tile_loadd(7, panel + 1024, 64);
  if constexpr (K == Kind::kInt8) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_loadd(5, lower, stride);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  } else {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, lower, stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

struct BlockProduct {
  std::int64_t rows;
  const std::uint8_t* a;
  std::int64_t row_stride;   // bytes from row to row of a tile of a,
  std::int64_t tile_stride;  // from 16 rows to the next
  std::int64_t step_stride;  // and from step to step
  const std::uint8_t* panels;
  std::int64_t panel_stride;  // bytes
  std::int64_t panel_begin;
  std::int64_t panel_end;
  std::int64_t steps;
};

template <Kind K, typename Finish>
inline void multiply(const BlockProduct& t, const Finish& finish) {
  const TilesInUse tiles;
  BlockSums sums[2];
  int current = 0;
  // The block whose sums wait to be finished.
  const BlockSums* waiting = nullptr;
  std::int64_t waiting_row = 0;
  std::int64_t waiting_rows = 0;
  std::int64_t waiting_panel = 0;
  constexpr std::int64_t kEach = Finish::kRowsEach;
  const std::int64_t rows_a_step = (kRowBlock / kEach + t.steps - 1) / t.steps * kEach;
  for (std::int64_t panel = t.panel_begin; panel < t.panel_end; ++panel) {
    const std::uint8_t* b = t.panels + panel * t.panel_stride;
    const std::int64_t blocks = (t.rows + kRowBlock - 1) / kRowBlock;
    PanelPrefetch prefetch(b + t.panel_stride,
                           panel + 1 < t.panel_end ? t.steps * kPanelStepBytes : 0,
                           blocks * t.steps);
    for (std::int64_t row = 0; row < t.rows; row += kRowBlock) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      const std::uint8_t* upper = t.a + row / kTileRows * t.tile_stride;
      const std::uint8_t* lower = upper + t.tile_stride;
      std::int64_t finished = 0;
      for (std::int64_t step = 0; step < t.steps; ++step) {
        prefetch.step();
        multiply_step<K>(upper + step * t.step_stride, lower + step * t.step_stride, t.row_stride,
                         b + step * kPanelStepBytes);
        const std::int64_t until =
            finished + rows_a_step < waiting_rows ? finished + rows_a_step : waiting_rows;
        for (; finished < until; finished += kEach) {
          finish.row(waiting->values + finished * kPanelColumns, (waiting_row + finished) / kEach,
                     waiting_panel);
        }
      }
      std::int32_t* to = sums[current].values;
      _tile_stored(0, to, 128);
      _tile_stored(1, to + 16, 128);
      _tile_stored(2, to + 16 * kPanelColumns, 128);
      _tile_stored(3, to + 16 * kPanelColumns + 16, 128);
      waiting = &sums[current];
      waiting_row = row;
      waiting_rows = t.rows - row < kRowBlock ? t.rows - row : kRowBlock;
      waiting_panel = panel;
      current ^= 1;
    }
  }
  for (std::int64_t r = 0; r < waiting_rows; r += kEach) {
    finish.row(waiting->values + r * kPanelColumns, (waiting_row + r) / kEach, waiting_panel);
  }
}

template <Precision P, bool Gelu, bool Fine>
inline void multiply_linear(const LinearTask& t) {
  multiply<P == Precision::kInt8 ? Kind::kInt8 : Kind::kBf16>(
      {.rows = Fine ? 2 * t.rows : t.rows,
       .a = t.a.data,
       .row_stride = kStepBytes,
       .tile_stride = t.b.steps * kTileBytes,
       .step_stride = kTileBytes,
       .panels = t.b.panels,
       .panel_stride = t.b.steps * kPanelStepBytes,
       .panel_begin = t.panel_begin,
       .panel_end = t.panel_end,
       .steps = t.b.steps},
      lanes::Finish<Lanes, P, Gelu, Fine>{t});
}

template <Precision P, bool Gelu>
void linear(const LinearTask& t) {
  if (P == Precision::kInt8 && t.a.fine) {
    multiply_linear<P, Gelu, P == Precision::kInt8>(t);
  } else {
    multiply_linear<P, Gelu, false>(t);
  }
}

void bf16_product(const Bf16Task& t) {
  multiply<Kind::kBf16>({.rows = t.rows,
                         .a = reinterpret_cast<const std::uint8_t*>(t.a),
                         .row_stride = 2 * t.a_stride,
                         .tile_stride = kTileRows * 2 * t.a_stride,
                         .step_stride = kStepBytes,
                         .panels = t.panels,
                         .panel_stride = t.panel_stride,
                         .panel_begin = 0,
                         .panel_end = t.panel_count,
                         .steps = t.steps},
                        lanes::FinishBf16<Lanes>{t});
}

template <Precision P>
constexpr TiledBackend kTable =
    lanes::table_of<Lanes, P>(P == Precision::kInt8 ? "amx-int8" : "amx-bf16",
                              {linear<P, false>, linear<P, true>, bf16_product});

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
