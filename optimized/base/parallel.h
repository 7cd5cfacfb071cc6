#pragma once
/* Threads only ever share independent outputs, so their number changes no bit. */
#include <stdint.h>

#ifdef _OPENMP
#include <omp.h>
static inline int parallel_threads(void) { return omp_in_parallel() ? 1 : omp_get_max_threads(); }
static inline int parallel_inside(void) { return omp_in_parallel(); }
static inline int parallel_index(void) { return omp_get_thread_num(); }
static inline int parallel_team(void) { return omp_get_num_threads(); }
static inline void parallel_limit(int threads) { omp_set_num_threads(threads); }
#else
static inline int parallel_threads(void) { return 1; }
static inline int parallel_inside(void) { return 0; }
static inline int parallel_index(void) { return 0; }
static inline int parallel_team(void) { return 1; }
static inline void parallel_limit(int threads) { (void)threads; }
#endif

/* Less work than ROWS_SERIAL, in floats, is not worth a second thread. */
enum { ROWS_SERIAL = 1 << 15 };
static inline int rows_threads(int64_t floats) { return floats > ROWS_SERIAL ? parallel_threads() : 1; }

/* What one thread does of a call: numbers begin to end - 1. `thread` counts from 0, for scratch of its own. */
typedef struct {
    int thread;
    int64_t begin, end;
} ParallelPart;

/* Where the i-th of `parts` nearly equal parts of n numbers begins, and the one before it ends: tiles of 6,6,6,5,5,5 rows waste
 * nothing, 6,6,6,6,6,3 do. */
static inline int64_t part_begin(int64_t n, int64_t parts, int64_t i) {
    if (parts == 1) return i * n; /* a small matrix product takes hardly longer than a division */
    const int64_t base = n / parts, extra = n % parts;
    return i * base + (i < extra ? i : extra);
}

/* This thread's share of n numbers, a multiple of `unit` but for the last. */
static inline ParallelPart parallel_part(int64_t n, int64_t unit) {
    const int64_t team = parallel_team(), i = parallel_index(), units = (n + unit - 1) / unit;
    const int64_t begin = part_begin(units, team, i) * unit, end = part_begin(units, team, i + 1) * unit;
    return (ParallelPart){(int)i, begin < n ? begin : n, end < n ? end : n};
}

static inline int parallel_least(int64_t tasks) {
    const int threads = parallel_threads();
    return tasks < threads ? (int)tasks : threads;
}

/* `call`, which reads `part`, once in each of so many threads: n numbers in equal parts. One thread needs no team, whose making
 * costs more than many a call of one token. */
#define PARALLEL_PARTS(threads, n, unit, call)                                                               \
    do {                                                                                                     \
        const int threads_ = (threads);                                                                      \
        if (threads_ > 1) {                                                                                  \
            _Pragma("omp parallel num_threads(threads_)") {                                                  \
                const ParallelPart part = parallel_part(n, unit);                                            \
                call;                                                                                        \
            }                                                                                                \
        } else {                                                                                             \
            const ParallelPart part = {0, 0, n};                                                             \
            call;                                                                                            \
        }                                                                                                    \
    } while (0)

/* The same for tasks that differ in size: a thread that is free takes the next one. */
#define PARALLEL_TASKS(threads, n, call)                                                                     \
    do {                                                                                                     \
        const int threads_ = (threads);                                                                      \
        if (threads_ > 1) {                                                                                  \
            _Pragma("omp parallel for schedule(dynamic) num_threads(threads_)") for (int64_t task_ = 0;      \
                                                                                     task_ < (n); task_++) { \
                const ParallelPart part = {parallel_index(), task_, task_ + 1};                              \
                call;                                                                                        \
            }                                                                                                \
        } else {                                                                                             \
            const ParallelPart part = {0, 0, n};                                                             \
            call;                                                                                            \
        }                                                                                                    \
    } while (0)
