// The integer that FAISS counts and numbers vectors with: faiss::Index::idx_t in 1.7, faiss::idx_t
// from 1.8 on. Threads: a type.
#pragma once

#include <faiss/Index.h>

namespace nestor::index {

using idx_t = decltype(faiss::Index::ntotal);

}  // namespace nestor::index
