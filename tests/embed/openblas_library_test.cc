#include "embed/openblas_library.h"

#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstdlib>
#include <thread>
#include <vector>

#include "embed/backend.h"

// Run a second time by the test `openblas`, with the processor's name in OPENBLAS_CORETYPE, for
// OpenBLAS 0.3.21 does not know every processor and is then left alone.
namespace nestor::embed {
namespace {

const OpenBlasLibrary* library_or_reason() {
  const OpenBlasLibrary* const library = OpenBlasLibrary::find();
  if (library == nullptr) {
    MESSAGE("OpenBLAS is not installed, or does not know this processor: nothing to test");
    // The test `openblas` names a processor that every OpenBLAS knows.
    CHECK(std::getenv("NESTOR_TEST_EXPECTS_OPENBLAS") == nullptr);
  }
  return library;
}

TEST_CASE("OpenBLAS: its products are those of our own vector code but for rounding") {
  if (library_or_reason() == nullptr) return;
  REQUIRE(openblas_backend() != nullptr);
  CHECK(available_backends().front() == openblas_backend());
  const ProductShape shape{.rows = 31, .columns = 70, .inner = 129};
  std::vector<float> a(static_cast<std::size_t>(shape.rows * shape.inner));
  std::vector<float> b(static_cast<std::size_t>(shape.columns * shape.inner));
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 7 % 23) / 23 - 0.5F;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 5 % 19) / 19 - 0.5F;
  const OpenBlasLibrary::OneThread one_thread(openblas_backend()->openblas);
  for (const bool transposed : {true, false}) {
    CAPTURE(transposed);
    std::vector<float> got(static_cast<std::size_t>(shape.rows * shape.columns));
    std::vector<float> want(got.size());
    const auto multiply = [&](const Backend& backend, std::vector<float>& to) {
      const ConstMatrix left{a.data(), shape.inner};
      const Matrix result{to.data(), shape.columns};
      if (transposed) {
        backend.product_transposed(shape, 0.5F, left, {b.data(), shape.inner}, result);
      } else {
        backend.product(shape, left, {b.data(), shape.columns}, result);
      }
    };
    multiply(*openblas_backend(), got);
    multiply(scalar_backend(), want);
    for (std::size_t i = 0; i < got.size(); ++i) REQUIRE(got[i] == doctest::Approx(want[i]));
  }
}

TEST_CASE("OpenBLAS: the host's thread count is as it was when the last encoder has finished") {
  const OpenBlasLibrary* const library = library_or_reason();
  if (library == nullptr) return;
  void* const handle = ::dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD);
  REQUIRE(handle != nullptr);
  const auto get = reinterpret_cast<int (*)()>(::dlsym(handle, "openblas_get_num_threads"));
  const auto set = reinterpret_cast<void (*)(int)>(::dlsym(handle, "openblas_set_num_threads"));
  REQUIRE((get != nullptr && set != nullptr));
  const int before = get();
  set(2);
  {
    const OpenBlasLibrary::OneThread outer(library);
    CHECK(get() == 1);
    std::thread([&] { const OpenBlasLibrary::OneThread inner(library); }).join();
    CHECK(get() == 1);
  }
  CHECK(get() == 2);
  set(before);
  ::dlclose(handle);
}

}  // namespace
}  // namespace nestor::embed
