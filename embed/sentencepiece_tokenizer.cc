#include "embed/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <array>
#include <functional>

#include "core/file.h"
#include "core/hash.h"
#include "core/macros.h"
#include "core/text.h"
#include "embed/code_point.h"
#include "embed/fingerprint.h"

// Debian's 0.1.97 exports this function without declaring it in a header. Weak: with a library that
// lacks it, its messages stay on and nothing else changes.
namespace sentencepiece::logging {
__attribute__((weak)) void SetMinLogLevel(int level);
}  // namespace sentencepiece::logging

namespace nestor::embed {
namespace {

constexpr std::uint64_t kMostModelBytes = 64ULL << 20;
constexpr int kLogNothing = 5;  // above LOG_FATAL

// sentencepiece takes one long text much slower than its parts (16 MiB of prose: 40 s and 1.6 GB
// whole), so a text goes to it in parts of about this size, cut where no piece of the vocabulary
// can reach across.
constexpr std::size_t kPartBytes = 16 << 10;
// A text without any such place is cut here all the same.
constexpr std::size_t kMostPartBytes = 1 << 20;

// Which bytes may stand right before a space so that the text may be cut between the two: those
// that end a character which no piece of the vocabulary has in front of U+2581.
using CutTable = std::array<bool, 256>;

CutTable find_safe_cuts(const sentencepiece::SentencePieceProcessor& processor) {
  CutTable safe;
  safe.fill(true);
  safe[' '] = false;  // runs of spaces are pieces of their own
  safe[static_cast<unsigned char>(kSpaceMark.back())] = false;  // literal U+2581 reads as a space
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    const std::string& piece = processor.IdToPiece(id);
    for (const std::string_view mark : {kSpaceMark, std::string_view(" ")}) {
      for (std::size_t at = piece.find(mark, 1); at != std::string::npos && at < piece.size();
           at = piece.find(mark, at + 1)) {
        safe[static_cast<unsigned char>(piece[at - 1])] = false;
      }
    }
  }
  return safe;
}

}  // namespace

struct SentencepieceTokenizer::Impl {
  sentencepiece::SentencePieceProcessor processor;
  std::string sha256;
  CutTable safe_before_space = {};
  // False for a tokenizer that strips or adds spaces at the ends of what it is given.
  bool parts_are_independent = false;

  Status encode(std::string_view text, std::vector<int>& ids) const {
    const auto status = processor.Encode(absl::string_view(text.data(), text.size()), &ids);
    if (status.ok()) return {};
    return {StatusCode::kInternal, "sentencepiece failed: " + status.ToString()};
  }

  // Bytes of the first part of `text`.
  [[nodiscard]] std::size_t part_bytes(std::string_view text) const {
    if (!parts_are_independent || text.size() <= kPartBytes) return text.size();
    const std::size_t most = std::min(text.size(), kMostPartBytes);
    for (std::size_t at = kPartBytes; at < most; ++at) {
      if (text[at] == ' ' && safe_before_space[static_cast<unsigned char>(text[at - 1])]) return at;
    }
    return floor_to_code_point(text, most);
  }

  // `take` gets the ids of one part after the other.
  Status encode_in_parts(std::string_view text,
                         const std::function<void(const std::vector<int>&)>& take) const {
    std::vector<int> ids;
    while (!text.empty()) {
      const std::size_t bytes = part_bytes(text);
      NESTOR_RETURN_IF_ERROR(encode(text.substr(0, bytes), ids));
      take(ids);
      text.remove_prefix(bytes);
    }
    return {};
  }
};

SentencepieceTokenizer::SentencepieceTokenizer(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}
SentencepieceTokenizer::~SentencepieceTokenizer() = default;

namespace {

Status check_known(const std::string& path, const std::string& sha256, bool allow_unverified) {
  const std::string& known = known_tokenizer_sha256();
  if (allow_unverified || sha256 == known) return {};
  return {
      StatusCode::kUnsupported,
      fmt::format("{}: its SHA-256 is {}, the known tokenizer has {}. An unknown tokenizer is not "
                  "loaded, for a file made to harm can crash the tokenizer library. Get the "
                  "model again, or allow it with --allow-unverified-model if you trust it.",
                  path, sha256, known)};
}

Status check_expected(const sentencepiece::SentencePieceProcessor& processor,
                      const TokenizerExpectation& expected, const std::string& path) {
  if (processor.GetPieceSize() != expected.vocabulary_size) {
    return {StatusCode::kDataLoss,
            fmt::format("{}: {} pieces, config.json says {}; this is another model's tokenizer",
                        path, processor.GetPieceSize(), expected.vocabulary_size)};
  }
  if (processor.bos_id() != expected.bos_id || processor.eos_id() != expected.eos_id) {
    return {StatusCode::kDataLoss,
            fmt::format("{}: bos {} and eos {}, config.json says {} and {}", path,
                        processor.bos_id(), processor.eos_id(), expected.bos_id, expected.eos_id)};
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> SentencepieceTokenizer::load(
    const std::string& path, const TokenizerExpectation& expected, bool allow_unverified) {
  NESTOR_ASSIGN_OR_RETURN(const std::string bytes, read_file(path, kMostModelBytes));
  auto impl = std::make_unique<Impl>();
  impl->sha256 = sha256_hex(bytes);
  NESTOR_RETURN_IF_ERROR(check_known(path, impl->sha256, allow_unverified));
  if (sentencepiece::logging::SetMinLogLevel != nullptr) {
    sentencepiece::logging::SetMinLogLevel(kLogNothing);
  }
  const auto loaded = impl->processor.LoadFromSerializedProto(bytes);
  if (!loaded.ok()) {
    return Status(StatusCode::kDataLoss, path + ": sentencepiece refuses it: " + loaded.ToString());
  }
  NESTOR_RETURN_IF_ERROR(check_expected(impl->processor, expected, path));
  impl->safe_before_space = find_safe_cuts(impl->processor);
  // Parts may be tokenized apart if spaces at either end of one are neither dropped nor invented.
  std::vector<int> ids;
  NESTOR_RETURN_IF_ERROR(impl->encode(" a ", ids));
  std::string spelled;
  for (const int id : ids) spelled += impl->processor.IdToPiece(id);
  impl->parts_are_independent = spelled == std::string(kSpaceMark) + "a" + std::string(kSpaceMark);
  return std::unique_ptr<Tokenizer>(new SentencepieceTokenizer(std::move(impl)));
}

Result<TokenizedText> SentencepieceTokenizer::tokenize(std::string_view text,
                                                       std::int64_t most_tokens) const {
  TokenizedText result;
  result.ids.push_back(impl_->processor.bos_id());
  std::int64_t total = 2;  // BOS and EOS
  const auto kept_before_eos = static_cast<std::size_t>(most_tokens - 1);
  NESTOR_RETURN_IF_ERROR(impl_->encode_in_parts(text, [&](const std::vector<int>& ids) {
    total += static_cast<std::int64_t>(ids.size());
    const std::size_t room = kept_before_eos - std::min(kept_before_eos, result.ids.size());
    result.ids.insert(result.ids.end(), ids.begin(),
                      ids.begin() + static_cast<std::ptrdiff_t>(std::min(room, ids.size())));
  }));
  result.ids.push_back(impl_->processor.eos_id());
  result.token_count = static_cast<int>(total);
  result.truncated = total > most_tokens;
  return result;
}

Result<std::int64_t> SentencepieceTokenizer::count(std::string_view text) const {
  std::int64_t total = 0;
  NESTOR_RETURN_IF_ERROR(impl_->encode_in_parts(
      text, [&](const std::vector<int>& ids) { total += static_cast<std::int64_t>(ids.size()); }));
  return total;
}

const std::string& SentencepieceTokenizer::sha256() const { return impl_->sha256; }

}  // namespace nestor::embed
