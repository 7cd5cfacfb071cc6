/* What denormal numbers cost: every mixer reading a stream and in training, as it is and with them flushed from outside in every
 * thread, in turns: denormals.tsv. The code flushes them itself, so that the ratio is 1; one above it is a call that does not. */
#include "base/work.h"
#include "bench/bench.h"
#include "bench/shared/mixers.h"
#include "terminal/interrupt.h"

#include <omp.h>
#include <stdio.h>

typedef struct {
    TableOptions table;
    MixersOptions over;
    int64_t tokens, rounds;
} DenormalOptions;

enum { OPTION_TOKENS = 256, OPTION_ROUNDS };
static const struct argp_option options[] = {
    {"tokens", OPTION_TOKENS, "N", 0, "tokens of the stream, and of a training step (default 4K)", 0},
    {"rounds", OPTION_ROUNDS, "N", 0, "turns of both, medians are compared (default 11)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    DenormalOptions *o = state->input;
    switch (key) {
    case OPTION_TOKENS:
        o->tokens = option_integer("tokens", arg, 64, 1 << 20);
        break;
    case OPTION_ROUNDS:
        o->rounds = option_integer("rounds", arg, 1, 31);
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

/* The same work with the mode set around it. */
static void run_flushed(void *context) {
    const Work *work = context;
    const int before = work_begin();
    work->run(work->context);
    work_end(before);
}

static void compare(const DenormalOptions *o, const char *mixer, const char *what, Work work, FILE *to) {
    const int threads = omp_get_max_threads();
    const Timing t = timing_measure(work, (Work){run_flushed, &work}, threads, (int)o->rounds, 0.2);
    const double tokens = (double)o->tokens, ratio = t.seconds / t.bar_seconds;
    if (interrupt_requested()) return;
    fprintf(to, "%s\t%s\t%lld\t%d\t%.0f\t%.0f\t%.3f\n", mixer, what, (long long)o->tokens, threads,
            tokens / t.seconds, tokens / t.bar_seconds, ratio);
    fprintf(stderr, "denormals: %-18s %-9s %8.0f tokens/s, flushed %8.0f, ratio %.3f\n", mixer, what,
            tokens / t.seconds, tokens / t.bar_seconds, ratio);
}

static int measure_mixer(const void *own, const char *mixer, FILE *to, char *message, size_t size) {
    const DenormalOptions *o = own;
    MixerWork w;
    if (mixer_work_open(&w, &o->over, mixer, o->tokens, message, size)) return -1;
    compare(o, mixer, "streaming", mixer_work_reading(&w), to);
    compare(o, mixer, "training", mixer_work_training(&w), to);
    return mixer_work_close(&w, mixer, message, size) ? -1 : interrupt_requested();
}

static int measure_all(void *options, Tsv *table, char *message, size_t size) {
    const DenormalOptions *o = options;
    return mixers_each(&o->over, measure_mixer, o, table->file, message, size);
}

static int run(int argc, char **argv) {
    static const TableWork work = {
        "denormals", "mixer\twork\ttokens\tthreads\ttokens_per_s\tflushed_tokens_per_s\tflushed_over_as_is",
        measure_all};
    const struct argp argp = {options,
                              parse,
                              0,
                              "What denormal numbers cost, by mixer."
                              "\vExamples:\n  titans bench denormals -c recipe.json --mixers lmm,mac",
                              mixers_children,
                              0,
                              0};
    DenormalOptions o = {.table = {.out = "denormals.tsv"}, .tokens = 4 << 10, .rounds = 11};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.over.threads);
    return table_run(&work, &o, &o.table, argc, argv);
}

const Bench bench_denormals = {"denormals", "what denormal numbers cost: as is, and flushed from outside",
                               run};
