/* Tokens per second and peak memory of reading a sequence, against its length: results/scaling.tsv. Each row
 * is measured in a process of its own, so that the peak is that length's. Weights are those of a checkpoint,
 * or random ones of a configuration (FILE.json). */
#include "bench.h"
#include "model/checkpoint.h"
#include "model/random.h"
#include "options.h"
#include "progress.h"
#include "stats.h"
#include "tsv.h"

#include <argp.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 16, SEGMENT = 512, REPEATS = 7 };
typedef struct {
    const char *out, *lengths, *checkpoints[MOST];
    int64_t limits[MOST], batch, threads;
    int count;
} ScalingOptions;

enum { OPTION_LENGTHS = 256, OPTION_LIMIT, OPTION_BATCH };
static const struct argp_option options[] = {
    {"lengths", OPTION_LENGTHS, "A,B,..", 0, "lengths in tokens (K, M suffixes)", 0},
    {"limit", OPTION_LIMIT, "N", 0, "longest length for the checkpoint named last", 0},
    {"batch", OPTION_BATCH, "N", 0, "sequences side by side (default 1)", 0},
    {"threads", 'k', "K", 0, "threads", 0},
    {"out", 'o', "FILE", 0, "default results/scaling.tsv", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    ScalingOptions *o = state->input;
    switch (key) {
    case 'o':
        o->out = arg;
        break;
    case 'k':
        o->threads = option_integer("threads", arg, 1, 4096);
        break;
    case OPTION_LENGTHS:
        o->lengths = arg;
        break;
    case OPTION_BATCH:
        o->batch = option_integer("batch", arg, 1, 4096);
        break;
    case OPTION_LIMIT:
        if (!o->count) argp_error(state, "--limit comes after the checkpoint it belongs to");
        o->limits[o->count - 1] = option_integer("limit", arg, 1, (int64_t)1 << 40);
        break;
    case ARGP_KEY_ARG:
        if (o->count == MOST) argp_error(state, "more than %d checkpoints", MOST);
        o->limits[o->count] = INT64_MAX;
        o->checkpoints[o->count++] = arg;
        break;
    case ARGP_KEY_END:
        if (!o->count) argp_error(state, "which checkpoint?");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Seconds to read `length` random tokens of each sequence, segment by segment. */
static double read_once(Model *m, int64_t length, int64_t batch) {
    State state;
    Arena arena = {0};
    Random random = random_stream(1, (uint64_t)length, 0x7363616c);
    const double began = seconds_now();
    state_start(&state, m, batch, m->mixer->uses_capacity ? length : 0);
    for (int64_t from = 0; from < length; from += SEGMENT) {
        const int64_t count = length - from < SEGMENT ? length - from : SEGMENT;
        int32_t rows[1] = {(int32_t)(count - 1)};
        arena_reset(&arena);
        Tape tape = {&arena, 0, 0};
        int32_t *tokens = arena_take(&arena, (size_t)(batch * count) * sizeof *tokens);
        for (int64_t i = 0; i < batch * count; i++)
            tokens[i] = (int32_t)random_below(&random, (uint64_t)m->config.vocab);
        const ModelInput input = {tokens, batch, count, rows, 1, 0.0f, 0, 0};
        model_forward(&tape, m, &state, &input);
    }
    state_free(&state);
    arena_free(&arena);
    return seconds_now() - began;
}

/* A checkpoint, or random weights of a configuration (FILE.json). */
static int open_model(const char *file, Model *model, char *message, size_t size) {
    const size_t length = strlen(file);
    Config config;
    TrainConfig train;
    Progress progress;
    if (length < 5 || strcmp(file + length - 5, ".json"))
        return checkpoint_load(file, model, 0, &train, &progress, message, size);
    config_defaults(&config, &train);
    config.vocab = 256;
    if (config_from_file(file, &config, &train, message, size)) return -1;
    return model_create(model, &config, 1, message, size);
}

/* In a process of its own: the median of REPEATS readings (one when a reading takes long), and the peak. */
static int measure(const char *checkpoint, int64_t length, int64_t batch, double result[2]) {
    Model model;
    char message[1024];
    double times[REPEATS];
    int n = 0;
    double total = 0.0;
    struct rusage usage;
    if (open_model(checkpoint, &model, message, sizeof message)) {
        fprintf(stderr, "titans bench scaling: %s\n", message);
        return -1;
    }
    do times[n] = read_once(&model, length, batch);
    while (total += times[n++], total < 10.0 && n < REPEATS);
    getrusage(RUSAGE_SELF, &usage);
    result[0] = (double)(length * batch) / stats_median(n, times);
    result[1] = (double)usage.ru_maxrss;
    return 0;
}

static int measure_apart(const char *checkpoint, int64_t length, int64_t batch, double result[2]) {
    int ends[2], status = -1;
    if (pipe(ends)) return -1;
    fflush(0);
    const pid_t child = fork();
    if (child == 0) {
        status = measure(checkpoint, length, batch, result);
        if (!status && write(ends[1], result, 2 * sizeof *result) != 2 * sizeof *result) status = -1;
        _exit(status ? 1 : 0);
    }
    close(ends[1]);
    const int whole = child > 0 && read(ends[0], result, 2 * sizeof *result) == 2 * sizeof *result;
    close(ends[0]);
    if (child > 0) waitpid(child, &status, 0);
    return whole && !status ? 0 : -1;
}

/* Growth of time and memory with length: exponents with 95 % intervals, as comment lines. */
static void report_growth(FILE *to, const char *name, int n, const double *length, const double *seconds,
                          const double *kib) {
    double exponent, width;
    if (n < 3) return;
    const int skip = n > 4 ? n - 4 : 0; /* the long end, where constant costs no longer hide the growth */
    stats_power_law(n - skip, length + skip, seconds + skip, &exponent, &width);
    fprintf(to, "# growth: %s time ~ length^%.3f +- %.3f (last %d lengths)\n", name, exponent, width,
            n - skip);
    fprintf(stderr, "scaling: %s time grows as length^%.3f +- %.3f\n", name, exponent, width);
    stats_power_law(n - skip, length + skip, kib + skip, &exponent, &width);
    fprintf(to, "# growth: %s memory ~ length^%.3f +- %.3f (last %d lengths)\n", name, exponent, width,
            n - skip);
}

static int measure_checkpoint(const ScalingOptions *o, int i, FILE *to) {
    double length[MOST], seconds[MOST], kib[MOST];
    char name[64] = "?", *list = strdup(o->lengths), *rest = list;
    int n = 0, status = 0;
    for (char *word; !status && n < MOST && (word = strsep(&rest, ","));) {
        const int64_t tokens = option_integer("lengths", word, 64, (int64_t)1 << 40);
        double result[2];
        if (tokens > o->limits[i]) continue;
        if ((status = measure_apart(o->checkpoints[i], tokens, o->batch, result))) break;
        const char *base = strrchr(o->checkpoints[i], '/');
        snprintf(name, sizeof name, "%.*s", (int)strcspn(base ? base + 1 : o->checkpoints[i], "-."),
                 base ? base + 1 : o->checkpoints[i]);
        fprintf(to, "%s\t%lld\t%lld\t%d\t%.0f\t%.0f\n", name, (long long)tokens, (long long)o->batch,
                omp_get_max_threads(), result[0], result[1]);
        fflush(to);
        fprintf(stderr, "scaling: %-10s length %8lld  %9.0f tokens/s  peak %7.0f KiB\n", name,
                (long long)tokens, result[0], result[1]);
        length[n] = (double)tokens;
        seconds[n] = (double)tokens / result[0];
        kib[n++] = result[1];
    }
    free(list);
    if (!status) report_growth(to, name, n, length, seconds, kib);
    return status;
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options, parse, "CHECKPOINT|CONFIG.json [--limit N] ...", "Speed and peak memory against length.", 0,
        0,       0};
    ScalingOptions o = {.out = "results/scaling.tsv", .lengths = "1K,2K,4K,8K,16K,32K,64K,128K", .batch = 1};
    char message[1024] = "a measurement failed", command[1024];
    Tsv tsv;
    tsv_command(command, sizeof command, argc, argv);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, 0, &o);
    option_threads(o.threads);
    int status = tsv_open(&tsv, o.out, command, "mixer\tlength\tbatch\tthreads\ttokens_per_s\tpeak_rss_kib",
                          message, sizeof message);
    for (int i = 0; !status && i < o.count; i++) status = measure_checkpoint(&o, i, tsv.file);
    if (!status) status = tsv_close(&tsv, message, sizeof message);
    if (status) fprintf(stderr, "titans bench scaling: %s\n", message);
    return status ? 1 : 0;
}

const Bench bench_scaling = {"scaling", "tokens per second and peak memory against length", run};
