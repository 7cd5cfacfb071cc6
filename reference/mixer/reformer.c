/* Reformer: attention among tokens of one hash. The published layer, and as a sequence mixer the causal form (ours),
 * whose rotations are named by a seed. */
#pragma once
#include "../lsh.c"

/* y = (x - mean x) / sqrt(mean (x - mean x)^2 + eps) gain + bias, per row: x, y (T x D). */
static void reformer_norm(int64_t T, int64_t D, real eps, const real *x, const real *gain, const real *bias,
                          real *y) {
    for (int64_t t = 0; t < T; t++) {
        real sum = 0, squares = 0, *row = y + t * D;
        for (int64_t i = 0; i < D; i++) sum += x[t * D + i];
        for (int64_t i = 0; i < D; i++) row[i] = x[t * D + i] - sum / (real)D;
        for (int64_t i = 0; i < D; i++) squares += row[i] * row[i];
        real deviation = sqrt(squares / (real)D + eps);
        for (int64_t i = 0; i < D; i++) row[i] = row[i] / deviation * gain[i] + bias[i];
    }
}

/* o = [lsh_attention of every head: qk = u W_QK, v = u W_V] W_O, u = layer norm of x. */
static void reformer_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), D = dim(c, "width"), H = dim(c, "heads"), d = dim(c, "head_width"),
            n = H * d;
    Lsh s = lsh_at(c, d, R(LSH_EPS));
    real *u = R_NEW(T * D), *x = R_NEW(3 * T * n), *v = x + T * n, *y = v + T * n;
    reformer_norm(T, D, in(c, "eps")[0], in(c, "x"), in(c, "gain"), in(c, "bias"), u);
    project(T, D, n, u, in(c, "wqk"), x);
    project(T, D, n, u, in(c, "wv"), v);
    lsh_heads(&s, 0, H, x, v, in(c, "rotations"), out(c, "bucket"), y);
    project(T, n, D, y, in(c, "wo"), out(c, "o"));
    free(u);
    free(x);
}

/* o = [lsh_window of every head: qk = x W_QK, v = x W_V] W_O: x, o (T x D), W (D x D). */
static void mixer_reformer_run(const Call *c) {
    Mixing m = mixing_at(c);
    Lsh s = lsh_at(c, m.dh, in(c, "eps")[0]);
    int64_t turns = m.D * s.rounds * (s.buckets / 2);
    real *x = R_NEW(3 * m.T * m.D), *v = x + m.T * m.D, *y = v + m.T * m.D, *rotations = R_NEW(turns);
    normals(turns, dim(c, "hash_seed"), rotations);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wqk"), x);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wv"), v);
    lsh_heads(&s, 1, m.H, x, v, rotations, NULL, y);
    project(m.T, m.D, m.D, y, in(c, "wo"), out(c, "o"));
    free(x);
    free(rotations);
}

static const Dimension reformer_layer_dims[] = {TOKENS,      WIDTH,     HEADS,      HEAD_WIDTH,   LSH_ROUNDS,
                                                LSH_BUCKETS, LSH_CHUNK, LSH_CAUSAL, DIMENSION_END};
static const Argument reformer_layer_in[] = {MIXER_X,
                                             LSH_ROTATIONS,
                                             {"gain", NULL, "width", GAIN, "gain of the layer norm"},
                                             {"bias", NULL, "width", NUMBER, "its bias"},
                                             {"wqk", NULL, "width heads head_width", NUMBER, "W_QK"},
                                             {"wv", NULL, "width heads head_width", NUMBER, "W_V"},
                                             {"wo", NULL, "heads head_width width", NUMBER, "output map"},
                                             {"eps", NULL, "1", LIMIT, "of the layer norm"},
                                             ARGUMENT_END};
static const Argument reformer_layer_out[] = {MIXER_O, LSH_BUCKET, ARGUMENT_END};

static const Dimension mixer_reformer_dims[] = {
    MIXER_SIZES,
    LSH_ROUNDS,
    LSH_BUCKETS,
    LSH_WINDOW,
    COUNT("hash_seed", NULL, "names the rotations: the same for every layer"),
    DIMENSION_END};
static const Argument mixer_reformer_in[] = {
    MIXER_X,
    SQUARE("wqk", "Wqk", "queries, which are the keys as well"),
    SQUARE("wv", "Wv", "values"),
    SQUARE("wo", "Wo", "output map"),
    {"eps", NULL, "1", LIMIT, "added to the mean square of a key", 1e-6},
    ARGUMENT_END};
static const Equation mixer_reformer_equations[] = {
    {"reformer_layer", "Kitaev et al. 2001.04451, as in transformers 5.24.0",
     "u = (x - mean x) / sqrt(mean (x - mean x)^2 + eps) gain + bias; o = [lsh_attention of every head, "
     "variant hf: qk = u W_QK, v = u W_V] W_O",
     reformer_layer_dims, reformer_layer_in, reformer_layer_out, reformer_layer_run, NULL},
    {"mixer_reformer", "Kitaev et al. 2001.04451 (ours, causal)",
     "o = [lsh_window of every head: qk = x W_QK, v = x W_V] W_O: " LSH_WINDOW_FORMULA ";\n"
     "R: heads x head_width x rounds x half_buckets normal numbers in turn, sqrt(-2 log(1 - u)) cos(2 pi w), "
     "u, w in turn from splitmix64 of state hash_seed, (z >> 11) 2^-53",
     mixer_reformer_dims, mixer_reformer_in, mixer_out, mixer_reformer_run, NULL},
    EQUATION_END};
