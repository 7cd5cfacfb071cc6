/* MAC, memory as a context, eqs 21-25. Every segment S of `segment` tokens asks the memory before it, h =
 * M*(q) (21), attends over [persistent || h || S] (22-23), writes the result y into the memory (24) and is
 * gated by what the memory then recalls, o = y (x) M*(y) (25).
 *
 * mask "causal" (the default): token i sees h_j and S_j for j <= i, and reads the memory right after itself
 * (errata E6, E7). mask "paper": all of h, and the memory after the whole segment; the future of a segment
 * then leaks into its past, and a call is taken to end its last segment.
 *
 * State: the memory branch's over y, the memory as the open segment found it, the tail of the retrieval's
 * convolution, keys and values of the open segment; constant size. */
#include "branch/attention.h"
#include "branch/memory.h"
#include "branch/persistent.h"
#include "base/check.h"

#include <math.h>
#include <stdio.h>

enum {
    PERSISTENT,
    WR,
    CONV_R,
    ATTENTION,
    GAIN_H = ATTENTION + ATTENTION_BRANCH_PARAMETERS,
    MEMORY,
    GAIN_Y = MEMORY + MEMORY_BRANCH_PARAMETERS,
    GAIN_M,
    WO
};
enum { SLOT_MEMORY, SLOT_BEFORE = SLOT_MEMORY + MEMORY_BRANCH_SLOTS, SLOT_TAIL, SLOT_CACHE };

typedef struct {
    MemoryOptions memory;
    int64_t persistent, segment, literal;
    double attention_self;
} MacOptions;

static const Field mac_fields[] = {
    MEMORY_FIELDS(MacOptions, memory),
    PERSISTENT_FIELD(MacOptions, persistent),
    INTEGER_FIELD(MacOptions, segment, "segment", 1, 1 << 20, 64,
                  "tokens attended over at a time, a multiple of chunk"),
    CHOICE_FIELD(MacOptions, literal, "mask", "causal paper",
                 "causal (errata E6 E7) or paper (the literal reading, which leaks)"),
    REAL_FIELD(MacOptions, attention_self, "attention_self", 0, 10, 1.5,
               "W_K starts as W_Q, both times this: a token attends to itself; 0: independent"),
    FIELD_END};

MIXER_OPTIONS(MacOptions);

static const MacOptions *mac_options(const Config *c) { return (const void *)c->options; }

static int mac_settle(Config *c, char *message, size_t size) {
    MacOptions *o = (void *)c->options;
    memory_branch_settle(&o->memory);
    if (o->segment % o->memory.chunk == 0) return 0;
    snprintf(message, size, "\"segment\" %ld is not a multiple of \"chunk\" %ld", o->segment,
             o->memory.chunk);
    return -1;
}

static int64_t mac_prefix(const Config *c) { return mac_options(c)->persistent; }
static int64_t mac_segment(const Config *c) { return mac_options(c)->segment; }
static int64_t mac_grain(const Config *c) { return mac_options(c)->literal ? mac_options(c)->segment : 1; }
static int64_t mac_gates(const Config *c) { return memory_branch_gates(c, &mac_options(c)->memory); }

static void mac_parameters(ParameterList *list, int layer, const Config *c) {
    const MacOptions *o = mac_options(c);
    persistent_parameter(list, layer, o->persistent, c->width);
    parameter_add(list, layer, "mixer.wr", c->width, c->width, 1.0 / sqrt(3.0 * (double)c->width));
    memory_branch_convolution(list, layer, "mixer.conv_r", o->memory.taps, c->width);
    attention_branch_parameters(list, layer, "mixer.attention.", c);
    parameter_gain(list, layer, "mixer.gain_h", c->width);
    memory_branch_parameters(list, layer, "mixer.memory.", c, &o->memory);
    parameter_gain(list, layer, "mixer.gain_y", c->width);
    parameter_gain(list, layer, "mixer.gain_m", c->width);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.5 / sqrt((double)c->width));
}

static void mac_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)layer;
    const MacOptions *o = mac_options(c);
    memory_branch_open_convolution(parameter + CONV_R);
    attention_branch_start_at_self(o->attention_self, parameter + ATTENTION);
    memory_branch_initialise(c, &o->memory, parameter + MEMORY);
}

/* Keys are h_1, S_1, h_2, S_2, .. for the causal mask and h_1 .. h_n, S_1 .. S_n for the literal one. */
static AttendShape mac_shape(const MixerCall *call, int64_t past, int64_t tokens) {
    const Config *c = call->config;
    const MacOptions *o = call->options;
    AttendShape shape =
        attend_plain(call->batch, c->heads, tokens, past, attend_round(2 * o->segment), c->width / c->heads);
    shape.prefix = call->parameter[PERSISTENT].rows;
    shape.stride = o->literal ? 1 : 2;
    shape.lead = o->literal ? tokens : 0;
    return shape;
}

static void mac_start(const MixerCall *call) {
    Tensor **slot = call->state->slot;
    const AttendShape shape = mac_shape(call, 0, 0);
    const MemoryOptions *o = &mac_options(call->config)->memory;
    memory_branch_start(call, o, call->parameter + MEMORY, slot + SLOT_MEMORY);
    slot[SLOT_BEFORE] = tape_tensor(call->tape, slot[SLOT_MEMORY]->rows, slot[SLOT_MEMORY]->cols);
    slot[SLOT_TAIL] = memory_branch_tail(call, o->taps);
    slot[SLOT_CACHE] = attention_branch_cache(call, &shape);
}

/* (21): h of the segment's next tokens. */
static Tensor *mac_retrieve(const MixerCall *call, Tensor *S) {
    Tensor *p = call->parameter, **slot = call->state->slot;
    const MemoryOptions *o = &mac_options(call->config)->memory;
    const MemoryShape shape = memory_branch_shape(call, o, S->rows / call->batch, 0);
    Tensor *r = memory_branch_project(call, o->taps, p + WR, p + CONV_R, &slot[SLOT_TAIL], S, 1);
    Tensor *h = op_memory_read(call->tape, &shape, r, slot[SLOT_BEFORE]);
    return op_norm(call->tape, h, p + GAIN_H, 0, call->config->heads);
}

/* (22)-(23): y of the segment's next tokens; `past` of it came before. prefix: keys and values of persistent
 * tokens. */
static Tensor *mac_attend(const MixerCall *call, Tensor *h, Tensor *S, int64_t past,
                          const AttentionInput *prefix) {
    Tape *tape = call->tape;
    const Config *c = call->config;
    const MacOptions *o = call->options;
    Tensor *wq = call->parameter + ATTENTION, *wk = wq + 1, *wv = wq + 2;
    const int64_t head_width = c->width / c->heads, tokens = S->rows / call->batch;
    const float *angles_h = call->angles + past * head_width, *angles_s = angles_h + o->segment * head_width;
    const AttendShape shape = mac_shape(call, past, tokens);
    AttentionInput in = *prefix;
    in.q = op_rope(tape, op_linear(tape, S, wq), call->batch, c->heads, angles_s);
    Tensor *kh = op_rope(tape, op_linear(tape, h, wk), call->batch, c->heads, angles_h);
    Tensor *ks = op_rope(tape, op_linear(tape, S, wk), call->batch, c->heads, angles_s);
    Tensor *vh = op_linear(tape, h, wv), *vs = op_linear(tape, S, wv);
    in.k =
        o->literal ? op_concat(tape, (Tensor *const[]){kh, ks}, 2, call->batch) : op_interleave(tape, kh, ks);
    in.v =
        o->literal ? op_concat(tape, (Tensor *const[]){vh, vs}, 2, call->batch) : op_interleave(tape, vh, vs);
    Tensor *cache = tape->recording ? attention_branch_cache(call, &shape) : call->state->slot[SLOT_CACHE];
    return op_attention(tape, &shape, &in, cache);
}

/* (24)-(25), up to the output projection. */
static Tensor *mac_remember(const MixerCall *call, Tensor *y, int64_t position) {
    Tape *tape = call->tape;
    Tensor *p = call->parameter, **slot = call->state->slot;
    const int64_t heads = call->config->heads;
    const MacOptions *o = call->options;
    const MemoryBranch memory = {&o->memory, p + MEMORY, slot + SLOT_MEMORY};
    Tensor *m = o->literal ? memory_branch_after(call, &memory, y, position)
                           : memory_branch(call, &memory, y, position);
    Tensor *left = op_norm(tape, y, p + GAIN_Y, 0, heads), *right = op_norm(tape, m, p + GAIN_M, 0, heads);
    return op_gate(tape, left, right);
}

static Tensor *mac_forward(const MixerCall *call, Tensor *x) {
    const MacOptions *c = call->options;
    Tape *tape = call->tape;
    Tensor **slot = call->state->slot, *persistent = call->parameter + PERSISTENT;
    const int64_t pieces = (call->position % c->segment + call->tokens + c->segment - 1) / c->segment;
    Tensor **part = arena_take(tape->arena, (size_t)pieces * sizeof(Tensor *));
    AttentionInput prefix = {0};
    CHECK(!c->literal || call->position % c->segment == 0,
          "with mask \"paper\" a call begins at a segment of %ld tokens, not at token %ld", c->segment,
          call->position);
    int64_t from = 0;
    for (int64_t i = 0, n; i < pieces; i++, from += n) {
        const int64_t position = call->position + from, past = position % c->segment;
        n = c->segment - past < call->tokens - from ? c->segment - past : call->tokens - from;
        MixerCall piece = *call;
        piece.from = from;
        if (past == 0) op_carry(tape, &slot[SLOT_BEFORE], slot[SLOT_MEMORY]);
        if (past == 0 && persistent->rows && !prefix.kp)
            attention_branch_prefix(call, call->parameter + ATTENTION, persistent, call->persistent_angles,
                                    &prefix);
        Tensor *S = op_slice(tape, x, call->batch, from, n);
        Tensor *y = mac_attend(&piece, mac_retrieve(&piece, S), S, past, &prefix);
        part[i] = mac_remember(&piece, y, position);
    }
    return op_linear(tape, op_concat(tape, part, (int)pieces, call->batch), call->parameter + WO);
}

static double mac_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    const MacOptions *o = mac_options(c);
    const double D = (double)c->width, keys = (double)o->segment + (double)o->persistent;
    const double weights = (double)memory_branch_weights(c, &o->memory);
    return attention_branch_flops(c, keys) + 4.0 * D * D + memory_branch_flops(c, &o->memory) + 2.0 * D * D +
           2.0 * D * D + 2.0 * (double)c->heads * weights;
}

/* The memory's, the memory before the segment, one more convolution's tail, keys and values of a segment. */
static int64_t mac_state(const Config *c, int layer, int64_t context) {
    const MacOptions *o = mac_options(c);
    (void)layer, (void)context;
    return memory_branch_state(c, &o->memory) + 3 * c->heads * memory_branch_weights(c, &o->memory) +
           (o->memory.taps > 1 ? o->memory.taps - 1 : 0) * c->width +
           attention_branch_state(c, o->persistent, 2 * o->segment);
}

static double mac_bytes(const Config *c, int layer, double context) {
    const MacOptions *o = mac_options(c);
    (void)layer, (void)context;
    return memory_branch_bytes(c, &o->memory) +
           attention_branch_bytes(c, (double)o->segment + (double)o->persistent);
}

const Mixer mixer_mac = {.name = "mac",
                         .summary = "memory as a context of segment attention (eqs 21-25)",
                         .label = "MAC",
                         .fields = mac_fields,
                         .slots = SLOT_CACHE + 1,
                         .settle = mac_settle,
                         .prefix = mac_prefix,
                         .segment = mac_segment,
                         .grain = mac_grain,
                         .split = mac_segment,
                         .gates = mac_gates,
                         .positions = POSITIONS_SEGMENT,
                         .memory_every = 1,
                         .parameters = mac_parameters,
                         .initialise = mac_initialise,
                         .start = mac_start,
                         .forward = mac_forward,
                         .flops = mac_flops,
                         .state_floats = mac_state,
                         .bytes = mac_bytes};
