#include "model/model.h"
#include "base/check.h"
#include "base/finite.h"
#include "base/work.h"
#include "base/random.h"

#include "mixers.h"
#include <string.h>

const Mixer *mixer_at(int i) { return mixers[i]; }

const Mixer *mixer_find(const char *name) {
    for (int i = 0; mixers[i]; i++)
        if (!strcmp(mixers[i]->name, name)) return mixers[i];
    return 0;
}

Parameter *parameter_add(ParameterList *list, int layer, const char *name, int64_t rows, int64_t cols,
                         double std) {
    if (list->count == list->capacity) {
        const int capacity = list->capacity ? 2 * list->capacity : 64;
        Parameter *items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (!items) return list->failed = 1, &list->spare;
        list->items = items;
        list->capacity = capacity;
    }
    Parameter *p = &list->items[list->count++];
    *p = (Parameter){{0}, rows, cols, list->floats, std, 0.0, rows > 1};
    if (layer < 0)
        snprintf(p->name, sizeof p->name, "%s", name);
    else
        snprintf(p->name, sizeof p->name, "layer.%d.%s", layer, name);
    list->floats += rows * cols;
    return p;
}

void parameter_gain(ParameterList *list, int layer, const char *name, int64_t cols) {
    parameter_add(list, layer, name, 1, cols, 0.0)->shift = 1.0;
}

/* Order is part of the file format and of the reference's flat parameter vector. */
static void model_parameters(Model *m) {
    const Config *c = &m->config;
    const double fan_in = 1.0 / sqrt(3.0 * (double)c->width), fan_ffn = 1.0 / sqrt(3.0 * (double)c->ffn);
    parameter_add(&m->list, -1, "embedding", c->features ? c->features : c->vocab, c->width, c->embedding_std)
        ->decay = 0;
    for (int layer = 0; layer < c->layers; layer++) {
        parameter_gain(&m->list, layer, "norm1", c->width);
        m->first[layer] = m->list.count;
        m->mixer->parameters(&m->list, layer, c);
        parameter_gain(&m->list, layer, "norm2", c->width);
        parameter_add(&m->list, layer, "ffn.w1", c->width, c->ffn, fan_in);
        parameter_add(&m->list, layer, "ffn.w3", c->width, c->ffn, fan_in);
        parameter_add(&m->list, layer, "ffn.w2", c->ffn, c->width, fan_ffn);
    }
    m->first[c->layers] = m->list.count;
    parameter_gain(&m->list, -1, "norm", c->width);
    parameter_add(&m->list, -1, "head", c->width, c->vocab, c->head_std);
}

/* The channel mixer's parameters (norm2, w1, w3, w2) end a layer; the next one begins with norm1. */
static Tensor *model_ffn(const Model *m, int layer) {
    return m->tensors + m->first[layer + 1] - (layer + 1 < m->config.layers ? 5 : 4);
}

static void model_initialise(Model *m, uint64_t seed) {
    uint64_t stream = 0; /* counts parameters that have weights: an empty one changes no other */
    for (int i = 0; i < m->list.count; i++) {
        const Parameter *p = &m->list.items[i];
        if (p->rows * p->cols == 0) continue;
        Random random = random_stream(seed, stream++, 0x77656967687473);
        for (int64_t j = 0; j < p->rows * p->cols; j++)
            m->weights[p->offset + j] =
                (float)(p->shift + (p->std > 0.0 ? p->std * random_normal(&random) : 0.0));
    }
    for (int layer = 0; m->mixer->initialise && layer < m->config.layers; layer++)
        m->mixer->initialise(&m->config, layer, m->tensors + m->first[layer]);
}

static const PositionOptions *model_places(const Config *c) {
    return c->mixer->places ? c->mixer->places(c) : 0;
}

static void model_angles(const Config *c, int64_t position, int64_t rows, float *angles) {
    position_angles(model_places(c), c->width / c->heads, position, rows, angles);
}

/* Everything but the numbers. */
static int model_plan(Model *m, const Config *config, char *message, size_t size) {
    *m = (Model){.config = *config, .mixer = config->mixer};
    if (config_settle(&m->config, message, size)) return -1;
    m->first = calloc((size_t)config->layers + 1, sizeof *m->first);
    if (!m->first) {
        snprintf(message, size, "no memory for %ld layers", config->layers);
        return -1;
    }
    model_parameters(m);
    if (!m->list.failed) return 0;
    snprintf(message, size, "no memory for %d parameters", m->list.count);
    model_free(m);
    return -1;
}

int model_count(const Config *config, int64_t *weights, char *message, size_t size) {
    Model m;
    const int status = model_plan(&m, config, message, size);
    *weights = m.list.floats;
    model_free(&m);
    return status;
}

/* What the mixer computes once. 0, or -1 with a message. */
static int model_constants(Model *m, char *message, size_t size) {
    if (!m->mixer->constants) return 0;
    const int64_t floats = m->mixer->constant_floats(&m->config);
    m->constants = memory_take(m->memory, (size_t)floats * sizeof(float));
    if (m->constants && !m->mixer->constants(&m->config, m->constants)) return 0;
    return snprintf(message, size, "no memory for %ld constants", floats), -1;
}

int model_allocate(Model *m, const Config *config, const Allocator *memory, char *message, size_t size) {
    if (model_plan(m, config, message, size)) return -1;
    m->memory = memory;
    if (m->mixer->positions == POSITIONS_SEGMENT) {
        const int64_t rows = m->mixer->prefix(config) + 2 * m->mixer->segment(config),
                      width = config->width / config->heads;
        m->segment_angles = memory_take(memory, (size_t)(rows * width) * sizeof(float));
        if (!m->segment_angles) {
            snprintf(message, size, "no memory for %ld rows of angles", rows);
            model_free(m);
            return -1;
        }
        model_angles(config, 0, rows, m->segment_angles);
    }
    if (model_constants(m, message, size)) {
        model_free(m);
        return -1;
    }
    m->weights = memory_take(memory, (size_t)m->list.floats * sizeof(float));
    m->tensors = memory_take(memory, (size_t)m->list.count * sizeof *m->tensors);
    if (!m->weights || !m->tensors) {
        snprintf(message, size, "no memory for %ld weights", m->list.floats);
        model_free(m);
        return -1;
    }
    for (int i = 0; i < m->list.count; i++) {
        const Parameter *p = &m->list.items[i];
        m->tensors[i] = (Tensor){p->rows, p->cols, m->weights + p->offset, 0};
    }
    return 0;
}

int model_create(Model *m, const Config *config, uint64_t seed, char *message, size_t size) {
    if (model_allocate(m, config, 0, message, size)) return -1;
    model_initialise(m, seed);
    return 0;
}

int model_gradients(Model *m, char *message, size_t size) {
    m->grads = memory_take(m->memory, (size_t)m->list.floats * sizeof(float));
    if (!m->grads) return snprintf(message, size, "no memory for %ld gradients", m->list.floats), -1;
    memset(m->grads, 0, (size_t)m->list.floats * sizeof(float));
    for (int i = 0; i < m->list.count; i++) m->tensors[i].grad = m->grads + m->list.items[i].offset;
    return 0;
}

void model_free(Model *m) {
    float *const arrays[] = {m->weights, m->grads, m->segment_angles, m->constants};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) memory_give(m->memory, arrays[i]);
    memory_give(m->memory, m->tensors);
    free(m->list.items);
    free(m->first);
    *m = (Model){0};
}

static MixerCall model_call(Tape *tape, const Model *m, State *state, int layer) {
    return (MixerCall){.tape = tape,
                       .config = &m->config,
                       .options = m->config.options,
                       .parameter = m->tensors + m->first[layer],
                       .constants = m->constants,
                       .layer = layer,
                       .state = &state->layers[layer],
                       .batch = state->batch,
                       .position = state->position,
                       .capacity = state->capacity};
}

void state_begin(Tape *tape, State *state, const Model *m) {
    tape->precision = (Precision)m->config.precision;
    state->position = 0;
    const size_t slots = (size_t)m->mixer->slots;
    state->layers = arena_take(tape->arena, (size_t)m->config.layers * sizeof *state->layers);
    for (int layer = 0; layer < m->config.layers; layer++) {
        state->layers[layer].slot = arena_take(tape->arena, slots * sizeof(Tensor *));
        for (size_t k = 0; k < slots; k++) state->layers[layer].slot[k] = 0;
        const MixerCall call = model_call(tape, m, state, layer);
        m->mixer->start(&call);
    }
}

void state_start(State *state, const Model *m, int64_t batch, int64_t capacity) {
    state->batch = batch;
    state->position = 0;
    state->capacity = attend_round(capacity);
    Tape tape = {&state->arena, 0, 0};
    state_begin(&tape, state, m);
}

void state_free(State *state) { arena_free(&state->arena); }

static const float *model_positions(Arena *arena, const Model *m, int64_t position, int64_t tokens,
                                    const float **persistent) {
    const Config *c = &m->config;
    const int64_t width = c->width / c->heads, prefix = m->mixer->prefix ? m->mixer->prefix(c) : 0;
    float *angles;
    *persistent = 0;
    if (model_places(c) && model_places(c)->positions != PLACES_ROPE) return 0;
    switch (m->mixer->positions) {
    case POSITIONS_NONE:
        return 0;
    case POSITIONS_SEGMENT:
        *persistent = m->segment_angles;
        return m->segment_angles + prefix * width;
    case POSITIONS_SEQUENCE:
        angles = arena_floats(arena, tokens * width);
        model_angles(c, position, tokens, angles);
        return angles;
    case POSITIONS_PREFIXED:
        break;
    }
    const int64_t first = position ? prefix + position : 0, before = position ? 0 : prefix;
    angles = arena_floats(arena, (before + tokens) * width);
    model_angles(c, first, before + tokens, angles);
    *persistent = angles;
    return angles + before * width;
}

/* Looks through the rows of a tensor, batch x count of them, up to the earliest token found so far. */
static void look_through(const ModelInput *input, const char *tensor, int layer, const Tensor *x) {
    NotFinite *f = input->fault;
    if (!f || all_finite(x->rows * x->cols, x->data)) return;
    const int64_t end = f->tensor ? f->token : input->count;
    for (int64_t t = 0; t < end; t++)
        for (int64_t b = 0; b < input->batch; b++)
            if (!all_finite(x->cols, x->data + (b * input->count + t) * x->cols)) {
                *f = (NotFinite){tensor, layer, b, t};
                return;
            }
}

static Tensor *model_block(Model *m, MixerCall *call, const ModelInput *input, Tensor *x) {
    Tape *tape = call->tape;
    const int layer = call->layer;
    Tensor *p = m->tensors + m->first[layer], *ffn = model_ffn(m, layer);
    Tensor *mixed = m->mixer->forward(call, op_norm(tape, x, p - 1, 0, 1));
    look_through(input, "output of the mixer", layer, mixed);
    x = op_add(tape, x, mixed);
    Tensor *inner = op_norm(tape, x, ffn, 0, 1);
    /* One after the other: the order of arguments' evaluation, so of the tape, would be the compiler's
     * choice. */
    Tensor *gate = op_linear(tape, inner, ffn + 1), *up = op_linear(tape, inner, ffn + 2);
    Tensor *hidden = op_swiglu(tape, gate, up);
    x = op_add(tape, x, op_linear(tape, hidden, ffn + 3));
    look_through(input, "output of the layer", layer, x);
    return x;
}

/* Rows that were asked for, each at a token of its own. */
static void look_through_logits(const ModelInput *input, const Tensor *logits) {
    NotFinite *f = input->fault;
    if (!f || all_finite(logits->rows * logits->cols, logits->data)) return;
    for (int64_t r = 0; r < logits->rows; r++) {
        const int64_t b = input->rows[r] / input->count, t = input->rows[r] % input->count;
        if (f->tensor && t >= f->token) continue;
        if (!all_finite(logits->cols, logits->data + r * logits->cols)) *f = (NotFinite){"logits", -1, b, t};
    }
}

/* A state that begins on the tape itself, for `count` tokens. */
static State model_fresh(Tape *tape, const Model *m, int64_t batch, int64_t count) {
    State fresh = {.batch = batch, .capacity = attend_round(count)};
    state_begin(tape, &fresh, m);
    return fresh;
}

Tensor *model_mixer_on(Tape *tape, Model *m, State *state, Tensor *x) {
    MixerCall call = model_call(tape, m, state, 0);
    tape->precision = (Precision)m->config.precision;
    call.tokens = x->rows / state->batch;
    call.angles = model_positions(tape->arena, m, state->position, call.tokens, &call.persistent_angles);
    state->position += call.tokens;
    const int before = work_begin();
    Tensor *mixed = m->mixer->forward(&call, x);
    work_end(before);
    return mixed;
}

Tensor *model_mixer(Tape *tape, Model *m, Tensor *x, int64_t batch) {
    State state = model_fresh(tape, m, batch, x->rows / batch);
    return model_mixer_on(tape, m, &state, x);
}

/* Rows of the embedding, or with features their linear map. */
static Tensor *model_input(Tape *tape, Model *m, const ModelInput *input) {
    const int64_t rows = input->batch * input->count, width = m->config.features;
    if (!width) return op_gather(tape, &m->tensors[0], input->tokens, rows);
    Tensor *features = tape_tensor(tape, rows, width);
    memcpy(features->data, input->features, (size_t)(rows * width) * sizeof(float));
    return op_linear_float32(tape, features, &m->tensors[0]); /* rows that mean a token are the token's */
}

void model_pass_begin(ModelPass *pass) {
    const ModelInput *input = pass->input;
    CHECK(pass->state->batch == input->batch, "state of %ld sequences, %ld given", pass->state->batch,
          input->batch);
    pass->angles =
        model_positions(pass->tape->arena, pass->model, pass->position, input->count, &pass->persistent);
    pass->tape->precision = (Precision)pass->model->config.precision;
    pass->x = model_input(pass->tape, pass->model, input);
    look_through(input, "embedding", -1, pass->x);
}

void model_pass_layer(ModelPass *pass, int layer) {
    const ModelInput *input = pass->input;
    MixerCall call = model_call(pass->tape, pass->model, pass->state, layer);
    call.position = pass->position;
    call.tokens = input->count;
    call.angles = pass->angles;
    call.persistent_angles = pass->persistent;
    call.penalty = input->penalty;
    for (int i = 0; i < input->probe_count; i++)
        if (input->probes[i].layer == layer) call.probe = &input->probes[i];
    pass->x = model_block(pass->model, &call, input, pass->x);
}

Tensor *model_pass_end(const ModelPass *pass) {
    const ModelInput *input = pass->input;
    Tape *tape = pass->tape;
    Model *m = pass->model;
    if (input->row_count == 0) return 0;
    Tensor *last = &m->tensors[m->list.count - 2];
    Tensor *x = op_gather(tape, pass->x, input->rows, input->row_count);
    Tensor *logits = op_linear(tape, op_norm(tape, x, last, 0, 1), last + 1);
    look_through_logits(input, logits);
    return logits;
}

static Tensor *model_run(Tape *tape, Model *m, State *state, const ModelInput *input) {
    ModelPass pass = {.tape = tape, .model = m, .state = state, .input = input, .position = state->position};
    model_pass_begin(&pass);
    for (int layer = 0; layer < m->config.layers; layer++) model_pass_layer(&pass, layer);
    state->position += input->count;
    return model_pass_end(&pass);
}

Tensor *model_forward(Tape *tape, Model *m, State *state, const ModelInput *input) {
    const int before = work_begin();
    State fresh;
    if (!state) {
        fresh = model_fresh(tape, m, input->batch, input->count);
        state = &fresh;
    }
    Tensor *logits = model_run(tape, m, state, input);
    work_end(before);
    return logits;
}

double model_flops(const Model *m, double context, int head) {
    const Config *c = &m->config;
    const double D = (double)c->width;
    double flops = head ? 2.0 * D * (double)c->vocab : 0.0;
    for (int layer = 0; layer < c->layers; layer++)
        flops += m->mixer->flops(c, layer, context) + 6.0 * D * (double)c->ffn;
    return flops;
}

int64_t model_state_floats(const Model *m, int64_t context) {
    int64_t floats = 0;
    for (int layer = 0; layer < m->config.layers; layer++)
        floats += m->mixer->state_floats(&m->config, layer, context);
    return floats;
}
