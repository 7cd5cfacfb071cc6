#include "bench/shared/ask.h"
#include "base/field.h"
#include "base/number.h"
#include "terminal/options.h"
#include "file/settings.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_ENTRIES = 256, ASK_REASON = 2048 };
#define FAIL(...) return snprintf(message, size, __VA_ARGS__), -1

/* ---- an entry ---- */

static const Field fields[] = {
    TEXT_FIELD(AskEntry, table, "table", "", "name of the table"),
    TEXT_FIELD(AskEntry, models, "models", "", "patterns of the models' names, \"A,B,..\""),
    TEXT_FIELD(AskEntry, lengths, "lengths", "1K,4K,16K,64K,128K", "lengths in tokens"),
    TEXT_FIELD(AskEntry, limit, "limit", "", "longest length"),
    TEXT_FIELD(AskEntry, task, "task", "", "task in place of the one trained on"),
    TEXT_FIELD(AskEntry, haystack, "haystack", "", "prose of the haystack"),
    TEXT_FIELD(AskEntry, words, "words", "", "words of keys"),
    TEXT_FIELD(AskEntry, side, "side", "", "part of prose and words that is asked"),
    INTEGER_FIELD(AskEntry, needles.samples, "samples", 1, 100000, 20, "samples per length"),
    INTEGER_FIELD(AskEntry, needles.long_samples, "long_samples", 0, 100000, 0,
                  "samples per length above 128K; 0: as samples"),
    INTEGER_FIELD(AskEntry, needles.depths, "depths", 1, NEEDLES_DEPTHS, 5, "depths of the needle"),
    INTEGER_FIELD(AskEntry, needles.with_answers, "answers", 0, 1, 0,
                  "a column for the share of answers found"),
    INTEGER_FIELD(AskEntry, needles.batch, "batch", 1, 4096, 4, "samples side by side"),
    INTEGER_FIELD(AskEntry, needles.seed, "seed", 0, 9007199254740992.0, 1, "seed of the samples"),
    FIELD_END};

static const char *field_key(int i) {
    const int count = (int)(sizeof fields / sizeof *fields) - 1;
    return i < count ? fields[i].key : i == count ? "set" : 0;
}

static int key_read(AskEntry *e, const cJSON *item, char *message, size_t size) {
    const Field *field = field_find(fields, item->string);
    if (!field) return word_unknown("key", item->string, field_key, message, size), -1;
    if (cJSON_IsNumber(item) && field->kind == FIELD_INTEGER)
        return field_set_number(field, e, item->valuedouble, message, size);
    const char *text = settings_text(item);
    if (!text) FAIL("\"%s\" must be a text or a number", item->string);
    return field_set_text(field, e, text, message, size);
}

/* "key=value" of every key of "set". */
static int set_read(AskEntry *e, const cJSON *set, char *message, size_t size) {
    const cJSON *item;
    if (!cJSON_IsObject(set)) FAIL("\"set\" must be an object of keys and values");
    cJSON_ArrayForEach(item, set) {
        const char *text = settings_text(item);
        char number[32];
        number_format(number, sizeof number, "%.17g", item->valuedouble);
        if (cJSON_IsNumber(item)) text = number;
        if (e->sets == NEEDLES_KEYS) FAIL("\"set\" has more than %d keys", NEEDLES_KEYS);
        if (!text || (size_t)snprintf(e->set[e->sets], sizeof e->set[0], "%s=%s", item->string, text) >=
                         sizeof e->set[0])
            FAIL("\"set\": the value of \"%s\" must be a short text or a number", item->string);
        e->sets++;
    }
    return 0;
}

/* What the texts of an entry say. */
static int entry_settle(AskEntry *e, char *message, size_t size) {
    enum { LONGEST = 40 };
    Needles *n = &e->needles;
    if (!*e->table || strchr(e->table, '/') || *e->table == '.')
        FAIL("\"table\" must be a text that can be a file's name");
    if (integers_read(e->lengths, 1, (int64_t)1 << LONGEST, NEEDLES_MOST, n->lengths, &n->length_count))
        FAIL("\"lengths\" must read like \"256,4K,1M\", at most %d of them", NEEDLES_MOST);
    e->longest = INT64_MAX;
    if (*e->limit && integer_read(e->limit, 1, (int64_t)1 << LONGEST, &e->longest))
        FAIL("\"limit\" must be a length, like \"16K\"");
    n->asked = (Asked){.task = *e->task ? e->task : 0,
                       .haystack = *e->haystack ? e->haystack : 0,
                       .words = *e->words ? e->words : 0,
                       .side = *e->side ? e->side : 0,
                       .several = 1};
    return 0;
}

static int entry_read(AskEntry *e, const cJSON *object, char *message, size_t size) {
    const cJSON *item;
    if (!cJSON_IsObject(object)) FAIL("each must be an object: {\"table\": .., \"lengths\": ..}");
    needles_begin(&e->needles);
    field_defaults(fields, e);
    cJSON_ArrayForEach(item, object) {
        const int is_set = !strcmp(item->string, "set");
        if (is_set ? set_read(e, item, message, size) : key_read(e, item, message, size)) return -1;
    }
    return entry_settle(e, message, size);
}

/* ---- jobs ---- */

/* Whether a model's name, with its seed or without, is like one of the patterns. */
static int entry_wants(const AskEntry *e, const SweepJob *model) {
    char name[sizeof model->name], list[sizeof e->models], *rest = list, *pattern;
    if (!*e->models) return 1;
    snprintf(name, sizeof name, "%.*s", (int)(strrchr(model->name, '-') - model->name), model->name);
    snprintf(list, sizeof list, "%s", e->models);
    while ((pattern = strsep(&rest, ",")))
        if (!fnmatch(pattern, name, 0) || !fnmatch(pattern, model->name, 0)) return 1;
    return 0;
}

/* FOLDER/TABLE.tsv must not be another file of the sweep. */
static int table_collides(const Sweep *sweep, const char *table, char *message, size_t size) {
    int same = !strcmp(table, "sweep");
    for (int i = 0; i < sweep->count; i++) same |= !strcmp(table, sweep->jobs[i].name);
    if (same) FAIL("\"table\": %s.tsv is the log of a training, or the table of the sweep", table);
    return 0;
}

static int folder_make(const char *folder, const char *table, char *message, size_t size) {
    char *path = 0;
    if (asprintf(&path, "%s/%s", folder, table) < 0) FAIL("no memory");
    const int status = mkdir(path, 0777) && errno != EEXIST;
    if (status) snprintf(message, size, "folder %s: %s", path, strerror(errno));
    free(path);
    return -status;
}

/* What the model will be asked with, before it is there: names and keys that nobody knows. */
static int job_check(const AskEntry *e, const SweepJob *model, char *message, size_t size) {
    Recipe recipe = model->recipe;
    if (asked_apply(&e->needles.asked, &recipe, message, size)) return -1;
    for (int i = 0; i < e->sets; i++)
        if (asked_key(&recipe.model, e->set[i], message, size)) return -1;
    return 0;
}

static int job_add(Ask *ask, const char *folder, int entry, const SweepJob *model, char *message,
                   size_t size) {
    AskJob *job = &ask->jobs[ask->count++];
    const AskEntry *e = &ask->entries[entry];
    const NeedleSubject asked = {.limit = e->longest};
    *job = (AskJob){.entry = e, .model = model, .tokens = needles_tokens(&e->needles, &asked)};
    job->done = !job->tokens; /* all of it is above the limit */
    if (asprintf(&job->table, "%s/%s/%s-%d.tsv", folder, e->table, model->name, entry) < 0 ||
        asprintf(&job->claim, "%s/%s/%s-%d.claim", folder, e->table, model->name, entry) < 0)
        FAIL("no memory for what is asked");
    return job_check(e, model, message, size);
}

static int ask_jobs(Ask *ask, const Sweep *sweep, char *message, size_t size) {
    ask->room = (int64_t)ask->entry_count * sweep->count;
    ask->jobs = calloc((size_t)ask->room + 1, sizeof *ask->jobs);
    if (!ask->jobs) FAIL("no memory for what is asked");
    for (int k = 0; k < ask->entry_count; k++) {
        const AskEntry *e = &ask->entries[k];
        int models = 0;
        if (table_collides(sweep, e->table, message, size) ||
            folder_make(sweep->folder, e->table, message, size))
            return -1;
        for (int i = 0; i < sweep->count; i++) {
            if (!entry_wants(e, &sweep->jobs[i])) continue;
            models++;
            if (job_add(ask, sweep->folder, k, &sweep->jobs[i], message, size)) return -1;
        }
        if (!models) FAIL("\"models\": no recipe is called like \"%s\"", e->models);
    }
    return 0;
}

/* A table has a column for keys, or for answers, if one of its entries has. */
static void share_columns(Ask *ask) {
    for (int i = 0; i < ask->entry_count; i++)
        for (int k = 0; k < ask->entry_count; k++)
            if (!strcmp(ask->entries[i].table, ask->entries[k].table)) {
                ask->entries[i].needles.with_set |= ask->entries[k].sets > 0;
                ask->entries[i].needles.with_answers |= ask->entries[k].needles.with_answers;
            }
}

static int ask_read(Ask *ask, const cJSON *list, int64_t limit, char *message, size_t size) {
    const cJSON *item;
    if (!list) return 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > MOST_ENTRIES)
        FAIL("it must be a list, of at most %d", MOST_ENTRIES);
    ask->entries = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *ask->entries);
    if (!ask->entries) FAIL("no memory");
    cJSON_ArrayForEach(item, list) {
        AskEntry *e = &ask->entries[ask->entry_count++];
        if (entry_read(e, item, message, size)) return -1;
        if (limit < e->longest) e->longest = limit;
    }
    share_columns(ask);
    return 0;
}

int ask_open(Ask *ask, const char *path, const Sweep *sweep, int64_t limit, char *message, size_t size) {
    char reason[ASK_REASON];
    *ask = (Ask){0};
    cJSON *object = settings_open(path, message, size);
    if (!object) return -1;
    const int status =
        ask_read(ask, cJSON_GetObjectItemCaseSensitive(object, "ask"), limit, reason, sizeof reason) ||
        ask_jobs(ask, sweep, reason, sizeof reason);
    cJSON_Delete(object);
    if (!status) return 0;
    ask_close(ask);
    FAIL("%s: \"ask\": %s", path, reason);
}

void ask_close(Ask *ask) {
    for (int i = 0; i < ask->count; i++) {
        free(ask->jobs[i].table);
        free(ask->jobs[i].claim);
    }
    free(ask->jobs);
    free(ask->entries);
    *ask = (Ask){0};
}

/* ---- asking ---- */

int ask_run(const AskJob *job, int argc, char **argv,
            void (*after)(void *context, const char *line, int64_t tokens), void *context, char *message,
            size_t size) {
    static Needles n;
    Tsv table;
    n = job->entry->needles;
    n.resume = 1;
    n.after = after;
    n.context = context;
    NeedleSubject *subject = needles_add(&n, job->model->checkpoint);
    subject->limit = job->entry->longest;
    for (int i = 0; i < job->entry->sets; i++)
        if (needles_set(&n, subject, job->entry->set[i], message, size)) return -1;
    if (tsv_open(&table, job->table, TSV_RESUME, argc, argv, needles_columns(&n), message, size)) return -1;
    return tsv_end(&table, needles_measure(&n, &table, message, size), message, size);
}

/* The notes and rows of a job's table, without what stands above them. */
static void copy_rows(const char *path, FILE *to) {
    char *line = 0;
    size_t room = 0;
    int body = 0;
    FILE *from = fopen(path, "r");
    while (from && getline(&line, &room, from) > 0) {
        if (body) fputs(line, to);
        body |= *line != '#';
    }
    free(line);
    if (from) fclose(from);
}

static int gather_table(const Ask *ask, int first, const char *folder, int argc, char **argv, char *message,
                        size_t size) {
    const AskEntry *e = &ask->entries[first];
    char *path = 0;
    Tsv table;
    if (asprintf(&path, "%s/%s.tsv", folder, e->table) < 0) FAIL("no memory");
    const int status =
        tsv_open(&table, path, TSV_FORCE, argc, argv, needles_columns(&e->needles), message, size);
    free(path);
    if (status) return -1;
    for (int i = 0; i < ask->count; i++)
        if (!strcmp(ask->jobs[i].entry->table, e->table)) copy_rows(ask->jobs[i].table, table.file);
    return tsv_close(&table, message, size);
}

int ask_gather(const Ask *ask, const char *folder, int argc, char **argv, char *message, size_t size) {
    for (int i = 0; i < ask->entry_count; i++) {
        int first = 0;
        while (strcmp(ask->entries[first].table, ask->entries[i].table)) first++;
        if (first == i && gather_table(ask, i, folder, argc, argv, message, size)) return -1;
    }
    return 0;
}
