// Lines of an export: a header, a document a line with its passages and vectors, an end. Written
// and read here, byte for byte; everything read is a stranger's and checked in full.
// STORED: storage/FORMAT.md, section "Exports". Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "storage/document_store.h"

namespace nestor::query {

// Version 1 said nothing of metrics and of attributes other than the language; it is read.
inline constexpr int kFirstExportVersion = 1;
inline constexpr int kExportVersion = 2;

// What the vectors and documents of an export belong to.
struct PortableHeader {
  // Without attributes that name places of the machine (collection_attributes.h).
  storage::CollectionDescriptor collection;
  int version = kExportVersion;
  bool vectors = true;         // false: they were left out
  std::uint64_t sequence = 0;  // of the state that was exported, for people
};

PortableHeader header_of(const storage::Collection& collection, bool vectors,
                         std::uint64_t sequence);
std::string encode_header_line(const PortableHeader& header);
// `rows` are all of the document's, in order.
std::string encode_document_line(const storage::StoredDocument& document,
                                 std::span<const storage::Row> rows, bool vectors);
std::string encode_end_line(std::int64_t documents, std::int64_t passages);

// Errors of all: kInvalidArgument, what is wrong without the line's number; kUnsupported (an export
// of a newer version, both numbers).
Result<PortableHeader> parse_header_line(std::string_view line);
struct PortableEnd {
  std::int64_t documents = 0;
  std::int64_t passages = 0;
};
// Nothing where the line is another one.
Result<std::optional<PortableEnd>> parse_end_line(std::string_view line);
// Whether the documents of an export can go into a collection that is there. Errors:
// kInvalidArgument with what both keep.
Status check_import_fits(const storage::CollectionDescriptor& collection,
                         const PortableHeader& header);
// Rows have vectors where the header says so, and the hash of what was embedded, made anew.
Result<storage::DocumentWrite> parse_document(const PortableHeader& header, std::string_view line);

}  // namespace nestor::query
