/* What denormal numbers cost: every mixer reading a stream and in training, as it is and with them flushed from outside in every
 * thread, in turns: denormals.tsv. The code flushes them itself, so that the ratio is 1; one above it is a call that does not. */
#include "base/work.h"
#include "bench/bench.h"
#include "bench/shared/works.h"
#include "terminal/interrupt.h"

#include <omp.h>
#include <stdio.h>

/* The same work with the mode set around it. */
static void run_flushed(void *context) {
    const Work *work = context;
    const int before = work_begin();
    work->run(work->context);
    work_end(before);
}

static void compare(const WorksOptions *o, const char *mixer, const char *what, Work work, FILE *to) {
    const int threads = omp_get_max_threads();
    const Timing t = timing_measure(work, (Work){run_flushed, &work}, threads, (int)o->rounds, 0.2);
    const double tokens = (double)o->tokens, ratio = t.seconds / t.bar_seconds;
    if (interrupt_requested()) return;
    fprintf(to, "%s\t%s\t%lld\t%d\t%.0f\t%.0f\t%.3f\n", mixer, what, (long long)o->tokens, threads,
            tokens / t.seconds, tokens / t.bar_seconds, ratio);
    fprintf(stderr, "denormals: %-18s %-9s %8.0f tokens/s, flushed %8.0f, ratio %.3f\n", mixer, what,
            tokens / t.seconds, tokens / t.bar_seconds, ratio);
}

static int run(int argc, char **argv) {
    static const WorksBench bench = {
        .name = "denormals",
        .columns = "mixer\twork\ttokens\tthreads\ttokens_per_s\tflushed_tokens_per_s\tflushed_over_as_is",
        .what = "What denormal numbers cost, by mixer.",
        .tokens = 4 << 10,
        .rounds = 11,
        .row = compare};
    return works_run(&bench, argc, argv);
}

const Bench bench_denormals = {"denormals", "what denormal numbers cost: as is, and flushed from outside",
                               run};
