// Sorts the rows of a ladder into lists, from its codes alone: k-means twice, first of all rows
// into cells, then of each cell's rows into lists, and each row into the nearest list of its own
// and the neighbouring cells. What k-means over all lists at once would take hours for takes a
// minute. Threads: a free function; reads `codes` alone.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "index/code_lists.h"
#include "index/ladder_codes.h"

namespace nestor::index {

// Rows a list has about, unless told otherwise.
inline constexpr std::int64_t kUsualListRows = 128;

// What building lists spends. 0: the measured default.
struct ListOptions {
  std::int64_t rows_per_list = 0;
  std::int64_t neighbour_cells = 0;  // whose lists a row may go to, its own included
  int iterations = 0;
};

struct SortedIntoLists {
  CodeLists lists;
  std::vector<std::uint32_t> list_of_row;  // of each live row, in the order of the ids
};
// `stopped` (may be empty) is asked between cells. Errors: kOutOfMemory, kCancelled, kInternal (of
// FAISS). REQUIRES: live rows.
Result<SortedIntoLists> sort_into_lists(const LadderCodes& codes, const CodeQuantizer& quantizer,
                                        const ScanKernels& kernels, int scan_width,
                                        const ListOptions& options,
                                        const std::function<bool()>& stopped);

}  // namespace nestor::index
