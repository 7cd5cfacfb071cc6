/* Training throughput: whole steps (forward, backward, optimizer) on random tokens, for mixers, depths of the
 * memory and lengths at a constant number of tokens per step (the paper's Figures 8 and 9):
 * throughput.tsv. */
#include "bench/bench.h"
#include "bench/shared/step.h"
#include "bench/shared/mixers.h"
#include "terminal/interrupt.h"
#include "base/check.h"
#include "learn/recipe.h"
#include "terminal/options.h"
#include "bench/shared/timing.h"

#include <argp.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16, REPEATS = 5, MIXER_NAME = 64 };

typedef struct {
    TableOptions table;
    MixersOptions over;
    int64_t lengths[MOST], depths[MOST], tokens, repeats;
    int length_count, depth_count;
} TrainingOptions;

enum { OPTION_LENGTHS = 256, OPTION_DEPTHS, OPTION_TOKENS, OPTION_REPEATS };
static const struct argp_option options[] = {
    {"lengths", OPTION_LENGTHS, "A,B,..", 0, "tokens per sequence (default 2K,4K,8K,16K,32K)", 0},
    {"depths", OPTION_DEPTHS, "A,B,..", 0, "layers of the memory, 1 to 4 (default: the configuration's)", 0},
    {"tokens", OPTION_TOKENS, "N", 0, "tokens per step (default 32K)", 0},
    {"repeats", OPTION_REPEATS, "N", 0, "steps timed, after one to warm up (default 5)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    TrainingOptions *o = state->input;
    switch (key) {
    case OPTION_LENGTHS:
        o->length_count = option_integers("lengths", arg, 64, 1 << 24, MOST, o->lengths);
        break;
    case OPTION_DEPTHS:
        o->depth_count = option_integers("depths", arg, 1, 4, MOST, o->depths);
        break;
    case OPTION_TOKENS:
        o->tokens = option_integer("tokens", arg, 64, 1 << 24);
        break;
    case OPTION_REPEATS:
        o->repeats = option_integer("repeats", arg, 1, 31);
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

/* Mean number of keys that full attention sees in a sequence. */
static double mean_context(int64_t length) { return 0.5 * (double)(length + 1); }

/* A row's memory_layers: "-" for mixers that have no such key. */
static void depth_text(const Config *c, char *text, size_t size) {
    const double depth = config_number(c, "memory_layers");
    snprintf(text, size, isnan(depth) ? "-" : "%.0f", depth);
}

static int measure(const TrainingOptions *o, const Recipe *recipe, int64_t length, FILE *to, char *message,
                   size_t size) {
    Step s;
    char depth[16];
    if (step_create(&s, recipe, o->tokens / length > 0 ? o->tokens / length : 1, length, message, size))
        return -1;
    const Timing t =
        timing_measure((Work){step_once, &s}, (Work){0, 0}, omp_get_max_threads(), (int)o->repeats, 0.0);
    const char *bad = s.bad;
    const double tokens = (double)(s.batch * length);
    const int stopped = interrupt_requested();
    const double flop = 3.0 * tokens * model_flops(&s.model, mean_context(length), 1);
    char percent[TIMING_PERCENT];
    timing_percent(timing_share(&t, flop), percent);
    const char *mixer = s.model.mixer->name;
    depth_text(&recipe->model, depth, sizeof depth);
    if (!stopped)
        fprintf(to, "%s\t%s\t%lld\t%lld\t%d\t%lld\t%.0f\t%.1f\t%s\n", mixer, depth, (long long)length,
                (long long)s.batch, omp_get_max_threads(), (long long)s.model.list.floats, tokens / t.seconds,
                flop / t.seconds * 1e-9, percent);
    if (!stopped)
        fprintf(stderr, "training: %-9s L_M %s length %6lld x %-3lld %8.0f tokens/s  %5s %% of FMA peak\n",
                mixer, depth, (long long)length, (long long)s.batch, tokens / t.seconds, percent);
    step_free(&s);
    if (!bad) return stopped;
    return snprintf(message, size, "%s, length %lld: the gradient of %s is not finite", mixer,
                    (long long)length, bad),
           -1;
}

static int measure_mixer(const void *own, const char *mixer, FILE *to, char *message, size_t size) {
    const TrainingOptions *o = own;
    static Recipe recipe;
    char name[MIXER_NAME + 8], depth[64];
    const char *const over[] = {name, depth};
    snprintf(name, sizeof name, "mixer=%s", mixer);
    for (int j = 0; j < (o->depth_count ? o->depth_count : 1); j++) {
        snprintf(depth, sizeof depth, "memory_layers=%lld", (long long)o->depths[j]);
        if (recipe_open(&recipe, o->over.config, over, o->depth_count ? 2 : 1, 1, message, size)) return -1;
        if (!recipe.model.vocab) recipe.model.vocab = 256;
        for (int k = 0; k < o->length_count; k++) {
            if (interrupt_requested()) return 1;
            const int status = measure(o, &recipe, o->lengths[k], to, message, size);
            if (status) return status;
        }
    }
    return 0;
}

static int measure_all(void *options, Tsv *table, char *message, size_t size) {
    const TrainingOptions *o = options;
    return mixers_each(&o->over, measure_mixer, o, table->file, message, size);
}

static int run(int argc, char **argv) {
    static const TableWork work = {
        "training",
        "mixer\tmemory_layers\tlength\tbatch\tthreads\tweights\ttokens_per_s\tgflops\tpercent_of_peak",
        measure_all};
    const struct argp argp = {
        options,
        parse,
        0,
        "Training throughput by mixer, depth of the memory and length."
        "\vExamples:\n  titans bench training -c recipe.json --mixers lmm,mac --lengths 2K,8K",
        mixers_children,
        0,
        0};
    TrainingOptions o = {.table = {.out = "throughput.tsv"},
                         .lengths = {2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10},
                         .length_count = 5,
                         .tokens = 32 << 10,
                         .repeats = REPEATS};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.over.threads);
    return table_run(&work, &o, &o.table, argc, argv);
}

const Bench bench_training = {"training", "training throughput by mixer, depth and length", run};
