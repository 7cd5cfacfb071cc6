/* TTT-MLP: test-time training of a network of two layers with layer norm (branch/ttt.h). State: constant size. */
#include "branch/ttt.h"

enum { LAYERS = 2 };

static const Field ttt_mlp_fields[] = {TTT_FIELDS(TttOptions, 0.1),
                                       INTEGER_FIELD(TttOptions, expansion, "expansion", 1, 16, 4,
                                                     "hidden width of the inner model over head width"),
                                       FIELD_END};

MIXER_OPTIONS(TttOptions);

static const TttOptions *ttt_mlp_options(const Config *c) { return (const void *)c->options; }

static int64_t ttt_mlp_split(const Config *c) { return ttt_mlp_options(c)->mini_batch; }

static void ttt_mlp_parameters(ParameterList *list, int layer, const Config *c) {
    ttt_branch_parameters(list, layer, c, ttt_mlp_options(c), LAYERS);
}

static void ttt_mlp_start(const MixerCall *call) { ttt_branch_start(call, call->options, LAYERS); }

static Tensor *ttt_mlp_forward(const MixerCall *call, Tensor *x) {
    return ttt_branch(call, call->options, LAYERS, x);
}

static double ttt_mlp_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return ttt_branch_flops(c, ttt_mlp_options(c), LAYERS);
}

static int64_t ttt_mlp_state(const Config *c, int layer, int64_t context) {
    (void)layer, (void)context;
    return ttt_branch_state(c, ttt_mlp_options(c), LAYERS);
}

static double ttt_mlp_bytes(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return ttt_branch_bytes(c, ttt_mlp_options(c), LAYERS);
}

const Mixer mixer_ttt_mlp = {.name = "ttt_mlp",
                             .summary = "test-time training of two layers (TTT-MLP)",
                             .label = "TTT-MLP",
                             .fields = ttt_mlp_fields,
                             .slots = TTT_BRANCH_SLOTS,
                             .split = ttt_mlp_split,
                             .parameters = ttt_mlp_parameters,
                             .start = ttt_mlp_start,
                             .forward = ttt_mlp_forward,
                             .flops = ttt_mlp_flops,
                             .state_floats = ttt_mlp_state,
                             .bytes = ttt_mlp_bytes};
