/* What another process on one core costs: every mixer reading a stream and in training with one thread and with all of them, alone
 * and beside a process that computes without end, in turns: contention.tsv. */
#include "bench/bench.h"
#include "bench/shared/mixers.h"
#include "terminal/interrupt.h"
#include "terminal/progress.h"
#include "terminal/stats.h"

#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPTION_TOKENS = 256, OPTION_ROUNDS, ROUNDS_MOST = 31, THREADS = 2, BESIDE = 2 };
/* Seconds of a sample, many turns of the system's scheduler; and before each, more than base/share.h takes to try a thread again. */
static const double LEAST = 0.5, SETTLE = 3.0;

typedef struct {
    TableOptions table;
    MixersOptions over;
    int64_t tokens, rounds;
    pid_t other;
} ContentionOptions;

static const struct argp_option options[] = {
    {"tokens", OPTION_TOKENS, "N", 0, "tokens of the stream, and of a training step (default 2K)", 0},
    {"rounds", OPTION_ROUNDS, "N", 0, "turns of each, medians are compared (default 5)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    ContentionOptions *o = state->input;
    switch (key) {
    case OPTION_TOKENS:
        o->tokens = option_integer("tokens", arg, 64, 1 << 20);
        break;
    case OPTION_ROUNDS:
        o->rounds = option_integer("rounds", arg, 1, ROUNDS_MOST);
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        state->child_inputs[1] = &o->over;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

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

static void compare(const ContentionOptions *o, const char *mixer, const char *what, Work work, FILE *to) {
    const int most = omp_get_max_threads();
    double seconds[BESIDE][THREADS][ROUNDS_MOST], speed[BESIDE][THREADS];
    for (int64_t round = 0; round < o->rounds; round++)
        for (int beside = 0; beside < BESIDE; beside++) {
            kill(o->other, beside ? SIGCONT : SIGSTOP);
            for (int all = 0; all < THREADS; all++)
                seconds[beside][all][round] = sample(work, all ? most : 1);
        }
    kill(o->other, SIGSTOP);
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

static int measure_mixer(const void *own, const char *mixer, FILE *to, char *message, size_t size) {
    const ContentionOptions *o = own;
    MixerWork w;
    if (mixer_work_open(&w, &o->over, mixer, o->tokens, message, size)) return -1;
    compare(o, mixer, "streaming", mixer_work_reading(&w), to);
    compare(o, mixer, "training", mixer_work_training(&w), to);
    return mixer_work_close(&w, mixer, message, size) ? -1 : interrupt_requested();
}

static int measure_all(void *options, Tsv *table, char *message, size_t size) {
    ContentionOptions *o = options;
    if (omp_get_max_threads() < 2)
        return snprintf(message, size, "one thread: nothing to compare; --threads 2 or more"), -1;
    o->other = other_start();
    if (o->other < 0) return snprintf(message, size, "no second process could be started"), -1;
    kill(o->other, SIGSTOP);
    const int status = mixers_each(&o->over, measure_mixer, o, table->file, message, size);
    kill(o->other, SIGKILL);
    waitpid(o->other, 0, 0);
    return status;
}

static int run(int argc, char **argv) {
    static const TableWork work = {"contention",
                                   "mixer\twork\ttokens\tthreads\talone_1_tokens_per_s\talone_tokens_per_s\t"
                                   "beside_1_tokens_per_s\tbeside_tokens_per_s\tbeside_over_1",
                                   measure_all};
    const struct argp argp = {options,
                              parse,
                              0,
                              "All threads against one, beside a process that takes a core, by mixer."
                              "\vExamples:\n  titans bench contention -c recipe.json --mixers lmm,mac",
                              mixers_children,
                              0,
                              0};
    ContentionOptions o = {.table = {.out = "contention.tsv"}, .tokens = 2 << 10, .rounds = 5};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.over.threads);
    return table_run(&work, &o, &o.table, argc, argv);
}

const Bench bench_contention = {"contention", "threads beside a process that takes a core", run};
