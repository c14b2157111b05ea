// Fuzz targets: each takes any bytes and must return. The replay program (fuzz_replay.cc) runs the
// stored corpus and changes of its own making; with libFuzzer, LLVMFuzzerTestOneInput is the one
// function of a target. Threads: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace nestor::fuzz {

using Target = int (*)(const std::uint8_t* data, std::size_t bytes);

// By name; the corpus of a target lies in corpus/<name>/.
const std::map<std::string, Target>& targets();

}  // namespace nestor::fuzz
