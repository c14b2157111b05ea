// Time to live: a document whose metadata says when it ends is hidden from then on, and removed by
// the next sweep. The field is metadata, so setting, changing and indexing it need nothing of their
// own.
// Threads: free functions, safe anywhere.
#pragma once

#include <optional>
#include <string>

#include "nestor/document.h"
#include "nestor/status.h"

namespace nestor::query {

// A number: seconds since 1970. The underscore keeps it apart from people's own fields. STORED.
inline constexpr const char* kExpiresAtField = "_expires_at";

double seconds_since_1970();
// Nothing where the document never ends.
std::optional<double> expiry_of(const Metadata& metadata);
// Hidden from the second it names on.
bool is_expired(const Metadata& metadata, double now);
// kInvalidArgument where the field is there and no number; `whose` begins the message.
Status check_expiry(const Metadata& metadata, const std::string& whose);

}  // namespace nestor::query
