#include "kernel/loss.h"
#include "base/parallel.h"
#include "vec/rows.h"
#include "base/portable.h"

/* Numbers of the rows that go through the passes together, at most VEC_LANES rows, and of a row whose exponentials are kept. */
enum { LOSS_BLOCK = 4096 };

static int64_t loss_block(int64_t classes) {
    const int64_t rows = LOSS_BLOCK / classes;
    return rows < 1 ? 1 : rows < VEC_LANES ? rows : VEC_LANES;
}

/* Each lane's largest number so far, and the vector that it was in (exact below 2^24 vectors); a NaN is larger than nothing,
 * unless it comes first. */
typedef struct {
    Vec most, place, here;
} LossTop;

INLINE void loss_top_vector(LossTop *t, const float *x, int64_t lanes, const int places) {
    const Vec own = vec_set1((float)lanes), seen = vec_load_n(x, lanes);
    const Vec now = lanes < VEC_LANES ? vec_less(vec_index(), own, seen, t->most) : seen;
    if (places) t->place = vec_less(t->most, now, t->here, t->place);
    t->most = vec_max(now, t->most);
    t->here = vec_add(t->here, vec_set1(1.0f));
}

/* The largest of a row, and where `best` is asked for its place, the first of equals. */
INLINE float loss_top(int64_t classes, const float *x, int32_t *best) {
    LossTop t = {vec_set1(x[0]), vec_zero(), vec_zero()};
    EACH_VECTOR(j, lanes, 0, classes, loss_top_vector(&t, x + j, lanes, !!best));
    const float top = vec_top(t.most);
    if (best) {
        const Vec place = vec_fnma(vec_set1(VEC_LANES), t.place, vec_sub(vec_zero(), vec_index()));
        *best = (int32_t)-vec_top(vec_less(t.most, vec_set1(top), vec_set1(-INFINITY), place));
    }
    return top;
}

INLINE Vec loss_exp(const float *x, int64_t lanes, float top) {
    return vec_first(vec_exp_negative(vec_sub(vec_load_n(x, lanes), vec_set1(top))), lanes);
}

/* Sum of exp(x - top), lane by lane; the exponentials into `kept`, unless it is NULL. */
INLINE Vec loss_exp_sum(int64_t classes, const float *x, float top, float *kept) {
    Vec sum = vec_zero();
    EACH_VECTOR(j, lanes, 0, classes, const Vec e = loss_exp(x + j, lanes, top); sum = vec_add(sum, e);
                if (kept) vec_store_n(kept + j, e, lanes));
    return sum;
}

/* n <= 16 rows that stay in the first cache from pass to pass. */
static void loss_forward_block(int64_t n, int64_t classes, const float *x, const int32_t *target,
                               double *loss, int32_t *best) {
    float top[VEC_LANES], sum[VEC_LANES], lanes[VEC_LANES * VEC_LANES] = {0};
    for (int64_t r = 0; r < n; r++) top[r] = loss_top(classes, x + r * classes, best + r);
    for (int64_t r = 0; r < n; r++)
        if (target[r] >= 0)
            vec_store(lanes + r * VEC_LANES, loss_exp_sum(classes, x + r * classes, top[r], 0));
    vec_store(sum, vec_sums(lanes));
    for (int64_t r = 0; r < n; r++)
        loss[r] = target[r] < 0
                      ? 0.0
                      : portable_log((double)sum[r]) - ((double)x[r * classes + target[r]] - (double)top[r]);
}

static void loss_forward_rows(ParallelPart part, int64_t classes, const float *logits, const int32_t *target,
                              double *loss, int32_t *best) {
    const int64_t block = loss_block(classes);
    for (int64_t r = part.begin; r < part.end; r += block)
        loss_forward_block(part.end - r < block ? part.end - r : block, classes, logits + r * classes,
                           target + r, loss + r, best + r);
}

static void loss_forward(int64_t rows, int64_t classes, const float *logits, const int32_t *target,
                         double *loss, int32_t *best) {
    PARALLEL_PARTS(rows_threads(rows * classes), rows, 1,
                   loss_forward_rows(part, classes, logits, target, loss, best));
}

/* d += factor exp(x - top); kept: the exponentials, or NULL. */
INLINE void loss_slope(int64_t classes, const float *x, float top, float factor, const float *kept,
                       float *d) {
    if (kept)
        EACH_VECTOR(j, lanes, 0, classes,
                    vec_add_to(vec_set1(factor), vec_load_n(kept + j, lanes), d + j, lanes));
    else
        EACH_VECTOR(j, lanes, 0, classes,
                    vec_add_to(vec_set1(factor), loss_exp(x + j, lanes, top), d + j, lanes));
}

static void loss_backward_block(int64_t n, int64_t classes, const float *x, const int32_t *target,
                                float scale, float *d) {
    float top[VEC_LANES] = {0}, sum[VEC_LANES], lanes[VEC_LANES * VEC_LANES] = {0}, kept[LOSS_BLOCK];
    const int keep = n * classes <= LOSS_BLOCK;
    for (int64_t r = 0; r < n; r++)
        if (target[r] >= 0) top[r] = loss_top(classes, x + r * classes, 0);
    for (int64_t r = 0; r < n; r++)
        if (target[r] >= 0)
            vec_store(lanes + r * VEC_LANES,
                      loss_exp_sum(classes, x + r * classes, top[r], keep ? kept + r * classes : 0));
    vec_store(sum, vec_sums(lanes));
    for (int64_t r = 0; r < n; r++) {
        if (target[r] < 0) continue;
        loss_slope(classes, x + r * classes, top[r], scale / sum[r], keep ? kept + r * classes : 0,
                   d + r * classes);
        d[r * classes + target[r]] -= scale;
    }
}

static void loss_backward_rows(ParallelPart part, int64_t classes, const float *logits, const int32_t *target,
                               float scale, float *dlogits) {
    const int64_t block = loss_block(classes);
    for (int64_t r = part.begin; r < part.end; r += block)
        loss_backward_block(part.end - r < block ? part.end - r : block, classes, logits + r * classes,
                            target + r, scale, dlogits + r * classes);
}

static void loss_backward(int64_t rows, int64_t classes, const float *logits, const int32_t *target,
                          float scale, float *dlogits) {
    PARALLEL_PARTS(rows_threads(rows * classes), rows, 1,
                   loss_backward_rows(part, classes, logits, target, scale, dlogits));
}

const struct loss_kernel KERNEL(loss_kernel) = {loss_forward, loss_backward};
