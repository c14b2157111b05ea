#include "storage/term_codec.h"

#include <algorithm>
#include <limits>

#include "core/macros.h"
#include "storage/record_frame.h"

namespace nestor::storage {
namespace {

constexpr std::int64_t kMostU32 = std::numeric_limits<std::uint32_t>::max();

Status wrong_layout(std::string_view key) {
  return damaged_record(key, "the checksum is right, the fields are not");
}

std::size_t shared_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                                  a.begin());
}

Posting take_posting(RecordReader& in) {
  Posting posting;
  posting.length = static_cast<std::uint32_t>(in.count(kMostU32));
  const std::size_t count = in.elements(1);
  in.require(count > 0);
  posting.positions.reserve(count);
  std::int64_t position = 0;
  for (std::size_t left = count; left > 0 && in.ok(); --left) {
    position += in.count(kMostU32);
    in.require(position <= kMostU32);
    posting.positions.push_back(static_cast<std::uint32_t>(position));
  }
  return posting;
}

}  // namespace

std::string encode_term_totals(std::string_view key, const TermTotals& totals) {
  ByteWriter out;
  out.u8(totals.complete ? 1 : 0);
  out.string(totals.analysis);
  out.varint(static_cast<std::uint64_t>(totals.rows));
  out.varint(static_cast<std::uint64_t>(totals.length));
  return seal_record(key, out);
}

Result<TermTotals> decode_term_totals(std::string_view key, std::string_view value) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, value));
  RecordReader in(payload);
  TermTotals totals;
  totals.complete = in.flag();
  totals.analysis = in.string();
  totals.rows = in.count();
  totals.length = in.count();
  if (!in.finished()) return wrong_layout(key);
  return totals;
}

std::string encode_postings(std::string_view key, std::uint64_t first_row_id,
                            std::span<const Posting> postings) {
  ByteWriter out;
  out.varint(postings.size());
  std::uint64_t last_row = first_row_id;
  for (const Posting& posting : postings) {
    out.varint(posting.row_id - last_row);
    last_row = posting.row_id;
    out.varint(posting.length);
    out.varint(posting.positions.size());
    std::uint32_t last = 0;
    for (const std::uint32_t position : posting.positions) {
      out.varint(position - last);
      last = position;
    }
  }
  return seal_record(key, out);
}

Status decode_postings(std::string_view key, std::string_view value, std::uint64_t first_row_id,
                       std::vector<Posting>& postings) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, value));
  RecordReader in(payload);
  const std::size_t count = in.elements(4);
  in.require(count > 0);
  std::uint64_t row_id = first_row_id;
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    const std::uint64_t gap = in.varint();
    in.require(i == 0 || gap > 0);
    in.require(gap <= std::numeric_limits<std::uint64_t>::max() - row_id);
    row_id += gap;
    Posting posting = take_posting(in);
    posting.row_id = row_id;
    postings.push_back(std::move(posting));
  }
  return in.finished() ? Status() : wrong_layout(key);
}

std::string encode_document_terms(std::string_view key, const DocumentTerms& terms) {
  ByteWriter out;
  out.varint(terms.lengths.size());
  for (const std::uint32_t length : terms.lengths) out.varint(length);
  out.u64(terms.digest.low);
  out.u64(terms.digest.high);
  out.varint(terms.terms.size());
  std::string_view last;
  for (const std::string& term : terms.terms) {
    const std::size_t shared = shared_prefix(last, term);
    out.varint(shared);
    out.string(std::string_view(term).substr(shared));
    last = term;
  }
  return seal_record(key, out);
}

Result<DocumentTerms> decode_document_terms(std::string_view key, std::string_view value) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, value));
  RecordReader in(payload);
  DocumentTerms terms;
  for (std::size_t left = in.elements(1); left > 0 && in.ok(); --left) {
    terms.lengths.push_back(static_cast<std::uint32_t>(in.count(kMostU32)));
  }
  terms.digest.low = in.u64();
  terms.digest.high = in.u64();
  std::string last;
  for (std::size_t left = in.elements(2); left > 0 && in.ok(); --left) {
    const auto shared = static_cast<std::size_t>(in.count(static_cast<std::int64_t>(last.size())));
    std::string term = last.substr(0, shared).append(in.view());
    in.require(term > last && term.find('\0') == std::string::npos);
    terms.terms.push_back(term);
    last = std::move(term);
  }
  if (!in.finished()) return wrong_layout(key);
  return terms;
}

}  // namespace nestor::storage
