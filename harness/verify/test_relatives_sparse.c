/* Longformer, BigBird and Linformer at their limits: there they are a simpler mixer. Of the reference to the bit, or up
 * to the order of a sum; of the optimized mixers likewise; and what block-sparse attention does not read. */
#include "base/parallel.h"
#include "op/op.h"
#include "test_edges.h"

/* ---- mixers that have common parameters give the same output ---- */

/* A case of the first with the inputs of the second wherever both have them. */
static Case case_like(const Case *other, const char *name, const char *dims) {
    Case c = case_new(name, 1, "%s", dims);
    for (int i = 0; i < c.inputs; i++) {
        const int at = argument_find(other->e->in, c.e->in[i].name);
        if (at >= 0 && other->in_size[at] == c.in_size[i])
            memcpy(c.in[i], other->in[at], (size_t)c.in_size[i] * sizeof(double));
    }
    return c;
}

static void expect_within(const char *what, const double *a, const double *b, int64_t n, double most) {
    for (int64_t i = 0; i < n; i++)
        cr_assert(fabs(a[i] - b[i]) <= most, "%s [%ld]: %.17g and %.17g", what, i, a[i], b[i]);
}

/* The optimized mixer of a case. */
static float *optimized(const Case *c) {
    KernelAdapter adapter;
    KernelRun run;
    char message[256];
    cr_assert(kernel_adapter_find(c->name, &adapter), "%s has no kernel", c->name);
    cr_assert(!kernel_accepts(&adapter, &c->dims, message, sizeof message), "%s", message);
    run_new(&run, c, 0);
    adapter.run(&run);
    float *out = malloc((size_t)c->out_size[0] * sizeof(float));
    memcpy(out, run.out[0], (size_t)c->out_size[0] * sizeof(float));
    run_free(&run, c);
    return out;
}

/* Reference: to the bit, or up to `most` (another order of the same sum). Optimized: `units` of 2^-24 of
 * the largest, 0: to the bit. */
static void expect_same_mixer(Case *a, Case *b, double most, double units) {
    const int64_t n = a->out_size[0];
    case_run(a);
    case_run(b);
    expect_within(a->name, a->out[0], b->out[0], n, most);
    float *x = optimized(a), *y = optimized(b);
    const double allowed = units * 0x1p-24 * largest(a->out[0], n);
    for (int64_t i = 0; i < n; i++)
        cr_assert(fabs((double)x[i] - (double)y[i]) <= allowed, "%s, optimized [%ld]: %.9g and %.9g", a->name,
                  i, (double)x[i], (double)y[i]);
    free(x);
    free(y);
}

static int differs(Case *a, Case *b) {
    case_run(a);
    case_run(b);
    return memcmp(a->out[0], b->out[0], (size_t)a->out_size[0] * sizeof(double)) != 0;
}

/* The first of a pair equals the second, or (differ) does not. */
typedef struct {
    const char *first, *first_dims, *second, *second_dims;
    double most, units;
    int differ;
} Identity;

static const Identity identities[] = {
    {"mixer_longformer", "tokens=70 width=8 heads=2 window=9", "mixer_swa",
     "tokens=70 width=8 heads=2 window=9", 0, 0, 0},
    {"mixer_longformer", "tokens=70 width=8 heads=2 window=70", "mixer_attention",
     "tokens=70 width=8 heads=2", 0, 0, 0},
    {"mixer_longformer", "tokens=70 width=8 heads=2 window=69", "mixer_attention",
     "tokens=70 width=8 heads=2", 0, 0, 1},
    {"mixer_longformer", "tokens=12 width=8 heads=2 window=3 globals=1", "mixer_swa",
     "tokens=12 width=8 heads=2 window=3", 0, 0, 1},
    {"mixer_bigbird", "tokens=30 width=8 heads=2 block=30", "mixer_attention", "tokens=30 width=8 heads=2", 0,
     0, 0},
    {"mixer_bigbird", "tokens=30 width=8 heads=2 block=64 random=1", "mixer_attention",
     "tokens=30 width=8 heads=2", 0, 0, 0},
    {"mixer_bigbird", "tokens=130 width=8 heads=2 block=200", "mixer_attention", "tokens=130 width=8 heads=2",
     0, 0, 0},
    {"mixer_bigbird", "tokens=40 width=8 heads=2 block=4 random=7", "mixer_attention",
     "tokens=40 width=8 heads=2", 0, 64, 0},
    {"mixer_bigbird", "tokens=40 width=8 heads=2 block=4 random=100 pattern_seed=5", "mixer_attention",
     "tokens=40 width=8 heads=2", 0, 64, 0},
    {"mixer_bigbird", "tokens=40 width=8 heads=2 block=4 random=6", "mixer_attention",
     "tokens=40 width=8 heads=2", 0, 0, 1},
    {"mixer_bigbird", "tokens=40 width=8 heads=2 block=4 random=2", "mixer_bigbird",
     "tokens=40 width=8 heads=2 block=4 random=2 pattern_seed=1", 0, 0, 1},
    {"mixer_linformer", "tokens=30 width=8 heads=2 segment=30 slots=3", "mixer_attention",
     "tokens=30 width=8 heads=2", 0, 0, 0},
    {"mixer_linformer", "tokens=30 width=8 heads=2 segment=29 slots=3", "mixer_attention",
     "tokens=30 width=8 heads=2", 0, 0, 1},
};

Test(relatives_sparse, at_their_limits_are_the_simpler_mixer) {
    const size_t count = sizeof identities / sizeof *identities;
    for (size_t i = 0; i < count; i++) {
        const Identity *id = &identities[i];
        Case b = case_new(id->second, 1, "%s", id->second_dims), a = case_like(&b, id->first, id->first_dims);
        if (id->differ)
            cr_assert(differs(&a, &b), "%s (%s) is %s", id->first, id->first_dims, id->second);
        else
            expect_same_mixer(&a, &b, id->most, id->units);
        case_free(&a);
        case_free(&b);
    }
    ledger_record("relatives_sparse", "limits", (int64_t)count, 0);
}

/* Compression by the identity keeps every key: the same sums, and nothing is lost. With another matrix it is not. */
Test(relatives_sparse, linformer_that_compresses_nothing_is_attention) {
    const char *dims = "tokens=29 width=8 heads=2 segment=6 slots=6";
    for (int other = 0; other < 2; other++) {
        Case b = case_new("mixer_attention", 1, "tokens=29 width=8 heads=2"),
             a = case_like(&b, "mixer_linformer", dims);
        for (int64_t i = 0; i < 36; i++)
            case_in(&a, "compress_k")[i] = case_in(&a, "compress_v")[i] = i / 6 == i % 6;
        if (other) case_in(&a, "compress_k")[1] = 0.5;
        if (other)
            cr_assert(differs(&a, &b), "compress_k is not read");
        else
            expect_same_mixer(&a, &b, 0, 0);
        case_free(&a);
        case_free(&b);
    }
    ledger_record("relatives_sparse", "nothing compressed", 2, 0);
}

/* Published layers: with a window and blocks that reach everything they are softmax over all keys. */
Test(relatives_sparse, published_layers_that_see_all_agree) {
    Case a = case_new("longformer_layer", 1, "tokens=9 width=4 heads=2 window=18"),
         b = case_like(&a, "bigbird_layer", "tokens=9 width=4 heads=2 block=3");
    for (int64_t t = 0; t < 9; t++) case_in(&a, "kind")[t] = 0, case_in(&b, "mask")[t] = 1;
    /* Three blocks: the first row lists all, the middle one names the last twice; two blocks list all. */
    Case c = case_like(&a, "bigbird_layer", "tokens=9 width=4 heads=2 block=5");
    for (int64_t t = 0; t < 9; t++) case_in(&c, "mask")[t] = 1;
    case_run(&a);
    case_run(&b);
    case_run(&c);
    expect_within("two blocks", a.out[0], c.out[0], 36, 0x1p-48);
    expect_within("the first of three", a.out[0], b.out[0], 12, 0x1p-48);
    cr_assert(fabs(a.out[0][16] - b.out[0][16]) > 1e-6, "a block named twice counts once");
    case_free(&a);
    case_free(&b);
    case_free(&c);
    ledger_record("relatives_sparse", "layers that see all", 49, 0);
}

/* ---- global tokens ---- */

/* Which rows a change of row `from` reaches: window, global tokens and rows of global tokens, forward only. */
Test(relatives_sparse, longformer_sees_its_window_and_the_global_tokens) {
    enum { T = 12, W = 3, G = 2, D = 8 };
    for (int64_t from = 0; from < T; from++) {
        Case a = case_new("mixer_longformer", 1, "tokens=%d width=%d heads=2 window=%d globals=%d", T, D, W,
                          G),
             b = case_new("mixer_longformer", 1, "tokens=%d width=%d heads=2 window=%d globals=%d", T, D, W,
                          G);
        for (int64_t j = 0; j < D; j++) case_in(&b, "x")[from * D + j] += 0.25;
        case_run(&a);
        case_run(&b);
        for (int64_t t = 0; t < T; t++) {
            const int sees = from <= t && (from < G || t < G || t - from < W);
            const int same = !memcmp(a.out[0] + t * D, b.out[0] + t * D, D * sizeof(double));
            cr_assert(same == !sees, "%ld and %ld", from, t);
        }
        case_free(&a);
        case_free(&b);
    }
    ledger_record("relatives_sparse", "longformer's pattern", T * T, 0);
}

/* ---- blocks ---- */

typedef struct {
    BlocksShape shape;
    float *q, *k, *v, *y, *cache, *workspace;
    Arena arena;
} Blocks;

static float *random_array(int64_t n, uint64_t *state) {
    float *x = run_scratch(n);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(2 * uniform(state) - 1);
    return x;
}

static Blocks blocks_new(const BlockPattern *p, int64_t heads, int64_t tokens, int64_t width) {
    Blocks b = {.shape = block_shape(p, 1, heads, tokens, width)};
    const int64_t n = tokens * heads * width;
    uint64_t state = 3;
    b.shape.tokens = tokens;
    block_lists(&b.arena, &b.shape, p);
    b.q = random_array(n, &state);
    b.k = random_array(n, &state);
    b.v = random_array(n, &state);
    b.y = run_scratch(n);
    b.cache = run_scratch(heads * kernel->blocks->cache_floats(&b.shape));
    b.workspace = run_scratch(parallel_threads() * kernel->blocks->workspace_floats(&b.shape));
    return b;
}

static void blocks_free(Blocks *b) {
    float *all[] = {b->q, b->k, b->v, b->y, b->cache, b->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    arena_free(&b->arena);
}

static int64_t blocks_run(Blocks *b) {
    kernel->blocks->append(&b->shape, b->k, b->v, b->cache);
    return kernel->blocks->forward(&b->shape, b->q, b->cache, b->y, 0, b->workspace);
}

/* Every block of queries multiplies min(i + 1, random + 3) blocks of keys: once all of them are there, twice the tokens
 * are twice the work. */
Test(relatives_sparse, bigbird_multiplies_as_many_blocks_as_there_are_tokens) {
    const BlockPattern p = {16, 3, 1};
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int64_t blocks = 1; blocks <= 64; blocks *= 2, checks++) {
            Blocks b = blocks_new(&p, 2, blocks * p.block, 8);
            int64_t want = 0;
            for (int64_t i = 0; i < blocks; i++) want += 2 * (i + 1 < 6 ? i + 1 : 6);
            const int64_t got = blocks_run(&b);
            cr_assert(got == want, "%ld blocks: %ld products, %ld wanted", blocks, got, want);
            blocks_free(&b);
        }
    ledger_record("relatives_sparse", "blocks multiplied", checks, 0);
}

/* What no list names is not read: keys and values there may be NaN. */
Test(relatives_sparse, blocks_that_are_not_named_are_not_read) {
    enum { B = 5, T = 60, D = 3, LAST = T / B - 1 };
    const BlockPattern p = {B, 2, 4};
    int64_t checks = 0, list[8];
    for (int k = 0; next_isa(&k);) {
        Blocks a = blocks_new(&p, 1, T, D), b = blocks_new(&p, 1, T, D);
        const int64_t count = block_draw(&p, 0, LAST, list);
        blocks_run(&a);
        for (int64_t t = 0; t < T; t++) {
            int named = 0;
            for (int64_t j = 0; j < count; j++) named |= list[j] == t / B;
            for (int64_t c = 0; !named && c < D; c++) b.k[t * D + c] = b.v[t * D + c] = NAN;
        }
        blocks_run(&b);
        cr_assert(!memcmp(a.y + LAST * B * D, b.y + LAST * B * D, B * D * sizeof(float)),
                  "the last block reads what it does not name");
        cr_assert(isnan(b.y[(LAST - 1) * B * D]), "nothing was hidden");
        blocks_free(&a);
        blocks_free(&b);
        checks += B * D;
    }
    ledger_record("relatives_sparse", "blocks not read", checks, 0);
}

/* Each is drawn once, and over many draws every one about as often as it should. */
Test(relatives_sparse, random_blocks_are_distinct_and_even) {
    enum { N = 9, DRAWS = 4000 };
    int64_t seen[N + 1] = {0};
    for (int64_t seed = 0; seed < DRAWS; seed++) {
        const BlockPattern p = {1, 3, seed};
        int64_t list[6];
        cr_assert(block_draw(&p, 0, N + 2, list) == 6);
        cr_assert(list[0] == 0 && list[4] == N + 1 && list[5] == N + 2);
        for (int j = 1; j < 6; j++) cr_assert(list[j] > list[j - 1], "seed %ld", seed);
        for (int j = 1; j < 4; j++) seen[list[j]]++;
    }
    /* Each block 3/9 of the draws; six standard deviations of a binomial count. */
    for (int c = 1; c <= N; c++)
        cr_assert(fabs((double)seen[c] - DRAWS / 3.0) < 6 * sqrt(DRAWS * 2.0 / 9.0), "block %d: %ld", c,
                  seen[c]);
    ledger_record("relatives_sparse", "random blocks", DRAWS, 0);
}
