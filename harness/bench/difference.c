/* Two groups of checkpoints on the same samples: the difference of their shares of right answers, with a paired bootstrap
 * over samples, and over samples and training seeds: difference.tsv. */
#include "base/check.h"
#include "bench/bench.h"
#include "bench/shared/needles.h"
#include "bench/shared/table.h"
#include "terminal/files.h"
#include "terminal/options.h"
#include "terminal/stats.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    TableOptions table;
    Needles needles;
    int ones; /* checkpoints before --against */
} DifferenceOptions;

enum { OPTION_AGAINST = 256, OPTION_LENGTHS, OPTION_DEPTHS, OPTION_BATCH };
static const struct argp_option options[] = {
    {"against", OPTION_AGAINST, 0, 0, "checkpoints that follow are the other group", 0},
    {"lengths", OPTION_LENGTHS, "A,B,..", 0, "lengths in tokens (K, M suffixes)", 0},
    {"samples", 'n', "N", 0, "samples per length (default 20)", 0},
    {"depths", OPTION_DEPTHS, "N", 0, "depths over which the samples are shared out (default 5)", 0},
    {"seed", 's', "S", 0, "seed of the samples and of the bootstrap (default 1)", 0},
    {"batch", OPTION_BATCH, "N", 0, "samples side by side (default 4)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    DifferenceOptions *o = state->input;
    Needles *n = &o->needles;
    switch (key) {
    case OPTION_AGAINST:
        if (o->ones || !n->count)
            argp_error(state, "--against stands once, between two groups of checkpoints");
        o->ones = n->count;
        break;
    case OPTION_LENGTHS:
        n->length_count = option_integers("lengths", arg, 1, (int64_t)1 << 40, NEEDLES_MOST, n->lengths);
        break;
    case 'n':
        n->samples = option_integer("samples", arg, 1, 100000);
        break;
    case OPTION_DEPTHS:
        n->depths = option_integer("depths", arg, 1, NEEDLES_DEPTHS);
        break;
    case OPTION_BATCH:
        n->batch = option_integer("batch", arg, 1, 4096);
        break;
    case 's':
        n->seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        state->child_inputs[1] = &n->asked;
        break;
    case ARGP_KEY_ARG:
        if (!needles_add(n, arg)) argp_error(state, "more than %d checkpoints", NEEDLES_MOST);
        break;
    case ARGP_KEY_END:
        if (!o->ones || o->ones == n->count)
            argp_error(state, "two groups are wanted: CHECKPOINT.. --against CHECKPOINT..");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Flags of every checkpoint, [count][samples], and the mixer of each. 0, 1 interrupted, -1 with a message. */
static int ask_all(const Needles *n, int64_t length, unsigned char *right, char names[][NEEDLES_NAME],
                   char *message, size_t size) {
    const int64_t samples = needles_samples(n, length);
    for (int i = 0; i < n->count; i++) {
        const int status = needles_right(n, i, length, right + i * samples, names[i], message, size);
        if (status) return status;
    }
    return 0;
}

/* The mixers of a group, each once: "mac" or "mac+mag". */
static void group_name(char names[][NEEDLES_NAME], int count, char *text, size_t size) {
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        int seen = 0;
        for (int k = 0; k < i; k++) seen |= !strcmp(names[i], names[k]);
        if (!seen && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "+" : "", names[i]);
    }
}

static void write_row(const DifferenceOptions *o, int64_t length, const unsigned char *right,
                      char names[][NEEDLES_NAME], FILE *to) {
    const Needles *n = &o->needles;
    const int64_t samples = needles_samples(n, length);
    const int others = n->count - o->ones;
    const unsigned char *model[NEEDLES_MOST];
    char one[512] = "", other[512] = "";
    for (int i = 0; i < n->count; i++) model[i] = right + i * samples;
    group_name(names, o->ones, one, sizeof one);
    group_name(names + o->ones, others, other, sizeof other);
    StatsDifference d[2];
    for (int seeds = 0; seeds < 2; seeds++)
        d[seeds] =
            stats_difference(model, o->ones, model + o->ones, others, samples, seeds, (uint64_t)n->seed);
    /* what a test at 5 % sees in four cases of five */
    const double detectable = 2.8 * d[1].error;
    fprintf(to, "%s\t%s\t%lld\t%lld\t%d\t%d\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\n", one, other,
            (long long)length, (long long)samples, o->ones, others, d[0].difference, d[0].low, d[0].high,
            d[1].low, d[1].high, detectable);
    fprintf(
        stderr,
        "difference: %s - %s at %lld: %.1f points, %.1f to %.1f over samples, %.1f to %.1f over seeds too\n",
        one, other, (long long)length, 100.0 * d[0].difference, 100.0 * d[0].low, 100.0 * d[0].high,
        100.0 * d[1].low, 100.0 * d[1].high);
}

static int measure(void *options, Tsv *table, char *message, size_t size) {
    const DifferenceOptions *o = options;
    const Needles *n = &o->needles;
    static char names[NEEDLES_MOST][NEEDLES_NAME];
    int status = 0;
    for (int i = 0; !status && i < n->count; i++) status = files_reads(n->subjects[i].file, message, size);
    for (int k = 0; !status && k < n->length_count; k++) {
        unsigned char *right = calloc((size_t)n->count, (size_t)needles_samples(n, n->lengths[k]));
        CHECK(right, "no memory for %ld samples", needles_samples(n, n->lengths[k]));
        status = ask_all(n, n->lengths[k], right, names, message, size);
        if (!status) write_row(o, n->lengths[k], right, names, table->file);
        if (!status) status = tsv_save(table, message, size);
        free(right);
    }
    return status;
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options,
        parse,
        "CHECKPOINT.. --against CHECKPOINT..",
        "Difference of two groups of checkpoints, which are asked the same samples: the first group's share "
        "of right "
        "answers less the other's, and 95 % intervals of a paired bootstrap, over samples for these models, "
        "and over "
        "samples and training seeds. \"detectable\" is the difference that a test at 5 % sees in four cases "
        "of five.\v"
        "Example:\n  titans bench difference mal-niah2-s?.safetensors --against lmm-niah2-s?.safetensors \\\n"
        "    --lengths 16K --samples 40 -o difference.tsv\n",
        asked_children,
        0,
        0};
    static const TableWork work = {"difference",
                                   "one\tother\tlength\tsamples\tseeds_one\tseeds_other\tdifference\tlow_"
                                   "samples\thigh_samples\tlow\thigh\tdetectable",
                                   measure};
    static DifferenceOptions o;
    o = (DifferenceOptions){.table = {.out = "difference.tsv"}};
    needles_begin(&o.needles);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, 0, &o);
    return table_run(&work, &o, &o.table, argc, argv);
}

const Bench bench_difference = {"difference",
                                "two groups of checkpoints on the same samples, paired bootstrap", run};
