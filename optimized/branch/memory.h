#pragma once
#include "model/model.h"

/* The memory branch of a mixer, eqs 11-18 with the layers of section 4.4: q = l2(silu(conv(u Wq))), k
 * likewise, v = silu(conv(u Wv)), gates from u, one memory per head; returns the reads, heads side by side.
 *
 * Parameters: Wq Wk Wv conv_q conv_k conv_v W_gates b_gates M0. State, all of constant size: the memory
 * (weights at the start of the open chunk, weights, momentum: 3 P per head), the last taps - 1 inputs of the
 * three convolutions, and for gates per chunk the row of z that the open chunk holds. */
typedef struct {
    int64_t taps, chunk, layers, expansion, residual, norm, gelu, hard;
    int64_t gates_per_layer, gates_per_chunk, channelwise, forget, momentum;
    double theta_max, alpha_bias, theta_bias, eta_bias;
} MemoryOptions;

/* The keys of MemoryOptions, member `m` of a mixer's options S. */
#define MEMORY_FIELDS(S, m)                                                                                  \
    INTEGER_FIELD(S, m.taps, "taps", 0, 64, 4, "width of the causal convolution; 0: none"),                  \
        INTEGER_FIELD(S, m.chunk, "chunk", 1, 4096, 32,                                                      \
                      "tokens whose inner gradients are taken at one state (b)"),                            \
        INTEGER_FIELD(S, m.layers, "memory_layers", 1, 4, 1, "layers of the memory network (L_M)"),          \
        INTEGER_FIELD(S, m.expansion, "expansion", 1, 16, 1,                                                 \
                      "hidden width of the memory network over head width"),                                 \
        INTEGER_FIELD(S, m.residual, "memory_residual", 0, 1, 0,                                             \
                      "1: the memory adds its input to its output"),                                         \
        INTEGER_FIELD(S, m.norm, "memory_norm", 0, 1, 0, "1: layer norm on the memory's output"),            \
        CHOICE_FIELD(S, m.gelu, "activation", "silu gelu", "inside the memory: silu or gelu (tanh form)"),   \
        INTEGER_FIELD(S, m.gates_per_layer, "gates_per_layer", 0, 1, 0,                                      \
                      "1: every memory layer has its own alpha, theta, eta"),                                \
        INTEGER_FIELD(S, m.gates_per_chunk, "gates_per_chunk", 0, 1, 0,                                      \
                      "1: gates constant in a chunk, those of its first token"),                             \
        INTEGER_FIELD(S, m.channelwise, "channelwise", 0, 1, 0, "1: alpha per output channel"),              \
        INTEGER_FIELD(S, m.forget, "forget", 0, 1, 1, "0: no decay, alpha = 0"),                             \
        INTEGER_FIELD(S, m.momentum, "momentum", 0, 1, 1, "0: no momentum, eta = 0"),                        \
        CHOICE_FIELD(S, m.hard, "gate", "sigmoid hard",                                                      \
                     "sigmoid (erratum E10) or hard (clamped, reaches exact 0)"),                            \
        REAL_FIELD(S, m.theta_max, "theta_max", 0, 1e3, 0,                                                   \
                   "largest inner step; 0: 1 / (2 chunk), the safe bound at eta <= 1/2 (E19)"),              \
        REAL_FIELD(S, m.alpha_bias, "alpha_bias", -20, 20, -4, "initial bias of the forget gate"),           \
        REAL_FIELD(S, m.theta_bias, "theta_bias", -20, 20, 0, "initial bias of the inner step gate"),        \
        REAL_FIELD(S, m.eta_bias, "eta_bias", -20, 20, -2, "initial bias of the momentum gate")

/* theta_max 0 becomes the safe bound. */
void memory_branch_settle(MemoryOptions *options);

/* Gates per token: heads, times memory layers where each has its own. */
int64_t memory_branch_gates(const Config *config, const MemoryOptions *options);

enum { MEMORY_BRANCH_PARAMETERS = 9, MEMORY_BRANCH_SLOTS = 5 };
enum { MEMORY_SLOT_STATE, MEMORY_SLOT_TAIL, MEMORY_SLOT_HELD = MEMORY_SLOT_TAIL + 3 };

void memory_branch_parameters(ParameterList *list, int layer, const char *prefix, const Config *config,
                              const MemoryOptions *options);
void memory_branch_initialise(const Config *config, const MemoryOptions *options, Tensor *parameter);
void memory_branch_start(const MixerCall *call, const MemoryOptions *options, Tensor *parameter,
                         Tensor **slot);

/* What every call of a branch is about: its options, parameters and slots. */
typedef struct {
    const MemoryOptions *options;
    Tensor *parameter, **slot;
} MemoryBranch;

/* u: batch x tokens rows, which the memory sees after `position` others. */
Tensor *memory_branch(const MixerCall *call, const MemoryBranch *branch, Tensor *u, int64_t position);

/* The same, but every row reads the memory after the last one (the literal reading of eq 25, erratum E7). */
Tensor *memory_branch_after(const MixerCall *call, const MemoryBranch *branch, Tensor *u, int64_t position);

/* One projection of it, for reads on their own: silu(conv(x W)), l2-normalised per head with l2. */
Tensor *memory_branch_project(const MixerCall *call, int64_t taps, Tensor *weight, Tensor *convolution,
                              Tensor **tail, Tensor *x, int l2);
void memory_branch_convolution(ParameterList *list, int layer, const char *name, int64_t taps, int64_t width);
void memory_branch_open_convolution(Tensor *convolution);        /* starts near the identity */
Tensor *memory_branch_tail(const MixerCall *call, int64_t taps); /* zeros */
MemoryShape memory_branch_shape(const MixerCall *call, const MemoryOptions *options, int64_t tokens,
                                int64_t position);

/* Weights of one head's memory. */
int64_t memory_branch_weights(const Config *config, const MemoryOptions *options);

/* Multiply-adds times two, per token; floats of state of one sequence; bytes of state that a token moves: the
 * weights and momenta are read and written once a chunk. */
double memory_branch_flops(const Config *config, const MemoryOptions *options);
int64_t memory_branch_state(const Config *config, const MemoryOptions *options);
double memory_branch_bytes(const Config *config, const MemoryOptions *options);
