// The tiny model of tests/fixtures as a packed file, and embedders over such files.
// Threads: one thread, for it changes the environment.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/thread_pool.h"
#include "embed/checkpoint.h"
#include "embed/pack.h"
#include "embed/packed_model.h"
#include "embed/precision.h"
#include "tests/embed/tiny_model.h"

namespace nestor::testing {

inline constexpr std::array<embed::Precision, 3> kPrecisions = {
    embed::Precision::kF32, embed::Precision::kBf16, embed::Precision::kInt8};

inline std::unique_ptr<embed::Checkpoint> open_unverified(const std::string& path) {
  // Checksums of temporary files must not fill the person's cache.
  const ScopedEnvironment no_cache("XDG_CACHE_HOME", nullptr);
  const ScopedEnvironment no_home("HOME", nullptr);
  auto opened =
      embed::open_checkpoint({.path = path, .companion_folder = {}, .allow_unverified = true});
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

inline void pack_to(const std::string& path, embed::Precision precision,
                    const std::string& source = fixture("tiny-model"), int threads = 2) {
  ThreadPool pool(threads);
  const Status status = embed::pack_model(*open_unverified(source), precision, path, pool);
  REQUIRE_MESSAGE(status.ok(), status.to_string());
}

// The tiny model, packed once a run.
inline const std::string& packed_tiny(embed::Precision precision) {
  static const TempFolder kFolder;
  static std::array<std::string, kPrecisions.size()> made;
  std::string& path = made[static_cast<std::size_t>(precision)];
  if (path.empty()) {
    std::string place = kFolder / (embed::precision_name(precision) + std::string(".nestor-model"));
    pack_to(place, precision);
    path = std::move(place);
  }
  return path;
}

inline Embedder open_packed(const std::string& path, const char* backend = nullptr,
                            int threads = 2) {
  Result<Embedder> opened = open_model(path, backend, threads, "");
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

// The vectors of the fixture's texts, one call a role or one a text.
inline std::vector<std::vector<float>> embed_expectations(const Embedder& embedder,
                                                          bool one_by_one = false) {
  const std::vector<TinyExpectation> all = read_tiny_expectations();
  std::vector<std::vector<float>> vectors(all.size());
  for (int number = 0; number <= static_cast<int>(Role::kCodeRetrieval); ++number) {
    const auto role = static_cast<Role>(number);
    std::vector<EmbedInput> inputs;
    std::vector<std::size_t> places;
    const auto run = [&] {
      const auto result = embedder.embed(inputs, role);
      REQUIRE_MESSAGE(result.ok(), result.status().to_string());
      for (std::size_t i = 0; i < places.size(); ++i) vectors[places[i]] = result.value()[i].vector;
      inputs.clear();
      places.clear();
    };
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].role != role) continue;
      inputs.push_back({.text = all[i].text, .title = all[i].title});
      places.push_back(i);
      if (one_by_one) run();
    }
    run();
  }
  return vectors;
}

}  // namespace nestor::testing
