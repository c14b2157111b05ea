// What the store keeps, as values: collections, documents, passage rows. Their bytes are
// record_codec's affair and FORMAT.md's subject. Threads: values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/hash.h"
#include "nestor/document.h"
#include "nestor/options.h"

namespace nestor::storage {

// How a row's numbers came to be. Modes of one space may stand side by side. STORED: never
// renumber.
enum class NumericMode : std::uint8_t {
  kF32 = 0,
  kExternal = 1,  // given by the caller
  kBf16 = 2,
  kInt8 = 3,
};

// A collection as of one committed sequence.
struct Collection {
  std::uint32_t id = 0;
  std::string name;
  int width = 0;                    // components of a row; 0: not known before the first row
  bool external = false;            // bring-your-own vectors: no model, no space to compare
  Metric metric = Metric::kCosine;  // another one only where external
  std::string space;  // hex SHA-256 of the vector space; empty when external or not yet known
  std::string model;  // the model's name, for messages
  std::uint64_t next_row_id = 1;  // row ids are never used again
  std::int64_t documents = 0;
  std::int64_t passages = 0;
  std::int64_t text_bytes = 0;
  std::int64_t truncated_passages = 0;
  std::map<std::uint8_t, std::int64_t> rows_by_mode;  // NumericMode -> rows
  Hash128 digest;              // order-free: sum modulo 2^128 of the hashes of all its records
  std::uint64_t sequence = 0;  // of the last batch that changed it
  std::map<std::string, std::string> attributes;
};

struct Passage {
  std::int64_t index = 0;  // in its document, from 0
  ByteRange bytes;
  LineRange lines;
  std::string heading_path;
  std::int32_t token_count = 0;
  bool truncated = false;
  NumericMode mode = NumericMode::kF32;
  Hash128 content;  // of what was embedded (prompted text), so that it need not be again
};

struct Row {
  std::uint64_t id = 0;  // given out by the store at commit; 0 before
  std::string document_key;
  Passage passage;
  std::vector<float> vector;  // (collection width)
};

struct StoredDocument {
  Document document;               // its vector stays empty: rows hold them
  std::uint64_t first_row_id = 0;  // rows of a document have consecutive ids
  std::int64_t passage_count = 0;
  std::uint32_t split_tokens = 0;  // the cut it was made with; 0: not split
};

inline constexpr std::size_t kMostTermBytes = 128;
// A term may continue another one: TERM, this byte, a form. STORED.
inline constexpr char kFormMark = '\1';
// Which postings are read for a term: its own, or those of the terms that continue it as well.
enum class TermForms : int { kOne = 0, kAll = 1 };

// Where one term stands in one passage.
struct RowTerm {
  std::string term;                      // 1 to kMostTermBytes bytes without NUL
  std::vector<std::uint32_t> positions;  // ascending, not empty
};

// All terms of one passage, each once, in byte order.
struct RowTerms {
  std::uint32_t length = 0;  // words of the passage, for BM25
  std::vector<RowTerm> terms;
};

// What BM25 asks of a collection as a whole.
struct TermTotals {
  bool complete = false;  // every passage has its postings
  std::string analysis;   // names what made terms of texts; postings of two do not mix
  std::int64_t rows = 0;
  std::int64_t length = 0;  // words in all of them
  bool operator==(const TermTotals&) const = default;
};

// One term in one passage, as read back.
struct Posting {
  std::uint64_t row_id = 0;
  std::uint32_t length = 0;  // words of the passage
  std::vector<std::uint32_t> positions;
};

// One document to be written, with all of its passages in order; replaces what the key held.
struct DocumentWrite {
  Document document;
  std::uint32_t split_tokens = 0;
  std::vector<Row> rows;        // at least one
  std::vector<RowTerms> terms;  // one a row, or none at all: passages without words
};

// New metadata for a document that is there; text, rows and vectors stay as they are.
struct MetadataWrite {
  std::string key;
  Metadata metadata;
};

}  // namespace nestor::storage
