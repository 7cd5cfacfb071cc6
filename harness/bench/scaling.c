/* Tokens per second and peak memory of reading a sequence, against its length: scaling.tsv. Each row
 * is measured in a process of its own, so that the peak is that length's. Weights are those of a checkpoint,
 * or random ones of a configuration (FILE.json), with --mixers one after the other. Growth with length and
 * the length from which a mixer beats attention follow as comments. */
#include "bench/bench.h"
#include "bench/shared/reading.h"
#include "bench/shared/table.h"
#include "terminal/interrupt.h"
#include "base/check.h"
#include "file/checkpoint.h"
#include "learn/recipe.h"
#include "library/library.h"
#include "terminal/files.h"
#include "terminal/options.h"
#include "terminal/progress.h"
#include "terminal/stats.h"

#include <argp.h>
#include <math.h>
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 32, REPEATS = 7, MIXER_NAME = 64 };

/* A checkpoint or configuration, the mixer that replaces the configuration's (or ""), the longest length. */
typedef struct {
    const char *file;
    char mixer[MIXER_NAME];
    int64_t limit;
} Subject;

typedef struct {
    TableOptions table;
    const char *mixers;
    int64_t lengths[MOST];
    Subject subjects[MOST];
    int64_t batch, threads;
    int count, length_count;
} ScalingOptions;

/* One subject's rows. */
typedef struct {
    char mixer[MIXER_NAME];
    int n;
    double length[MOST], speed[MOST], kib[MOST];
} Curve;

enum { OPTION_LENGTHS = 256, OPTION_LIMIT, OPTION_BATCH, OPTION_MIXERS };
static const struct argp_option options[] = {
    {"lengths", OPTION_LENGTHS, "A,B,..", 0, "lengths in tokens, growing (K, M suffixes)", 0},
    {"limit", OPTION_LIMIT, "N", 0, "longest length for the file named last", 0},
    {"mixers", OPTION_MIXERS, "A,B,..", 0, "CONFIG.json once with each of these (default: all)", 0},
    {"batch", OPTION_BATCH, "N", 0, "sequences side by side (default 1)", 0},
    {"threads", 'k', "K", 0, "threads", 0},
    {0}};

static int is_config(const char *file) {
    const size_t length = strlen(file);
    return length >= 5 && !strcmp(file + length - 5, ".json");
}

static void add_subject(ScalingOptions *o, const char *file, const char *mixer, struct argp_state *state) {
    if (o->count == MOST) argp_error(state, "more than %d models", MOST);
    Subject *subject = &o->subjects[o->count++];
    subject->file = file;
    subject->limit = INT64_MAX;
    snprintf(subject->mixer, sizeof subject->mixer, "%s", mixer);
}

/* A configuration once with each mixer: those named, or all there are. */
static void add_file(ScalingOptions *o, const char *file, struct argp_state *state) {
    if (!is_config(file)) {
        if (o->mixers) argp_error(state, "--mixers goes with a configuration; %s is a checkpoint", file);
        add_subject(o, file, "", state);
        return;
    }
    for (int i = 0; !o->mixers && mixer_at(i); i++) add_subject(o, file, mixer_at(i)->name, state);
    if (!o->mixers) return;
    const char *list = o->mixers;
    char mixer[MIXER_NAME];
    while (option_word("mixers", &list, mixer, sizeof mixer)) add_subject(o, file, mixer, state);
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    ScalingOptions *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        break;
    case 'k':
        o->threads = option_integer("threads", arg, 1, 1024);
        break;
    case OPTION_LENGTHS:
        o->length_count = option_integers("lengths", arg, 64, (int64_t)1 << 40, MOST, o->lengths);
        for (int i = 1; i < o->length_count; i++)
            if (o->lengths[i] <= o->lengths[i - 1]) argp_error(state, "--lengths must grow");
        break;
    case OPTION_MIXERS:
        if (o->count) argp_error(state, "--mixers comes before the configuration it belongs to");
        o->mixers = arg;
        break;
    case OPTION_BATCH:
        o->batch = option_integer("batch", arg, 1, 4096);
        break;
    case OPTION_LIMIT:
        if (!o->count) argp_error(state, "--limit comes after the file it belongs to");
        for (int i = o->count - 1; i >= 0 && o->subjects[i].file == o->subjects[o->count - 1].file; i--)
            o->subjects[i].limit = option_integer("limit", arg, 1, (int64_t)1 << 40);
        break;
    case ARGP_KEY_ARG:
        add_file(o, arg, state);
        break;
    case ARGP_KEY_END:
        if (!o->count) argp_error(state, "which checkpoint or configuration?");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int open_model(const Subject *subject, Model *model, char *message, size_t size) {
    static Recipe recipe;
    char name[MIXER_NAME + 8];
    const char *const over[] = {name};
    if (!is_config(subject->file)) return checkpoint_load(subject->file, 0, model, 0, 0, 0, message, size);
    snprintf(name, sizeof name, "mixer=%s", subject->mixer);
    if (recipe_open(&recipe, subject->file, over, *subject->mixer ? 1 : 0, 1, message, size)) return -1;
    if (!recipe.model.vocab) recipe.model.vocab = 256;
    return model_create(model, &recipe.model, 1, message, size);
}

typedef struct {
    char mixer[MIXER_NAME];
    double speed, kib;
} Row;

/* The peak of one reading, and the median of REPEATS (one when a reading takes long). */
static int measure(const Subject *subject, int64_t length, int64_t batch, Row *row) {
    Model model;
    char message[MESSAGE];
    double times[REPEATS];
    int n = 0;
    double total = 0.0;
    struct rusage usage;
    if (open_model(subject, &model, message, sizeof message)) {
        fprintf(stderr, "titans bench scaling: %s\n", message);
        return -1;
    }
    const titans_model library = library_model(&model);
    do {
        if ((times[n] = reading_seconds(&library, length, batch)) < 0.0) return -1;
        if (n == 0) getrusage(RUSAGE_SELF, &usage);
    } while (total += times[n++], total < 10.0 && n < REPEATS);
    snprintf(row->mixer, sizeof row->mixer, "%s", model.mixer->name);
    row->speed = (double)(length * batch) / stats_median(n, times);
    row->kib = (double)usage.ru_maxrss;
    return 0;
}

static int measure_apart(const Subject *subject, int64_t length, int64_t batch, Row *row) {
    int ends[2], status = -1;
    if (pipe(ends)) return -1;
    fflush(0);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        status = measure(subject, length, batch, row);
        if (!status && write(ends[1], row, sizeof *row) != sizeof *row) status = -1;
        _exit(status ? 1 : 0);
    }
    close(ends[1]);
    const int whole = child > 0 && read(ends[0], row, sizeof *row) == sizeof *row;
    close(ends[0]);
    if (child > 0) waitpid(child, &status, 0);
    return whole && !status ? 0 : -1;
}

/* Growth of time and memory with length: exponents with 95 % intervals, as comment lines. */
static void report_growth(FILE *to, const Curve *c) {
    double exponent, width, seconds[MOST];
    if (c->n < 3) return;
    const int skip = c->n > 4 ? c->n - 4 : 0, n = c->n - skip; /* short lengths show constant costs instead */
    for (int i = 0; i < c->n; i++) seconds[i] = c->length[i] / c->speed[i];
    stats_power_law(n, c->length + skip, seconds + skip, &exponent, &width);
    fprintf(to, "# growth: %s time ~ length^%.3f +- %.3f (last %d lengths)\n", c->mixer, exponent, width, n);
    fprintf(stderr, "scaling: %s time grows as length^%.3f +- %.3f\n", c->mixer, exponent, width);
    stats_power_law(n, c->length + skip, c->kib + skip, &exponent, &width);
    fprintf(to, "# growth: %s memory ~ length^%.3f +- %.3f (last %d lengths)\n", c->mixer, exponent, width,
            n);
}

static void say_crossing(FILE *to, const Curve *c, const char *what, int n, const double *ratio) {
    const double at = stats_crossing(n, c->length, ratio);
    char text[128];
    if (isnan(at))
        snprintf(text, sizeof text, "does not beat attention in %s up to %.0f tokens", what,
                 c->length[n - 1]);
    else
        snprintf(text, sizeof text, "beats attention in %s from %s%.0f tokens", what,
                 at > c->length[0] ? "" : "at most ", at);
    fprintf(to, "# crossover: %s %s\n", c->mixer, text);
    fprintf(stderr, "scaling: %s %s\n", c->mixer, text);
}

/* Lengths that both read are the first ones of either: a limit only cuts off the end. */
static void report_crossover(FILE *to, const Curve *c, const Curve *attention) {
    double speed[MOST], memory[MOST];
    const int n = c->n < attention->n ? c->n : attention->n;
    for (int i = 0; i < n; i++) {
        speed[i] = c->speed[i] / attention->speed[i];
        memory[i] = attention->kib[i] / c->kib[i];
    }
    if (n == 0 || !strcmp(c->mixer, attention->mixer)) return;
    say_crossing(to, c, "speed", n, speed);
    say_crossing(to, c, "memory", n, memory);
}

static int measure_subject(const ScalingOptions *o, const Subject *subject, Curve *curve, FILE *to) {
    int status = 0;
    for (int i = 0; !status && i < o->length_count; i++) {
        const int64_t tokens = o->lengths[i];
        Row row;
        if (tokens > subject->limit) continue;
        status = measure_apart(subject, tokens, o->batch, &row);
        if (interrupt_requested()) status = 1;
        if (status) break;
        fprintf(to, "%s\t%lld\t%lld\t%d\t%.0f\t%.0f\n", row.mixer, (long long)tokens, (long long)o->batch,
                omp_get_max_threads(), row.speed, row.kib);
        fflush(to);
        fprintf(stderr, "scaling: %-10s length %8lld  %9.0f tokens/s  peak %7.0f KiB\n", row.mixer,
                (long long)tokens, row.speed, row.kib);
        snprintf(curve->mixer, sizeof curve->mixer, "%s", row.mixer);
        curve->length[curve->n] = (double)tokens;
        curve->speed[curve->n] = row.speed / (double)o->batch;
        curve->kib[curve->n++] = row.kib;
    }
    if (!status) report_growth(to, curve);
    return status;
}

static int measure_all(void *options, Tsv *table, char *message, size_t size) {
    const ScalingOptions *o = options;
    static Curve curves[MOST];
    const Curve *attention = 0;
    int status = 0, rows = 0;
    snprintf(message, size, "a measurement failed");
    for (int i = 0; !status && i < o->count; i++) status = files_reads(o->subjects[i].file, message, size);
    for (int i = 0; !status && i < o->count; i++) {
        status = measure_subject(o, &o->subjects[i], &curves[i], table->file);
        rows += curves[i].n;
        if (!strcmp(curves[i].mixer, "attention")) attention = &curves[i];
    }
    for (int i = 0; !status && attention && i < o->count; i++)
        report_crossover(table->file, &curves[i], attention);
    if (status || rows) return status;
    snprintf(message, size, "every length is above --limit: nothing to measure");
    return -1;
}

static int run(int argc, char **argv) {
    static const TableWork work = {"scaling", "mixer\tlength\tbatch\tthreads\ttokens_per_s\tpeak_rss_kib",
                                   measure_all};
    const struct argp argp = {options,
                              parse,
                              "CHECKPOINT|CONFIG.json [--limit N] ...",
                              "Speed and peak memory against length."
                              "\vExamples:\n  titans bench scaling --mixers attention,lmm recipe.json "
                              "--lengths 1K,4K,16K\n  titans bench scaling m.safetensors --lengths 128K,1M",
                              table_children,
                              0,
                              0};
    ScalingOptions o = {.table = {.out = "scaling.tsv"}, .length_count = 8, .batch = 1};
    for (int i = 0; i < o.length_count; i++) o.lengths[i] = (int64_t)1024 << i;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, 0, &o);
    option_threads(o.threads);
    return table_run(&work, &o, &o.table, argc, argv);
}

const Bench bench_scaling = {"scaling", "tokens per second and peak memory against length", run};
