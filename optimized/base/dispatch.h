#pragma once
/* The kernels of one instruction set, chosen once for the process. */
#include "kernels.h"

#include <stddef.h>

/* The table in use. Never NULL: the scalar one until a program, or the library's first call, has chosen. */
extern const Kernels *kernel;

/* Chooses by name (NULL: TITANS_ISA, else the best). 0, or -1 with a message when the name is unknown or the
 * CPU lacks it. */
int kernels_select(const char *isa, char *message, size_t size);

/* The i-th table this build has, NULL past the end, scalar first; and whether this CPU runs it. */
const Kernels *kernels_at(int i);
int kernels_supported(const Kernels *kernels);
