#include "query/text_analysis.h"

#include <utility>

#include "core/macros.h"
#include "query/han_words.h"
#include "query/text_segments.h"
#include "query/text_walk.h"
#include "query/word_folding.h"
#include "query/word_stemmer.h"

namespace nestor::query {

struct TextAnalyzer::Impl {
  std::string language;
  TextSegments segments;
  WordTools tools;

  Status walk(std::string_view text, TermOutput& output) {
    NESTOR_ASSIGN_OR_RETURN(const std::vector<TextSegment> found, segments.find(text));
    return TextWalk(text, found, tools, output).run();
  }
};

TextAnalyzer::TextAnalyzer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TextAnalyzer::~TextAnalyzer() = default;

Result<std::unique_ptr<TextAnalyzer>> TextAnalyzer::make(const std::string& language) {
  NESTOR_ASSIGN_OR_RETURN(WordStemmer stemmer, WordStemmer::make(language));
  NESTOR_ASSIGN_OR_RETURN(WordFolder folder, WordFolder::make());
  NESTOR_ASSIGN_OR_RETURN(TextSegments segments, TextSegments::make());
  return std::unique_ptr<TextAnalyzer>(new TextAnalyzer(std::make_unique<Impl>(
      Impl{language, std::move(segments), {folder, std::move(stemmer), HanWords()}})));
}

Result<std::uint32_t> TextAnalyzer::analyze(std::string_view text, std::uint32_t first_position,
                                            std::vector<TextToken>& tokens) {
  TermOutput output(tokens, first_position);
  NESTOR_RETURN_IF_ERROR(impl_->walk(text, output));
  return output.position();
}

Result<std::vector<QueryWord>> TextAnalyzer::analyze_query(std::string_view text) {
  std::vector<QueryWord> words;
  TermOutput output(words);
  NESTOR_RETURN_IF_ERROR(impl_->walk(text, output));
  return words;
}

const std::string& TextAnalyzer::language() const { return impl_->language; }

}  // namespace nestor::query
