/* MAG, memory as a gate, eqs 26-28: y = SW-Attn*(x~), o = y (x) M(x~), x~ = persistent tokens before x; the
 * gate (E13) is rms(y) gain_y sigma(rms(m) gain_m), per head. State: that of both branches, constant size. */
#include "branch/attention.h"
#include "branch/memory.h"
#include "branch/persistent.h"

#include <math.h>

enum {
    PERSISTENT,
    ATTENTION,
    MEMORY = ATTENTION + ATTENTION_BRANCH_PARAMETERS,
    GAIN_Y = MEMORY + MEMORY_BRANCH_PARAMETERS,
    GAIN_M,
    WO
};
enum { SLOT_MEMORY, SLOT_CACHE = SLOT_MEMORY + MEMORY_BRANCH_SLOTS };

typedef struct {
    MemoryOptions memory;
    int64_t persistent, window;
} MagOptions;

static const Field mag_fields[] = {MEMORY_FIELDS(MagOptions, memory),
                                   PERSISTENT_FIELD(MagOptions, persistent), WINDOW_FIELD(MagOptions, window),
                                   FIELD_END};

MIXER_OPTIONS(MagOptions);

static const MagOptions *mag_options(const Config *c) { return (const void *)c->options; }

static int mag_settle(Config *c, char *message, size_t size) {
    (void)message, (void)size;
    memory_branch_settle(&((MagOptions *)(void *)c->options)->memory);
    return 0;
}

static int64_t mag_prefix(const Config *c) { return mag_options(c)->persistent; }
static int64_t mag_gates(const Config *c) { return memory_branch_gates(c, &mag_options(c)->memory); }

static void mag_parameters(ParameterList *list, int layer, const Config *c) {
    const MagOptions *o = mag_options(c);
    persistent_parameter(list, layer, o->persistent, c->width);
    attention_branch_parameters(list, layer, "mixer.attention.", c);
    memory_branch_parameters(list, layer, "mixer.memory.", c, &o->memory);
    parameter_gain(list, layer, "mixer.gain_y", c->width);
    parameter_gain(list, layer, "mixer.gain_m", c->width);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.5 / sqrt((double)c->width));
}

static void mag_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)layer;
    memory_branch_initialise(c, &mag_options(c)->memory, parameter + MEMORY);
}

static AttendShape mag_shape(const MixerCall *call) {
    return attention_branch_shape(call, mag_options(call->config)->window, call->parameter[PERSISTENT].rows,
                                  0);
}

static void mag_start(const MixerCall *call) {
    const AttendShape shape = mag_shape(call);
    memory_branch_start(call, &mag_options(call->config)->memory, call->parameter + MEMORY,
                        call->state->slot + SLOT_MEMORY);
    call->state->slot[SLOT_CACHE] = attention_branch_cache(call, &shape);
}

static Tensor *mag_forward(const MixerCall *call, Tensor *x) {
    Tape *tape = call->tape;
    Tensor *p = call->parameter, **slot = call->state->slot;
    const int64_t heads = call->config->heads;
    const AttentionView view = {mag_shape(call),         call->position, call->angles,
                                call->persistent_angles, p + PERSISTENT, 0};
    Tensor *y = attention_branch(call, p + ATTENTION, slot[SLOT_CACHE], x, &view);
    Tensor *u = persistent_prepend(call, p + PERSISTENT, x);
    const MemoryBranch memory = {&mag_options(call->config)->memory, p + MEMORY, slot + SLOT_MEMORY};
    Tensor *m = memory_branch(call, &memory, u, persistent_position(call, p + PERSISTENT));
    Tensor *left = op_norm(tape, y, p + GAIN_Y, 0, heads);
    Tensor *right = op_norm(tape, persistent_drop(call, m), p + GAIN_M, 0, heads);
    return op_linear(tape, op_gate(tape, left, right), p + WO);
}

static double mag_flops(const Config *c, int layer, double context) {
    (void)layer;
    const MagOptions *o = mag_options(c);
    return attention_branch_flops(c, attention_branch_seen(o->window, context) + (double)o->persistent) +
           memory_branch_flops(c, &o->memory) + 2.0 * (double)(c->width * c->width);
}

static int64_t mag_state(const Config *c, int layer, int64_t context) {
    const MagOptions *o = mag_options(c);
    (void)layer;
    return memory_branch_state(c, &o->memory) +
           attention_branch_state(c, o->persistent, attention_branch_ring(o->window, context));
}

static double mag_bytes(const Config *c, int layer, double context) {
    const MagOptions *o = mag_options(c);
    (void)layer;
    return memory_branch_bytes(c, &o->memory) +
           attention_branch_bytes(c, attention_branch_seen(o->window, context) + (double)o->persistent);
}

const Mixer mixer_mag = {.name = "mag",
                         .summary = "memory as a gate beside sliding-window attention (eqs 26-28)",
                         .label = "MAG",
                         .fields = mag_fields,
                         .slots = SLOT_CACHE + 1,
                         .settle = mag_settle,
                         .prefix = mag_prefix,
                         .gates = mag_gates,
                         .positions = POSITIONS_PREFIXED,
                         .memory_every = 1,
                         .parameters = mag_parameters,
                         .initialise = mag_initialise,
                         .start = mag_start,
                         .forward = mag_forward,
                         .flops = mag_flops,
                         .state_floats = mag_state,
                         .bytes = mag_bytes};
