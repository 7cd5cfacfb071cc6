/* Products in bf16 beside those in float32, rounding included; what the matrix unit has to reach; and whole training steps
 * in both precisions. */
#include "bench/kernel/kernel.h"
#include "base/check.h"
#include "base/dispatch.h"
#include "bench/shared/step.h"
#include "terminal/interrupt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    GemmForm form;
    int64_t M, N, K;
    float *a, *b, *c;
} ProductCase;

static void product_run(const ProductCase *p, Product run) {
    const int64_t lda = p->form == GEMM_TN ? p->M : p->K, ldb = p->form == GEMM_NT ? p->K : p->N;
    run(p->form, p->M, p->N, p->K, p->a, lda, p->b, ldb, p->c, p->N, p->form == GEMM_TN);
}
static void product_bf16(void *context) { product_run(context, kernel->bf16->run); }
static void product_float32(void *context) { product_run(context, kernel->gemm->run); }

/* Forms by themselves at the sizes of a training step; `least` Gflop/s where there is a matrix unit, 0: no goal. */
static const struct {
    GemmForm form;
    int64_t M, N, K;
    double least;
    const char *goal;
} products[] = {{GEMM_NN, 64, 64, 64, 0, "-"},
                {GEMM_NN, 128, 128, 128, 0, "-"},
                {GEMM_NN, 256, 256, 256, 1000, ">= 1000 Gflop/s with AMX"},
                {GEMM_NN, 4096, 256, 256, 700, ">= 700 Gflop/s with AMX"},
                {GEMM_NN, 512, 768, 768, 0, "-"},
                {GEMM_NT, 256, 256, 256, 0, "-"},
                {GEMM_NT, 4096, 256, 256, 0, "-"},
                {GEMM_TN, 256, 256, 256, 0, "-"},
                {GEMM_TN, 256, 256, 4096, 0, "-"},
                {GEMM_NN, 1, 256, 256, 0, "-"},
                {GEMM_NN, 16, 256, 256, 0, "-"}};
enum { PRODUCTS = sizeof products / sizeof *products };

/* n numbers that bf16 holds, so that sums in double say what is right. */
static float *random_bf16(int64_t n) {
    float *x = random_floats(n, 1);
    for (int64_t i = 0; i < n; i++) {
        int exponent;
        const float fraction = frexpf(x[i], &exponent);
        x[i] = ldexpf(rintf(ldexpf(fraction, 8)), exponent - 8);
    }
    return x;
}

static void product_row(KernelReport *r, int i, int unit) {
    static const char *const names[] = {"bf16.nn", "bf16.nt", "bf16.tn+="};
    const int64_t M = products[i].M, N = products[i].N, K = products[i].K;
    char shape[48];
    ProductCase p = {products[i].form,       M, N, K, random_bf16(M * K), random_bf16(K * N),
                     random_floats(M * N, 1)};
    const Timing t =
        timing_measure((Work){product_bf16, &p}, (Work){product_float32, &p}, 1, r->rounds, KERNEL_LEAST);
    const double flop = 2.0 * (double)(M * N * K);
    snprintf(shape, sizeof shape, "%lldx%lldx%lld", (long long)M, (long long)N, (long long)K);
    const int judged = unit && products[i].least > 0.0;
    const KernelRow row = {names[p.form],
                           shape,
                           "float32",
                           1,
                           flop,
                           t.bar_seconds / t.seconds,
                           judged ? products[i].goal : "-",
                           judged ? flop / t.seconds >= 1e9 * products[i].least : -1};
    r->judged = judge_product(kernel->bf16->run, p.form, M, N, K, p.a, p.b);
    report_row(r, &row, &t);
    free(p.a);
    free(p.b);
    free(p.c);
}

/* Steps of one mixer on random tokens, in turns with float32. */
static void step_row(KernelReport *r, const char *mixer, int64_t width, int64_t batch, int64_t length) {
    static Recipe recipe;
    static Step steps[2];
    char name[32], widths[32], ffn[32], message[512], shape[64];
    for (int i = 0; i < 2; i++) {
        const char *const over[] = {name,       widths,     ffn,
                                    "layers=2", "vocab=64", i ? "precision=float32" : "precision=bf16"};
        snprintf(name, sizeof name, "mixer=%s", mixer);
        snprintf(widths, sizeof widths, "width=%ld", width);
        snprintf(ffn, sizeof ffn, "ffn=%ld", 3 * width);
        CHECK(!recipe_open(&recipe, 0, over, sizeof over / sizeof *over, 1, message, sizeof message), "%s",
              message);
        CHECK(!step_create(&steps[i], &recipe, batch, length, message, sizeof message), "%s", message);
    }
    const double flop =
        3.0 * (double)(batch * length) * model_flops(&steps[0].model, 0.5 * (double)length, 1);
    const Timing t =
        timing_measure((Work){step_once, &steps[0]}, (Work){step_once, &steps[1]}, 1, r->rounds, 0.05);
    snprintf(shape, sizeof shape, "%s d=%ld 2 layers %ldx%ld", mixer, width, batch, length);
    const double ratio = t.bar_seconds / t.seconds;
    const KernelRow row = {"bf16.step", shape, "float32", 1, flop, ratio, ">= 0.9 of float32", ratio >= 0.9};
    report_row(r, &row, &t);
    for (int i = 0; i < 2; i++) step_free(&steps[i]);
}

static void bf16_rows(KernelReport *r) {
    const int unit = !strcmp(kernel->isa, "amx");
    for (int i = 0; i < PRODUCTS && !interrupt_requested(); i++) {
        product_row(r, i, unit);
        if (!unit && products[i].least > 0.0)
            fprintf(r->file,
                    "bf16.nn\tamx\t1\t%lldx%lldx%lld\t-\t-\tfloat32\t-\t%s\tnot measured here\t-\t-\t-\n",
                    (long long)products[i].M, (long long)products[i].N, (long long)products[i].K,
                    products[i].goal);
    }
    static const char *const mixers[] = {"lmm", "mac", "mag", "mal", "swa", "attention"};
    for (size_t i = 0; i < sizeof mixers / sizeof *mixers && !interrupt_requested(); i++) {
        step_row(r, mixers[i], 64, 8, 256);
        step_row(r, mixers[i], 256, 4, 512);
    }
}

const KernelBench kernel_bench_bf16 = {"bf16", bf16_rows, 1};
