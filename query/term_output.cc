#include "query/term_output.h"

#include <utility>

namespace nestor::query {
namespace {

TermsTogether all_of(const std::vector<std::string>& terms) {
  TermsTogether together;
  together.reserve(terms.size());
  for (const std::string& term : terms)
    together.push_back({.term = word_term(term, term), .forms = false});
  return together;
}

}  // namespace

void TermOutput::add_word(TextSpan span, std::string_view stem, std::string_view word,
                          const OtherSpellings& others) {
  if (tokens_ != nullptr) {
    tokens_->push_back({word_term(stem, word), position_++, span.begin, span.end});
    return;
  }
  QueryWord found{.any = {{stem_lookup(stem)}},
                  .otherwise = {},
                  .inside = others.inside,
                  .written = {{{.term = word_term(stem, word), .forms = false}}},
                  .position = position_++};
  for (const std::string& other : others.also) found.any.push_back({stem_lookup(other)});
  for (const std::string& other : others.otherwise) found.otherwise.push_back({stem_lookup(other)});
  words_->push_back(std::move(found));
}

void TermOutput::add_pairs(const std::vector<TextSpan>& spans,
                           const std::vector<std::string>& pairs) {
  if (tokens_ != nullptr) {
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      tokens_->push_back({word_term(pairs[i], pairs[i]), position_, spans[i].begin, spans[i].end});
    }
    ++position_;
    return;
  }
  words_->push_back({.any = {all_of(pairs)},
                     .otherwise = {},
                     .written = {all_of(pairs)},
                     .position = position_++});
}

void TermOutput::add_pairs_beside(const std::vector<std::string>& pairs) {
  words_->push_back({.any = {all_of(pairs)}, .otherwise = {}, .position = position_});
}

void TermOutput::add_beside(TextSpan span, std::string_view stem) {
  if (tokens_ != nullptr) {
    add_variant(span, stem);
  } else {
    words_->push_back({.any = {{stem_lookup(stem)}}, .otherwise = {}, .position = position_});
  }
}

void TermOutput::add_variant(TextSpan span, std::string_view stem) {
  if (tokens_ != nullptr) tokens_->push_back({variant_term(stem), position_, span.begin, span.end});
}

void TermOutput::add_stem(TextSpan span, std::string_view stem, std::string_view word) {
  if (tokens_ != nullptr)
    tokens_->push_back({word_term(stem, word), position_, span.begin, span.end});
}

void TermOutput::add_name_alone(std::string_view stem, std::uint32_t parts) {
  words_->push_back({.any = {{stem_lookup(stem)}},
                     .otherwise = {},
                     .written = {{stem_lookup(stem)}},
                     .position = position_});
  position_ += parts;
}

}  // namespace nestor::query
