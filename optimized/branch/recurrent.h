#pragma once
#include "model/model.h"

/* What the layers around the delta rule share (kernel/delta.h): sizes of heads, short convolutions, unit keys, the rule
 * with its state, the norm and gate of the output. */
typedef struct {
    int64_t key_heads, key_width, value_width, taps;
    double eps;
} RecurrentOptions;

/* Keys of member `m` of a mixer's options S. */
#define HEAD_FIELDS(S, m)                                                                                    \
    INTEGER_FIELD(S, m.key_width, "key_width", 0, 1 << 16, 0, "numbers of a key in one head; 0: D / H"),     \
        INTEGER_FIELD(S, m.value_width, "value_width", 0, 1 << 16, 0,                                        \
                      "numbers of a value in one head; 0: D / H")
#define TAPS_FIELD(S, m, least, initial)                                                                     \
    INTEGER_FIELD(S, m.taps, "taps", least, 64, initial,                                                     \
                  "taps of the short convolutions; 0, where it may be: none")
#define KEY_HEADS_FIELD(S, m, initial, meaning)                                                              \
    INTEGER_FIELD(S, m.key_heads, "key_heads", 0, 1024, initial, meaning)
#define EPS_FIELD(S, m)                                                                                      \
    REAL_FIELD(S, m.eps, "eps", 1e-30, 1, 1e-6, "added to the mean square in the output's norm")

/* Fills in widths that are 0; refuses what cannot be. 0, or -1 with a message. */
int recurrent_settle(const Config *config, RecurrentOptions *o, char *message, size_t size);

/* Numbers of all key heads and of all value heads, side by side. */
static inline int64_t recurrent_keys(const RecurrentOptions *o) { return o->key_heads * o->key_width; }
static inline int64_t recurrent_values(const Config *c, const RecurrentOptions *o) {
    return c->heads * o->value_width;
}

/* A map of the model's rows to `columns`; the filter of a short convolution; a vector that starts at `value`; the map of
 * the values back to rows. Names without "mixer.". */
void recurrent_map(ParameterList *list, int layer, const char *name, int64_t rows, int64_t columns);
void recurrent_filter(ParameterList *list, int layer, const char *name, const RecurrentOptions *o,
                      int64_t columns);
void recurrent_vector(ParameterList *list, int layer, const char *name, int64_t columns, double value);
void recurrent_output_map(ParameterList *list, int layer, const Config *config, int64_t rows);

/* Slots: the state, then tails of convolutions. */
enum { RECURRENT_STATE, RECURRENT_TAIL };
Tensor *recurrent_tail(const MixerCall *call, const RecurrentOptions *o, int64_t columns);
Tensor *recurrent_state(const MixerCall *call, int64_t keys, int64_t values);

/* silu(conv(x W + before) + after); without taps x W alone. before, after: biases or NULL. */
typedef struct {
    Tensor *weight, *before, *filter, *after, **tail;
} RecurrentInput;
Tensor *recurrent_input(const MixerCall *call, const RecurrentOptions *o, Tensor *x,
                        const RecurrentInput *in);

/* Queries, keys and values of a layer: six parameters, W_q W_k W_v and their filters, three tails behind the state of
 * `matrices` K x V matrices per head. unit: q and k are l2-normed, and
 * silu stays where there are no taps. */
enum { RECURRENT_QKV = 6, RECURRENT_QKV_SLOTS = RECURRENT_TAIL + 3 };
typedef struct {
    Tensor *q, *k, *v;
} RecurrentQkv;
void recurrent_qkv_parameters(ParameterList *list, int layer, const Config *config,
                              const RecurrentOptions *o);
void recurrent_qkv_initialise(Tensor *parameter);
void recurrent_qkv_start(const MixerCall *call, const RecurrentOptions *o, int64_t matrices);
RecurrentQkv recurrent_qkv(const MixerCall *call, const RecurrentOptions *o, Tensor *x, int unit);
int64_t recurrent_qkv_floats(const Config *config, const RecurrentOptions *o, int64_t matrices);

/* x / sqrt(sum over the head of x^2 + eps) */
Tensor *recurrent_unit(const MixerCall *call, Tensor *x, int64_t heads, double eps);

/* The rule for the call's tokens; scale 1 or 1 / sqrt(key width). */
Tensor *recurrent_rule(const MixerCall *call, const RecurrentOptions *o, DeltaRemoval removal, double scale,
                       const DeltaTensors *in);

/* The output: (norm(y) gain gate(z)) W_O per head; z NULL: no gate. */
Tensor *recurrent_output(const MixerCall *call, const RecurrentOptions *o, Tensor *y, Tensor *gain, Tensor *z,
                         int sigmoid, Tensor *wo);

/* exp(-exp(a_log) softplus(z)): decays from z (R x n) and a_log (1 x heads). */
Tensor *recurrent_decay(const MixerCall *call, Tensor *z, Tensor *a_log);
Tensor *recurrent_decay_of(const MixerCall *call, Tensor *step, Tensor *a_log); /* step is the softplus */

/* Random starts of the authors: a_log = log of 1 .. 16 over the heads; dt_bias so that softplus gives 1e-3 .. 1e-1. */
void recurrent_start_decay(Tensor *a_log, Tensor *dt_bias);

/* Tokens after which a recorded sequence may be cut: any number. */
int64_t recurrent_split(const Config *config);

/* Useful flop per token: all maps and filters that `parameters` adds, and `rule` flop for every number of a state. */
double recurrent_flops(const Mixer *mixer, const Config *config, const RecurrentOptions *o, double rule);

/* `matrices` states of one sequence, and the tails of `columns` columns. */
int64_t recurrent_floats(const Config *config, const RecurrentOptions *o, int64_t matrices, int64_t columns);
