// SharedArray: an array that is only appended to. Copies share the elements that are there; what is
// appended to one does not show in the others. An element that any copy can see is never written
// again, so a copy may be read while another one is appended to.
//
// Threads: const calls at once; append and reserve alone on their object, beside any use of copies.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>

namespace nestor::index {

template <typename T>
class SharedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const T* data() const { return block_ == nullptr ? nullptr : block_->items.get(); }
  [[nodiscard]] std::span<const T> items() const { return {data(), size_}; }
  // Bytes that the elements may take before they are copied to a larger place.
  [[nodiscard]] std::size_t memory_bytes() const { return capacity_ * sizeof(T); }

  // The next appends of `more` elements in all cannot fail. Throws std::bad_alloc.
  // Cost: where the place is full, or another copy has appended, a copy of all elements.
  void reserve(std::size_t more) {
    if (size_ + more <= claimed_end_) return;
    std::size_t expected = claimed_end_;
    if (block_ != nullptr && size_ + more <= capacity_ &&
        block_->claimed.compare_exchange_strong(expected, size_ + more)) {
      claimed_end_ = size_ + more;
      return;
    }
    const std::size_t capacity = std::max(size_ + more, 2 * size_);
    auto larger = std::make_shared<Block>(capacity);
    std::copy_n(data(), size_, larger->items.get());
    larger->claimed = size_ + more;
    block_ = std::move(larger);
    capacity_ = capacity;
    claimed_end_ = size_ + more;
  }
  // Where the next `count` elements stand; they are part of the array once this returns.
  // REQUIRES: reserved.
  std::span<T> extend(std::size_t count) {
    if (count == 0) return {};
    T* const begin = block_->items.get() + size_;
    size_ += count;
    return {begin, count};
  }
  // REQUIRES: reserved.
  void append(std::span<const T> values) {
    std::copy(values.begin(), values.end(), extend(values.size()).begin());
  }

  SharedArray() = default;
  SharedArray(const SharedArray& other)
      : block_(other.block_),
        size_(other.size_),
        capacity_(other.capacity_),
        claimed_end_(other.size_) {}
  SharedArray& operator=(const SharedArray& other) {
    *this = SharedArray(other);
    return *this;
  }
  SharedArray(SharedArray&&) noexcept = default;
  SharedArray& operator=(SharedArray&&) noexcept = default;
  ~SharedArray() = default;

 private:
  struct Block {
    explicit Block(std::size_t capacity) : items(new T[capacity]) {}
    std::unique_ptr<T[]> items;
    std::atomic<std::size_t> claimed{0};  // elements up to here belong to some copy
  };
  std::shared_ptr<Block> block_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::size_t claimed_end_ = 0;  // elements up to here are for this copy to write
};

}  // namespace nestor::index
