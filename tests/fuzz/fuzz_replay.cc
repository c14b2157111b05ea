// nestor_fuzz [TARGET] [--seconds S] [--seed N]: runs the stored corpus of every target (or one)
// and then changed copies of it for S seconds. A sanitizer or a signal ends it; the input it was at
// lies in crash-<target> in the folder it was started in.
#include <fmt/format.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_targets.h"

namespace nestor::fuzz {
namespace {

namespace fs = std::filesystem;
using Generator = std::mt19937_64;

std::vector<std::string> corpus_of(const std::string& target) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(NESTOR_FUZZ_CORPUS "/" + target))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs = {""};
  for (const fs::path& path : paths) {
    std::ifstream in(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return inputs;
}

std::size_t below(Generator& generator, std::size_t limit) {
  return limit == 0 ? 0 : generator() % limit;
}

// Bits, bytes, numbers at their limits, pieces cut out, doubled or taken from another input.
std::string changed(std::string bytes, const std::vector<std::string>& corpus,
                    Generator& generator) {
  constexpr std::size_t kMostBytes = 1 << 16;
  constexpr std::uint64_t kLimits[] = {0,      1,          0x7f,       0x80,       0xff,
                                       0xffff, 0x7fffffff, 0xffffffff, 1ULL << 63, ~0ULL};
  for (std::size_t rounds = 1 + below(generator, 4); rounds > 0; --rounds) {
    const std::size_t at = below(generator, bytes.size() + 1);
    const std::size_t length = std::min(bytes.size() - at, 1 + below(generator, 32));
    switch (generator() % 6) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << generator() % 8));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(generator());
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 4: {
        const std::string& other = corpus[below(generator, corpus.size())];
        const std::size_t from = below(generator, other.size() + 1);
        bytes.insert(at, other.substr(from, 1 + below(generator, 64)));
        break;
      }
      default:
        for (std::size_t i = 0, value = kLimits[generator() % std::size(kLimits)];
             i < 8 && at + i < bytes.size(); ++i) {
          bytes[at + i] = static_cast<char>(value >> (8 * i));
        }
    }
  }
  bytes.resize(std::min(bytes.size(), kMostBytes));
  return bytes;
}

void run(const std::string& name, const std::string& input) {
  targets().at(name)(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

void fuzz(const std::string& name, double seconds, std::uint64_t seed) {
  const std::vector<std::string> corpus = corpus_of(name);
  for (const std::string& input : corpus) run(name, input);
  Generator generator(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::uint64_t runs = 0;
  const std::string place = "crash-" + name;
  std::ofstream out(place, std::ios::binary);
  while (std::chrono::steady_clock::now() < end) {
    const std::string input = changed(corpus[below(generator, corpus.size())], corpus, generator);
    out.seekp(0);
    fs::resize_file(place, 0);
    out.write(input.data(), static_cast<std::streamsize>(input.size())).flush();
    run(name, input);
    ++runs;
  }
  out.close();
  fs::remove(place);
  fmt::print("{} seed {}: {} inputs stored, {} made, no finding\n", name, seed, corpus.size(),
             runs);
}

int main_of(int argc, char** argv) {
  std::string only;
  double seconds = 1;
  std::uint64_t seed = std::random_device()();
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--seconds" && i + 1 < argc) {
      seconds = ::strtod(argv[++i], nullptr);
    } else if (argument == "--seed" && i + 1 < argc) {
      seed = ::strtoull(argv[++i], nullptr, 10);
    } else if (targets().contains(argument)) {
      only = argument;
    } else {
      fmt::print(stderr,
                 "'{}' is no target; usage: nestor_fuzz [TARGET] [--seconds S] [--seed N]\n",
                 argument);
      return 2;
    }
  }
  for (const auto& entry : targets()) {
    if (only.empty() || only == entry.first) fuzz(entry.first, seconds, seed);
  }
  return 0;
}

}  // namespace
}  // namespace nestor::fuzz

int main(int argc, char** argv) { return nestor::fuzz::main_of(argc, argv); }
