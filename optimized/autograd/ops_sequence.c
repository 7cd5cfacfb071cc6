#include "autograd/ops.h"
#include "check.h"
#include "vec/parallel.h"

#include <string.h>

typedef struct {
    ConvShape shape;
    Tensor *x, *weight, *tail, *y;
    float *workspace;
} Conv;

static void conv_backward(void *context) {
    const Conv *c = context;
    K->conv->backward(&c->shape, c->x->data, c->tail ? c->tail->data : 0, c->weight->data, c->y->grad,
                      c->x->grad, c->tail ? c->tail->grad : 0, c->weight->grad, c->workspace);
}

/* No convolution is one tap that is constantly 1. */
static Tensor *conv_identity(Tape *tape, int64_t width) {
    Tensor *weight = tape_tensor(tape, 1, width);
    for (int64_t c = 0; c < width; c++) weight->data[c] = 1.0f;
    return weight;
}

Tensor *op_conv(Tape *tape, const ConvShape *shape, Tensor *x, Tensor *weight, Tensor *tail) {
    if (shape->taps == 0) {
        ConvShape bare = *shape;
        bare.taps = 1;
        return op_conv(tape, &bare, x, conv_identity(tape, x->cols), 0);
    }
    CHECK(x->rows == shape->batch * shape->tokens && x->cols == shape->heads * shape->width, "x %ld x %ld",
          x->rows, x->cols);
    CHECK(weight->rows == shape->taps && weight->cols == x->cols, "weight %ld x %ld", weight->rows,
          weight->cols);
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    K->conv->forward(shape, x->data, tail ? tail->data : 0, weight->data, y->data);
    float *workspace = tape->recording ? arena_floats(tape->arena, x->rows * x->cols) : 0;
    tape_push(tape, conv_backward, &(Conv){*shape, x, weight, tail, y, workspace}, sizeof(Conv));
    return y;
}

/* The tail is a copy of inputs, so its gradient is added back where the copies came from. */
static void conv_tail_backward(void *context) {
    const Conv *c = context;
    const int64_t D = c->x->cols, keep = c->shape.taps - 1;
    for (int64_t b = 0; b < c->shape.batch; b++)
        for (int64_t i = 0; i < keep; i++) {
            const int64_t t = c->shape.tokens - keep + i;
            const float *d = c->y->grad + (b * keep + i) * D;
            if (t >= 0)
                K->act->add(D, d, c->x->grad + (b * c->shape.tokens + t) * D);
            else if (c->tail && c->tail->grad)
                K->act->add(D, d, c->tail->grad + (b * keep + keep + t) * D);
        }
}

Tensor *op_conv_tail(Tape *tape, const ConvShape *shape, Tensor *x, Tensor *tail) {
    if (shape->taps < 2) return tail;
    if (!tape->recording) {
        K->conv->shift(shape, x->data, tail->data, tail->data);
        return tail;
    }
    Tensor *next = tape_tensor(tape, shape->batch * (shape->taps - 1), x->cols);
    K->conv->shift(shape, x->data, tail ? tail->data : 0, next->data);
    tape_push(tape, conv_tail_backward, &(Conv){*shape, x, 0, tail, next, 0}, sizeof(Conv));
    return next;
}

typedef struct {
    Tensor *x, *y;
    int64_t batch, heads;
    const float *angles;
} Rope;

static void rope_backward(void *context) {
    const Rope *c = context;
    const int64_t tokens = c->x->rows / c->batch, n = c->x->rows * c->x->cols;
    K->embed->rope(c->batch, tokens, c->heads, c->x->cols / c->heads, c->angles, -1.0f, c->y->grad,
                   c->y->grad);
    K->act->add(n, c->y->grad, c->x->grad);
}

Tensor *op_rope(Tape *tape, Tensor *x, int64_t batch, int64_t heads, const float *angles) {
    CHECK(x->rows % batch == 0 && x->cols % (2 * heads) == 0, "x %ld x %ld, %ld heads", x->rows, x->cols,
          heads);
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    K->embed->rope(batch, x->rows / batch, heads, x->cols / heads, angles, 1.0f, x->data, y->data);
    tape_push(tape, rope_backward, &(Rope){x, y, batch, heads, angles}, sizeof(Rope));
    return y;
}

typedef struct {
    GateShape shape;
    Tensor *z;
    Gates gates;
    float penalty;
} GatesContext;

static void gates_backward(void *context) {
    const GatesContext *c = context;
    K->gates->backward(&c->shape, c->penalty, c->z->data, c->gates.keep->grad, c->gates.theta->grad,
                       c->gates.eta->grad, c->z->grad);
}

Gates op_gates(Tape *tape, const GateShape *shape, Tensor *z, float penalty) {
    CHECK(z->cols == gates_columns(shape), "z has %ld columns, the gates need %ld", z->cols,
          gates_columns(shape));
    const Gates gates = {tape_tensor(tape, z->rows, shape->heads * shape->sets * shape->channels),
                         tape_tensor(tape, z->rows, shape->heads * shape->sets),
                         tape_tensor(tape, z->rows, shape->heads * shape->sets)};
    K->gates->forward(shape, z->data, gates.keep->data, gates.theta->data, gates.eta->data);
    tape_push(tape, gates_backward, &(GatesContext){*shape, z, gates, penalty}, sizeof(GatesContext));
    return gates;
}

typedef struct {
    Tensor *initial, *state;
    int64_t weights;
} MemoryStart;

static void memory_start_backward(void *context) {
    const MemoryStart *c = context;
    const int64_t heads = c->initial->rows;
    for (int64_t i = 0; i < c->state->rows; i++)
        K->act->add(c->weights, c->state->grad + i * 2 * c->weights,
                    c->initial->grad + i % heads * c->weights);
}

Tensor *op_memory_start(Tape *tape, Tensor *initial, int64_t batch, int64_t weights) {
    CHECK(initial->cols == weights, "%ld columns, %ld weights", initial->cols, weights);
    Tensor *state = tape_tensor(tape, batch * initial->rows, 3 * weights);
    const size_t bytes = (size_t)weights * sizeof(float);
    for (int64_t i = 0; i < state->rows; i++) {
        float *to = state->data + i * 3 * weights;
        memcpy(to, initial->data + i % initial->rows * weights, bytes);
        memcpy(to + weights, to, bytes);
        memset(to + 2 * weights, 0, bytes);
    }
    tape_push(tape, memory_start_backward, &(MemoryStart){initial, state, weights}, sizeof(MemoryStart));
    return state;
}

typedef struct {
    MemoryShape shape;
    MemoryInput in;
    MemoryGradient d;
    Tensor *y, *before, *after;
    const float *snapshots;
    float *workspace;
} Memory;

static void memory_backward(void *context) {
    const Memory *c = context;
    const int64_t used = c->after->rows * (c->after->cols / 3 * 2);
    K->memory->backward(&c->shape, &c->in, c->snapshots, c->y->grad, &c->d, c->after->grad, c->workspace);
    if (c->before->grad) K->act->add(used, c->after->grad, c->before->grad);
}

static Tensor *memory_copy_state(Tape *tape, const Tensor *before) {
    Tensor *after = tape_tensor(tape, before->rows, before->cols);
    memcpy(after->data, before->data, (size_t)(before->rows * before->cols) * sizeof(float));
    return after;
}

Tensor *op_memory(Tape *tape, const MemoryShape *shape, Tensor *k, Tensor *v, Tensor *q, Gates gates,
                  Tensor **state, float *surprise) {
    const int64_t heads = shape->batch * shape->heads, rows = shape->batch * shape->tokens;
    CHECK(k->rows == rows && k->cols == shape->heads * shape->width[0], "k %ld x %ld", k->rows, k->cols);
    CHECK((*state)->rows == heads, "state of %ld heads, not %ld", (*state)->rows, heads);
    CHECK(!tape->recording || shape->position == 0,
          "training must begin at a chunk boundary, not at token %ld", shape->position);
    const int64_t chunks = (shape->position + shape->tokens + shape->chunk - 1) / shape->chunk;
    const MemoryInput in = {k->data, v->data, q->data, gates.keep->data, gates.theta->data, gates.eta->data};
    Tensor *y = tape_tensor(tape, rows, v->cols), *before = *state;
    MemoryOutput out = {y->data, 0, surprise};
    float *workspace = arena_floats(tape->arena, parallel_threads() * K->memory->workspace_floats(shape));
    if (tape->recording) {
        *state = memory_copy_state(tape, before);
        out.snapshots = arena_floats(tape->arena, heads * chunks * 2 * (before->cols / 3));
    }
    K->memory->forward_scan(shape, &in, (*state)->data, &out, workspace);
    const MemoryGradient d = {k->grad,          v->grad,           q->grad,
                              gates.keep->grad, gates.theta->grad, gates.eta->grad};
    tape_push(tape, memory_backward, &(Memory){*shape, in, d, y, before, *state, out.snapshots, workspace},
              sizeof(Memory));
    return y;
}

typedef struct {
    MemoryShape shape;
    Tensor *q, *state, *y;
} MemoryRead;

static void memory_read_backward(void *context) {
    const MemoryRead *c = context;
    const int64_t weights = c->state->cols / 3;
    Arena scratch = {0};
    float *workspace = arena_floats(&scratch, parallel_threads() * K->memory->workspace_floats(&c->shape));
    K->memory->read_backward(&c->shape, c->q->data, c->state->data + weights, 3 * weights, c->y->grad,
                             c->q->grad, c->state->grad, 2 * weights, workspace);
    arena_free(&scratch);
}

Tensor *op_memory_read(Tape *tape, const MemoryShape *shape, Tensor *q, Tensor *state) {
    const int64_t weights = state->cols / 3;
    CHECK(q->rows == shape->batch * shape->tokens && q->cols == shape->heads * shape->width[0], "q %ld x %ld",
          q->rows, q->cols);
    Tensor *y = tape_tensor(tape, q->rows, shape->heads * shape->width[shape->layers]);
    float *workspace = arena_floats(tape->arena, parallel_threads() * K->memory->workspace_floats(shape));
    K->memory->read(shape, q->data, state->data + weights, 3 * weights, y->data, workspace);
    tape_push(tape, memory_read_backward, &(MemoryRead){*shape, q, state, y}, sizeof(MemoryRead));
    return y;
}

typedef struct {
    AttendShape shape;
    AttentionInput in;
    Tensor *y;
    const float *cache, *statistics;
} Attention;

static void attention_backward(void *context) {
    const Attention *c = context;
    const AttendShape *s = &c->shape;
    const AttentionInput *in = &c->in;
    Arena scratch = {0};
    const int64_t prefix = s->prefix * s->heads * s->width;
    float *workspace = arena_floats(&scratch, parallel_threads() * K->attend->workspace_floats(s));
    float *dkp = arena_zeros(&scratch, s->batch * prefix), *dvp = arena_zeros(&scratch, s->batch * prefix);
    K->attend->backward(s, in->q->data, c->cache, c->y->data, c->statistics, c->y->grad, in->q->grad,
                        in->k->grad, in->v->grad, dkp, dvp, workspace);
    for (int64_t b = 0; prefix && b < s->batch; b++) {
        K->act->add(prefix, dkp + b * prefix, in->kp->grad);
        K->act->add(prefix, dvp + b * prefix, in->vp->grad);
    }
    arena_free(&scratch);
}

/* A ring shorter than the call is filled and read in turns. */
static void attention_run(const AttendShape *shape, const AttentionInput *in, float *cache, float *y,
                          float *statistics, float *workspace) {
    AttendShape s = *shape;
    const int64_t run = shape->capacity < shape->past + shape->tokens && shape->window
                            ? shape->capacity - shape->window
                            : shape->tokens;
    CHECK(run > 0, "a cache of %ld positions for a window of %ld", shape->capacity, shape->window);
    if (s.past == 0 && s.prefix) K->attend->append_prefix(&s, in->kp->data, in->vp->data, cache);
    for (s.first = 0; s.first < s.tokens; s.first += run) {
        s.count = s.tokens - s.first < run ? s.tokens - s.first : run;
        K->attend->append(&s, in->k->data, in->v->data, cache);
        K->attend->forward(&s, in->q->data, cache, y, statistics, workspace);
    }
}

Tensor *op_attention(Tape *tape, const AttendShape *shape, const AttentionInput *in, Tensor *cache) {
    const int64_t keys = shape->lead + shape->stride * (shape->past + shape->tokens);
    CHECK(shape->window || keys <= shape->capacity, "cache of %ld positions, %ld wanted", shape->capacity,
          keys);
    CHECK(!tape->recording || (shape->past == 0 && keys <= shape->capacity),
          "training needs the whole sequence in one call, %ld tokens came before", shape->past);
    Tensor *y = tape_tensor(tape, in->q->rows, in->q->cols);
    const int64_t rows = shape->batch * shape->heads * shape->tokens;
    float *statistics = tape->recording ? arena_floats(tape->arena, rows * 2) : 0;
    Arena scratch = {0};
    float *workspace = arena_floats(&scratch, parallel_threads() * K->attend->workspace_floats(shape));
    attention_run(shape, in, cache->data, y->data, statistics, workspace);
    arena_free(&scratch);
    AttendShape whole = *shape;
    whole.first = 0;
    whole.count = shape->tokens;
    tape_push(tape, attention_backward, &(Attention){whole, *in, y, cache->data, statistics},
              sizeof(Attention));
    return y;
}
