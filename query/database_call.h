// What every call of Database begins with: nothing thrown crosses the public interface, and the
// handle stays open until the call returns. Threads: safe anywhere.
#pragma once

#include <cxxabi.h>

#include <cstdint>
#include <exception>
#include <new>

#include "core/caught_status.h"
#include "nestor/status.h"
#include "query/call_gate.h"

// Holds the handle open for the rest of the function it stands in.
#define NESTOR_ENTER()                                                                     \
  if (impl_ == nullptr) return ::nestor::query::moved_from();                              \
  const ::nestor::query::CallGate::Pass nestor_pass(impl_->gate);                          \
  if (::nestor::Status nestor_entered = impl_->check(nestor_pass); !nestor_entered.ok()) { \
    return nestor_entered;                                                                 \
  }                                                                                        \
  static_cast<void>(0)

namespace nestor::query {

// Changes that calls of this thread have committed. Threads: each has its own.
inline std::uint64_t& commits_of_thread() {
  static thread_local std::uint64_t count = 0;
  return count;
}

// Whatever a library below may do. Nothing throws between a commit and its publication, so a call
// of one commit that runs out of memory has changed nothing; one of several says what it has kept.
template <typename Call>
auto guarded(const Call& call) -> decltype(call()) {
  const std::uint64_t before = commits_of_thread();
  try {
    return call();
  } catch (const std::bad_alloc&) {
    if (commits_of_thread() == before) {
      return caught_status(StatusCode::kOutOfMemory,
                           {"no memory for this call; nothing was changed by it"});
    }
    return caught_status(StatusCode::kOutOfMemory,
                         {"no memory to go on with this call; what it has committed so far is "
                          "kept. Call again: it goes on from there"});
  } catch (const std::exception& error) {
    return caught_status(StatusCode::kInternal, {error.what()});
  } catch (const abi::__forced_unwind&) {
    throw;  // the thread is being cancelled
  } catch (...) {
    return caught_status(StatusCode::kInternal,
                         {"a callback threw something that is no std::exception"});
  }
}

// A moved-from handle is a closed one.
inline Status moved_from() {
  return {StatusCode::kFailedPrecondition, "this database handle was moved away"};
}

}  // namespace nestor::query
