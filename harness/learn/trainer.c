#include "learn/trainer.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/size.h"
#include "learn/score.h"
#include "learn/tree.h"

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
    if (r->shards & (r->shards - 1) || r->batch % r->shards) {
        snprintf(message, size, "\"shards\" must be a power of two that divides \"batch\", %lld, not %lld",
                 (long long)r->batch, (long long)r->shards);
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
    *t = (Trainer){.recipe = *recipe, .ranks = RANKS_ALONE};
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
    *t = (Trainer){.ranks = RANKS_ALONE};
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

/* Everything that the next steps depend on. */
static uint64_t trainer_hash(const Trainer *t, const char *train) {
    const size_t bytes = (size_t)t->model.list.floats * sizeof(float);
    uint64_t hash = hash_bytes(HASH_START, train, strlen(train));
    hash = hash_bytes(hash, t->model.weights, bytes);
    hash = hash_bytes(hash, t->optimizer.m, bytes);
    hash = hash_bytes(hash, t->optimizer.v, bytes);
    return hash_bytes(hash, &t->progress.step, sizeof t->progress.step);
}

static int trainer_shares(const Trainer *t, const Ranks *ranks, char *message, size_t size) {
    const int64_t count = ranks->count, shards = t->recipe.shards;
    if (count <= shards) return 0;
    snprintf(
        message, size,
        "%lld ranks share the \"shards\" of a batch, of which there %s %lld: start fewer ranks, or a new "
        "training with --set shards=%lld or more",
        (long long)count, shards == 1 ? "is" : "are", (long long)shards, (long long)count);
    return -1;
}

/* All begin with the same. */
static int trainer_alike(const Trainer *t, const Ranks *ranks, char *message, size_t size) {
    int other;
    char *train = recipe_text(&t->recipe);
    const uint64_t hash = train ? trainer_hash(t, train) : 0;
    free(train);
    if (tree_differs(ranks, hash, &other, message, size)) return TREE_LOST;
    if (!other) return 0;
    snprintf(
        message, size,
        "rank %d begins with another recipe, text or checkpoint than rank 0: all must see the same files",
        other);
    return -1;
}

int trainer_ranks(Trainer *t, const Ranks *ranks, int status, char *message, size_t size) {
    if (ranks->count & (ranks->count - 1)) {
        snprintf(message, size, "%d ranks cannot train one model: 1, 2, 4, 8, .. can", ranks->count);
        return -1;
    }
    if (!status) status = trainer_shares(t, ranks, message, size);
    status = tree_agree(ranks, status, message, size);
    if (!status) status = trainer_alike(t, ranks, message, size);
    if (!status) t->ranks = *ranks;
    return status;
}

/* One leaf of the tree: some sequences of the step's batch. rows: where outputs are wanted; wanted: their answers (-1: not
 * asked for), or values; others: for the language-modelling part, the next tokens elsewhere. */
typedef struct {
    Sample *samples;
    int32_t *tokens, *targets, *rows, *wanted, *others, *best;
    float *features, *values, *wanted_values;
    int64_t first, sequences, row_count;
} Leaf;

static int32_t *take_integers(Trainer *t, int64_t n) {
    return arena_take(&t->arena, (size_t)n * sizeof(int32_t));
}

static void leaf_samples(Trainer *t, Leaf *b, int64_t length) {
    const Task *task = t->recipe.task;
    const int64_t outputs = task->metric == METRIC_SQUARED ? task->vocab : 0;
    for (int64_t i = 0; i < b->sequences; i++) {
        const int64_t at = i * length, index = t->progress.step * t->recipe.batch + b->first + i;
        task_sample(&t->task, (uint64_t)t->recipe.seed, (uint64_t)index, length, -1.0, &b->samples[i]);
        if (task->metric == METRIC_CHOICE && task->choose)
            task->choose(t->task.instance, &b->samples[i], b->samples[i].right);
        const SampleRows rows = {b->tokens + at, b->features + at * task->features, b->targets + at,
                                 b->values + at * outputs};
        task_read(&t->task, &b->samples[i], 0, length, &rows);
    }
}

static Leaf trainer_leaf(Trainer *t, int64_t first, int64_t sequences, int64_t length, int everywhere) {
    const int64_t count = sequences * length, outputs = t->recipe.task->vocab;
    const int squared = t->recipe.task->metric == METRIC_SQUARED;
    Leaf b = {.samples = arena_take(&t->arena, (size_t)sequences * sizeof(Sample)),
              .first = first,
              .sequences = sequences};
    int32_t **each[] = {&b.tokens, &b.targets, &b.rows, &b.wanted, &b.others, &b.best};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) *each[i] = take_integers(t, count);
    b.features = arena_floats(&t->arena, count * t->recipe.task->features);
    b.values = arena_floats(&t->arena, squared ? count * outputs : 0);
    b.wanted_values = arena_floats(&t->arena, squared ? count * outputs : 0);
    leaf_samples(t, &b, length);
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

/* How many of the leaf's samples are right. */
static int64_t leaf_right(const Trainer *t, const Leaf *b, const Tensor *outputs, int64_t length) {
    int64_t right = 0, at = 0;
    const Task *task = t->recipe.task;
    for (int64_t i = 0; i < b->sequences; i++) {
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
    return right;
}

/* What a step is about, and rows of the whole batch over which its losses are means. */
typedef struct {
    int64_t length, asked, others;
    double lm_weight;
    float penalty;
} Step;

static int64_t count_rows(const int32_t *target, int64_t rows) {
    int64_t count = 0;
    for (int64_t r = 0; r < rows; r++) count += target[r] >= 0;
    return count;
}

/* The leaf's part of a mean over `all` rows; exactly 1 where the leaf is the batch. */
static double share(int64_t rows, int64_t all) { return all ? (double)rows / (double)all : 0.0; }

enum { LOSS, LOSS_ELSEWHERE }; /* of a step: of what was asked for; of the language-modelling part */

/* Losses of a recorded forward pass, their gradient in the outputs; returns how many samples are right. */
static int64_t leaf_loss(const Trainer *t, Tape *tape, Tensor *outputs, Leaf *b, const Step *s,
                         double losses[TREE_LOSSES]) {
    const double asked = share(count_rows(b->wanted, b->row_count), s->asked),
                 others = share(count_rows(b->others, b->row_count), s->others);
    if (t->recipe.task->metric == METRIC_SQUARED) {
        losses[LOSS] = asked * op_squared_error(tape, outputs, b->wanted, b->wanted_values, asked);
        return leaf_right(t, b, outputs, s->length);
    }
    losses[LOSS] = asked * op_cross_entropy(tape, outputs, b->wanted, asked, b->best);
    const int64_t right = leaf_right(t, b, outputs, s->length);
    if (s->lm_weight > 0.0)
        losses[LOSS_ELSEWHERE] =
            others * op_cross_entropy(tape, outputs, b->others, s->lm_weight * others, b->best);
    return right;
}

/* Adds the leaf's gradient to that of the model; what the tape took is given back. */
static int64_t leaf_gradient(Trainer *t, Leaf *b, const Step *s, double losses[TREE_LOSSES]) {
    const ArenaMark mark = arena_mark(&t->arena);
    Tape tape = {&t->arena, 1, 0};
    const ModelInput input = {.tokens = b->tokens,
                              .features = b->features,
                              .batch = b->sequences,
                              .count = s->length,
                              .rows = b->rows,
                              .row_count = b->row_count,
                              .penalty = s->penalty};
    Tensor *outputs = model_forward(&tape, &t->model, 0, &input);
    const int64_t right = leaf_loss(t, &tape, outputs, b, s, losses);
    if (isfinite(losses[LOSS] + losses[LOSS_ELSEWHERE])) tape_backward(&tape);
    arena_release(&t->arena, mark);
    return right;
}

static Step trainer_begin(const Trainer *t) {
    const Recipe *r = &t->recipe;
    const Mixer *mixer = t->model.mixer;
    Step s = {.length = curriculum_length(r->curriculum, t->progress.step, t->steps)};
    const double gates = (double)(r->batch * s.length * (mixer->gates ? mixer->gates(&t->model.config) : 1));
    s.lm_weight = t->progress.penalised ? 0.0 : r->lm_weight;
    s.penalty = t->progress.penalised ? (float)(r->penalty / gates) : 0.0f;
    return s;
}

/* Makes this rank's leaves, and counts the rows of all. */
static int trainer_leaves(Trainer *t, Leaf *leaves, int64_t count, Step *s, char *message, size_t size) {
    const int64_t sequences = t->recipe.batch / t->recipe.shards;
    int64_t rows[2] = {0, 0};
    for (int64_t i = 0; i < count; i++) {
        leaves[i] = trainer_leaf(t, (t->ranks.rank * count + i) * sequences, sequences, s->length,
                                 s->lm_weight > 0.0);
        rows[0] += count_rows(leaves[i].wanted, leaves[i].row_count);
        rows[1] += count_rows(leaves[i].others, leaves[i].row_count);
    }
    const int status = tree_integers(&t->ranks, 2, rows, message, size);
    s->asked = rows[0], s->others = rows[1];
    return status;
}

/* The gradient of the whole batch in the model, its losses and right samples: the same bits on all ranks, however many
 * they are. */
static int trainer_gradient(Trainer *t, Step *s, double losses[TREE_LOSSES], int64_t *right, char *message,
                            size_t size) {
    const int64_t count = t->recipe.shards / t->ranks.count;
    Tree tree = {.floats = t->model.list.floats, .leaves = count};
    Leaf *leaves = arena_take(&t->arena, (size_t)count * sizeof *leaves);
    if (trainer_leaves(t, leaves, count, s, message, size)) return -1;
    for (int level = 0; (int64_t)1 << level < count; level++)
        tree.waiting[level] = arena_floats(&t->arena, tree.floats);
    for (int64_t i = 0; i < count; i++) {
        *right += leaf_gradient(t, &leaves[i], s, losses);
        tree_add(&tree, t->model.grads, losses);
    }
    return tree_floats(&t->ranks, tree.floats, t->model.grads, message, size) ||
                   tree_reals(&t->ranks, TREE_LOSSES, losses, message, size) ||
                   tree_integers(&t->ranks, 1, right, message, size)
               ? -1
               : 0;
}

/* Undoes what a step has begun. */
static int trainer_refuse(Trainer *t, int status) {
    memset(t->model.grads, 0, (size_t)t->model.list.floats * sizeof(float));
    return status;
}

int trainer_step(Trainer *t, StepReport *report, char *message, size_t size) {
    const Recipe *r = &t->recipe;
    double losses[TREE_LOSSES] = {0.0, 0.0};
    const char *bad = 0;
    int64_t right = 0;
    arena_reset(&t->arena);
    Step s = trainer_begin(t);
    if (trainer_gradient(t, &s, losses, &right, message, size)) return trainer_refuse(t, TREE_LOST);
    *report = (StepReport){.loss = losses[LOSS], .length = s.length, .tokens = r->batch * s.length};
    report->match = (double)right / (double)r->batch;
    report->rate = optimizer_rate(&r->optimizer, t->progress.step, t->steps);
    if (isfinite(losses[LOSS] + losses[LOSS_ELSEWHERE]))
        report->gradient = optimizer_step(&t->optimizer, &t->model, &r->optimizer, report->rate, &bad);
    else
        bad = "the loss";
    if (bad) {
        snprintf(message, size, "step %lld: %s is not finite (loss %g); try a smaller rate or theta_max",
                 (long long)t->progress.step, bad, report->loss);
        return trainer_refuse(t, -1);
    }
    t->progress.step++;
    t->progress.match += (report->match - t->progress.match) / 30.0;
    if (r->penalty > 0.0 && t->progress.match >= r->penalty_from) t->progress.penalised = 1;
    return 0;
}
