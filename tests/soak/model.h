// The oracle: what a database must hold, kept outside of it as numbers, and the operations that
// change it. An operation follows from a seed and its own number alone, so that the process that
// survives knows what the process that died was doing. Threads: values and free functions, safe
// anywhere.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nestor/document.h"

namespace nestor::soak {

inline constexpr int kEncoderWidth = 128;
inline constexpr int kGivenWidth = 16;
inline constexpr std::array<const char*, 2> kCollections = {"default", "given"};

// A document as the numbers of the operations that wrote its text and its metadata last (0: with
// the text).
struct DocumentState {
  std::uint64_t text = 0;
  std::uint64_t metadata = 0;
  bool operator==(const DocumentState&) const = default;
};

struct Model {
  std::array<std::map<std::string, DocumentState>, 2> documents;  // as kCollections
  bool operator==(const Model&) const = default;
};

enum class OpKind : std::uint8_t {
  kAdd = 0,
  kRemove,
  kRemoveMatching,
  kChangeMetadata,
  kSetAttribute,
  kSetLanguage,
  kSearch,
  kReopen,
};

struct PlannedOp {
  OpKind kind = OpKind::kAdd;
  std::uint64_t number = 0;
  std::size_t collection = 0;              // in kCollections
  std::vector<std::string> keys = {};      // written, changed or removed
  std::vector<std::string> removals = {};  // of kAdd
  int part = 0;                            // of kRemoveMatching
};

// A generator whose numbers are the same everywhere (SplitMix64, Steele et al. 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  // 0 to limit - 1.
  std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : next() % limit; }
  bool one_in(std::uint64_t count) { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

PlannedOp plan_op(std::uint64_t seed, std::uint64_t number);
void apply(const PlannedOp& op, Model& model);
// "op 17: add k3 k9 to default".
std::string describe(const PlannedOp& op);

// The document a state stands for. The text holds unique_word, and long ones have several passages.
Document document_of(std::size_t collection, const std::string& key, const DocumentState& state);
std::string unique_word(const std::string& key, std::uint64_t text);

}  // namespace nestor::soak
