#pragma once
#include "model/model.h"

/* Persistent memory, eq 19: Np learned rows, the same for every input, before the sequence. One parameter. */
void persistent_parameter(ParameterList *list, int layer, int64_t persistent, int64_t width);

/* Its key: member `m` of a mixer's options S. */
#define PERSISTENT_FIELD(S, m) INTEGER_FIELD(S, m, "persistent", 0, 1 << 16, 0, "persistent tokens (eq 19)")

/* x~ = [p_1 .. p_Np] || x at the beginning of a sequence; later calls go on with x. Np = 0: x. */
Tensor *persistent_prepend(const MixerCall *call, Tensor *persistent, Tensor *x);

/* Rows of x~ before those of this call. */
int64_t persistent_position(const MixerCall *call, const Tensor *persistent);

/* The last call->tokens rows of every sequence. */
Tensor *persistent_drop(const MixerCall *call, Tensor *y);
