#include "base/dispatch.h"
#include "base/amx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kernel_tables.h"

const Kernels *kernel = &KERNELS_FIRST;

const Kernels *kernels_at(int i) { return kernel_tables[i]; }

int kernels_supported(const Kernels *kernels) {
    const char *name = kernels->isa;
#if defined __x86_64__
    __builtin_cpu_init();
    if (!strcmp(name, "avx2")) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (!strcmp(name, "avx512")) return EMULATED_AVX512 || __builtin_cpu_supports("avx512f");
    if (!strcmp(name, "amx")) return __builtin_cpu_supports("avx512f") && amx_ready();
#endif
    return !strcmp(name, "scalar") || !strcmp(name, "neon");
}

int kernels_select(const char *isa, char *message, size_t size) {
    const Kernels *best = 0;
    if (!isa) isa = getenv("TITANS_ISA");
    if (isa && !*isa) isa = 0; /* an empty variable is one that is not set */
    for (int i = 0; kernel_tables[i]; i++) {
        if (isa ? !strcasecmp(isa, kernel_tables[i]->isa) : kernels_supported(kernel_tables[i]))
            best = kernel_tables[i];
    }
    if (best && kernels_supported(best)) {
        kernel = best;
        return 0;
    }
    int used = snprintf(message, size, "instruction set '%s' is %s; this machine runs:", isa,
                        best ? "not available on this CPU" : "unknown to this build");
    for (int i = 0; kernel_tables[i] && used > 0 && (size_t)used < size; i++)
        if (kernels_supported(kernel_tables[i]))
            used += snprintf(message + used, size - (size_t)used, " %s", kernel_tables[i]->isa);
    return -1;
}
