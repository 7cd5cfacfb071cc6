#include "learn/trainer.h"
#include "base/check.h"
#include "base/size.h"
#include "learn/score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAINER_REASON = 6144 }; /* has room for a path */

/* The curriculum, and sequences that the task can fill and rows that can be counted in 32 bits. */
static int trainer_lengths(Trainer *t, char *message, size_t size) {
    const Recipe *r = &t->recipe;
    const int64_t total = curriculum_steps(r->curriculum);
    int64_t shortest, longest;
    if (total < 0) {
        snprintf(message, size,
                 "\"curriculum\" must read like \"64:1200 128:400\", lengths up to %d, not \"%.200s\"",
                 CURRICULUM_LENGTH, r->curriculum);
        return -1;
    }
    t->steps = r->steps ? r->steps : total;
    curriculum_bounds(r->curriculum, &shortest, &longest);
    if (shortest < r->task->min_length) {
        snprintf(message, size, "task %s needs sequences of at least %lld tokens, the curriculum has %lld",
                 r->task->name, (long long)r->task->min_length, (long long)shortest);
        return -1;
    }
    if (size_times(r->batch, longest) <= INT32_MAX) return 0;
    snprintf(message, size,
             "a batch of %lld sequences of %lld tokens has more than 2^31 rows; use a smaller batch",
             (long long)r->batch, (long long)longest);
    return -1;
}

static int trainer_prepare(Trainer *t, char *message, size_t size) {
    Recipe *r = &t->recipe;
    int64_t shortest, longest;
    if (trainer_lengths(t, message, size) || task_open(&t->task, r->task, r->task_options, message, size))
        return -1;
    curriculum_bounds(r->curriculum, &shortest, &longest);
    return task_fits(&t->task, longest, message, size) ? -1 : recipe_pin(r, &t->task, message, size);
}

/* A model with random weights, or that of recipe.from. */
static int trainer_model(Trainer *t, char *message, size_t size) {
    Config *c = &t->recipe.model;
    if (*t->recipe.from) return checkpoint_load(t->recipe.from, 0, &t->model, 0, 0, 0, message, size);
    if (!c->vocab) c->vocab = t->recipe.task->vocab;
    if (!c->features) c->features = t->recipe.task->features;
    return model_create(&t->model, c, (uint64_t)t->recipe.seed, message, size);
}

static int trainer_fits(const Trainer *t, char *message, size_t size) {
    const Config *c = &t->model.config;
    const Task *task = t->recipe.task;
    if (c->vocab < task->vocab || (task->metric == METRIC_SQUARED && c->vocab != task->vocab))
        snprintf(message, size, "task %s has %lld tokens, \"vocab\" is %lld", task->name,
                 (long long)task->vocab, (long long)c->vocab);
    else if (c->features != task->features)
        snprintf(message, size, "task %s has rows of %lld features, the model reads %lld", task->name,
                 (long long)task->features, (long long)c->features);
    else
        return 0;
    return -1;
}

int trainer_create(Trainer *t, const Recipe *recipe, char *message, size_t size) {
    *t = (Trainer){.recipe = *recipe};
    if (!trainer_prepare(t, message, size) && !trainer_model(t, message, size)) {
        t->recipe.model = t->model.config;
        if (!trainer_fits(t, message, size) && !model_gradients(&t->model, message, size) &&
            !optimizer_create(&t->optimizer, &t->model, message, size))
            return 0;
    }
    trainer_free(t);
    return -1;
}

static int trainer_restore(Trainer *t, const char *train, const char *haystack, char *message, size_t size) {
    Recipe *r = &t->recipe;
    r->model = t->model.config;
    if (recipe_restore(r, train, message, size)) return -1;
    if (haystack && recipe_set_task_key(r, "haystack", haystack, message, size)) return -1;
    if (trainer_prepare(t, message, size) || model_gradients(&t->model, message, size)) return -1;
    return 0;
}

int trainer_load(Trainer *t, const char *path, const char *haystack, char *message, size_t size) {
    char *train, reason[TRAINER_REASON];
    *t = (Trainer){.steps = 0};
    if (checkpoint_load(path, 0, &t->model, &t->optimizer, &train, &t->progress, message, size)) return -1;
    const int status = trainer_restore(t, train, haystack, reason, sizeof reason);
    free(train);
    if (!status) return 0;
    snprintf(message, size, "%s: %s", path, reason);
    trainer_free(t);
    return -1;
}

int trainer_save(const Trainer *t, const char *path, char *message, size_t size) {
    char *train = recipe_text(&t->recipe);
    if (!train) return snprintf(message, size, "no memory to write %s", path), -1;
    const int status = checkpoint_save(path, &t->model, &t->optimizer, train, &t->progress, message, size);
    free(train);
    return status;
}

void trainer_free(Trainer *t) {
    task_close(&t->task);
    optimizer_free(&t->optimizer);
    model_free(&t->model);
    arena_free(&t->arena);
}

/* rows: where outputs are wanted; wanted: their answers (-1: not asked for), or values; others: for the
 * language-modelling part, the next tokens elsewhere. */
typedef struct {
    Sample *samples;
    int32_t *tokens, *targets, *rows, *wanted, *others, *best;
    float *features, *values, *wanted_values;
    int64_t row_count;
} Batch;

static int32_t *take_integers(Trainer *t, int64_t n) {
    return arena_take(&t->arena, (size_t)n * sizeof(int32_t));
}

static void batch_samples(Trainer *t, Batch *b, int64_t length) {
    const Task *task = t->recipe.task;
    const int64_t outputs = task->metric == METRIC_SQUARED ? task->vocab : 0;
    for (int64_t i = 0; i < t->recipe.batch; i++) {
        const int64_t at = i * length;
        task_sample(&t->task, (uint64_t)t->recipe.seed, (uint64_t)(t->progress.step * t->recipe.batch + i),
                    length, -1.0, &b->samples[i]);
        if (task->metric == METRIC_CHOICE && task->choose)
            task->choose(t->task.instance, &b->samples[i], b->samples[i].right);
        const SampleRows rows = {b->tokens + at, b->features + at * task->features, b->targets + at,
                                 b->values + at * outputs};
        task_read(&t->task, &b->samples[i], 0, length, &rows);
    }
}

static Batch trainer_batch(Trainer *t, int64_t length, int everywhere) {
    const int64_t count = t->recipe.batch * length, outputs = t->recipe.task->vocab;
    const int squared = t->recipe.task->metric == METRIC_SQUARED;
    Batch b = {.samples = arena_take(&t->arena, (size_t)t->recipe.batch * sizeof(Sample))};
    int32_t **each[] = {&b.tokens, &b.targets, &b.rows, &b.wanted, &b.others, &b.best};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) *each[i] = take_integers(t, count);
    b.features = arena_floats(&t->arena, count * t->recipe.task->features);
    b.values = arena_floats(&t->arena, squared ? count * outputs : 0);
    b.wanted_values = arena_floats(&t->arena, squared ? count * outputs : 0);
    batch_samples(t, &b, length);
    for (int64_t i = 0; i < count; i++) {
        if (b.targets[i] < 0 && !everywhere) continue;
        b.rows[b.row_count] = (int32_t)i;
        b.others[b.row_count] = b.targets[i] < 0 && (i + 1) % length ? b.tokens[i + 1] : -1;
        if (squared)
            memcpy(b.wanted_values + b.row_count * outputs, b.values + i * outputs,
                   (size_t)outputs * sizeof(float));
        b.wanted[b.row_count++] = b.targets[i];
    }
    return b;
}

/* Share of the batch's samples that are right. */
static double trainer_match(const Trainer *t, const Batch *b, const Tensor *outputs, int64_t length) {
    int64_t right = 0, at = 0;
    const Task *task = t->recipe.task;
    for (int64_t i = 0; i < t->recipe.batch; i++) {
        Score score = {0};
        for (; at < b->row_count && b->rows[at] < (i + 1) * length; at++) {
            if (b->wanted[at] < 0) continue;
            const ScoreRow row = {
                outputs->data + at * outputs->cols,   outputs->cols, b->wanted[at], b->best[at], 0.0,
                b->wanted_values + at * outputs->cols};
            score_row(&score, task, &b->samples[i], &row);
        }
        right += task->metric == METRIC_CHOICE ? score.right == score.asked
                                               : score_right(&score, task, &b->samples[i]);
    }
    return (double)right / (double)t->recipe.batch;
}

/* Loss of a recorded forward pass, its gradient in the outputs; *others: that of the language-modelling part. */
static double trainer_loss(Trainer *t, Tape *tape, Tensor *outputs, Batch *b, StepReport *report,
                           double lm_weight, double *others) {
    *others = 0.0;
    if (t->recipe.task->metric == METRIC_SQUARED) {
        const double loss = op_squared_error(tape, outputs, b->wanted, b->wanted_values, 1.0);
        report->match = trainer_match(t, b, outputs, report->length);
        return loss;
    }
    const double loss = op_cross_entropy(tape, outputs, b->wanted, 1.0, b->best);
    report->match = trainer_match(t, b, outputs, report->length);
    if (lm_weight > 0.0) *others = op_cross_entropy(tape, outputs, b->others, lm_weight, b->best);
    return loss;
}

int trainer_step(Trainer *t, StepReport *report, char *message, size_t size) {
    const Recipe *r = &t->recipe;
    const Mixer *mixer = t->model.mixer;
    const int64_t length = curriculum_length(r->curriculum, t->progress.step, t->steps);
    const char *bad = 0;
    arena_reset(&t->arena);
    const double lm_weight = t->progress.penalised ? 0.0 : r->lm_weight;
    Batch b = trainer_batch(t, length, lm_weight > 0.0);
    const double gates = (double)(r->batch * length * (mixer->gates ? mixer->gates(&t->model.config) : 1));
    Tape tape = {&t->arena, 1, 0};
    const ModelInput input = {.tokens = b.tokens,
                              .features = b.features,
                              .batch = r->batch,
                              .count = length,
                              .rows = b.rows,
                              .row_count = b.row_count,
                              .penalty = t->progress.penalised ? (float)(r->penalty / gates) : 0.0f};
    Tensor *outputs = model_forward(&tape, &t->model, 0, &input);
    *report = (StepReport){.length = length, .tokens = r->batch * length};
    double others;
    report->loss = trainer_loss(t, &tape, outputs, &b, report, lm_weight, &others);
    report->rate = optimizer_rate(&r->optimizer, t->progress.step, t->steps);
    if (isfinite(report->loss + others)) {
        tape_backward(&tape);
        report->gradient = optimizer_step(&t->optimizer, &t->model, &r->optimizer, report->rate, &bad);
    } else
        bad = "the loss";
    if (bad) {
        memset(t->model.grads, 0, (size_t)t->model.list.floats * sizeof(float));
        snprintf(message, size, "step %lld: %s is not finite (loss %g); try a smaller rate or theta_max",
                 (long long)t->progress.step, bad, report->loss);
        return -1;
    }
    t->progress.step++;
    t->progress.match += (report->match - t->progress.match) / 30.0;
    if (r->penalty > 0.0 && t->progress.match >= r->penalty_from) t->progress.penalised = 1;
    return 0;
}
