// The caps on a document's metadata, without writing it as JSON. Threads: free function, safe
// anywhere.
#pragma once

#include "nestor/document.h"

namespace nestor {

// Errors: kInvalidArgument: more fields, list values or bytes (of its JSON) than are kept.
Status check_metadata_size(const Metadata& metadata);

}  // namespace nestor
