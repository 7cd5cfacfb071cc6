#include "base/memory.h"

#include <stdlib.h>

enum { MEMORY_ALIGN = 64 };

void *memory_take(const Allocator *from, size_t bytes) {
    const size_t size = (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    if (size < bytes) return 0;
    if (from && from->allocate) return from->allocate(from->context, size ? size : MEMORY_ALIGN);
    return aligned_alloc(MEMORY_ALIGN, size ? size : MEMORY_ALIGN);
}

void memory_give(const Allocator *from, void *memory) {
    if (from && from->allocate) {
        if (memory) from->release(from->context, memory);
    } else
        free(memory);
}
