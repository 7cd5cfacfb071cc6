#include "kernel/adamw.h"
#include "base/parallel.h"
#include "vec/rows.h"

INLINE void adamw_vector(const AdamwStep *s, const float *gradient, float *w, float *m, float *v,
                         int64_t lanes) {
    const Vec g = vec_mul(vec_set1(s->scale), vec_load_n(gradient, lanes)), w0 = vec_load_n(w, lanes);
    const Vec m1 = vec_fma(vec_set1(s->b1), vec_load_n(m, lanes), vec_mul(vec_set1(1.0f - s->b1), g));
    const Vec v1 =
        vec_fma(vec_set1(s->b2), vec_load_n(v, lanes), vec_mul(vec_mul(vec_set1(1.0f - s->b2), g), g));
    const Vec root = vec_sqrt(vec_mul(v1, vec_set1(s->correction2)));
    const Vec ratio = vec_div(vec_mul(m1, vec_set1(s->correction1)), vec_add(root, vec_set1(s->eps)));
    vec_store_n(m, m1, lanes);
    vec_store_n(v, v1, lanes);
    vec_store_n(w, vec_fnma(vec_set1(s->rate), vec_fma(vec_set1(s->decay), w0, ratio), w0), lanes);
}

static void adamw_update_part(ParallelPart part, const AdamwStep *s, const float *gradient, float *w,
                              float *m, float *v) {
    EACH_VECTOR(j, lanes, part.begin, part.end, adamw_vector(s, gradient + j, w + j, m + j, v + j, lanes));
}

static void adamw_update(int64_t n, const AdamwStep *s, const float *gradient, float *w, float *m, float *v) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, adamw_update_part(part, s, gradient, w, m, v));
}

const struct adamw_kernel KERNEL(adamw_kernel) = {adamw_update};
