#include "tests/soak/client.h"

#include <fmt/format.h>

#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "core/macros.h"
#include "query/open_database.h"
#include "tests/soak/failing_new.h"
#include "tests/soak/fault_layer.h"
#include "tests/support/hash_encoder.h"

namespace nestor::soak {
namespace {

Status wrong(std::string what) { return {StatusCode::kDataLoss, "WRONG: " + std::move(what)}; }

std::string differs(std::size_t collection, const std::string& key, const char* what) {
  return fmt::format("{} in {} {}", key, kCollections[collection], what);
}

// The first difference between what is there and a model, or nothing.
using Documents = std::array<std::map<std::string, Document>, 2>;
std::string difference(const Documents& documents, const Model& model) {
  for (std::size_t c = 0; c < kCollections.size(); ++c) {
    for (const auto& [key, state] : model.documents[c]) {
      const auto found = documents[c].find(key);
      if (found == documents[c].end()) return differs(c, key, "is missing");
      const Document wanted = document_of(c, key, state);
      if (found->second.text != wanted.text) return differs(c, key, "has another text");
      if (found->second.title != wanted.title) return differs(c, key, "has another title");
      if (found->second.metadata != wanted.metadata) return differs(c, key, "has other metadata");
    }
    for (const auto& [key, document] : documents[c]) {
      if (!model.documents[c].contains(key)) return differs(c, key, "should not be there");
    }
  }
  return {};
}

// A failure to look is no answer: taken for "no", a call that was never made would count as done.
Result<bool> has_collection(const Database& database, const char* name) {
  NESTOR_ASSIGN_OR_RETURN(const Stats stats, database.stats());
  for (const CollectionStats& collection : stats.collections) {
    if (collection.name == name) return true;
  }
  return false;
}

Result<Documents> read_all(const Database& database) {
  Documents documents;
  for (std::size_t c = 0; c < kCollections.size(); ++c) {
    NESTOR_ASSIGN_OR_RETURN(const bool there, has_collection(database, kCollections[c]));
    if (!there) continue;
    NESTOR_ASSIGN_OR_RETURN(const auto keys, database.list_keys(kCollections[c], "", 100'000));
    for (const std::string& key : keys) {
      NESTOR_ASSIGN_OR_RETURN(Document document, database.get(key, kCollections[c]));
      documents[c].emplace(key, std::move(document));
    }
  }
  return documents;
}

}  // namespace

AddOptions add_options(std::size_t collection) {
  AddOptions options;
  options.collection = kCollections[collection];
  options.split.passage_tokens = 16;
  return options;
}

Status Client::open(bool read_only) {
  set_phase("open");
  OpenOptions options;
  options.read_only = read_only;
  auto encoder = std::make_shared<testing::HashEncoder>("hash-space", kEncoderWidth);
  query::EncoderFactory factory = testing::factory_of(std::move(encoder));
  NESTOR_ASSIGN_OR_RETURN(Database opened, call_library([&] {
                            return query::open_database(path_, options, std::move(factory));
                          }));
  database_.emplace(std::move(opened));
  set_phase("work");
  return {};
}

Status Client::close() {
  set_phase("close");
  const Status status = call_library([&] { return database_->close(); });
  database_.reset();
  return status;
}

Status Client::search(const PlannedOp& op) {
  SearchOptions options{.k = 5, .collection = kCollections[op.collection]};
  NESTOR_ASSIGN_OR_RETURN(const bool there,
                          has_collection(*database_, kCollections[op.collection]));
  if (!there) return {};
  if (op.collection == 1) {
    const Document probe = document_of(1, "g1", {.text = op.number});
    return call_library([&] { return database_->search_vector(probe.vector, options); }).status();
  }
  options.mode = op.number % 2 == 0 ? SearchMode::kVector : SearchMode::kHybrid;
  return call_library([&] { return database_->search("common word1", options); }).status();
}

Status Client::execute(const PlannedOp& op) {
  constexpr std::array<const char*, 8> kPhases = {
      "add",           "remove",       "remove-matching", "change-metadata",
      "set-attribute", "set-language", "search",          "reopen"};
  set_phase(kPhases[static_cast<std::size_t>(op.kind)]);
  const std::string collection = kCollections[op.collection];
  NESTOR_ASSIGN_OR_RETURN(const bool known,
                          has_collection(*database_, kCollections[op.collection]));
  switch (op.kind) {
    case OpKind::kAdd: {
      std::vector<Document> documents;
      for (const std::string& key : op.keys)
        documents.push_back(document_of(op.collection, key, {.text = op.number}));
      AddOptions options = add_options(op.collection);
      options.removals = op.removals;
      return call_library([&] { return database_->add(documents, options); }).status();
    }
    case OpKind::kRemove:
      return known ? call_library([&] {
                       return database_->remove(op.keys, {.collection = collection});
                     }).status()
                   : Status();
    case OpKind::kRemoveMatching: {
      if (!known) return {};
      NESTOR_ASSIGN_OR_RETURN(const Filter filter,
                              Filter::parse(fmt::format("part == {}", op.part)));
      return call_library(
                 [&] { return database_->remove_matching(filter, {.collection = collection}); })
          .status();
    }
    case OpKind::kChangeMetadata: {
      if (!known) return {};
      std::vector<MetadataChange> changes;
      for (const std::string& key : op.keys) {
        const auto number = static_cast<std::int64_t>(op.number);
        changes.push_back({.key = key, .set = {{"note", number}, {"part", number % 5}}});
      }
      return call_library([&] { return database_->change_metadata(changes, collection); }).status();
    }
    case OpKind::kSetAttribute: {
      if (!known && collection != kDefaultCollection) return {};
      const std::string value = std::to_string(op.number);
      return call_library([&] { return database_->set_attribute(collection, "note", value); });
    }
    case OpKind::kSetLanguage: {
      if (!known && collection != kDefaultCollection) return {};
      const std::string value = op.number % 2 == 0 ? "en" : "auto";
      return call_library([&] { return database_->set_attribute(collection, "language", value); });
    }
    case OpKind::kSearch:
      return search(op);
    case OpKind::kReopen:
      NESTOR_RETURN_IF_ERROR(close());
      return open();
  }
  return {};
}

Result<int> Client::match(const Model& first, const Model* second) {
  NESTOR_ASSIGN_OR_RETURN(const Documents documents, read_all(*database_));
  const std::string from_first = difference(documents, first);
  if (from_first.empty()) return 0;
  if (second == nullptr) return wrong(from_first);
  const std::string from_second = difference(documents, *second);
  if (from_second.empty()) return 1;
  return wrong(fmt::format("{} (and with the unfinished call: {})", from_first, from_second));
}

// The plan of every day against the exhaustive one, with room for every passage: the same hits, of
// the same documents that get and list tell of.
Status Client::check_search(std::size_t collection, const Model& model, Random& random) {
  const auto& documents = model.documents[collection];
  if (documents.empty()) return {};
  SearchOptions options{.k = 10'000, .collection = kCollections[collection]};
  const auto probe =
      std::next(documents.begin(), static_cast<std::ptrdiff_t>(random.below(documents.size())));
  const Document wanted = document_of(collection, probe->first, probe->second);
  const auto run = [&] {
    return collection == 1 ? database_->search_vector(wanted.vector, options)
                           : database_->search("common", options);
  };
  NESTOR_ASSIGN_OR_RETURN(const SearchResult usual, run());
  options.coarse_width = options.rerank_width = collection == 1 ? kGivenWidth : kEncoderWidth;
  NESTOR_ASSIGN_OR_RETURN(const SearchResult exact, run());
  std::set<std::string> found;
  std::map<std::pair<std::string, std::int64_t>, double> scores;
  for (const Hit& hit : exact.hits) scores[{hit.key, hit.passage}] = hit.score;
  for (const Hit& hit : usual.hits) {
    found.insert(hit.key);
    const auto same = scores.find({hit.key, hit.passage});
    if (same == scores.end())
      return wrong(differs(collection, hit.key, "is found by codes and not by rows"));
    if (std::abs(same->second - hit.score) > 1e-6)
      return wrong(differs(collection, hit.key, "has two scores"));
  }
  if (scores.size() != usual.hits.size())
    return wrong(fmt::format("{} hits, exactly {}", usual.hits.size(), scores.size()));
  for (const auto& [key, state] : documents) {
    if (!found.contains(key)) return wrong(differs(collection, key, "is stored and not found"));
  }
  if (found.size() != documents.size()) return wrong("a search finds what is not stored");
  if (collection == 1 && std::abs(usual.hits[0].score - 1) > 1e-5) {
    return wrong(differs(collection, probe->first, "is not found by its own vector"));
  }
  return {};
}

Status Client::check_words(const Model& model, Random& random) {
  const auto& documents = model.documents[0];
  for (int i = 0; i < 3 && !documents.empty(); ++i) {
    const auto probe =
        std::next(documents.begin(), static_cast<std::ptrdiff_t>(random.below(documents.size())));
    NESTOR_ASSIGN_OR_RETURN(const SearchResult result,
                            database_->search(unique_word(probe->first, probe->second.text),
                                              {.k = 10, .mode = SearchMode::kKeyword}));
    if (result.hits.size() != 1 || result.hits[0].key != probe->first) {
      return wrong(differs(0, probe->first, "is not found by the word it alone has"));
    }
  }
  return {};
}

Status Client::check(const Model& model, std::uint64_t seed) {
  set_phase("verify");
  Random random(seed);
  NESTOR_ASSIGN_OR_RETURN(const VerifyReport report, database_->verify());
  if (!report.problems.empty()) return wrong("verify: " + report.problems.front());
  const auto count =
      static_cast<std::int64_t>(model.documents[0].size() + model.documents[1].size());
  if (report.documents != count)
    return wrong(fmt::format("verify counts {} documents of {}", report.documents, count));
  NESTOR_RETURN_IF_ERROR(check_search(0, model, random));
  NESTOR_RETURN_IF_ERROR(check_search(1, model, random));
  return check_words(model, random);
}

Result<std::uint64_t> fingerprint(const Database& database) {
  std::string all;
  NESTOR_ASSIGN_OR_RETURN(const Stats stats, database.stats());
  for (const CollectionStats& collection : stats.collections) {
    NESTOR_ASSIGN_OR_RETURN(const auto keys, database.list_keys(collection.name, "", 100'000));
    for (const std::string& key : keys) {
      NESTOR_ASSIGN_OR_RETURN(const Document document, database.get(key, collection.name));
      all += fmt::format("{}|{}|{}|{}|{}\n", collection.name, key, document.title, document.text,
                         metadata_to_json(document.metadata));
    }
  }
  return std::hash<std::string>{}(all);
}

}  // namespace nestor::soak
