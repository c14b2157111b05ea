// Metadata as bytes: each scalar with its kind, so that what comes back equals what was given, bit
// for bit (JSON would blur integers, doubles and -0). Layout: FORMAT.md.
// Threads: free functions, safe anywhere.
#pragma once

#include "core/bytes.h"
#include "nestor/document.h"
#include "storage/record_frame.h"

namespace nestor::storage {

void put_metadata(ByteWriter& out, const Metadata& metadata);
// Leaves `in` not ok where the bytes are no metadata.
Metadata take_metadata(RecordReader& in);

}  // namespace nestor::storage
