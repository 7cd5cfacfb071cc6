#pragma once
#include "base/memory.h"

#include <setjmp.h>
#include <stdint.h>

/* Bump allocator: everything of one training step or one streamed segment, released at once. Blocks are kept
 * across resets, so a steady loop reaches a constant amount of memory after its first round. All zero is an empty
 * arena of the system's memory. */
typedef struct ArenaBlock ArenaBlock;
typedef struct {
    ArenaBlock *first, *current;
    const Allocator *memory;
    jmp_buf *escape; /* where to go when memory is refused; NULL: the program ends with a message */
} Arena;

/* 64-byte aligned, not cleared; never NULL. */
void *arena_take(Arena *arena, size_t bytes);
float *arena_floats(Arena *arena, int64_t count);
float *arena_zeros(Arena *arena, int64_t count);
void arena_reset(Arena *arena);
void arena_free(Arena *arena);

/* Scratch: what was taken after the mark is given back by arena_release. */
typedef struct {
    ArenaBlock *block;
    size_t used;
} ArenaMark;
ArenaMark arena_mark(Arena *arena);
void arena_release(Arena *arena, ArenaMark mark);
