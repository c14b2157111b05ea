// The self-test of a model: what it says to questions whose right answers are known here.
// Threads: free functions; one.
#pragma once

#include <string>

#include "nestor/embedder.h"
#include "nestor/status.h"
#include "tools/cli/context.h"

namespace nestor::cli {

enum class CheckState { kOk, kFailed, kSkipped };

struct SelfTest {
  CheckState state = CheckState::kOk;
  std::string found;  // a sentence for people
};

// The example of the model's card, against the scores that the card prints, and vectors of the fp32
// reference (self_test_vectors.h). Skipped for a model that is not the known one. A model made from
// 4 bit weights is held to what those can give. Errors: those of Embedder::embed.
Result<SelfTest> test_card_example(const Embedder& embedder);
Result<SelfTest> test_stored_vectors(const Embedder& embedder);

// int8: the shorter stored texts by every backend there is, bit by bit; the scalar one, which takes
// some ten seconds, only when asked for. Skipped for another precision. Errors: those of
// PackedModel::open and TiledEncoder.
Result<SelfTest> test_same_bits(const Embedder& embedder, bool with_scalar, Context& context);

// Opens a packed file and runs the first two. Errors: those of Embedder::open; kDataLoss (an answer
// is wrong). Returns what was found.
Result<std::string> check_packed_file(const std::string& path, Context& context);

}  // namespace nestor::cli
