// Adding up what several calls of Database::add report.
// Threads: free function, safe anywhere.
#pragma once

#include "nestor/database.h"

namespace nestor::query {

inline void accumulate(AddReport& total, const AddReport& one) {
  total.documents_added += one.documents_added;
  total.documents_updated += one.documents_updated;
  total.documents_unchanged += one.documents_unchanged;
  total.passages_embedded += one.passages_embedded;
  total.passages_reused += one.passages_reused;
  total.passages_truncated += one.passages_truncated;
  total.tokens_embedded += one.tokens_embedded;
}

}  // namespace nestor::query
