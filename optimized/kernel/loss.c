#include "kernel/loss.h"
#include "base/parallel.h"
#include "vec/rows.h"
#include "base/portable.h"

static float loss_top(int64_t classes, const float *x, int32_t *best) {
    int32_t top = 0;
    for (int64_t i = 1; i < classes; i++)
        if (x[i] > x[top]) top = (int32_t)i;
    *best = top;
    return x[top];
}

static float loss_exp_sum(int64_t classes, const float *x, float top) {
    Vec sum = vec_zero();
    FOR_VECTORS (j, classes) {
        const int64_t lanes = vec_lanes(j, classes);
        const Vec e = vec_exp(vec_sub(vec_load_n(x + j, lanes), vec_set1(top)));
        float kept[VEC_LANES];
        vec_store(kept, e);
        sum = vec_add(sum, vec_load_n(kept, lanes));
    }
    return vec_sum(sum);
}

static void loss_forward(int64_t rows, int64_t classes, const float *logits, const int32_t *target,
                         double *loss, int32_t *best) {
#pragma omp parallel for schedule(static) if (rows * classes > ROWS_SERIAL && parallel_threads() > 1)
    for (int64_t r = 0; r < rows; r++) {
        const float *x = logits + r * classes, top = loss_top(classes, x, best + r);
        loss[r] = 0.0;
        if (target[r] >= 0)
            loss[r] =
                portable_log((double)loss_exp_sum(classes, x, top)) - ((double)x[target[r]] - (double)top);
    }
}

static void loss_backward(int64_t rows, int64_t classes, const float *logits, const int32_t *target,
                          float scale, float *dlogits) {
#pragma omp parallel for schedule(static) if (rows * classes > ROWS_SERIAL && parallel_threads() > 1)
    for (int64_t r = 0; r < rows; r++) {
        if (target[r] < 0) continue;
        const float *x = logits + r * classes;
        float *d = dlogits + r * classes;
        int32_t best;
        const float top = loss_top(classes, x, &best);
        const Vec factor = vec_set1(scale / loss_exp_sum(classes, x, top));
        FOR_VECTORS (j, classes) {
            const int64_t lanes = vec_lanes(j, classes);
            const Vec e = vec_exp(vec_sub(vec_load_n(x + j, lanes), vec_set1(top)));
            vec_store_n(d + j, vec_fma(factor, e, vec_load_n(d + j, lanes)), lanes);
        }
        d[target[r]] -= scale;
    }
}

const struct loss_kernel KERNEL(loss_kernel) = {loss_forward, loss_backward};
