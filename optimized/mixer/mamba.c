/* Mamba (Gu and Dao 2023): the selective scan behind a short convolution, gated. State: constant size. */
#include "branch/scan.h"

typedef struct {
    ScanOptions scan;
} MambaOptions;

static const Field mamba_fields[] = {SCAN_FIELDS(MambaOptions, scan), FIELD_END};

MIXER_OPTIONS(MambaOptions);

static const ScanOptions *mamba_options(const Config *c) {
    return &((const MambaOptions *)(const void *)c->options)->scan;
}

static void mamba_parameters(ParameterList *list, int layer, const Config *c) {
    scan_branch_parameters(list, layer, c, mamba_options(c), SCAN_SELECTIVE);
}

static void mamba_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)layer;
    scan_branch_initialise(c, mamba_options(c), SCAN_SELECTIVE, parameter);
}

static void mamba_start(const MixerCall *call) { scan_branch_start(call, mamba_options(call->config)); }

static Tensor *mamba_forward(const MixerCall *call, Tensor *x) {
    return scan_branch(call, mamba_options(call->config), SCAN_SELECTIVE, x);
}

static double mamba_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return scan_branch_flops(c, mamba_options(c), SCAN_SELECTIVE);
}

static int64_t mamba_state(const Config *c, int layer, int64_t context) {
    (void)layer, (void)context;
    return scan_branch_state(c, mamba_options(c));
}

static double mamba_bytes(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return scan_branch_bytes(c, mamba_options(c));
}

const Mixer mixer_mamba = {.name = "mamba",
                           .summary = "selective scan behind a short convolution (Gu and Dao 2023)",
                           .label = "Mamba",
                           .fields = mamba_fields,
                           .headless = 1,
                           .slots = SCAN_BRANCH_SLOTS,
                           .split = scan_branch_split,
                           .parameters = mamba_parameters,
                           .initialise = mamba_initialise,
                           .start = mamba_start,
                           .forward = mamba_forward,
                           .flops = mamba_flops,
                           .state_floats = mamba_state,
                           .bytes = mamba_bytes};
