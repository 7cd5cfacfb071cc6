/* Performer and Reformer: what their forms have in common, what they become at their limits, and what the published ones
 * see of later tokens. */
#include "base/dispatch.h"
#include "base/normals.h"
#include "equation/cases.h"
#include "kernel_runs.h"
#include "ledger.h"

enum { T = 9, H = 2, D = 4, M = 7, SEEDS = 3 };

static void quad_run(Case *c) {
    oracle_run(&reference_quad, &c->dims, constant(c->in), NULL, c->out, NULL, NULL, NULL);
}

static void copy_input(const Case *from, const Case *to, const char *name) {
    cr_assert(case_in_size(from, name) == case_in_size(to, name));
    memcpy(case_in(to, name), case_in(from, name), (size_t)case_in_size(to, name) * sizeof(double));
}

static void scale_input(const Case *c, const char *name, double factor) {
    for (int64_t j = 0; j < case_in_size(c, name); j++) case_in(c, name)[j] *= factor;
}

/* ---- Performer ---------------------------------------------------------------------------------------------------- */

static Case favor_case(const char *equation, uint64_t seed, const char *features) {
    return case_new(equation, seed, "tokens=%d heads=%d head_width=%d random_features=%d kernel=%s", T, H, D,
                    M, features);
}

/* Larger keys come later, so that the maxima grow often; in quad only the double at the end rounds. */
Test(relatives_features, running_maxima_cancel) {
    static const char *const kernels[] = {"softmax", "relu"};
    static const double sizes[] = {1, 8};
    int64_t checks = 0;
    double worst = 0;
    for (int i = 0; i < 4; i++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case running = favor_case("favor_running", seed, kernels[i / 2]),
                 pairs = favor_case("favor_pairs", seed, kernels[i / 2]);
            for (int64_t t = 0; t < T; t++)
                for (int64_t j = 0; j < H * D; j++) running.in[1][t * H * D + j] *= (double)(1 + t) / T;
            scale_input(&running, "q", sizes[i % 2]);
            scale_input(&running, "k", sizes[i % 2]);
            for (int n = 0; n < 4; n++) copy_input(&running, &pairs, running.e->in[n].name);
            quad_run(&running);
            quad_run(&pairs);
            for (int64_t j = 0; j < T * H * D; j++, checks++) {
                const double allowed = 2 * 0x1p-53 * fabs(pairs.out[0][j]);
                expect_near(&running, j, running.out[0][j], pairs.out[0][j], allowed);
                worst = fmax(worst, fabs(running.out[0][j] - pairs.out[0][j]) / allowed);
            }
            case_free(&running);
            case_free(&pairs);
        }
    ledger_record("relatives", "running maxima cancel", checks, worst);
}

/* With the identity for projection, relu's features are those of linear attention with its rows shifted beforehand. */
Test(relatives_features, relu_with_the_identity_is_linear_attention) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case favor = case_new("favor_running", seed,
                              "tokens=%d heads=1 head_width=%d random_features=%d kernel=relu", T, D, D);
        Case linear = case_new("linear_attention", seed, "tokens=%d key_width=%d value_width=%d", T, D, D);
        case_set(&favor, "projection", 0);
        for (int i = 0; i < D; i++) case_in(&favor, "projection")[i * D + i] = 1;
        for (int n = 0; n < 2; n++)
            for (int64_t j = 0; j < T * D; j++)
                linear.in[n][j] = fmax(favor.in[n][j] / sqrt(sqrt(D)), 0) + 1e-3;
        copy_input(&favor, &linear, "v");
        case_run(&favor);
        case_run(&linear);
        for (int64_t j = 0; j < T * D; j++)
            expect_near(&favor, j, favor.out[0][j], linear.out[0][j],
                        favor.tolerance[0][j] + linear.tolerance[0][j]);
        case_free(&favor);
        case_free(&linear);
    }
    ledger_record("relatives", "relu features are linear attention", SEEDS * T * D, 0);
}

static void set_identity(Case *c, const char *name, int64_t n, double factor) {
    case_set(c, name, 0);
    for (int64_t i = 0; i < n; i++) case_in(c, name)[i * n + i] = factor;
}

/* Many features of the seed come near softmax attention: the standard error is about 1 / sqrt(features). */
Test(relatives_features, many_features_are_softmax_attention) {
    enum { MANY = 4096 };
    double worst = 0, size = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case mixer =
            case_new("mixer_performer", seed, "tokens=%d width=%d heads=1 random_features=%d feature_seed=%d",
                     T, D, MANY, (int)seed);
        Case attention = case_new("attention", seed, "tokens=%d keys=%d head_width=%d", T, T, D);
        static const char *const maps[] = {"wq", "wk", "wv", "wo"};
        for (int i = 0; i < 4; i++) set_identity(&mixer, maps[i], D, 1);
        for (int n = 0; n < 3; n++) memcpy(attention.in[n], mixer.in[0], T * D * sizeof(double));
        case_run(&mixer);
        case_run(&attention);
        size = fmax(size, largest(attention.out[0], T * D));
        for (int64_t j = 0; j < T * D; j++) worst = fmax(worst, fabs(mixer.out[0][j] - attention.out[0][j]));
        case_free(&mixer);
        case_free(&attention);
    }
    cr_assert(worst < 2 / sqrt((double)MANY) * size, "%g of %g", worst, size);
    ledger_record("relatives", "many features are softmax attention", SEEDS * T * D,
                  worst * sqrt((double)MANY) / (2 * size));
}

/* Exponents of hundreds: sums of plain exponentials would overflow, or underflow to 0 / 0. */
Test(relatives_features, the_kernel_stays_finite_where_exp_does_not) {
    enum { FEATURES = 19, WIDTH = 6 };
    Case c = case_new("favor_running", 1, "tokens=%d heads=1 head_width=%d random_features=%d", T, WIDTH,
                      FEATURES);
    const FavorShape shape = {1, 1, T, 0, WIDTH, FEATURES, 0};
    float in[4][FEATURES * WIDTH + T * WIDTH], y[T * WIDTH];
    scale_input(&c, "q", 64);
    scale_input(&c, "k", 16);
    scale_input(&c, "projection", 16);
    for (int n = 0; n < 4; n++)
        for (int64_t j = 0; j < c.in_size[n]; j++) in[n][j] = (float)c.in[n][j];
    float *state = run_zeros(kernels_at(0)->favor->state_floats(&shape)),
          *workspace = run_zeros(kernels_at(0)->favor->workspace_floats(&shape, 0));
    oracle_run(&reference_bound, &c.dims, constant(c.in), NULL, c.out, NULL, c.tolerance, NULL);
    kernels_at(0)->favor->forward(&shape, in[0], in[1], in[2], in[3], state, y, workspace);
    for (int64_t j = 0; j < T * WIDTH; j++)
        expect_near(&c, j, (double)y[j], c.out[0][j], c.tolerance[0][j] + 0x1p-24 * fabs(c.out[0][j]));
    cr_assert(largest(case_out(&c, "top"), FEATURES) > 100 &&
              largest(c.tolerance[0], T * WIDTH) < 0.01 * largest(c.out[0], T * WIDTH));
    free(state);
    free(workspace);
    case_free(&c);
    ledger_record("relatives", "features of large exponents", T * WIDTH, 0);
}

/* ---- Reformer ----------------------------------------------------------------------------------------------------- */

static Case lsh_case(uint64_t seed, int64_t rounds, int64_t buckets, int64_t window) {
    return case_new("lsh_window", seed, "tokens=%d heads=1 head_width=%d rounds=%ld buckets=%ld window=%ld",
                    T, D, rounds, buckets, window);
}

/* One bucket, a window without end: token t > 0 attends to all before it, with unit keys and without the scale; the
 * first one to itself. More rounds of the same count everybody as often. */
Test(relatives_features, one_bucket_is_attention_to_all_before) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case lsh = lsh_case(seed, 1, 1, T), more = lsh_case(seed, 3, 1, T + 5);
        Case attention = case_new("attention", seed, "tokens=%d keys=%d head_width=%d", T - 1, T - 1, D);
        const double *x = case_in(&lsh, "qk"), *v = case_in(&lsh, "v"), eps = case_in(&lsh, "eps")[0];
        copy_input(&lsh, &more, "qk");
        copy_input(&lsh, &more, "v");
        for (int64_t t = 0; t < T - 1; t++) {
            const double length = sqrt(dot(x + t * D, x + t * D, D) + D * eps);
            for (int64_t i = t * D; i < (t + 1) * D; i++) {
                attention.in[0][i] = x[i + D] * sqrt(D);
                attention.in[1][i] = x[i] / length;
                attention.in[2][i] = v[i];
            }
        }
        case_run(&lsh);
        case_run(&more);
        case_run(&attention);
        for (int64_t j = 0; j < T * D; j++) {
            expect_near(&lsh, j, lsh.out[0][j], j < D ? v[j] : attention.out[0][j - D],
                        lsh.tolerance[0][j] + (j < D ? 0 : attention.tolerance[0][j - D]));
            expect_near(&more, j, more.out[0][j], lsh.out[0][j], lsh.tolerance[0][j] + more.tolerance[0][j]);
        }
        case_free(&lsh);
        case_free(&more);
        case_free(&attention);
    }
    ledger_record("relatives", "one bucket is attention", 2 * SEEDS * T * D, 0);
}

/* A window of one, one round: the values of the last token with the same hash, found by hand from the buckets. */
Test(relatives_features, a_window_of_one_copies_the_last_of_the_bucket) {
    int64_t copies = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case c = lsh_case(seed, 1, 4, 1);
        case_run(&c);
        const double *bucket = case_out(&c, "bucket"), *v = case_in(&c, "v");
        for (int64_t t = 0; t < T; t++) {
            int64_t from = t;
            for (int64_t j = 0; j < t; j++)
                if (bucket[j] == bucket[t]) from = j;
            copies += from != t;
            for (int64_t i = 0; i < D; i++)
                expect_near(&c, t * D + i, c.out[0][t * D + i], v[from * D + i], 0);
        }
        case_free(&c);
    }
    cr_assert(copies > 0);
    ledger_record("relatives", "window of one", SEEDS * T * D, 0);
}

/* The two largest of one token's projections in one round, [y; -y]: how far apart. */
static double hash_gap(int64_t half, const double *y) {
    double top = -INFINITY, second = -INFINITY;
    for (int64_t i = 0; i < 2 * half; i++) {
        const double each = i < half ? y[i] : -y[i - half];
        second = fmax(second, fmin(top, each));
        top = fmax(top, each);
    }
    return half ? top - second : INFINITY;
}

/* Of one case of the mixer, over all tokens, heads and rounds. */
static double smallest_gap(const Case *c) {
    const int64_t W = case_dim(c, "width"), heads = case_dim(c, "heads"), width = W / heads,
                  rounds = case_dim(c, "rounds"), half = case_dim(c, "buckets") / 2;
    float *turn = run_zeros(W * rounds * half);
    double *y = oracle_zeros(half), gap = INFINITY;
    normals(W * rounds * half, (uint64_t)case_dim(c, "hash_seed"), turn);
    for (int64_t t = 0; t < case_dim(c, "tokens"); t++)
        for (int64_t hr = 0; hr < heads * rounds; hr++) {
            const int64_t h = hr / rounds, r = hr % rounds;
            for (int64_t i = 0; i < half; i++) y[i] = 0;
            for (int64_t i = 0; i < width; i++) {
                double qk = 0;
                for (int64_t n = 0; n < W; n++)
                    qk += case_in(c, "x")[t * W + n] * case_in(c, "wqk")[n * W + h * width + i];
                for (int64_t n = 0; n < half; n++)
                    y[n] += qk * (double)turn[((h * width + i) * rounds + r) * half + n];
            }
            gap = fmin(gap, hash_gap(half, y));
        }
    free(turn);
    free(y);
    return gap;
}

/* The rows at which the mixer's kernel is held against the reference hash alike in float32: the two best buckets lie
 * further apart than its sums, of numbers of size 1, can be wrong. */
Test(relatives_features, the_cases_hash_alike_in_float32) {
    enum { MANY = 6 };
    double gap = INFINITY;
    int64_t checks = 0;
    for (int k = 0; case_at(k); k++)
        for (uint64_t seed = 1; seed <= MANY && !strcmp(case_at(k)->equation, "mixer_reformer"); seed++) {
            const Dims dims = case_dims(case_at(k));
            Case c = case_at_dims(&dims, seed);
            gap = fmin(gap, smallest_gap(&c));
            case_free(&c);
            checks++;
        }
    cr_assert(checks > 0 && gap > 64 * 0x1p-24, "%g", gap);
    ledger_record("relatives", "gap of hashes", checks, 64 * 0x1p-24 / gap);
}

/* The kernel's counts name the oldest of a ring and stay below two windows, however long the sequence. */
Test(relatives_features, counts_of_a_ring_do_not_grow) {
    enum { WINDOW = 3, LONG = 5 * WINDOW + 1, WIDE = 4, VECTOR = 16 }; /* the one count fills a vector */
    const LshShape s = {1, 1, LONG, 0, WIDE, 1, 1, WINDOW, 1e-6f};
    const int64_t held = kernel->lsh->state_floats(&s);
    float *state = calloc((size_t)held, sizeof *state), x[LONG * WIDE], y[LONG * WIDE];
    float *workspace = calloc((size_t)kernel->lsh->workspace_floats(&s, 0), sizeof *workspace);
    for (int i = 0; i < LONG * WIDE; i++) x[i] = (float)(i % 7) - 3.0f;
    for (int tokens = 1; tokens <= LONG; tokens++) {
        LshShape call = s;
        call.tokens = tokens;
        memset(state, 0, (size_t)held * sizeof *state);
        kernel->lsh->forward(&call, x, x, 0, state, y, workspace);
        const float count = state[held - VECTOR];
        cr_assert(count == (float)(tokens < WINDOW ? tokens : WINDOW + tokens % WINDOW), "%g after %d",
                  (double)count, tokens);
    }
    free(state);
    free(workspace);
    ledger_record("relatives", "counts of a ring", LONG, 0);
}

/* ---- what is seen of later tokens --------------------------------------------------------------------------------- */

/* How much the outputs of tokens before the last one change with what the last one is (its inputs 0 .. n - 1). */
static double seen_of_the_last(const char *equation, const char *dims, uint64_t seed, int n) {
    const Dims d = dims_of(equation, "%s", dims);
    Case before = case_at_dims(&d, seed), after = case_at_dims(&d, seed);
    const int64_t tokens = case_dim(&before, "tokens");
    double change = 0;
    for (int i = 0; i < n; i++) {
        const int64_t row = after.in_size[i] / tokens;
        for (int64_t j = (tokens - 1) * row; j < tokens * row; j++) after.in[i][j] = 4 - 3 * after.in[i][j];
    }
    case_run(&before);
    case_run(&after);
    for (int64_t j = 0; j < before.out_size[0] / tokens * (tokens - 1); j++)
        change = fmax(change, fabs(before.out[0][j] - after.out[0][j]));
    case_free(&before);
    case_free(&after);
    return change;
}

static double seen_at_most(const char *equation, const char *dims, int n) {
    double change = 0;
    for (uint64_t seed = 1; seed <= 8; seed++)
        change = fmax(change, seen_of_the_last(equation, dims, seed, n));
    return change;
}

Test(relatives_features, the_published_forms_see_later_tokens_and_ours_do_not) {
    const char favor[] = "tokens=9 heads=2 head_width=4 random_features=7",
               published[] = "tokens=9 heads=2 head_width=4 random_features=7 causal=1",
               lsh[] = "tokens=12 heads=1 head_width=4 rounds=2 buckets=4 chunk=3 causal=1",
               window[] = "tokens=12 heads=1 head_width=4 rounds=2 buckets=4 window=3";
    cr_assert(seen_at_most("favor", published, 3) > 1e-6);
    cr_assert(seen_at_most("lsh_attention", lsh, 2) > 1e-2);
    cr_assert(seen_at_most("favor_running", favor, 3) == 0);
    cr_assert(seen_at_most("favor_pairs", favor, 3) == 0);
    cr_assert(seen_at_most("lsh_window", window, 2) == 0);
    ledger_record("relatives", "later tokens", 5 * 8, 0);
}
