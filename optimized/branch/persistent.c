#include "branch/persistent.h"

void persistent_parameter(ParameterList *list, int layer, int64_t persistent, int64_t width) {
    parameter_add(list, layer, "mixer.persistent", persistent, width, 1.0)->decay = 0;
}

Tensor *persistent_prepend(const MixerCall *call, Tensor *persistent, Tensor *x) {
    if (call->position || !persistent->rows) return x;
    return op_prepend(call->tape, persistent, x, call->batch);
}

int64_t persistent_position(const MixerCall *call, const Tensor *persistent) {
    return call->position ? call->position + persistent->rows : 0;
}

Tensor *persistent_drop(const MixerCall *call, Tensor *y) {
    return op_slice(call->tape, y, call->batch, y->rows / call->batch - call->tokens, call->tokens);
}
