/* Equations 32-35, appendix C: the linear memory's relatives. There l = 1/2 || M k - v ||^2 (E1) and M acts
 * on columns, S (d_v x d_k); here tokens are rows, so that M (n0 x n1) is its transpose, n0 = d_k, n1 = d_v,
 * read as y = q M, and diag(.) on the left of the printed M multiplies the columns of ours. */
#pragma once
#include "layers.c"

/* T tokens: k, q (T x n0), v (T x n1), alpha, theta, eta as each rule says. */
typedef struct Relative {
    int64_t T, n0, n1;
    const real *k, *v, *q, *alpha, *theta, *eta;
} Relative;

/* (32) M_t = diag(1 - alpha_t) M_{t-1} + S_t (E9: M_{t-1})
 * (33) S_t = diag(eta_t) S_{t-1} - diag(theta_t) (M_{t-1} k_t' k_t - v_t' k_t), token t of x, in place:
 * M, S (n0 x n1), alpha, theta, eta (T x n1). */
static void diagonal_lmm(const Relative *x, int64_t t, real *M, real *S) {
    int64_t n0 = x->n0, n1 = x->n1;
    const real *k = x->k + t * n0, *v = x->v + t * n1;
    real *recalled = R_NEW(n1);
    project_exact(1, n0, n1, k, M, recalled);
    for (int64_t i = 0; i < n0; i++)
        for (int64_t j = 0; j < n1; j++) {
            int64_t p = i * n1 + j, c = t * n1 + j;
            S[p] = x->eta[c] * S[p] - x->theta[c] * (k[i] * (recalled[j] - v[j]));
            M[p] = (1 - x->alpha[c]) * M[p] + S[p];
        }
    free(recalled);
}

/* One token of a rule without momentum: M (n0 x n1) in place. */
typedef void RelativeRule(const Relative *x, int64_t t, real *M);

/* M_t = keep M_{t-1} (I - delta k k') + delta v k', the form of (34), (35) and Gated DeltaNet: k (n0), v
 * (n1). */
static void delta_rule(int64_t n0, int64_t n1, real keep, real delta, const real *k, const real *v, real *M) {
    real *recalled = R_NEW(n1);
    project_exact(1, n0, n1, k, M, recalled);
    for (int64_t i = 0; i < n0; i++)
        for (int64_t j = 0; j < n1; j++) {
            int64_t p = i * n1 + j;
            M[p] = keep * (M[p] - delta * (k[i] * recalled[j])) + delta * (k[i] * v[j]);
        }
    free(recalled);
}

/* (34) DeltaNet: S_{t+1} = S_t (I - theta_t k_t k_t') + theta_t v_t k_t': theta (T). */
static void delta_net(const Relative *x, int64_t t, real *M) {
    delta_rule(x->n0, x->n1, R(1), x->theta[t], x->k + t * x->n0, x->v + t * x->n1, M);
}

/* Gated DeltaNet: S_{t+1} = (1 - alpha_t) S_t (I - theta_t k_t k_t') + theta_t v_t k_t': alpha, theta (T). */
static void gated_delta_net(const Relative *x, int64_t t, real *M) {
    delta_rule(x->n0, x->n1, 1 - x->alpha[t], x->theta[t], x->k + t * x->n0, x->v + t * x->n1, M);
}

/* (35) Longhorn: S_{t+1} = S_t (I - delta_t k_t k_t') + delta_t v_t k_t', delta_t = theta_t / (1 + theta_t
 * k_t k_t'), the product in delta_t being k_t.k_t: theta (T). */
static void longhorn(const Relative *x, int64_t t, real *M) {
    const real *k = x->k + t * x->n0;
    real square = 0;
    for (int64_t i = 0; i < x->n0; i++) square += k[i] * k[i];
    delta_rule(x->n0, x->n1, R(1), x->theta[t] / (1 + x->theta[t] * square), k, x->v + t * x->n1, M);
}

/* TTT layer: (8) with the linear memory, M_t = M_{t-1} - theta_t k_t' (k_t M_{t-1} - v_t): theta (T). */
static void ttt_layer(const Relative *x, int64_t t, real *M) {
    int64_t n0 = x->n0, n1 = x->n1;
    const real *k = x->k + t * n0, *v = x->v + t * n1;
    real *recalled = R_NEW(n1);
    project_exact(1, n0, n1, k, M, recalled);
    for (int64_t i = 0; i < n0; i++)
        for (int64_t j = 0; j < n1; j++)
            M[i * n1 + j] = M[i * n1 + j] - x->theta[t] * (k[i] * (recalled[j] - v[j]));
    free(recalled);
}

/* T tokens, each reading y_t = q_t M_t from the memory it has just written: M (n0 x n1) in place, y (T x n1).
 */
static void relative_sequential(const Relative *x, RelativeRule *rule, real *M, real *y) {
    for (int64_t t = 0; t < x->T; t++) {
        rule(x, t, M);
        project_exact(1, x->n0, x->n1, x->q + t * x->n0, M, y + t * x->n1);
    }
}

/* in: M0 k v q theta [alpha]; out: y M */
static void relative_run(RelativeRule *rule, const Call *c, const real *alpha) {
    Relative x = {dim(c, "tokens"), dim(c, "n0"), dim(c, "n1"),   in(c, "k"), in(c, "v"),
                  in(c, "q"),       alpha,        in(c, "theta"), NULL};
    real_copy(x.n0 * x.n1, in(c, "M0"), out(c, "M"));
    relative_sequential(&x, rule, out(c, "M"), out(c, "y"));
}

static void delta_net_run(const Call *c) { relative_run(delta_net, c, NULL); }
static void gated_delta_net_run(const Call *c) { relative_run(gated_delta_net, c, in(c, "alpha")); }
static void longhorn_run(const Call *c) { relative_run(longhorn, c, NULL); }
static void ttt_layer_run(const Call *c) { relative_run(ttt_layer, c, NULL); }

static void diagonal_lmm_run(const Call *c) {
    Relative x = {dim(c, "tokens"), dim(c, "n0"),   dim(c, "n1"),   in(c, "k"),  in(c, "v"),
                  in(c, "q"),       in(c, "alpha"), in(c, "theta"), in(c, "eta")};
    real *M = out(c, "M"), *S = out(c, "S");
    real_copy(x.n0 * x.n1, in(c, "M0"), M);
    real_copy(x.n0 * x.n1, in(c, "S0"), S);
    for (int64_t t = 0; t < x.T; t++) {
        diagonal_lmm(&x, t, M, S);
        project_exact(1, x.n0, x.n1, x.q + t * x.n0, M, out(c, "y") + t * x.n1);
    }
}

static const Dimension relative_dims[] = {TOKENS, SIZE("n0", NULL, "width of keys and queries"),
                                          SIZE("n1", NULL, "width of values"), DIMENSION_END};
#define RELATIVE_M0                                                                                          \
    { "M0", NULL, "n0 n1", NUMBER, "the memory before the first token" }
#define RELATIVE_KVQ                                                                                         \
    {"k", NULL, "tokens n0", NUMBER, "keys"}, {"v", NULL, "tokens n1", NUMBER, "values"}, {                  \
        "q", NULL, "tokens n0", NUMBER, "queries"                                                            \
    }
#define RELATIVE_STEP                                                                                        \
    { "theta", NULL, "tokens", STEP, "the step" }
#define RELATIVE_Y                                                                                           \
    { "y", NULL, "tokens n1", NUMBER, "what each query reads after its token's write" }
#define RELATIVE_M                                                                                           \
    { "M", NULL, "n0 n1", NUMBER, "the memory after the last token" }
static const Argument delta_net_in[] = {RELATIVE_M0, RELATIVE_KVQ, RELATIVE_STEP, ARGUMENT_END};
static const Argument delta_net_out[] = {RELATIVE_Y, RELATIVE_M, ARGUMENT_END};
static const Argument gated_delta_net_in[] = {RELATIVE_M0,
                                              RELATIVE_KVQ,
                                              RELATIVE_STEP,
                                              {"alpha", NULL, "tokens", DECAY, "what is forgotten"},
                                              ARGUMENT_END};
static const Argument diagonal_lmm_in[] = {RELATIVE_M0,
                                           {"S0", NULL, "n0 n1", NUMBER, "the momentum before"},
                                           RELATIVE_KVQ,
                                           {"alpha", NULL, "tokens n1", DECAY, "what each channel forgets"},
                                           {"theta", NULL, "tokens n1", STEP, "its step"},
                                           {"eta", NULL, "tokens n1", CARRY, "what is kept of its momentum"},
                                           ARGUMENT_END};
static const Argument diagonal_lmm_out[] = {
    RELATIVE_Y, RELATIVE_M, {"S", NULL, "n0 n1", NUMBER, "the momentum after"}, ARGUMENT_END};

static const Equation relatives_equations[] = {
    {"diagonal_lmm", "eqs 32-33, errata E1 E9",
     "(32) M_t = M_{t-1} diag(1 - alpha_t) + S_t   (33) S_t = S_{t-1} diag(eta_t) - k_t' (k_t M_{t-1} - v_t) "
     "diag(theta_t);\n"
     "y_t = q_t M_t",
     relative_dims, diagonal_lmm_in, diagonal_lmm_out, diagonal_lmm_run, NULL},
    {"delta_net", "eq 34",
     "(34) M_t = M_{t-1} - theta_t k_t' (k_t M_{t-1}) + theta_t k_t' v_t, y_t = q_t M_t", relative_dims,
     delta_net_in, delta_net_out, delta_net_run, NULL},
    {"gated_delta_net", "eq 34 with decay, erratum E16",
     "(34) with decay: M_t = (1 - alpha_t) (M_{t-1} - theta_t k_t' (k_t M_{t-1})) + theta_t k_t' v_t, y_t = "
     "q_t M_t",
     relative_dims, gated_delta_net_in, delta_net_out, gated_delta_net_run, NULL},
    {"longhorn", "eq 35",
     "(35) M_t = M_{t-1} - d_t k_t' (k_t M_{t-1}) + d_t k_t' v_t, d_t = theta_t / (1 + theta_t |k_t|^2), y_t "
     "= q_t M_t",
     relative_dims, delta_net_in, delta_net_out, longhorn_run, NULL},
    {"ttt_layer", "eq 8, appendix C",
     "(8) of l = |k M - v|^2 / 2: M_t = M_{t-1} - theta_t k_t' (k_t M_{t-1} - v_t), y_t = q_t M_t",
     relative_dims, delta_net_in, delta_net_out, ttt_layer_run, NULL},
    EQUATION_END};
