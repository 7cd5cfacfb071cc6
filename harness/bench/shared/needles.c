#include "bench/shared/needles.h"
#include "base/check.h"
#include "base/hash.h"
#include "bench/shared/table.h"
#include "file/settings.h"
#include "file/state.h"
#include "learn/evaluate.h"
#include "terminal/files.h"
#include "terminal/interrupt.h"
#include "terminal/stats.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY "rows of" /* the note of a checkpoint: what its rows depend on */
#define COLUMNS                                                                                              \
    "mixer\ttask\tlength\tdepth\tsamples\tcorrect\taccuracy\tlow\thigh\tseed\ttrain_seed\tcheckpoint"

const char *needles_columns(const Needles *n) {
    static const char *const columns[2][2] = {{COLUMNS, COLUMNS "\tanswers"},
                                              {COLUMNS "\tset", COLUMNS "\tset\tanswers"}};
    return columns[n->with_set][n->with_answers];
}

void needles_begin(Needles *n) {
    *n = (Needles){.asked = {.several = 1},
                   .lengths = {1 << 10, 4 << 10, 16 << 10, 64 << 10, 128 << 10},
                   .length_count = 5,
                   .samples = 20,
                   .seed = 1,
                   .depths = 5,
                   .batch = 4};
}

NeedleSubject *needles_add(Needles *n, const char *file) {
    if (n->count == NEEDLES_MOST) return 0;
    n->subjects[n->count] = (NeedleSubject){.file = file, .limit = INT64_MAX, .set = "-"};
    return &n->subjects[n->count++];
}

int needles_set(Needles *n, NeedleSubject *s, const char *assignment, char *message, size_t size) {
    const size_t used = s->assignments ? strlen(s->set) : 0;
    if (s->assignments == NEEDLES_KEYS || used + strlen(assignment) + 2 > sizeof s->set)
        return snprintf(message, size, "a checkpoint is asked with at most %d keys, of %d characters in all",
                        NEEDLES_KEYS, NEEDLES_SET - 1),
               -1;
    snprintf(s->set + used, sizeof s->set - used, "%s%s", used ? " " : "", assignment);
    s->assignment[s->assignments++] = assignment;
    n->with_set = 1;
    return 0;
}

int64_t needles_samples(const Needles *n, int64_t length) {
    return length > (128 << 10) && n->long_samples ? n->long_samples : n->samples;
}

int64_t needles_tokens(const Needles *n, const NeedleSubject *s) {
    int64_t tokens = 0;
    for (int k = 0; k < n->length_count; k++)
        if (n->lengths[k] <= s->limit) tokens += needles_samples(n, n->lengths[k]) * n->lengths[k];
    return tokens;
}

typedef struct {
    const Trained *t;
    const NeedleSubject *subject;
    int64_t length;
    int with_set, with_answers;
    FILE *to;
} Row;

/* depth: where the needles were in the mean, or "all" for the row that sums up a length. */
static void write_row(const Row *r, const char *depth, int64_t samples, const Evaluated *e, int64_t seed) {
    const int64_t right = e->right;
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
    if (r->with_answers && e->sum.answers)
        fprintf(r->to, "\t%.4f", (double)e->sum.found / (double)e->sum.answers);
    else if (r->with_answers)
        fputs("\t-", r->to);
    fputc('\n', r->to);
}

static void tell(const Needles *o, const Row *row, int64_t right, int64_t samples) {
    char line[NEEDLES_SET + 128];
    const NeedleSubject *s = row->subject;
    if (!o->after) return;
    snprintf(line, sizeof line, "%-10.32s %-8.32s length %8lld  %lld of %lld right%s%s",
             row->t->model.mixer->name, row->t->recipe.task_name, (long long)row->length, (long long)right,
             (long long)samples, s->assignments ? ", " : "", s->assignments ? s->set : "");
    o->after(o->context, line, samples * row->length);
}

/* What came out at each depth. */
typedef struct {
    int64_t depths, samples[NEEDLES_DEPTHS];
    Evaluated at[NEEDLES_DEPTHS];
} Depths;

/* All depths of one length; right: a flag for each sample, depth by depth, or NULL. 0, 1 interrupted, -1 with a message. */
static int ask_depths(Trained *t, const Needles *o, int64_t length, Depths *out, unsigned char *right,
                      char *message, size_t size) {
    const int64_t wanted = needles_samples(o, length);
    *out = (Depths){.depths = o->depths < wanted ? o->depths : wanted};
    for (int64_t d = 0; d < out->depths; d++) {
        const int64_t n = out->samples[d] = wanted / out->depths + (d < wanted % out->depths);
        const double depth = out->depths > 1 ? (double)d / (double)(out->depths - 1) : 0.5;
        const EvaluateOptions e = {
            (uint64_t)(o->seed + d), length, n, n < o->batch ? n : o->batch, 0, depth, 1};
        out->at[d].correct = right;
        const int status = evaluate(t, &e, 0, &out->at[d], message, size);
        if (status) return status;
        if (right) right += n;
    }
    return 0;
}

/* The rows of one length; none when it is interrupted. */
static int write_length(Trained *t, const Needles *o, const Row *row, char *message, size_t size) {
    Depths result;
    Evaluated total = {0};
    const int64_t wanted = needles_samples(o, row->length);
    const int status = ask_depths(t, o, row->length, &result, 0, message, size);
    if (status) return status;
    for (int64_t d = 0; d < result.depths; d++) {
        char text[32];
        total.right += result.at[d].right;
        score_add(&total.sum, &result.at[d].sum);
        snprintf(text, sizeof text, "%.3f", result.at[d].sum.depth / (double)result.samples[d]);
        write_row(row, text, result.samples[d], &result.at[d], o->seed + d);
    }
    write_row(row, "all", wanted, &total, o->seed);
    tell(o, row, total.right, wanted);
    return 0;
}

static int64_t shortest(const Needles *o) {
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
static int row_belongs(const Needles *o, int i, int64_t length, char **field) {
    return strtoll(field[2], 0, 10) == length && !strcmp(field[11], o->subjects[i].file) &&
           (!o->with_set || !strcmp(field[12], o->subjects[i].set));
}

/* Copies the rows of one checkpoint and length from the table as it was; 1 if they are all there. */
static int keep_length(const Needles *o, int i, int64_t length, const Tsv *table) {
    enum { FIELDS = 12, MORE = 2 };
    char *line = 0, *rows = 0, *field[FIELDS + MORE] = {0};
    const int columns = FIELDS + o->with_set + (int)o->with_answers;
    size_t room = 0, all = 0;
    int whole = 0;
    FILE *old = o->resume && !table->output.through ? fopen(table->path, "r") : 0,
         *kept = open_memstream(&rows, &all);
    while (old && kept && getline(&line, &room, old) > 0) {
        char *copy = strdup(line);
        if (*line != '#' && copy && fields_of(copy, field, FIELDS + MORE) == columns &&
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
static char *identity(const Trained *t, const Needles *o, const NeedleSubject *subject) {
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
static int identify(const Trained *t, const Needles *o, int i, const Tsv *table, char *message, size_t size) {
    const NeedleSubject *subject = &o->subjects[i];
    char *own = identity(t, o, subject), *line = 0, difference[512], *name = 0;
    size_t room = 0, n;
    CHECK(asprintf(&name, "%s%s%s", subject->file, subject->assignments ? " with " : "",
                   subject->assignments ? subject->set : "") > 0,
          "no memory to name a checkpoint");
    int status = 0;
    FILE *old = o->resume && !table->output.through ? fopen(table->path, "r") : 0;
    table_note(table, IDENTITY, name, own);
    while (!status && old && getline(&line, &room, old) > 0) {
        line[strcspn(line, "\n")] = 0;
        n = strlen("# " IDENTITY " ") + strlen(name);
        if (strncmp(line, "# " IDENTITY " ", n - strlen(name)) || strlen(line) < n + 2) continue;
        if (strncmp(line + n - strlen(name), name, strlen(name)) || line[n] != ':') continue;
        if (!settings_differ(line + n + 1, own, difference, sizeof difference)) continue;
        snprintf(message, size,
                 "%s has rows of %s that are others: %s; begin anew with --force, or take it away",
                 table->path, name, difference);
        status = -1;
    }
    if (old) fclose(old);
    free(line);
    free(own);
    free(name);
    return status;
}

static int asks(const Needles *o, int i, int k) { return o->lengths[k] <= o->subjects[i].limit; }

/* Which lengths of which checkpoint the table has. */
typedef struct {
    unsigned char of[NEEDLES_MOST][NEEDLES_MOST];
} Kept;

/* What the rows of a checkpoint depend on, and those that an earlier run has left. The number of rows that will be there,
 * -1 with a message. */
static int begin_file(const Needles *o, int i, Tsv *table, Kept *kept, char *message, size_t size) {
    static Trained t;
    int rows = 0;
    if (trained_open(&t, o->subjects[i].file, &o->asked, shortest(o), message, size)) return -1;
    const int status = identify(&t, o, i, table, message, size);
    table_sources(table, o->subjects[i].file, &t.task);
    trained_close(&t);
    for (int k = 0; !status && k < o->length_count; k++) {
        if (!asks(o, i, k)) continue;
        kept->of[i][k] = (unsigned char)keep_length(o, i, o->lengths[k], table);
        rows++;
    }
    return status ? -1 : rows;
}

static int measure_length(Trained *t, const Needles *o, const Row *row, char *message, size_t size) {
    const NeedleSubject *s = row->subject;
    if (task_fits(&t->task, row->length, message, size) ||
        trained_ask(t, s->assignment, s->assignments, row->length, message, size))
        return -1;
    return write_length(t, o, row, message, size);
}

/* The lengths that are not kept. */
static int measure_file(const Needles *o, int i, Tsv *table, const Kept *kept, char *message, size_t size) {
    static Trained t;
    int status = 0, wanted = 0;
    for (int k = 0; k < o->length_count; k++) wanted += asks(o, i, k) && !kept->of[i][k];
    if (!wanted) return 0;
    if (trained_open(&t, o->subjects[i].file, &o->asked, shortest(o), message, size)) return -1;
    for (int k = 0; !status && k < o->length_count; k++) {
        if (!asks(o, i, k) || kept->of[i][k]) continue;
        const Row row = {&t, &o->subjects[i], o->lengths[k], o->with_set, (int)o->with_answers, table->file};
        status = measure_length(&t, o, &row, message, size);
        if (!status) status = tsv_save(table, message, size);
    }
    trained_close(&t);
    return status;
}

int needles_measure(const Needles *o, Tsv *table, char *message, size_t size) {
    Kept kept = {0};
    int rows = 0, status = 0;
    for (int i = 0; !status && i < o->count; i++) status = files_reads(o->subjects[i].file, message, size);
    for (int i = 0; !status && i < o->count; i++) {
        const int of_file = begin_file(o, i, table, &kept, message, size);
        if (of_file < 0) return -1;
        rows += of_file;
    }
    for (int i = 0; !status && i < o->count; i++) status = measure_file(o, i, table, &kept, message, size);
    if (status || rows) return status;
    snprintf(message, size, "every length is above the limit: nothing to measure");
    return -1;
}

int needles_right(const Needles *o, int i, int64_t length, unsigned char *right, char name[NEEDLES_NAME],
                  char *message, size_t size) {
    static Trained t;
    Depths result;
    const NeedleSubject *s = &o->subjects[i];
    if (trained_open(&t, s->file, &o->asked, length, message, size)) return -1;
    int status = -1;
    snprintf(name, NEEDLES_NAME, "%.*s", NEEDLES_NAME - 1, t.model.mixer->name);
    if (!task_fits(&t.task, length, message, size) &&
        !trained_ask(&t, s->assignment, s->assignments, length, message, size))
        status = ask_depths(&t, o, length, &result, right, message, size);
    trained_close(&t);
    return status;
}
