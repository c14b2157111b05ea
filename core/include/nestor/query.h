// Query: a question of several parts. Texts, vectors and documents ("more like this one") to be
// near to, and others to be away from; each with a weight. Threads: values.
//
//   db.search(nestor::Query{.like = {.texts = {{"jaguar"}}, .keys = {{"zoo.md", 0.5}}},
//                           .unlike = {.texts = {{"cars"}}}});
#pragma once

#include <string>
#include <vector>

namespace nestor {

template <typename Value>
struct Weighted {
  Value value = {};
  double weight = 1;  // above 0; what counts is its ratio to the others'
};

struct QueryParts {
  std::vector<Weighted<std::string>> texts = {};  // embedded, each by itself, in the role asked for
  std::vector<Weighted<std::vector<float>>> vectors = {};  // of the collection's width
  // Documents of the collection: each is the mean of its passages' stored vectors, and is left out
  // of the hits itself.
  std::vector<Weighted<std::string>> keys = {};
};

// How several parts to be near to become one score.
enum class Combination : int {
  kAll = 0,   // one vector of all of them: passages that have something of each
  kBest = 1,  // the best score over the parts: passages that are near to any of them
};

// The vector searched for is Rocchio's, with means over the parts as the weights w have them:
//   q = sum(w u) / sum(w) over `like`  -  unlike_weight * sum(w u) / sum(w) over `unlike`
// In collections of cosines every u is scaled to unit length before, and q after; by inner product
// and distance they stay as they are. Combination::kBest has one q for each part of `like`, whose
// weights must be equal then, and a passage's score is the best over them.
// Source: Rocchio, Relevance Feedback in Information Retrieval, 1971; Manning, Raghavan and
// Schuetze, Introduction to Information Retrieval, 2008, formula 9.3.
//
// Words (SearchMode::kKeyword, kHybrid) are those of like.texts, all of them together.
struct Query {
  QueryParts like = {};  // at least one part; at most 100 parts in both
  QueryParts unlike = {};
  double unlike_weight = 0.5;
  Combination combination = Combination::kAll;
};

}  // namespace nestor
