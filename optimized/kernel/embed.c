#include "kernel/embed.h"
#include "base/parallel.h"
#include "base/portable.h"
#include "vec/rows.h"

enum { EMBED_PAIRS = 8 }; /* whose angles are made side by side */

static void embed_gather(int64_t rows, int64_t width, const int32_t *index, const float *table, float *y) {
    for (int64_t r = 0; r < rows; r++)
        memcpy(y + r * width, table + index[r] * width, (size_t)width * sizeof(float));
}

static void embed_scatter_part(ParallelPart part, int64_t rows, int64_t width, const int32_t *index,
                               const float *dy, float *dtable) {
    for (int64_t c = part.begin; c < part.end; c += VEC_LANES) {
        const int64_t lanes = vec_lanes(c, part.end);
        for (int64_t r = 0; r < rows; r++) {
            float *to = dtable + index[r] * width + c;
            vec_store_n(to, vec_add(vec_load_n(to, lanes), vec_load_n(dy + r * width + c, lanes)), lanes);
        }
    }
}

static void embed_scatter(int64_t rows, int64_t width, const int32_t *index, const float *dy, float *dtable) {
    PARALLEL_PARTS(rows_threads(rows * width), width, VEC_LANES,
                   embed_scatter_part(part, rows, width, index, dy, dtable));
}

static void embed_rope_part(ParallelPart part, int64_t tokens, int64_t heads, int64_t width,
                            const float *angles, float direction, const float *x, float *y) {
    const int64_t half = width / 2;
    for (int64_t i = part.begin; i < part.end; i++) {
        const float *angle = angles + (i / heads % tokens) * width;
        for (int64_t c = 0; c < half; c += VEC_LANES) {
            const int64_t lanes = vec_lanes(c, half);
            const Vec cosine = vec_load_n(angle + c, lanes);
            const Vec sine = vec_mul(vec_set1(direction), vec_load_n(angle + half + c, lanes));
            const Vec a = vec_load_n(x + i * width + c, lanes),
                      b = vec_load_n(x + i * width + half + c, lanes);
            vec_store_n(y + i * width + c, vec_fnma(b, sine, vec_mul(a, cosine)), lanes);
            vec_store_n(y + i * width + half + c, vec_fma(a, sine, vec_mul(b, cosine)), lanes);
        }
    }
}

static void embed_rope(int64_t batch, int64_t tokens, int64_t heads, int64_t width, const float *angles,
                       float direction, const float *x, float *y) {
    const int64_t rows = batch * tokens * heads;
    PARALLEL_PARTS(rows_threads(rows * width), rows, 1,
                   embed_rope_part(part, tokens, heads, width, angles, direction, x, y));
}

/* Angles side by side, as portable_sincos has each: its divisions take most of the time. */
INLINE void embed_turns(double position, double length, const double *frequency, float *cosines,
                        float *sines) {
    typedef double Side __attribute__((vector_size(EMBED_PAIRS * sizeof(double))));
    int quadrant[EMBED_PAIRS];
    Side r = {0}, s = {0}, c;
    for (int i = 0; i < EMBED_PAIRS; i++) {
        double rest;
        quadrant[i] = portable_quadrant(position * frequency[i], &rest);
        r[i] = rest;
    }
    c = s += 1.0;
    const Side square = r * r;
    PORTABLE_SERIES(r, square, s, c);
    for (int i = 0; i < EMBED_PAIRS; i++) {
        double sine, cosine;
        portable_turn(quadrant[i], s[i], c[i], &sine, &cosine);
        cosines[i] = (float)(length * cosine), sines[i] = (float)(length * sine);
    }
}

static void embed_angles_part(ParallelPart part, int64_t width, int64_t pairs, int64_t position,
                              double length, const double *frequency, float *angles) {
    for (int64_t t = part.begin; t < part.end; t++) {
        const double at = (double)(position + t);
        float *cosines = angles + t * width, *sines = cosines + width / 2;
        int64_t i = 0;
        for (; i + EMBED_PAIRS <= pairs; i += EMBED_PAIRS)
            embed_turns(at, length, frequency + i, cosines + i, sines + i);
        for (; i < pairs; i++) {
            double sine, cosine;
            portable_sincos(at * frequency[i], &sine, &cosine);
            cosines[i] = (float)(length * cosine), sines[i] = (float)(length * sine);
        }
    }
}

static void embed_angles(int64_t rows, int64_t width, int64_t pairs, int64_t position, double length,
                         const double *frequency, float *angles) {
    PARALLEL_PARTS(rows_threads(rows * pairs), rows, 1,
                   embed_angles_part(part, width, pairs, position, length, frequency, angles));
}

const struct embed_kernel KERNEL(embed_kernel) = {embed_gather, embed_scatter, embed_rope, embed_angles};
