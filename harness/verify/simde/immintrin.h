/* AVX-512 intrinsics by SIMDe on CPUs that have none, so that the source of vec/avx512.h is tested everywhere. SIMDe itself
 * includes the real header. */
#ifndef SIMDE_SHIM
#define SIMDE_SHIM
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

/* The two that SIMDe lacks. */
static inline simde__m512 shim_load(simde__mmask16 mask, const float *p) {
    float lanes[16];
    for (int i = 0; i < 16; i++) lanes[i] = mask >> i & 1 ? p[i] : 0.0f;
    return simde_mm512_loadu_ps(lanes);
}
static inline void shim_store(float *p, simde__mmask16 mask, simde__m512 a) {
    float lanes[16];
    simde_mm512_storeu_ps(lanes, a);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) p[i] = lanes[i];
}
#undef _mm512_maskz_loadu_ps
#undef _mm512_mask_storeu_ps
#define _mm512_maskz_loadu_ps(mask, p) shim_load(mask, p)
#define _mm512_mask_storeu_ps(p, mask, a) shim_store(p, mask, a)
#else
#include_next <immintrin.h>
#endif
