// The terms of a passage as they are stored: its title slot, then its text. Threads: free
// functions; an analyzer belongs to one thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/options.h"
#include "nestor/status.h"
#include "query/text_analysis.h"
#include "storage/document_store.h"

namespace nestor::query {

// The language of a collection: its attribute, or auto.
std::string language_of(const storage::Collection& collection);
// Names what makes the terms, for Batch::analysis: "2/icu72:auto". STORED: another way of making
// them, or another version of ICU, is another name.
std::string analysis_name(const std::string& language);
// In words, for messages: "analyzer 2 with ICU 72 (language auto)".
std::string describe_analysis(std::string_view name);
// "document title > heading path"; a path that begins with the title does not say it twice.
std::string title_slot_of(std::string_view title, std::string_view heading_path);
// Errors: kInternal (ICU).
Result<storage::RowTerms> make_row_terms(TextAnalyzer& analyzer, std::string_view title_slot,
                                         std::string_view text);
// Of all passages of a document; `rows` name their bytes and headings. Errors: also kDataLoss (a
// row names bytes that the text does not have).
Result<std::vector<storage::RowTerms>> make_document_terms(TextAnalyzer& analyzer,
                                                           const Document& document,
                                                           std::span<const storage::Row> rows);
// DocumentStore::build_postings in the collection's language: does nothing where they are complete
// and of this analysis; postings of another one are made anew, which the log says. Errors: those of
// both.
Status build_postings(storage::DocumentStore& store, const storage::Collection& collection,
                      const LogCallback& log, std::stop_token stop,
                      const storage::DocumentStore::ApplyFunction& apply = {});

}  // namespace nestor::query
