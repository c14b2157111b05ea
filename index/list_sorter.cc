#include "index/list_sorter.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <numeric>
#include <random>
#include <string>

#include "core/check.h"
#include "core/vector_math.h"
#include "index/list_assigner.h"

namespace nestor::index {
namespace {

// Measured: index/CODES.md, section "Lists".
constexpr ListOptions kUsual{
    .rows_per_list = kUsualListRows, .neighbour_cells = 8, .iterations = 6};
constexpr std::int64_t kSampleRowsPerCell = 256;
constexpr std::int64_t kSampleRowsPerList = 64;
// Rows encoded at once.
constexpr std::size_t kStepRows = 4096;
// How far the two halves of a split cluster are moved apart, of each component.
constexpr float kSplitDistance = 1.0F / 1024;

// k of `from`, in an order that is the same on every machine.
std::vector<std::uint32_t> choose(std::vector<std::uint32_t> from, std::size_t k) {
  std::mt19937 random(1234);
  for (std::size_t i = 0; i < k; ++i) {
    std::swap(from[i], from[i + random() % (from.size() - i)]);
  }
  from.resize(k);
  return from;
}

class ListSorter {
 public:
  ListSorter(const LadderCodes& codes, const CodeQuantizer& quantizer, const ScanKernels& kernels,
             int scan_width, const ListOptions& options)
      : codes_(codes),
        assigner_(quantizer, kernels, scan_width),
        width_(static_cast<std::size_t>(scan_width)),
        options_(options),
        row_(static_cast<std::size_t>(codes.layout().scan_words + codes.layout().rest_words)) {
    positions_.reserve(static_cast<std::size_t>(codes.live_count()));
    codes.each_live(
        [&](std::int64_t position) { positions_.push_back(static_cast<std::uint32_t>(position)); });
  }

  void make_cells() {
    const double lists =
        static_cast<double>(positions_.size()) / static_cast<double>(options_.rows_per_list);
    const std::int64_t cells = std::max<std::int64_t>(std::llround(std::sqrt(lists)), 1);
    std::vector<std::uint32_t> all(positions_.size());
    std::iota(all.begin(), all.end(), 0U);
    cell_centroids_ = k_means(all, cells, kSampleRowsPerCell);
    assigner_.set_centroids(cell_centroids_);
    std::vector<std::uint32_t> cell_of_row(all.size());
    assign(all, [&](std::uint32_t row, std::uint32_t cell) { cell_of_row[row] = cell; });
    rows_of_cell_.resize(static_cast<std::size_t>(cells));
    for (const std::uint32_t row : all) rows_of_cell_[cell_of_row[row]].push_back(row);
    centroids_of_cell_.resize(rows_of_cell_.size());
    list_of_row_.resize(all.size());
  }

  [[nodiscard]] std::size_t cell_count() const { return rows_of_cell_.size(); }

  void make_lists(std::size_t cell) {
    const std::vector<std::uint32_t>& rows = rows_of_cell_[cell];
    if (rows.empty()) return;
    const std::int64_t lists = static_cast<std::int64_t>(rows.size()) / options_.rows_per_list;
    centroids_of_cell_[cell] = k_means(rows, std::max<std::int64_t>(lists, 1), kSampleRowsPerList);
  }

  // After make_lists of all cells: their lists are numbered one cell after the other.
  void fill_lists(std::size_t cell) {
    std::vector<float> centroids;
    std::vector<std::uint32_t> numbers;
    for (const std::size_t other : neighbours(cell)) {
      const std::vector<float>& more = centroids_of_cell_[other];
      centroids.insert(centroids.end(), more.begin(), more.end());
      for (std::size_t i = 0; i < more.size() / width_; ++i) {
        numbers.push_back(first_list(other) + static_cast<std::uint32_t>(i));
      }
    }
    if (numbers.empty()) return;
    assigner_.set_centroids(centroids);
    assign(rows_of_cell_[cell],
           [&](std::uint32_t row, std::uint32_t at) { list_of_row_[row] = numbers[at]; });
  }

  SortedIntoLists take() {
    std::vector<float> all;
    for (const auto& centroids : centroids_of_cell_) {
      all.insert(all.end(), centroids.begin(), centroids.end());
    }
    return {CodeLists(static_cast<int>(width_), all), std::move(list_of_row_)};
  }

 private:
  const std::uint32_t* code(std::uint32_t row) {
    codes_.row(positions_[row], row_.data());
    return row_.data();
  }

  // Spherical k-means over a sample spread evenly over `rows`: (count, width) unit vectors. The
  // same rows give the same centroids. One thread.
  std::vector<float> k_means(const std::vector<std::uint32_t>& rows, std::int64_t count,
                             std::int64_t sample_rows) {
    const std::size_t k = std::min(rows.size(), static_cast<std::size_t>(count));
    std::vector<std::uint32_t> sample(
        std::min(rows.size(), k * static_cast<std::size_t>(sample_rows)));
    for (std::size_t i = 0; i < sample.size(); ++i)
      sample[i] = rows[i * rows.size() / sample.size()];
    std::vector<float> centroids(k * width_);
    const std::vector<std::uint32_t> first = choose(sample, k);
    for (std::size_t i = 0; i < k; ++i) assigner_.add_decoded(code(first[i]), of(centroids, i));
    std::vector<std::int64_t> sizes(k);
    for (int iteration = 0; iteration < options_.iterations; ++iteration) {
      normalize_all(centroids);
      assigner_.set_centroids(centroids);
      std::fill(centroids.begin(), centroids.end(), 0.0F);
      std::fill(sizes.begin(), sizes.end(), 0);
      assign(sample, [&](std::uint32_t row, std::uint32_t nearest) {
        assigner_.add_decoded(code(row), of(centroids, nearest));
        ++sizes[nearest];
      });
      split_for_empty(centroids, sizes);
    }
    normalize_all(centroids);
    return centroids;
  }

  [[nodiscard]] std::span<float> of(std::vector<float>& centroids, std::size_t at) const {
    return std::span(centroids).subspan(at * width_, width_);
  }

  void normalize_all(std::vector<float>& centroids) const {
    for (std::size_t i = 0; i < centroids.size() / width_; ++i) normalize(of(centroids, i));
  }

  // A cluster that got nothing takes half of the largest one: both sums, a little apart.
  void split_for_empty(std::vector<float>& centroids, std::vector<std::int64_t>& sizes) const {
    for (std::size_t empty = 0; empty < sizes.size(); ++empty) {
      if (sizes[empty] > 0) continue;
      const auto largest = std::max_element(sizes.begin(), sizes.end());
      const std::span<float> from =
          of(centroids, static_cast<std::size_t>(largest - sizes.begin()));
      const std::span<float> to = of(centroids, empty);
      for (std::size_t c = 0; c < width_; ++c) {
        const float apart = c % 2 == 0 ? kSplitDistance : -kSplitDistance;
        to[c] = from[c] * (1 + apart);
        from[c] *= 1 - apart;
      }
      sizes[empty] = *largest / 2;
      *largest -= sizes[empty];
    }
  }

  void assign(const std::vector<std::uint32_t>& rows,
              const std::function<void(std::uint32_t row, std::uint32_t centroid)>& hear) {
    const std::size_t words = static_cast<std::size_t>(codes_.layout().scan_words);
    std::vector<std::uint32_t> blocks(words * kStepRows);
    std::vector<std::uint32_t> nearest(kStepRows);
    for (std::size_t first = 0; first < rows.size(); first += kStepRows) {
      const std::size_t count = std::min(kStepRows, rows.size() - first);
      for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t* const from = code(rows[first + i]);
        std::uint32_t* const block =
            blocks.data() + i / kBlockRows * words * kBlockRows + i % kBlockRows;
        for (std::size_t word = 0; word < words; ++word) block[word * kBlockRows] = from[word];
      }
      assigner_.assign_blocks(blocks.data(), static_cast<std::int64_t>(count), nearest.data());
      for (std::size_t i = 0; i < count; ++i) hear(rows[first + i], nearest[i]);
    }
  }

  std::vector<std::size_t> neighbours(std::size_t cell) const {
    std::vector<std::pair<float, std::size_t>> near;
    const float* const own = cell_centroids_.data() + cell * width_;
    for (std::size_t other = 0; other < cell_count(); ++other) {
      const float* const theirs = cell_centroids_.data() + other * width_;
      near.emplace_back(-std::inner_product(own, own + width_, theirs, 0.0F), other);
    }
    std::sort(near.begin(), near.end());
    std::vector<std::size_t> cells;
    for (std::size_t i = 0;
         i < near.size() && static_cast<std::int64_t>(i) < options_.neighbour_cells; ++i) {
      cells.push_back(near[i].second);
    }
    return cells;
  }

  [[nodiscard]] std::uint32_t first_list(std::size_t cell) const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < cell; ++i) count += centroids_of_cell_[i].size() / width_;
    return static_cast<std::uint32_t>(count);
  }

  const LadderCodes& codes_;
  ListAssigner assigner_;
  std::size_t width_;
  ListOptions options_;
  std::vector<std::uint32_t> row_;
  std::vector<std::uint32_t> positions_;  // of the live rows, in the order of the ids
  std::vector<float> cell_centroids_;
  std::vector<std::vector<std::uint32_t>> rows_of_cell_;
  std::vector<std::vector<float>> centroids_of_cell_;  // of its lists
  std::vector<std::uint32_t> list_of_row_;
};

}  // namespace

Result<SortedIntoLists> sort_into_lists(const LadderCodes& codes, const CodeQuantizer& quantizer,
                                        const ScanKernels& kernels, int scan_width,
                                        const ListOptions& options,
                                        const std::function<bool()>& stopped) {
  NESTOR_CHECK(codes.live_count() > 0, "lists of no rows");
  const auto usual = [](auto asked, auto otherwise) { return asked > 0 ? asked : otherwise; };
  try {
    ListSorter sorter(codes, quantizer, kernels, scan_width,
                      {.rows_per_list = usual(options.rows_per_list, kUsual.rows_per_list),
                       .neighbour_cells = usual(options.neighbour_cells, kUsual.neighbour_cells),
                       .iterations = usual(options.iterations, kUsual.iterations)});
    sorter.make_cells();
    for (std::size_t step = 0; step < 2 * sorter.cell_count(); ++step) {
      if (stopped && stopped()) {
        return Status(StatusCode::kCancelled, "ladder index: sorting into lists was stopped");
      }
      if (step < sorter.cell_count()) {
        sorter.make_lists(step);
      } else {
        sorter.fill_lists(step - sorter.cell_count());
      }
    }
    return sorter.take();
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory, "ladder index: no memory to sort into lists");
  } catch (const std::exception& error) {  // length_error
    return Status(StatusCode::kInternal,
                  std::string("ladder index: sorting into lists failed: ") + error.what());
  }
}

}  // namespace nestor::index
