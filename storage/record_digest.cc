#include "storage/record_digest.h"

#include "core/bytes.h"

namespace nestor::storage {
namespace {

// The key's length goes in front: a key and a value must not change places at their border unseen.
Hash128 hash_record(std::string_view key, std::string_view value) {
  ByteWriter bytes;
  bytes.string(key);
  bytes.raw(value);
  return hash128(bytes.bytes());
}

}  // namespace

void add_to_digest(Hash128& digest, std::string_view key, std::string_view value) {
  const Hash128 hash = hash_record(key, value);
  digest.low += hash.low;
  digest.high += hash.high + (digest.low < hash.low ? 1 : 0);
}

void take_from_digest(Hash128& digest, std::string_view key, std::string_view value) {
  const Hash128 hash = hash_record(key, value);
  digest.high -= hash.high + (digest.low < hash.low ? 1 : 0);
  digest.low -= hash.low;
}

}  // namespace nestor::storage
