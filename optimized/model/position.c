#include "model/position.h"
#include "base/portable.h"
#include "op/op.h"

#include <stdio.h>

int position_settle(const PositionOptions *o, char *message, size_t size) {
    if (o->rope_scaling && o->positions != PLACES_ROPE)
        snprintf(message, size, "\"rope_scaling\" stretches rotary positions, and \"positions\" is another");
    else if (o->rope_scaling && (!o->trained_length || !o->asked_length))
        snprintf(message, size, "\"rope_scaling\" needs \"trained_length\" and \"asked_length\"");
    else if (o->log_scale && o->trained_length < 2)
        snprintf(message, size, "\"log_scale\" needs a \"trained_length\" of at least 2");
    else
        return 0;
    return -1;
}

void position_angles(const PositionOptions *o, int64_t width, int64_t position, int64_t rows, float *angles) {
    RopeScaling scaling = {ROPE_PLAIN, 1.0, 1.0};
    if (o && o->rope_scaling) {
        scaling = (RopeScaling){(RopeStretch)o->rope_scaling, 1.0, (double)o->trained_length};
        if (o->asked_length > o->trained_length)
            scaling.factor = (double)o->asked_length / (double)o->trained_length;
    }
    rope_angles(width, &scaling, position, rows, angles);
}

float position_log_scale(const PositionOptions *o, int64_t n) {
    if (n <= o->trained_length) return 1.0f;
    return (float)(portable_log((double)n) / portable_log((double)o->trained_length));
}

void position_slopes(int64_t heads, float *slopes) {
    const double ln2 = 0.693147180559945309;
    int64_t power = 1;
    while (2 * power <= heads) power *= 2;
    for (int64_t h = 0; h < heads; h++) {
        const double step = h < power ? (double)(h + 1) : (double)(h - power) + 0.5;
        slopes[h] = (float)portable_exp(-8.0 * step / (double)power * ln2);
    }
}
