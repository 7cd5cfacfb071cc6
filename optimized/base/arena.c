#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK = 1 << 22, ARENA_ALIGN = 64 };

/* The header lies in front of the bytes, in the same piece of memory. */
struct ArenaBlock {
    ArenaBlock *next;
    size_t size, used;
    char *bytes;
};
_Static_assert(sizeof(ArenaBlock) <= ARENA_ALIGN, "a block's header fits in front of its bytes");

static ArenaBlock *arena_block(Arena *arena, size_t bytes) {
    const size_t size = bytes > ARENA_BLOCK ? bytes : ARENA_BLOCK;
    ArenaBlock *block = memory_take(arena->memory, ARENA_ALIGN + size);
    if (block) {
        *block = (ArenaBlock){0, size, 0, (char *)block + ARENA_ALIGN};
        return block;
    }
    if (arena->escape) longjmp(*arena->escape, 1);
    fprintf(stderr,
            "titans: out of memory: could not get %zu MiB more; use a smaller batch, model or segment\n",
            size >> 20);
    exit(1);
}

void *arena_take(Arena *arena, size_t bytes) {
    const size_t rounded = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (!arena->first) arena->first = arena->current = arena_block(arena, rounded);
    while (arena->current->size - arena->current->used < rounded) {
        if (!arena->current->next) arena->current->next = arena_block(arena, rounded);
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
        memory_give(arena->memory, block);
    }
    arena->first = arena->current = 0;
}

ArenaMark arena_mark(Arena *arena) {
    return (ArenaMark){arena->current, arena->current ? arena->current->used : 0};
}

void arena_release(Arena *arena, ArenaMark mark) {
    if (!mark.block) {
        arena_reset(arena);
        return;
    }
    arena->current = mark.block;
    arena->current->used = mark.used;
}
