/* Memory Transformer as a causal mixer: `persistent` learned rows before the sequence, with rotary positions as the
 * tokens. Nothing that comes later may be seen by them, so they are constants of the layer: `rounds` times they read
 * each other, both ways, with the layer's own attention, before the tokens read them. Every mixer has rows of its own.
 * State: the key-value cache, which grows with the sequence. */
#include "branch/attention.h"
#include "branch/persistent.h"

#include <math.h>

enum { PERSISTENT, ATTENTION, WO = ATTENTION + ATTENTION_BRANCH_PARAMETERS };

typedef struct {
    int64_t persistent, rounds;
} MemoryTransformerOptions;

static const Field memory_transformer_fields[] = {
    INTEGER_FIELD(MemoryTransformerOptions, persistent, "persistent", 0, 1 << 16, 4,
                  "memory rows before the sequence"),
    INTEGER_FIELD(MemoryTransformerOptions, rounds, "rounds", 0, 16, 1,
                  "times that memory rows read each other before the tokens read them"),
    FIELD_END};

MIXER_OPTIONS(MemoryTransformerOptions);

static const MemoryTransformerOptions *memory_transformer_options(const Config *c) {
    return (const void *)c->options;
}

static int64_t memory_transformer_prefix(const Config *c) {
    return memory_transformer_options(c)->persistent;
}

static void memory_transformer_parameters(ParameterList *list, int layer, const Config *c) {
    persistent_parameter(list, layer, memory_transformer_options(c)->persistent, c->width);
    attention_branch_parameters(list, layer, "mixer.", c);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 / sqrt(3.0 * (double)c->width));
}

static AttendShape memory_transformer_shape(const MixerCall *call) {
    return attention_branch_shape(call, 0, call->parameter[PERSISTENT].rows, 0);
}

static void memory_transformer_start(const MixerCall *call) {
    const AttendShape shape = memory_transformer_shape(call);
    call->state->slot[0] = attention_branch_cache(call, &shape);
}

/* All rows of p see all: keys that exist before the first query (lead), none with it (stride 0). */
static Tensor *memory_transformer_round(const MixerCall *call, Tensor *p) {
    Tape *tape = call->tape;
    const Config *c = call->config;
    Tensor *wq = call->parameter + ATTENTION, *wk = wq + 1, *wv = wq + 2;
    AttendShape shape = attend_plain(1, c->heads, p->rows, 0, attend_round(p->rows), c->width / c->heads);
    shape.lead = p->rows;
    shape.stride = 0;
    AttentionInput in = {0};
    in.q = op_rope(tape, op_linear(tape, p, wq), 1, c->heads, call->persistent_angles);
    in.k = op_rope(tape, op_linear(tape, p, wk), 1, c->heads, call->persistent_angles);
    in.v = op_linear(tape, p, wv);
    Tensor *y = op_attention(tape, &shape, &in, attention_branch_cache(call, &shape));
    return op_add(tape, p, op_linear(tape, y, call->parameter + WO));
}

static Tensor *memory_transformer_forward(const MixerCall *call, Tensor *x) {
    const int64_t rounds = memory_transformer_options(call->config)->rounds;
    AttentionView view = {memory_transformer_shape(call),
                          call->position,
                          call->angles,
                          call->persistent_angles,
                          call->parameter + PERSISTENT,
                          0};
    for (int64_t i = 0; i < rounds && call->position == 0 && view.persistent->rows; i++)
        view.persistent = memory_transformer_round(call, view.persistent);
    Tensor *y = attention_branch(call, call->parameter + ATTENTION, call->state->slot[0], x, &view);
    return op_linear(call->tape, y, call->parameter + WO);
}

static double memory_transformer_keys(const Config *c, double context) {
    return context + (double)memory_transformer_options(c)->persistent;
}

static double memory_transformer_flops(const Config *c, int layer, double context) {
    (void)layer;
    return attention_branch_flops(c, memory_transformer_keys(c, context)) +
           2.0 * (double)(c->width * c->width);
}

static int64_t memory_transformer_state(const Config *c, int layer, int64_t context) {
    (void)layer;
    return attention_branch_state(c, memory_transformer_options(c)->persistent, context);
}

static double memory_transformer_bytes(const Config *c, int layer, double context) {
    (void)layer;
    return attention_branch_bytes(c, memory_transformer_keys(c, context));
}

const Mixer mixer_memory_transformer = {.name = "memory_transformer",
                                        .summary = "Memory Transformer: causal attention behind learned rows",
                                        .label = "Memory Transformer",
                                        .fields = memory_transformer_fields,
                                        .slots = 1,
                                        .positions = POSITIONS_PREFIXED,
                                        .prefix = memory_transformer_prefix,
                                        .uses_capacity = 1,
                                        .parameters = memory_transformer_parameters,
                                        .start = memory_transformer_start,
                                        .forward = memory_transformer_forward,
                                        .flops = memory_transformer_flops,
                                        .state_floats = memory_transformer_state,
                                        .bytes = memory_transformer_bytes};
