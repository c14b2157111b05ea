#include "tests/soak/model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "core/hash.h"

namespace nestor::soak {
namespace {

constexpr int kParts = 5;

// Not hash64: a sabotaged one must not change what is written.
std::uint64_t mix(const std::string& key, std::uint64_t number) {
  std::uint64_t state = number * 0x9e3779b97f4a7c15ULL + 1;
  for (const char c : key) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return Random(state).next();
}

std::vector<std::string> some_keys(std::size_t collection, std::uint64_t most, Random& random) {
  std::set<std::string> keys;
  const std::uint64_t count = 1 + random.below(most);
  for (std::uint64_t i = 0; i < count; ++i) {
    keys.insert(collection == 0 ? fmt::format("k{}", random.below(60))
                                : fmt::format("g{}", random.below(25)));
  }
  return {keys.begin(), keys.end()};
}

int part_of(const DocumentState& state) {
  return static_cast<int>((state.metadata != 0 ? state.metadata : state.text) % kParts);
}

}  // namespace

std::uint64_t Random::next() {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

PlannedOp plan_op(std::uint64_t seed, std::uint64_t number) {
  Random random(seed * 1'000'003 + number);
  PlannedOp op;
  op.number = number;
  op.collection = random.one_in(4) ? 1 : 0;
  const std::uint64_t choice = random.below(100);
  if (choice < 62) {
    op.kind = OpKind::kAdd;
    op.keys = some_keys(op.collection, 6, random);
    if (random.one_in(4)) op.removals = some_keys(op.collection, 2, random);
  } else if (choice < 74) {
    op.kind = OpKind::kRemove;
    op.keys = some_keys(op.collection, 4, random);
  } else if (choice < 77) {
    op.kind = OpKind::kRemoveMatching;
    op.part = static_cast<int>(random.below(kParts));
  } else if (choice < 86) {
    op.kind = OpKind::kChangeMetadata;
    op.keys = some_keys(op.collection, 4, random);
  } else if (choice < 89) {
    op.kind = OpKind::kSetAttribute;
  } else if (choice < 90) {
    op.kind = OpKind::kSetLanguage;
    op.collection = 0;
  } else if (choice < 96) {
    op.kind = OpKind::kSearch;
  } else {
    op.kind = OpKind::kReopen;
  }
  return op;
}

void apply(const PlannedOp& op, Model& model) {
  auto& documents = model.documents[op.collection];
  switch (op.kind) {
    case OpKind::kAdd:
      for (const std::string& key : op.removals) documents.erase(key);
      for (const std::string& key : op.keys) documents[key] = {.text = op.number};
      break;
    case OpKind::kRemove:
      for (const std::string& key : op.keys) documents.erase(key);
      break;
    case OpKind::kRemoveMatching:
      std::erase_if(documents, [&](const auto& entry) { return part_of(entry.second) == op.part; });
      break;
    case OpKind::kChangeMetadata:
      for (const std::string& key : op.keys) {
        if (const auto found = documents.find(key); found != documents.end())
          found->second.metadata = op.number;
      }
      break;
    default:
      break;
  }
}

std::string describe(const PlannedOp& op) {
  constexpr std::array<const char*, 8> kNames = {
      "add",           "remove",       "remove matching", "change metadata",
      "set attribute", "set language", "search",          "reopen"};
  return fmt::format("op {}: {} {} in {}", op.number, kNames[static_cast<std::size_t>(op.kind)],
                     fmt::join(op.keys, " "), kCollections[op.collection]);
}

std::string unique_word(const std::string& key, std::uint64_t text) {
  // Letters that no stemmer takes for an ending.
  constexpr std::string_view kLetters = "bcdfgkmpvz";
  std::string word = "zq";
  std::uint64_t value = mix(key, text);
  for (int i = 0; i < 12; ++i, value /= 10) word += kLetters[value % 10];
  return word;
}

Document document_of(std::size_t collection, const std::string& key, const DocumentState& state) {
  Random random(mix(key, state.text) ^ 0x5eed);
  Document document{.key = key,
                    .title = random.one_in(3) ? "title of " + key : std::string(),
                    .text = "common " + unique_word(key, state.text)};
  const std::uint64_t words = random.one_in(5) ? 40 + random.below(60) : 3 + random.below(12);
  for (std::uint64_t i = 0; i < words; ++i)
    document.text += fmt::format(" word{}", random.below(300));
  document.metadata["part"] = static_cast<std::int64_t>(part_of(state));
  document.metadata["tags"] = MetadataValue{"all", fmt::format("t{}", state.text % 7)};
  if (state.metadata != 0) document.metadata["note"] = static_cast<std::int64_t>(state.metadata);
  if (collection == 1) {
    for (int i = 0; i < kGivenWidth; ++i) {
      document.vector.push_back(static_cast<float>(random.below(2001)) / 1000.0F - 1.0F);
    }
  }
  return document;
}

}  // namespace nestor::soak
