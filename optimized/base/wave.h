#pragma once
#include <stdint.h>

/* Work that lies in a grid: segment s passes `layers` layers one after the other, and layer l of segment s comes after the same
 * layer of segment s - 1, whose state it goes on from. Each thread takes a whole segment, and so follows the one before it a layer
 * behind. A thread that the system takes away holds up only what depends on its cell; one that must wait sleeps. */
typedef struct {
    int64_t segments;
    int layers;
    /* Does one cell. Segments whose numbers differ by a multiple of the number of threads are never under way together. Not 0: no
     * segment after this one need begin. */
    int (*cell)(void *context, int64_t segment, int layer);
    void *context;
} Wave;

enum { WAVE_THREADS = 8 };

/* With at most `threads` threads, at most WAVE_THREADS. Returns when all that began has ended. */
void wave_run(const Wave *wave, int threads);
