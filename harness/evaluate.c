#include "evaluate.h"
#include "check.h"
#include "progress.h"

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
    K->loss->forward(row_count, logits->cols, logits->data, wanted, loss, best);
    for (int64_t r = 0; r < row_count; r++)
        if (best[r] != wanted[r]) correct[rows[r] / count] = 0;
}

/* One batch from first to last token. */
static void evaluate_batch(Model *model, const Sample *samples, int64_t batch, int64_t length,
                           int64_t segment, unsigned char *correct, ProgressLine *progress) {
    State state;
    Arena arena = {0};
    state_start(&state, model, batch, model->mixer->uses_capacity ? length : 0);
    memset(correct, 1, (size_t)batch);
    for (int64_t from = 0; from < length; from += segment) {
        const int64_t count = length - from < segment ? length - from : segment;
        arena_reset(&arena);
        Tape tape = {&arena, 0, 0};
        int32_t *tokens = arena_take(&arena, (size_t)(batch * count) * sizeof *tokens);
        int32_t *targets = arena_take(&arena, (size_t)(batch * count) * sizeof *targets);
        int32_t *rows = arena_take(&arena, (size_t)(batch * count) * sizeof *rows);
        const int64_t row_count = segment_read(samples, batch, from, count, tokens, targets, rows);
        const ModelInput input = {tokens, batch, count, rows, row_count, 0.0f, 0};
        const Tensor *logits = model_forward(&tape, model, &state, &input);
        if (logits) segment_score(logits, rows, row_count, targets, count, correct, &arena);
        if (progress) progress_update(progress, progress->done + batch * count, "tokens", 1.0, "");
    }
    arena_free(&arena);
    state_free(&state);
}

int64_t evaluate(Model *model, const Task *task, const EvaluateOptions *o, unsigned char *correct,
                 double *depths) {
    ProgressLine progress;
    int64_t right = 0;
    Sample *samples = calloc((size_t)o->batch, sizeof *samples);
    CHECK(samples, "no memory for %ld samples", o->batch);
    progress_begin(&progress, task->name, o->samples * o->length);
    for (int64_t first = 0; first < o->samples; first += o->batch) {
        const int64_t batch = o->samples - first < o->batch ? o->samples - first : o->batch;
        for (int64_t b = 0; b < batch; b++) {
            task->sample(evaluate_seed(o->seed), (uint64_t)(first + b), o->length, o->depth, &samples[b]);
            if (depths) depths[first + b] = samples[b].depth;
        }
        evaluate_batch(model, samples, batch, o->length, o->segment, correct + first,
                       o->quiet ? 0 : &progress);
        for (int64_t b = 0; b < batch; b++) right += correct[first + b];
    }
    if (!o->quiet) progress_end(&progress);
    free(samples);
    return right;
}
