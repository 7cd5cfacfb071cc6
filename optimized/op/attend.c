#include "base/check.h"
#include "base/parallel.h"
#include "op/op.h"

typedef struct {
    Arena *arena;
    AttendShape shape;
    AttentionInput in;
    Tensor *y;
    const float *cache, *statistics;
} Attention;

static void attention_backward(void *context) {
    const Attention *c = context;
    const AttendShape *s = &c->shape;
    const AttentionInput *in = &c->in;
    const ArenaMark scratch = arena_mark(c->arena);
    const int64_t prefix = s->prefix * s->heads * s->width;
    float *workspace = arena_floats(c->arena, parallel_threads() * kernel->attend->workspace_floats(s));
    float *dkp = arena_zeros(c->arena, s->batch * prefix), *dvp = arena_zeros(c->arena, s->batch * prefix);
    kernel->attend->backward(s, in->q->data, c->cache, c->y->data, c->statistics, c->y->grad, in->q->grad,
                             in->k->grad, in->v->grad, dkp, dvp, workspace);
    for (int64_t b = 0; prefix && b < s->batch; b++) {
        const int64_t to = s->prefix_each ? b * prefix : 0;
        kernel->act->add(prefix, dkp + b * prefix, in->kp->grad + to);
        kernel->act->add(prefix, dvp + b * prefix, in->vp->grad + to);
    }
    arena_release(c->arena, scratch);
}

/* A ring shorter than the call is filled and read in turns. */
static void attention_run(const AttendShape *shape, const AttentionInput *in, float *cache, float *y,
                          float *statistics, float *workspace) {
    AttendShape s = *shape;
    const int64_t run = shape->capacity < shape->past + shape->tokens && shape->window
                            ? shape->capacity - shape->window
                            : shape->tokens;
    CHECK(run > 0, "a cache of %ld positions for a window of %ld", shape->capacity, shape->window);
    if (s.past == 0 && s.prefix) kernel->attend->append_prefix(&s, in->kp->data, in->vp->data, cache);
    for (s.first = 0; s.first < s.tokens; s.first += run) {
        s.count = s.tokens - s.first < run ? s.tokens - s.first : run;
        kernel->attend->append(&s, in->k->data, in->v->data, cache);
        kernel->attend->forward(&s, in->q->data, cache, y, statistics, workspace);
    }
}

Tensor *op_attention(Tape *tape, const AttendShape *shape, const AttentionInput *in, Tensor *cache) {
    const int64_t keys = shape->lead + shape->stride * (shape->past + shape->tokens);
    CHECK(!shape->slopes || (shape->stride == 1 && !shape->lead), "slopes with %ld keys a token",
          shape->stride);
    CHECK(shape->window || keys <= shape->capacity, "cache of %ld positions, %ld wanted", shape->capacity,
          keys);
    CHECK(!tape->recording || (shape->past == 0 && keys <= shape->capacity),
          "training needs the whole sequence in one call, %ld tokens came before", shape->past);
    Tensor *y = tape_tensor(tape, in->q->rows, in->q->cols);
    const int64_t rows = shape->batch * shape->heads * shape->tokens;
    float *statistics = tape->recording ? arena_floats(tape->arena, rows * 2) : 0;
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace =
        arena_floats(tape->arena, parallel_threads() * kernel->attend->workspace_floats(shape));
    attention_run(shape, in, cache->data, y->data, statistics, workspace);
    arena_release(tape->arena, scratch);
    AttendShape whole = *shape;
    whole.first = 0;
    whole.count = shape->tokens;
    tape_push(tape, attention_backward, &(Attention){tape->arena, whole, *in, y, cache->data, statistics},
              sizeof(Attention));
    return y;
}
