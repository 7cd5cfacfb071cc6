/* MAL, memory as a layer, eqs 29-31, as a Samba-like stack: even blocks are LMM over [persistent || x], odd
 * blocks sliding-window attention over their input, each with its own residual and channel mixer. State:
 * constant size. */
#include "branch/attention.h"
#include "mixer/lmm.h"

#include <math.h>

enum { ATTENTION, WO = ATTENTION + ATTENTION_BRANCH_PARAMETERS };

typedef struct {
    LmmOptions lmm; /* first, so that lmm.c finds its options */
    int64_t window;
} MalOptions;

static const Field mal_fields[] = {LMM_FIELDS(MalOptions, lmm.memory, lmm.persistent),
                                   WINDOW_FIELD(MalOptions, window), FIELD_END};

MIXER_OPTIONS(MalOptions);

static const MalOptions *mal_options(const Config *c) { return (const void *)c->options; }

static int is_memory(int layer) { return layer % 2 == 0; }

static int mal_settle(Config *c, char *message, size_t size) { return mixer_lmm.settle(c, message, size); }
static int64_t mal_prefix(const Config *c) { return mixer_lmm.prefix(c); }
static int64_t mal_gates(const Config *c) { return mixer_lmm.gates(c); }

static void mal_parameters(ParameterList *list, int layer, const Config *c) {
    if (is_memory(layer)) {
        mixer_lmm.parameters(list, layer, c);
        return;
    }
    attention_branch_parameters(list, layer, "mixer.", c);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 / sqrt(3.0 * (double)c->width));
}

static void mal_initialise(const Config *c, int layer, Tensor *parameter) {
    if (is_memory(layer)) mixer_lmm.initialise(c, layer, parameter);
}

static AttendShape mal_shape(const MixerCall *call) {
    return attention_branch_shape(call, mal_options(call->config)->window, 0, 0);
}

static void mal_start(const MixerCall *call) {
    const AttendShape shape = mal_shape(call);
    if (is_memory(call->layer))
        mixer_lmm.start(call);
    else
        call->state->slot[0] = attention_branch_cache(call, &shape);
}

static Tensor *mal_forward(const MixerCall *call, Tensor *x) {
    if (is_memory(call->layer)) return mixer_lmm.forward(call, x);
    const AttentionView view = {mal_shape(call), call->position, call->angles, 0, 0, 0};
    Tensor *y = attention_branch(call, call->parameter + ATTENTION, call->state->slot[0], x, &view);
    return op_linear(call->tape, y, call->parameter + WO);
}

static double mal_flops(const Config *c, int layer, double context) {
    if (is_memory(layer)) return mixer_lmm.flops(c, layer, context);
    return attention_branch_flops(c, attention_branch_seen(mal_options(c)->window, context)) +
           2.0 * (double)(c->width * c->width);
}

static int64_t mal_state(const Config *c, int layer, int64_t context) {
    if (is_memory(layer)) return mixer_lmm.state_floats(c, layer, context);
    return attention_branch_state(c, 0, attention_branch_ring(mal_options(c)->window, context));
}

static double mal_bytes(const Config *c, int layer, double context) {
    if (is_memory(layer)) return mixer_lmm.bytes(c, layer, context);
    return attention_branch_bytes(c, attention_branch_seen(mal_options(c)->window, context));
}

const Mixer mixer_mal = {.name = "mal",
                         .summary = "memory blocks and sliding-window blocks in turn (eqs 29-31, Samba-like)",
                         .label = "MAL",
                         .fields = mal_fields,
                         .slots = MEMORY_BRANCH_SLOTS,
                         .settle = mal_settle,
                         .prefix = mal_prefix,
                         .gates = mal_gates,
                         .positions = POSITIONS_SEQUENCE,
                         .memory_every = 2,
                         .parameters = mal_parameters,
                         .initialise = mal_initialise,
                         .start = mal_start,
                         .forward = mal_forward,
                         .flops = mal_flops,
                         .state_floats = mal_state,
                         .bytes = mal_bytes};
