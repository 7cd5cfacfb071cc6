/* Longhorn as released (Liu et al. 2024): Mamba's layer around the diagonal of an implicit update, the diagonal of
 * eq 35. State: constant size. */
#include "branch/scan.h"

typedef struct {
    ScanOptions scan;
} LonghornOptions;

static const Field longhorn_fields[] = {SCAN_FIELDS(LonghornOptions, scan), FIELD_END};

MIXER_OPTIONS(LonghornOptions);

static const ScanOptions *longhorn_options(const Config *c) {
    return &((const LonghornOptions *)(const void *)c->options)->scan;
}

static void longhorn_parameters(ParameterList *list, int layer, const Config *c) {
    scan_branch_parameters(list, layer, c, longhorn_options(c), SCAN_LONGHORN);
}

static void longhorn_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)layer;
    scan_branch_initialise(c, longhorn_options(c), SCAN_LONGHORN, parameter);
}

static void longhorn_start(const MixerCall *call) { scan_branch_start(call, longhorn_options(call->config)); }

static Tensor *longhorn_forward(const MixerCall *call, Tensor *x) {
    return scan_branch(call, longhorn_options(call->config), SCAN_LONGHORN, x);
}

static double longhorn_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return scan_branch_flops(c, longhorn_options(c), SCAN_LONGHORN);
}

static int64_t longhorn_state(const Config *c, int layer, int64_t context) {
    (void)layer, (void)context;
    return scan_branch_state(c, longhorn_options(c));
}

static double longhorn_bytes(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return scan_branch_bytes(c, longhorn_options(c));
}

const Mixer mixer_longhorn = {.name = "longhorn",
                              .summary =
                                  "implicit online update, its diagonal, in Mamba's layer (Liu et al. 2024)",
                              .label = "Longhorn",
                              .fields = longhorn_fields,
                              .headless = 1,
                              .slots = SCAN_BRANCH_SLOTS,
                              .split = scan_branch_split,
                              .parameters = longhorn_parameters,
                              .initialise = longhorn_initialise,
                              .start = longhorn_start,
                              .forward = longhorn_forward,
                              .flops = longhorn_flops,
                              .state_floats = longhorn_state,
                              .bytes = longhorn_bytes};
