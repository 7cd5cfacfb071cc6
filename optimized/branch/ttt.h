#pragma once
#include "model/model.h"

/* Test-time training as a whole layer (Sun et al., arXiv 2407.04620), the authors' form; the inner models have one layer
 * or two (kernel/ttt.h):
 *
 *   q = rope(x W_Q), k = rope(x W_K) with positions that start again in every mini-batch, v = x W_V
 *   rate_t = base_rate sigmoid(x_t w_rate + b_rate) / head width, reader_t = max(0, 1 / p + learn_t[p]), p the place of
 *   t in its mini-batch; y = q + LN(z(q)), a layer norm over all heads, times gelu(x W_Z) if there is a gate, times W_O
 *
 * Parameters: wq wk wv w_rate b_rate learn_t w1 b1 [w2 b2] ln_gain ln_bias gain bias wz wo. State, of constant size: per
 * head the weights at the start of the open mini-batch, and its rows. */
typedef struct {
    int64_t mini_batch, expansion, output_gate;
    double base_rate, eps;
} TttOptions;

/* Keys of TttOptions S; rate: what base_rate is at first. */
#define TTT_FIELDS(S, rate)                                                                                  \
    INTEGER_FIELD(S, mini_batch, "mini_batch", 1, 1024, 16,                                                  \
                  "tokens whose inner gradients are taken at one state"),                                    \
        INTEGER_FIELD(S, output_gate, "output_gate", 0, 1, 0, "1: reads are multiplied by gelu(x W_Z)"),     \
        REAL_FIELD(S, base_rate, "base_rate", 0, 1e3, rate, "largest inner rate, times head width"),         \
        REAL_FIELD(S, eps, "eps", 1e-30, 1e3, 1e-6, "eps of the norms")

enum { TTT_BRANCH_SLOTS = 1 };

void ttt_branch_parameters(ParameterList *list, int layer, const Config *config, const TttOptions *options,
                           int layers);
void ttt_branch_start(const MixerCall *call, const TttOptions *options, int layers);
Tensor *ttt_branch(const MixerCall *call, const TttOptions *options, int layers, Tensor *x);

double ttt_branch_flops(const Config *config, const TttOptions *options, int layers);
int64_t ttt_branch_state(const Config *config, const TttOptions *options, int layers);
double ttt_branch_bytes(const Config *config, const TttOptions *options, int layers);
