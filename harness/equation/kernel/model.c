/* Whole models, and every mixer by itself. Configurations, parameters and their names are matched by name, so that a
 * mixer which is added needs nothing here. */
#include "equation/kernel/model.h"
#include "base/check.h"
#include "equation/oracle.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

/* Every dimension that the model has as a key. 0, or -1 with a message. */
static int config_of(const Dims *d, const char *mixer, Config *c, char *message, size_t size) {
    int64_t value;
    const Dimension *each;
    if (config_defaults(c, mixer, message, size)) return -1;
    c->vocab = c->layers = c->ffn = 1;
    for (int i = 0; (each = dims_at(d, i, &value)); i++) {
        char text[32];
        dims_value_name(d, each, value, text, sizeof text);
        if (config_has(c, each->name) && config_set(c, each->name, text, message, size)) return -1;
    }
    return 0;
}

/* "mac" of mixer_mac, "kda" of kda_layer. */
typedef struct {
    char text[48];
} MixerName;

static MixerName mixer_of(const Dims *d) {
    const char *full = (d->mixer ? d->mixer : d->equation)->name, *tail = strstr(full, "_layer");
    MixerName name;
    if (!strncmp(full, MIXERS, strlen(MIXERS)))
        snprintf(name.text, sizeof name.text, "%s", full + strlen(MIXERS));
    else
        snprintf(name.text, sizeof name.text, "%.*s", (int)(tail ? tail - full : 0), full);
    return name;
}

int model_accepted(const Dims *d, char *message, size_t size) {
    Config c;
    if (config_of(d, mixer_of(d).text, &c, message, size)) return -1;
    return config_settle(&c, message, size);
}

/* Whether input i is a number that is a key of the configuration (theta_max, eps), and its setting: 0, or -1 with a
 * message. */
static int is_key(const Equation *e, int i, const Config *c) {
    return !strcmp(e->in[i].shape, "1") && config_has(c, e->in[i].name);
}
static int key_set(const Equation *e, int i, float number, Config *c, char *message, size_t size) {
    char text[32];
    snprintf(text, sizeof text, "%.17g", (double)number);
    return config_set(c, e->in[i].name, text, message, size);
}

int model_takes(const Dims *d, const double *const *in, char *message, size_t size) {
    const Equation *e = d->equation;
    Config c;
    if (config_of(d, mixer_of(d).text, &c, message, size)) return -1;
    for (int i = 0; e->in[i].name; i++)
        if (is_key(e, i, &c) && key_set(e, i, (float)in[i][0], &c, message, size)) return -1;
    return 0;
}

/* A model whose numbers are those that model_takes has seen. */
Model model_of(const KernelRun *r) {
    const Equation *e = r->dims->equation;
    Config c;
    Model model;
    char message[512];
    CHECK(!config_of(r->dims, mixer_of(r->dims).text, &c, message, sizeof message), "%s", message);
    for (int i = 0; e->in[i].name; i++)
        CHECK(!is_key(e, i, &c) || !key_set(e, i, r->in[i][0], &c, message, sizeof message), "%s", message);
    CHECK(!model_create(&model, &c, 0, message, sizeof message), "%s", message);
    return model;
}

/* ---- a mixer alone ---- */

Tensor *mixer_parameter(Model *model, const char *name) {
    char full[80];
    snprintf(full, sizeof full, "layer.0.mixer.%s", name);
    for (int i = 0; i < model->list.count; i++)
        if (!strcmp(model->list.items[i].name, full)) return &model->tensors[i];
    return 0;
}

/* The equation's arrays in place of the model's; both sides must have the same parameters, of the same size. */
static void mixer_parameters(const KernelRun *r, Model *model) {
    const Equation *e = r->dims->equation;
    int64_t matched = 0, all = 0;
    for (int i = 0; i < model->list.count; i++)
        if (!strncmp(model->list.items[i].name, "layer.0.mixer.", 14))
            all += parameter_count(&model->list.items[i]);
    for (int i = 1; e->in[i].name; i++) {
        if (e->in[i].role == LIMIT) continue;
        Tensor *p = mixer_parameter(model, e->in[i].name);
        const int64_t count = p ? p->rows * p->cols : 0;
        CHECK(count == r->in_size[i], "%s: %s has %ld numbers, the optimized parameter %ld", e->name,
              e->in[i].name, r->in_size[i], count);
        if (p) *p = (Tensor){p->rows, p->cols, r->in[i], r->grad[i]};
        matched += count;
    }
    CHECK(matched == all, "%s: the optimized mixer has parameters that the equation does not", e->name);
}

static void mixer_run(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), D = run_dim(r, "width");
    const size_t bytes = (size_t)(T * D) * sizeof(float);
    Model model = model_of(r);
    mixer_parameters(r, &model);
    Arena arena = {0};
    Tape tape = {&arena, run_backward(r), 0};
    Tensor x = {T, D, run_in(r, "x"), run_grad(r, "x")};
    Tensor *o = model_mixer(&tape, &model, &x, 1);
    memcpy(run_out(r, "o"), o->data, bytes);
    if (run_backward(r)) {
        memcpy(o->grad, run_cotangent(r, "o"), bytes);
        tape_backward(&tape);
    }
    arena_free(&arena);
    model_free(&model);
}

int mixer_adapter_at(int i, KernelAdapter *adapter) {
    for (int m = 0; mixer_at(m); m++) {
        const Equation *e = oracle_mixer(mixer_at(m)->name);
        if (!e || !e->run || i-- > 0) continue;
        *adapter = (KernelAdapter){.run = mixer_run, .accepts = model_accepted, .takes = model_takes};
        snprintf(adapter->equation, sizeof adapter->equation, "%s", e->name);
        snprintf(adapter->kernel, sizeof adapter->kernel, "mixer.%s", mixer_at(m)->name);
        return 1;
    }
    return 0;
}

/* ---- language models ---- */

/* One sequence in one call, or in two on one tape, cut after `split` tokens. */
typedef struct {
    Model model;
    Tape tape;
    int64_t tokens, split, counted; /* counted: targets that count */
    int32_t *token, *target, *row, *best;
} ModelRun;

static ModelRun model_run_begin(const KernelRun *r, Arena *arena) {
    ModelRun m = {.model = model_of(r), .tape = {arena, run_backward(r), 0}, .tokens = run_dim(r, "tokens")};
    const int64_t n = m.model.list.floats;
    CHECK(n == run_size(r, "params"), "%ld weights, the reference has %ld", n, run_size(r, "params"));
    memcpy(m.model.weights, run_in(r, "params"), (size_t)n * sizeof(float));
    char message[128];
    CHECK(!model_gradients(&m.model, message, sizeof message), "%s", message);
    m.token = run_integers(m.tokens, run_in(r, "tokens"));
    m.target = run_integers(m.tokens, run_in(r, "targets"));
    m.row = run_integers(m.tokens, run_in(r, "tokens"));
    m.best = run_integers(m.tokens, run_in(r, "tokens"));
    for (int64_t t = 0; t < m.tokens; t++) m.row[t] = (int32_t)t, m.counted += m.target[t] >= 0;
    return m;
}

static void model_run_end(ModelRun *m) {
    free(m->token);
    free(m->target);
    free(m->row);
    free(m->best);
    model_free(&m->model);
}

/* Sum of the losses of one call; its gradient is that of the sum. */
static double model_call(ModelRun *m, State *state, int64_t from, int64_t count, float *logits) {
    int64_t counted = 0;
    if (!count) return 0.0;
    const ModelInput input = {
        .tokens = m->token + from, .batch = 1, .count = count, .rows = m->row, .row_count = count};
    Tensor *part = model_forward(&m->tape, &m->model, state, &input);
    memcpy(logits + from * part->cols, part->data, (size_t)(count * part->cols) * sizeof(float));
    for (int64_t t = 0; t < count; t++) counted += m->target[from + t] >= 0;
    const double sum = op_cross_entropy(&m->tape, part, m->target + from, 1.0, m->best) * (double)counted;
    for (int64_t j = 0; part->grad && j < count * part->cols; j++) part->grad[j] *= (float)counted;
    return sum;
}

/* The cotangent of the logits must be zero. */
static void model_run(KernelRun *r, int cut) {
    Arena arena = {0};
    ModelRun m = model_run_begin(r, &arena);
    const Mixer *mixer = m.model.mixer;
    const int64_t where = cut && mixer->split ? mixer->split(&m.model.config) : 0;
    State state = {.batch = 1, .capacity = (m.tokens + ATTEND_BLOCK - 1) / ATTEND_BLOCK * ATTEND_BLOCK};
    m.split = where > 0 && where < m.tokens ? where : m.tokens;
    state_begin(&m.tape, &state, &m.model);
    double sum = model_call(&m, &state, 0, m.split, run_out(r, "logits"));
    sum += model_call(&m, &state, m.split, m.tokens - m.split, run_out(r, "logits"));
    run_out(r, "loss")[0] = (float)(sum / (double)m.counted);
    if (run_backward(r)) {
        tape_backward(&m.tape);
        const float share = run_cotangent(r, "loss")[0] / (float)m.counted;
        for (int64_t i = 0; i < m.model.list.floats; i++) run_grad(r, "params")[i] = m.model.grads[i] * share;
    }
    arena_free(&arena);
    model_run_end(&m);
}
static void model_whole(KernelRun *r) { model_run(r, 0); }
static void model_segments(KernelRun *r) { model_run(r, 1); }

static const KernelAdapter adapters[] = {
    {"language_model", "model", model_whole, model_accepted, 0, model_takes},
    {"language_model", "model.segments", model_segments, model_accepted, 0, model_takes},
    {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_model = {adapters};
