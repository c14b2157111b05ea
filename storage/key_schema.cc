#include "storage/key_schema.h"

#include <fmt/format.h>

#include "core/text.h"

namespace nestor::storage {
namespace {

constexpr std::size_t kCollectionBytes = 4;
constexpr std::size_t kNumberBytes = 8;
constexpr std::size_t kContentBytes = 17;

template <typename T>
void append_big_endian(std::string& key, T value) {
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8) {
    key.push_back(static_cast<char>(value >> shift));
  }
}

std::uint64_t read_big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

std::string numbered_key(KeyTag tag, std::uint32_t collection, std::uint64_t number) {
  std::string key = key_prefix(tag, collection);
  append_big_endian(key, number);
  return key;
}

}  // namespace

std::string catalog_key(std::string_view collection_name) {
  return key_prefix(KeyTag::kCatalog).append(collection_name);
}

std::string document_key(std::uint32_t collection, std::string_view key) {
  return key_prefix(KeyTag::kDocument, collection).append(key);
}

std::string journal_key(std::uint32_t collection, std::uint64_t sequence) {
  return numbered_key(KeyTag::kJournal, collection, sequence);
}

std::string meta_key(std::string_view name) { return key_prefix(KeyTag::kMeta).append(name); }

std::string row_key(std::uint32_t collection, std::uint64_t row_id) {
  return numbered_key(KeyTag::kRow, collection, row_id);
}

std::string content_key(std::uint32_t collection, std::string_view content, std::uint64_t row_id) {
  std::string key = key_prefix(KeyTag::kContent, collection).append(content);
  append_big_endian(key, row_id);
  return key;
}

std::string term_totals_key(std::uint32_t collection) {
  return key_prefix(KeyTag::kTermTotals, collection);
}

std::string posting_key(std::uint32_t collection, std::string_view term,
                        std::uint64_t first_row_id) {
  std::string key = key_prefix(KeyTag::kPosting, collection);
  key.append(term).push_back('\0');
  append_big_endian(key, first_row_id);
  return key;
}

std::string document_terms_key(std::uint32_t collection, std::uint64_t first_row_id) {
  return numbered_key(KeyTag::kDocumentTerms, collection, first_row_id);
}

std::string key_prefix(KeyTag tag) { return std::string(1, static_cast<char>(tag)); }

std::string key_prefix(KeyTag tag, std::uint32_t collection) {
  std::string prefix = key_prefix(tag);
  append_big_endian(prefix, collection);
  return prefix;
}

std::string prefix_end(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

std::optional<ParsedKey> parse_key(std::string_view key) {
  if (key.empty()) return std::nullopt;
  ParsedKey parsed{.tag = static_cast<KeyTag>(key.front()), .name = {}};
  key.remove_prefix(1);
  if (parsed.tag != KeyTag::kCatalog && parsed.tag != KeyTag::kMeta) {
    if (key.size() < kCollectionBytes) return std::nullopt;
    parsed.collection =
        static_cast<std::uint32_t>(read_big_endian(key.substr(0, kCollectionBytes)));
    key.remove_prefix(kCollectionBytes);
  }
  switch (parsed.tag) {
    case KeyTag::kField:
      parsed.name = key;
      return parsed;
    case KeyTag::kCatalog:
    case KeyTag::kDocument:
    case KeyTag::kMeta:
      if (key.empty()) return std::nullopt;
      parsed.name = key;
      return parsed;
    case KeyTag::kJournal:
    case KeyTag::kRow:
    case KeyTag::kDocumentTerms:
      if (key.size() != kNumberBytes) return std::nullopt;
      parsed.number = read_big_endian(key);
      return parsed;
    case KeyTag::kTermTotals:
      if (!key.empty()) return std::nullopt;
      return parsed;
    case KeyTag::kContent:
      if (key.empty()) return parsed;
      if (key.size() != kContentBytes + kNumberBytes) return std::nullopt;
      parsed.name = key.substr(0, kContentBytes);
      parsed.number = read_big_endian(key.substr(kContentBytes));
      return parsed;
    case KeyTag::kPosting: {
      const std::size_t end = key.find('\0');
      if (end == 0 || end == std::string_view::npos || key.size() - end - 1 != kNumberBytes)
        return std::nullopt;
      parsed.name = key.substr(0, end);
      parsed.number = read_big_endian(key.substr(end + 1));
      return parsed;
    }
  }
  return std::nullopt;
}

std::string describe_key(std::string_view key) {
  const std::optional<ParsedKey> parsed = parse_key(key);
  if (!parsed) return fmt::format("unknown key {}", quote_for_message(key));
  switch (parsed->tag) {
    case KeyTag::kCatalog:
      return fmt::format("collection {}", quote_for_message(parsed->name));
    case KeyTag::kDocument:
      return fmt::format("document {} of collection {}", quote_for_message(parsed->name),
                         parsed->collection);
    case KeyTag::kField:
      return fmt::format("an entry of the field index of collection {}", parsed->collection);
    case KeyTag::kJournal:
      return fmt::format("journal entry {} of collection {}", parsed->number, parsed->collection);
    case KeyTag::kMeta:
      return fmt::format("record {}", quote_for_message(parsed->name));
    case KeyTag::kRow:
      return fmt::format("row {} of collection {}", parsed->number, parsed->collection);
    case KeyTag::kContent:
      return parsed->name.empty() ? fmt::format("the marker of the content index of collection {}",
                                                parsed->collection)
                                  : fmt::format("the content of row {} of collection {}",
                                                parsed->number, parsed->collection);
    case KeyTag::kTermTotals:
      return fmt::format("totals of the terms of collection {}", parsed->collection);
    case KeyTag::kPosting:
      return fmt::format("posting of {} for row {} of collection {}",
                         quote_for_message(parsed->name), parsed->number, parsed->collection);
    case KeyTag::kDocumentTerms:
      return fmt::format("terms of the document at row {} of collection {}", parsed->number,
                         parsed->collection);
  }
  return "unknown key";
}

}  // namespace nestor::storage
