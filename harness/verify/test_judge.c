/* The judge of what a benchmark times: a right kernel is valid, one that is a little wrong is not. */
#include "base/dispatch.h"
#include "bench/shared/judge.h"
#include "ledger.h"

#include <criterion/criterion.h>
#include <math.h>

static const Kernels *right;

/* One number in a thousand off, or none that is a number. */
static void product_wrong(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda,
                          const float *B, int64_t ldb, float *C, int64_t ldc, int accumulate) {
    right->gemm->run(form, M, N, K, A, lda, B, ldb, C, ldc, accumulate);
    C[ldc + 1] *= 1.01f;
}
static void product_nan(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda,
                        const float *B, int64_t ldb, float *C, int64_t ldc, int accumulate) {
    right->gemm->run(form, M, N, K, A, lda, B, ldb, C, ldc, accumulate);
    C[0] = NAN;
}

static void swiglu_wrong(int64_t n, const float *a, const float *b, float *y) {
    right->act->swiglu(n, a, b, y);
    y[n / 2] *= 1.001f;
}
static void swiglu_nan(int64_t n, const float *a, const float *b, float *y) {
    right->act->swiglu(n, a, b, y);
    y[0] = NAN;
}
static void swiglu_backward_wrong(int64_t n, const float *a, const float *b, const float *dy, float *da,
                                  float *db) {
    right->act->swiglu_backward(n, a, b, dy, da, db);
    da[n / 2] = -da[n / 2];
}

static int valid(Judged j) { return j.error <= j.bound; }

Test(judge, products_a_little_wrong_are_not_valid) {
    enum { M = 30, N = 17, K = 40 };
    float a[M * K], b[K * N];
    right = kernel;
    for (int i = 0; i < M * K; i++) a[i] = sinf((float)i);
    for (int i = 0; i < K * N; i++) b[i] = cosf((float)i);
    for (int form = GEMM_NN; form <= GEMM_TN; form++) {
        cr_assert(valid(judge_product(right->gemm->run, (GemmForm)form, M, N, K, a, b)));
        cr_assert(!valid(judge_product(product_wrong, (GemmForm)form, M, N, K, a, b)));
        cr_assert(!valid(judge_product(product_nan, (GemmForm)form, M, N, K, a, b)));
    }
    ledger_record("judge", "products", 9, 0);
}

Test(judge, kernels_a_little_wrong_are_not_valid) {
    static const char *const dims = "tokens=40 ffn=50";
    const struct {
        struct act_kernel act;
        int forward, gradient;
    } tries[] = {{*kernel->act, 1, 1},
                 {{swiglu_wrong, kernel->act->swiglu_backward}, 0, 1},
                 {{swiglu_nan, kernel->act->swiglu_backward}, 0, 1},
                 {{kernel->act->swiglu, swiglu_backward_wrong}, 1, 0}};
    right = kernel;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        Kernels other = *right;
        other.act = &tries[i].act;
        kernel = &other;
        cr_assert_eq(valid(judge_kernel("act", 0, 0, dims)), tries[i].forward, "forward %zu", i);
        cr_assert_eq(valid(judge_kernel("act", 1, 0, dims)), tries[i].gradient, "gradient %zu", i);
        kernel = right;
    }
    ledger_record("judge", "kernels", 8, 0);
}
