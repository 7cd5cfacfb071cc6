/* TTT-Linear: test-time training of a linear map with layer norm (branch/ttt.h). State: constant size. */
#include "branch/ttt.h"

enum { LAYERS = 1 };

static const Field ttt_linear_fields[] = {TTT_FIELDS(TttOptions, 1), FIELD_END};

MIXER_OPTIONS(TttOptions);

static const TttOptions *ttt_linear_options(const Config *c) { return (const void *)c->options; }

static int64_t ttt_linear_split(const Config *c) { return ttt_linear_options(c)->mini_batch; }

static void ttt_linear_parameters(ParameterList *list, int layer, const Config *c) {
    ttt_branch_parameters(list, layer, c, ttt_linear_options(c), LAYERS);
}

static void ttt_linear_start(const MixerCall *call) { ttt_branch_start(call, call->options, LAYERS); }

static Tensor *ttt_linear_forward(const MixerCall *call, Tensor *x) {
    return ttt_branch(call, call->options, LAYERS, x);
}

static double ttt_linear_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return ttt_branch_flops(c, ttt_linear_options(c), LAYERS);
}

static int64_t ttt_linear_state(const Config *c, int layer, int64_t context) {
    (void)layer, (void)context;
    return ttt_branch_state(c, ttt_linear_options(c), LAYERS);
}

static double ttt_linear_bytes(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return ttt_branch_bytes(c, ttt_linear_options(c), LAYERS);
}

const Mixer mixer_ttt_linear = {.name = "ttt_linear",
                                .summary = "test-time training of a linear map (TTT-Linear)",
                                .label = "TTT-Linear",
                                .fields = ttt_linear_fields,
                                .slots = TTT_BRANCH_SLOTS,
                                .split = ttt_linear_split,
                                .parameters = ttt_linear_parameters,
                                .start = ttt_linear_start,
                                .forward = ttt_linear_forward,
                                .flops = ttt_linear_flops,
                                .state_floats = ttt_linear_state,
                                .bytes = ttt_linear_bytes};
