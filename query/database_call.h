// What every call of Database begins with: nothing thrown crosses the public interface, and the
// handle stays open until the call returns. Threads: safe anywhere.
#pragma once

#include <exception>
#include <new>

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

// Whatever a library below may do. A change is durable only where its call returns ok, and nothing
// throws behind that point: so what runs out of memory has changed nothing.
template <typename Call>
auto guarded(const Call& call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory, "no memory for this call; nothing was changed by it");
  } catch (const std::exception& error) {
    return Status(StatusCode::kInternal, error.what());
  }
}

// A moved-from handle is a closed one.
inline Status moved_from() {
  return {StatusCode::kFailedPrecondition, "this database handle was moved away"};
}

}  // namespace nestor::query
