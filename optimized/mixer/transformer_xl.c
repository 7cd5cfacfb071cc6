/* Transformer-XL: attention over a segment and the `memory` rows before it, with relative positions. Segments are
 * counted from the sequence's beginning. The gradient goes into the rows of the `truncate` segments before (0, as
 * published: into none); weights receive it from all rows.
 *
 * State of a stream: keys and values of the memory and of the open segment, constant size; and the rows of the
 * distances, which depend on the weights alone. While recording, keys and values are kept twice: with the gradient of
 * the rows they come from, and without. */
#include "base/portable.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

enum { WQ, WK, WV, WR, U, V_B, WO };
enum { SLOT_K, SLOT_V, SLOT_K_CUT, SLOT_V_CUT, SLOT_DISTANCES, SLOTS };

typedef struct {
    int64_t segment, memory, truncate;
} XlOptions;

static const Field xl_fields[] = {
    INTEGER_FIELD(XlOptions, segment, "segment", 1, 1 << 20, 64, "tokens of a segment"),
    INTEGER_FIELD(XlOptions, memory, "memory", 0, 1 << 20, 64, "rows before the segment that it sees"),
    INTEGER_FIELD(XlOptions, truncate, "truncate", 0, 1 << 20, 0,
                  "segments before its own into whose rows the gradient goes; 0: none, as published"),
    FIELD_END};

MIXER_OPTIONS(XlOptions);

static const XlOptions *xl_options(const Config *c) { return (const void *)c->options; }

static int64_t xl_reach(const Config *c) { return xl_options(c)->memory + xl_options(c)->segment; }
static int64_t xl_split(const Config *c) { return xl_options(c)->segment; }

static void xl_parameters(ParameterList *list, int layer, const Config *c) {
    const double fan_in = 1.0 / sqrt(3.0 * (double)c->width);
    parameter_add(list, layer, "mixer.wq", c->width, c->width, fan_in);
    parameter_add(list, layer, "mixer.wk", c->width, c->width, fan_in);
    parameter_add(list, layer, "mixer.wv", c->width, c->width, fan_in);
    parameter_add(list, layer, "mixer.wr", c->width, c->width, fan_in);
    parameter_add(list, layer, "mixer.u", 1, c->width, 0.02);
    parameter_add(list, layer, "mixer.v_b", 1, c->width, 0.02);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 * fan_in);
}

/* Rows of the distances n - 1 .. 0: all sines, then all cosines of d 10000^(-2j / width). */
static Tensor *xl_waves(Tape *tape, int64_t n, int64_t width) {
    Tensor *waves = arena_take(tape->arena, sizeof *waves);
    *waves = (Tensor){n, width, arena_floats(tape->arena, n * width), 0};
    for (int64_t j = 0; j < width / 2; j++) {
        const double frequency = portable_exp(-2.0 * (double)j / (double)width * 9.210340371976182736);
        for (int64_t t = 0; t < n; t++) {
            double sine, cosine;
            portable_sincos((double)(n - 1 - t) * frequency, &sine, &cosine);
            waves->data[t * width + j] = (float)sine;
            waves->data[t * width + width / 2 + j] = (float)cosine;
        }
    }
    return waves;
}

static void xl_start(const MixerCall *call) {
    const XlOptions *o = call->options;
    const int64_t width = call->config->width, rows = o->memory + o->segment;
    Tensor **slot = call->state->slot;
    slot[SLOT_DISTANCES] = op_linear(call->tape, xl_waves(call->tape, rows, width), call->parameter + WR);
    for (int k = SLOT_K; k <= (call->tape->recording ? SLOT_V_CUT : SLOT_V); k++)
        slot[k] = tape_zeros(call->tape, call->tape->recording ? 0 : call->batch * rows, width);
}

/* A part of a call that lies in one segment: n tokens from `from`, `past` of the segment before them, m rows of memory. */
typedef struct {
    int64_t from, n, past, m;
} XlPiece;

static XlPiece xl_piece(const MixerCall *call, int64_t from) {
    const XlOptions *o = call->options;
    const int64_t position = call->position + from, past = position % o->segment, left = call->tokens - from;
    const int64_t begin = position - past;
    return (XlPiece){from, o->segment - past < left ? o->segment - past : left, past,
                     begin < o->memory ? begin : o->memory};
}

/* ---- keys or values of a piece ---- */

/* Streaming: the new rows go behind those in the slot. */
static void xl_put(const MixerCall *call, Tensor *slot, const Tensor *rows, const XlPiece *p) {
    const int64_t width = rows->cols, capacity = slot->rows / call->batch;
    for (int64_t b = 0; b < call->batch; b++)
        memcpy(slot->data + (b * capacity + p->m + p->past) * width,
               rows->data + (b * call->tokens + p->from) * width, (size_t)(p->n * width) * sizeof(float));
}

/* At a segment's end its last rows become the memory, at the beginning of the slot. */
static void xl_close(const MixerCall *call, Tensor *slot, const XlPiece *p) {
    const XlOptions *o = call->options;
    const int64_t width = slot->cols, capacity = slot->rows / call->batch, all = p->m + p->past + p->n;
    const int64_t kept = all < o->memory ? all : o->memory;
    if (p->past + p->n < o->segment) return;
    for (int64_t b = 0; b < call->batch; b++) {
        float *rows = slot->data + b * capacity * width;
        memmove(rows, rows + (all - kept) * width, (size_t)(kept * width) * sizeof(float));
    }
}

/* Recording: all rows that are there, with and without the gradient of where they come from; row 0 is the token
 * `base`. */
typedef struct {
    Tensor *live, *cut;
    int64_t base;
} XlRows;

static XlRows xl_rows(const MixerCall *call, Tensor *x, int slot, int weight) {
    Tensor **s = call->state->slot, *w = call->parameter + weight;
    Tensor *live = op_linear(call->tape, x, w), *cut = op_linear(call->tape, op_constant(call->tape, x), w);
    return (XlRows){op_concat(call->tape, (Tensor *const[]){s[slot], live}, 2, call->batch),
                    op_concat(call->tape, (Tensor *const[]){s[slot + SLOT_K_CUT], cut}, 2, call->batch),
                    call->position - s[slot]->rows / call->batch};
}

static Tensor *xl_part(const MixerCall *call, Tensor *x, int64_t from, int64_t to) {
    return op_slice(call->tape, x, call->batch, from, to - from);
}

static Tensor *xl_seen(const MixerCall *call, const XlRows *rows, const XlPiece *p) {
    const XlOptions *o = call->options;
    const int64_t here = call->position + p->from - rows->base, begin = here - p->past, low = begin - p->m;
    const int64_t open = begin - o->truncate * o->segment, middle = open > low ? open : low;
    Tensor *const parts[] = {xl_part(call, rows->cut, low, middle),
                             xl_part(call, rows->live, middle, here + p->n)};
    return op_concat(call->tape, parts, 2, call->batch);
}

/* What later calls can see: the open segment and the memory before it. */
static void xl_keep(const MixerCall *call, const XlRows *rows, int slot) {
    const XlOptions *o = call->options;
    const int64_t end = call->position + call->tokens, low = end / o->segment * o->segment - o->memory;
    const int64_t from = low > rows->base ? low - rows->base : 0;
    call->state->slot[slot] = xl_part(call, rows->live, from, end - rows->base);
    call->state->slot[slot + SLOT_K_CUT] = xl_part(call, rows->cut, from, end - rows->base);
}

/* ---- pieces ---- */

static Tensor *xl_attend(const MixerCall *call, const XlPiece *p, const RelativeTensors *in) {
    const Config *c = call->config;
    const RelativeShape shape = {
        call->batch, c->heads, c->width / c->heads, p->n, p->m + p->past + p->n, in->k->rows / call->batch,
        in->r->rows};
    return op_relative_attention(call->tape, &shape, in);
}

/* The queries of a piece, and the distances. */
static RelativeTensors xl_queries(const MixerCall *call, const XlPiece *p, Tensor *content,
                                  Tensor *distance) {
    return (RelativeTensors){.q = xl_part(call, content, p->from, p->from + p->n),
                             .p = xl_part(call, distance, p->from, p->from + p->n),
                             .r = call->state->slot[SLOT_DISTANCES]};
}

static int64_t xl_recorded(const MixerCall *call, Tensor *x, Tensor *content, Tensor *distance,
                           Tensor **part) {
    const XlRows k = xl_rows(call, x, SLOT_K, WK), v = xl_rows(call, x, SLOT_V, WV);
    int64_t count = 0;
    for (int64_t from = 0; from < call->tokens;) {
        const XlPiece p = xl_piece(call, from);
        RelativeTensors in = xl_queries(call, &p, content, distance);
        in.k = xl_seen(call, &k, &p);
        in.v = xl_seen(call, &v, &p);
        part[count++] = xl_attend(call, &p, &in);
        from += p.n;
    }
    xl_keep(call, &k, SLOT_K);
    xl_keep(call, &v, SLOT_V);
    return count;
}

static int64_t xl_streamed(const MixerCall *call, Tensor *x, Tensor *content, Tensor *distance,
                           Tensor **part) {
    Tensor *k = op_linear(call->tape, x, call->parameter + WK),
           *v = op_linear(call->tape, x, call->parameter + WV);
    Tensor **slot = call->state->slot;
    int64_t count = 0;
    for (int64_t from = 0; from < call->tokens;) {
        const XlPiece p = xl_piece(call, from);
        RelativeTensors in = xl_queries(call, &p, content, distance);
        xl_put(call, in.k = slot[SLOT_K], k, &p);
        xl_put(call, in.v = slot[SLOT_V], v, &p);
        part[count++] = xl_attend(call, &p, &in);
        xl_close(call, slot[SLOT_K], &p);
        xl_close(call, slot[SLOT_V], &p);
        from += p.n;
    }
    return count;
}

static Tensor *xl_forward(const MixerCall *call, Tensor *x) {
    Tape *tape = call->tape;
    const int64_t segment = xl_options(call->config)->segment;
    Tensor **part = arena_take(tape->arena, (size_t)(call->tokens / segment + 2) * sizeof(Tensor *));
    Tensor *q = op_linear(tape, x, call->parameter + WQ);
    Tensor *content = op_bias(tape, q, call->parameter + U),
           *distance = op_bias(tape, q, call->parameter + V_B);
    const int64_t pieces = tape->recording ? xl_recorded(call, x, content, distance, part)
                                           : xl_streamed(call, x, content, distance, part);
    return op_linear(tape, op_concat(tape, part, (int)pieces, call->batch), call->parameter + WO);
}

/* ---- what it costs ---- */

/* Keys that a token sees, on average over a segment. */
static double xl_keys(const Config *c) {
    const XlOptions *o = xl_options(c);
    return (double)o->memory + 0.5 * (double)(o->segment + 1);
}

/* Four maps; a key is met twice, by content and by distance, and its value once. */
static double xl_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    const double D = (double)c->width;
    return 8.0 * D * D + 6.0 * D * xl_keys(c);
}

static int64_t xl_state(const Config *c, int layer, int64_t context) {
    (void)layer, (void)context;
    return 3 * xl_reach(c) * c->width;
}

static double xl_bytes(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return 12.0 * (double)c->width * xl_keys(c);
}

const Mixer mixer_transformer_xl = {
    .name = "transformer_xl",
    .summary = "Transformer-XL: segments, memory of the rows before, relative positions",
    .label = "Transformer-XL",
    .fields = xl_fields,
    .slots = SLOTS,
    .reach = xl_reach,
    .split = xl_split,
    .parameters = xl_parameters,
    .start = xl_start,
    .forward = xl_forward,
    .flops = xl_flops,
    .state_floats = xl_state,
    .bytes = xl_bytes};
