/* A language model of residual blocks (section 4.4) around one kind of sequence mixer. */
#pragma once
#include "mixer/attention.c"
#include "mixer/lmm.c"
#include "mixer/mac.c"
#include "mixer/mag.c"
#include "mixer/mal_h3.c"
#include "mixer/swa.c"

/* A mixer as one block runs it. */
typedef struct Block {
    const Equation *mixer;
    int64_t params;              /* tensors among the mixer's inputs that are parameters: 1 .. params */
    int64_t dims[EQUATION_DIMS]; /* MIXER_DIMS */
} Block;

typedef struct Model {
    int64_t T, V, D, layers, F;
    int64_t mixer;               /* 0 attention, 1 LMM, 2 SWA, 3 MAC, 4 MAG, 5 MAL, 6 MAL in one mixer */
    int64_t dims[EQUATION_DIMS]; /* MIXER_DIMS */
    const real *theta_max;
} Model;

/* From the dimensions "T V D H layers F mixer" and MIXER_OPTIONS. */
static Model model_at(const int64_t *n, const real *theta_max) {
    Model m = {n[0], n[1], n[2], n[4], n[5], n[6], {n[0], n[2], n[3]}, theta_max};
    for (int64_t i = MIXER_DIM_W; i < MIXER_DIM_COUNT; i++) m.dims[i] = n[i + 7 - MIXER_DIM_W];
    return m;
}

/* Block l. MAL (section 4.3) stacks memory and attention: even blocks are LMM, odd ones sliding-window
 * attention without persistent tokens. */
static Block block_at(const Model *m, int64_t l) {
    static const Equation *const mixer[] = {mixer_attention_equations, mixer_lmm_equations,
                                            mixer_swa_equations,       mixer_mac_equations,
                                            mixer_mag_equations,       mixer_mal_h3_equations};
    static const int64_t params[] = {4, 13, 5, 19, 16, 17};
    int64_t mal = m->mixer == 5, which = mal ? 1 + l % 2 : m->mixer < 5 ? m->mixer : 5;
    Block b = {mixer[which], params[which], {0}};
    for (int64_t i = 0; i < MIXER_DIM_COUNT; i++) b.dims[i] = m->dims[i];
    if (mal && l % 2) b.dims[MIXER_DIM_PERSISTENT] = 0;
    return b;
}

/* Takes the next n parameters. */
static const real *param_take(const real **params, int64_t n) {
    const real *p = *params;
    *params += n;
    return p;
}

/* x += mixer(rms_norm(x)): x (T x D); parameters: gain (D), the mixer's tensors in its equation's order. */
static void mixer_residual(const Model *m, const Block *b, const real **params, real *x) {
    int64_t in_size[EQUATION_TENSORS], out_size[EQUATION_TENSORS], n = m->T * m->D;
    const void *in[EQUATION_TENSORS];
    real *normed = R_NEW(n), *o = R_NEW(n);
    void *out[1] = {o};
    rms_norm(m->T, m->D, x, param_take(params, m->D), normed);
    b->mixer->shape(b->dims, in_size, out_size);
    in[0] = normed;
    for (int64_t i = 1; i <= b->params; i++) in[i] = param_take(params, in_size[i]);
    in[b->params + 1] = m->theta_max;
    b->mixer->run(b->dims, in, out);
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
        Block b = block_at(m, l);
        mixer_residual(m, &b, &params, x);
        mlp_residual(m, &params, x);
    }
    rms_norm(T, D, x, param_take(&params, D), x);
    project(T, D, m->V, x, param_take(&params, D * m->V), logits);
    free(x);
}

/* Parameters of block l: two gains, the mixer's tensors, the MLP's. */
static int64_t block_size(const Model *m, int64_t l) {
    Block b = block_at(m, l);
    int64_t in_size[EQUATION_TENSORS], out_size[EQUATION_TENSORS], size = 2 * m->D + 3 * m->D * m->F;
    b.mixer->shape(b.dims, in_size, out_size);
    for (int64_t i = 1; i <= b.params; i++) size += in_size[i];
    return size;
}

static void language_model_shape(const int64_t *n, int64_t *in, int64_t *out) {
    Model m = model_at(n, NULL);
    in[0] = in[1] = m.T;
    in[2] = 1;
    in[3] = m.V * m.D + m.D + m.D * m.V;
    for (int64_t l = 0; l < m.layers; l++) in[3] += block_size(&m, l);
    out[0] = 1;
    out[1] = m.T * m.V;
}

static void language_model_run(const int64_t *n, const void *const *in, void *const *out) {
    Model m = model_at(n, IN(2));
    language_model(&m, IN(0), IN(3), OUT(1));
    OUT(0)[0] = cross_entropy(m.T, m.V, OUT(1), IN(1));
}

static const Equation model_equations[] = {
    {"language_model", "section 4.4", "T V D H layers F mixer " MIXER_OPTIONS,
     "tokens targets theta_max params", "loss logits", language_model_shape, language_model_run},
    EQUATION_END};
