/* A language model of residual blocks (section 4.4) around one kind of sequence mixer. */
#pragma once
#include "mixer/attention.c"
#include "mixer/lmm.c"

typedef struct Model {
    int64_t T, V, D, layers, F;
    int64_t mixer_dims[8]; /* T D H w b L e kind; the attention mixer reads the first three */
    int64_t mixer_params;  /* tensors among the mixer's inputs that are parameters: 1 .. mixer_params */
    const Equation *mixer;
    const real *theta_max;
} Model;

/* From the dimensions "T V D H layers F mixer w b L e kind"; mixer 0 is attention, 1 is LMM. */
static Model model_at(const int64_t *n, const real *theta_max) {
    Model m = {n[0],          n[1],
               n[2],          n[4],
               n[5],          {n[0], n[2], n[3], n[7], n[8], n[9], n[10], n[11]},
               n[6] ? 12 : 4, n[6] ? mixer_lmm_equations : mixer_attention_equations,
               theta_max};
    return m;
}

/* Takes the next n parameters. */
static const real *param_take(const real **params, int64_t n) {
    const real *p = *params;
    *params += n;
    return p;
}

/* x += mixer(rms_norm(x)): x (T x D); parameters: gain (D), the mixer's tensors in its equation's order. */
static void mixer_residual(const Model *m, const real **params, real *x) {
    int64_t in_size[EQUATION_TENSORS], out_size[EQUATION_TENSORS], n = m->T * m->D;
    const void *in[EQUATION_TENSORS];
    real *normed = R_NEW(n), *o = R_NEW(n);
    void *out[1] = {o};
    rms_norm(m->T, m->D, x, param_take(params, m->D), normed);
    m->mixer->shape(m->mixer_dims, in_size, out_size);
    in[0] = normed;
    for (int64_t i = 1; i <= m->mixer_params; i++) in[i] = param_take(params, in_size[i]);
    in[m->mixer_params + 1] = m->theta_max;
    m->mixer->run(m->mixer_dims, in, out);
    for (int64_t i = 0; i < n; i++) x[i] = x[i] + o[i];
    free(normed);
    free(o);
}

/* x += (silu(x' W_1) (x' W_3)) W_2, x' = rms_norm(x): x (T x D); parameters: gain (D), W_1, W_3 (D x F),
 * W_2 (F x D). */
static void mlp_residual(const Model *m, const real **params, real *x) {
    int64_t T = m->T, D = m->D, F = m->F;
    real *normed = R_NEW(T * D), *a = R_NEW(T * F), *b = R_NEW(T * F), *o = R_NEW(T * D);
    rms_norm(T, D, x, param_take(params, D), normed);
    project(T, D, F, normed, param_take(params, D * F), a);
    project(T, D, F, normed, param_take(params, D * F), b);
    swiglu(T, F, a, b, a);
    project(T, F, D, a, param_take(params, F * D), o);
    for (int64_t i = 0; i < T * D; i++) x[i] = x[i] + o[i];
    free(normed);
    free(a);
    free(b);
    free(o);
}

/* logits = rms_norm(blocks(embedding[tokens])) head: tokens (T), logits (T x V); parameters: embedding
 * (V x D), the blocks', final gain (D), head (D x V). */
static void language_model(const Model *m, const real *tokens, const real *params, real *logits) {
    int64_t T = m->T, D = m->D;
    real *x = R_NEW(T * D);
    const real *embedding = param_take(&params, m->V * D);
    for (int64_t t = 0; t < T; t++) real_copy(D, embedding + real_index(tokens[t]) * D, x + t * D);
    for (int64_t l = 0; l < m->layers; l++) {
        mixer_residual(m, &params, x);
        mlp_residual(m, &params, x);
    }
    rms_norm(T, D, x, param_take(&params, D), x);
    project(T, D, m->V, x, param_take(&params, D * m->V), logits);
    free(x);
}

static void language_model_shape(const int64_t *n, int64_t *in, int64_t *out) {
    Model m = model_at(n, NULL);
    int64_t in_size[EQUATION_TENSORS], out_size[EQUATION_TENSORS], mixer = 0;
    m.mixer->shape(m.mixer_dims, in_size, out_size);
    for (int64_t i = 1; i <= m.mixer_params; i++) mixer += in_size[i];
    in[0] = in[1] = m.T;
    in[2] = 1;
    in[3] = m.V * m.D + m.layers * (m.D + mixer + m.D + 3 * m.D * m.F) + m.D + m.D * m.V;
    out[0] = 1;
    out[1] = m.T * m.V;
}

static void language_model_run(const int64_t *n, const void *const *in, void *const *out) {
    Model m = model_at(n, IN(2));
    language_model(&m, IN(0), IN(3), OUT(1));
    OUT(0)[0] = cross_entropy(m.T, m.V, OUT(1), IN(1));
}

static const Equation model_equations[] = {
    {"language_model", "section 4.4", "T V D H layers F mixer w b L e kind",
     "tokens targets theta_max params", "loss logits", language_model_shape, language_model_run},
    EQUATION_END};
