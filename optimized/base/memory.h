#pragma once
#include <stddef.h>

/* Where memory comes from: aligned_alloc and free, or what the user of the library gave. Addresses are multiples of
 * 64. */
typedef struct {
    void *(*allocate)(void *context, size_t bytes); /* NULL when there is none */
    void (*release)(void *context, void *memory);
    void *context;
} Allocator;

void *memory_take(const Allocator *from, size_t bytes); /* from NULL: the system; NULL when there is none */
void memory_give(const Allocator *from, void *memory);
