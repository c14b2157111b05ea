#include "query/passage_terms.h"

#include <fmt/format.h>
#include <unicode/uversion.h>

#include <algorithm>
#include <map>

#include "core/log.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor::query {
namespace {

// Of all that makes terms: text_segments, text_walk, name_parts, word_folding, word_stemmer,
// hangul_words, han_words, number_forms, term_forms, and the gap below. STORED. 1: stems alone.
constexpr int kAnalysisVersion = 2;
constexpr std::string_view kIcuMark = "/icu";
// Between title and text, so that no phrase runs from one into the other. STORED.
constexpr std::uint32_t kFieldGap = 64;

}  // namespace

std::string language_of(const storage::Collection& collection) {
  const auto found = collection.attributes.find(kLanguageAttribute);
  return found == collection.attributes.end() ? kAutoLanguage : found->second;
}

std::string analysis_name(const std::string& language) {
  UVersionInfo icu;
  u_getVersion(icu);
  return fmt::format("{}{}{}:{}", kAnalysisVersion, kIcuMark, icu[0], language);
}

std::string describe_analysis(std::string_view name) {
  const std::size_t colon = std::min(name.find(':'), name.size());
  const std::string_view versions = name.substr(0, colon);
  const std::size_t mark = std::min(versions.find(kIcuMark), versions.size());
  std::string text = "analyzer " + escape_for_terminal(versions.substr(0, mark), false);
  if (mark < versions.size())
    text += " with ICU " + escape_for_terminal(versions.substr(mark + kIcuMark.size()), false);
  if (colon < name.size())
    text += fmt::format(" (language {})", escape_for_terminal(name.substr(colon + 1), false));
  return text;
}

std::string title_slot_of(std::string_view title, std::string_view heading_path) {
  if (heading_path.empty()) return std::string(title);
  if (title.empty()) return std::string(heading_path);
  constexpr std::string_view kArrow = " > ";
  if (heading_path == title) return std::string(title);
  if (heading_path.starts_with(title) && heading_path.substr(title.size()).starts_with(kArrow)) {
    return std::string(heading_path);
  }
  return fmt::format("{}{}{}", title, kArrow, heading_path);
}

Result<storage::RowTerms> make_row_terms(TextAnalyzer& analyzer, std::string_view title_slot,
                                         std::string_view text) {
  std::vector<TextToken> tokens;
  NESTOR_ASSIGN_OR_RETURN(const std::uint32_t title_end, analyzer.analyze(title_slot, 0, tokens));
  const std::uint32_t text_begin = title_end == 0 ? 0 : title_end + kFieldGap;
  NESTOR_ASSIGN_OR_RETURN(const std::uint32_t text_end, analyzer.analyze(text, text_begin, tokens));
  std::map<std::string, std::vector<std::uint32_t>> positions;
  for (TextToken& token : tokens) {
    std::vector<std::uint32_t>& of_term = positions[std::move(token.term)];
    // A variant may repeat what stands there already.
    if (of_term.empty() || of_term.back() != token.position) of_term.push_back(token.position);
  }
  storage::RowTerms terms{.length = title_end + (text_end - text_begin), .terms = {}};
  terms.terms.reserve(positions.size());
  while (!positions.empty()) {
    auto node = positions.extract(positions.begin());
    terms.terms.push_back({std::move(node.key()), std::move(node.mapped())});
  }
  return terms;
}

Result<std::vector<storage::RowTerms>> make_document_terms(TextAnalyzer& analyzer,
                                                           const Document& document,
                                                           std::span<const storage::Row> rows) {
  std::vector<storage::RowTerms> result;
  for (const storage::Row& row : rows) {
    const ByteRange bytes = row.passage.bytes;
    if (bytes.begin < 0 || bytes.end < bytes.begin ||
        bytes.end > static_cast<std::int64_t>(document.text.size())) {
      return Status(StatusCode::kDataLoss,
                    fmt::format("passage {} of document {} names bytes {} to {} of a text of {}",
                                row.passage.index, quote_for_message(document.key), bytes.begin,
                                bytes.end, document.text.size()));
    }
    const std::string_view text = std::string_view(document.text)
                                      .substr(static_cast<std::size_t>(bytes.begin),
                                              static_cast<std::size_t>(bytes.end - bytes.begin));
    NESTOR_ASSIGN_OR_RETURN(
        storage::RowTerms terms,
        make_row_terms(analyzer, title_slot_of(document.title, row.passage.heading_path), text));
    result.push_back(std::move(terms));
  }
  return result;
}

Status build_postings(storage::DocumentStore& store, const storage::Collection& collection,
                      const LogCallback& log, std::stop_token stop,
                      const storage::DocumentStore::ApplyFunction& apply) {
  const std::string language = language_of(collection);
  NESTOR_ASSIGN_OR_RETURN(const std::unique_ptr<TextAnalyzer> analyzer,
                          TextAnalyzer::make(language));
  const std::string analysis = analysis_name(language);
  NESTOR_ASSIGN_OR_RETURN(const storage::TermTotals before,
                          store.term_totals(*store.view(), collection));
  NESTOR_RETURN_IF_ERROR(store.build_postings(
      collection.name, analysis,
      [&](const storage::StoredDocument& stored, std::span<const storage::Row> rows) {
        return make_document_terms(*analyzer, stored.document, rows);
      },
      std::move(stop), apply));
  if (before.rows > 0 && before.analysis != analysis) {
    log_to(log, LogLevel::kInfo,
           fmt::format("the postings of collection '{}' were made by {}; rebuilt with {}",
                       collection.name, describe_analysis(before.analysis),
                       describe_analysis(analysis)));
  }
  return {};
}

}  // namespace nestor::query
