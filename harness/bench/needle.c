/* Exact match by length and depth, one row per length and depth and one per length of each checkpoint:
 * needle.tsv. */
#include "bench/bench.h"
#include "bench/shared/table.h"
#include "terminal/interrupt.h"
#include "base/check.h"
#include "base/hash.h"
#include "file/settings.h"
#include "file/state.h"
#include "learn/evaluate.h"
#include "terminal/files.h"
#include "terminal/options.h"
#include "terminal/stats.h"

#include <argp.h>
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, MOST_DEPTHS = 100, MOST_KEYS = 8, SET_TEXT = 256 };
#define IDENTITY "rows of" /* the note of a checkpoint: what its rows depend on */

/* What is asked: a checkpoint, and the keys "key=value" that it is asked with. */
typedef struct {
    const char *file, *assignment[MOST_KEYS];
    int assignments;
    int64_t limit;
    char set[SET_TEXT]; /* "key=value key=value", "-" without */
} Subject;

typedef struct {
    TableOptions table;
    Subject subjects[MOST];
    Asked asked;
    int file_count, length_count,
        with_set; /* with_set: some checkpoint has keys, and the table a column for them */
    int64_t lengths[MOST], samples, seed, depths, batch, long_samples;
} NeedleOptions;

enum {
    OPTION_LENGTHS = 256,
    OPTION_DEPTHS,
    OPTION_BATCH,
    OPTION_LIMIT,
    OPTION_LONG,
    OPTION_RESUME,
    OPTION_SET
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
    {"seed", 's', "S", 0, "seed of the samples (default 1)", 0},
    {"batch", OPTION_BATCH, "N", 0, "samples side by side (default 4)", 0},
    {"resume", OPTION_RESUME, 0, 0, "keep the lengths that the table has and measure the others", 0},
    {0}};

static void parse_set(NeedleOptions *o, const char *assignment, struct argp_state *state) {
    if (!o->file_count) argp_error(state, "--set comes after the checkpoint it belongs to");
    Subject *s = &o->subjects[o->file_count - 1];
    const size_t used = s->assignments ? strlen(s->set) : 0;
    if (s->assignments == MOST_KEYS || used + strlen(assignment) + 2 > sizeof s->set)
        argp_error(state, "more than %d times --set, or %d characters, for a checkpoint", MOST_KEYS,
                   SET_TEXT);
    snprintf(s->set + used, sizeof s->set - used, "%s%s", used ? " " : "", assignment);
    s->assignment[s->assignments++] = assignment;
    o->with_set = 1;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    NeedleOptions *o = state->input;
    switch (key) {
    case 'n':
        o->samples = option_integer("samples", arg, 1, 100000);
        break;
    case 's':
        o->seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        state->child_inputs[1] = &o->asked;
        break;
    case OPTION_LENGTHS:
        o->length_count = option_integers("lengths", arg, 1, (int64_t)1 << 40, MOST, o->lengths);
        break;
    case OPTION_LONG:
        o->long_samples = option_integer("long-samples", arg, 1, 100000);
        break;
    case OPTION_DEPTHS:
        o->depths = option_integer("depths", arg, 1, MOST_DEPTHS);
        break;
    case OPTION_BATCH:
        o->batch = option_integer("batch", arg, 1, 4096);
        break;
    case OPTION_RESUME:
        o->table.resume = 1;
        break;
    case OPTION_LIMIT:
        if (!o->file_count) argp_error(state, "--limit comes after the checkpoint it belongs to");
        o->subjects[o->file_count - 1].limit = option_integer("limit", arg, 1, (int64_t)1 << 40);
        break;
    case OPTION_SET:
        parse_set(o, arg, state);
        break;
    case ARGP_KEY_ARG:
        if (o->file_count == MOST) argp_error(state, "more than %d checkpoints", MOST);
        o->subjects[o->file_count++] = (Subject){.file = arg, .limit = INT64_MAX, .set = "-"};
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
    const Subject *subject;
    int64_t length;
    int with_set;
    FILE *to;
} Row;

/* depth: where the needles were in the mean, or "all" for the row that sums up a length. */
static void write_row(const Row *r, const char *depth, int64_t samples, int64_t right, int64_t seed) {
    double low, high;
    stats_proportion(right, samples, &low, &high);
    fprintf(r->to, "%s\t%s\t%lld\t%s\t%lld\t%lld\t%.4f\t%.4f\t%.4f\t%lld\t%lld\t", r->t->model.mixer->name,
            r->t->recipe.task_name, (long long)r->length, depth, (long long)samples, (long long)right,
            (double)right / (double)samples, low, high, (long long)seed, (long long)r->t->recipe.seed);
    tsv_text(r->to, r->subject->file);
    if (r->with_set) {
        fputc('\t', r->to);
        tsv_text(r->to, r->subject->set);
    }
    fputc('\n', r->to);
}

/* All depths of one length. 0, 1 interrupted (the length has no rows then), -1 with a message. */
static int evaluate_depths(Trained *t, const NeedleOptions *o, const Row *row, char *message, size_t size) {
    const int64_t wanted = row->length > (128 << 10) && o->long_samples ? o->long_samples : o->samples;
    const int64_t depths = o->depths < wanted ? o->depths : wanted;
    Evaluated result[MOST_DEPTHS] = {0};
    int64_t samples[MOST_DEPTHS], total = 0;
    for (int64_t d = 0; d < depths; d++) {
        samples[d] = wanted / depths + (d < wanted % depths);
        const int64_t batch = samples[d] < o->batch ? samples[d] : o->batch;
        const double depth = depths > 1 ? (double)d / (double)(depths - 1) : 0.5;
        const EvaluateOptions e = {(uint64_t)(o->seed + d), row->length, samples[d], batch, 0, depth, 1};
        const int status = evaluate(t, &e, 0, &result[d], message, size);
        if (status) return status;
        total += result[d].right;
    }
    for (int64_t d = 0; d < depths; d++) {
        char text[32];
        snprintf(text, sizeof text, "%.3f", result[d].sum.depth / (double)samples[d]);
        write_row(row, text, samples[d], result[d].right, o->seed + d);
    }
    write_row(row, "all", wanted, total, o->seed);
    fprintf(stderr, "needle: %-10s %-8s length %8lld  %lld of %lld right%s%s\n", t->model.mixer->name,
            t->recipe.task_name, (long long)row->length, (long long)total, (long long)wanted,
            row->subject->assignments ? ", " : "", row->subject->assignments ? row->subject->set : "");
    return 0;
}

static int64_t shortest(const NeedleOptions *o) {
    int64_t least = o->lengths[0];
    for (int k = 1; k < o->length_count; k++) least = o->lengths[k] < least ? o->lengths[k] : least;
    return least;
}

/* ---- what an interrupted run has left ---- */

/* Fields of a row of the table, those that it lacks empty; the count. */
static int fields_of(char *line, char **field, int most) {
    int n = 0;
    char *end = line + strcspn(line, "\n");
    *end = 0;
    for (char *rest = line; n < most && rest;) field[n++] = strsep(&rest, "\t");
    for (int i = n; i < most; i++) field[i] = end;
    return n;
}

/* Whether an old row is of this checkpoint and length; that it is of the same weights and texts is checked before. */
static int row_belongs(const NeedleOptions *o, int i, int64_t length, char **field) {
    return strtoll(field[2], 0, 10) == length && !strcmp(field[11], o->subjects[i].file) &&
           (!o->with_set || !strcmp(field[12], o->subjects[i].set));
}

/* Copies the rows of one checkpoint and length from the table as it was; 1 if they are all there. */
static int keep_length(const NeedleOptions *o, int i, int64_t length, const Tsv *table) {
    enum { COLUMNS = 12 };
    char *line = 0, *rows = 0, *field[COLUMNS + 1];
    const int columns = COLUMNS + o->with_set;
    size_t room = 0, all = 0;
    int whole = 0;
    FILE *old = o->table.resume && !table->output.through ? fopen(o->table.out, "r") : 0,
         *kept = open_memstream(&rows, &all);
    while (old && kept && getline(&line, &room, old) > 0) {
        char *copy = strdup(line);
        if (*line != '#' && copy && fields_of(copy, field, columns) == columns &&
            row_belongs(o, i, length, field)) {
            fputs(line, kept);
            whole |= !strcmp(field[3], "all");
        }
        free(copy);
    }
    if (kept) fclose(kept);
    if (old) fclose(old);
    if (whole) fwrite(rows, 1, all, table->file);
    free(rows);
    free(line);
    return whole;
}

/* What the rows of a checkpoint depend on besides their length (malloc). */
static char *identity(const Trained *t, const NeedleOptions *o, const Subject *subject) {
    char hash[HASH_TEXT], *config = settings_of_model(&t->model.config);
    cJSON *about = trained_identity(t);
    hash_text(hash, state_weights_hash(&t->model));
    cJSON_AddStringToObject(about, "weights", hash);
    cJSON_AddRawToObject(about, "configuration", config ? config : "{}");
    if (subject->assignments) cJSON_AddStringToObject(about, "set", subject->set);
    cJSON_AddNumberToObject(about, "seed", (double)o->seed);
    cJSON_AddNumberToObject(about, "depths", (double)o->depths);
    cJSON_AddNumberToObject(about, "samples", (double)o->samples);
    cJSON_AddNumberToObject(about, "long samples", (double)o->long_samples);
    char *text = cJSON_PrintUnformatted(about);
    cJSON_Delete(about);
    free(config);
    CHECK(text, "no memory to describe a checkpoint");
    return text;
}

/* "# rows of FILE: {..}"; of the table as it was, if it has one, it must say the same. */
static int identify(const Trained *t, const NeedleOptions *o, int i, const Tsv *table, char *message,
                    size_t size) {
    const Subject *subject = &o->subjects[i];
    char *own = identity(t, o, subject), *line = 0, difference[512], *name = 0;
    size_t room = 0, n;
    CHECK(asprintf(&name, "%s%s%s", subject->file, subject->assignments ? " with " : "",
                   subject->assignments ? subject->set : "") > 0,
          "no memory to name a checkpoint");
    int status = 0;
    FILE *old = o->table.resume && !table->output.through ? fopen(o->table.out, "r") : 0;
    table_note(table, IDENTITY, name, own);
    while (!status && old && getline(&line, &room, old) > 0) {
        line[strcspn(line, "\n")] = 0;
        n = strlen("# " IDENTITY " ") + strlen(name);
        if (strncmp(line, "# " IDENTITY " ", n - strlen(name)) || strlen(line) < n + 2) continue;
        if (strncmp(line + n - strlen(name), name, strlen(name)) || line[n] != ':') continue;
        if (!settings_differ(line + n + 1, own, difference, sizeof difference)) continue;
        snprintf(message, size, "%s has rows of %s that are others: %s; --force begins anew", o->table.out,
                 name, difference);
        status = -1;
    }
    if (old) fclose(old);
    free(line);
    free(own);
    free(name);
    return status;
}

static int evaluate_file(const NeedleOptions *o, int i, Tsv *table, int64_t *rows, char *message,
                         size_t size) {
    static Trained t;
    const Subject *subject = &o->subjects[i];
    if (trained_open(&t, subject->file, &o->asked, shortest(o), message, size)) return -1;
    int status = identify(&t, o, i, table, message, size);
    table_sources(table, subject->file, &t.task);
    for (int k = 0; !status && k < o->length_count; k++) {
        const Row row = {&t, subject, o->lengths[k], o->with_set, table->file};
        if (o->lengths[k] > subject->limit) continue;
        ++*rows;
        if (keep_length(o, i, o->lengths[k], table)) continue;
        if (task_fits(&t.task, o->lengths[k], message, size) ||
            trained_ask(&t, subject->assignment, subject->assignments, o->lengths[k], message, size)) {
            status = -1;
            break;
        }
        status = evaluate_depths(&t, o, &row, message, size);
        if (!status) status = tsv_save(table, message, size);
    }
    trained_close(&t);
    return status;
}

static int measure(void *options, Tsv *table, char *message, size_t size) {
    const NeedleOptions *o = options;
    int64_t rows = 0;
    int status = 0;
    for (int i = 0; !status && i < o->file_count; i++)
        status = files_reads(o->subjects[i].file, message, size);
    for (int i = 0; !status && i < o->file_count; i++)
        status = evaluate_file(o, i, table, &rows, message, size);
    if (status || rows) return status;
    snprintf(message, size, "every length is above --limit: nothing to measure");
    return -1;
}

static int run(int argc, char **argv) {
#define COLUMNS                                                                                              \
    "mixer\ttask\tlength\tdepth\tsamples\tcorrect\taccuracy\tlow\thigh\tseed\ttrain_seed\tcheckpoint"
    static const TableWork plain = {"needle", COLUMNS, measure},
                           with_set = {"needle", COLUMNS "\tset", measure};
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
    NeedleOptions o = {.table = {.out = "needle.tsv"},
                       .asked = {.several = 1},
                       .lengths = {1 << 10, 4 << 10, 16 << 10, 64 << 10, 128 << 10},
                       .length_count = 5,
                       .samples = 20,
                       .seed = 1,
                       .depths = 5,
                       .batch = 4};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, 0, &o);
    return table_run(o.with_set ? &with_set : &plain, &o, &o.table, argc, argv);
}

const Bench bench_needle = {"needle", "exact match of checkpoints by length and depth", run};
