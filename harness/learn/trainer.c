#include "learn/trainer.h"
#include "base/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads the next "length:steps" pair; 0 at the end, -1 on anything else. */
static int curriculum_next(const char **text, int64_t *length, int64_t *steps) {
    int used = 0;
    long long a, b;
    if (!**text) return 0;
    if (sscanf(*text, " %lld:%lld %n", &a, &b, &used) < 2 || a < 1 || b < 1) return -1;
    *text += used;
    *length = a;
    *steps = b;
    return 1;
}

int64_t curriculum_steps(const char *text) {
    int64_t length, steps, total = 0;
    int status;
    while ((status = curriculum_next(&text, &length, &steps)) > 0) total += steps;
    return status < 0 || !total ? -1 : total;
}

int64_t curriculum_length(const char *text, int64_t step, int64_t steps) {
    const double scale = (double)steps / (double)curriculum_steps(text);
    int64_t length = 0, count, end = 0;
    while (curriculum_next(&text, &length, &count) > 0) {
        end += count;
        if ((double)step < (double)end * scale) break;
    }
    return length;
}

static int trainer_prepare(Trainer *t, char *message, size_t size) {
    const int64_t total = curriculum_steps(t->train.curriculum);
    t->task = task_find(t->train.task);
    if (!t->task) {
        snprintf(message, size, "unknown task \"%s\" (titans info lists them)", t->train.task);
        return -1;
    }
    if (total < 0) {
        snprintf(message, size, "\"curriculum\" must read like \"64:1200 128:400\", not \"%s\"",
                 t->train.curriculum);
        return -1;
    }
    t->steps = t->train.steps ? t->train.steps : total;
    const char *rest = t->train.curriculum;
    for (int64_t length, steps; curriculum_next(&rest, &length, &steps) > 0;)
        if (length < t->task->min_length) {
            snprintf(message, size,
                     "task %s needs sequences of at least %lld tokens, the curriculum has %lld",
                     t->task->name, (long long)t->task->min_length, (long long)length);
            return -1;
        }
    return t->task->open(t->train.haystack, message, size);
}

/* A model with random weights, or that of train.from. */
static int trainer_model(Trainer *t, Config c, char *message, size_t size) {
    TrainConfig train;
    Progress progress;
    if (*t->train.from) return checkpoint_load(t->train.from, &t->model, 0, &train, &progress, message, size);
    if (!c.vocab) c.vocab = t->task->vocab;
    return model_create(&t->model, &c, (uint64_t)t->train.seed, message, size);
}

int trainer_create(Trainer *t, const Config *config, const TrainConfig *train, char *message, size_t size) {
    *t = (Trainer){.train = *train};
    if (trainer_prepare(t, message, size) || trainer_model(t, *config, message, size)) return -1;
    if (t->model.config.vocab < t->task->vocab)
        snprintf(message, size, "task %s has %lld tokens, \"vocab\" is %lld", t->task->name,
                 (long long)t->task->vocab, (long long)t->model.config.vocab);
    else if (!optimizer_create(&t->optimizer, &t->model, message, size)) {
        model_gradients(&t->model);
        return 0;
    }
    model_free(&t->model);
    return -1;
}

int trainer_load(Trainer *t, const char *path, char *message, size_t size) {
    *t = (Trainer){.task = 0};
    if (checkpoint_load(path, &t->model, &t->optimizer, &t->train, &t->progress, message, size)) return -1;
    model_gradients(&t->model);
    if (!trainer_prepare(t, message, size)) return 0;
    trainer_free(t);
    return -1;
}

int trainer_save(const Trainer *t, const char *path, char *message, size_t size) {
    return checkpoint_save(path, &t->model, &t->optimizer, &t->train, &t->progress, message, size);
}

void trainer_free(Trainer *t) {
    optimizer_free(&t->optimizer);
    model_free(&t->model);
    arena_free(&t->arena);
}

/* rows: where logits are wanted, their answers in `wanted` (-1: not asked for) and, for the
 * language-modelling part, the next tokens elsewhere in `others`. */
typedef struct {
    int32_t *tokens, *targets, *rows, *wanted, *others, *best;
    int64_t row_count;
} Batch;

static Batch trainer_batch(Trainer *t, int64_t length, int everywhere) {
    const int64_t count = t->train.batch * length;
    int32_t *memory = arena_take(&t->arena, (size_t)(6 * count) * sizeof *memory);
    Batch b = {memory,
               memory + count,
               memory + 2 * count,
               memory + 3 * count,
               memory + 4 * count,
               memory + 5 * count,
               0};
    for (int64_t i = 0; i < t->train.batch; i++) {
        Sample sample;
        t->task->sample((uint64_t)t->train.seed, (uint64_t)(t->progress.step * t->train.batch + i), length,
                        -1.0, &sample);
        sample_read(&sample, 0, length, b.tokens + i * length, b.targets + i * length);
    }
    for (int64_t i = 0; i < count; i++) {
        if (b.targets[i] < 0 && !everywhere) continue;
        b.rows[b.row_count] = (int32_t)i;
        b.others[b.row_count] = b.targets[i] < 0 && (i + 1) % length ? b.tokens[i + 1] : -1;
        b.wanted[b.row_count++] = b.targets[i];
    }
    return b;
}

static double trainer_match(const Batch *b, int64_t batch, int64_t length) {
    int64_t right = 0, at = 0;
    for (int64_t i = 0; i < batch; i++) {
        int ok = 1;
        for (; at < b->row_count && b->rows[at] < (i + 1) * length; at++)
            ok &= b->wanted[at] < 0 || b->best[at] == b->wanted[at];
        right += ok;
    }
    return (double)right / (double)batch;
}

int trainer_step(Trainer *t, StepReport *report, char *message, size_t size) {
    const int64_t length = curriculum_length(t->train.curriculum, t->progress.step, t->steps);
    const char *bad = 0;
    arena_reset(&t->arena);
    const double lm_weight = t->progress.penalised ? 0.0 : t->train.lm_weight;
    const Batch b = trainer_batch(t, length, lm_weight > 0.0);
    const Config *c = &t->model.config;
    const int64_t sets = c->heads * (c->gates_per_layer ? c->memory_layers : 1);
    const double gates = (double)(t->train.batch * length * sets);
    const float penalty = t->progress.penalised ? (float)(t->train.penalty / gates) : 0.0f;
    Tape tape = {&t->arena, 1, 0};
    const ModelInput input = {b.tokens, t->train.batch, length, b.rows, b.row_count, penalty, 0, 0};
    Tensor *logits = model_forward(&tape, &t->model, 0, &input);
    *report = (StepReport){.length = length, .tokens = t->train.batch * length};
    report->loss = op_cross_entropy(&tape, logits, b.wanted, 1.0, b.best);
    report->match = trainer_match(&b, t->train.batch, length);
    double others = 0.0;
    if (lm_weight > 0.0) others = op_cross_entropy(&tape, logits, b.others, lm_weight, b.best);
    report->rate = optimizer_rate(&t->train, t->progress.step, t->steps);
    if (isfinite(report->loss + others)) {
        tape_backward(&tape);
        report->gradient = optimizer_step(&t->optimizer, &t->model, &t->train, report->rate, &bad);
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
    if (t->train.penalty > 0.0 && t->progress.match >= t->train.penalty_from) t->progress.penalised = 1;
    return 0;
}
