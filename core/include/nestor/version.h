// The version of the library. CMakeLists.txt reads it from here, so that there is one place.
#pragma once

#define NESTOR_VERSION_MAJOR 0
#define NESTOR_VERSION_MINOR 1
#define NESTOR_VERSION_PATCH 0

namespace nestor {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace nestor
