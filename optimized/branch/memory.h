#pragma once
#include "model/model.h"

/* The memory branch of a mixer, eqs 11-18 with the layers of section 4.4: q = l2(silu(conv(u Wq))), k
 * likewise, v = silu(conv(u Wv)), gates from u, one memory per head; returns the reads, heads side by side.
 *
 * Parameters: Wq Wk Wv conv_q conv_k conv_v W_gates b_gates M0. State, all of constant size: the memory
 * (weights at the start of the open chunk, weights, momentum: 3 P per head), the last taps - 1 inputs of the
 * three convolutions, and for gates per chunk the row of z that the open chunk holds. */
enum { MEMORY_BRANCH_PARAMETERS = 9, MEMORY_BRANCH_SLOTS = 5 };
enum { MEMORY_SLOT_STATE, MEMORY_SLOT_TAIL, MEMORY_SLOT_HELD = MEMORY_SLOT_TAIL + 3 };

void memory_branch_parameters(ParameterList *list, int layer, const char *prefix, const Config *config);
void memory_branch_initialise(const Config *config, Tensor *parameter);
void memory_branch_start(const MixerCall *call, Tensor *parameter, Tensor **slot);

/* u: batch x tokens rows, which the memory sees after `position` others. */
Tensor *memory_branch(const MixerCall *call, Tensor *parameter, Tensor **slot, Tensor *u, int64_t position);

/* The same, but every row reads the memory after the last one (the literal reading of eq 25, erratum E7). */
Tensor *memory_branch_after(const MixerCall *call, Tensor *parameter, Tensor **slot, Tensor *u,
                            int64_t position);

/* One projection of it, for reads on their own: silu(conv(x W)), l2-normalised per head with l2. */
Tensor *memory_branch_project(const MixerCall *call, Tensor *weight, Tensor *convolution, Tensor **tail,
                              Tensor *x, int l2);
void memory_branch_convolution(ParameterList *list, int layer, const char *name, const Config *config);
void memory_branch_open_convolution(const Config *config, Tensor *convolution); /* starts near the identity */
Tensor *memory_branch_tail(const MixerCall *call);                              /* zeros */
MemoryShape memory_branch_shape(const MixerCall *call, int64_t tokens, int64_t position);

/* Multiply-adds times two, per token. */
double memory_branch_flops(const Config *config);
