// NESTOR_CHECK: a programmer's mistake ends the program, in release builds too, with the place and
// what was found. The world's failures (files, input, memory) are never checked this way: they are
// a Status.
#pragma once

#include <cstdio>
#include <cstdlib>

#define NESTOR_CHECK(condition, what)                                                        \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "%s:%d: check failed: %s (%s)\n", __FILE__, __LINE__, #condition, \
                   what);                                                                    \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)
