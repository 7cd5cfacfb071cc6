#include "learn/evaluate.h"
#include "base/check.h"
#include "base/number.h"
#include "base/size.h"
#include "file/settings.h"
#include "terminal/interrupt.h"
#include "terminal/progress.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t evaluate_seed(uint64_t seed) { return seed ^ 0x6576616c75617465u; }

/* An evaluation in progress: samples from `first` on are being read, with their choice-th text, as far as the stream
 * is. result has the sum of those before. */
typedef struct {
    Trained *t;
    const EvaluateOptions *o;
    Evaluated *result;
    Sample *samples;
    Score *scores;
    unsigned char *correct;
    int64_t first, batch, piece;
    int choice;
    titans_stream *stream;
    Arena arena;
    ProgressLine progress;
    char *message;
    size_t size;
} Evaluation;

static int stream_failed(Evaluation *e, const titans_error *error) {
    snprintf(e->message, e->size, "%s", error->message);
    return -1;
}

/* Texts that a batch has to read: as many as there are to choose from. */
static int batch_choices(const Evaluation *e) {
    int most = 1;
    if (e->t->recipe.task->metric != METRIC_CHOICE) return 1;
    for (int64_t b = 0; b < e->batch; b++) most = e->samples[b].choices > most ? e->samples[b].choices : most;
    return most;
}

static void batch_samples(Evaluation *e) {
    const Task *task = e->t->recipe.task;
    e->batch = e->o->samples - e->first < e->o->batch ? e->o->samples - e->first : e->o->batch;
    for (int64_t b = 0; b < e->batch; b++) {
        Sample *s = &e->samples[b];
        task_sample(&e->t->task, evaluate_seed(e->o->seed), (uint64_t)(e->first + b), e->o->length,
                    e->o->depth, s);
        if (task->metric == METRIC_CHOICE && task->choose && e->choice < s->choices)
            task->choose(e->t->task.instance, s, e->choice);
    }
}

static int batch_begin(Evaluation *e) {
    titans_error error;
    const titans_stream_options options = {.batch = e->batch, .capacity = e->o->length, .segment = e->piece};
    e->stream = titans_stream_new(&e->t->library, &options, &error);
    return e->stream ? 0 : stream_failed(e, &error);
}

/* ---- one piece of every sample of the batch ---- */

typedef struct {
    int64_t count, row_count;
    int32_t *tokens, *targets, *rows;
    float *features, *values, *outputs;
} Rows;

static Rows piece_rows(Evaluation *e, int64_t from, int64_t count) {
    const Task *task = e->t->recipe.task;
    const int64_t all = e->batch * count;
    const int64_t numbers = task->metric == METRIC_SQUARED ? task->vocab : 0;
    Rows r = {.count = count};
    int32_t **each[] = {&r.tokens, &r.targets, &r.rows};
    for (int i = 0; i < 3; i++) *each[i] = arena_take(&e->arena, (size_t)all * sizeof(int32_t));
    r.features = arena_floats(&e->arena, all * task->features);
    r.values = arena_floats(&e->arena, all * numbers);
    for (int64_t b = 0; b < e->batch; b++) {
        const int64_t at = b * count;
        const SampleRows part = {r.tokens + at, r.features + at * task->features, r.targets + at,
                                 r.values + at * numbers};
        task_read(&e->t->task, &e->samples[b], from, count, &part);
        for (int64_t t = at; t < at + count; t++)
            if (r.targets[t] >= 0) r.rows[r.row_count++] = (int32_t)t;
    }
    r.outputs = arena_floats(&e->arena, r.row_count * e->t->model.config.vocab);
    return r;
}

static void piece_score(Evaluation *e, const Rows *r) {
    const Task *task = e->t->recipe.task;
    const int64_t width = e->t->model.config.vocab, n = r->row_count;
    const int squared = task->metric == METRIC_SQUARED;
    int32_t *wanted = arena_take(&e->arena, (size_t)n * sizeof *wanted);
    int32_t *best = arena_take(&e->arena, (size_t)n * sizeof *best);
    double *loss = arena_take(&e->arena, (size_t)n * sizeof *loss);
    for (int64_t i = 0; i < n; i++) wanted[i] = r->targets[r->rows[i]];
    if (!squared) kernel->loss->forward(n, width, r->outputs, wanted, loss, best);
    for (int64_t i = 0; i < n; i++) {
        const int64_t b = r->rows[i] / r->count;
        const ScoreRow row = {r->outputs + i * width,
                              width,
                              wanted[i],
                              squared ? 0 : best[i],
                              squared ? 0.0 : loss[i],
                              squared ? r->values + r->rows[i] * width : 0};
        if (e->choice == 0 || e->choice < e->samples[b].choices)
            score_row(&e->scores[b], task, &e->samples[b], &row);
    }
}

static int piece_read(Evaluation *e, int64_t until) {
    const int64_t from = titans_stream_position(e->stream), left = until - from;
    titans_error error;
    arena_reset(&e->arena);
    const Rows r = piece_rows(e, from, left < e->piece ? left : e->piece);
    const titans_input input = {.tokens = r.tokens,
                                .features = r.features,
                                .count = r.count,
                                .rows = r.rows,
                                .row_count = r.row_count,
                                .logits = r.outputs};
    if (titans_read_input(e->stream, &input, &error)) return stream_failed(e, &error);
    if (r.row_count) piece_score(e, &r);
    if (!e->o->quiet) progress_update(&e->progress, e->progress.done + e->batch * r.count, "");
    return 0;
}

/* ---- its state in a file ---- */

/* What must be the same for a state to be gone on from (malloc). */
static char *evaluation_describe(const Evaluation *e) {
    cJSON *about = trained_identity(e->t);
    char seed[32], depth[64];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)e->o->seed);
    cJSON_AddStringToObject(about, "seed", seed);
    cJSON_AddNumberToObject(about, "length", (double)e->o->length);
    cJSON_AddNumberToObject(about, "samples", (double)e->o->samples);
    cJSON_AddNumberToObject(about, "batch", (double)e->o->batch);
    number_format(depth, sizeof depth, e->o->depth < 0.0 ? "drawn" : "%a (%g)", e->o->depth, e->o->depth);
    cJSON_AddStringToObject(about, "depth", depth);
    char *all = cJSON_PrintUnformatted(about);
    cJSON_Delete(about);
    CHECK(all, "no memory to describe an evaluation");
    return all;
}

enum { SCORE_TEXT = 200 };

static void score_write(const Score *s, char *text) {
    number_format(text, SCORE_TEXT, "%lld %lld %a %a %lld %a %d %a %lld %lld %lld;", (long long)s->asked,
                  (long long)s->right, s->loss, s->squared, (long long)s->numbers, s->best_loss,
                  s->best_choice, s->depth, (long long)s->answers, (long long)s->found, (long long)s->missed);
}

/* "N " of a list of numbers, the last one ended by ';'. */
static const char *next_number(const char *text, double *value) {
    char *end;
    *value = text ? number_parse(text, &end) : 0.0;
    return text && end != text && (*end == ' ' || *end == ';') ? end + 1 : 0;
}

static int is_count(double n) { return n >= 0.0 && n <= 0x1p53 && n == floor(n); }

static const char *score_parse(const char *text, Score *s) {
    enum { NUMBERS = 11, COUNTS = 7 };
    static const int counts[COUNTS] = {0, 1, 4, 6, 8, 9, 10};
    double n[NUMBERS];
    for (int i = 0; i < NUMBERS; i++) text = next_number(text, &n[i]);
    for (int i = 0; i < COUNTS; i++)
        if (!text || !is_count(n[counts[i]])) return 0;
    if (n[1] > n[0] || n[9] > n[8]) return 0;
    for (int i = 0; i < NUMBERS; i++)
        if (isnan(n[i])) return 0;
    if (n[6] > INT32_MAX) return 0;
    *s = (Score){(int64_t)n[0], (int64_t)n[1], n[2],          n[3],          (int64_t)n[4], n[5],
                 (int)n[6],     n[7],          (int64_t)n[8], (int64_t)n[9], (int64_t)n[10]};
    return text;
}

static int evaluation_save(Evaluation *e, const char *path) {
    titans_error error;
    char at[64], *about = evaluation_describe(e);
    char *flags = calloc((size_t)e->o->samples + 1, 1);
    char *scores = calloc((size_t)e->batch + 1, SCORE_TEXT);
    CHECK(flags && scores, "no memory for %ld samples", e->o->samples);
    snprintf(at, sizeof at, "%lld %d", (long long)e->first, e->choice);
    for (int64_t i = 0; i < e->o->samples; i++) flags[i] = e->correct[i] ? '1' : '0';
    score_write(&e->result->sum, scores);
    for (int64_t b = 0; b < e->batch; b++) score_write(&e->scores[b], scores + strlen(scores));
    const titans_note notes[] = {
        {"evaluation", about}, {"first", at}, {"correct", flags}, {"scores", scores}};
    const titans_status status = titans_stream_save(e->stream, path, notes, 4, &error);
    free(about);
    free(flags);
    free(scores);
    return status ? stream_failed(e, &error) : 0;
}

static int evaluation_restore(Evaluation *e) {
    const char *about = titans_stream_note(e->stream, "evaluation"),
               *at = titans_stream_note(e->stream, "first"),
               *flags = titans_stream_note(e->stream, "correct"),
               *scores = titans_stream_note(e->stream, "scores");
    char difference[512] = "it says nothing of one";
    long long first = -1;
    char *wanted = evaluation_describe(e);
    const int another =
        !about || !at || !flags || !scores || settings_differ(about, wanted, difference, sizeof difference);
    free(wanted);
    if (another)
        return snprintf(e->message, e->size, "the state is of another evaluation: %s", difference), -1;
    if ((int64_t)strlen(flags) != e->o->samples)
        return snprintf(e->message, e->size, "the state's answers are not those of %lld samples",
                        (long long)e->o->samples),
               -1;
    for (int64_t i = 0; i < e->o->samples; i++) e->correct[i] = flags[i] == '1';
    if (sscanf(at, "%lld %d", &first, &e->choice) != 2 || first < 0 || first >= e->o->samples ||
        first % e->o->batch || e->choice < 0)
        return snprintf(e->message, e->size, "sample %.40s is not the first of a batch", at), -1;
    e->first = first;
    batch_samples(e);
    scores = score_parse(scores, &e->result->sum);
    for (int64_t b = 0; scores && b < e->batch; b++) scores = score_parse(scores, &e->scores[b]);
    const int64_t read = titans_stream_position(e->stream);
    if (!scores || titans_stream_batch(e->stream) != e->batch || read > e->o->length)
        return snprintf(e->message, e->size,
                        "the state's scores, batch or position do not fit the evaluation"),
               -1;
    e->progress.done = e->progress.skipped = e->first * e->o->length + e->batch * read;
    return 0;
}

static int evaluation_load(Evaluation *e, const char *path) {
    char reason[1024];
    titans_error error;
    const titans_stream_options options = {.segment = e->piece};
    e->stream = titans_stream_resume(&e->t->library, path, &options, &error);
    if (!e->stream) return stream_failed(e, &error);
    if (!evaluation_restore(e)) return 0;
    snprintf(reason, sizeof reason, "%s", e->message);
    snprintf(e->message, e->size, "%s: %s", path, reason);
    return -1;
}

/* ---- all samples ---- */

/* The batch's texts to their end or to where it is to stop. 0 read, 1 stopped, -1 with a message. */
static int batch_read(Evaluation *e, const EvaluateState *files) {
    const int64_t length = e->o->length;
    int64_t at = titans_stream_position(e->stream), saved = at;
    while (at < length) {
        if (piece_read(e, files->stop_at > at && files->stop_at < length ? files->stop_at : length))
            return -1;
        at = titans_stream_position(e->stream);
        const int stopped = (at == files->stop_at || interrupt_requested()) && at < length;
        const int due = files->save_every && at - saved >= files->save_every;
        if (files->save && (stopped || due || at == length)) {
            const int failed = evaluation_save(e, files->save);
            if (failed && stopped) return -1;
            e->result->unsaved |= failed != 0; /* what has been read is not thrown away for it */
            saved = at;
        }
        if (stopped) return 1;
    }
    return 0;
}

static void batch_end(Evaluation *e) {
    const Task *task = e->t->recipe.task;
    const int choices = batch_choices(e);
    titans_stream_free(e->stream);
    e->stream = 0;
    for (int64_t b = 0; choices > 1 && b < e->batch; b++)
        if (e->choice < e->samples[b].choices) score_choice(&e->scores[b], e->choice);
    if (++e->choice < choices) return;
    for (int64_t b = 0; b < e->batch; b++) {
        e->correct[e->first + b] = (unsigned char)score_right(&e->scores[b], task, &e->samples[b]);
        e->scores[b].depth = e->samples[b].depth;
        score_add(&e->result->sum, &e->scores[b]);
        e->scores[b] = (Score){0};
    }
    e->first += e->batch;
    e->choice = 0;
}

static int evaluation_run(Evaluation *e, const EvaluateState *files) {
    int status = files->load ? evaluation_load(e, files->load) : 0;
    while (!status && e->first < e->o->samples) {
        if (!e->stream) {
            batch_samples(e);
            status = batch_begin(e);
        }
        if (!status) status = batch_read(e, files);
        if (!status) batch_end(e);
    }
    titans_stream_free(e->stream);
    return status;
}

int evaluate(Trained *t, const EvaluateOptions *o, const EvaluateState *files, Evaluated *result,
             char *message, size_t size) {
    static const EvaluateState none;
    const int64_t grain = t->model.mixer->grain ? t->model.mixer->grain(&t->model.config) : 1;
    Evaluation e = {.t = t, .o = o, .result = result, .message = message, .size = size};
    e.piece = ((o->segment ? o->segment : 512) + grain - 1) / grain * grain;
    if (size_times(o->batch, e.piece) > INT32_MAX) {
        snprintf(message, size, "a batch of %lld sequences of %lld tokens a call has more than 2^31 rows",
                 (long long)o->batch, (long long)e.piece);
        return -1;
    }
    e.samples = calloc((size_t)o->batch, sizeof *e.samples);
    e.scores = calloc((size_t)o->batch, sizeof *e.scores);
    e.correct = result->correct ? result->correct : calloc((size_t)o->samples, 1);
    CHECK(e.samples && e.scores && e.correct, "no memory for %ld samples", o->batch);
    result->sum = (Score){0};
    progress_begin(&e.progress, t->recipe.task->name, "tokens", size_times(o->samples, o->length));
    const int status = evaluation_run(&e, files ? files : &none);
    result->right = 0;
    for (int64_t i = 0; i < o->samples; i++) result->right += e.correct[i];
    if (!o->quiet) progress_end(&e.progress);
    if (e.correct != result->correct) free(e.correct);
    arena_free(&e.arena);
    free(e.scores);
    free(e.samples);
    return status;
}
