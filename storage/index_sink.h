// IndexSink: where the checks of derived indexes (fields, contents) say what they found.
// Threads: those of the functions.
#pragma once

#include <functional>
#include <string>

namespace nestor::storage {

struct IndexSink {
  std::function<void(std::string)> problem;  // something is wrong
  std::function<void(std::string)> note;     // nothing is, but it is worth saying
};

}  // namespace nestor::storage
