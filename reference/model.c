/* A language model of residual blocks (section 4.4) around any sequence mixer. */
#pragma once
#include "layers.c"

/* A mixer as one block runs it: its equation, its dimensions, its call. */
typedef struct Block {
    int64_t dims[EQUATION_DIMS];
    Call call;
} Block;

/* Sets what a stack's block says of itself, "persistent=0,window=3". */
static void block_set(Block *b, const char *settings) {
    while (*settings) {
        char name[48];
        size_t length = strcspn(settings, "=");
        int at = 0;
        snprintf(name, sizeof name, "%.*s", (int)length, settings);
        settings += length + 1;
        for (const Dimension *d = b->call.equation->dims; d->name; d++) {
            if (dimension_is(d, name)) b->dims[at] = strtoll(settings, NULL, 10);
            at += !d->derived;
        }
        settings += strcspn(settings, ",");
        settings += *settings == ',';
    }
}

/* Block l of the model c: its mixer, or where that is a stack the l-th of its kinds in turn, with the model's own
 * numbers for all its dimensions that the model has. Not to be copied: the call points into it. */
static void block_open(const Call *c, int64_t l, Block *b) {
    char words[256] = "", *kind = words;
    b->call.equation = c->mixer;
    if (c->mixer->blocks) {
        int64_t kinds = 1;
        snprintf(words, sizeof words, "%s", c->mixer->blocks);
        for (const char *p = words; *p; p++) kinds += *p == ' ';
        for (int64_t skip = l % kinds; skip > 0; skip--) kind += strcspn(kind, " ") + 1;
        kind[strcspn(kind, " ")] = '\0';
    }
    char *settings = kind + strcspn(kind, ":");
    if (*settings) *settings++ = '\0';
    if (c->mixer->blocks) b->call.equation = equation_named(kind);
    b->call.mixer = NULL;
    b->call.dims = b->dims;
    int at = 0;
    for (const Dimension *d = b->call.equation->dims; d->name; d++)
        if (!d->derived) b->dims[at++] = dim_or(c, d->name, d->initial);
    block_set(b, settings);
}

/* Takes the next n parameters. */
static const real *param_take(const real **params, int64_t n) {
    const real *p = *params;
    *params += n;
    return p;
}

/* A number of the configuration that a mixer reads: the model's input of that name, or where it has none the mixer's
 * default, for which there is room in `own`. */
static const real *block_limit(const Call *c, const Argument *a, real *own) {
    if (argument_find(c->equation->in, a->name) >= 0) return in(c, a->name);
    if (a->initial <= 0) call_fail(c, "default of", a->name);
    *own = R(a->initial);
    return own;
}

/* x += mixer(rms_norm(x)): x (T x D); parameters: gain (D), the mixer's tensors in its equation's order. */
static void mixer_residual(const Call *c, Block *b, const real **params, real *x) {
    int64_t T = dim(c, "tokens"), D = dim(c, "width"), n = T * D;
    const void *args[EQUATION_ARGUMENTS];
    real *normed = R_NEW(n), *o = R_NEW(n), own[EQUATION_ARGUMENTS];
    void *result[1] = {o};
    rms_norm(T, D, x, param_take(params, D), normed);
    args[0] = normed;
    for (int i = 1; b->call.equation->in[i].name; i++) {
        const Argument *a = &b->call.equation->in[i];
        args[i] = a->role == LIMIT ? block_limit(c, a, &own[i]) : param_take(params, call_size(&b->call, a));
    }
    b->call.in = args;
    b->call.out = result;
    b->call.equation->run(&b->call);
    for (int64_t i = 0; i < n; i++) x[i] = x[i] + o[i];
    free(normed);
    free(o);
}

/* x += (silu(x' W_1) (x' W_3)) W_2, x' = rms_norm(x): x (T x D); parameters: gain (D), W_1, W_3 (D x F),
 * W_2 (F x D). */
static void mlp_residual(int64_t T, int64_t D, int64_t F, const real **params, real *x) {
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
static void language_model(const Call *c, const real *tokens, const real *params, real *logits) {
    int64_t T = dim(c, "tokens"), V = dim(c, "vocab"), D = dim(c, "width"), layers = dim(c, "layers");
    real *x = R_NEW(T * D);
    const real *embedding = param_take(&params, V * D);
    for (int64_t t = 0; t < T; t++) real_copy(D, embedding + real_index(tokens[t]) * D, x + t * D);
    for (int64_t l = 0; l < layers; l++) {
        Block b;
        block_open(c, l, &b);
        mixer_residual(c, &b, &params, x);
        mlp_residual(T, D, dim(c, "ffn"), &params, x);
    }
    rms_norm(T, D, x, param_take(&params, D), x);
    project(T, D, V, x, param_take(&params, D * V), logits);
    free(x);
}

/* Parameters of block l: two gains, the mixer's tensors, the MLP's. */
static int64_t block_size(const Call *c, int64_t l) {
    int64_t D = dim(c, "width"), size = 2 * D + 3 * D * dim(c, "ffn");
    Block b;
    block_open(c, l, &b);
    for (int i = 1; b.call.equation->in[i].name; i++)
        if (b.call.equation->in[i].role != LIMIT) size += call_size(&b.call, &b.call.equation->in[i]);
    return size;
}

static int64_t model_parameters(const Call *c) {
    int64_t V = dim(c, "vocab"), D = dim(c, "width"), size = V * D + D + D * V;
    for (int64_t l = 0; l < dim(c, "layers"); l++) size += block_size(c, l);
    return size;
}

static void language_model_run(const Call *c) {
    project_precision = dim(c, "precision");
    language_model(c, in(c, "tokens"), in(c, "params"), out(c, "logits"));
    project_precision = 0;
    out(c, "loss")[0] = cross_entropy(dim(c, "tokens"), dim(c, "vocab"), out(c, "logits"), in(c, "targets"));
}

static const Dimension language_model_dims[] = {
    TOKENS,
    CLASSES,
    WIDTH,
    HEADS,
    COUNT("layers", NULL, "blocks"),
    SIZE("ffn", "F", "hidden width of SwiGLU"),
    CHOICE("precision", NULL, "float32 bf16", "of the linear maps, those of gates excepted"),
    {"mixer", NULL, 0, 0, 0, MIXERS, "of every block", NULL},
    DERIVED("parameters", NULL, model_parameters, "of the whole model, as the input params is laid out"),
    DIMENSION_END};
static const Argument language_model_in[] = {
    {"tokens", NULL, "tokens", INDEX, "the sequence"},
    {"targets", NULL, "tokens", TARGET, "the right next tokens"},
    {"theta_max", NULL, "1", LIMIT,
     "largest inner step; wanted, and not read, also by mixers without a memory"},
    {"params", NULL, "parameters", WEIGHTS,
     "embedding [vocab][width]; every block: gain [width], the mixer's tensors in their order without x and "
     "theta_max, "
     "gain [width], W_1 [width][ffn], W_3 [width][ffn], W_2 [ffn][width]; gain [width]; head [width][vocab]"},
    ARGUMENT_END};
static const Argument language_model_out[] = {
    {"loss", NULL, "1", NUMBER, "mean over targets that count"},
    {"logits", NULL, "tokens vocab", NUMBER, "scores of every class"},
    ARGUMENT_END};

static const Equation model_equations[] = {
    {"language_model", "section 4.4",
     "x = embedding[tokens]; every block: x += mixer(rms_norm(x)), then x += (silu(x' W_1) (x' W_3)) W_2, x' "
     "= rms_norm(x);\n"
     "logits = rms_norm(x) head; loss = mean over targets >= 0 of log(sum_j exp(logit_j)) - logit_target",
     language_model_dims, language_model_in, language_model_out, language_model_run, NULL},
    EQUATION_END};
