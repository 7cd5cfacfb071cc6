#include "base/work.h"
#include "base/flush.h"
#include "base/parallel.h"
#include "base/share.h"

/* How many pairs this thread is within, as the one that began them, and the number of threads that it had before. */
static _Thread_local struct { int depth, threads; } own;

int work_begin(void) {
    if (own.depth == 0) {
        own.threads = parallel_threads();
        if (own.threads > 1) parallel_limit(share_threads(own.threads));
        flush_begin();
    }
    return own.depth++;
}

void work_end(int before) {
    own.depth = before;
    if (before) return;
    flush_end();
    if (own.threads > 1) parallel_limit(own.threads);
}

void work_pause(void) {
    if (own.depth == 0 || own.threads < 2 || parallel_inside()) return;
    const int threads = share_threads(own.threads);
    if (threads == parallel_threads()) return;
    flush_end();
    parallel_limit(threads);
    flush_begin();
}

int work_limit(int threads) {
    const int before = own.threads;
    if (own.depth) own.threads = threads;
    return before;
}
