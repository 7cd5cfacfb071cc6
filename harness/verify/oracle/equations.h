/* Every equation of the oracle: one function each, over arrays of double. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define ORACLE_EQUATIONS(X)                                                                                  \
    X(qkv)                                                                                                   \
    X(attention)                                                                                             \
    X(window_attention)                                                                                      \
    X(persistent_prefix)                                                                                     \
    X(softmax_ffn)                                                                                           \
    X(titans_gate)                                                                                           \
    X(norm_gate)                                                                                             \
    X(conv_silu_l2)                                                                                          \
    X(rope)                                                                                                  \
    X(gates)                                                                                                 \
    X(surprise)                                                                                              \
    X(momentary_rule)                                                                                        \
    X(momentum_rule)                                                                                         \
    X(memory_step)                                                                                           \
    X(memory_read)                                                                                           \
    X(memory_sequential)                                                                                     \
    X(memory_chunk)                                                                                          \
    X(chunk_closed)                                                                                          \
    X(chunk_linear)                                                                                          \
    X(chunk_momentum)                                                                                        \
    X(linear_attention)                                                                                      \
    X(linear_memory)                                                                                         \
    X(lti_kernel)                                                                                            \
    X(chunk_lti)                                                                                             \
    X(diagonal_lmm)                                                                                          \
    X(delta_net)                                                                                             \
    X(gated_delta_net)                                                                                       \
    X(longhorn)                                                                                              \
    X(ttt_layer)                                                                                             \
    X(mixer_attention)                                                                                       \
    X(mixer_swa)                                                                                             \
    X(mixer_lmm)                                                                                             \
    X(mixer_mac)                                                                                             \
    X(mixer_mag)                                                                                             \
    X(mixer_mal_h3)

#define ORACLE_DECLARE(name)                                                                                 \
    void oracle_##name(const int64_t *dims, const double *const *in, double *const *out);
ORACLE_EQUATIONS(ORACLE_DECLARE)
