#pragma once
#include "learn/trained.h"

/* What the memories show along a sample: memories x length x heads each, of which the first `read` tokens are there. */
typedef struct {
    int32_t *tokens;
    float *surprise, *alpha, *theta;
    int64_t memories, heads, length, read;
} Shown;

/* Reads a sample with a stream of its own. 0, 1 when it was interrupted, or -1 with a message; shown_free in any case. */
int shown_read(const Trained *trained, const Sample *sample, Shown *shown, char *message, size_t size);
void shown_free(Shown *shown);
