/* Random features and hashes: Performer and Reformer as they are made causal, from the papers and the formulas
 * of `titans equation --describe`. */
#include "oracle/oracle.h"
#include "oracle/draw.h"
#include "oracle/layers.h"

/* Rows [T][H][dh]; features of one kind for all heads: projection [M][dh]. */
typedef struct Shape {
    int64_t T, D, H, dh, M;
    int relu;
    const Quad *projection;
} Shape;

static Shape mixer_shape(const OracleCall *c) {
    const int64_t D = size(c, "width"), H = size(c, "heads");
    return (Shape){.T = size(c, "tokens"),
                   .D = D,
                   .H = H,
                   .dh = D / H,
                   .M = size_or(c, "random_features", 0),
                   .relu = size_or(c, "kernel", 0) == 1};
}

static Shape heads_shape(const OracleCall *c) {
    const int64_t H = size(c, "heads"), dh = size(c, "head_width");
    return (Shape){.T = size(c, "tokens"),
                   .D = H * dh,
                   .H = H,
                   .dh = dh,
                   .M = size_or(c, "random_features", 0),
                   .relu = size_or(c, "kernel", 0) == 1};
}

/* rows x times the map [D][D] of that name. */
static Quad *mapped(const OracleCall *c, const char *name, const Quad *x, const Shape *s) {
    return quads_product(x, quads_from(in(c, name), s->D * s->D), s->T, s->D, s->D);
}

static Quad dot_of(const Quad *a, const Quad *b, int64_t n) {
    Quad sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* u_m = dh^(-1/4) x.p_m; of a key also minus |x|^2 / (2 sqrt(dh)): the exponent of a feature. */
static Quad exponent(const Shape *s, const Quad *x, int64_t m, int key) {
    const Quad root = quad_sqrt(s->dh), u = dot_of(x, s->projection + m * s->dh, s->dh) / quad_sqrt(root);
    return key && !s->relu ? u - dot_of(x, x, s->dh) / (2 * root) : u;
}

/* Its value; what is divided out of all features of a query is left away. */
static Quad feature(const Shape *s, const Quad *x, int64_t m, int key) {
    const Quad u = exponent(s, x, m, key);
    return s->relu ? (u > 0 ? u : 0) + constant((Quad)1 / 1000) : quad_exp(u);
}

/* All features [T][H][M] of rows [T][H][dh]. */
static Quad *features(const Shape *s, const Quad *x, int key) {
    Quad *y = quads(s->T * s->H * s->M);
    for (int64_t i = 0; i < s->T * s->H; i++)
        for (int64_t m = 0; m < s->M; m++) y[i * s->M + m] = feature(s, x + i * s->dh, m, key);
    return y;
}

/* Pairs of a query and a key up to it: [T][H][dh]. */
static Quad *paired(const Shape *s, const Quad *q, const Quad *k, const Quad *v) {
    const Quad *fq = features(s, q, 0), *fk = features(s, k, 1);
    Quad *y = quads(s->T * s->D);
    for (int64_t t = 0; t < s->T; t++)
        for (int64_t h = 0; h < s->H; h++) {
            Quad total = 0, *o = y + t * s->D + h * s->dh;
            for (int64_t j = 0; j <= t; j++) {
                const Quad w = dot_of(fq + (t * s->H + h) * s->M, fk + (j * s->H + h) * s->M, s->M);
                total += w;
                for (int64_t d = 0; d < s->dh; d++) o[d] += w * v[j * s->D + h * s->dh + d];
            }
            for (int64_t d = 0; d < s->dh; d++) o[d] /= total;
        }
    return y;
}

/* The inputs q, k, v and the projection, then o. */
static Shape favor_output(const OracleCall *c) {
    Shape s = heads_shape(c);
    s.projection = quads_from(in(c, "projection"), s.M * s.dh);
    const int64_t n = s.T * s.D;
    quads_to(out(c, "o"),
             paired(&s, quads_from(in(c, "q"), n), quads_from(in(c, "k"), n), quads_from(in(c, "v"), n)), n);
    return s;
}

static void favor_pairs(const OracleCall *c) { favor_output(c); }

/* Of one feature of one head: the largest exponent, and the sums over all keys relative to it. */
static void running_sums(const OracleCall *c, const Shape *s, int64_t h, int64_t m) {
    const Quad *k = quads_from(in(c, "k"), s->T * s->D), *v = quads_from(in(c, "v"), s->T * s->D);
    Quad top = 0, z = 0, *S = quads(s->dh);
    for (int64_t t = 0; t < s->T && !s->relu; t++) {
        const Quad e = exponent(s, k + t * s->D + h * s->dh, m, 1);
        if (!t || e > top) top = e;
    }
    for (int64_t t = 0; t < s->T; t++) {
        const int64_t at = t * s->D + h * s->dh;
        const Quad f = feature(s, k + at, m, 1) / quad_exp(top);
        z += f;
        for (int64_t d = 0; d < s->dh; d++) S[d] += f * v[at + d];
    }
    quads_to(out(c, "S") + (h * s->M + m) * s->dh, S, s->dh);
    out(c, "z")[h * s->M + m] = (double)z, out(c, "top")[h * s->M + m] = (double)top;
}

static void favor_running(const OracleCall *c) {
    const Shape s = favor_output(c);
    for (int64_t h = 0; h < s.H; h++)
        for (int64_t m = 0; m < s.M; m++) running_sums(c, &s, h, m);
}

/* Row `at` of x minus its part in the span of the rows `first` .. at - 1, which are orthogonal; then as long as
 * it was. */
static void straighten(Quad *x, int64_t first, int64_t at, int64_t dh) {
    Quad *row = x + at * dh;
    const Quad length = quad_sqrt(dot_of(row, row, dh));
    for (int64_t i = first; i < at; i++) {
        const Quad *other = x + i * dh, part = dot_of(row, other, dh) / dot_of(other, other, dh);
        for (int64_t d = 0; d < dh; d++) row[d] -= part * other[d];
    }
    const Quad left = quad_sqrt(dot_of(row, row, dh));
    for (int64_t d = 0; d < dh; d++) row[d] *= length / left;
}

/* [M][dh]: normal numbers, orthogonal within blocks of dh rows. */
static Quad *drawn_projection(uint64_t seed, int64_t M, int64_t dh) {
    Quad *x = quads(M * dh);
    for (int64_t i = 0; i < M * dh; i++) x[i] = draw_normal(&seed);
    for (int64_t m = 0; m < M; m++) straighten(x, m / dh * dh, m, dh);
    for (int64_t i = 0; i < M * dh; i++) x[i] = constant(x[i]);
    return x;
}

static void mixer_performer(const OracleCall *c) {
    Shape s = mixer_shape(c);
    s.projection = drawn_projection((uint64_t)size(c, "feature_seed"), s.M, s.dh);
    const Quad *x = quads_from(in(c, "x"), s.T * s.D);
    const Quad *y = paired(&s, mapped(c, "wq", x, &s), mapped(c, "wk", x, &s), mapped(c, "wv", x, &s));
    quads_to(out(c, "o"), mapped(c, "wo", y, &s), s.T * s.D);
}

/* Hashes: R [H][dh][rounds][half]. */
typedef struct Hash {
    int64_t rounds, half, window;
    const Quad *R;
    Quad eps;
} Hash;

static Hash hash_of(const OracleCall *c) {
    return (Hash){size(c, "rounds"), size(c, "buckets") / 2, size(c, "window"), NULL, in(c, "eps")[0]};
}

/* The first of the largest of [y; -y], y = x R of a head and a round. */
static int64_t bucket_of(const Shape *s, const Hash *a, const Quad *x, int64_t h, int64_t round) {
    int64_t best = 0;
    Quad largest = 0;
    for (int64_t b = 0; b < 2 * a->half; b++) {
        Quad y = 0;
        for (int64_t d = 0; d < s->dh; d++)
            y += x[d] * a->R[((h * s->dh + d) * a->rounds + round) * a->half + b % a->half];
        if (b >= a->half) y = -y;
        if (!b || y > largest) best = b, largest = y;
    }
    return best;
}

/* Buckets [H][rounds][T] of rows [T][H][dh]. */
static int64_t *buckets_of(const Shape *s, const Hash *a, const Quad *qk) {
    int64_t *y = scratch(s->H * a->rounds * s->T * (int64_t)sizeof *y);
    for (int64_t h = 0; h < s->H; h++)
        for (int64_t r = 0; r < a->rounds; r++)
            for (int64_t t = 0; t < s->T; t++)
                y[(h * a->rounds + r) * s->T + t] = bucket_of(s, a, qk + t * s->D + h * s->dh, h, r);
    return y;
}

/* How often token t sees each token before it, in all rounds of one head: times [T]. */
static void count_seen(const Shape *s, const Hash *a, const int64_t *bucket, int64_t t, int64_t *times) {
    for (int64_t r = 0; r < a->rounds; r++) {
        const int64_t *mine = bucket + r * s->T;
        for (int64_t j = t - 1, left = a->window; j >= 0 && left > 0; j--)
            if (mine[j] == mine[t]) times[j]++, left--;
    }
}

/* qk.(a key made of qk): the key has length sqrt(mean square) / sqrt(mean square + eps). */
static Quad score_of(const Quad *query, const Quad *key, int64_t dh, Quad eps) {
    return dot_of(query, key, dh) / quad_sqrt(dot_of(key, key, dh) / dh + eps) / quad_sqrt(dh);
}

/* [T][H][dh] */
static Quad *hashed(const Shape *s, const Hash *a, const Quad *qk, const Quad *v, const int64_t *bucket) {
    Quad *y = quads(s->T * s->D);
    for (int64_t t = 0; t < s->T; t++)
        for (int64_t h = 0; h < s->H; h++) {
            const int64_t own = t * s->D + h * s->dh;
            int64_t *times = scratch(s->T * (int64_t)sizeof *times);
            Quad total = 0;
            count_seen(s, a, bucket + h * a->rounds * s->T, t, times);
            for (int64_t j = 0; j < t; j++) {
                const int64_t at = j * s->D + h * s->dh;
                const Quad w = times[j] ? times[j] * quad_exp(score_of(qk + own, qk + at, s->dh, a->eps)) : 0;
                total += w;
                for (int64_t d = 0; d < s->dh; d++) y[own + d] += w * v[at + d];
            }
            for (int64_t d = 0; d < s->dh; d++) y[own + d] = total > 0 ? y[own + d] / total : v[own + d];
        }
    return y;
}

static void lsh_window(const OracleCall *c) {
    const Shape s = heads_shape(c);
    Hash a = hash_of(c);
    const int64_t n = s.T * s.D;
    a.R = quads_from(in(c, "rotations"), s.D * a.rounds * a.half);
    const Quad *qk = quads_from(in(c, "qk"), n);
    const int64_t *bucket = buckets_of(&s, &a, qk);
    for (int64_t i = 0; i < s.H * a.rounds * s.T; i++) out(c, "bucket")[i] = (double)bucket[i];
    quads_to(out(c, "o"), hashed(&s, &a, qk, quads_from(in(c, "v"), n), bucket), n);
}

static void mixer_reformer(const OracleCall *c) {
    const Shape s = mixer_shape(c);
    Hash a = hash_of(c);
    uint64_t seed = (uint64_t)size(c, "hash_seed");
    Quad *R = quads(s.D * a.rounds * a.half);
    for (int64_t i = 0; i < s.D * a.rounds * a.half; i++) R[i] = draw_normal(&seed);
    a.R = R;
    const Quad *x = quads_from(in(c, "x"), s.T * s.D), *qk = mapped(c, "wqk", x, &s);
    const Quad *y = hashed(&s, &a, qk, mapped(c, "wv", x, &s), buckets_of(&s, &a, qk));
    quads_to(out(c, "o"), mapped(c, "wo", y, &s), s.T * s.D);
}

static const OracleEquation equations[] = {
    {"favor_pairs", favor_pairs}, {"favor_running", favor_running},   {"mixer_performer", mixer_performer},
    {"lsh_window", lsh_window},   {"mixer_reformer", mixer_reformer}, {0, 0}};
const OracleEquations oracle_equations_features = {equations};
