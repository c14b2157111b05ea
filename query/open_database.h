// Opening a database with an encoder of one's own making: the door for tests and for models to
// come.
#pragma once

#include <cstdint>
#include <string>

#include "index/ladder_index.h"
#include "nestor/database.h"
#include "query/text_encoder.h"

namespace nestor::query {

// When upkeep begins, so that tests need no millions of rows.
struct Upkeep {
  std::int64_t list_rows = index::LadderIndex::kListRows;  // codes are sorted into lists
};

// As Database::open, with `encoder` in place of the model that the options name.
Result<Database> open_database(const std::string& path, const OpenOptions& options,
                               EncoderFactory encoder, const Upkeep& upkeep = {});

}  // namespace nestor::query
