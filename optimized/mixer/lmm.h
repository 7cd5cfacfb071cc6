#pragma once
#include "branch/memory.h"
#include "branch/persistent.h"

/* The memory as a layer of its own: what a mixer that contains it (mal.c) builds on. Its options come first in
 * theirs. */
typedef struct {
    MemoryOptions memory;
    int64_t persistent;
} LmmOptions;

#define LMM_FIELDS(S, memory, persistent) MEMORY_FIELDS(S, memory), PERSISTENT_FIELD(S, persistent)

extern const Mixer mixer_lmm;
