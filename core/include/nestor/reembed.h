// The change of a collection's model: every passage is embedded again, from the text, title,
// metadata and cut that are stored.
//
// While it runs the collection serves as before: search_vector with vectors of the old model, words
// (SearchMode::kKeyword), get and list. A question that has to be embedded needs the collection's
// own model: with the new one in use it is kModelMismatch until the swap, and so is add; remove and
// change_metadata work and are not lost. The new vectors grow in a hidden collection, batch by
// batch, each synced; then one atomic batch puts it in the place of the old one and deletes that.
// From there on only the new model's questions and vectors mean anything. Whatever ends the call
// before, a kill included, costs the batch that was under way: the next call with the same model
// goes on. What the old rows took on disk comes back as the store compacts.
// Threads: values.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "nestor/document.h"
#include "nestor/search.h"

namespace nestor {

struct ReembedOptions {
  std::string collection = kDefaultCollection;
  // The model is the collection's own: rows of another numeric mode than the one in use are
  // embedded again too, in their place.
  bool all_modes = false;
  // Takes away what earlier calls did that did not come to their end, and does nothing else.
  bool discard = false;
  std::stop_token stop = {};
  // Passages and tokens of this call; the totals are estimates from the passages there are.
  ProgressCallback progress = {};
};

struct ReembedReport {
  // Whether the collection has other vectors now. False: it is of the model in use already, or
  // empty, and nothing was done.
  bool changed = false;
  std::string old_model;
  std::string new_model;
  std::int64_t documents = 0;       // in the collection
  std::int64_t documents_kept = 0;  // embedded by earlier calls that did not come to their end
  std::int64_t passages_embedded = 0;
  std::int64_t passages_truncated = 0;  // of them, longer than the model's context
  std::int64_t tokens_embedded = 0;
  std::int64_t rows_of_other_modes = 0;  // left as they are, where all_modes is false
  std::int64_t documents_discarded = 0;  // of earlier calls: of another model, or by `discard`
};

}  // namespace nestor
