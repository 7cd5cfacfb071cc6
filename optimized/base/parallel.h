#pragma once
/* Threads only ever share independent outputs, so their number changes no bit. */
#ifdef _OPENMP
#include <omp.h>
static inline int parallel_threads(void) { return omp_in_parallel() ? 1 : omp_get_max_threads(); }
static inline int parallel_inside(void) { return omp_in_parallel(); }
static inline int parallel_index(void) { return omp_get_thread_num(); }
static inline void parallel_limit(int threads) { omp_set_num_threads(threads); }
#else
static inline int parallel_threads(void) { return 1; }
static inline int parallel_inside(void) { return 0; }
static inline int parallel_index(void) { return 0; }
static inline void parallel_limit(int threads) { (void)threads; }
#endif
