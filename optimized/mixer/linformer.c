/* Linformer (arXiv 2006.04768) by segments, in a causal form that is ours: when a segment is over, its keys and its
 * values are compressed to `slots` rows; a token sees the slots of all segments before its own, and of its own the rows
 * up to itself. Rotary positions, turned before compression. State: the slots and the open segment: it grows slots /
 * segment times as fast as the keys of full attention. */
#include "branch/attention.h"

#include <math.h>

enum { ATTENTION, COMPRESS_K = ATTENTION + ATTENTION_BRANCH_PARAMETERS, COMPRESS_V, WO };

/* Slots and the open segment's keys and values, for attention; the same keys and values as rows, for compression. */
enum { SLOT_CACHE, SLOT_KEYS, SLOT_VALUES, SLOTS };

typedef struct {
    int64_t segment, slots;
} LinformerOptions;

static const Field linformer_fields[] = {
    INTEGER_FIELD(LinformerOptions, segment, "segment", 1, 1 << 20, 64,
                  "tokens that are compressed together when they are over"),
    INTEGER_FIELD(LinformerOptions, slots, "slots", 1, 1 << 16, 16,
                  "keys and values that a segment is compressed to"),
    FIELD_END};

MIXER_OPTIONS(LinformerOptions);

static const LinformerOptions *linformer_options(const Config *c) { return (const void *)c->options; }

static void linformer_parameters(ParameterList *list, int layer, const Config *c) {
    const LinformerOptions *o = linformer_options(c);
    const double fan_in = 1.0 / sqrt((double)o->segment);
    attention_branch_parameters(list, layer, "mixer.", c);
    parameter_add(list, layer, "mixer.compress_k", o->segment, o->slots, fan_in);
    parameter_add(list, layer, "mixer.compress_v", o->segment, o->slots, fan_in);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 / sqrt(3.0 * (double)c->width));
}

/* Room for the slots of all segments that are over after `context` tokens, and for one segment. */
static AttendShape linformer_shape(const Config *c, int64_t batch, int64_t context) {
    const LinformerOptions *o = linformer_options(c);
    return attend_plain(batch, c->heads, 0, 0, attend_round(context / o->segment * o->slots + o->segment),
                        c->width / c->heads);
}

static void linformer_start(const MixerCall *call) {
    const AttendShape shape = linformer_shape(call->config, call->batch, call->capacity);
    const int64_t rows = call->batch * linformer_options(call->config)->segment;
    Tensor **slot = call->state->slot;
    slot[SLOT_CACHE] = attention_branch_cache(call, &shape);
    slot[SLOT_KEYS] = tape_constant(call->tape, rows, call->config->width);
    slot[SLOT_VALUES] = tape_constant(call->tape, rows, call->config->width);
}

/* The slots of every segment that is over, in turn; of a recorded sequence. */
typedef struct {
    Tensor **k, **v;
    int count;
} LinformerPast;

/* Attention of a segment's next rows, which are tokens `position` .. of the sequence. A streamed call finds the slots in
 * the cache, where the segment's own keys follow them; a recorded one is given both. */
static Tensor *linformer_attend(const MixerCall *call, const AttentionInput *own, int64_t position,
                                const LinformerPast *past) {
    const LinformerOptions *o = linformer_options(call->config);
    const int64_t slots = position / o->segment * o->slots, done = position % o->segment;
    AttendShape shape = linformer_shape(call->config, call->batch, call->capacity);
    AttentionInput in = *own;
    shape.tokens = own->q->rows / call->batch;
    if (!call->tape->recording) {
        shape.past = slots + done;
        return op_attention(call->tape, &shape, &in, call->state->slot[SLOT_CACHE]);
    }
    shape.lead = slots;
    shape.capacity = attend_round(slots + shape.tokens);
    past->k[past->count] = own->k;
    past->v[past->count] = own->v;
    in.k = op_concat(call->tape, past->k, past->count + 1, call->batch);
    in.v = op_concat(call->tape, past->v, past->count + 1, call->batch);
    return op_attention(call->tape, &shape, &in, attention_branch_cache(call, &shape));
}

/* A segment is over: its slots take the place of its keys. */
static void linformer_close(const MixerCall *call, Tensor *k, Tensor *v, int64_t segment,
                            LinformerPast *past) {
    const LinformerOptions *o = linformer_options(call->config);
    Tensor *slot_k = op_compress(call->tape, call->parameter + COMPRESS_K, k, call->batch);
    Tensor *slot_v = op_compress(call->tape, call->parameter + COMPRESS_V, v, call->batch);
    if (call->tape->recording) {
        past->k[past->count] = slot_k;
        past->v[past->count++] = slot_v;
        return;
    }
    AttendShape shape = linformer_shape(call->config, call->batch, call->capacity);
    shape.tokens = shape.count = o->slots;
    shape.past = segment * o->slots;
    kernel->attend->append(&shape, slot_k->data, slot_v->data, call->state->slot[SLOT_CACHE]->data);
}

static Tensor *linformer_forward(const MixerCall *call, Tensor *x) {
    const int64_t C = linformer_options(call->config)->segment;
    Tape *tape = call->tape;
    Tensor **slot = call->state->slot;
    const AttentionInput all = attention_branch_input(call, call->parameter + ATTENTION, x, call->angles);
    const int64_t pieces = (call->position % C + call->tokens + C - 1) / C;
    Tensor **part = arena_take(tape->arena, (size_t)pieces * sizeof(Tensor *));
    LinformerPast past = {arena_take(tape->arena, (size_t)(pieces + 1) * sizeof(Tensor *)),
                          arena_take(tape->arena, (size_t)(pieces + 1) * sizeof(Tensor *)), 0};
    for (int64_t i = 0, from = 0, n; i < pieces; i++, from += n) {
        const int64_t position = call->position + from, done = position % C;
        n = C - done < call->tokens - from ? C - done : call->tokens - from;
        const AttentionInput own = {.q = op_slice(tape, all.q, call->batch, from, n),
                                    .k = op_slice(tape, all.k, call->batch, from, n),
                                    .v = op_slice(tape, all.v, call->batch, from, n)};
        part[i] = linformer_attend(call, &own, position, &past);
        Tensor *k = op_collect(tape, slot[SLOT_KEYS], own.k, call->batch, done);
        Tensor *v = op_collect(tape, slot[SLOT_VALUES], own.v, call->batch, done);
        if (done + n == C) linformer_close(call, k, v, position / C, &past);
    }
    return op_linear(tape, op_concat(tape, part, (int)pieces, call->batch), call->parameter + WO);
}

/* Half of the own segment, and the slots of those before. */
static double linformer_seen(const Config *c, double context) {
    const LinformerOptions *o = linformer_options(c);
    const double C = (double)o->segment;
    return context < C ? context : C / 2.0 + (double)o->slots * context / C;
}

static double linformer_flops(const Config *c, int layer, double context) {
    (void)layer;
    const double D = (double)c->width, compress = 4.0 * D * (double)linformer_options(c)->slots;
    return attention_branch_flops(c, linformer_seen(c, context)) + compress + 2.0 * D * D;
}

static int64_t linformer_state(const Config *c, int layer, int64_t context) {
    const AttendShape shape = linformer_shape(c, 1, attend_round(context));
    (void)layer;
    return c->heads * kernel->attend->cache_floats(&shape) + 2 * linformer_options(c)->segment * c->width;
}

static double linformer_bytes(const Config *c, int layer, double context) {
    (void)layer;
    return attention_branch_bytes(c, linformer_seen(c, context));
}

const Mixer mixer_linformer = {
    .name = "linformer",
    .summary = "attention to compressed segments and the own one (Linformer; ours, causal)",
    .label = "Linformer",
    .fields = linformer_fields,
    .slots = SLOTS,
    .positions = POSITIONS_SEQUENCE,
    .uses_capacity = 1,
    .parameters = linformer_parameters,
    .start = linformer_start,
    .forward = linformer_forward,
    .flops = linformer_flops,
    .state_floats = linformer_state,
    .bytes = linformer_bytes};
