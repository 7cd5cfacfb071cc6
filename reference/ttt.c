/* Test-time training (Sun et al., arXiv 2407.04620): per head an inner model f whose weights are trained on every
 * mini-batch of M tokens while it reads. Inner models: L = 1, z = x W + b, or L = 2, z = gelu(x W_1 + b_1) W_2 + b_2;
 * with LN(z) = gain (z - mean) / deviation + bias the inner loss is l = |LN(z(k)) - (v - k)|^2 / 2. Its gradients are
 * taken at the weights w_0 of the mini-batch's start; token t reads
 *      w_t = w_0 - reader_t sum_{i<=t} rate_i grad l_i,
 * i in its mini-batch, and the last token's weights start the next one. A head's weights lie in one array of P numbers:
 * W_1, b_1, W_2, b_2. */
#pragma once
#include "titans.c"

/* One head: k, v, q (T x D), reader, rate (T), gain, bias (D). own: the read's residual is z itself, not the query. */
typedef struct Ttt {
    int64_t T, M, L, n[3], own;
    const real *k, *v, *q, *reader, *rate, *gain, *bias;
    real scale, eps;
} Ttt;

/* Where W_l starts, l = 1..L+1, the last being P; b_l ends where W_{l+1} starts. */
static int64_t ttt_weight(const Ttt *x, int64_t l) {
    int64_t at = 0;
    for (int64_t j = 1; j < l; j++) at += (x->n[j - 1] + 1) * x->n[j];
    return at;
}
static int64_t ttt_bias(const Ttt *x, int64_t l) { return ttt_weight(x, l) + x->n[l - 1] * x->n[l]; }
static int64_t ttt_size(const Ttt *x) { return ttt_weight(x, x->L + 1); }

/* y = gain layer_norm(z) + bias: z, gain, bias, y (n). */
static void ttt_norm(int64_t n, real eps, const real *z, const real *gain, const real *bias, real *y) {
    layer_norm(n, eps, z, y);
    for (int64_t i = 0; i < n; i++) y[i] = gain[i] * y[i] + bias[i];
}

/* z = h W_l + b_l of one layer: h (n_{l-1}), z (n_l), w (P). */
static void ttt_map(const Ttt *x, const real *w, int64_t l, const real *h, real *z) {
    project_exact(1, x->n[l - 1], x->n[l], h, w + ttt_weight(x, l), z);
    for (int64_t j = 0; j < x->n[l]; j++) z[j] = z[j] + w[ttt_bias(x, l) + j];
}

/* What one token's gradient is made of: h[l] the inputs of layer l + 1, z[l] and d[l] = dl / dz_l of layer l. */
typedef struct TttToken {
    real *h[2], *z[3], *d[3];
} TttToken;

static int64_t ttt_token_size(const Ttt *x) {
    int64_t size = x->n[0];
    for (int64_t l = 1; l <= x->L; l++) size += 3 * x->n[l];
    return size;
}

/* The token whose numbers lie at `at` (ttt_token_size). */
static TttToken ttt_token(const Ttt *x, real *at) {
    TttToken a = {{at}, {NULL}, {NULL}};
    at += x->n[0];
    for (int64_t l = 1; l <= x->L; l++) {
        a.z[l] = at;
        a.d[l] = at + x->n[l];
        if (l < x->L) a.h[l] = at + 2 * x->n[l];
        at += 3 * x->n[l];
    }
    return a;
}

/* h and z from the token's input in h[0]. */
static void ttt_forward(const Ttt *x, const real *w, TttToken *a) {
    for (int64_t l = 1; l <= x->L; l++) {
        ttt_map(x, w, l, a->h[l - 1], a->z[l]);
        for (int64_t j = 0; l < x->L && j < x->n[l]; j++) a->h[l][j] = gelu(a->z[l][j]);
    }
}

/* The inner loss of one token and what it owes to every layer:
 *      e = gain (gain hat + bias - (v - k)),   d_L = (e - mean e - hat mean(e hat)) / deviation,
 *      d_l = (d_{l+1} W_{l+1}') gelu'(z_l). */
static real ttt_inner(const Ttt *x, const real *w, const real *k, const real *v, TttToken *a) {
    int64_t D = x->n[x->L];
    real *hat = R_NEW(D), *e = R_NEW(D), loss = 0, sum = 0, along = 0;
    real_copy(x->n[0], k, a->h[0]);
    ttt_forward(x, w, a);
    real deviation = layer_norm(D, x->eps, a->z[x->L], hat);
    for (int64_t j = 0; j < D; j++) {
        real error = x->gain[j] * hat[j] + x->bias[j] - (v[j] - k[j]);
        loss += error * error / 2;
        e[j] = x->gain[j] * error;
        sum += e[j];
        along += e[j] * hat[j];
    }
    for (int64_t j = 0; j < D; j++)
        a->d[x->L][j] = (e[j] - sum / (real)D - hat[j] * (along / (real)D)) / deviation;
    for (int64_t l = x->L - 1; l >= 1; l--)
        for (int64_t i = 0; i < x->n[l]; i++) {
            real back = 0;
            for (int64_t j = 0; j < x->n[l + 1]; j++)
                back += a->d[l + 1][j] * w[ttt_weight(x, l + 1) + i * x->n[l + 1] + j];
            a->d[l][i] = back * gelu_slope(a->z[l][i]);
        }
    free(hat);
    free(e);
    return loss;
}

/* sum += factor grad l: dl / dW_l = h_{l-1}' d_l, dl / db_l = d_l: sum (P). */
static void ttt_gather(const Ttt *x, real factor, const TttToken *a, real *sum) {
    for (int64_t l = 1; l <= x->L; l++)
        for (int64_t j = 0; j < x->n[l]; j++) {
            for (int64_t i = 0; i < x->n[l - 1]; i++)
                sum[ttt_weight(x, l) + i * x->n[l] + j] += factor * (a->h[l - 1][i] * a->d[l][j]);
            sum[ttt_bias(x, l) + j] += factor * a->d[l][j];
        }
}

/* o = residual + LN(z), the residual being the query as read or z: query, z, o (D). */
static void ttt_output(const Ttt *x, const real *query, const real *z, real *o) {
    int64_t D = x->n[x->L];
    ttt_norm(D, x->eps, z, x->gain, x->bias, o);
    for (int64_t j = 0; j < D; j++) o[j] = o[j] + (x->own ? z[j] : query[j]);
}

/* One mini-batch, tokens from .. to - 1, weight by weight (the primal form): w (P) in place, o (T x D). */
static void ttt_primal(const Ttt *x, int64_t from, int64_t to, real *w, real *o) {
    int64_t P = ttt_size(x), D = x->n[0];
    real *sum = R_NEW(2 * P + ttt_token_size(x)), *now = sum + P;
    TttToken a = ttt_token(x, now + P);
    for (int64_t t = from; t < to; t++) {
        ttt_inner(x, w, x->k + t * D, x->v + t * D, &a);
        ttt_gather(x, x->rate[t], &a, sum);
        for (int64_t p = 0; p < P; p++) now[p] = w[p] - x->reader[t] * sum[p];
        for (int64_t i = 0; i < D; i++) a.h[0][i] = x->scale * x->q[t * D + i];
        ttt_forward(x, now, &a);
        ttt_output(x, a.h[0], a.z[x->L], o + t * D);
    }
    real_copy(P, now, w);
    free(sum);
}

/* Layer l of a read without the weights of its moment: z = h W_l + b_l - reader sum_i rate_i (h.h_i + 1) d_i over the
 * mini-batch's tokens a[0] .. a[m-1]. */
static void ttt_dual_map(const Ttt *x, const real *w, int64_t l, int64_t from, int64_t m, const TttToken *a,
                         const real *h, real *z) {
    ttt_map(x, w, l, h, z);
    for (int64_t i = 0; i < m; i++) {
        real score = 1;
        for (int64_t c = 0; c < x->n[l - 1]; c++) score += h[c] * a[i].h[l - 1][c];
        for (int64_t j = 0; j < x->n[l]; j++)
            z[j] = z[j] - x->reader[from + m - 1] * x->rate[from + i] * score * a[i].d[l][j];
    }
}

/* The same mini-batch by products of rows (the dual form): no weights but those of its start and its end. */
static void ttt_dual(const Ttt *x, int64_t from, int64_t to, real *w, real *o) {
    int64_t D = x->n[0], P = ttt_size(x), size = ttt_token_size(x);
    TttToken *a = (TttToken *)calloc((size_t)(to - from), sizeof *a);
    real *sum = R_NEW(P + (to - from + 1) * size);
    TttToken read = ttt_token(x, sum + P);
    for (int64_t t = from; t < to; t++) {
        a[t - from] = ttt_token(x, sum + P + (t - from + 1) * size);
        ttt_inner(x, w, x->k + t * D, x->v + t * D, &a[t - from]);
        ttt_gather(x, x->rate[t], &a[t - from], sum);
        for (int64_t i = 0; i < D; i++) read.h[0][i] = x->scale * x->q[t * D + i];
        for (int64_t l = 1; l <= x->L; l++) {
            ttt_dual_map(x, w, l, from, t - from + 1, a, read.h[l - 1], read.z[l]);
            for (int64_t j = 0; l < x->L && j < x->n[l]; j++) read.h[l][j] = gelu(read.z[l][j]);
        }
        ttt_output(x, read.h[0], read.z[x->L], o + t * D);
    }
    for (int64_t p = 0; p < P; p++) w[p] = w[p] - x->reader[to - 1] * sum[p];
    free(a);
    free(sum);
}

/* One mini-batch, as ttt_primal. */
typedef void TttRule(const Ttt *x, int64_t from, int64_t to, real *w, real *o);

/* H heads, all mini-batches, the last of which may be shorter. q, k, v, o (T x H x D), reader, rate (T x H), gain,
 * bias (H x D) of x, w (H x P) in place. */
static void ttt_heads(const Ttt *x, int64_t H, TttRule *rule, real *w, real *o) {
    int64_t T = x->T, D = x->n[0];
    real *rows = R_NEW(T * (4 * D + 2)), *o_h = rows + 3 * T * D, *reader = o_h + T * D, *rate = reader + T;
    for (int64_t h = 0; h < H; h++) {
        Ttt one = *x;
        const real *const from[] = {x->k, x->v, x->q};
        for (int64_t i = 0; i < 3; i++) head_get(T, H, D, h, from[i], rows + i * T * D);
        head_get(T, H, 1, h, x->reader, reader);
        head_get(T, H, 1, h, x->rate, rate);
        one.k = rows, one.v = rows + T * D, one.q = rows + 2 * T * D;
        one.reader = reader, one.rate = rate;
        one.gain = x->gain + h * D, one.bias = x->bias + h * D;
        for (int64_t t = 0; t < T; t += x->M)
            rule(&one, t, t + x->M < T ? t + x->M : T, w + h * ttt_size(x), o_h);
        head_put(T, H, D, h, o_h, o);
    }
    free(rows);
}

/* Names of a head's parts, W_l and b_l in turn, of the equations and of the mixers, by L. */
static const char *const ttt_part[2][4] = {{"W", "b", NULL, NULL}, {"W1", "b1", "W2", "b2"}};
static const char *const ttt_parameter[2][4] = {{"w1", "b1", NULL, NULL}, {"w1", "b1", "w2", "b2"}};

/* Part i of all heads between one tensor and w (H x P). */
static void ttt_split(const Ttt *x, int64_t H, int64_t i, const real *part, real *to, real *w) {
    int64_t l = i / 2 + 1, at = i % 2 ? ttt_bias(x, l) : ttt_weight(x, l);
    int64_t size = i % 2 ? x->n[l] : x->n[l - 1] * x->n[l];
    for (int64_t h = 0; h < H; h++)
        if (part)
            real_copy(size, part + h * size, w + h * ttt_size(x) + at);
        else
            real_copy(size, w + h * ttt_size(x) + at, to + h * size);
}

/* The weights of all heads from the inputs of those names. */
static real *ttt_weights_new(const Call *c, const Ttt *x, int64_t H, const char *const *name) {
    real *w = R_NEW(H * ttt_size(x));
    for (int64_t i = 0; i < 2 * x->L; i++) ttt_split(x, H, i, in(c, name[i]), NULL, w);
    return w;
}

static Ttt ttt_at(const Call *c, int64_t L) {
    int64_t D = dim(c, "head_width");
    Ttt x = {dim(c, "tokens"),
             dim(c, "mini_batch"),
             L,
             {D, L > 1 ? dim(c, "hidden") : D, D},
             dim(c, "residual"),
             in(c, "k"),
             in(c, "v"),
             in(c, "q"),
             in(c, "reader"),
             in(c, "rate"),
             in(c, "ln_gain"),
             in(c, "ln_bias"),
             in(c, "scale")[0],
             in(c, "eps")[0]};
    return x;
}

static void ttt_chunk_run(const Call *c, int64_t L, TttRule *rule) {
    Ttt x = ttt_at(c, L);
    int64_t H = dim(c, "heads");
    real *w = ttt_weights_new(c, &x, H, ttt_part[L - 1]);
    ttt_heads(&x, H, rule, w, out(c, "o"));
    for (int64_t i = 0; i < 2 * L; i++) {
        char name[16];
        snprintf(name, sizeof name, "%s_end", ttt_part[L - 1][i]);
        ttt_split(&x, H, i, NULL, out(c, name), w);
    }
    free(w);
}
static void ttt_linear_chunk_run(const Call *c) { ttt_chunk_run(c, 1, ttt_primal); }
static void ttt_linear_dual_run(const Call *c) { ttt_chunk_run(c, 1, ttt_dual); }
static void ttt_mlp_chunk_run(const Call *c) { ttt_chunk_run(c, 2, ttt_primal); }
static void ttt_mlp_dual_run(const Call *c) { ttt_chunk_run(c, 2, ttt_dual); }

/* The inner loss of one token of one head, and its gradient. */
static void ttt_loss_run(const Call *c, int64_t L) {
    int64_t D = dim(c, "head_width");
    Ttt x = {.M = 1, .L = L, .n = {D, L > 1 ? dim(c, "hidden") : D, D}};
    x.gain = in(c, "ln_gain"), x.bias = in(c, "ln_bias"), x.eps = in(c, "eps")[0];
    real *w = ttt_weights_new(c, &x, 1, ttt_part[L - 1]), *sum = R_NEW(ttt_size(&x) + ttt_token_size(&x));
    TttToken a = ttt_token(&x, sum + ttt_size(&x));
    out(c, "loss")[0] = ttt_inner(&x, w, in(c, "k"), in(c, "v"), &a);
    ttt_gather(&x, R(1), &a, sum);
    for (int64_t i = 0; i < 2 * L; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%s", ttt_part[L - 1][i]);
        ttt_split(&x, 1, i, NULL, out(c, name), sum);
    }
    free(w);
    free(sum);
}
static void ttt_linear_loss_run(const Call *c) { ttt_loss_run(c, 1); }
static void ttt_mlp_loss_run(const Call *c) { ttt_loss_run(c, 2); }

/* ---- the whole layer ---- */

/* reader_t = max(0, 1 / p + learn_p), p = 1..M the token's place in its mini-batch; rate_t = base_rate
 * sigma(x_t w_rate + b_rate) / D: x (T x H D), learn (M), w_rate (H D x H), b_rate (H), reader, rate (T x H). */
static void ttt_rates(const Call *c, int64_t T, int64_t H, int64_t D, real *reader, real *rate) {
    int64_t M = dim(c, "mini_batch");
    project_exact(T, H * D, H, in(c, "x"), in(c, "w_rate"), rate);
    for (int64_t i = 0; i < T * H; i++) {
        int64_t p = i / H % M;
        real factor = 1 / (real)(p + 1) + in(c, "learn_t")[p];
        reader[i] = RE(factor) < 0 ? R(0) : factor;
        rate[i] = in(c, "base_rate")[0] * sigmoid(rate[i] + in(c, "b_rate")[i % H]) / (real)D;
    }
}

/* Positions start again in every mini-batch: x (T x H x D) in place. */
static void ttt_rope(int64_t T, int64_t M, int64_t H, int64_t D, real *x) {
    for (int64_t t = 0; t < T; t += M) rope(t + M < T ? M : T - t, H, D, 0, x + t * H * D, x + t * H * D);
}

/* q = rope(x W_Q), k = rope(x W_K), v = x W_V; y = post-norm of all heads' reads side by side; o = (y gelu(x W_Z)) W_O,
 * the gate only where there is one: x, o (T x H D). */
static void ttt_mixer(const Call *c, int64_t L) {
    int64_t T = dim(c, "tokens"), W = dim(c, "width"), H = dim(c, "heads"), D = W / H,
            M = dim(c, "mini_batch");
    real *row = R_NEW(T * (5 * W + 2 * H)), *q = row, *k = q + T * W, *v = k + T * W, *y = v + T * W;
    real *z = y + T * W, *reader = z + T * W, *rate = reader + T * H;
    Ttt x = {.T = T, .M = M, .L = L, .n = {D, L > 1 ? dim(c, "expansion") * D : D, D}};
    x.q = q, x.k = k, x.v = v, x.reader = reader, x.rate = rate;
    x.gain = in(c, "ln_gain"), x.bias = in(c, "ln_bias"), x.scale = R(1), x.eps = in(c, "eps")[0];
    real *w = ttt_weights_new(c, &x, H, ttt_parameter[L - 1]);
    project(T, W, W, in(c, "x"), in(c, "wq"), q);
    project(T, W, W, in(c, "x"), in(c, "wk"), k);
    project(T, W, W, in(c, "x"), in(c, "wv"), v);
    ttt_rope(T, M, H, D, q);
    ttt_rope(T, M, H, D, k);
    ttt_rates(c, T, H, D, reader, rate);
    ttt_heads(&x, H, ttt_primal, w, y);
    for (int64_t t = 0; t < T; t++) ttt_norm(W, x.eps, y + t * W, in(c, "gain"), in(c, "bias"), y + t * W);
    if (dim(c, "output_gate")) project(T, W, W, in(c, "x"), in(c, "wz"), z);
    for (int64_t i = 0; dim(c, "output_gate") && i < T * W; i++) y[i] = y[i] * gelu(z[i]);
    project(T, W, W, y, in(c, "wo"), out(c, "o"));
    free(w);
    free(row);
}

#define MINI_BATCH                                                                                           \
    SIZE("mini_batch", "M", "tokens whose gradients are taken at one state; the last may have fewer")
#define TTT_RESIDUAL                                                                                         \
    CHOICE("residual", NULL, "query own",                                                                    \
           "what LN(z) is added to: the query as read (the authors' code), or z itself "                     \
           "(flash-linear-attention)")
#define TTT_SIZES TOKENS, HEADS, HEAD_WIDTH, MINI_BATCH, TTT_RESIDUAL
#define TTT_HIDDEN SIZE("hidden", NULL, "width of the inner model's hidden layer")
static const Dimension ttt_linear_dims[] = {TTT_SIZES, DIMENSION_END};
static const Dimension ttt_mlp_dims[] = {TTT_SIZES, TTT_HIDDEN, DIMENSION_END};
static const Dimension ttt_linear_loss_dims[] = {HEAD_WIDTH, DIMENSION_END};
static const Dimension ttt_mlp_loss_dims[] = {HEAD_WIDTH, TTT_HIDDEN, DIMENSION_END};

#define TTT_LINEAR(suffix, meaning)                                                                          \
    {"W" suffix, NULL, "heads head_width head_width", NUMBER, meaning}, {                                    \
        "b" suffix, NULL, "heads head_width", NUMBER, "its bias"                                             \
    }
#define TTT_MLP(suffix, meaning)                                                                             \
    {"W1" suffix, NULL, "heads head_width hidden", NUMBER, meaning ", first layer"},                         \
        {"b1" suffix, NULL, "heads hidden", NUMBER, "its bias"},                                             \
        {"W2" suffix, NULL, "heads hidden head_width", NUMBER, meaning ", second layer"}, {                  \
        "b2" suffix, NULL, "heads head_width", NUMBER, "its bias"                                            \
    }
#define TTT_LN                                                                                               \
    {"ln_gain", NULL, "heads head_width", GAIN, "gain of the inner model's norm"}, {                         \
        "ln_bias", NULL, "heads head_width", NUMBER, "its bias"                                              \
    }
#define TTT_EPS                                                                                              \
    { "eps", NULL, "1", LIMIT, "eps of the norms", 1e-6 }
#define TTT_TOKENS                                                                                           \
    {"q", NULL, "tokens heads head_width", NUMBER, "queries"},                                               \
        {"k", NULL, "tokens heads head_width", NUMBER, "keys"},                                              \
        {"v", NULL, "tokens heads head_width", NUMBER, "values"},                                            \
        {"reader", NULL, "tokens heads", GAIN, "factor of the token that reads"},                            \
        {"rate", NULL, "tokens heads", STEP, "rate of the token written"}, TTT_LN,                           \
        {"scale", NULL, "1", LIMIT, "factor of the queries"}, TTT_EPS
#define TTT_BEFORE "weights before the first token"
#define TTT_AFTER "weights after the last token"
static const Argument ttt_linear_in[] = {TTT_LINEAR("", TTT_BEFORE), TTT_TOKENS, ARGUMENT_END};
static const Argument ttt_mlp_in[] = {TTT_MLP("", TTT_BEFORE), TTT_TOKENS, ARGUMENT_END};
static const Argument ttt_linear_out[] = {
    {"o", NULL, "tokens heads head_width", NUMBER, "reads"}, TTT_LINEAR("_end", TTT_AFTER), ARGUMENT_END};
static const Argument ttt_mlp_out[] = {
    {"o", NULL, "tokens heads head_width", NUMBER, "reads"}, TTT_MLP("_end", TTT_AFTER), ARGUMENT_END};

#define TTT_LOSS_TOKEN                                                                                       \
    {"k", NULL, "head_width", NUMBER, "key"}, {"v", NULL, "head_width", NUMBER, "value"},                    \
        {"ln_gain", NULL, "head_width", GAIN, "gain of the norm"},                                           \
        {"ln_bias", NULL, "head_width", NUMBER, "its bias"}, TTT_EPS
#define TTT_LOSS                                                                                             \
    { "loss", NULL, "1", NUMBER, "|LN(z(k)) - (v - k)|^2 / 2" }
static const Argument ttt_linear_loss_in[] = {{"W", NULL, "head_width head_width", NUMBER, "weights"},
                                              {"b", NULL, "head_width", NUMBER, "bias"},
                                              TTT_LOSS_TOKEN,
                                              ARGUMENT_END};
static const Argument ttt_linear_loss_out[] = {TTT_LOSS,
                                               {"dW", NULL, "head_width head_width", NUMBER, "dloss / dW"},
                                               {"db", NULL, "head_width", NUMBER, "dloss / db"},
                                               ARGUMENT_END};
static const Argument ttt_mlp_loss_in[] = {{"W1", NULL, "head_width hidden", NUMBER, "first layer"},
                                           {"b1", NULL, "hidden", NUMBER, "its bias"},
                                           {"W2", NULL, "hidden head_width", NUMBER, "second layer"},
                                           {"b2", NULL, "head_width", NUMBER, "its bias"},
                                           TTT_LOSS_TOKEN,
                                           ARGUMENT_END};
static const Argument ttt_mlp_loss_out[] = {TTT_LOSS,
                                            {"dW1", NULL, "head_width hidden", NUMBER, "dloss / dW1"},
                                            {"db1", NULL, "hidden", NUMBER, "dloss / db1"},
                                            {"dW2", NULL, "hidden head_width", NUMBER, "dloss / dW2"},
                                            {"db2", NULL, "head_width", NUMBER, "dloss / db2"},
                                            ARGUMENT_END};

#define TTT_SOURCE "Sun et al., arXiv 2407.04620"
#define TTT_LN_FORMULA                                                                                       \
    "LN(z) = ln_gain (z - mean) / sqrt(variance + eps) + ln_bias, l = |LN(z(k)) - (v - k)|^2 / 2"
#define TTT_MLP_MODEL "z(x) = gelu(x W1 + b1) W2 + b2 with gelu in its tanh form, "
#define TTT_FORMULA                                                                                          \
    TTT_LN_FORMULA ";\nthe weights w_0 of a mini-batch's start give w_t = w_0 - reader_t sum_{i<=t} rate_i " \
                   "grad l_i(w_0), i in the mini-batch, and o_t = residual + LN(z_t), z_t = z(scale q_t; "   \
                   "w_t);\nthe next mini-batch starts from the last token's weights; every head by itself"
#define TTT_DUAL_FORMULA                                                                                     \
    ";\nthe same without w_t: every layer reads h W + b - reader_t sum_{i<=t} rate_i (h.h_i + 1) d_i, d_i "  \
    "= dl / d(h_i "                                                                                          \
    "W + b)"

/* The parameters of a mixer up to the inner model, and behind it. */
#define TTT_MIXER_SIZES                                                                                      \
    ROTARY_SIZES, MINI_BATCH, SWITCH("output_gate", NULL, 0, "1: reads are multiplied by gelu(x W_Z)"),      \
        DERIVED("gate_rows", NULL, ttt_gate_rows, "width with output_gate, else 0")
#define TTT_MAPS                                                                                             \
    MIXER_X, SQUARE("wq", NULL, "queries"), SQUARE("wk", NULL, "keys"), SQUARE("wv", NULL, "values"),        \
        {"w_rate", NULL, "width heads", NUMBER, "rate of a token in every head, before its bias"},           \
        {"b_rate", NULL, "heads", NUMBER, "its bias"}, {                                                     \
        "learn_t", NULL, "mini_batch", NUMBER, "added to 1 / t, t the place in the mini-batch"               \
    }
#define TTT_OUTPUT(rate)                                                                                     \
    TTT_LN, {"gain", NULL, "width", GAIN, "gain of the post-norm"},                                          \
        {"bias", NULL, "width", NUMBER, "its bias"},                                                         \
        {"wz", NULL, "gate_rows width", NUMBER, "output gate before gelu (tanh form)"},                      \
        SQUARE("wo", NULL, "output map"),                                                                    \
        {"base_rate", NULL, "1", LIMIT, "largest rate, times head_width", rate}, TTT_EPS
#define TTT_MIXER_FORMULA                                                                                    \
    "q = rope(x W_Q), k = rope(x W_K) with positions that start again at 0 in every mini-batch, v = x "      \
    "W_V;\n"                                                                                                 \
    "reader_t = max(0, 1 / p + learn_t_p), p = 1 .. mini_batch the token's place; rate_t = base_rate "       \
    "sigma(x_t "                                                                                             \
    "w_rate + b_rate) / head_width;\n"                                                                       \
    "y = layer norm over the width of all heads' reads, gain and bias; o = (y gelu(x W_Z)) W_O, without "    \
    "W_Z: y W_O\n"
static int64_t ttt_gate_rows(const Call *c) { return dim(c, "output_gate") ? dim(c, "width") : 0; }

static const Equation ttt_equations[] = {
    {"ttt_linear_chunk", TTT_SOURCE ", primal form", "z(x) = x W + b, " TTT_FORMULA, ttt_linear_dims,
     ttt_linear_in, ttt_linear_out, ttt_linear_chunk_run, NULL},
    {"ttt_linear_dual", TTT_SOURCE ", dual form", "z(x) = x W + b, " TTT_FORMULA TTT_DUAL_FORMULA,
     ttt_linear_dims, ttt_linear_in, ttt_linear_out, ttt_linear_dual_run, NULL},
    {"ttt_mlp_chunk", TTT_SOURCE ", primal form", TTT_MLP_MODEL TTT_FORMULA, ttt_mlp_dims, ttt_mlp_in,
     ttt_mlp_out, ttt_mlp_chunk_run, NULL},
    {"ttt_mlp_dual", TTT_SOURCE ", dual form", TTT_MLP_MODEL TTT_FORMULA TTT_DUAL_FORMULA, ttt_mlp_dims,
     ttt_mlp_in, ttt_mlp_out, ttt_mlp_dual_run, NULL},
    {"ttt_linear_loss", TTT_SOURCE, "z(x) = x W + b, " TTT_LN_FORMULA "; dW, db its gradient",
     ttt_linear_loss_dims, ttt_linear_loss_in, ttt_linear_loss_out, ttt_linear_loss_run, NULL},
    {"ttt_mlp_loss", TTT_SOURCE, TTT_MLP_MODEL TTT_LN_FORMULA "; dW1 .. db2 its gradient", ttt_mlp_loss_dims,
     ttt_mlp_loss_in, ttt_mlp_loss_out, ttt_mlp_loss_run, NULL},
    EQUATION_END};
