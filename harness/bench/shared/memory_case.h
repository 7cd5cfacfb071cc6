#pragma once
#include "base/dispatch.h"

/* A neural memory with random inputs, for timing: batch 1, `heads` heads, `layers` layers outer - hidden - outer. */
typedef struct {
    MemoryShape shape;
    MemoryInput in;
    float *data, *initial, *state, *y, *snapshots, *workspace, *gradients, *dstate, *naive;
    MemoryGradient d;
    int64_t weights, first;
} MemoryCase;

MemoryCase memory_case(int64_t heads, int64_t chunk, int64_t tokens, int layers, int64_t outer,
                       int64_t hidden);
void memory_case_free(MemoryCase *c);
void memory_restore(MemoryCase *c);  /* the state as at first */
void memory_scan_run(void *context); /* restores, then runs the scan over all tokens */

/* Flop of the recurrence itself: 10 per weight in the first layer, 12 above. */
double memory_scan_flop(const MemoryCase *c);
