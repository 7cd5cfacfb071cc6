/* What another process on one core costs: every mixer reading a stream and in training with one thread and with all of them, alone
 * and beside a process that computes without end, in turns: contention.tsv. */
#include "bench/bench.h"
#include "bench/shared/works.h"
#include "terminal/interrupt.h"
#include "terminal/progress.h"
#include "terminal/stats.h"

#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 2, BESIDE = 2 };
/* Seconds of a sample, many turns of the system's scheduler; and before each, more than base/share.h takes to try a thread again. */
static const double LEAST = 0.5, SETTLE = 3.0;

static pid_t other;

/* A process that computes whenever it is not stopped; It ends with its parent. */
static pid_t other_start(void) {
    const pid_t child = fork();
    if (child) return child;
    const pid_t parent = getppid();
    for (volatile unsigned long n = 1;; n++)
        if (n % (1ul << 26) == 0 && getppid() != parent) _exit(0);
}

/* Seconds of one run, of as many as take `least`. */
static double run_for(Work work, double least) {
    const double began = seconds_now();
    int64_t runs = 0;
    do {
        work.run(work.context);
        runs++;
    } while (seconds_now() - began < least && !interrupt_requested());
    return (seconds_now() - began) / (double)runs;
}

static double sample(Work work, int threads) {
    omp_set_num_threads(threads);
    if (threads > 1) run_for(work, SETTLE);
    return run_for(work, LEAST);
}

static void compare(const WorksOptions *o, const char *mixer, const char *what, Work work, FILE *to) {
    const int most = omp_get_max_threads();
    double seconds[BESIDE][THREADS][WORKS_ROUNDS], speed[BESIDE][THREADS];
    for (int64_t round = 0; round < o->rounds; round++)
        for (int beside = 0; beside < BESIDE; beside++) {
            kill(other, beside ? SIGCONT : SIGSTOP);
            for (int all = 0; all < THREADS; all++)
                seconds[beside][all][round] = sample(work, all ? most : 1);
        }
    kill(other, SIGSTOP);
    omp_set_num_threads(most);
    if (interrupt_requested()) return;
    for (int beside = 0; beside < BESIDE; beside++)
        for (int all = 0; all < THREADS; all++)
            speed[beside][all] = (double)o->tokens / stats_median((int)o->rounds, seconds[beside][all]);
    const double ratio = speed[1][1] / speed[1][0];
    fprintf(to, "%s\t%s\t%lld\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.3f\n", mixer, what, (long long)o->tokens, most,
            speed[0][0], speed[0][1], speed[1][0], speed[1][1], ratio);
    fprintf(stderr,
            "contention: %-18s %-9s beside another process 1 thread %8.0f tokens/s, %d threads %8.0f: %.2f\n",
            mixer, what, speed[1][0], most, speed[1][1], ratio);
}

static int begin(char *message, size_t size) {
    if (omp_get_max_threads() < 2)
        return snprintf(message, size, "one thread: nothing to compare; --threads 2 or more"), -1;
    other = other_start();
    if (other < 0) return snprintf(message, size, "no second process could be started"), -1;
    kill(other, SIGSTOP);
    return 0;
}

static void end(void) {
    kill(other, SIGKILL);
    waitpid(other, 0, 0);
}

static int run(int argc, char **argv) {
    static const WorksBench bench = {
        .name = "contention",
        .columns = "mixer\twork\ttokens\tthreads\talone_1_tokens_per_s\talone_tokens_per_s\t"
                   "beside_1_tokens_per_s\tbeside_tokens_per_s\tbeside_over_1",
        .what = "All threads against one, beside a process that takes a core, by mixer.",
        .tokens = 2 << 10,
        .rounds = 5,
        .row = compare,
        .begin = begin,
        .end = end};
    return works_run(&bench, argc, argv);
}

const Bench bench_contention = {"contention", "threads beside a process that takes a core", run};
