#include "embed/bpe_tokenizer.h"

#include <algorithm>

#include "core/macros.h"
#include "core/text.h"
#include "embed/bpe_merger.h"
#include "embed/code_point.h"

namespace nestor::embed {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// A literal U+2581 reads as a space, and an ill-formed byte as U+FFFD. Nearly every text comes back
// as it is; `storage` holds the others.
std::string_view normalize(std::string_view text, std::string& storage) {
  if (!find_invalid_utf8(text).has_value() && text.find(kSpaceMark) == std::string_view::npos) {
    return text;
  }
  while (!text.empty()) {
    const std::size_t good = find_invalid_utf8(text).value_or(text.size());
    for (std::size_t at = 0; at < good;) {
      const bool mark = text.substr(at, good - at).starts_with(kSpaceMark);
      storage += mark ? ' ' : text[at];
      at += mark ? kSpaceMark.size() : 1;
    }
    text.remove_prefix(good);
    if (text.empty()) break;
    storage += kReplacement;
    text.remove_prefix(1);
  }
  return storage;
}

// Keeps the first ids it is given and counts all.
class IdSink {
 public:
  IdSink(std::vector<std::int32_t>* ids, std::size_t most_ids) : ids_(ids), most_ids_(most_ids) {}
  void add(std::uint32_t id) {
    if (ids_ != nullptr && ids_->size() < most_ids_) ids_->push_back(static_cast<std::int32_t>(id));
    ++total_;
  }
  [[nodiscard]] std::int64_t total() const { return total_; }

 private:
  std::vector<std::int32_t>* ids_;
  std::size_t most_ids_;
  std::int64_t total_ = 0;
};

// Cuts a text where no merge can reach across, and gives each chunk's ids: in prose, where a chunk
// is about a word, nearly every one is a piece by itself and nothing is merged at all.
class ChunkEncoder {
 public:
  ChunkEncoder(const BpeTable& table, IdSink& sink) : table_(table), sink_(sink) {}

  // REQUIRES: normalize() was here.
  void encode(std::string_view text) {
    std::size_t begin = 0;  // of the chunk
    char32_t previous = 0;
    for (std::size_t at = 0; at < text.size();) {
      const BpeTable::UserDefined found = table_.user_defined_at(text.substr(at));
      if (found.bytes != 0) {  // stands alone, whatever is around it
        encode_chunk(text.substr(begin, at - begin));
        sink_.add(found.id);
        at += found.bytes;
        begin = at;
        continue;
      }
      const CodePoint character = decode_code_point(text, at);
      if (at > begin && (!table_.may_join(previous, character.value) ||
                         at - begin + character.bytes > BpeTokenizer::kMostChunkBytes)) {
        encode_chunk(text.substr(begin, at - begin));
        begin = at;
      }
      previous = character.value;
      at += character.bytes;
    }
    encode_chunk(text.substr(begin));
  }

 private:
  void encode_chunk(std::string_view chunk) {
    if (chunk.empty()) return;
    const CodePoint first = decode_code_point(chunk, 0);
    if (first.bytes == chunk.size()) return add(table_.character(first.value), chunk);
    if (const std::uint32_t piece = table_.find_piece(chunk); piece != BpeTable::kNone) {
      return sink_.add(piece);
    }
    for (const BpeMerger::Symbol& symbol : merger_.merge(table_, chunk)) {
      add(symbol.id, chunk.substr(symbol.begin, symbol.end - symbol.begin));
    }
  }

  void add(std::uint32_t symbol, std::string_view text) {
    if (symbol < table_.counts().pieces) return sink_.add(symbol);
    if (text == " ") text = kSpaceMark;  // a vocabulary without that piece spells U+2581
    for (const char byte : text) sink_.add(table_.byte_id(static_cast<unsigned char>(byte)));
  }

  const BpeTable& table_;
  IdSink& sink_;
  BpeMerger merger_;
};

std::int64_t encode(const BpeTable& table, std::string_view text, IdSink sink) {
  std::string storage;
  ChunkEncoder(table, sink).encode(normalize(text, storage));
  return sink.total();
}

}  // namespace

Result<std::unique_ptr<BpeTokenizer>> BpeTokenizer::open(std::span<const char> table,
                                                         std::string tokenizer_sha256) {
  NESTOR_ASSIGN_OR_RETURN(const BpeTable opened, BpeTable::open(table));
  return std::unique_ptr<BpeTokenizer>(new BpeTokenizer(opened, std::move(tokenizer_sha256)));
}

Result<TokenizedText> BpeTokenizer::tokenize(std::string_view text,
                                             std::int64_t most_tokens) const {
  TokenizedText result;
  result.ids.push_back(bos_id());
  const std::int64_t total =
      2 + encode(table_, text, IdSink(&result.ids, static_cast<std::size_t>(most_tokens - 1)));
  result.ids.push_back(eos_id());
  result.token_count = static_cast<int>(total);
  result.truncated = total > most_tokens;
  return result;
}

Result<std::int64_t> BpeTokenizer::count(std::string_view text) const {
  return encode(table_, text, IdSink(nullptr, 0));
}

}  // namespace nestor::embed
