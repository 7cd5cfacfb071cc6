#pragma once
#include "model/model.h"

/* What a mixer that contains the sliding window (samba.c) builds on. Its options come first in theirs. */
typedef struct {
    int64_t persistent, window;
    PositionOptions places;
} SwaOptions;

extern const Mixer mixer_swa;
