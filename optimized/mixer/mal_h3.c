/* MAL, eqs 29-31, in one mixer (H3-like): y = M(x~) with LMM's gate and output projection, o = SW-Attn(y); x~
 * = persistent tokens before x. State: that of both branches, constant size. */
#include "branch/attention.h"
#include "branch/memory.h"
#include "branch/persistent.h"

#include <math.h>

enum {
    PERSISTENT,
    MEMORY,
    GAIN = MEMORY + MEMORY_BRANCH_PARAMETERS,
    WZ,
    WM,
    ATTENTION,
    WO = ATTENTION + ATTENTION_BRANCH_PARAMETERS
};
enum { SLOT_MEMORY, SLOT_CACHE = SLOT_MEMORY + MEMORY_BRANCH_SLOTS };

typedef struct {
    MemoryOptions memory;
    int64_t persistent, window;
} MalH3Options;

static const Field mal_h3_fields[] = {MEMORY_FIELDS(MalH3Options, memory),
                                      PERSISTENT_FIELD(MalH3Options, persistent),
                                      WINDOW_FIELD(MalH3Options, window), FIELD_END};

MIXER_OPTIONS(MalH3Options);

static const MalH3Options *mal_h3_options(const Config *c) { return (const void *)c->options; }

static int mal_h3_settle(Config *c, char *message, size_t size) {
    (void)message, (void)size;
    memory_branch_settle(&((MalH3Options *)(void *)c->options)->memory);
    return 0;
}

static int64_t mal_h3_prefix(const Config *c) { return mal_h3_options(c)->persistent; }
static int64_t mal_h3_gates(const Config *c) { return memory_branch_gates(c, &mal_h3_options(c)->memory); }

static void mal_h3_parameters(ParameterList *list, int layer, const Config *c) {
    const MalH3Options *o = mal_h3_options(c);
    persistent_parameter(list, layer, o->persistent, c->width);
    memory_branch_parameters(list, layer, "mixer.memory.", c, &o->memory);
    parameter_gain(list, layer, "mixer.gain", c->width);
    parameter_add(list, layer, "mixer.wz", c->width, c->width, 1.0 / sqrt(3.0 * (double)c->width));
    parameter_add(list, layer, "mixer.wm", c->width, c->width, 1.0 / sqrt((double)c->width));
    attention_branch_parameters(list, layer, "mixer.attention.", c);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.5 / sqrt((double)c->width));
}

static void mal_h3_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)layer;
    memory_branch_initialise(c, &mal_h3_options(c)->memory, parameter + MEMORY);
}

static AttendShape mal_h3_shape(const MixerCall *call) {
    return attention_branch_shape(call, mal_h3_options(call->config)->window, 0,
                                  call->parameter[PERSISTENT].rows);
}

static void mal_h3_start(const MixerCall *call) {
    const AttendShape shape = mal_h3_shape(call);
    memory_branch_start(call, &mal_h3_options(call->config)->memory, call->parameter + MEMORY,
                        call->state->slot + SLOT_MEMORY);
    call->state->slot[SLOT_CACHE] = attention_branch_cache(call, &shape);
}

static Tensor *mal_h3_forward(const MixerCall *call, Tensor *x) {
    Tape *tape = call->tape;
    Tensor *p = call->parameter, **slot = call->state->slot;
    const int64_t position = persistent_position(call, p + PERSISTENT);
    const float *angles = position ? call->angles : call->persistent_angles;
    Tensor *u = persistent_prepend(call, p + PERSISTENT, x);
    const MemoryBranch memory = {&mal_h3_options(call->config)->memory, p + MEMORY, slot + SLOT_MEMORY};
    Tensor *m = memory_branch(call, &memory, u, position), *z = op_linear(tape, u, p + WZ);
    Tensor *y = op_linear(tape, op_norm(tape, m, p + GAIN, z, call->config->heads), p + WM);
    const AttentionView view = {mal_h3_shape(call), position, angles, 0, 0, 0};
    Tensor *o = attention_branch(call, p + ATTENTION, slot[SLOT_CACHE], y, &view);
    return op_linear(tape, persistent_drop(call, o), p + WO);
}

static double mal_h3_flops(const Config *c, int layer, double context) {
    (void)layer;
    const MalH3Options *o = mal_h3_options(c);
    return memory_branch_flops(c, &o->memory) +
           attention_branch_flops(c, attention_branch_seen(o->window, context)) +
           6.0 * (double)(c->width * c->width);
}

static int64_t mal_h3_state(const Config *c, int layer, int64_t context) {
    const MalH3Options *o = mal_h3_options(c);
    (void)layer;
    return memory_branch_state(c, &o->memory) +
           attention_branch_state(c, 0, attention_branch_ring(o->window, context));
}

static double mal_h3_bytes(const Config *c, int layer, double context) {
    const MalH3Options *o = mal_h3_options(c);
    (void)layer;
    return memory_branch_bytes(c, &o->memory) +
           attention_branch_bytes(c, attention_branch_seen(o->window, context));
}

const Mixer mixer_mal_h3 = {.name = "mal_h3",
                            .summary =
                                "memory, then sliding-window attention, in one mixer (eqs 29-31, H3-like)",
                            .label = "MAL, one mixer",
                            .fields = mal_h3_fields,
                            .slots = SLOT_CACHE + 1,
                            .settle = mal_h3_settle,
                            .prefix = mal_h3_prefix,
                            .gates = mal_h3_gates,
                            .positions = POSITIONS_PREFIXED,
                            .memory_every = 1,
                            .parameters = mal_h3_parameters,
                            .initialise = mal_h3_initialise,
                            .start = mal_h3_start,
                            .forward = mal_h3_forward,
                            .flops = mal_h3_flops,
                            .state_floats = mal_h3_state,
                            .bytes = mal_h3_bytes};
