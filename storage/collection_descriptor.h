// What a collection is, apart from what it holds: its options and lasting properties. Everything
// that makes, copies, describes or re-embeds a collection goes through this one type, so that a new
// option cannot be lost on one of the ways: the conversions below name every member of both sides,
// and a member added to either stops the compiler.
// Threads: values and free functions, safe anywhere.
#pragma once

#include <map>
#include <string>

#include "nestor/options.h"
#include "storage/records.h"

namespace nestor::storage {

struct CollectionDescriptor {
  std::string name;
  int dim = 0;                      // components per vector; 0: not known before the first vector
  bool user_vectors = false;        // the vectors are the callers' own; no model, no fingerprint
  Metric metric = Metric::kCosine;  // another one only with user_vectors
  std::string fingerprint;  // of the model, in hex; empty with user_vectors or not yet known
  std::string model;        // its name, for messages
  std::map<std::string, std::string> attributes;  // the language among them
  bool operator==(const CollectionDescriptor&) const = default;
};

CollectionDescriptor describe(const Collection& collection);
// An empty collection that `describe` describes so; its id is given out by the store.
Collection make_collection(const CollectionDescriptor& descriptor);
// The same options, without what the first vectors settle: for the vectors of another model.
CollectionDescriptor without_model(CollectionDescriptor descriptor);
// Gives `collection` the options of another one and keeps what its own vectors settled: dimension,
// fingerprint and model.
void set_options(Collection& collection, const CollectionDescriptor& options);

}  // namespace nestor::storage
