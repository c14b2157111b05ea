// Hashes: SHA-256 (OpenSSL) where identity or integrity against harm counts, XXH3 (xxhash) where
// only accidents are looked for. Threads: free functions are safe anywhere; a Sha256 belongs to one
// thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "nestor/status.h"

namespace nestor {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::string_view bytes);
  // 64 lower-case hexadecimal digits. May be called once.
  std::string hex();

 private:
  void* context_;  // EVP_MD_CTX
};

std::string sha256_hex(std::string_view bytes);
// Of a regular file, read in blocks. `on_bytes` (may be empty) hears the count of each block and
// stops the reading by returning false. Errors: kIoError, kNotFound, kInvalidArgument (not
// regular), kCancelled.
Result<std::string> sha256_hex_of_file(const std::string& path,
                                       const std::function<bool(std::uint64_t)>& on_bytes = {});

std::uint64_t hash64(std::string_view bytes);

struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  auto operator<=>(const Hash128&) const = default;
};
Hash128 hash128(std::string_view bytes);

std::string hex_of(std::string_view bytes);

}  // namespace nestor
