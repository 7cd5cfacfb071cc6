#include "learn/evaluate.h"
#include "base/check.h"
#include "terminal/interrupt.h"
#include "file/state.h"
#include "terminal/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t evaluate_seed(uint64_t seed) { return seed ^ 0x6576616c75617465u; }

/* Reads one segment of every sample of the batch and notes the rows whose next token is asked for. */
static int64_t segment_read(const Sample *samples, int64_t batch, int64_t from, int64_t count,
                            int32_t *tokens, int32_t *targets, int32_t *rows) {
    int64_t row_count = 0;
    for (int64_t b = 0; b < batch; b++) {
        sample_read(&samples[b], from, count, tokens + b * count, targets + b * count);
        for (int64_t t = 0; t < count; t++)
            if (targets[b * count + t] >= 0) rows[row_count++] = (int32_t)(b * count + t);
    }
    return row_count;
}

static void segment_score(const Tensor *logits, const int32_t *rows, int64_t row_count,
                          const int32_t *targets, int64_t count, unsigned char *correct, Arena *arena) {
    int32_t *wanted = arena_take(arena, (size_t)row_count * sizeof *wanted),
            *best = arena_take(arena, (size_t)row_count * sizeof *best);
    double *loss = arena_take(arena, (size_t)row_count * sizeof *loss);
    for (int64_t r = 0; r < row_count; r++) wanted[r] = targets[rows[r]];
    kernel->loss->forward(row_count, logits->cols, logits->data, wanted, loss, best);
    for (int64_t r = 0; r < row_count; r++)
        if (best[r] != wanted[r]) correct[rows[r] / count] = 0;
}

/* An evaluation in progress: samples from `first` on are being read, `from` tokens of each so far. */
typedef struct {
    Model *model;
    const Task *task;
    const EvaluateOptions *o;
    unsigned char *correct;
    Sample *samples;
    int64_t first, from, batch;
    State state;
    Arena arena;
    ProgressLine progress;
} Evaluation;

static int64_t batch_at(const EvaluateOptions *o, int64_t first) {
    return o->samples - first < o->batch ? o->samples - first : o->batch;
}

static void evaluation_samples(Evaluation *e, double *depths) {
    e->batch = batch_at(e->o, e->first);
    for (int64_t b = 0; b < e->batch; b++) {
        e->task->sample(evaluate_seed(e->o->seed), (uint64_t)(e->first + b), e->o->length, e->o->depth,
                        &e->samples[b]);
        if (depths) depths[e->first + b] = e->samples[b].depth;
    }
}

static void evaluation_batch_begin(Evaluation *e) {
    state_start(&e->state, e->model, e->batch, e->model->mixer->uses_capacity ? e->o->length : 0);
    memset(e->correct + e->first, 1, (size_t)e->batch);
    e->from = 0;
}

/* The next segment of every sample of the batch, at most up to token `until`. */
static void evaluation_segment(Evaluation *e, int64_t until) {
    const int64_t left = until - e->from, count = left < e->o->segment ? left : e->o->segment;
    arena_reset(&e->arena);
    Tape tape = {&e->arena, 0, 0};
    int32_t *tokens = arena_take(&e->arena, (size_t)(e->batch * count) * sizeof *tokens);
    int32_t *targets = arena_take(&e->arena, (size_t)(e->batch * count) * sizeof *targets);
    int32_t *rows = arena_take(&e->arena, (size_t)(e->batch * count) * sizeof *rows);
    const int64_t row_count = segment_read(e->samples, e->batch, e->from, count, tokens, targets, rows);
    const ModelInput input = {tokens, e->batch, count, rows, row_count, 0.0f, 0, 0};
    const Tensor *logits = model_forward(&tape, e->model, &e->state, &input);
    if (logits) segment_score(logits, rows, row_count, targets, count, e->correct + e->first, &e->arena);
    e->from += count;
    if (!e->o->quiet) progress_update(&e->progress, e->progress.done + e->batch * count, "tokens", 1.0, "");
}

static int64_t evaluation_end(Evaluation *e) {
    int64_t right = 0;
    for (int64_t i = 0; i < e->o->samples; i++) right += e->correct[i];
    if (!e->o->quiet) progress_end(&e->progress);
    arena_free(&e->arena);
    free(e->samples);
    return right;
}

static Evaluation evaluation_begin(Model *model, const Task *task, const EvaluateOptions *o,
                                   unsigned char *correct) {
    Evaluation e = {.model = model, .task = task, .o = o, .correct = correct};
    e.samples = calloc((size_t)o->batch, sizeof *e.samples);
    CHECK(e.samples, "no memory for %ld samples", o->batch);
    progress_begin(&e.progress, task->name, o->samples * o->length);
    return e;
}

int64_t evaluate(Model *model, const Task *task, const EvaluateOptions *o, unsigned char *correct,
                 double *depths) {
    Evaluation e = evaluation_begin(model, task, o, correct);
    for (; e.first < o->samples; e.first += e.batch) {
        evaluation_samples(&e, depths);
        evaluation_batch_begin(&e);
        while (e.from < o->length) evaluation_segment(&e, o->length);
        state_free(&e.state);
    }
    return evaluation_end(&e);
}

/* What must be the same for a state to be gone on from. */
static void evaluation_describe(const Evaluation *e, char *text, size_t size) {
    snprintf(text, size, "task %s seed %llu length %lld samples %lld batch %lld depth %g", e->task->name,
             (unsigned long long)e->o->seed, (long long)e->o->length, (long long)e->o->samples,
             (long long)e->o->batch, e->o->depth);
}

static int evaluation_save(const Evaluation *e, const char *path, char *message, size_t size) {
    char about[256], first[32], *flags = calloc((size_t)e->o->samples + 1, 1);
    CHECK(flags, "no memory for %ld flags", e->o->samples);
    evaluation_describe(e, about, sizeof about);
    snprintf(first, sizeof first, "%lld", (long long)e->first);
    for (int64_t i = 0; i < e->o->samples; i++) flags[i] = e->correct[i] ? '1' : '0';
    const SafeMetadata metadata[] = {{"evaluation", about}, {"first", first}, {"correct", flags}};
    const int status = state_save(path, &e->state, e->model, metadata, 3, message, size);
    free(flags);
    return status;
}

static int evaluation_restore(Evaluation *e, const SafeFile *f, char *message, size_t size) {
    const char *about = safetensors_metadata(f, "evaluation"), *first = safetensors_metadata(f, "first"),
               *flags = safetensors_metadata(f, "correct");
    char wanted[256];
    evaluation_describe(e, wanted, sizeof wanted);
    if (!about || !first || !flags || strcmp(about, wanted) || (int64_t)strlen(flags) != e->o->samples)
        return snprintf(message, size, "the state is of another evaluation (%s; wanted: %s)",
                        about ? about : "none", wanted),
               -1;
    for (int64_t i = 0; i < e->o->samples; i++) e->correct[i] = flags[i] == '1';
    e->first = strtoll(first, 0, 10);
    if (e->first < 0 || e->first >= e->o->samples || e->first % e->o->batch)
        return snprintf(message, size, "sample %s is not the first of a batch", first), -1;
    evaluation_samples(e, 0);
    if (state_load(f, &e->state, e->model, message, size)) return -1;
    e->from = e->state.position;
    if (e->state.batch == e->batch && e->from <= e->o->length) {
        e->progress.done = e->progress.skipped = e->first * e->o->length + e->batch * e->from;
        return 0;
    }
    state_free(&e->state);
    return snprintf(message, size, "the state's batch or position does not fit the evaluation"), -1;
}

static int evaluation_load(Evaluation *e, const char *path, char *message, size_t size) {
    char reason[512];
    SafeFile file;
    if (safetensors_read(&file, path, message, size)) return -1;
    const int status = evaluation_restore(e, &file, reason, sizeof reason);
    safetensors_close(&file);
    if (status) snprintf(message, size, "%s: %s", path, reason);
    return status;
}

/* One batch to its end or to where it is to stop. 0 read, 1 stopped, -1 with a message. */
static int evaluation_batch(Evaluation *e, const EvaluateState *files, char *message, size_t size) {
    int64_t saved = e->from;
    while (e->from < e->o->length) {
        const int64_t stop =
            files->stop_at > e->from && files->stop_at < e->o->length ? files->stop_at : e->o->length;
        evaluation_segment(e, stop);
        const int stopped = (e->from == files->stop_at || interrupt_requested()) && e->from < e->o->length;
        const int due = files->save_every && e->from - saved >= files->save_every;
        if (files->save && (stopped || due || e->from == e->o->length)) {
            if (evaluation_save(e, files->save, message, size)) return -1;
            saved = e->from;
        }
        if (stopped) return 1;
    }
    return 0;
}

int evaluate_resumable(Model *model, const Task *task, const EvaluateOptions *o, const EvaluateState *files,
                       unsigned char *correct, char *message, size_t size) {
    Evaluation e = evaluation_begin(model, task, o, correct);
    int status = files->load ? evaluation_load(&e, files->load, message, size) : 0,
        live = files->load && !status;
    while (!status && e.first < o->samples) {
        if (!live) {
            evaluation_samples(&e, 0);
            evaluation_batch_begin(&e);
        }
        status = evaluation_batch(&e, files, message, size);
        state_free(&e.state);
        live = 0;
        if (!status) e.first += e.batch;
    }
    evaluation_end(&e);
    return status;
}
