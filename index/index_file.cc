#include "index/index_file.h"

#include <fmt/format.h>

#include <exception>
#include <string_view>
#include <vector>

#include "core/bytes.h"
#include "core/file.h"
#include "core/macros.h"

namespace nestor::index {
namespace {

constexpr std::string_view kMagic = "NSTRINDX";
// Magic, version, identity length, payload length, payload hash.
constexpr std::uint64_t kFixedBytes = 8 + 4 + 4 + 8 + 8;
constexpr std::uint64_t kHeadHashBytes = 8;
// Of the coded identity; a collection's name and a space's hex digits need far less.
constexpr std::uint32_t kMostIdentityBytes = 64 * 1024;
// What one thread hashes at a time. STORED.
constexpr std::size_t kPieceBytes = std::size_t{4} << 20;
// A second thread takes longer to wake than the first one hashes that much.
constexpr std::size_t kLeastPiecesForThreads = 4;

std::string encode_identity(const IndexIdentity& identity) {
  ByteWriter writer;
  writer.string(identity.collection);
  writer.u32(identity.collection_id);
  writer.string(identity.space);
  writer.u32(static_cast<std::uint32_t>(identity.width));
  writer.u64(identity.sequence);
  writer.u64(identity.digest.low);
  writer.u64(identity.digest.high);
  return writer.take();
}

bool decode_identity(std::string_view bytes, IndexIdentity& identity) {
  ByteReader reader(bytes);
  std::string_view collection;
  std::string_view space;
  std::uint32_t width = 0;
  reader.string(collection);
  reader.u32(identity.collection_id);
  reader.string(space);
  reader.u32(width);
  reader.u64(identity.sequence);
  reader.u64(identity.digest.low);
  reader.u64(identity.digest.high);
  identity.collection = collection;
  identity.space = space;
  identity.width = static_cast<int>(width);
  return reader.finished();
}

struct Head {
  std::uint32_t identity_bytes = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_hash = 0;
};

Status damaged(const std::string& path, const std::string& what) {
  return Status(StatusCode::kDataLoss,
                fmt::format("{}: {}; this index cache is damaged, it is built anew from the store",
                            path, what));
}

// The fixed part and what it says about lengths, against the length that the file has.
Result<Head> decode_head(const std::string& path, std::string_view fixed,
                         std::uint64_t file_bytes) {
  ByteReader reader(fixed);
  std::string_view magic;
  std::uint32_t version = 0;
  Head head;
  if (!reader.raw(kMagic.size(), magic) || magic != kMagic) {
    return damaged(path, fmt::format("does not begin with {}", kMagic));
  }
  reader.u32(version);
  // Before the hash, which another version may keep elsewhere. A damaged version number is called
  // another version too; both end in a rebuild.
  if (version != kIndexFileVersion) {
    return Status(
        StatusCode::kUnsupported,
        fmt::format("{}: an index cache of format version {}, this Nestor reads version {}; it "
                    "is built anew from the store",
                    path, version, kIndexFileVersion));
  }
  reader.u32(head.identity_bytes);
  reader.u64(head.payload_bytes);
  reader.u64(head.payload_hash);
  if (head.identity_bytes > kMostIdentityBytes) {
    return damaged(path, fmt::format("an identity of {} bytes, the most is {}", head.identity_bytes,
                                     kMostIdentityBytes));
  }
  // No sum with payload_bytes, which may be anything: it could wrap.
  const std::uint64_t head_bytes = kFixedBytes + head.identity_bytes + kHeadHashBytes;
  if (file_bytes < head_bytes || file_bytes - head_bytes != head.payload_bytes) {
    return damaged(path, fmt::format("has {} bytes; its head of {} promises {} more", file_bytes,
                                     head_bytes, head.payload_bytes));
  }
  return head;
}

Result<IndexFile> read_checked(const std::string& path) {
  NESTOR_ASSIGN_OR_RETURN(const RandomAccessFile file, RandomAccessFile::open(path));
  if (file.bytes() < kFixedBytes + kHeadHashBytes) {
    return damaged(path, fmt::format("has {} bytes, the shortest has {}", file.bytes(),
                                     kFixedBytes + kHeadHashBytes));
  }
  std::string head_bytes(kFixedBytes, '\0');
  NESTOR_RETURN_IF_ERROR(file.read(0, head_bytes));
  NESTOR_ASSIGN_OR_RETURN(const Head head, decode_head(path, head_bytes, file.bytes()));

  const std::uint64_t hashed_bytes = kFixedBytes + head.identity_bytes;
  head_bytes.resize(hashed_bytes + kHeadHashBytes);
  NESTOR_RETURN_IF_ERROR(file.read(0, head_bytes));
  const std::string_view all = head_bytes;
  ByteReader hash_reader(all.substr(hashed_bytes));
  std::uint64_t head_hash = 0;
  hash_reader.u64(head_hash);
  if (head_hash != hash64(all.substr(0, hashed_bytes))) {
    return damaged(path, "the checksum of its head is wrong");
  }
  IndexFile result;
  if (!decode_identity(all.substr(kFixedBytes, head.identity_bytes), result.identity)) {
    return damaged(path, "its identity does not decode");
  }
  result.payload.resize(head.payload_bytes);
  NESTOR_RETURN_IF_ERROR(file.read(hashed_bytes + kHeadHashBytes, result.payload));
  if (index_payload_hash(result.payload) != head.payload_hash) {
    return damaged(
        path, fmt::format("the checksum of its {} bytes of rows is wrong", result.payload.size()));
  }
  return result;
}

// Everything before the payload.
std::string encode_head(std::string_view identity, std::uint64_t payload_bytes,
                        std::uint64_t payload_hash) {
  ByteWriter head;
  head.raw(kMagic);
  head.u32(kIndexFileVersion);
  head.u32(static_cast<std::uint32_t>(identity.size()));
  head.u64(payload_bytes);
  head.u64(payload_hash);
  head.raw(identity);
  head.u64(hash64(head.bytes()));
  return head.take();
}

Result<std::string> checked_identity(const std::string& path, const IndexIdentity& identity) {
  std::string coded = encode_identity(identity);
  if (coded.size() > kMostIdentityBytes) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{}: an identity of {} bytes, the most is {}", path, coded.size(),
                              kMostIdentityBytes));
  }
  return coded;
}

// The head of a file that is all in reach: identity and where the payload begins.
Result<std::uint64_t> check_whole(const std::string& path, std::string_view all,
                                  IndexIdentity& identity, ThreadPool* pool) {
  if (all.size() < kFixedBytes + kHeadHashBytes) {
    return damaged(path, fmt::format("has {} bytes, the shortest has {}", all.size(),
                                     kFixedBytes + kHeadHashBytes));
  }
  NESTOR_ASSIGN_OR_RETURN(const Head head,
                          decode_head(path, all.substr(0, kFixedBytes), all.size()));
  const std::uint64_t hashed_bytes = kFixedBytes + head.identity_bytes;
  ByteReader hash_reader(all.substr(hashed_bytes, kHeadHashBytes));
  std::uint64_t head_hash = 0;
  hash_reader.u64(head_hash);
  if (head_hash != hash64(all.substr(0, hashed_bytes))) {
    return damaged(path, "the checksum of its head is wrong");
  }
  if (!decode_identity(all.substr(kFixedBytes, head.identity_bytes), identity)) {
    return damaged(path, "its identity does not decode");
  }
  const std::string_view payload = all.substr(hashed_bytes + kHeadHashBytes);
  if (index_payload_hash(payload, pool) != head.payload_hash) {
    return damaged(path,
                   fmt::format("the checksum of its {} bytes of rows is wrong", payload.size()));
  }
  return hashed_bytes + kHeadHashBytes;
}

Status out_of_memory(const std::string& path) {
  return Status(StatusCode::kOutOfMemory, path + ": no memory to hold this index cache");
}

}  // namespace

std::uint64_t index_payload_hash(std::string_view payload, ThreadPool* pool) {
  const std::size_t pieces = (payload.size() + kPieceBytes - 1) / kPieceBytes;
  std::vector<std::uint64_t> hashes(pieces);
  const auto hash_piece = [&](std::int64_t piece, int) {
    const auto at = static_cast<std::size_t>(piece);
    hashes[at] = hash64(payload.substr(at * kPieceBytes, kPieceBytes));
  };
  if (pool != nullptr && pieces >= kLeastPiecesForThreads) {
    pool->for_each(static_cast<std::int64_t>(pieces), hash_piece);
  } else {
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      hash_piece(static_cast<std::int64_t>(piece), 0);
    }
  }
  ByteWriter all;
  for (const std::uint64_t hash : hashes) all.u64(hash);
  return hash64(all.bytes());
}

std::string describe_mismatch(const IndexIdentity& found, const IndexIdentity& expected) {
  const auto differs = [](const char* field, const auto& is, const auto& should) {
    return fmt::format("{} is {}, expected {}", field, is, should);
  };
  if (found.collection != expected.collection) {
    return differs("the collection", found.collection, expected.collection);
  }
  if (found.collection_id != expected.collection_id) {
    return differs("the collection's number", found.collection_id, expected.collection_id);
  }
  if (found.space != expected.space) {
    return differs("the vector space", found.space, expected.space);
  }
  if (found.width != expected.width) return differs("the width", found.width, expected.width);
  if (found.sequence != expected.sequence) {
    return differs("the sequence", found.sequence, expected.sequence);
  }
  if (found.digest != expected.digest) {
    return fmt::format("the digest at sequence {} is {:016x}{:016x}, expected {:016x}{:016x}",
                       found.sequence, found.digest.high, found.digest.low, expected.digest.high,
                       expected.digest.low);
  }
  return {};
}

Status write_index_file(const std::string& path, const IndexFile& file) {
  try {
    NESTOR_ASSIGN_OR_RETURN(const std::string identity, checked_identity(path, file.identity));
    std::string bytes =
        encode_head(identity, file.payload.size(), index_payload_hash(file.payload));
    bytes.reserve(bytes.size() + file.payload.size());
    bytes += file.payload;
    return write_file_atomic(path, bytes);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory(path);
  }
}

Result<IndexFile> read_index_file(const std::string& path) {
  try {
    return read_checked(path);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory(path);
  }
}

IndexFileWriter::IndexFileWriter(FileReplacement file, std::string path, std::string identity,
                                 std::uint64_t payload_bytes)
    : file_(std::move(file)),
      path_(std::move(path)),
      identity_(std::move(identity)),
      head_bytes_(kFixedBytes + identity_.size() + kHeadHashBytes),
      payload_bytes_(payload_bytes) {}

Result<IndexFileWriter> IndexFileWriter::create(const std::string& path,
                                                const IndexIdentity& identity,
                                                std::uint64_t payload_bytes) {
  try {
    NESTOR_ASSIGN_OR_RETURN(std::string coded, checked_identity(path, identity));
    NESTOR_ASSIGN_OR_RETURN(FileReplacement file, FileReplacement::create(path));
    IndexFileWriter writer(std::move(file), path, std::move(coded), payload_bytes);
    // The last byte, so that the file has its length whatever is left out.
    if (payload_bytes > 0) {
      NESTOR_RETURN_IF_ERROR(writer.write(payload_bytes - 1, std::string_view("\0", 1)));
    }
    return writer;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory(path);
  }
}

Status IndexFileWriter::write(std::uint64_t offset, std::string_view bytes) const {
  return file_.write(head_bytes_ + offset, bytes);
}

Status IndexFileWriter::commit() {
  try {
    std::uint64_t payload_hash = index_payload_hash({});
    if (payload_bytes_ > 0) {
      NESTOR_ASSIGN_OR_RETURN(const MappedFile written, MappedFile::open(file_.temporary()));
      const std::string_view all(written.bytes().data(), written.bytes().size());
      if (all.size() != head_bytes_ + payload_bytes_) {
        return {StatusCode::kIoError,
                fmt::format("{}: {} bytes were written, {} are there; another process changed it",
                            file_.temporary(), head_bytes_ + payload_bytes_, all.size())};
      }
      payload_hash = index_payload_hash(all.substr(head_bytes_));
    }
    NESTOR_RETURN_IF_ERROR(file_.write(0, encode_head(identity_, payload_bytes_, payload_hash)));
    return file_.commit();
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory(path_);
  }
}

std::uint64_t index_payload_offset(const IndexIdentity& identity) {
  return kFixedBytes + encode_identity(identity).size() + kHeadHashBytes;
}

Result<MappedIndexFile> map_index_file(const std::string& path, ThreadPool* pool) {
  try {
    NESTOR_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
    IndexIdentity identity;
    const std::string_view all(file.bytes().data(), file.bytes().size());
    NESTOR_ASSIGN_OR_RETURN(const std::uint64_t offset, check_whole(path, all, identity, pool));
    return MappedIndexFile{std::move(identity), std::move(file), offset};
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory(path);
  }
}

}  // namespace nestor::index
