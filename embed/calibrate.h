// Calibrate: the mean input of every linear layer over calibration_texts(), as its int8 product
// gets it. The rounding of weights shifts a product by (W - W') x; what all tokens' x have in
// common makes that shift the same for all of them, so it does not average out over a text, but it
// can be taken off as a bias. Source: bias correction (Nagel et al., 2019). Threads: free function.
#pragma once

#include <array>
#include <vector>

#include "embed/packed_model.h"
#include "embed/tiled_backend.h"
#include "embed/tiled_workspace.h"
#include "nestor/status.h"

namespace nestor::embed {

// The mean inputs of one layer, by LinearLayer; empty where none is known.
using LayerMeans = std::array<std::vector<float>, kLinearLayerCount>;

// One LayerMeans a layer of an int8 model that has no biases yet. The same on every backend.
// Errors: those of Encoder::encode. Cost: one pass over 1,500 tokens.
Result<std::vector<LayerMeans>> calibrate(const PackedModel& model, const TiledBackend& backend);

}  // namespace nestor::embed
