#pragma once
#include <stdint.h>

/* Kernel timing on a noisy machine: the thing measured, its bar and the FMA peak take turns, and medians are
 * compared. */
typedef struct {
    void (*run)(void *context);
    void *context;
} Work;

typedef struct {
    double seconds, bar_seconds; /* per run; bar 0 when there is none */
    double peak;  /* flop/s of fused multiply-adds, measured in between, by the same number of threads */
    double drift; /* largest relative distance of a peak sample from the median */
} Timing;

/* rounds samples of each (fewer after an interrupt), at least `least` seconds each; wall time when threads > 1, else this thread's
 * processor time. */
Timing timing_measure(Work ours, Work bar, int threads, int rounds, double least);

/* Bytes per second of copying `floats` floats. */
double timing_bandwidth(int64_t floats, int rounds);
