// The records of the postings as bytes. Layout: FORMAT.md, "Postings".
// Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/hash.h"
#include "nestor/status.h"
#include "storage/records.h"

namespace nestor::storage {

// What a document wrote, so that exactly this is taken away again and can be verified.
struct DocumentTerms {
  std::vector<std::uint32_t> lengths;  // words of each of its rows
  Hash128 digest;                      // sum modulo 2^128 of the hashes of its posting records
  std::vector<std::string> terms;      // each once, in byte order
};

std::string encode_term_totals(std::string_view key, const TermTotals& totals);
// `postings` of one term in one document, by row id; the first row id stands in the key.
std::string encode_postings(std::string_view key, std::uint64_t first_row_id,
                            std::span<const Posting> postings);
std::string encode_document_terms(std::string_view key, const DocumentTerms& terms);

// Errors of all: kDataLoss, naming what the key stands for and what is wrong with the value.
Result<TermTotals> decode_term_totals(std::string_view key, std::string_view value);
// Appends to `postings`.
Status decode_postings(std::string_view key, std::string_view value, std::uint64_t first_row_id,
                       std::vector<Posting>& postings);
Result<DocumentTerms> decode_document_terms(std::string_view key, std::string_view value);

}  // namespace nestor::storage
