/* Exact match by length and depth, one row per length and depth and one per length of each checkpoint:
 * needle.tsv. */
#include "bench/bench.h"
#include "bench/shared/needles.h"
#include "bench/shared/table.h"
#include "terminal/options.h"

#include <argp.h>

typedef struct {
    TableOptions table;
    Needles needles;
} NeedleOptions;

enum {
    OPTION_LENGTHS = 256,
    OPTION_DEPTHS,
    OPTION_BATCH,
    OPTION_LIMIT,
    OPTION_LONG,
    OPTION_RESUME,
    OPTION_SET,
    OPTION_ANSWERS
};
static const struct argp_option options[] = {
    {"lengths", OPTION_LENGTHS, "A,B,..", 0, "lengths in tokens (K, M suffixes)", 0},
    {"samples", 'n', "N", 0, "samples per length (default 20)", 0},
    {"long-samples", OPTION_LONG, "N", 0, "samples per length above 128K (default: as --samples)", 0},
    {"depths", OPTION_DEPTHS, "N", 0,
     "depths, evenly spaced, over which the samples are shared out (default 5)", 0},
    {"limit", OPTION_LIMIT, "N", 0, "longest length for the checkpoint named last", 0},
    {"set", OPTION_SET, "KEY=VALUE", 0,
     "ask the checkpoint named last with this key, one that changes no weight; may be repeated, and so may "
     "the checkpoint",
     0},
    {"answers", OPTION_ANSWERS, 0, 0,
     "a column for the share of answers that were found, for tasks that ask for several (RULER's score)", 0},
    {"seed", 's', "S", 0, "seed of the samples (default 1)", 0},
    {"batch", OPTION_BATCH, "N", 0, "samples side by side (default 4)", 0},
    {"resume", OPTION_RESUME, 0, 0, "keep the lengths that the table has and measure the others", 0},
    {0}};

static void parse_set(NeedleOptions *o, const char *assignment, struct argp_state *state) {
    char message[MESSAGE];
    Needles *n = &o->needles;
    if (!n->count) argp_error(state, "--set comes after the checkpoint it belongs to");
    if (needles_set(n, &n->subjects[n->count - 1], assignment, message, sizeof message))
        argp_error(state, "--set: %s", message);
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    NeedleOptions *o = state->input;
    switch (key) {
    case 'n':
        o->needles.samples = option_integer("samples", arg, 1, 100000);
        break;
    case 's':
        o->needles.seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        state->child_inputs[1] = &o->needles.asked;
        break;
    case OPTION_LENGTHS:
        o->needles.length_count =
            option_integers("lengths", arg, 1, (int64_t)1 << 40, NEEDLES_MOST, o->needles.lengths);
        break;
    case OPTION_LONG:
        o->needles.long_samples = option_integer("long-samples", arg, 1, 100000);
        break;
    case OPTION_DEPTHS:
        o->needles.depths = option_integer("depths", arg, 1, NEEDLES_DEPTHS);
        break;
    case OPTION_BATCH:
        o->needles.batch = option_integer("batch", arg, 1, 4096);
        break;
    case OPTION_RESUME:
        o->table.resume = o->needles.resume = 1;
        break;
    case OPTION_LIMIT:
        if (!o->needles.count) argp_error(state, "--limit comes after the checkpoint it belongs to");
        o->needles.subjects[o->needles.count - 1].limit = option_integer("limit", arg, 1, (int64_t)1 << 40);
        break;
    case OPTION_ANSWERS:
        o->needles.with_answers = 1;
        break;
    case OPTION_SET:
        parse_set(o, arg, state);
        break;
    case ARGP_KEY_ARG:
        if (!needles_add(&o->needles, arg)) argp_error(state, "more than %d checkpoints", NEEDLES_MOST);
        break;
    case ARGP_KEY_END:
        if (!o->needles.count) argp_error(state, "which checkpoint?");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void tell(void *context, const char *line, int64_t tokens) {
    (void)context;
    (void)tokens;
    fprintf(stderr, "needle: %s\n", line);
}

static int measure(void *options, Tsv *table, char *message, size_t size) {
    return needles_measure(options, table, message, size);
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options,
        parse,
        "CHECKPOINT [--limit N] [--set KEY=VALUE] ...",
        "Exact match by length and depth; depth is where the needles were in the mean."
        "\vExamples:\n  titans bench needle lmm.safetensors attention.safetensors "
        "--limit 16K \\\n    --lengths 1K,16K,128K --samples 20 -o needle.tsv\n  "
        "titans bench needle lmm.safetensors --lengths 1K,1M -o needle.tsv --resume\n  "
        "titans bench needle attention.safetensors attention.safetensors "
        "--set rope_scaling=yarn\n    -o needle.tsv   (a column \"set\" tells them apart; the "
        "stretch is length / training length)",
        asked_children,
        0,
        0};
    NeedleOptions o = {.table = {.out = "needle.tsv"}};
    needles_begin(&o.needles);
    o.needles.after = tell;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, 0, &o);
    const TableWork work = {"needle", needles_columns(&o.needles), measure};
    return table_run(&work, &o.needles, &o.table, argc, argv);
}

const Bench bench_needle = {"needle", "exact match of checkpoints by length and depth", run};
