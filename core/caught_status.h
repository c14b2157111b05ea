// The status of an exception that was caught. Where memory is short, its message may not fit
// either: the code alone has to do then, for nothing may be thrown out of a destructor or through
// the public interface. Threads: free function, safe anywhere.
#pragma once

#include <exception>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "nestor/status.h"

namespace nestor {

// The parts one after the other are the message.
inline Status caught_status(StatusCode code,
                            std::initializer_list<std::string_view> parts) noexcept {
  try {
    std::string message;
    for (const std::string_view part : parts) message += part;
    return {code, std::move(message)};
  } catch (const std::exception&) {
    return {code, std::string()};
  }
}

}  // namespace nestor
