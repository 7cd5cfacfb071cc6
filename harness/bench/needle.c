/* Exact match by length and depth, one row per length and depth and one per length of each checkpoint:
 * needle.tsv. */
#include "bench/bench.h"
#include "learn/evaluate.h"
#include "terminal/options.h"
#include "terminal/stats.h"
#include "terminal/tsv.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };
typedef struct {
    const char *files[MOST], *out, *haystack, *task;
    int file_count, length_count;
    int64_t lengths[MOST], limits[MOST], samples, seed, depths, batch, long_samples;
} NeedleOptions;

enum { OPTION_LENGTHS = 256, OPTION_DEPTHS, OPTION_BATCH, OPTION_HAYSTACK, OPTION_LIMIT, OPTION_LONG };
static const struct argp_option options[] = {
    {"lengths", OPTION_LENGTHS, "A,B,..", 0, "lengths in tokens (K, M suffixes)", 0},
    {"samples", 'n', "N", 0, "samples per length (default 20)", 0},
    {"long-samples", OPTION_LONG, "N", 0, "samples per length above 128K (default: as --samples)", 0},
    {"depths", OPTION_DEPTHS, "N", 0,
     "depths, evenly spaced, over which the samples are shared out (default 5)", 0},
    {"limit", OPTION_LIMIT, "N", 0, "longest length for the checkpoint named last", 0},
    {"seed", 's', "S", 0, "seed of the samples (default 1)", 0},
    {"batch", OPTION_BATCH, "N", 0, "samples side by side (default 4)", 0},
    {"task", 't', "T", 0, "another task than the one the checkpoint was trained on", 0},
    {"haystack", OPTION_HAYSTACK, "FILE", 0, "text of the haystack, for tasks that take one", 0},
    {"out", 'o', "FILE", 0, "default needle.tsv", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    NeedleOptions *o = state->input;
    switch (key) {
    case 'n':
        o->samples = option_integer("samples", arg, 1, 100000);
        break;
    case 's':
        o->seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case 'o':
        o->out = arg;
        break;
    case OPTION_LENGTHS:
        o->length_count = option_integers("lengths", arg, 1, (int64_t)1 << 40, MOST, o->lengths);
        break;
    case OPTION_LONG:
        o->long_samples = option_integer("long-samples", arg, 1, 100000);
        break;
    case OPTION_DEPTHS:
        o->depths = option_integer("depths", arg, 1, 100);
        break;
    case OPTION_BATCH:
        o->batch = option_integer("batch", arg, 1, 4096);
        break;
    case OPTION_HAYSTACK:
        o->haystack = arg;
        break;
    case 't':
        o->task = arg;
        break;
    case OPTION_LIMIT:
        if (!o->file_count) argp_error(state, "--limit comes after the checkpoint it belongs to");
        o->limits[o->file_count - 1] = option_integer("limit", arg, 1, (int64_t)1 << 40);
        break;
    case ARGP_KEY_ARG:
        if (o->file_count == MOST) argp_error(state, "more than %d checkpoints", MOST);
        o->limits[o->file_count] = INT64_MAX;
        o->files[o->file_count++] = arg;
        break;
    case ARGP_KEY_END:
        if (!o->file_count) argp_error(state, "which checkpoint?");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

typedef struct {
    const Trained *t;
    const char *file;
    int64_t length;
    FILE *to;
} Row;

/* depth: a number, or "all" for the row that sums up a length. */
static void write_row(const Row *r, const char *depth, int64_t samples, int64_t right, int64_t seed) {
    double low, high;
    stats_proportion(right, samples, &low, &high);
    fprintf(r->to, "%s\t%s\t%lld\t%s\t%lld\t%lld\t%.4f\t%.4f\t%.4f\t%lld\t%lld\t%s\n",
            r->t->model.mixer->name, r->t->recipe.task_name, (long long)r->length, depth, (long long)samples,
            (long long)right, (double)right / (double)samples, low, high, (long long)seed,
            (long long)r->t->recipe.seed, r->file);
    fflush(r->to);
}

static int evaluate_depths(Trained *t, const NeedleOptions *o, int i, int64_t length, FILE *to, char *message,
                           size_t size) {
    const int64_t wanted = length > (128 << 10) && o->long_samples ? o->long_samples : o->samples;
    const int64_t depths = o->depths < wanted ? o->depths : wanted;
    const Row row = {t, o->files[i], length, to};
    int64_t total = 0;
    for (int64_t d = 0; d < depths; d++) {
        const int64_t samples = wanted / depths + (d < wanted % depths),
                      batch = samples < o->batch ? samples : o->batch;
        const double depth = depths > 1 ? (double)d / (double)(depths - 1) : 0.5;
        const EvaluateOptions e = {(uint64_t)(o->seed + d), length, samples, batch, 0, depth, 1};
        Evaluated result = {0};
        char text[16];
        if (evaluate(t, &e, 0, &result, message, size)) return -1;
        snprintf(text, sizeof text, "%.3f", depth);
        write_row(&row, text, samples, result.right, o->seed + d);
        total += result.right;
    }
    write_row(&row, "all", wanted, total, o->seed);
    fprintf(stderr, "needle: %-10s %-8s length %8lld  %lld of %lld right\n", t->model.mixer->name,
            t->recipe.task_name, (long long)length, (long long)total, (long long)wanted);
    return 0;
}

static int64_t shortest(const NeedleOptions *o) {
    int64_t least = o->lengths[0];
    for (int k = 1; k < o->length_count; k++) least = o->lengths[k] < least ? o->lengths[k] : least;
    return least;
}

static int evaluate_file(const NeedleOptions *o, int i, FILE *to, char *message, size_t size) {
    static Trained t;
    if (trained_open(&t, o->files[i], o->task, o->haystack, shortest(o), message, size)) return -1;
    if (task_about(&t.task)) fprintf(to, "# prose of %s: %s\n", o->files[i], task_about(&t.task));
    int status = 0;
    for (int k = 0; !status && k < o->length_count; k++)
        if (o->lengths[k] <= o->limits[i])
            status = evaluate_depths(&t, o, i, o->lengths[k], to, message, size);
    trained_close(&t);
    return status;
}

static int evaluate_files(const NeedleOptions *o, FILE *to, char *message, size_t size) {
    for (int i = 0; i < o->file_count; i++)
        if (evaluate_file(o, i, to, message, size)) return -1;
    return 0;
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options, parse, "CHECKPOINT [--limit N] ...", "Exact match by length and depth.", 0, 0, 0};
    NeedleOptions o = {.out = "needle.tsv",
                       .lengths = {1 << 10, 4 << 10, 16 << 10, 64 << 10, 128 << 10},
                       .length_count = 5,
                       .samples = 20,
                       .seed = 1,
                       .depths = 5,
                       .batch = 4};
    char message[1024], command[4096];
    Tsv tsv;
    tsv_command(command, sizeof command, argc, argv);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, 0, &o);
    int status = tsv_open(
        &tsv, o.out, command,
        "mixer\ttask\tlength\tdepth\tsamples\tcorrect\taccuracy\tlow\thigh\tseed\ttrain_seed\tcheckpoint",
        message, sizeof message);
    if (!status)
        status =
            tsv_end(&tsv, evaluate_files(&o, tsv.file, message, sizeof message), message, sizeof message);
    if (status) fprintf(stderr, "titans bench needle: %s\n", message);
    return status ? 1 : 0;
}

const Bench bench_needle = {"needle", "exact match of checkpoints by length and depth", run};
