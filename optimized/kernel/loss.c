#include "kernel/loss.h"
#include "base/parallel.h"
#include "vec/rows.h"
#include "base/portable.h"

/* The largest of a row and its place, the first of equals; a NaN is larger than nothing, unless it comes first. Each lane keeps its own
 * largest and the vector that it was in (exact below 2^24 vectors). */
static float loss_top(int64_t classes, const float *x, int32_t *best) {
    const int64_t whole = classes / VEC_LANES;
    float top[VEC_LANES], in[VEC_LANES];
    Vec most = vec_set1(x[0]), place = vec_zero();
    for (int64_t v = 0; v < whole; v++) {
        const Vec here = vec_load(x + v * VEC_LANES);
        place = vec_less(most, here, vec_set1((float)v), place);
        most = vec_less(most, here, here, most);
    }
    vec_store(top, most);
    vec_store(in, place);
    int64_t at = 0;
    for (int64_t lane = 0; lane < VEC_LANES && whole; lane++) {
        const int64_t other = (int64_t)in[lane] * VEC_LANES + lane;
        if (x[other] > x[at] || (other < at && x[other] == x[at])) at = other;
    }
    for (int64_t i = whole * VEC_LANES; i < classes; i++)
        if (x[i] > x[at]) at = i;
    *best = (int32_t)at;
    return x[at];
}

INLINE Vec loss_exp(const float *x, int64_t lanes, float top) {
    return vec_exp(vec_sub(vec_load_n(x, lanes), vec_set1(top)));
}

static float loss_exp_sum(int64_t classes, const float *x, float top) {
    Vec sum = vec_zero();
    int64_t j = 0;
    for (; j + VEC_LANES <= classes; j += VEC_LANES) sum = vec_add(sum, loss_exp(x + j, VEC_LANES, top));
    if (j < classes) sum = vec_add(sum, vec_first(loss_exp(x + j, classes - j, top), classes - j));
    return vec_sum(sum);
}

static void loss_forward_rows(ParallelPart part, int64_t classes, const float *logits, const int32_t *target,
                              double *loss, int32_t *best) {
    for (int64_t r = part.begin; r < part.end; r++) {
        const float *x = logits + r * classes, top = loss_top(classes, x, best + r);
        loss[r] = 0.0;
        if (target[r] >= 0)
            loss[r] =
                portable_log((double)loss_exp_sum(classes, x, top)) - ((double)x[target[r]] - (double)top);
    }
}

static void loss_forward(int64_t rows, int64_t classes, const float *logits, const int32_t *target,
                         double *loss, int32_t *best) {
    PARALLEL_PARTS(rows_threads(rows * classes), rows, 1,
                   loss_forward_rows(part, classes, logits, target, loss, best));
}

static void loss_backward_rows(ParallelPart part, int64_t classes, const float *logits, const int32_t *target,
                               float scale, float *dlogits) {
    for (int64_t r = part.begin; r < part.end; r++) {
        if (target[r] < 0) continue;
        const float *x = logits + r * classes;
        float *d = dlogits + r * classes;
        int32_t best;
        const float top = loss_top(classes, x, &best);
        const Vec factor = vec_set1(scale / loss_exp_sum(classes, x, top));
        FOR_VECTORS (j, classes) {
            const int64_t lanes = vec_lanes(j, classes);
            const Vec e = loss_exp(x + j, lanes, top);
            vec_store_n(d + j, vec_fma(factor, e, vec_load_n(d + j, lanes)), lanes);
        }
        d[target[r]] -= scale;
    }
}

static void loss_backward(int64_t rows, int64_t classes, const float *logits, const int32_t *target,
                          float scale, float *dlogits) {
    PARALLEL_PARTS(rows_threads(rows * classes), rows, 1,
                   loss_backward_rows(part, classes, logits, target, scale, dlogits));
}

const struct loss_kernel KERNEL(loss_kernel) = {loss_forward, loss_backward};
