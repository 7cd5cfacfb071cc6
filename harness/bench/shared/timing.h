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
    double drift; /* distance of the peak's quartiles over its median: how quiet the machine was */
} Timing;

/* rounds samples of each (fewer after an interrupt), at least `least` seconds each; wall time when threads > 1, else this
 * thread's processor time. Where the peak moved by more than 5 % it is all measured again, three times at most, and the
 * quietest counts. */
Timing timing_measure(Work ours, Work bar, int threads, int rounds, double least);

/* Part of the peak that `flop` of one run make; NaN ("void" in tables) where the peak moved by more than 5 % even so, or
 * what was measured would be above it. */
double timing_share(const Timing *timing, double flop);

/* The share as a table's percent: "71.3" or "void". Returns text. */
enum { TIMING_PERCENT = 16 };
const char *timing_percent(double share, char text[TIMING_PERCENT]);
