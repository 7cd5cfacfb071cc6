#pragma once
#include <stdint.h>

/* Scans with a decay for every channel and number of the state: Mamba's selective scan and Longhorn's.
 *
 *   h_t = p_t h_{t-1} + s_t u_t b_t      y_t = sum_n c_t,n h_t,n + skip u_t       h: states numbers of every channel
 *
 *   SCAN_SELECTIVE   s = step           p = exp(s a)          step not negative, a negative: decays from 1 to 0
 *   SCAN_LONGHORN    s = 1 / (1 + exp(-step) + sum_n b_n^2)   p = 1 - s b^2; a is not read
 *
 *   u, step, y      batch x tokens x channels
 *   a               states x channels
 *   b, c            batch x tokens rows of `states` numbers, one every `stride`: columns of a wider array
 *   skip            channels
 *   state           batch x states x channels, the state before on entry, after on return
 *   snapshots       (forward: NULL unless there will be a backward) the states at the beginning of every SCAN_CHUNK
 *                   tokens, snapshot_floats
 *   workspace       workspace_floats, for all threads
 *
 * backward adds to d; dstate: the gradient of the state after on entry, of the state before on return. It computes the
 * states of a chunk again from its snapshot, then walks them in reverse. Decays are never divided. Tokens go one after
 * the other, so a sequence may be cut anywhere. Threads share channels and sequences; sums over both go in one order.
 * Vector instructions per 16 numbers of the state and token: see harness/bench/kernel/scan.c. Reference: selective_scan,
 * longhorn_scan. */
typedef enum { SCAN_SELECTIVE, SCAN_LONGHORN } ScanKind;
typedef struct {
    int64_t batch, tokens, channels, states, stride;
    ScanKind kind;
} ScanShape;

typedef struct {
    const float *u, *step, *a, *b, *c, *skip;
} ScanInput;
typedef struct {
    float *u, *step, *a, *b, *c, *skip;
} ScanGradient;

enum { SCAN_CHUNK = 8, SCAN_STATES = 256 }; /* no scan has more states */

struct scan_kernel {
    void (*forward)(const ScanShape *shape, const ScanInput *in, float *state, float *y, float *snapshots,
                    float *workspace);
    void (*backward)(const ScanShape *shape, const ScanInput *in, const float *snapshots, const float *dy,
                     const ScanGradient *d, float *dstate, float *workspace);
    int64_t (*snapshot_floats)(const ScanShape *shape);
    int64_t (*workspace_floats)(const ScanShape *shape, int backward);
};
