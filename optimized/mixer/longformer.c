/* Longformer (arXiv 2004.05150) in a causal form that is ours: a sliding window, and the first `globals` tokens, which
 * every later row sees. Rows of global tokens see all rows up to themselves, through projections of their own. Rotary
 * positions. State: the last window + ATTENTION_RUN keys and values and those of the global tokens; constant size. */
#include "branch/attention.h"

#include <math.h>

enum { LOCAL, GLOBAL = LOCAL + ATTENTION_BRANCH_PARAMETERS, WO = GLOBAL + ATTENTION_BRANCH_PARAMETERS };
enum { WQ, WK, WV };

/* Keys of local rows; keys of global rows; keys and values of global tokens for local rows, as they arrive. */
enum { SLOT_LOCAL, SLOT_GLOBAL, SLOT_KEYS, SLOT_VALUES, SLOTS };

typedef struct {
    int64_t window, globals;
} LongformerOptions;

static const Field longformer_fields[] = {WINDOW_FIELD(LongformerOptions, window),
                                          INTEGER_FIELD(LongformerOptions, globals, "globals", 0, 1 << 16, 4,
                                                        "first tokens, which every later one sees"),
                                          FIELD_END};

MIXER_OPTIONS(LongformerOptions);

static const LongformerOptions *longformer_options(const Config *c) { return (const void *)c->options; }

/* With global tokens the first one is never out of sight. */
static int64_t longformer_reach(const Config *c) {
    const LongformerOptions *o = longformer_options(c);
    return o->globals ? 0 : o->window;
}

static void longformer_parameters(ParameterList *list, int layer, const Config *c) {
    const double fan_in = 1.0 / sqrt(3.0 * (double)c->width);
    const int64_t rows = longformer_options(c)->globals ? c->width : 0;
    attention_branch_parameters(list, layer, "mixer.", c);
    parameter_add(list, layer, "mixer.wq_global", rows, c->width, fan_in);
    parameter_add(list, layer, "mixer.wk_global", rows, c->width, fan_in);
    parameter_add(list, layer, "mixer.wv_global", rows, c->width, fan_in);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 / sqrt(3.0 * (double)c->width));
}

static AttendShape longformer_local(const MixerCall *call) {
    const LongformerOptions *o = longformer_options(call->config);
    AttendShape shape = attention_branch_shape(call, o->window, o->globals, 0);
    shape.prefix_each = 1;
    return shape;
}

static AttendShape longformer_global(const Config *c, int64_t batch) {
    return attend_plain(batch, c->heads, 0, 0, attend_round(longformer_options(c)->globals),
                        c->width / c->heads);
}

static void longformer_start(const MixerCall *call) {
    const int64_t rows = call->batch * longformer_options(call->config)->globals, width = call->config->width;
    const AttendShape local = longformer_local(call), global = longformer_global(call->config, call->batch);
    Tensor **slot = call->state->slot;
    slot[SLOT_LOCAL] = attention_branch_cache(call, &local);
    slot[SLOT_GLOBAL] = attention_branch_cache(call, &global);
    slot[SLOT_KEYS] = tape_constant(call->tape, rows, width);
    slot[SLOT_VALUES] = tape_constant(call->tape, rows, width);
}

/* The call's first n rows, which are global; they also become keys and values of the rows to come. */
static Tensor *longformer_first(const MixerCall *call, Tensor *x, int64_t n, AttentionInput *prefix) {
    Tape *tape = call->tape;
    Tensor **slot = call->state->slot, *p = call->parameter;
    const int64_t heads = call->config->heads;
    AttendShape shape = longformer_global(call->config, call->batch);
    Tensor *first = op_slice(tape, x, call->batch, 0, n);
    const AttentionInput own = attention_branch_input(call, p + GLOBAL, first, call->angles);
    shape.tokens = n;
    shape.past = call->position;
    Tensor *k = op_rope(tape, op_linear(tape, first, p + LOCAL + WK), call->batch, heads, call->angles);
    Tensor *v = op_linear(tape, first, p + LOCAL + WV);
    prefix->kp = op_collect(tape, slot[SLOT_KEYS], k, call->batch, call->position);
    prefix->vp = op_collect(tape, slot[SLOT_VALUES], v, call->batch, call->position);
    return op_attention(tape, &shape, &own, slot[SLOT_GLOBAL]);
}

/* The rows behind the call's first n, `past` local ones came before the call. */
static Tensor *longformer_rest(const MixerCall *call, Tensor *x, int64_t n, const AttentionInput *prefix) {
    const Config *c = call->config;
    AttendShape shape = longformer_local(call);
    Tensor *rest = op_slice(call->tape, x, call->batch, n, call->tokens - n);
    AttentionInput in =
        attention_branch_input(call, call->parameter + LOCAL, rest, call->angles + n * (c->width / c->heads));
    in.kp = prefix->kp;
    in.vp = prefix->vp;
    shape.tokens = call->tokens - n;
    shape.past = call->position + n - shape.prefix;
    return op_attention(call->tape, &shape, &in, call->state->slot[SLOT_LOCAL]);
}

static Tensor *longformer_forward(const MixerCall *call, Tensor *x) {
    const int64_t left = longformer_options(call->config)->globals - call->position;
    const int64_t n = left < 0 ? 0 : left < call->tokens ? left : call->tokens;
    AttentionInput prefix = {.kp = call->state->slot[SLOT_KEYS], .vp = call->state->slot[SLOT_VALUES]};
    Tensor *part[2];
    int parts = 0;
    if (n > 0) part[parts++] = longformer_first(call, x, n, &prefix);
    if (n < call->tokens) part[parts++] = longformer_rest(call, x, n, &prefix);
    return op_linear(call->tape, op_concat(call->tape, part, parts, call->batch), call->parameter + WO);
}

static double longformer_seen(const Config *c, double context) {
    const LongformerOptions *o = longformer_options(c);
    const double most = (double)o->window + (double)o->globals;
    return context < most ? context : most;
}

static double longformer_flops(const Config *c, int layer, double context) {
    (void)layer;
    return attention_branch_flops(c, longformer_seen(c, context)) + 2.0 * (double)(c->width * c->width);
}

static int64_t longformer_state(const Config *c, int layer, int64_t context) {
    const LongformerOptions *o = longformer_options(c);
    const AttendShape global = longformer_global(c, 1);
    (void)layer;
    return attention_branch_state(c, o->globals, attention_branch_ring(o->window, context)) +
           c->heads * kernel->attend->cache_floats(&global) + 2 * o->globals * c->width;
}

static double longformer_bytes(const Config *c, int layer, double context) {
    (void)layer;
    return attention_branch_bytes(c, longformer_seen(c, context));
}

const Mixer mixer_longformer = {.name = "longformer",
                                .summary = "sliding window and global tokens (Longformer; ours, causal)",
                                .label = "Longformer",
                                .fields = longformer_fields,
                                .slots = SLOTS,
                                .reach = longformer_reach,
                                .positions = POSITIONS_SEQUENCE,
                                .parameters = longformer_parameters,
                                .start = longformer_start,
                                .forward = longformer_forward,
                                .flops = longformer_flops,
                                .state_floats = longformer_state,
                                .bytes = longformer_bytes};
