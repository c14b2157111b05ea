// The texts an int8 model is calibrated on when it is packed: prompted, in many languages and
// kinds, so that the mean inputs they give are those of ordinary use. They are part of what a
// packed file is made of: changing them changes its bytes. Threads: free function, safe anywhere.
#pragma once

#include <span>

namespace nestor::embed {

// UTF-8, each with its prompt, ready for the tokenizer.
std::span<const char* const> calibration_texts();

}  // namespace nestor::embed
