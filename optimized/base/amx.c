#include "base/amx.h"

#if defined __x86_64__ && defined __linux__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OSXSAVE = 1 << 27, BF16_VECTORS = 1 << 5, BF16_TILES = 1 << 22, TILES = 1 << 24 }; /* bits of CPUID */
enum { AVX512BW = 1 << 30, SAVED = 3 << 17 | 7 << 5 }; /* SAVED, of XCR0: tiles, and what AVX-512 needs */
enum { ASK_FOR_STATE = 0x1023, TILE_DATA = 18 };       /* of arch_prctl */

static int cpu_has_tiles(void) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & SAVED) != SAVED || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (!(b & AVX512BW) || !(d & BF16_TILES) || !(d & TILES)) return 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & BF16_VECTORS);
}

int amx_ready(void) { return cpu_has_tiles() && !syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA); }
#else
int amx_ready(void) { return 0; }
#endif
