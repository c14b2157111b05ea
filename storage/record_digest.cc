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

void add(Hash128& digest, const Hash128& hash) {
  digest.low += hash.low;
  digest.high += hash.high + (digest.low < hash.low ? 1 : 0);
}

void subtract(Hash128& digest, const Hash128& hash) {
  digest.high -= hash.high + (digest.low < hash.low ? 1 : 0);
  digest.low -= hash.low;
}

}  // namespace

void add_to_digest(Hash128& digest, std::string_view key, std::string_view value) {
  add(digest, hash_record(key, value));
}

void take_from_digest(Hash128& digest, std::string_view key, std::string_view value) {
  subtract(digest, hash_record(key, value));
}

Hash128 moved_digest(const Hash128& a, const Hash128& b, const Hash128& c) {
  Hash128 moved = a;
  add(moved, b);
  subtract(moved, c);
  return moved;
}

}  // namespace nestor::storage
