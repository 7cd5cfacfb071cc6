#include "bench/naive/memory_naive.h"

#include <math.h>
#include <string.h>

static void apply(int64_t in, int64_t out, const float *restrict w, const float *restrict x,
                  float *restrict y) {
    for (int64_t j = 0; j < out; j++) y[j] = 0.0f;
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < out; j++) y[j] += x[i] * w[i * out + j];
}

static float silu(float x) { return x / (1.0f + expf(-x)); }

NAIVE_DECLARE(NAIVE_NAME) {
    int64_t offset[5] = {0}, P = 0, widest = 0;
    for (int l = 0; l <= L; l++) {
        if (l > 0) offset[l] = P, P += width[l - 1] * width[l];
        if (width[l] > widest) widest = width[l];
    }
    float *restrict start = scratch, *restrict a = scratch + P, *restrict h = a + 5 * widest,
                    *restrict d = h + 5 * widest, *restrict z = d + 5 * widest;
    float *restrict W = state, *restrict S = state + P;
    for (int64_t t = 0; t < tokens; t++) {
        if (t % chunk == 0) memcpy(start, W, (size_t)P * sizeof(float));
        memcpy(h, k + t * width[0], (size_t)width[0] * sizeof(float));
        for (int l = 1; l <= L; l++) {
            apply(width[l - 1], width[l], start + offset[l], h + (l - 1) * widest, a + l * widest);
            for (int64_t j = 0; j < width[l]; j++)
                h[l * widest + j] = l < L ? silu(a[l * widest + j]) : a[l * widest + j];
        }
        for (int64_t j = 0; j < width[L]; j++)
            d[L * widest + j] = 2.0f * (h[L * widest + j] - v[t * width[L] + j]);
        for (int l = L; l > 1; l--)
            for (int64_t i = 0; i < width[l - 1]; i++) {
                const float x = a[(l - 1) * widest + i], s = 1.0f / (1.0f + expf(-x));
                float sum = 0.0f;
                for (int64_t j = 0; j < width[l]; j++)
                    sum += start[offset[l] + i * width[l] + j] * d[l * widest + j];
                d[(l - 1) * widest + i] = sum * s * (1.0f + x * (1.0f - s));
            }
        for (int l = 1; l <= L; l++)
            for (int64_t i = 0; i < width[l - 1]; i++)
                for (int64_t j = 0; j < width[l]; j++) {
                    const int64_t at = offset[l] + i * width[l] + j;
                    S[at] = eta[t] * S[at] - theta[t] * h[(l - 1) * widest + i] * d[l * widest + j];
                    W[at] = keep[t] * W[at] + S[at];
                }
        memcpy(z, q + t * width[0], (size_t)width[0] * sizeof(float));
        for (int l = 1; l <= L; l++) {
            apply(width[l - 1], width[l], W + offset[l], z, a);
            for (int64_t j = 0; j < width[l]; j++) z[j] = l < L ? silu(a[j]) : a[j];
        }
        memcpy(y + t * width[L], z, (size_t)width[L] * sizeof(float));
    }
}
