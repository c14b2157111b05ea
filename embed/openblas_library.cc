#include "embed/openblas_library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>

#include "core/cpu_features.h"

namespace nestor::embed {
namespace {

// Source: cblas.h of OpenBLAS 0.3.
constexpr int kRowMajor = 101;
constexpr int kNoTranspose = 111;
constexpr int kTranspose = 112;

template <typename Function>
bool look_up(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

// The names that OpenBLAS has for processors with AVX2 (driver/others/dynamic.c).
bool knows_this_processor([[maybe_unused]] std::string_view core) {
#if defined(__x86_64__)
  if (!vector_units().avx2) return true;
  for (const std::string_view name :
       {"Haswell", "SkylakeX", "Cooperlake", "Sapphirerapids", "Zen"}) {
    if (core == name) return true;
  }
  return false;
#else
  return true;
#endif
}

int narrow(std::int64_t value) { return static_cast<int>(value); }

// How many OneThread of this process live, and the count of threads before the first.
struct Pinned {
  const pid_t process = ::getpid();
  std::mutex mutex;
  int users = 0;
  int threads_before = 0;
};
// A child of fork() has one of its own: the parent's may be locked by a thread that it lacks.
Pinned& pinned() {
  static std::atomic<Pinned*> current = new Pinned;
  Pinned* state = current.load();
  if (state->process == ::getpid()) return *state;
  auto made = std::make_unique<Pinned>();
  if (current.compare_exchange_strong(state, made.get())) return *made.release();
  return *state;
}

}  // namespace

const OpenBlasLibrary* OpenBlasLibrary::load() {
  constexpr const char* kName = "libopenblas.so.0";
  void* const of_the_host = ::dlopen(kName, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  void* const library = ::dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (of_the_host != nullptr) ::dlclose(of_the_host);
  if (library == nullptr) return nullptr;
  static OpenBlasLibrary loaded;
  char* (*core_name)() = nullptr;
  if (!look_up(library, "cblas_sgemm", loaded.sgemm_) ||
      !look_up(library, "openblas_get_num_threads", loaded.get_threads_) ||
      !look_up(library, "openblas_set_num_threads", loaded.set_threads_) ||
      !look_up(library, "openblas_get_corename", core_name) || !knows_this_processor(core_name())) {
    ::dlclose(library);  // and its threads end, unless the host has it too
    return nullptr;
  }
  // It starts threads when it is loaded. Those of the host stay; ours would have no work, so they
  // end and the count becomes 1, for any other count would start them again (blas_server.c).
  int (*end_threads)() = nullptr;
  if (of_the_host == nullptr && look_up(library, "blas_thread_shutdown_", end_threads)) {
    loaded.set_threads_(1);
    end_threads();
  }
  return &loaded;
}

const OpenBlasLibrary* OpenBlasLibrary::find() {
  static const OpenBlasLibrary* const library = load();
  return library;
}

void OpenBlasLibrary::product_transposed(ProductShape shape, float factor, ConstMatrix a,
                                         ConstMatrix b, Matrix result) const {
  sgemm_(kRowMajor, kNoTranspose, kTranspose, narrow(shape.rows), narrow(shape.columns),
         narrow(shape.inner), factor, a.data, narrow(a.stride), b.data, narrow(b.stride), 0.0F,
         result.data, narrow(result.stride));
}

void OpenBlasLibrary::product(ProductShape shape, ConstMatrix a, ConstMatrix b,
                              Matrix result) const {
  sgemm_(kRowMajor, kNoTranspose, kNoTranspose, narrow(shape.rows), narrow(shape.columns),
         narrow(shape.inner), 1.0F, a.data, narrow(a.stride), b.data, narrow(b.stride), 0.0F,
         result.data, narrow(result.stride));
}

OpenBlasLibrary::OneThread::OneThread(const OpenBlasLibrary* library) : library_(library) {
  if (library_ == nullptr) return;
  Pinned& state = pinned();
  const std::lock_guard lock(state.mutex);
  if (state.users++ > 0) return;
  state.threads_before = library_->get_threads_();
  if (state.threads_before != 1) library_->set_threads_(1);
}

OpenBlasLibrary::OneThread::~OneThread() {
  if (library_ == nullptr) return;
  Pinned& state = pinned();
  const std::lock_guard lock(state.mutex);
  if (--state.users > 0 || state.threads_before == 1) return;
  if (library_->get_threads_() != 1) return;  // the host has set another one meanwhile
  library_->set_threads_(state.threads_before);
}

}  // namespace nestor::embed
