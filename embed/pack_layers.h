// The layers of a packed model in bf16 or int8: norms folded, weights rotated (int8) and laid out
// in panels. What is folded where: embed/PACKED_FORMAT.md. Threads: free functions, safe anywhere.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "embed/calibrate.h"
#include "embed/checkpoint.h"
#include "embed/tiled_weights.h"
#include "nestor/status.h"

namespace nestor::embed {

// Layer `index` of the checkpoint as layout.layer_bytes at `out` (zeroed), with
// the biases that `means` (calibrate.h; may be empty) call for. Errors: those of
// Checkpoint::read. Cost: about 30 MB of scratch and 0.1 s for the genuine model.
Status pack_tiled_layer(const Checkpoint& checkpoint, const TiledLayout& layout, std::size_t index,
                        const LayerMeans& means, char* out);

}  // namespace nestor::embed
