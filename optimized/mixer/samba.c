/* Samba (Ren et al. 2024): even blocks are Mamba, odd blocks sliding-window attention without persistent tokens, each
 * with its own residual and channel mixer. State: constant size. */
#include "branch/attention.h"
#include "branch/scan.h"
#include "mixer/swa.h"

typedef struct {
    SwaOptions swa; /* first, so that swa.c finds its options; no persistent tokens */
    ScanOptions scan;
} SambaOptions;

static const Field samba_fields[] = {SCAN_FIELDS(SambaOptions, scan), WINDOW_FIELD(SambaOptions, swa.window),
                                     FIELD_END};

MIXER_OPTIONS(SambaOptions);

static const ScanOptions *samba_scan(const Config *c) {
    return &((const SambaOptions *)(const void *)c->options)->scan;
}

static int is_scan(int layer) { return layer % 2 == 0; }

static int samba_settle(Config *c, char *message, size_t size) {
    (void)message, (void)size;
    ((SambaOptions *)(void *)c->options)->swa.persistent = 0;
    return 0;
}

static void samba_parameters(ParameterList *list, int layer, const Config *c) {
    if (is_scan(layer))
        scan_branch_parameters(list, layer, c, samba_scan(c), SCAN_SELECTIVE);
    else
        mixer_swa.parameters(list, layer, c);
}

static void samba_initialise(const Config *c, int layer, Tensor *parameter) {
    if (is_scan(layer)) scan_branch_initialise(c, samba_scan(c), SCAN_SELECTIVE, parameter);
}

static void samba_start(const MixerCall *call) {
    if (is_scan(call->layer))
        scan_branch_start(call, samba_scan(call->config));
    else
        mixer_swa.start(call);
}

static Tensor *samba_forward(const MixerCall *call, Tensor *x) {
    if (is_scan(call->layer)) return scan_branch(call, samba_scan(call->config), SCAN_SELECTIVE, x);
    return mixer_swa.forward(call, x);
}

static double samba_flops(const Config *c, int layer, double context) {
    return is_scan(layer) ? scan_branch_flops(c, samba_scan(c), SCAN_SELECTIVE)
                          : mixer_swa.flops(c, layer, context);
}

static int64_t samba_state(const Config *c, int layer, int64_t context) {
    return is_scan(layer) ? scan_branch_state(c, samba_scan(c)) : mixer_swa.state_floats(c, layer, context);
}

static double samba_bytes(const Config *c, int layer, double context) {
    return is_scan(layer) ? scan_branch_bytes(c, samba_scan(c)) : mixer_swa.bytes(c, layer, context);
}

const Mixer mixer_samba = {.name = "samba",
                           .summary = "blocks of Mamba and of a sliding window in turn (Ren et al. 2024)",
                           .label = "Samba",
                           .fields = samba_fields,
                           .slots = SCAN_BRANCH_SLOTS,
                           .settle = samba_settle,
                           .positions = POSITIONS_SEQUENCE,
                           .parameters = samba_parameters,
                           .initialise = samba_initialise,
                           .start = samba_start,
                           .forward = samba_forward,
                           .flops = samba_flops,
                           .state_floats = samba_state,
                           .bytes = samba_bytes};
