#pragma once
#include <stddef.h>
#include <stdint.h>

/* Bump allocator: everything of one training step or one streamed segment, released at once. Blocks are kept
 * across resets, so a steady loop reaches a constant amount of memory after its first round. */
typedef struct ArenaBlock ArenaBlock;
typedef struct {
    ArenaBlock *first, *current;
} Arena;

/* 64-byte aligned, not cleared; never NULL: when the system refuses memory, prints how much was wanted and
 * exits. */
void *arena_take(Arena *arena, size_t bytes);
float *arena_floats(Arena *arena, int64_t count);
float *arena_zeros(Arena *arena, int64_t count);
void arena_reset(Arena *arena);
void arena_free(Arena *arena);
