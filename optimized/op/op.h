#pragma once
#include "op/tape.h"
#include "base/dispatch.h"

/* One op = a forward kernel and its backward kernel. Sequences are batch x tokens rows. Shapes are CHECKed.
 */

/* x (R x K) w (K x N) -> R x N, forward and backward in the tape's precision; in float32 whatever that is: of gates, decays,
 * rates and steps. */
Tensor *op_linear(Tape *tape, Tensor *x, Tensor *w);
Tensor *op_linear_float32(Tape *tape, Tensor *x, Tensor *w);
Tensor *op_bias(Tape *tape, Tensor *x, Tensor *bias); /* x + bias (1 x N) on every row */
Tensor *op_gather(Tape *tape, Tensor *table, const int32_t *index, int64_t rows);
Tensor *op_add(Tape *tape, Tensor *a, Tensor *b);
Tensor *op_swiglu(Tape *tape, Tensor *a, Tensor *b); /* silu(a) b */
/* Number by number (kernel/map.h). op_mul: b has x's shape, or fewer columns that divide x's and one row: then it is
 * repeated. */
Tensor *op_map(Tape *tape, Tensor *x, MapKind kind);
Tensor *op_mul(Tape *tape, Tensor *x, Tensor *b);
Tensor *op_scale(Tape *tape, Tensor *x, float factor);
Tensor *op_limit(Tape *tape, Tensor *x, float least, float most);       /* within both; no gradient outside */
Tensor *op_columns(Tape *tape, Tensor *x, int64_t from, int64_t count); /* those columns */
/* Every head of x times (or over) its number in d, R x heads, or 1 x heads for all rows; the sum of every head. */
Tensor *op_heads(Tape *tape, Tensor *x, Tensor *d, int divide);
Tensor *op_head_sum(Tape *tape, Tensor *x, int64_t heads);
/* y[i] = x + (z - x) w[i], w[i] a row, of all `count` (at most OP_LERPS) at once. */
enum { OP_LERPS = 8 };
void op_lerp(Tape *tape, Tensor *x, Tensor *z, int count, Tensor *const *w, Tensor **y);
Tensor *op_gate(Tape *tape, Tensor *a, Tensor *b);                               /* a sigma(b) */
Tensor *op_norm(Tape *tape, Tensor *x, Tensor *gain, Tensor *z, int64_t groups); /* z may be NULL */
Tensor *op_norm_of(Tape *tape, const NormShape *shape, Tensor *x, Tensor *gain, Tensor *z);
/* bias and tail may be NULL. */
Tensor *op_conv(Tape *tape, const ConvShape *shape, Tensor *x, Tensor *weight, Tensor *bias, Tensor *tail);
Tensor *op_conv_tail(Tape *tape, const ConvShape *shape, Tensor *x, Tensor *tail); /* the next call's tail */
/* What op_rope reads: pair i of a head of `width` turns by position * 10000^(-2 i / width), rows from `position` on. Scaled:
 * stretched `factor` times beyond a training on `trained` tokens (reference/position.c); of factor 1 the same bits. */
typedef enum { ROPE_PLAIN, ROPE_NTK, ROPE_YARN } RopeStretch;
typedef struct {
    RopeStretch kind;
    double factor, trained;
} RopeScaling;
void rope_angles(int64_t width, const RopeScaling *scaling, int64_t position, int64_t rows, float *angles);
Tensor *op_rope(Tape *tape, Tensor *x, int64_t batch, int64_t heads, const float *angles);

/* keep, theta, eta from z (see kernel/gates.h); penalty: weight per gate of the write-sparsity term. */
typedef struct {
    Tensor *keep, *theta, *eta;
} Gates;
Gates op_gates(Tape *tape, const GateShape *shape, Tensor *z, float penalty);

/* State of the memory: batch heads x 3 P (see kernel/memory.h); the gradient uses the first 2 P. */
Tensor *op_memory_start(Tape *tape, Tensor *initial, int64_t batch, int64_t weights);
/* Advances *state: in place when not recording, into a new tensor otherwise. surprise may be NULL. */
Tensor *op_memory(Tape *tape, const MemoryShape *shape, Tensor *k, Tensor *v, Tensor *q, Gates gates,
                  Tensor **state, float *surprise);

/* y = M(q) at the weights of a state, which stays as it is. */
Tensor *op_memory_read(Tape *tape, const MemoryShape *shape, Tensor *q, Tensor *state);

/* Test-time training (kernel/ttt.h). State: batch heads x ttt_state(shape), started from the parts W[1] b[1] .. of all
 * heads, one tensor each; the gradient uses the first P of every batch heads. */
Tensor *op_ttt_start(Tape *tape, const TttShape *shape, Tensor *part);
typedef struct {
    Tensor *reader, *rate; /* rows x heads */
} TttRates;
TttRates op_ttt_rates(Tape *tape, const TttShape *shape, float base, Tensor *learn, Tensor *z);
typedef struct {
    Tensor *k, *v, *q;
    TttRates rates;
    Tensor *gain, *bias; /* 1 x heads width */
} TttTokens;
/* Advances *state: in place when not recording, into a new tensor otherwise. */
Tensor *op_ttt(Tape *tape, const TttShape *shape, const TttTokens *x, Tensor **state);

/* A scan (see kernel/scan.h): u, step (batch tokens x channels), a (states x channels; NULL in Longhorn), skip
 * (1 x channels); b and c are columns of `selected`, from b_column and c_column on. Advances *state (batch states x
 * channels): in place when not recording, into a new tensor otherwise. The shape's stride is the op's business. */
typedef struct {
    Tensor *u, *step, *a, *selected, *skip;
    int64_t b_column, c_column;
} ScanTensors;
Tensor *op_scan(Tape *tape, const ScanShape *shape, const ScanTensors *in, Tensor **state);

/* kp, vp: keys and values of the prefix (prefix x heads width, or one for every sequence if shape->prefix_each), NULL
 * without; read when shape->past is 0. */
typedef struct {
    Tensor *q, *k, *v, *kp, *vp;
} AttentionInput;

/* cache: batch heads x cache_floats, written in place; recording needs past = 0 and room for all keys.
 * shape->first and count are the op's business. */
Tensor *op_attention(Tape *tape, const AttendShape *shape, const AttentionInput *in, Tensor *cache);

/* Tensors of the general delta rule (kernel/delta.h), rows of all tokens; those that the shape does not have are NULL. */
typedef struct {
    Tensor *q, *k, *v, *decay, *rate, *a, *b;
} DeltaTensors;

/* Advances *state (batch heads x keys values) as op_memory does. */
Tensor *op_delta(Tape *tape, const DeltaShape *shape, const DeltaTensors *in, Tensor **state);

/* Of the rule with momentum (kernel/momentum.h); keep, carry, rate, step: R x heads. *state: batch heads x 2 keys values. */
typedef struct {
    Tensor *q, *k, *p, *v, *keep, *carry, *rate, *step;
} MomentumTensors;
Tensor *op_momentum(Tape *tape, const DeltaShape *shape, const MomentumTensors *in, Tensor **state);
/* Attention of one segment with relative positions (see kernel/relative.h): q as it meets keys, p as it meets distances,
 * r the rows of the distances; k and v need key_rows = keys when recording. */
typedef struct {
    Tensor *q, *p, *k, *v, *r;
} RelativeTensors;
Tensor *op_relative_attention(Tape *tape, const RelativeShape *shape, const RelativeTensors *in);

/* The numbers of x without its gradient, for op_linear, op_add and the row copies. */
Tensor *op_constant(Tape *tape, Tensor *x);

/* Running attention over random features (kernel/favor.h): projection features x width, state batch heads x state_floats,
 * advanced in place; recording needs past = 0. */
Tensor *op_favor(Tape *tape, const FavorShape *shape, Tensor *q, Tensor *k, Tensor *v,
                 const float *projection, Tensor *state);

/* Attention among tokens of one hash (kernel/lsh.h): state batch heads x state_floats, advanced in place; recording needs
 * past = 0. */
Tensor *op_lsh(Tape *tape, const LshShape *shape, Tensor *x, Tensor *v, const float *rotations,
               Tensor *state);
/* Blocks that a query sees (docs/equations.md, block_attention): its own, the one before, the first, and `random` others
 * that depend on (seed, head, block) alone. */
typedef struct {
    int64_t block, random, seed;
} BlockPattern;

enum { BLOCK_RANDOM_MOST = 1 << 12 };

/* Those of block i, ascending: at most random + 3. Returns how many. */
int64_t block_draw(const BlockPattern *pattern, int64_t head, int64_t i, int64_t *list);

/* Without tokens, past and lists. */
BlocksShape block_shape(const BlockPattern *pattern, int64_t batch, int64_t heads, int64_t capacity,
                        int64_t width);

/* The lists of every head and block that the call of shape->tokens touches, and how long they are. */
void block_lists(Arena *arena, BlocksShape *shape, const BlockPattern *pattern);

/* The lists of shape are the op's business. cache: batch heads x cache_floats, written in place; recording needs past =
 * 0. */
Tensor *op_block_attention(Tape *tape, const BlocksShape *shape, const BlockPattern *pattern,
                           const AttentionInput *in, Tensor *cache);

/* Rows of every sequence that arrive call by call: x (batch x n rows) are rows from .. from + n - 1 of slot (batch x all).
 * Returns slot; when recording, where they come in one call, x itself. */
Tensor *op_collect(Tape *tape, Tensor *slot, Tensor *x, int64_t batch, int64_t from);

/* y_j = sum_c weight[c][j] x_c: weight (C x k), x (batch C x D) -> batch k x D. */
Tensor *op_compress(Tape *tape, Tensor *weight, Tensor *x, int64_t batch);

/* Row copies (ops_rows.c). Sequences are batch x tokens rows. */
Tensor *op_slice(Tape *tape, Tensor *x, int64_t batch, int64_t from, int64_t count); /* of every sequence */
Tensor *op_prepend(Tape *tape, Tensor *shared, Tensor *x,
                   int64_t batch); /* the same rows before every sequence */
Tensor *op_concat(Tape *tape, Tensor *const *part, int parts,
                  int64_t batch);                        /* of every sequence: parts in turn */
Tensor *op_interleave(Tape *tape, Tensor *a, Tensor *b); /* a_1, b_1, a_2, b_2, .. */
/* Row t of every sequence becomes the row at which its chunk began; *held (batch rows) is that of a chunk
 * begun `position` tokens before this call, and afterwards of the open one. */
Tensor *op_hold(Tape *tape, Tensor *z, int64_t batch, int64_t chunk, int64_t position, Tensor **held);
/* Row t of every sequence becomes row t - 1; *held (batch rows) is the one before the call, afterwards its last. */
Tensor *op_previous(Tape *tape, Tensor *x, int64_t batch, Tensor **held);
/* *slot becomes `next`: the tensor itself when recording, a copy of its numbers into *slot otherwise. */
void op_carry(Tape *tape, Tensor **slot, Tensor *next);

/* Mean cross-entropy over targets >= 0. When recording, adds `weight` times its gradient to the logits'.
 * best: argmax per row. */
double op_cross_entropy(Tape *tape, Tensor *logits, const int32_t *target, double weight, int32_t *best);

/* Mean squared error of the rows with target >= 0 against `values` (rows x cols of the outputs). When recording, adds
 * `weight` times its gradient. */
double op_squared_error(Tape *tape, Tensor *outputs, const int32_t *target, const float *values,
                        double weight);
