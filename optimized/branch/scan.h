#pragma once
#include "model/model.h"

/* The layer of Mamba and of Longhorn: u = silu(conv(x Wx) + b_conv), [r | b | c] = u W_select, y = scan of u (step
 * softplus(r W_dt + b_dt) and a = -exp(a_log), or Longhorn's), o = (silu(x Wz) y) Wo.
 *
 * Parameters: Wx Wz conv b_conv W_select W_dt b_dt [a_log] skip Wo; a_log is Mamba's. State, of constant size: the scan's
 * (states x channels) and the last taps - 1 rows of x Wx. */
typedef struct {
    int64_t states, inner, rank, taps;
} ScanOptions;

/* The keys of ScanOptions, member `m` of a mixer's options S. */
#define SCAN_FIELDS(S, m)                                                                                    \
    INTEGER_FIELD(S, m.states, "state", 1, SCAN_STATES, 16, "numbers of the state of a channel (N)"),        \
        INTEGER_FIELD(S, m.inner, "inner", 0, 1 << 20, 0, "channels of the scan; 0: 2 width"),               \
        INTEGER_FIELD(S, m.rank, "dt_rank", 0, 1 << 20, 0,                                                   \
                      "numbers that the step is made of; 0: width / 16, rounded up"),                        \
        INTEGER_FIELD(S, m.taps, "taps", 1, 64, 4, "width of the causal convolution")

enum { SCAN_BRANCH_SLOTS = 2 };

void scan_branch_parameters(ParameterList *list, int layer, const Config *config, const ScanOptions *options,
                            ScanKind kind);
void scan_branch_initialise(const Config *config, const ScanOptions *options, ScanKind kind,
                            Tensor *parameter);
void scan_branch_start(const MixerCall *call, const ScanOptions *options);
Tensor *scan_branch(const MixerCall *call, const ScanOptions *options, ScanKind kind, Tensor *x);

/* Tokens after which a recorded sequence may be cut: any number. */
int64_t scan_branch_split(const Config *config);

double scan_branch_flops(const Config *config, const ScanOptions *options, ScanKind kind);
int64_t scan_branch_state(const Config *config, const ScanOptions *options);
double scan_branch_bytes(const Config *config, const ScanOptions *options);
