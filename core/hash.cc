#include "core/hash.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <new>
#include <vector>

#include "core/check.h"
#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor {

// OpenSSL always has SHA-256: what can fail here is memory, and that is the world's failure.
Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr) throw std::bad_alloc();
  if (EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr) != 1) {
    EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_));
    throw std::bad_alloc();
  }
}

Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256::update(std::string_view bytes) {
  NESTOR_CHECK(
      EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()) == 1,
      "SHA-256 failed");
}

std::string Sha256::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int count = 0;
  NESTOR_CHECK(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest, &count) == 1,
               "hex() was called before");
  return hex_of({reinterpret_cast<const char*>(digest), count});
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

Result<std::string> sha256_hex_of_file(const std::string& path,
                                       const std::function<bool(std::uint64_t)>& on_bytes) {
  NESTOR_ASSIGN_OR_RETURN(const RandomAccessFile file, RandomAccessFile::open(path));
  constexpr std::uint64_t kBlockBytes = 1 << 20;
  std::vector<char> block(kBlockBytes);
  Sha256 hash;
  for (std::uint64_t offset = 0; offset < file.bytes(); offset += kBlockBytes) {
    const std::size_t count = std::min(kBlockBytes, file.bytes() - offset);
    NESTOR_RETURN_IF_ERROR(file.read(offset, std::span(block).first(count)));
    hash.update({block.data(), count});
    if (on_bytes && !on_bytes(count))
      return Status(StatusCode::kCancelled, "stopped reading " + escape_for_terminal(path, false));
  }
  return hash.hex();
}

std::uint64_t hash64(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

Hash128 hash128(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {.low = hash.low64, .high = hash.high64};
}

std::string hex_of(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    hex.push_back(kDigits[static_cast<unsigned char>(byte) >> 4]);
    hex.push_back(kDigits[static_cast<unsigned char>(byte) & 15]);
  }
  return hex;
}

}  // namespace nestor
