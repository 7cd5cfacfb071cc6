#pragma once
#include "base/field.h"

/* How attention knows places (reference/position.c). Rotary positions turn queries and keys, ALiBi adds slope (j - i) to the
 * score that token i gives to token j, and none leaves all to the causal mask. What stretches a trained model's positions
 * changes no weight and is the same for a whole sequence: it depends on the length asked and not on how far the sequence has
 * come, so that keys in the cache stay what they are and no splitting of a call changes a bit. */
typedef enum { PLACES_ROPE, PLACES_NONE, PLACES_ALIBI } Places;

typedef struct {
    int64_t positions, rope_scaling, trained_length, asked_length, log_scale;
} PositionOptions;

/* Keys of a mixer whose options S have a PositionOptions `m`; of one whose queries never see further than in training, the
 * first alone. */
#define POSITIONS_FIELD(S, m)                                                                                \
    CHOICE_FIELD(S, m.positions, "positions", "rope none alibi",                                             \
                 "how attention knows places: rotary, not at all (NoPE), by a bias (ALiBi)")
#define POSITION_FIELDS(S, m)                                                                                \
    POSITIONS_FIELD(S, m),                                                                                   \
        ASKED_CHOICE_FIELD(S, m.rope_scaling, "rope_scaling", "none ntk yarn",                               \
                           "rotary positions stretched by asked_length / trained_length"),                   \
        ASKED_INTEGER_FIELD(S, m.trained_length, "trained_length", 0, 1 << 24, 0,                            \
                            "longest sequence of the training, for rope_scaling and log_scale"),             \
        ASKED_INTEGER_FIELD(S, m.asked_length, "asked_length", 0, (double)((int64_t)1 << 40), 0,             \
                            "the whole sequence that is asked, for rope_scaling"),                           \
        ASKED_CHOICE_FIELD(S, m.log_scale, "log_scale", "0 1",                                               \
                           "scores of query n > trained_length times ln n / ln trained_length")

/* Refuses what cannot be. 0, or -1 with a message. */
int position_settle(const PositionOptions *options, char *message, size_t size);

/* Cosines and sines of `rows` positions from `position` on, rows x width (see op_rope). options NULL: plain. */
void position_angles(const PositionOptions *options, int64_t width, int64_t position, int64_t rows,
                     float *angles);

/* The factor of the query whose token is the n-th of its sequence, counted from 1. */
float position_log_scale(const PositionOptions *options, int64_t n);

/* ALiBi's slope of every head. */
void position_slopes(int64_t heads, float *slopes);
