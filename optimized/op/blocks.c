/* Attention to listed blocks, and the pattern that lists them. */
#include "base/check.h"
#include "base/parallel.h"
#include "base/random.h"
#include "op/op.h"

int64_t block_draw(const BlockPattern *p, int64_t head, int64_t i, int64_t *list) {
    Random random = random_stream((uint64_t)p->seed, (uint64_t)head, (uint64_t)i);
    const int64_t n = i - 2, first = n > p->random ? n - p->random : 0;
    int64_t count = 0;
    list[count++] = 0;
    for (int64_t j = first; j < n; j++) {
        int64_t drawn = 1 + (int64_t)random_below(&random, (uint64_t)(j + 1)), at = count;
        for (int64_t k = 1; k < count; k++)
            if (list[k] == drawn) drawn = j + 1; /* above all that were drawn before */
        for (; at > 1 && list[at - 1] > drawn; at--) list[at] = list[at - 1];
        list[at] = drawn;
        count++;
    }
    if (i > 1) list[count++] = i - 1;
    if (i > 0) list[count++] = i;
    return count;
}

void block_lists(Arena *arena, BlocksShape *s, const BlockPattern *p) {
    const int64_t touched = blocks_touched(s),
                  last = s->past / s->block + touched; /* blocks up to the last */
    s->most = last < p->random + 3 ? last : p->random + 3;
    int64_t *list = arena_take(arena, (size_t)(s->heads * touched * s->most) * sizeof *list);
    for (int64_t i = 0; i < s->heads * touched; i++) {
        int64_t count = block_draw(p, i / touched, s->past / s->block + i % touched, list + i * s->most);
        while (count < s->most) list[i * s->most + count++] = -1;
    }
    s->list = list;
}

typedef struct {
    Arena *arena;
    BlocksShape shape;
    AttentionInput in;
    Tensor *y;
    const float *cache, *statistics;
} BlockAttention;

static void block_attention_backward(void *context) {
    const BlockAttention *c = context;
    const BlocksShape *s = &c->shape;
    const AttentionInput *in = &c->in;
    const ArenaMark scratch = arena_mark(c->arena);
    float *workspace = arena_floats(c->arena, parallel_threads() * kernel->blocks->workspace_floats(s));
    kernel->blocks->backward(s, in->q->data, c->cache, c->y->data, c->statistics, c->y->grad, in->q->grad,
                             in->k->grad, in->v->grad, workspace);
    arena_release(c->arena, scratch);
}

BlocksShape block_shape(const BlockPattern *p, int64_t batch, int64_t heads, int64_t capacity,
                        int64_t width) {
    return (BlocksShape){batch, heads, 0, 0, capacity, width, p->block, 0, 0};
}

Tensor *op_block_attention(Tape *tape, const BlocksShape *shape, const BlockPattern *pattern,
                           const AttentionInput *in, Tensor *cache) {
    BlocksShape s = *shape;
    CHECK(s.past + s.tokens <= s.capacity, "cache of %ld positions, %ld wanted", s.capacity,
          s.past + s.tokens);
    CHECK(!tape->recording || s.past == 0,
          "training needs the whole sequence in one call, %ld tokens came before", s.past);
    Tensor *y = tape_tensor(tape, in->q->rows, in->q->cols);
    float *statistics = tape->recording ? arena_floats(tape->arena, s.batch * s.heads * s.tokens * 2) : 0;
    block_lists(tape->arena, &s, pattern);
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace = arena_floats(tape->arena, parallel_threads() * kernel->blocks->workspace_floats(&s));
    kernel->blocks->append(&s, in->k->data, in->v->data, cache->data);
    kernel->blocks->forward(&s, in->q->data, cache->data, y->data, statistics, workspace);
    arena_release(tape->arena, scratch);
    tape_push(tape, block_attention_backward,
              &(BlockAttention){tape->arena, s, *in, y, cache->data, statistics}, sizeof(BlockAttention));
    return y;
}
