/* The linear recurrences that the field compares Titans with, as one rule with switches: linear attention, retention,
 * GLA, the delta rule and its gated forms, RWKV-7, Mamba-2, and the delta rule with momentum. A head's state S is
 * (K x V): row i belongs to number i of the key, and o = q S. Decays are given as logarithms. */
#pragma once
#include "layers.c"

/* What a token takes away from the state before it writes. */
enum { REMOVE_NONE, REMOVE_KEY, REMOVE_PAIR };

/* One head and token: q, k (K), v, rate (V), decay (K, factors), and for REMOVE_PAIR a, b (K). */
typedef struct DeltaToken {
    int64_t K, V, removal;
    const real *q, *k, *v, *rate, *decay, *a, *b;
} DeltaToken;

/* S' = diag(decay) S
 * REMOVE_NONE  S = S' + k (rate v)'
 * REMOVE_KEY   S = S' + k (rate (v - S'' k))'            the error is taken after the decay
 * REMOVE_PAIR  S = S' + k (rate v)' + b (S_before'' a)'   a reads the state before the decay
 * o = scale q S: S (K x V) in place, o (V). */
static void delta_step(const DeltaToken *x, real scale, real *S, real *o) {
    for (int64_t j = 0; j < x->V; j++) {
        real seen = 0, written = x->v[j], read = 0;
        for (int64_t i = 0; i < x->K; i++)
            if (x->removal == REMOVE_KEY)
                seen += x->decay[i] * S[i * x->V + j] * x->k[i];
            else if (x->removal == REMOVE_PAIR)
                seen += S[i * x->V + j] * x->a[i];
        if (x->removal == REMOVE_KEY) written -= seen;
        written = written * x->rate[j];
        for (int64_t i = 0; i < x->K; i++) {
            real *s = &S[i * x->V + j];
            *s = x->decay[i] * *s + x->k[i] * written;
            if (x->removal == REMOVE_PAIR) *s += x->b[i] * seen;
            read += x->q[i] * *s;
        }
        o[j] = scale * read;
    }
}

/* A sequence of T tokens with H heads of values and key_heads of keys, head h of which reads key head
 * h / (H / key_heads). g: logarithms of decays, per head (1 column), per key channel (K) or none (0); rate: per head (1),
 * per value channel (V) or none, 1 (0). */
typedef struct DeltaRule {
    int64_t T, H, key_heads, K, V, removal, decay_columns, rate_columns;
    const real *q, *k, *v, *g, *rate, *a, *b;
    real scale;
} DeltaRule;

/* S (H x K x V) in place, o (T x H x V). */
static void delta_rule_run(const DeltaRule *x, real *S, real *o) {
    real *decay = R_NEW(x->K), *rate = R_NEW(x->V);
    for (int64_t t = 0; t < x->T; t++)
        for (int64_t h = 0; h < x->H; h++) {
            int64_t row = t * x->H + h, key = t * x->key_heads + h / (x->H / x->key_heads);
            int64_t G = x->decay_columns, B = x->rate_columns;
            for (int64_t i = 0; i < x->K; i++) decay[i] = G ? exp(x->g[row * G + (G == 1 ? 0 : i)]) : R(1);
            for (int64_t j = 0; j < x->V; j++) rate[j] = B ? x->rate[row * B + (B == 1 ? 0 : j)] : R(1);
            DeltaToken token = {x->K,
                                x->V,
                                x->removal,
                                x->q + key * x->K,
                                x->k + key * x->K,
                                x->v + row * x->V,
                                rate,
                                decay,
                                x->a ? x->a + row * x->K : NULL,
                                x->b ? x->b + row * x->K : NULL};
            delta_step(&token, x->scale, S + h * x->K * x->V, o + row * x->V);
        }
    free(decay);
    free(rate);
}

/* S from state0, or zeros where the equation has none; returned in `state`, or freed. */
static real *state_begin(const Call *c, int64_t n) {
    const real *given = in_if(c, "state0");
    real *S = R_NEW(n);
    if (given) real_copy(n, given, S);
    return S;
}
static void state_end(const Call *c, int64_t n, real *S) {
    if (out_if(c, "state")) real_copy(n, S, out(c, "state"));
    free(S);
}

/* 1, or 1 / sqrt(n) */
static real scale_of(int64_t scaled, int64_t n) { return scaled ? 1 / sqrt((real)n) : R(1); }

static void general_delta_rule_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), heads = dim(c, "key_heads"), K = dim(c, "key_width"),
            V = dim(c, "value_width");
    real *q = R_NEW(T * heads * K), *k = R_NEW(T * heads * K), *S = state_begin(c, H * K * V);
    real_copy(T * heads * K, in(c, "q"), q);
    real_copy(T * heads * K, in(c, "k"), k);
    if (dim(c, "normalise")) {
        l2_norm(T * heads, K, q, q);
        l2_norm(T * heads, K, k, k);
    }
    DeltaRule rule = {T,
                      H,
                      heads,
                      K,
                      V,
                      dim(c, "removal"),
                      dim(c, "decay_columns"),
                      dim(c, "rate_columns"),
                      q,
                      k,
                      in(c, "v"),
                      in(c, "g"),
                      in(c, "beta"),
                      in(c, "a"),
                      in(c, "b"),
                      scale_of(dim(c, "scaled"), K)};
    delta_rule_run(&rule, S, out(c, "o"));
    state_end(c, H * K * V, S);
    free(q);
    free(k);
}

static int64_t decay_columns(const Call *c) {
    int64_t decay = dim(c, "decay");
    return decay == 2 ? dim(c, "key_width") : decay;
}
static int64_t rate_columns(const Call *c) {
    int64_t rate = dim(c, "rate");
    return rate == 2 ? dim(c, "value_width") : rate;
}
static int64_t pair_columns(const Call *c) {
    return dim(c, "removal") == REMOVE_PAIR ? dim(c, "key_width") : 0;
}

#define KEY_HEADS SIZE("key_heads", NULL, "heads of queries and keys; head h reads h key_heads / heads")
#define HEAD_KEY SIZE("key_width", "K", "numbers of a key in one head")
#define HEAD_VALUE SIZE("value_width", "V", "numbers of a value in one head")
#define SCALED SWITCH("scaled", NULL, 1, "reads are divided by sqrt(key_width)")
#define STATE0_OF(shape)                                                                                     \
    { "state0", NULL, shape, NUMBER, "the state before the first token" }
#define STATE_OF(shape)                                                                                      \
    { "state", NULL, shape, NUMBER, "the state after the last token" }
#define STATE0 STATE0_OF("heads key_width value_width")
#define STATE STATE_OF("heads key_width value_width")

static const Dimension general_delta_rule_dims[] = {
    TOKENS,
    HEADS,
    KEY_HEADS,
    HEAD_KEY,
    HEAD_VALUE,
    {"removal", NULL, 0, 2, 0, "none key pair", "what is taken away before a token writes", NULL},
    {"decay", NULL, 0, 2, 0, "none head channel", "whether g is there, per head or per key channel", NULL},
    {"rate", NULL, 0, 2, 0, "none head channel", "whether beta is there, per head or per value channel",
     NULL},
    SWITCH("normalise", NULL, 0, "q and k are l2-normed, x / sqrt(sum x^2 + 1e-6)"),
    SCALED,
    DERIVED("decay_columns", NULL, decay_columns, "0, 1 or key_width"),
    DERIVED("rate_columns", NULL, rate_columns, "0, 1 or value_width"),
    DERIVED("pair_columns", NULL, pair_columns, "key_width with removal = pair, else 0"),
    DIMENSION_END};
static const Argument general_delta_rule_in[] = {
    {"q", NULL, "tokens key_heads key_width", NUMBER, "queries"},
    {"k", NULL, "tokens key_heads key_width", NUMBER, "keys"},
    {"v", NULL, "tokens heads value_width", NUMBER, "values"},
    {"g", NULL, "tokens heads decay_columns", LOG_DECAY, "logarithm of the decay"},
    {"beta", NULL, "tokens heads rate_columns", CARRY, "rate of writing"},
    {"a", NULL, "tokens heads pair_columns", NUMBER, "what reads the state before the decay"},
    {"b", NULL, "tokens heads pair_columns", NUMBER, "where that is added"},
    STATE0,
    ARGUMENT_END};
static const Argument general_delta_rule_out[] = {
    {"o", NULL, "tokens heads value_width", NUMBER, "what each query reads"}, STATE, ARGUMENT_END};

/* Retention: the decay is a number of the head, gamma (H), the same for every token, and may be 0. */
static void retention_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), K = dim(c, "key_width"), V = dim(c, "value_width");
    real *decay = R_NEW(K), *rate = R_NEW(V), *S = state_begin(c, H * K * V);
    for (int64_t j = 0; j < V; j++) rate[j] = R(1);
    for (int64_t row = 0; row < T * H; row++) {
        for (int64_t i = 0; i < K; i++) decay[i] = in(c, "gamma")[row % H];
        DeltaToken token = {
            K,     V,    REMOVE_NONE, in(c, "q") + row * K, in(c, "k") + row * K, in(c, "v") + row * V, rate,
            decay, NULL, NULL};
        delta_step(&token, scale_of(1, K), S + row % H * K * V, out(c, "o") + row * V);
    }
    state_end(c, H * K * V, S);
    free(decay);
    free(rate);
}
static const Dimension retention_dims[] = {TOKENS, HEADS, HEAD_KEY, HEAD_VALUE, DIMENSION_END};
static const Argument retention_in[] = {{"q", NULL, "tokens heads key_width", NUMBER, "queries"},
                                        {"k", NULL, "tokens heads key_width", NUMBER, "keys"},
                                        {"v", NULL, "tokens heads value_width", NUMBER, "values"},
                                        {"gamma", NULL, "heads", CARRY, "decay of every head"},
                                        STATE0,
                                        ARGUMENT_END};

/* Mamba-2's scan: dt = softplus(dt + bias) within its limits; S = exp(dt A) S + dt x B', y = S C + D x. */
typedef struct StateSpace {
    int64_t T, H, P, G, N, soft;
    const real *x, *dt, *A, *B, *C, *D, *bias, *least, *most;
} StateSpace;

static real limited(real x, real least, real most) {
    return RE(x) < RE(least) ? least : RE(x) > RE(most) ? most : x;
}

/* S (H x P x N) in place, y (T x H x P). */
static void state_space(const StateSpace *s, real *S, real *y) {
    for (int64_t t = 0; t < s->T; t++)
        for (int64_t h = 0; h < s->H; h++) {
            int64_t row = t * s->H + h, group = (t * s->G + h / (s->H / s->G)) * s->N;
            real dt = s->dt[row] + s->bias[h];
            dt = limited(s->soft ? softplus(dt) : dt, s->least[0], s->most[0]);
            real decay = exp(dt * s->A[h]);
            for (int64_t p = 0; p < s->P; p++) {
                real x = s->x[row * s->P + p], sum = 0, *of = S + (h * s->P + p) * s->N;
                for (int64_t n = 0; n < s->N; n++) {
                    of[n] = decay * of[n] + dt * x * s->B[group + n];
                    sum += s->C[group + n] * of[n];
                }
                y[row * s->P + p] = sum + s->D[h] * x;
            }
        }
}

static void state_space_dual_run(const Call *c) {
    int64_t H = dim(c, "heads"), P = dim(c, "value_width"), N = dim(c, "state_width");
    real *S = state_begin(c, H * P * N);
    StateSpace s = {dim(c, "tokens"),
                    H,
                    P,
                    dim(c, "key_heads"),
                    N,
                    dim(c, "softplus"),
                    in(c, "x"),
                    in(c, "dt"),
                    in(c, "A"),
                    in(c, "B"),
                    in(c, "C"),
                    in(c, "D"),
                    in(c, "dt_bias"),
                    in(c, "dt_min"),
                    in(c, "dt_max")};
    state_space(&s, S, out(c, "y"));
    state_end(c, H * P * N, S);
}
#define STATE_WIDTH SIZE("state_width", "N", "numbers of state for every value channel")
static const Dimension state_space_dual_dims[] = {
    TOKENS,       HEADS,
    HEAD_VALUE,   SIZE("key_heads", "G", "groups of heads that share B and C"),
    STATE_WIDTH,  SWITCH("softplus", NULL, 1, "dt goes through softplus"),
    DIMENSION_END};
#define STEP_LIMITS                                                                                          \
    {"dt_min", NULL, "1", DECAY, "smallest dt"}, { "dt_max", NULL, "1", GAIN, "largest dt" }
static const Argument state_space_dual_in[] = {
    {"x", NULL, "tokens heads value_width", NUMBER, "values"},
    {"dt", NULL, "tokens heads", STEP, "step, before bias and softplus"},
    {"A", NULL, "heads", LOG_DECAY, "rate of decay, negative"},
    {"B", NULL, "tokens key_heads state_width", NUMBER, "keys"},
    {"C", NULL, "tokens key_heads state_width", NUMBER, "queries"},
    {"D", NULL, "heads", NUMBER, "how much of x is added"},
    {"dt_bias", NULL, "heads", STEP, "added to dt"},
    STEP_LIMITS,
    STATE0_OF("heads value_width state_width"),
    ARGUMENT_END};
static const Argument state_space_dual_out[] = {
    {"y", NULL, "tokens heads value_width", NUMBER, "what C reads"},
    STATE_OF("heads value_width state_width"),
    ARGUMENT_END};

/* Titans' linear memory as others write it: M = mu M + eta p (p S - v), S = alpha S - beta M, o = scale q S, one head:
 * S, M (K x V) in place. */
typedef struct MomentumRule {
    int64_t T, H, K, V;
    const real *q, *k, *p, *v, *log_alpha, *log_mu, *beta, *eta;
    real scale;
} MomentumRule;

static void momentum_delta_token(const MomentumRule *x, int64_t row, real *S, real *M, real *o) {
    const real *q = x->q + row * x->K, *k = x->k + row * x->K, *p = x->p + row * x->K;
    real alpha = exp(x->log_alpha[row]), mu = exp(x->log_mu[row]);
    for (int64_t j = 0; j < x->V; j++) {
        real error = -x->v[row * x->V + j], read = 0;
        for (int64_t i = 0; i < x->K; i++) error += p[i] * S[i * x->V + j];
        for (int64_t i = 0; i < x->K; i++) {
            int64_t at = i * x->V + j;
            M[at] = mu * M[at] + x->eta[row] * k[i] * error;
            S[at] = alpha * S[at] - x->beta[row] * M[at];
            read += q[i] * S[at];
        }
        o[row * x->V + j] = x->scale * read;
    }
}

/* S, M (H x K x V) in place, o (T x H x V). */
static void momentum_delta(const MomentumRule *x, real *S, real *M, real *o) {
    for (int64_t row = 0; row < x->T * x->H; row++) {
        int64_t at = row % x->H * x->K * x->V;
        momentum_delta_token(x, row, S + at, M + at, o);
    }
}

static void momentum_delta_rule_run(const Call *c) {
    int64_t H = dim(c, "heads"), K = dim(c, "key_width"), V = dim(c, "value_width"), n = H * K * V;
    MomentumRule rule = {dim(c, "tokens"),
                         H,
                         K,
                         V,
                         in(c, "q"),
                         in(c, "k"),
                         in(c, "p"),
                         in(c, "v"),
                         in(c, "log_alpha"),
                         in(c, "log_mu"),
                         in(c, "beta"),
                         in(c, "eta"),
                         scale_of(dim(c, "scaled"), K)};
    real_copy(n, in(c, "state0"), out(c, "state"));
    real_copy(n, in(c, "momentum0"), out(c, "momentum"));
    momentum_delta(&rule, out(c, "state"), out(c, "momentum"), out(c, "o"));
}
static const Dimension momentum_delta_rule_dims[] = {TOKENS,     HEADS,  HEAD_KEY,
                                                     HEAD_VALUE, SCALED, DIMENSION_END};
static const Argument momentum_delta_rule_in[] = {
    {"q", NULL, "tokens heads key_width", NUMBER, "queries"},
    {"k", NULL, "tokens heads key_width", NUMBER, "where the error is written"},
    {"p", NULL, "tokens heads key_width", NUMBER, "what is recalled to take the error"},
    {"v", NULL, "tokens heads value_width", NUMBER, "values"},
    {"log_alpha", NULL, "tokens heads", LOG_DECAY, "logarithm of what is kept of the state"},
    {"log_mu", NULL, "tokens heads", LOG_DECAY, "logarithm of what is kept of the momentum"},
    {"beta", NULL, "tokens heads", CARRY, "how much of the momentum is taken off"},
    {"eta", NULL, "tokens heads", STEP, "the step"},
    STATE0,
    {"momentum0", NULL, "heads key_width value_width", NUMBER, "the momentum before the first token"},
    ARGUMENT_END};
static const Argument momentum_delta_rule_out[] = {
    {"o", NULL, "tokens heads value_width", NUMBER, "what each query reads"},
    STATE,
    {"momentum", NULL, "heads key_width value_width", NUMBER, "the momentum after the last token"},
    ARGUMENT_END};

static const Equation delta_rule_equations[] = {
    {"general_delta_rule",
     "Katharopoulos 2006.16236, Yang 2312.06635, 2406.06484, 2412.06464; Kimi 2510.26692; RWKV-7 2503.14456",
     "S' = diag(exp g) S; removal none: S = S' + k (beta v)'; key: S = S' + k (beta (v - k S'))';\n"
     "pair: S = S' + k (beta v)' + b (a S_before)'; o = q S / sqrt(key_width)",
     general_delta_rule_dims, general_delta_rule_in, general_delta_rule_out, general_delta_rule_run, NULL},
    {"retention", "Sun 2307.08621", "S = gamma S + k v'; o = q S / sqrt(key_width)", retention_dims,
     retention_in, general_delta_rule_out, retention_run, NULL},
    {"state_space_dual", "Dao, Gu 2405.21060",
     "dt = softplus(dt + dt_bias) within dt_min, dt_max; S = exp(dt A) S + dt x B'; y = S C + D x",
     state_space_dual_dims, state_space_dual_in, state_space_dual_out, state_space_dual_run, NULL},
    {"momentum_delta_rule", "fla-core 0.6.0; Titans eqs 13-14 with one linear layer",
     "M = exp(log_mu) M + eta k (p S - v)'; S = exp(log_alpha) S - beta M; o = q S / sqrt(key_width)",
     momentum_delta_rule_dims, momentum_delta_rule_in, momentum_delta_rule_out, momentum_delta_rule_run,
     NULL},
    EQUATION_END};
