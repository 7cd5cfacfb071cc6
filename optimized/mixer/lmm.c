/* LMM: the neural long-term memory alone as the sequence mixer, eqs 8-18 with the layers of section 4.4.
 * State: that of the memory branch, constant size. */
#include "branch/memory.h"
#include "branch/persistent.h"

#include <math.h>

enum { PERSISTENT, MEMORY, GAIN = MEMORY + MEMORY_BRANCH_PARAMETERS, WZ, WO };

static void lmm_parameters(ParameterList *list, int layer, const Config *c) {
    persistent_parameter(list, layer, c);
    memory_branch_parameters(list, layer, "mixer.", c);
    parameter_gain(list, layer, "mixer.gain", c->width);
    parameter_add(list, layer, "mixer.wz", c->width, c->width, 1.0 / sqrt(3.0 * (double)c->width));
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.5 / sqrt((double)c->width));
}

static void lmm_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)layer;
    memory_branch_initialise(c, parameter + MEMORY);
}

static void lmm_start(const MixerCall *call) {
    memory_branch_start(call, call->parameter + MEMORY, call->state->slot);
}

static Tensor *lmm_forward(const MixerCall *call, Tensor *x) {
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    Tensor *u = persistent_prepend(call, p + PERSISTENT, x);
    Tensor *reads =
        memory_branch(call, p + MEMORY, call->state->slot, u, persistent_position(call, p + PERSISTENT));
    Tensor *y = persistent_drop(call, reads), *z = op_linear(tape, x, p + WZ);
    return op_linear(tape, op_norm(tape, y, p + GAIN, z, call->config->heads), p + WO);
}

static double lmm_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return memory_branch_flops(c) + 4.0 * (double)(c->width * c->width);
}

const Mixer mixer_lmm = {.name = "lmm",
                         .summary = "neural long-term memory (eqs 8-18)",
                         .memory_every = 1,
                         .parameters = lmm_parameters,
                         .initialise = lmm_initialise,
                         .start = lmm_start,
                         .forward = lmm_forward,
                         .flops = lmm_flops};
