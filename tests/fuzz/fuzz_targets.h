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

// Text for the tokenizer of the tiny model (fuzz_text.cc).
int text(const std::uint8_t* data, std::size_t bytes);
// The header of a bundle, the lines of an export, a calibration, a segment of cached rows
// (fuzz_stored.cc).
int bundle(const std::uint8_t* data, std::size_t bytes);
int export_lines(const std::uint8_t* data, std::size_t bytes);
int plan(const std::uint8_t* data, std::size_t bytes);
int row_segment(const std::uint8_t* data, std::size_t bytes);

// By name; the corpus of a target lies in corpus/<name>/.
const std::map<std::string, Target>& targets();

}  // namespace nestor::fuzz
