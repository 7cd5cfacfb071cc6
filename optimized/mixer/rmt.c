/* Recurrent Memory Transformer as a mixer: segments of `segment` tokens, counted from the sequence's beginning, each
 * between `memory` rows that bring what was kept and `memory` rows that take it on: causal attention over [read + mem;
 * tokens; write + mem]. What the write rows become, normed, is the memory of the next segment. Every mixer has a memory
 * of its own; the gradient goes through it, and ends before every `truncate`-th segment (0: nowhere).
 *
 * State: the memory; keys and values of the open segment; constant size. The memory advances when a segment is
 * complete. */
#include "branch/attention.h"

#include <math.h>

enum { READ, WRITE, ATTENTION, WO = ATTENTION + ATTENTION_BRANCH_PARAMETERS, GAIN };
enum { SLOT_MEMORY, SLOT_CACHE, SLOTS };

typedef struct {
    int64_t segment, memory, truncate, add_write;
} RmtOptions;

static const Field rmt_fields[] = {
    INTEGER_FIELD(RmtOptions, segment, "segment", 1, 1 << 20, 64, "tokens between two memories"),
    INTEGER_FIELD(RmtOptions, memory, "memory", 0, 1 << 16, 4, "memory rows at both ends of a segment"),
    INTEGER_FIELD(RmtOptions, truncate, "truncate", 0, 1 << 20, 0,
                  "the memory's gradient ends before every so-many-th segment; 0: nowhere"),
    INTEGER_FIELD(RmtOptions, add_write, "add_write", 0, 1, 1,
                  "1: rows that write begin from the memory before, 0: from what is learned alone"),
    FIELD_END};

MIXER_OPTIONS(RmtOptions);

static const RmtOptions *rmt_options(const Config *c) { return (const void *)c->options; }

static int64_t rmt_prefix(const Config *c) { return rmt_options(c)->memory; }
static int64_t rmt_split(const Config *c) { return rmt_options(c)->segment; }

/* Rows behind the first memory that have positions of their own, at most. */
static int64_t rmt_span(const Config *c) { return rmt_options(c)->segment + rmt_options(c)->memory; }

static void rmt_parameters(ParameterList *list, int layer, const Config *c) {
    const RmtOptions *o = rmt_options(c);
    parameter_add(list, layer, "mixer.read", o->memory, c->width, 1.0)->decay = 0;
    parameter_add(list, layer, "mixer.write", o->memory, c->width, 1.0)->decay = 0;
    attention_branch_parameters(list, layer, "mixer.", c);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 / sqrt(3.0 * (double)c->width));
    parameter_gain(list, layer, "mixer.gain", c->width);
}

/* Keys: memory rows (lead), tokens, rows that write. */
static AttendShape rmt_shape(const MixerCall *call, int64_t past, int64_t tokens) {
    const Config *c = call->config;
    const RmtOptions *o = rmt_options(c);
    const int64_t capacity = attend_round(2 * o->memory + o->segment);
    AttendShape shape = attend_plain(call->batch, c->heads, tokens, past, capacity, c->width / c->heads);
    shape.lead = o->memory;
    return shape;
}

static void rmt_start(const MixerCall *call) {
    const AttendShape shape = rmt_shape(call, 0, 0);
    call->state->slot[SLOT_MEMORY] =
        tape_zeros(call->tape, call->batch * rmt_options(call->config)->memory, call->config->width);
    call->state->slot[SLOT_CACHE] = attention_branch_cache(call, &shape);
}

/* The learned rows for every sequence, plus memory unless that is NULL. */
static Tensor *rmt_learned(const MixerCall *call, Tensor *learned, Tensor *memory) {
    Tensor *none = tape_tensor(call->tape, 0, learned->cols);
    Tensor *rows = op_prepend(call->tape, learned, none, call->batch);
    return memory ? op_add(call->tape, rows, memory) : rows;
}

/* Queries (where they are wanted), keys and values of rows, one part after the other. */
enum { MOST_PARTS = 3 };
typedef struct {
    Tensor *q[MOST_PARTS], *k[MOST_PARTS], *v[MOST_PARTS];
    int queries, keys;
} RmtRows;

static void rmt_add(const MixerCall *call, RmtRows *rows, Tensor *x, const float *angles, int queries) {
    Tape *tape = call->tape;
    Tensor *wq = call->parameter + ATTENTION, *wk = wq + 1, *wv = wq + 2;
    const int64_t heads = call->config->heads;
    if (queries) rows->q[rows->queries++] = op_rope(tape, op_linear(tape, x, wq), call->batch, heads, angles);
    rows->k[rows->keys] = op_rope(tape, op_linear(tape, x, wk), call->batch, heads, angles);
    rows->v[rows->keys++] = op_linear(tape, x, wv);
}

static Tensor *rmt_attend(const MixerCall *call, const RmtRows *rows, int64_t past) {
    Tape *tape = call->tape;
    AttentionInput in = {.q = op_concat(tape, rows->q, rows->queries, call->batch),
                         .k = op_concat(tape, rows->k, rows->keys, call->batch),
                         .v = op_concat(tape, rows->v, rows->keys, call->batch)};
    const AttendShape shape = rmt_shape(call, past, in.q->rows / call->batch);
    Tensor *cache = tape->recording ? attention_branch_cache(call, &shape) : call->state->slot[SLOT_CACHE];
    return op_attention(tape, &shape, &in, cache);
}

/* mem = rms_norm(write + y W_O) gain. */
static void rmt_advance(const MixerCall *call, Tensor *write, Tensor *y) {
    Tape *tape = call->tape;
    Tensor *taken = op_add(tape, write, op_linear(tape, y, call->parameter + WO));
    op_carry(tape, &call->state->slot[SLOT_MEMORY], op_norm(tape, taken, call->parameter + GAIN, 0, 1));
}

/* The next tokens S of a segment, `past` of which came before: what they read, before W_O. */
static Tensor *rmt_piece(const MixerCall *call, Tensor *S, int64_t past) {
    const RmtOptions *o = rmt_options(call->config);
    const int64_t n = S->rows / call->batch, head_width = call->config->width / call->config->heads;
    Tensor *p = call->parameter, *memory = call->state->slot[SLOT_MEMORY], *write = 0;
    const int64_t segment = (call->position + call->from) / o->segment;
    RmtRows rows = {.queries = 0};
    if (o->truncate && segment % o->truncate == 0) memory = op_constant(call->tape, memory);
    if (past == 0 && o->memory)
        rmt_add(call, &rows, rmt_learned(call, p + READ, memory), call->persistent_angles, 0);
    rmt_add(call, &rows, S, call->angles + past * head_width, 1);
    if (past + n == o->segment && o->memory) {
        write = rmt_learned(call, p + WRITE, o->add_write ? memory : 0);
        rmt_add(call, &rows, write, call->angles + o->segment * head_width, 1);
    }
    Tensor *y = rmt_attend(call, &rows, past);
    if (write) rmt_advance(call, write, op_slice(call->tape, y, call->batch, n, o->memory));
    return op_slice(call->tape, y, call->batch, 0, n);
}

static Tensor *rmt_forward(const MixerCall *call, Tensor *x) {
    const int64_t segment = rmt_options(call->config)->segment;
    Tensor **part = arena_take(call->tape->arena, (size_t)(call->tokens / segment + 2) * sizeof(Tensor *));
    int count = 0;
    for (int64_t from = 0, n; from < call->tokens; from += n) {
        const int64_t past = (call->position + from) % segment;
        MixerCall piece = *call;
        piece.from = from;
        n = segment - past < call->tokens - from ? segment - past : call->tokens - from;
        part[count++] = rmt_piece(&piece, op_slice(call->tape, x, call->batch, from, n), past);
    }
    return op_linear(call->tape, op_concat(call->tape, part, count, call->batch), call->parameter + WO);
}

/* Keys that a token sees, on average over a segment. */
static double rmt_keys(const Config *c) {
    const RmtOptions *o = rmt_options(c);
    return (double)o->memory + 0.5 * (double)(o->segment + 1);
}

/* A token's, and its share of the memory's rows: keys and values of those that read, all of those that write. */
static double rmt_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    const RmtOptions *o = rmt_options(c);
    const double D = (double)c->width, share = (double)o->memory / (double)o->segment;
    const double keys = (double)(o->memory + o->segment) + 0.5 * (double)o->memory;
    return attention_branch_flops(c, rmt_keys(c)) + 2.0 * D * D +
           share * (attention_branch_flops(c, keys) + 2.0 * D * D + 4.0 * D * D);
}

static int64_t rmt_state(const Config *c, int layer, int64_t context) {
    (void)layer, (void)context;
    const RmtOptions *o = rmt_options(c);
    return o->memory * c->width + attention_branch_state(c, 0, 2 * o->memory + o->segment);
}

static double rmt_bytes(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return attention_branch_bytes(c, rmt_keys(c));
}

const Mixer mixer_rmt = {.name = "rmt",
                         .summary =
                             "Recurrent Memory Transformer: memory rows carried from segment to segment",
                         .label = "RMT",
                         .fields = rmt_fields,
                         .slots = SLOTS,
                         .prefix = rmt_prefix,
                         .segment = rmt_span,
                         .split = rmt_split,
                         .positions = POSITIONS_SEGMENT,
                         .parameters = rmt_parameters,
                         .start = rmt_start,
                         .forward = rmt_forward,
                         .flops = rmt_flops,
                         .state_floats = rmt_state,
                         .bytes = rmt_bytes};
