/* Linear attention as a sequence mixer (Katharopoulos 2006.16236, eqs 3-7): a matrix as the memory. */
#pragma once
#include "../delta_layer.h"

/* (4)-(7) with phi and the sum of the keys as one more column of values, all ones; feature = identity has neither phi nor
 * normaliser, and scales by 1 / sqrt(K). */
static void linear_attention_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), K = head_keys(c), V = head_values(c),
            phi = !dim(c, "feature");
    real *q = projected(c, "wq", all_keys(c)), *k = projected(c, "wk", all_keys(c)),
         *v = projected(c, "wv", all_values(c)), *S = R_NEW(H * K * (V + 1)), *o = R_NEW(T * H * (V + 1)),
         *wide = R_NEW(T * H * (V + 1)), *y = R_NEW(T * H * V);
    for (int64_t i = 0; phi && i < T * H * K; i++) {
        q[i] = elu_one(q[i]);
        k[i] = elu_one(k[i]);
    }
    for (int64_t i = 0; i < T * H * (V + 1); i++)
        wide[i] = i % (V + 1) < V ? v[i / (V + 1) * V + i % (V + 1)] : R(1);
    DeltaRule rule = {T, H, H,    K,    V + 1, REMOVE_NONE, 0,    0,
                      q, k, wide, NULL, NULL,  NULL,        NULL, scale_of(!phi, K)};
    delta_rule_run(&rule, S, o);
    for (int64_t i = 0; i < T * H * V; i++) {
        real *row = o + i / V * (V + 1);
        y[i] = phi ? row[i % V] / row[V] : row[i % V];
    }
    layer_output(c, y);
    free(q);
    free(k);
    free(v);
    free(S);
    free(o);
    free(wide);
}

static const Dimension mixer_linear_attention_dims[] = {
    DELTA_SIZES,
    CHOICE("feature", NULL, "elu identity", "of q and k: elu + 1 with the normaliser, or neither"),
    DIMENSION_END};
static const Argument mixer_linear_attention_in[] = {LAYER_X,
                                                     WEIGHT("wq", "all_keys", "queries"),
                                                     WEIGHT("wk", "all_keys", "keys"),
                                                     WEIGHT("wv", "all_values", "values"),
                                                     LAYER_WO,
                                                     ARGUMENT_END};
static const Equation mixer_linear_attention_equations[] = {
    {"mixer_linear_attention", "eqs 3-7, Katharopoulos 2006.16236",
     "q, k, v = x W; S = S + phi(k) v', s = s + phi(k), phi = elu + 1; o = (phi(q) S / (phi(q) s)) W_O;\n"
     "feature = identity: o = (q S / sqrt(K)) W_O",
     mixer_linear_attention_dims, mixer_linear_attention_in, layer_out, linear_attention_layer_run, NULL},
    EQUATION_END};
