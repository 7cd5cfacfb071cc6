#pragma once
#include <stdint.h>

/* Row lookup and rotary positions.
 *   gather    y[r] = table[index[r]]; width floats a row
 *   scatter   dtable[index[r]] += dy[r], rows in ascending order
 *   rope      (section 4, attention) rotates pairs (i, i + width/2) of each head by angle[t][i]; angles tokens x width of
 *             cosines then sines (width/2 each); direction +1 forward, -1 backward; y may be x
 *   angles    what rope reads, of `pairs` pairs from the one on whose cosines begin at `angles`: times `length`, those of
 *             (position + t) frequency[i]; rows of `width` floats
 * Reference: rope. */
struct embed_kernel {
    void (*gather)(int64_t rows, int64_t width, const int32_t *index, const float *table, float *y);
    void (*scatter)(int64_t rows, int64_t width, const int32_t *index, const float *dy, float *dtable);
    void (*rope)(int64_t batch, int64_t tokens, int64_t heads, int64_t width, const float *angles,
                 float direction, const float *x, float *y);
    void (*angles)(int64_t rows, int64_t width, int64_t pairs, int64_t position, double length,
                   const double *frequency, float *angles);
};
