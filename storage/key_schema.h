// Keys of the one column family: a tag byte, then fixed-width big-endian numbers, then (last, so
// that it needs no separator) the name. Byte order is therefore collection order, then id or key
// order. Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nestor::storage {

// STORED: never renumber.
enum class KeyTag : char {
  kCatalog = 'c',        // name of a collection
  kDocument = 'd',       // collection id (4 bytes), key
  kField = 'f',          // collection id (4), entry of the field index (none: its marker)
  kContent = 'h',        // collection id (4), content of a row (17), row id (8) (none: the marker)
  kJournal = 'j',        // collection id (4), sequence (8)
  kTermTotals = 'k',     // collection id (4)
  kMeta = 'm',           // name
  kPosting = 'p',        // collection id (4), term, NUL, first row id of the document (8)
  kRow = 'r',            // collection id (4), row id (8)
  kDocumentTerms = 't',  // collection id (4), first row id of the document (8)
};

std::string catalog_key(std::string_view collection_name);
std::string document_key(std::uint32_t collection, std::string_view key);
std::string journal_key(std::uint32_t collection, std::uint64_t sequence);
std::string meta_key(std::string_view name);
std::string row_key(std::uint32_t collection, std::uint64_t row_id);
// `content`: the bytes of content_index.h.
std::string content_key(std::uint32_t collection, std::string_view content, std::uint64_t row_id);
std::string term_totals_key(std::uint32_t collection);
// REQUIRES: a term without NUL, so that no term's keys lie among another's.
std::string posting_key(std::uint32_t collection, std::string_view term,
                        std::uint64_t first_row_id);
std::string document_terms_key(std::uint32_t collection, std::uint64_t first_row_id);

// What all keys of the tag (and collection) begin with, and the first key after all of them.
std::string key_prefix(KeyTag tag);
std::string key_prefix(KeyTag tag, std::uint32_t collection);
std::string prefix_end(std::string prefix);

struct ParsedKey {
  KeyTag tag = KeyTag::kMeta;
  std::uint32_t collection = 0;  // all but catalog and meta
  std::uint64_t number = 0;      // sequence or row id
  std::string_view
      name;  // catalog, documents, field index, content, meta, a term; points into the key given
};
// Nothing where the bytes are no key of this schema.
std::optional<ParsedKey> parse_key(std::string_view key);

// For messages: document "a" of collection 3.
std::string describe_key(std::string_view key);

}  // namespace nestor::storage
