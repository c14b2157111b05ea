#include "tests/fuzz/fuzz_targets.h"

#include <string>
#include <string_view>

#include "core/file.h"
#include "embed/gguf.h"
#include "embed/safetensors.h"
#include "embed/vocabulary.h"
#include "index/coarse_index.h"
#include "index/index_file.h"
#include "index/ladder_index.h"
#include "nestor/document.h"
#include "nestor/filter.h"
#include "tests/fuzz/fuzz_input.h"
#include "tools/cli/jsonl_documents.h"

namespace nestor::fuzz {
namespace {

int safetensors(const std::uint8_t* data, std::size_t bytes) {
  const auto file = RandomAccessFile::open(as_file(text_of(data, bytes)));
  if (!file.ok()) return 0;
  const auto table = embed::read_safetensors_header(file.value());
  if (!table.ok()) return 0;
  for (const auto& [name, entry] : table.value()) {
    require(entry.offset <= bytes && entry.bytes <= bytes - entry.offset,
            "a tensor lies in the file");
  }
  return 0;
}

int gguf(const std::uint8_t* data, std::size_t bytes) {
  const auto file = RandomAccessFile::open(as_file(text_of(data, bytes)));
  if (!file.ok()) return 0;
  const auto header = embed::read_gguf_header(file.value());
  if (!header.ok()) return 0;
  for (const auto& [name, tensor] : header.value().tensors) {
    require(tensor.offset <= bytes && tensor.bytes <= bytes - tensor.offset,
            "a tensor lies in the file");
  }
  return 0;
}

int tokenizer(const std::uint8_t* data, std::size_t bytes) {
  static_cast<void>(embed::read_sentencepiece_model(text_of(data, bytes)));
  return 0;
}

int metadata(const std::uint8_t* data, std::size_t bytes) {
  const auto parsed = parse_metadata(text_of(data, bytes));
  if (!parsed.ok()) return 0;
  const auto again = parse_metadata(metadata_to_json(parsed.value()));
  require(again.ok() && again.value() == parsed.value(), "metadata comes back as it was");
  return 0;
}

int filter(const std::uint8_t* data, std::size_t bytes) {
  static_cast<void>(Filter::parse(text_of(data, bytes)).ok());
  static_cast<void>(Filter::parse_json(text_of(data, bytes)).ok());
  return 0;
}

int jsonl(const std::uint8_t* data, std::size_t bytes) {
  static_cast<void>(cli::parse_document_line(text_of(data, bytes)).ok());
  static_cast<void>(cli::parse_embed_line(text_of(data, bytes)).ok());
  static_cast<void>(cli::parse_vector(text_of(data, bytes)).ok());
  return 0;
}

void read_index(std::string_view bytes) {
  const std::string& path = as_file(bytes);
  static_cast<void>(index::LadderIndex::open(path).ok());
  const auto file = index::read_index_file(path);
  if (file.ok()) static_cast<void>(index::CoarseIndex::parse(file.value().payload).ok());
}

int index_file(const std::uint8_t* data, std::size_t bytes) {
  read_index(text_of(data, bytes));
  read_index(with_checks(text_of(data, bytes)));
  return 0;
}

}  // namespace

const std::map<std::string, Target>& targets() {
  static const std::map<std::string, Target> kAll = {
      {"bundle", bundle},     {"export", export_lines}, {"filter", filter},
      {"gguf", gguf},         {"index", index_file},    {"jsonl", jsonl},
      {"metadata", metadata}, {"plan", plan},           {"rowseg", row_segment},
      {"text", text},         {"tokenizer", tokenizer}, {"safetensors", safetensors}};
  return kAll;
}

}  // namespace nestor::fuzz
