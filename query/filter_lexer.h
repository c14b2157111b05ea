// Splits a filter's text into words, values and signs. Threads: a lexer belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nestor/document.h"
#include "nestor/status.h"

namespace nestor::query {

enum class TokenKind : std::uint8_t {
  kEnd,
  kWord,   // a name or a key word
  kName,   // in back quotes (doubled inside): never a key word
  kValue,  // a string or a number
  kSign,   // text is one of ( ) [ ] , = == != <> < <= > >= && || !
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::size_t offset = 0;
  std::string text;  // of words, names and signs
  MetadataScalar value = false;
};

class FilterLexer {
 public:
  // REQUIRES: `text` is UTF-8 and outlives the lexer.
  explicit FilterLexer(std::string_view text) : text_(text) {}
  // The next token; after the last one kEnd for ever. Errors: kInvalidArgument with the column.
  Result<Token> next();

 private:
  Result<Token> quoted(char quote);
  Result<Token> number();
  Status append_escape(std::string& out);
  std::optional<std::uint32_t> hex4();

  const std::string_view text_;
  std::size_t at_ = 0;
};

// What to call the token in a message.
std::string describe_token(const Token& token);

}  // namespace nestor::query
