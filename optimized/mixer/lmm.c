/* LMM: the neural long-term memory alone as the sequence mixer, eqs 8-18 with the layers of section 4.4.
 * State: that of the memory branch, constant size. */
#include "mixer/lmm.h"

#include <math.h>

enum { PERSISTENT, MEMORY, GAIN = MEMORY + MEMORY_BRANCH_PARAMETERS, WZ, WO };

static const Field lmm_fields[] = {LMM_FIELDS(LmmOptions, memory, persistent), FIELD_END};

MIXER_OPTIONS(LmmOptions);

static const LmmOptions *lmm_options(const Config *c) { return (const void *)c->options; }

static int lmm_settle(Config *c, char *message, size_t size) {
    (void)message, (void)size;
    memory_branch_settle(&((LmmOptions *)(void *)c->options)->memory);
    return 0;
}

static int64_t lmm_prefix(const Config *c) { return lmm_options(c)->persistent; }
static int64_t lmm_gates(const Config *c) { return memory_branch_gates(c, &lmm_options(c)->memory); }

/* At the end of a chunk, counted from the first persistent token. */
static int64_t lmm_split(const Config *c) {
    const LmmOptions *o = lmm_options(c);
    return o->memory.chunk - o->persistent % o->memory.chunk;
}

static void lmm_parameters(ParameterList *list, int layer, const Config *c) {
    const LmmOptions *o = lmm_options(c);
    persistent_parameter(list, layer, o->persistent, c->width);
    memory_branch_parameters(list, layer, "mixer.", c, &o->memory);
    parameter_gain(list, layer, "mixer.gain", c->width);
    parameter_add(list, layer, "mixer.wz", c->width, c->width, 1.0 / sqrt(3.0 * (double)c->width));
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.5 / sqrt((double)c->width));
}

static void lmm_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)layer;
    memory_branch_initialise(c, &lmm_options(c)->memory, parameter + MEMORY);
}

static void lmm_start(const MixerCall *call) {
    const LmmOptions *o = call->options;
    memory_branch_start(call, &o->memory, call->parameter + MEMORY, call->state->slot);
}

static Tensor *lmm_forward(const MixerCall *call, Tensor *x) {
    Tape *tape = call->tape;
    const LmmOptions *o = call->options;
    Tensor *p = call->parameter;
    const MemoryBranch memory = {&o->memory, p + MEMORY, call->state->slot};
    Tensor *u = persistent_prepend(call, p + PERSISTENT, x);
    Tensor *reads = memory_branch(call, &memory, u, persistent_position(call, p + PERSISTENT));
    Tensor *y = persistent_drop(call, reads), *z = op_linear(tape, x, p + WZ);
    return op_linear(tape, op_norm(tape, y, p + GAIN, z, call->config->heads), p + WO);
}

static double lmm_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return memory_branch_flops(c, &lmm_options(c)->memory) + 4.0 * (double)(c->width * c->width);
}

static int64_t lmm_state(const Config *c, int layer, int64_t context) {
    (void)layer, (void)context;
    return memory_branch_state(c, &lmm_options(c)->memory);
}

static double lmm_bytes(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return memory_branch_bytes(c, &lmm_options(c)->memory);
}

const Mixer mixer_lmm = {.name = "lmm",
                         .summary = "neural long-term memory (eqs 8-18)",
                         .label = "LMM",
                         .fields = lmm_fields,
                         .slots = MEMORY_BRANCH_SLOTS,
                         .memory_every = 1,
                         .settle = lmm_settle,
                         .prefix = lmm_prefix,
                         .split = lmm_split,
                         .gates = lmm_gates,
                         .parameters = lmm_parameters,
                         .initialise = lmm_initialise,
                         .start = lmm_start,
                         .forward = lmm_forward,
                         .flops = lmm_flops,
                         .state_floats = lmm_state,
                         .bytes = lmm_bytes};
