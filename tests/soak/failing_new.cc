#include "tests/soak/failing_new.h"

#include <cstdlib>
#include <new>

extern "C" {
extern const char __start_soak_new[];
extern const char __stop_soak_new[];
}

namespace nestor::soak {
namespace {

thread_local std::uint64_t left = 0;
thread_local bool inside = false;

bool is_the_one() { return inside && left != 0 && --left == 0; }

// In a section of its own, whose bounds the linker names.
#define NESTOR_IN_SECTION __attribute__((section("soak_new"), noinline))

NESTOR_IN_SECTION void* allocate(std::size_t bytes) {
  void* const memory = is_the_one() ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

NESTOR_IN_SECTION void* allocate_aligned(std::size_t bytes, std::align_val_t alignment) {
  const auto step = static_cast<std::size_t>(alignment);
  void* const memory =
      is_the_one() ? nullptr : std::aligned_alloc(step, (bytes + step - 1) / step * step);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

bool fail_allocation(std::uint64_t number) {
  const bool met = left == 0;
  left = number;
  return met;
}

bool is_operator_new(const void* address) {
  return address >= static_cast<const void*>(__start_soak_new) &&
         address < static_cast<const void*>(__stop_soak_new);
}

InsideCall::InsideCall() { inside = true; }
InsideCall::~InsideCall() { inside = false; }

}  // namespace nestor::soak

#define NESTOR_REPLACES __attribute__((visibility("default"), section("soak_new")))

NESTOR_REPLACES void* operator new(std::size_t bytes) { return nestor::soak::allocate(bytes); }
NESTOR_REPLACES void* operator new[](std::size_t bytes) { return nestor::soak::allocate(bytes); }
NESTOR_REPLACES void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return nestor::soak::allocate_aligned(bytes, alignment);
}
NESTOR_REPLACES void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return nestor::soak::allocate_aligned(bytes, alignment);
}
NESTOR_REPLACES void operator delete(void* memory) noexcept { std::free(memory); }
NESTOR_REPLACES void operator delete[](void* memory) noexcept { std::free(memory); }
NESTOR_REPLACES void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
NESTOR_REPLACES void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
NESTOR_REPLACES void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
NESTOR_REPLACES void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
NESTOR_REPLACES void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
NESTOR_REPLACES void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
