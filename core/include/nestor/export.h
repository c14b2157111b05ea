// Marks what a shared build of the library shows to its users; everything else stays hidden.
#pragma once

#if defined(__GNUC__)
#define NESTOR_API [[gnu::visibility("default")]]
#else
#define NESTOR_API
#endif
