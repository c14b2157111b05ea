// Opening a database with an encoder of one's own making: the door for tests and for models to
// come.
#pragma once

#include <string>

#include "nestor/database.h"
#include "query/text_encoder.h"

namespace nestor::query {

// As Database::open, with `encoder` in place of the model that the options name.
Result<Database> open_database(const std::string& path, const OpenOptions& options,
                               EncoderFactory encoder);

}  // namespace nestor::query
