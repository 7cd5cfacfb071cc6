#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK = 1 << 22, ARENA_ALIGN = 64 };

struct ArenaBlock {
    ArenaBlock *next;
    size_t size, used;
    char *bytes;
};

static ArenaBlock *arena_block(size_t bytes) {
    const size_t wanted = bytes > ARENA_BLOCK ? bytes : ARENA_BLOCK;
    const size_t size = (wanted + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    ArenaBlock *block = malloc(sizeof *block);
    char *memory = block ? aligned_alloc(ARENA_ALIGN, size) : 0;
    if (!memory) {
        fprintf(stderr,
                "titans: out of memory: could not get %zu MiB more; use a smaller batch, model or segment\n",
                size >> 20);
        exit(1);
    }
    *block = (ArenaBlock){0, size, 0, memory};
    return block;
}

void *arena_take(Arena *arena, size_t bytes) {
    const size_t rounded = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (!arena->first) arena->first = arena->current = arena_block(rounded);
    while (arena->current->size - arena->current->used < rounded) {
        if (!arena->current->next) arena->current->next = arena_block(rounded);
        arena->current = arena->current->next;
        arena->current->used = 0;
    }
    char *p = arena->current->bytes + arena->current->used;
    arena->current->used += rounded;
    return p;
}

float *arena_floats(Arena *arena, int64_t count) { return arena_take(arena, (size_t)count * sizeof(float)); }

float *arena_zeros(Arena *arena, int64_t count) {
    return memset(arena_floats(arena, count), 0, (size_t)count * sizeof(float));
}

void arena_reset(Arena *arena) {
    arena->current = arena->first;
    if (arena->first) arena->first->used = 0;
}

void arena_free(Arena *arena) {
    for (ArenaBlock *block = arena->first, *next; block; block = next) {
        next = block->next;
        free(block->bytes);
        free(block);
    }
    *arena = (Arena){0};
}
