/* Equations 16-18: the chunkwise form, with parameters per token or per chunk (section 3.2). Inside a chunk
 * of b tokens every gradient is taken at the memory the chunk starts from. M, S (P) and the tokens are laid
 * out as in memory.c. */
#pragma once
#include "memory.c"

/* (13)-(15) with u_t = grad l(M_{t'}; x_t), t' = b floor((t-1) / b), tokens counted from 1 (E2), as one loop
 * over tokens: nothing is divided by beta (E3). M, S (P) in place, y (T x n_L). */
static void memory_chunk(const Network *net, int64_t b, const Tokens *x, real *M, real *S, real *y) {
    int64_t P = network_size(net), n0 = net->n[0], nL = net->n[net->L];
    real *start = R_NEW(P), *u = R_NEW(P);
    for (int64_t t = 1; t <= x->T; t++) {
        int64_t i = t - 1, frozen = b * ((t - 1) / b);
        if (frozen == i) real_copy(P, M, start);
        surprise(net, start, x->k + i * n0, x->v + i * nL, u);
        full_rule(net, x, i, u, M, S);
        memory_read(net, M, x->q + i * n0, y + i * nL);
    }
    free(start);
    free(u);
}

/* prod_{j=i+1..t} x_j, tokens counted from 1 */
static real product_after(const real *x, int64_t i, int64_t t) {
    real product = 1;
    for (int64_t j = i + 1; j <= t; j++) product *= x[j - 1];
    return product;
}

/* beta_t / beta_i = prod_{j=i+1..t} (1 - alpha_j), without the division (E3) */
static real decay_after(const real *alpha, int64_t i, int64_t t) {
    real product = 1;
    for (int64_t j = i + 1; j <= t; j++) product *= 1 - alpha[j - 1];
    return product;
}

/* E5: C_{t,i} = (1 - alpha_t) C_{t-1,i} + prod_{j=i+1..t} eta_j, C_{i,i} = 1 for i >= 1.
 * i = 0 gives a_t, the same recurrence from a_0 = 0. */
static real coefficient(const real *alpha, const real *eta, int64_t i, int64_t t) {
    real c = i > 0 ? 1 : 0, product = 1;
    for (int64_t s = i + 1; s <= t; s++) {
        product *= eta[s - 1];
        c = (1 - alpha[s - 1]) * c + product;
    }
    return c;
}

/* The gates that act on column j of W_l, T numbers each, in place of those of x. */
static void column_gates(const Network *net, const Tokens *x, int64_t l, int64_t j, real *alpha, real *theta,
                         real *eta) {
    int64_t G = gate_sets(net), K = gate_channels(net), g = gate_set(net, l);
    for (int64_t t = 0; t < x->T; t++) {
        alpha[t] = x->alpha[t * G * K + gate_alpha(net, l, j)];
        theta[t] = x->theta[t * G + g];
        eta[t] = x->eta[t * G + g];
    }
}

/* (16) with momentum (E5): M_t = beta_t M_0 + a_t S_0 - sum_{i<=t} C_{t,i} theta_i u_i, for the weights p =
 * first, first + step, .. < end, which share their gates: alpha, theta, eta (T), M_0, S_0, M_t (P), u (T x
 * P).
 */
static void closed_state(int64_t P, int64_t first, int64_t step, int64_t end, int64_t t, const Tokens *gate,
                         const real *M0, const real *S0, const real *u, real *M) {
    real beta = decay_after(gate->alpha, 0, t), a = coefficient(gate->alpha, gate->eta, 0, t);
    for (int64_t p = first; p < end; p += step) M[p] = beta * M0[p] + a * S0[p];
    for (int64_t i = 1; i <= t; i++) {
        real weight = coefficient(gate->alpha, gate->eta, i, t) * gate->theta[i - 1];
        for (int64_t p = first; p < end; p += step) M[p] = M[p] - weight * u[(i - 1) * P + p];
    }
}

/* (18) solved: S_t = (prod_{j<=t} eta_j) S_0 - sum_{i<=t} (prod_{j=i+1..t} eta_j) theta_i u_i, for the same
 * weights: S_0, S_t (P), u (T x P). */
static void closed_momentum(int64_t P, int64_t first, int64_t step, int64_t end, int64_t t,
                            const Tokens *gate, const real *S0, const real *u, real *S) {
    real kept = product_after(gate->eta, 0, t);
    for (int64_t p = first; p < end; p += step) S[p] = kept * S0[p];
    for (int64_t i = 1; i <= t; i++) {
        real weight = product_after(gate->eta, i, t) * gate->theta[i - 1];
        for (int64_t p = first; p < end; p += step) S[p] = S[p] - weight * u[(i - 1) * P + p];
    }
}

/* M_t and S_t, column by column of every layer: M_0, S_0, M, S (P), u (T x P). */
static void closed_form(const Network *net, int64_t t, const Tokens *x, const real *M0, const real *S0,
                        const real *u, real *M, real *S) {
    int64_t P = network_size(net);
    real *gate = R_NEW(3 * x->T);
    Tokens g = {x->T, NULL, NULL, NULL, gate, gate + x->T, gate + 2 * x->T};
    for (int64_t l = 1; l <= net->L; l++)
        for (int64_t j = 0; j < net->n[l]; j++) {
            int64_t first = network_layer(net, l) + j, end = network_layer(net, l + 1);
            column_gates(net, x, l, j, gate, gate + x->T, gate + 2 * x->T);
            closed_state(P, first, net->n[l], end, t, &g, M0, S0, u, M);
            closed_momentum(P, first, net->n[l], end, t, &g, S0, u, S);
        }
    free(gate);
}

/* (16) for one chunk of T tokens: u_i = grad l(M_0; x_i), every M_t from the chunk's start.
 * M_0, S_0 (P), y (T x n_L), M, S (P): the last M_t and S_t. */
static void chunk_closed(const Network *net, const Tokens *x, const real *M0, const real *S0, real *M,
                         real *S, real *y) {
    int64_t P = network_size(net), n0 = net->n[0], nL = net->n[net->L];
    real *u = R_NEW(x->T * P);
    for (int64_t i = 0; i < x->T; i++) surprise(net, M0, x->k + i * n0, x->v + i * nL, u + i * P);
    real_copy(P, M0, M);
    real_copy(P, S0, S);
    for (int64_t t = 1; t <= x->T; t++) {
        closed_form(net, t, x, M0, S0, u, M, S);
        memory_read(net, M, x->q + (t - 1) * n0, y + (t - 1) * nL);
    }
    free(u);
}

/* (17) as E4 corrects it, with the 2 of (12): for the linear memory, one chunk of T tokens, no momentum,
 *      W = beta_T W_0 - 2 sum_i theta_i (beta_T / beta_i) k_i' (k_i W_0 - v_i)
 * W_0, W (n0 x n1), k (T x n0), v (T x n1), alpha, theta (T). */
static void chunk_linear(int64_t T, int64_t n0, int64_t n1, const real *W0, const real *k, const real *v,
                         const real *alpha, const real *theta, real *W) {
    real *error = R_NEW(T * n1);
    project_exact(T, n0, n1, k, W0, error);
    for (int64_t i = 0; i < T * n1; i++) error[i] = error[i] - v[i];
    for (int64_t r = 0; r < n0; r++)
        for (int64_t c = 0; c < n1; c++) {
            real sum = 0;
            for (int64_t i = 0; i < T; i++)
                sum += theta[i] * decay_after(alpha, i + 1, T) * k[i * n0 + r] * error[i * n1 + c];
            W[r * n1 + c] = decay_after(alpha, 0, T) * W0[r * n1 + c] - 2 * sum;
        }
    free(error);
}

/* (18) S_t = eta_t S_{t-1} - theta_t u_t: u, S (T x n), theta, eta (T), S_0 (n). */
static void chunk_momentum(int64_t T, int64_t n, const real *u, const real *theta, const real *eta,
                           const real *S0, real *S) {
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < n; i++)
            S[t * n + i] = eta[t] * (t > 0 ? S[(t - 1) * n + i] : S0[i]) - theta[t] * u[t * n + i];
}

/* x^0 .. x^n, n + 1 numbers */
static void powers(int64_t n, real x, real *power) {
    power[0] = 1;
    for (int64_t i = 1; i <= n; i++) power[i] = power[i - 1] * x;
}

/* Section 3.2, alpha and eta constant in the chunk: C_{t,i} of E5 depends on n = t - i alone,
 *      c_n = rho c_{n-1} + eta^n,   c_0 = 1,   rho = 1 - alpha.   kernel (T): c_0 .. c_{T-1}. */
static void lti_kernel(int64_t T, real alpha, real eta, real *kernel) {
    real power = 1;
    for (int64_t n = 0; n < T; n++) {
        kernel[n] = n > 0 ? (1 - alpha) * kernel[n - 1] + power : power;
        power *= eta;
    }
}

/* The same closed: c_n = (rho^(n+1) - eta^(n+1)) / (rho - eta), and (n + 1) rho^n where rho = eta (E17), rho
 * written there as (rho + eta) / 2, which has the right slope too: kernel (T). */
static void lti_kernel_closed(int64_t T, real alpha, real eta, real *kernel) {
    real rho = 1 - alpha, *of_rho = R_NEW(T + 1), *of_eta = R_NEW(T + 1), *of_mean = R_NEW(T + 1);
    int equal = RE(rho) == RE(eta);
    powers(T, rho, of_rho);
    powers(T, eta, of_eta);
    powers(T, (rho + eta) / 2, of_mean);
    for (int64_t n = 0; n < T; n++)
        kernel[n] = equal ? (real)(n + 1) * of_mean[n] : (of_rho[n + 1] - of_eta[n + 1]) / (rho - eta);
    free(of_rho);
    free(of_eta);
    free(of_mean);
}

/* (16) with momentum as a convolution, alpha, theta, eta constant: for t = 1..T
 *      M_t = rho^t M_0 + eta c_{t-1} S_0 - theta sum_{i<=t} c_{t-i} u_i,
 *      S_t = eta^t S_0 - theta sum_{i<=t} eta^(t-i) u_i.
 * kernel (T): c_0 .. c_{T-1}; M_0, S_0 (n), u, M, S (T x n). */
static void chunk_lti(int64_t T, int64_t n, const real *kernel, const real *M0, const real *S0, const real *u,
                      real alpha, real theta, real eta, real *M, real *S) {
    real *kept = R_NEW(T + 1), *carried = R_NEW(T + 1);
    powers(T, 1 - alpha, kept);
    powers(T, eta, carried);
    for (int64_t t = 1; t <= T; t++)
        for (int64_t p = 0; p < n; p++) {
            real state = 0, momentum = 0;
            for (int64_t i = 1; i <= t; i++) {
                state += kernel[t - i] * u[(i - 1) * n + p];
                momentum += carried[t - i] * u[(i - 1) * n + p];
            }
            M[(t - 1) * n + p] = kept[t] * M0[p] + eta * kernel[t - 1] * S0[p] - theta * state;
            S[(t - 1) * n + p] = carried[t] * S0[p] - theta * momentum;
        }
    free(kept);
    free(carried);
}

static void memory_chunk_run(const Call *c) {
    Network net = network_at(c);
    Tokens x = tokens_at(c);
    memory_chunk(&net, dim(c, "chunk"), &x, out(c, "M"), out(c, "S"), out(c, "y"));
}

static void chunk_closed_run(const Call *c) {
    Network net = network_at(c);
    Tokens x = tokens_at(c);
    chunk_closed(&net, &x, in(c, "M0"), in(c, "S0"), out(c, "M"), out(c, "S"), out(c, "y"));
}

static void chunk_linear_run(const Call *c) {
    chunk_linear(dim(c, "tokens"), dim(c, "n0"), dim(c, "n1"), in(c, "W0"), in(c, "k"), in(c, "v"),
                 in(c, "alpha"), in(c, "theta"), out(c, "W"));
}

static void chunk_momentum_run(const Call *c) {
    chunk_momentum(dim(c, "tokens"), dim(c, "n"), in(c, "u"), in(c, "theta"), in(c, "eta"), in(c, "S0"),
                   out(c, "S"));
}

static void lti_kernel_run(const Call *c) {
    lti_kernel(dim(c, "tokens"), in(c, "alpha")[0], in(c, "eta")[0], out(c, "kernel"));
}

static void lti_kernel_closed_run(const Call *c) {
    lti_kernel_closed(dim(c, "tokens"), in(c, "alpha")[0], in(c, "eta")[0], out(c, "kernel"));
}

static void chunk_lti_run(const Call *c) {
    chunk_lti(dim(c, "tokens"), dim(c, "n"), in(c, "kernel"), in(c, "M0"), in(c, "S0"), in(c, "u"),
              in(c, "alpha")[0], in(c, "theta")[0], in(c, "eta")[0], out(c, "M"), out(c, "S"));
}

#define CHUNK                                                                                                \
    SIZE("chunk", "b", "tokens whose gradients are taken at one state; the last chunk may be shorter")
#define STATE_SIZE SIZE("n", NULL, "numbers of the state")
static const Dimension memory_chunk_dims[] = {TOKENS, CHUNK, NETWORK, DIMENSION_END};
static const Dimension chunk_linear_dims[] = {TOKENS, SIZE("n0", NULL, "width of keys"),
                                              SIZE("n1", NULL, "width of values"), DIMENSION_END};
static const Dimension chunk_state_dims[] = {TOKENS, STATE_SIZE, DIMENSION_END};
static const Dimension lti_kernel_dims[] = {TOKENS, DIMENSION_END};
static const Argument chunk_linear_in[] = {{"W0", NULL, "n0 n1", NUMBER, "the memory before the chunk"},
                                           {"k", NULL, "tokens n0", NUMBER, "keys"},
                                           {"v", NULL, "tokens n1", NUMBER, "values"},
                                           {"alpha", NULL, "tokens", DECAY, "what is forgotten"},
                                           {"theta", NULL, "tokens", STEP, "the step"},
                                           ARGUMENT_END};
static const Argument chunk_linear_out[] = {{"W", NULL, "n0 n1", NUMBER, "the memory after the chunk"},
                                            ARGUMENT_END};
static const Argument chunk_momentum_in[] = {{"u", NULL, "tokens n", NUMBER, "gradients"},
                                             {"theta", NULL, "tokens", STEP, "the step"},
                                             {"eta", NULL, "tokens", CARRY, "what is kept"},
                                             {"S0", NULL, "n", NUMBER, "the momentum before"},
                                             ARGUMENT_END};
static const Argument chunk_momentum_out[] = {
    {"S", NULL, "tokens n", NUMBER, "the momentum after each token"}, ARGUMENT_END};
#define ALL_ALPHA                                                                                            \
    { "alpha", NULL, "1", DECAY, "what every token forgets" }
#define ALL_ETA                                                                                              \
    { "eta", NULL, "1", CARRY, "what every token keeps of the momentum" }
static const Argument lti_kernel_in[] = {ALL_ALPHA, ALL_ETA, ARGUMENT_END};
static const Argument lti_kernel_out[] = {{"kernel", NULL, "tokens", NUMBER, "c_0 .. c_(T-1)"}, ARGUMENT_END};
static const Argument chunk_lti_in[] = {{"kernel", NULL, "tokens", NUMBER, "c_0 .. c_(T-1)"},
                                        {"M0", NULL, "n", NUMBER, "the state before"},
                                        {"S0", NULL, "n", NUMBER, "the momentum before"},
                                        {"u", NULL, "tokens n", NUMBER, "gradients"},
                                        ALL_ALPHA,
                                        {"theta", NULL, "1", STEP, "every token's step"},
                                        ALL_ETA,
                                        ARGUMENT_END};
static const Argument chunk_lti_out[] = {{"M", NULL, "tokens n", NUMBER, "the state after each token"},
                                         {"S", NULL, "tokens n", NUMBER, "the momentum after each token"},
                                         ARGUMENT_END};

static const Equation chunk_equations[] = {
    {"memory_chunk", "eqs 16-18, errata E2 E3 E5",
     FULL_RULE("M_{t'}") "\n"
                         "(16)-(18) t' = chunk floor((t - 1) / chunk), tokens counted from 1: gradients are "
                         "those of the chunk's start\n" NETWORK_FORMULA,
     memory_chunk_dims, memory_tokens_in, memory_tokens_out, memory_chunk_run, NULL},
    {"chunk_closed", "eq 16, errata E2 E3 E5",
     "(16) M_t = beta_t M0 + a_t S0 - sum_{i<=t} C_{t,i} theta_i grad l(M0; k_i, v_i), beta_t = prod_{j<=t} "
     "(1 - alpha_j);\n"
     "C_{t,i} = (1 - alpha_t) C_{t-1,i} + prod_{i<j<=t} eta_j, C_{i,i} = 1, a_t = C_{t,0} from a_0 = 0: "
     "memory_chunk as one chunk\n" NETWORK_FORMULA,
     memory_sequential_dims, memory_tokens_in, memory_tokens_out, chunk_closed_run, NULL},
    {"chunk_linear", "eq 17, errata E1 E4",
     "(17) W = beta_T W0 - 2 sum_i theta_i (beta_T / beta_i) k_i' (k_i W0 - v_i), beta_t = prod_{j<=t} (1 - "
     "alpha_j)",
     chunk_linear_dims, chunk_linear_in, chunk_linear_out, chunk_linear_run, NULL},
    {"chunk_momentum", "eq 18", "(18) S_t = eta_t S_{t-1} - theta_t u_t", chunk_state_dims, chunk_momentum_in,
     chunk_momentum_out, chunk_momentum_run, NULL},
    {"lti_kernel", "section 3.2, erratum E17", "section 3.2: c_n = (1 - alpha) c_{n-1} + eta^n, c_0 = 1",
     lti_kernel_dims, lti_kernel_in, lti_kernel_out, lti_kernel_run, NULL},
    {"lti_kernel_closed", "section 3.2, erratum E17",
     "section 3.2: c_n = (rho^(n+1) - eta^(n+1)) / (rho - eta), rho = 1 - alpha; (n + 1) rho^n where rho = "
     "eta",
     lti_kernel_dims, lti_kernel_in, lti_kernel_out, lti_kernel_closed_run, NULL},
    {"chunk_lti", "section 3.2, eqs 16 18",
     "(16) M_t = rho^t M0 + eta c_{t-1} S0 - theta sum_{i<=t} c_{t-i} u_i, rho = 1 - alpha, c = kernel\n"
     "(18) S_t = eta^t S0 - theta sum_{i<=t} eta^(t-i) u_i",
     chunk_state_dims, chunk_lti_in, chunk_lti_out, chunk_lti_run, NULL},
    EQUATION_END};
