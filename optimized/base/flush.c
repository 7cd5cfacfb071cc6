#include "base/flush.h"
#include "base/parallel.h"

#if defined __x86_64__
#include <xmmintrin.h>
enum { FLAGS = 0x3f, FLUSH = 0x8040 }; /* of MXCSR: flags that stay raised; results (FZ) and operands (DAZ) */
static unsigned long mode_get(void) { return _mm_getcsr() & ~(unsigned)FLAGS; }
static void mode_set(unsigned long mode) { _mm_setcsr((unsigned)mode | (_mm_getcsr() & FLAGS)); }
#elif defined __aarch64__
enum { FLUSH = 1 << 24 }; /* FZ of FPCR; flags have a register of their own */
static unsigned long mode_get(void) {
    unsigned long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void mode_set(unsigned long mode) { __asm__ volatile("msr fpcr, %0" ::"r"(mode) : "memory"); }
#else
enum { FLUSH = 0 };
static unsigned long mode_get(void) { return 0; }
static void mode_set(unsigned long mode) { (void)mode; }
#endif

/* Whether this thread is between the two, and the mode to go back to. */
static _Thread_local struct {
    int flushing;
    unsigned long mode;
} own;

static void flush_thread(void) {
    own.mode = mode_get();
    own.flushing = 1;
    mode_set(own.mode | FLUSH);
}

/* A thread that was made in between has the mode of the one that made it, and goes back to that one's. */
static void unflush_thread(unsigned long maker) {
    mode_set(own.flushing ? own.mode : maker);
    own.flushing = 0;
}

void flush_begin(void) { PARALLEL_PARTS(parallel_threads(), 0, 1, ((void)part, flush_thread())); }

void flush_end(void) {
    const unsigned long mode = own.mode;
    PARALLEL_PARTS(parallel_threads(), 0, 1, ((void)part, unflush_thread(mode)));
}
