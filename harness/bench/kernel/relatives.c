/* Kernels of the relatives that are no recurrence over a matrix, beside full attention of the same heads and tokens:
 * Transformer-XL's segments, BigBird's blocks, Performer's features, Reformer's buckets, TTT's inner models. The flop are
 * those that the headers in optimized/kernel state. */
#include "bench/kernel/kernel.h"
#include "base/dispatch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 2048, HEADS = 4, WIDTH = 64, NUMBERS = TOKENS * HEADS * WIDTH };
enum { SEGMENT = 256, KEYS = 2 * SEGMENT };
enum { BLOCK = 64, BLOCKS = TOKENS / BLOCK, MOST = 6 };
enum { FEATURES = 64, ROUNDS = 2, BUCKETS = 16, RING = 32, MINI_BATCH = 16, HIDDEN = 256 };

/* What any of them needs: inputs, outputs and gradients as large as the widest wants them. */
typedef struct {
    float *q, *k, *v, *p, *y, *dy, *dq, *dk, *dv, *dp;
    float *extra, *dextra; /* distances, projection or rotations; rates and norm */
    float *state, *dstate, *statistics, *snapshots, *workspace;
    float *full_cache, *full_y, *full_statistics; /* the bar's own */
    int32_t *index;
    int64_t *list;
    int layers; /* of the inner model */
} RelativesCase;

static AttendShape full(void) { return attend_plain(1, HEADS, TOKENS, 0, TOKENS, WIDTH); }
static RelativeShape segment(void) { return (RelativeShape){1, HEADS, WIDTH, SEGMENT, KEYS, KEYS, KEYS}; }
static BlocksShape blocks(const RelativesCase *c) {
    return (BlocksShape){1, HEADS, TOKENS, 0, TOKENS, WIDTH, BLOCK, MOST, c->list};
}
static FavorShape favor(void) { return (FavorShape){1, HEADS, TOKENS, 0, WIDTH, FEATURES, 0}; }
static LshShape lsh(void) { return (LshShape){1, HEADS, TOKENS, 0, WIDTH, ROUNDS, BUCKETS, RING, 1e-6f}; }
static TttShape ttt(const RelativesCase *c) {
    const int64_t middle = c->layers == 1 ? WIDTH : HIDDEN;
    return (TttShape){1, HEADS, TOKENS, MINI_BATCH, 0, c->layers, {WIDTH, middle, WIDTH},
                      0, 1,     1.0f,   NORM_EPS};
}

static void full_forward(void *context) {
    const RelativesCase *c = context;
    const AttendShape s = full();
    kernel->attend->append(&s, c->k, c->v, c->full_cache);
    kernel->attend->forward(&s, c->q, c->full_cache, c->full_y, c->full_statistics, c->workspace);
}
static void full_backward(void *context) {
    const RelativesCase *c = context;
    const AttendShape s = full();
    kernel->attend->backward(&s, c->q, c->full_cache, c->full_y, c->full_statistics, c->dy, c->dq, c->dk,
                             c->dv, 0, 0, c->workspace);
}

/* Every segment after the first; the first has no memory and is left out. */
static void relative_forward(void *context) {
    const RelativesCase *c = context;
    const RelativeShape s = segment();
    for (int64_t at = SEGMENT; at < TOKENS; at += SEGMENT) {
        const int64_t row = at * HEADS * WIDTH, before = (at - SEGMENT) * HEADS * WIDTH;
        const RelativeInput in = {c->q + row, c->p + row, c->k + before, c->v + before, c->extra};
        kernel->relative->forward(&s, &in, c->y + row, c->statistics + at * HEADS * 2, c->workspace);
    }
}
static void relative_backward(void *context) {
    const RelativesCase *c = context;
    const RelativeShape s = segment();
    for (int64_t at = SEGMENT; at < TOKENS; at += SEGMENT) {
        const int64_t row = at * HEADS * WIDTH, before = (at - SEGMENT) * HEADS * WIDTH;
        const RelativeInput in = {c->q + row, c->p + row, c->k + before, c->v + before, c->extra};
        const RelativeGradient d = {c->dq + row, c->dp + row, c->dk + before, c->dv + before, c->dextra};
        kernel->relative->backward(&s, &in, c->y + row, c->statistics + at * HEADS * 2, c->dy + row, &d,
                                   c->workspace);
    }
}

static void blocks_forward(void *context) {
    const RelativesCase *c = context;
    const BlocksShape s = blocks(c);
    kernel->blocks->append(&s, c->k, c->v, c->state);
    kernel->blocks->forward(&s, c->q, c->state, c->y, c->statistics, c->workspace);
}
static void blocks_backward(void *context) {
    const RelativesCase *c = context;
    const BlocksShape s = blocks(c);
    kernel->blocks->backward(&s, c->q, c->state, c->y, c->statistics, c->dy, c->dq, c->dk, c->dv,
                             c->workspace);
}

static void favor_forward(void *context) {
    const RelativesCase *c = context;
    const FavorShape s = favor();
    memset(c->state, 0, (size_t)(HEADS * kernel->favor->state_floats(&s)) * sizeof(float));
    kernel->favor->forward(&s, c->q, c->k, c->v, c->extra, c->state, c->y, c->workspace);
}
static void favor_backward(void *context) {
    const RelativesCase *c = context;
    const FavorShape s = favor();
    kernel->favor->backward(&s, c->q, c->k, c->v, c->extra, c->dy, c->dq, c->dk, c->dv, c->workspace);
}

static void lsh_forward(void *context) {
    const RelativesCase *c = context;
    const LshShape s = lsh();
    memset(c->state, 0, (size_t)(HEADS * kernel->lsh->state_floats(&s)) * sizeof(float));
    kernel->lsh->forward(&s, c->q, c->v, c->extra, c->state, c->y, c->workspace);
}
static void lsh_backward(void *context) {
    const RelativesCase *c = context;
    const LshShape s = lsh();
    kernel->lsh->backward(&s, c->q, c->v, c->extra, c->dy, c->dq, c->dv, c->workspace, c->index);
}

static TttInput ttt_input(const RelativesCase *c) {
    const float *rates = c->extra, *norm = rates + 2 * TOKENS * HEADS;
    return (TttInput){c->k, c->v, c->q, rates, rates + TOKENS * HEADS, norm, norm + HEADS * WIDTH};
}
static void ttt_forward(void *context) {
    const RelativesCase *c = context;
    const TttShape s = ttt(c);
    const TttInput in = ttt_input(c);
    for (int64_t i = 0; i < HEADS * ttt_state(&s); i++) c->state[i] = 0.02f * c->p[i % NUMBERS];
    kernel->ttt->forward(&s, &in, c->state, c->y, c->snapshots, c->workspace);
}
static void ttt_backward(void *context) {
    const RelativesCase *c = context;
    const TttShape s = ttt(c);
    const TttInput in = ttt_input(c);
    float *rates = c->dextra, *norm = rates + 2 * TOKENS * HEADS;
    const TttGradient d = {c->dk, c->dv, c->dq, rates, rates + TOKENS * HEADS, norm, norm + HEADS * WIDTH};
    memset(c->dstate, 0, (size_t)(HEADS * ttt_weights(&s)) * sizeof(float));
    kernel->ttt->backward(&s, &in, c->snapshots, c->dy, &d, c->dstate, c->workspace);
}

/* Own block, the one before, the first, and others in between; the same for all heads. */
static void choose_blocks(int64_t *list) {
    for (int64_t h = 0; h < HEADS; h++)
        for (int64_t i = 0; i < BLOCKS; i++) {
            int64_t *row = list + (h * BLOCKS + i) * MOST, n = 0;
            row[n++] = 0;
            for (int64_t j = 1; j <= MOST - 3; j++)
                if (i > MOST - 1) row[n++] = j * (i - 2) / (MOST - 3);
            if (i > 1) row[n++] = i - 1;
            if (i > 0) row[n++] = i;
            while (n < MOST) row[n++] = -1;
        }
}

/* Pairs of a query and a key of a named block, of one head. */
static double seen_pairs(const int64_t *list) {
    double pairs = 0.0;
    for (int64_t i = 0; i < BLOCKS; i++)
        for (int64_t n = 0; n < MOST && list[i * MOST + n] >= 0; n++)
            pairs += list[i * MOST + n] == i ? 0.5 * BLOCK * (BLOCK + 1) : (double)BLOCK * BLOCK;
    return pairs;
}

static int64_t largest(int64_t n, const int64_t *sizes) {
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) most = sizes[i] > most ? sizes[i] : most;
    return most;
}

static RelativesCase relatives_case(void) {
    RelativesCase c = {.layers = 2};
    float **inputs[] = {&c.q, &c.k, &c.v, &c.p, &c.dy}, **outputs[] = {&c.y, &c.dq, &c.dk, &c.dv, &c.dp};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) *inputs[i] = random_floats(NUMBERS, 1.0);
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) *outputs[i] = random_floats(NUMBERS, 0.0);
    c.list = malloc(HEADS * BLOCKS * MOST * sizeof *c.list);
    choose_blocks(c.list);
    const AttendShape a = full();
    const RelativeShape r = segment();
    const BlocksShape b = blocks(&c);
    const FavorShape f = favor();
    const LshShape l = lsh();
    const TttShape t = ttt(&c);
    const int64_t states[] = {kernel->blocks->cache_floats(&b), kernel->favor->state_floats(&f),
                              kernel->lsh->state_floats(&l), ttt_state(&t)};
    const int64_t workspaces[] = {
        kernel->attend->workspace_floats(&a), kernel->relative->workspace_floats(&r),
        kernel->blocks->workspace_floats(&b), kernel->favor->workspace_floats(&f, 1),
        kernel->lsh->workspace_floats(&l, 1), kernel->ttt->workspace_floats(&t)};
    const int64_t extra = KEYS * HEADS * WIDTH; /* the largest: distances */
    c.extra = random_floats(extra, 0.1), c.dextra = random_floats(extra, 0.0);
    c.state = random_floats(HEADS * largest(4, states), 0.0);
    c.workspace = random_floats(largest(6, workspaces), 0.0);
    c.full_cache = random_floats(HEADS * kernel->attend->cache_floats(&a), 0.0);
    c.full_y = random_floats(NUMBERS, 0.0), c.full_statistics = random_floats(2 * HEADS * TOKENS, 0.0);
    c.statistics = random_floats(2 * HEADS * TOKENS, 0.0);
    c.dstate = random_floats(HEADS * ttt_weights(&t), 0.0);
    c.snapshots = random_floats(HEADS * ttt_mini_batches(&t) * ttt_weights(&t), 0.0);
    c.index = malloc((size_t)kernel->lsh->index_count(&l) * sizeof *c.index);
    return c;
}

static void relatives_case_free(RelativesCase *c) {
    float *all[] = {c->q,         c->k,         c->v,          c->p,      c->y,
                    c->dy,        c->dq,        c->dk,         c->dv,     c->dp,
                    c->extra,     c->dextra,    c->state,      c->dstate, c->statistics,
                    c->snapshots, c->workspace, c->full_cache, c->full_y, c->full_statistics};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(c->index);
    free(c->list);
}

/* The kernels' equations at these shapes: one segment, a pattern of its own. Performer and Reformer have none but whole
 * mixers. */
static const struct {
    const char *kernel, *dims;
} relatives_judged[] = {{"relative", "tokens=256 keys=512 heads=4 head_width=64"},
                        {"blocks", "tokens=2048 heads=4 head_width=64 block=64 random=3"},
                        {"ttt.linear", "tokens=2048 heads=4 head_width=64 mini_batch=16"},
                        {"ttt.mlp", "tokens=2048 heads=4 head_width=64 mini_batch=16"}};

static void relatives_judge(KernelReport *r, const char *name) {
    for (size_t i = 0; i < sizeof relatives_judged / sizeof *relatives_judged; i++) {
        const char *kernel = relatives_judged[i].kernel;
        const size_t n = strlen(kernel);
        if (!strncmp(name, kernel, n) && (!name[n] || !strcmp(name + n, ".backward")))
            report_judge(r, kernel, name[n] != 0, 3, "%s", relatives_judged[i].dims);
    }
}

static void relatives_row(KernelReport *r, const char *name, Work ours, Work bar, double flop) {
    const Timing t = timing_measure(ours, bar, 1, r->rounds, KERNEL_LEAST);
    const KernelRow row = {name, "T=2K H=4 d=64", "attention T=2K", 1, flop, t.bar_seconds / t.seconds, "-",
                           -1};
    relatives_judge(r, name);
    report_row(r, &row, &t);
}

/* Forward, which leaves what backward reads, then backward; each beside full attention's. */
static void relatives_pair(KernelReport *r, RelativesCase *c, const char *name, void (*forward)(void *),
                           void (*backward)(void *), double flop, double times) {
    char backward_name[48];
    snprintf(backward_name, sizeof backward_name, "%s.backward", name);
    relatives_row(r, name, (Work){forward, c}, (Work){full_forward, c}, flop);
    forward(c);
    relatives_row(r, backward_name, (Work){backward, c}, (Work){full_backward, c}, times * flop);
}

static double ttt_flop(const RelativesCase *c) {
    const TttShape s = ttt(c);
    double each =
        c->layers == 1 ? 6.0 * (double)ttt_weights(&s) : 8.0 * (double)ttt_weights(&s) - 2.0 * WIDTH * HIDDEN;
    for (int l = 1; l <= s.layers; l++) each += 2.0 * MINI_BATCH * (double)(s.width[l - 1] + s.width[l]);
    return TOKENS * HEADS * each;
}

static void relatives_rows(KernelReport *r) {
    RelativesCase c = relatives_case();
    const double per_segment = SEGMENT * (SEGMENT + 0.5 * (SEGMENT + 1));
    const double segments = (double)TOKENS / SEGMENT - 1.0, rows = (double)TOKENS * HEADS;
    relatives_pair(r, &c, "relative", relative_forward, relative_backward,
                   6.0 * WIDTH * HEADS * segments * per_segment, 2.5);
    relatives_pair(r, &c, "blocks", blocks_forward, blocks_backward, 4.0 * WIDTH * HEADS * seen_pairs(c.list),
                   2.5);
    relatives_pair(r, &c, "favor", favor_forward, favor_backward, 9.0 * WIDTH * FEATURES * rows, 4.0);
    relatives_pair(r, &c, "lsh", lsh_forward, lsh_backward, WIDTH * ROUNDS * (BUCKETS + 4.0 * RING) * rows,
                   2.0);
    c.layers = 1;
    relatives_pair(r, &c, "ttt.linear", ttt_forward, ttt_backward, ttt_flop(&c), 3.0);
    c.layers = 2;
    relatives_pair(r, &c, "ttt.mlp", ttt_forward, ttt_backward, ttt_flop(&c), 3.0);
    relatives_case_free(&c);
}

const KernelBench kernel_bench_relatives = {"relatives", relatives_rows, 1};
