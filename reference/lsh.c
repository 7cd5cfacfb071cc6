/* Reformer's attention (Kitaev et al. 2001.04451): queries and keys are one, a token looks at those whose hash is near.
 * Published as in transformers (trax) and reformer-pytorch: sorted by hash and cut into chunks; and ours, causal: the
 * last `window` tokens of the token's own bucket. Hashes and the order are no functions with a derivative. One head:
 * x (T x dh) the shared queries and keys, v, o (T x dh). */
#pragma once
#include "normals.h"
#include "titans.c"

/* eps: under the root of hf's keys. */
typedef struct Lsh {
    int64_t T, d, rounds, buckets, chunk, window;
    int64_t lucid, causal;
    real eps;
} Lsh;

static Lsh lsh_at(const Call *c, int64_t d, real eps) {
    Lsh s = {dim(c, "tokens"),
             d,
             dim(c, "rounds"),
             dim(c, "buckets"),
             dim_or(c, "chunk", 0),
             dim_or(c, "window", 0),
             dim_or(c, "variant", 0),
             dim_or(c, "causal", 1),
             eps};
    return s;
}

/* The bucket of a row (dh) in one round: the largest of y = x R and -y, the first if several are; R (dh x buckets / 2)
 * with rows `stride` apart. One bucket needs no R. */
static int64_t lsh_bucket(const Lsh *s, const real *x, const real *R_round, int64_t stride) {
    int64_t half = s->buckets / 2, best = 0;
    real *y = R_NEW(2 * half), top = 0;
    for (int64_t i = 0; i < half; i++) {
        for (int64_t c = 0; c < s->d; c++) y[i] += x[c] * R_round[c * stride + i];
        y[half + i] = -y[i];
    }
    for (int64_t i = 0; i < 2 * half; i++)
        if (i == 0 || RE(y[i]) > RE(top)) top = y[i], best = i;
    free(y);
    return best;
}

/* bucket (rounds x T), rotations (dh x rounds x buckets / 2). */
static void lsh_hash(const Lsh *s, const real *x, const real *rotations, int64_t *bucket) {
    int64_t half = s->buckets / 2;
    for (int64_t r = 0; r < s->rounds; r++)
        for (int64_t t = 0; t < s->T; t++)
            bucket[r * s->T + t] = lsh_bucket(s, x + t * s->d, rotations + r * half, s->rounds * half);
}

/* The key of every row: x / sqrt(mean x^2 + eps) / sqrt(dh) (hf), x / max(|x|, 1e-12) (lucid). */
static void lsh_keys(const Lsh *s, const real *x, real *key) {
    for (int64_t t = 0; t < s->T; t++) {
        real sum = 0, length;
        for (int64_t i = t * s->d; i < (t + 1) * s->d; i++) sum += x[i] * x[i];
        if (s->lucid)
            length = RE(sum) > 1e-24 ? sqrt(sum) : R(1e-12);
        else
            length = sqrt(sum / (real)s->d + s->eps) * sqrt((real)s->d);
        for (int64_t i = t * s->d; i < (t + 1) * s->d; i++) key[i] = x[i] / length;
    }
}

/* What one query has seen: the largest score, and sums of exp(score - top) without and with v (dh). alone: nothing but
 * itself. */
typedef struct LshSum {
    real top, sum, *weighted;
    int alone;
} LshSum;

/* Looks at n rows, `seen` (tokens): scores q.key_j (over sqrt(dh) for lucid). Where j is the token itself, it is -1e5
 * (lucid: -5e4), whose exponential next to any other score is 0 in every arithmetic: so these count, all equal, where
 * there is no other, and else not. */
static void lsh_look(const Lsh *s, int64_t t, int64_t n, const int64_t *seen, const real *x, const real *key,
                     const real *v, LshSum *y) {
    real *score = R_NEW(n), scale = s->lucid ? sqrt((real)s->d) : R(1);
    y->alone = 1;
    for (int64_t j = 0; j < n; j++) y->alone &= seen[j] == t;
    y->top = 0;
    y->sum = 0;
    int64_t others = 0;
    for (int64_t j = 0; j < n && !y->alone; j++) {
        if (seen[j] == t) continue;
        for (int64_t c = 0; c < s->d; c++) score[j] += x[t * s->d + c] * key[seen[j] * s->d + c];
        score[j] = score[j] / scale;
        if (others++ == 0 || RE(score[j]) > RE(y->top)) y->top = score[j];
    }
    for (int64_t c = 0; c < s->d; c++) y->weighted[c] = 0;
    for (int64_t j = 0; j < n; j++) {
        if (seen[j] == t && !y->alone) continue;
        real weight = exp(score[j] - y->top);
        y->sum += weight;
        for (int64_t c = 0; c < s->d; c++) y->weighted[c] += weight * v[seen[j] * s->d + c];
    }
    free(score);
}

/* All rounds of one token: sum_r exp(lse_r - logsumexp lse) o_r, o_r = weighted_r / sum_r, lse_r = top_r + log sum_r
 * with top and sum apart. A round in which the token is alone counts where it is so in all of them. */
static void lsh_join(int64_t d, int64_t rounds, const LshSum *y, real *o) {
    real top = 0, total = 0;
    int alone = 1;
    for (int64_t r = 0; r < rounds; r++) {
        if (!y[r].alone && (alone || RE(y[r].top) > RE(top))) top = y[r].top;
        alone &= y[r].alone;
    }
    for (int64_t c = 0; c < d; c++) o[c] = 0;
    for (int64_t r = 0; r < rounds; r++) {
        if (y[r].alone && !alone) continue;
        real share = exp(y[r].top - top);
        total += share * y[r].sum;
        for (int64_t c = 0; c < d; c++) o[c] += share * y[r].weighted[c];
    }
    for (int64_t c = 0; c < d; c++) o[c] = o[c] / total;
}

/* The rounds T places: token and bucket, sorted by round, bucket, token; place is the reverse. */
static void lsh_sort(const Lsh *s, const int64_t *bucket, int64_t *token, int64_t *place) {
    int64_t n = 0;
    for (int64_t r = 0; r < s->rounds; r++)
        for (int64_t b = 0; b < s->buckets; b++)
            for (int64_t t = 0; t < s->T; t++)
                if (bucket[r * s->T + t] == b) {
                    place[r * s->T + t] = n;
                    token[n++] = t;
                }
}

/* What the place `at` of token t sees: the tokens of its chunk of sorted places and of the one before, going round;
 * causal: without later ones. Returns how many. */
static int64_t lsh_seen(const Lsh *s, int64_t at, int64_t t, const int64_t *token, int64_t *seen) {
    int64_t places = s->rounds * s->T, chunks = (places + s->chunk - 1) / s->chunk, n = 0;
    for (int64_t back = 1; back >= 0; back--) {
        int64_t from = (at / s->chunk - back + chunks) % chunks * s->chunk;
        for (int64_t i = from; i < from + s->chunk && i < places; i++)
            if (!s->causal || token[i] <= t) seen[n++] = token[i];
    }
    return n;
}

/* One head as published; bucket (rounds x T) is filled, with zeros where nothing is hashed. */
static void lsh_published(const Lsh *s, const real *x, const real *v, const real *rotations, int64_t *bucket,
                          real *o) {
    int hashed = s->lucid || s->T > s->chunk; /* hf does not hash what one chunk holds */
    int64_t places = s->rounds * s->T, rounds = hashed ? s->rounds : 1;
    int64_t *token = rows_new(places), *place = rows_new(places), *seen = rows_new(2 * s->chunk + s->T);
    real *key = R_NEW(s->T * s->d), *weighted = R_NEW(s->rounds * s->d);
    LshSum *y = (LshSum *)calloc((size_t)s->rounds, sizeof(LshSum));
    if (!y) abort();
    lsh_keys(s, x, key);
    if (hashed) lsh_hash(s, x, rotations, bucket);
    lsh_sort(s, bucket, token, place);
    for (int64_t t = 0; t < s->T; t++) {
        for (int64_t r = 0; r < rounds; r++) {
            int64_t n = 0;
            if (hashed) n = lsh_seen(s, place[r * s->T + t], t, token, seen);
            for (int64_t j = 0; !hashed && j < (s->causal ? t + 1 : s->T); j++) seen[n++] = j;
            y[r].weighted = weighted + r * s->d;
            lsh_look(s, t, n, seen, x, key, v, &y[r]);
        }
        lsh_join(s->d, rounds, y, o + t * s->d);
    }
    free(token);
    free(place);
    free(seen);
    free(key);
    free(weighted);
    free(y);
}

/* Ours: in every round the last `window` tokens before t whose bucket is that of t; all rounds in one softmax; itself
 * only where that is nobody. */
static int64_t lsh_past(const Lsh *s, int64_t t, const int64_t *bucket, int64_t *seen) {
    int64_t n = 0;
    for (int64_t r = 0; r < s->rounds; r++) {
        int64_t left = s->window;
        for (int64_t j = t - 1; j >= 0 && left > 0; j--)
            if (bucket[r * s->T + j] == bucket[r * s->T + t]) seen[n++] = j, left--;
    }
    if (n == 0) seen[n++] = t;
    return n;
}

static void lsh_streaming(const Lsh *s, const real *x, const real *v, const real *rotations, int64_t *bucket,
                          real *o) {
    int64_t *seen = rows_new(s->rounds * s->T + 1);
    real *key = R_NEW(s->T * s->d);
    lsh_keys(s, x, key);
    lsh_hash(s, x, rotations, bucket);
    for (int64_t t = 0; t < s->T; t++) {
        LshSum y = {0, 0, o + t * s->d, 0};
        lsh_look(s, t, lsh_past(s, t, bucket, seen), seen, x, key, v, &y);
        for (int64_t c = 0; c < s->d; c++) o[t * s->d + c] = o[t * s->d + c] / y.sum;
    }
    free(seen);
    free(key);
}

/* H heads side by side: x, v, o (T x H x dh), rotations (H x dh x rounds x buckets / 2), bucket (H x rounds x T) or
 * NULL. */
static void lsh_heads(const Lsh *s, int streaming, int64_t H, const real *x, const real *v,
                      const real *rotations, real *bucket, real *o) {
    int64_t T = s->T, d = s->d, places = s->rounds * T;
    real *x_h = R_NEW(3 * T * d), *v_h = x_h + T * d, *o_h = v_h + T * d;
    for (int64_t h = 0; h < H; h++) {
        int64_t *hash = rows_new(places);
        const real *turn = rotations + h * d * s->rounds * (s->buckets / 2);
        head_get(T, H, d, h, x, x_h);
        head_get(T, H, d, h, v, v_h);
        (streaming ? lsh_streaming : lsh_published)(s, x_h, v_h, turn, hash, o_h);
        head_put(T, H, d, h, o_h, o);
        for (int64_t i = 0; bucket && i < places; i++) bucket[h * places + i] = (real)hash[i];
        free(hash);
    }
    free(x_h);
}

/* As transformers has it. */
#define LSH_EPS 1e-6

static void lsh_attention_run(const Call *c) {
    Lsh s = lsh_at(c, dim(c, "head_width"), R(LSH_EPS));
    lsh_heads(&s, 0, dim(c, "heads"), in(c, "qk"), in(c, "v"), in(c, "rotations"), out(c, "bucket"),
              out(c, "o"));
}
static void lsh_window_run(const Call *c) {
    Lsh s = lsh_at(c, dim(c, "head_width"), in(c, "eps")[0]);
    lsh_heads(&s, 1, dim(c, "heads"), in(c, "qk"), in(c, "v"), in(c, "rotations"), out(c, "bucket"),
              out(c, "o"));
}

static int64_t lsh_half(const Call *c) { return dim(c, "buckets") / 2; }
#define LSH_ROUNDS SIZE("rounds", "R", "rounds of hashing")
#define LSH_BUCKETS                                                                                          \
    SIZE("buckets", "nb", "buckets of a round, even; 1: no hashing"),                                        \
        DERIVED("half_buckets", NULL, lsh_half, "buckets / 2")
#define LSH_CHUNK SIZE("chunk", "L", "sorted places that look at each other and at as many before")
#define LSH_CAUSAL SWITCH("causal", NULL, 0, "1: a token sees none after itself; 0: it sees all")
#define LSH_WINDOW                                                                                           \
    SIZE("window", "w", "tokens that a token looks at in every round: the last ones of its bucket")
#define LSH_ROTATIONS                                                                                        \
    { "rotations", NULL, "heads head_width rounds half_buckets", NUMBER, "R of the hashes, without gradient" }
static const Dimension lsh_attention_dims[] = {
    TOKENS,       HEADS,
    HEAD_WIDTH,   LSH_ROUNDS,
    LSH_BUCKETS,  LSH_CHUNK,
    LSH_CAUSAL,   CHOICE("variant", NULL, "hf lucid", "of keys, scale and what itself is worth"),
    DIMENSION_END};
static const Dimension lsh_window_dims[] = {TOKENS,      HEADS,      HEAD_WIDTH,   LSH_ROUNDS,
                                            LSH_BUCKETS, LSH_WINDOW, DIMENSION_END};
#define LSH_QKV                                                                                              \
    {"qk", NULL, "tokens heads head_width", NUMBER, "queries, which are the keys as well"},                  \
        {"v", NULL, "tokens heads head_width", NUMBER, "values"}, LSH_ROTATIONS
#define LSH_BUCKET                                                                                           \
    { "bucket", NULL, "heads rounds tokens", NUMBER, "bucket of every token, 0 where nothing is hashed" }
static const Argument lsh_attention_in[] = {LSH_QKV, ARGUMENT_END};
static const Argument lsh_window_in[] = {
    LSH_QKV, {"eps", NULL, "1", LIMIT, "added to the mean square of a key"}, ARGUMENT_END};
static const Argument lsh_out[] = {
    {"o", NULL, "tokens heads head_width", NUMBER, "what each token reads"}, LSH_BUCKET, ARGUMENT_END};

#define LSH_HASH "bucket_rt = argmax of [y; -y], y = qk_t R_r (the first of equals), every head by itself"
#define LSH_WINDOW_FORMULA                                                                                   \
    LSH_HASH ";\n"                                                                                           \
             "token t sees, in every round, the last `window` tokens s < t with bucket_rs = bucket_rt; one " \
             "seen in two rounds counts twice;\n"                                                            \
             "o_t = sum_s exp(qk_t.key_s) v_s / sum_s exp(qk_t.key_s), key_s = qk_s / sqrt(mean qk_s^2 + "   \
             "eps) / sqrt(head_width); o_t = v_t where nobody is seen"

static const Equation lsh_equations[] = {
    {"lsh_attention", "Kitaev et al. 2001.04451, as in transformers 5.24.0 and reformer-pytorch 1.4.4",
     LSH_HASH
     ";\n"
     "the places (r, t) sorted by r, bucket, t and cut into chunks; a place i of token t sees the places j "
     "of "
     "its chunk and of the one before (the first: of the last),\n"
     "causal: without those of later tokens; s_ij = qk_t.key_u for the token u of j, lucid: over "
     "sqrt(head_width); s_ij = -1e5, lucid -5e4, where u = t;\n"
     "key_u = qk_u / sqrt(mean qk_u^2 + 1e-6) / sqrt(head_width), lucid: qk_u / max(|qk_u|, 1e-12);\n"
     "lse_i = log sum_j exp(s_ij), o_i = sum_j exp(s_ij - lse_i) v_u, o_t = sum_r exp(lse_(r,t)) o_(r,t) / "
     "sum_r exp(lse_(r,t));\n"
     "hf with tokens <= chunk: no hashing, every token sees all, causal: those up to itself",
     lsh_attention_dims, lsh_attention_in, lsh_out, lsh_attention_run, NULL},
    {"lsh_window", "Kitaev et al. 2001.04451 (ours, causal)", LSH_WINDOW_FORMULA, lsh_window_dims,
     lsh_window_in, lsh_out, lsh_window_run, NULL},
    EQUATION_END};
