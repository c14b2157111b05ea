// The door: everything a caller hands in is checked here, with its limits, before any work is done.
// Threads: free functions, safe anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "nestor/database.h"
#include "storage/collection_descriptor.h"

namespace nestor::query {

inline constexpr std::size_t kMostKeyBytes = 512;
inline constexpr std::size_t kMostTitleBytes = 4096;
inline constexpr std::size_t kMostTextBytes = 16 << 20;
inline constexpr std::size_t kMostUnsplitTextBytes = 1 << 20;  // the embedder's own limit
inline constexpr std::size_t kMostDocuments = 100'000;         // in one call
inline constexpr std::size_t kMostAttributes = 100;            // of a collection
inline constexpr std::int64_t kMostHits = 10'000;
inline constexpr int kMostVectorWidth = 65'536;
inline constexpr std::size_t kMostQueryParts = 100;

// All return kInvalidArgument that names the key, what was found and what is allowed.
Status check_collection_name(std::string_view name);
Status check_key(std::string_view key);
// Of a collection. Names: 1 to 64 printable ASCII characters; values: at most 64 KiB.
Status check_attribute(std::string_view name, std::string_view value);
// The field of expiry.h is checked too. `whose` begins the message.
Status check_metadata(const Metadata& metadata, const std::string& whose);
Status check_document(const Document& document, bool split);
// `whose` begins the message: "document 'a'", "the query". Cosines: not all zero; other metrics: of
// length 1e18 at most, so that no product or distance of two overflows a float.
Status check_vector(std::span<const float> vector, int width, const std::string& whose,
                    Metric metric = Metric::kCosine);
// What a new collection of these options is; all of them, whatever they are.
storage::CollectionDescriptor descriptor_of(const std::string& name,
                                            const CollectionOptions& options);
// Name, dimension, metric.
Status check_descriptor(const storage::CollectionDescriptor& descriptor);
Status check_split(const SplitOptions& split);
// The numbers of it.
Status check_open(const OpenOptions& options);
Status check_search(const SearchOptions& options);
// What asks for knowledge of the collection's metric: min_score.
Status check_search_in(const SearchOptions& options, Metric metric);
// Everything that can be said without the collection: numbers of parts, weights, texts, keys.
Status check_query(const Query& query);
// UTF-8, and something to see in it; `position` (from 0) says which of many it is.
Status check_question(std::string_view text, std::optional<std::size_t> position = {});

}  // namespace nestor::query
