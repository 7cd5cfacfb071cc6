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
#include <string.h>

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

static int is_literal(const Config *c) { return !strcmp(c->mask, "paper"); }

static void mac_parameters(ParameterList *list, int layer, const Config *c) {
    persistent_parameter(list, layer, c);
    parameter_add(list, layer, "mixer.wr", c->width, c->width, 1.0 / sqrt(3.0 * (double)c->width));
    memory_branch_convolution(list, layer, "mixer.conv_r", c);
    attention_branch_parameters(list, layer, "mixer.attention.", c);
    parameter_gain(list, layer, "mixer.gain_h", c->width);
    memory_branch_parameters(list, layer, "mixer.memory.", c);
    parameter_gain(list, layer, "mixer.gain_y", c->width);
    parameter_gain(list, layer, "mixer.gain_m", c->width);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.5 / sqrt((double)c->width));
}

static void mac_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)layer;
    memory_branch_open_convolution(c, parameter + CONV_R);
    attention_branch_start_at_self(c, parameter + ATTENTION);
    memory_branch_initialise(c, parameter + MEMORY);
}

/* Keys are h_1, S_1, h_2, S_2, .. for the causal mask and h_1 .. h_n, S_1 .. S_n for the literal one. */
static AttendShape mac_shape(const MixerCall *call, int64_t past, int64_t tokens) {
    const Config *c = call->config;
    AttendShape shape =
        attend_plain(call->batch, c->heads, tokens, past, attend_round(2 * c->segment), c->width / c->heads);
    shape.prefix = call->parameter[PERSISTENT].rows;
    shape.stride = is_literal(c) ? 1 : 2;
    shape.lead = is_literal(c) ? tokens : 0;
    return shape;
}

static void mac_start(const MixerCall *call) {
    Tensor **slot = call->state->slot;
    const AttendShape shape = mac_shape(call, 0, 0);
    memory_branch_start(call, call->parameter + MEMORY, slot + SLOT_MEMORY);
    slot[SLOT_BEFORE] = tape_tensor(call->tape, slot[SLOT_MEMORY]->rows, slot[SLOT_MEMORY]->cols);
    slot[SLOT_TAIL] = memory_branch_tail(call);
    slot[SLOT_CACHE] = attention_branch_cache(call, &shape);
}

/* (21): h of the segment's next tokens. */
static Tensor *mac_retrieve(const MixerCall *call, Tensor *S) {
    Tensor *p = call->parameter, **slot = call->state->slot;
    const MemoryShape shape = memory_branch_shape(call, S->rows / call->batch, 0);
    Tensor *r = memory_branch_project(call, p + WR, p + CONV_R, &slot[SLOT_TAIL], S, 1);
    Tensor *h = op_memory_read(call->tape, &shape, r, slot[SLOT_BEFORE]);
    return op_norm(call->tape, h, p + GAIN_H, 0, call->config->heads);
}

/* (22)-(23): y of the segment's next tokens; `past` of it came before. prefix: keys and values of persistent
 * tokens. */
static Tensor *mac_attend(const MixerCall *call, Tensor *h, Tensor *S, int64_t past,
                          const AttentionInput *prefix) {
    Tape *tape = call->tape;
    const Config *c = call->config;
    Tensor *wq = call->parameter + ATTENTION, *wk = wq + 1, *wv = wq + 2;
    const int64_t head_width = c->width / c->heads, tokens = S->rows / call->batch;
    const float *angles_h = call->angles + past * head_width, *angles_s = angles_h + c->segment * head_width;
    const AttendShape shape = mac_shape(call, past, tokens);
    AttentionInput in = *prefix;
    in.q = op_rope(tape, op_linear(tape, S, wq), call->batch, c->heads, angles_s);
    Tensor *kh = op_rope(tape, op_linear(tape, h, wk), call->batch, c->heads, angles_h);
    Tensor *ks = op_rope(tape, op_linear(tape, S, wk), call->batch, c->heads, angles_s);
    Tensor *vh = op_linear(tape, h, wv), *vs = op_linear(tape, S, wv);
    in.k = is_literal(c) ? op_concat(tape, (Tensor *const[]){kh, ks}, 2, call->batch)
                         : op_interleave(tape, kh, ks);
    in.v = is_literal(c) ? op_concat(tape, (Tensor *const[]){vh, vs}, 2, call->batch)
                         : op_interleave(tape, vh, vs);
    Tensor *cache = tape->recording ? attention_branch_cache(call, &shape) : call->state->slot[SLOT_CACHE];
    return op_attention(tape, &shape, &in, cache);
}

/* (24)-(25), up to the output projection. */
static Tensor *mac_remember(const MixerCall *call, Tensor *y, int64_t position) {
    Tape *tape = call->tape;
    Tensor *p = call->parameter, **slot = call->state->slot;
    const int64_t heads = call->config->heads;
    Tensor *m = is_literal(call->config)
                    ? memory_branch_after(call, p + MEMORY, slot + SLOT_MEMORY, y, position)
                    : memory_branch(call, p + MEMORY, slot + SLOT_MEMORY, y, position);
    Tensor *left = op_norm(tape, y, p + GAIN_Y, 0, heads), *right = op_norm(tape, m, p + GAIN_M, 0, heads);
    return op_gate(tape, left, right);
}

static Tensor *mac_forward(const MixerCall *call, Tensor *x) {
    const Config *c = call->config;
    Tape *tape = call->tape;
    Tensor **slot = call->state->slot, *persistent = call->parameter + PERSISTENT;
    const int64_t pieces = (call->position % c->segment + call->tokens + c->segment - 1) / c->segment;
    Tensor **part = arena_take(tape->arena, (size_t)pieces * sizeof(Tensor *));
    AttentionInput prefix = {0};
    CHECK(!is_literal(c) || call->position % c->segment == 0,
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
    const double D = (double)c->width, keys = (double)c->segment + (double)c->persistent;
    int64_t width[5];
    const double weights = (double)config_memory_widths(c, width);
    return attention_branch_flops(c, keys) + 4.0 * D * D + memory_branch_flops(c) + 2.0 * D * D +
           2.0 * D * D + 2.0 * (double)c->heads * weights;
}

const Mixer mixer_mac = {.name = "mac",
                         .summary = "memory as a context of segment attention (eqs 21-25)",
                         .positions = POSITIONS_SEGMENT,
                         .memory_every = 1,
                         .parameters = mac_parameters,
                         .initialise = mac_initialise,
                         .start = mac_start,
                         .forward = mac_forward,
                         .flops = mac_flops};
