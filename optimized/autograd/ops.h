#pragma once
#include "autograd/tape.h"
#include "dispatch.h"

/* One op = a forward kernel and its backward kernel. Sequences are batch x tokens rows. Shapes are CHECKed.
 */

Tensor *op_linear(Tape *tape, Tensor *x, Tensor *w);  /* x (R x K) w (K x N) -> R x N */
Tensor *op_bias(Tape *tape, Tensor *x, Tensor *bias); /* x + bias (1 x N) on every row */
Tensor *op_gather(Tape *tape, Tensor *table, const int32_t *index, int64_t rows);
Tensor *op_add(Tape *tape, Tensor *a, Tensor *b);
Tensor *op_swiglu(Tape *tape, Tensor *a, Tensor *b);                             /* silu(a) b */
Tensor *op_norm(Tape *tape, Tensor *x, Tensor *gain, Tensor *z, int64_t groups); /* z may be NULL */
Tensor *op_conv(Tape *tape, const ConvShape *shape, Tensor *x, Tensor *weight, Tensor *tail);
Tensor *op_conv_tail(Tape *tape, const ConvShape *shape, Tensor *x, Tensor *tail); /* the next call's tail */
Tensor *op_rope(Tape *tape, Tensor *x, int64_t batch, int64_t heads, const float *angles);

/* keep, theta, eta (R x heads each) from z (R x 3 heads); penalty: weight per gate of the write-sparsity
 * term. */
typedef struct {
    Tensor *keep, *theta, *eta;
} Gates;
Gates op_gates(Tape *tape, Tensor *z, int64_t heads, GateKind kind, float theta_max, float penalty);

/* State of the memory: batch heads x 3 P (see kernel/memory.h); the gradient uses the first 2 P. */
Tensor *op_memory_start(Tape *tape, Tensor *initial, int64_t batch, int64_t weights);
/* Advances *state: in place when not recording, into a new tensor otherwise. surprise may be NULL. */
Tensor *op_memory(Tape *tape, const MemoryShape *shape, Tensor *k, Tensor *v, Tensor *q, Gates gates,
                  Tensor **state, float *surprise);

/* cache: batch heads x cache_floats, written in place at shape->past; recording needs past = 0. */
Tensor *op_attention(Tape *tape, const AttendShape *shape, Tensor *q, Tensor *k, Tensor *v, Tensor *cache);

/* Mean cross-entropy over targets >= 0. When recording, adds `weight` times its gradient to the logits'.
 * best: argmax per row. */
double op_cross_entropy(Tape *tape, Tensor *logits, const int32_t *target, double weight, int32_t *best);
