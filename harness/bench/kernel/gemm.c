/* Matrix products, with OpenBLAS as the bar when the system has it. */
#include "bench/kernel/kernel.h"
#include "base/dispatch.h"
#include "terminal/stats.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef void (*Sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                      const float *b, int ldb, float beta, float *c, int ldc);
/* OpenBLAS takes slow kernels on a CPU that it does not know, and where the environment names some: a bar gets those of our
 * own instruction set. */
static void openblas_kernels(void) {
    const char *best = !strcmp(kernel->isa, "avx2") ? "Haswell" : "SkylakeX";
    if (!strncmp(kernel->isa, "avx", 3) || !strcmp(kernel->isa, "amx")) setenv("OPENBLAS_CORETYPE", best, 1);
}

static void openblas_says(void *library) {
    void *found = library ? dlsym(library, "openblas_get_corename") : 0;
    char *(*name)(void) = 0;
    memcpy(&name, &found, sizeof found);
    if (name) fprintf(stderr, "kernels: OpenBLAS computes with its kernels for %s\n", name());
}

static Sgemm openblas(void) {
    static Sgemm sgemm;
    static int tried;
    if (tried++) return sgemm;
    openblas_kernels();
    void *library = dlopen("libopenblas.so.0", RTLD_NOW);
    void *found = library ? dlsym(library, "cblas_sgemm") : 0,
         *threads = library ? dlsym(library, "openblas_set_num_threads") : 0;
    if (!found) fprintf(stderr, "kernels: no OpenBLAS on this system, its bar is left out\n");
    openblas_says(library);
    memcpy(&sgemm, &found, sizeof found);
    void (*set_threads)(int) = 0;
    memcpy(&set_threads, &threads, sizeof threads);
    if (set_threads) set_threads(1);
    return sgemm;
}

typedef struct {
    GemmForm form;
    int64_t M, N, K;
    float *a, *b, *c;
} GemmCase;

static void gemm_ours(void *context) {
    const GemmCase *g = context;
    const int64_t lda = g->form == GEMM_TN ? g->M : g->K, ldb = g->form == GEMM_NT ? g->K : g->N;
    kernel->gemm->run(g->form, g->M, g->N, g->K, g->a, lda, g->b, ldb, g->c, g->N, g->form == GEMM_TN);
}

static void gemm_bar(void *context) {
    const GemmCase *g = context;
    const int64_t lda = g->form == GEMM_TN ? g->M : g->K, ldb = g->form == GEMM_NT ? g->K : g->N;
    enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };
    openblas()(ROW_MAJOR, g->form == GEMM_TN ? TRANSPOSED : PLAIN, g->form == GEMM_NT ? TRANSPOSED : PLAIN,
               (int)g->M, (int)g->N, (int)g->K, 1.0f, g->a, (int)lda, g->b, (int)ldb,
               g->form == GEMM_TN ? 1.0f : 0.0f, g->c, (int)g->N);
}

static double gemm_case(KernelReport *r, GemmForm form, int64_t M, int64_t N, int64_t depth, double *ratio) {
    static const char *const names[] = {"gemm.nn", "gemm.nt", "gemm.tn+="};
    char shape[48];
    GemmCase g = {
        form, M, N, depth, random_floats(M * depth, 1), random_floats(depth * N, 1), random_floats(M * N, 1)};
    const Timing t = timing_measure((Work){gemm_ours, &g}, openblas() ? (Work){gemm_bar, &g} : KERNEL_NO_BAR,
                                    1, r->rounds, KERNEL_LEAST);
    snprintf(shape, sizeof shape, "%lldx%lldx%lld", (long long)M, (long long)N, (long long)depth);
    *ratio = t.bar_seconds > 0.0 ? t.bar_seconds / t.seconds : 0.0;
    const KernelRow row = {
        names[form], shape, openblas() ? "openblas" : "-", 1, 2.0 * (double)(M * N * depth), *ratio, "-", -1};
    r->judged = judge_product(kernel->gemm->run, form, M, N, depth, g.a, g.b);
    report_row(r, &row, &t);
    free(g.a);
    free(g.b);
    free(g.c);
    return row.flop / t.seconds / t.peak;
}

typedef struct {
    double logs, worst;
    int count;
} Ratios;

static void ratios_add(Ratios *r, double ratio) {
    if (ratio <= 0.0) return;
    r->logs += log(ratio);
    r->worst = r->count++ && r->worst < ratio ? r->worst : ratio;
}

/* Those of a training step: 4,096 tokens, width 256 and a feed-forward layer of 704. */
static void gemm_step_rows(KernelReport *r, Ratios *ratios) {
    static const struct {
        GemmForm form;
        int64_t M, N, K;
    } step[] = {{GEMM_NN, 4096, 256, 256}, {GEMM_NN, 4096, 704, 256}, {GEMM_NN, 4096, 256, 704},
                {GEMM_NT, 4096, 256, 256}, {GEMM_NT, 4096, 704, 256}, {GEMM_NT, 4096, 256, 704},
                {GEMM_TN, 256, 256, 4096}, {GEMM_TN, 256, 704, 4096}, {GEMM_TN, 704, 256, 4096}};
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        double ratio;
        gemm_case(r, step[i].form, step[i].M, step[i].N, step[i].K, &ratio);
        ratios_add(ratios, ratio);
    }
}

static void gemm_rows(KernelReport *r) {
    static const struct {
        GemmForm form;
        const char *name, *goal;
        double least;
    } forms[] = {{GEMM_NN, "gemm.nn", "1: median >= 92 % of peak", 92},
                 {GEMM_TN, "gemm.tn+=", "1: median >= 85 % of peak", 85},
                 {GEMM_NT, "gemm.nt", "1: median >= 85 % of peak", 85}};
    Ratios ratios = {0};
    for (int f = 0; f < 3; f++) {
        double percent[18], ratio;
        int n = 0;
        for (int64_t i = 0; i < 18; i++) {
            const int64_t b = 32 << i / 9, in = 64 << i / 3 % 3, out = 64 << i % 3;
            const GemmForm form = forms[f].form;
            percent[n++] = 100.0 * gemm_case(r, form, form == GEMM_TN ? in : b, form == GEMM_NT ? in : out,
                                             form == GEMM_NN   ? in
                                             : form == GEMM_NT ? out
                                                               : b,
                                             &ratio);
            ratios_add(&ratios, ratio);
        }
        const double median = stats_median(n, percent);
        report_goal(r, forms[f].name, "b 32-64, n,m 64-256", median, forms[f].goal, median >= forms[f].least);
    }
    gemm_step_rows(r, &ratios);
    if (!ratios.count) return;
    const double mean = exp(ratios.logs / ratios.count);
    report_goal(r, "gemm", "all of these", mean, "2: geometric mean >= 1.1 OpenBLAS", mean >= 1.1);
    report_goal(r, "gemm", "slowest of these", ratios.worst, "2: no shape < 0.95 OpenBLAS",
                ratios.worst >= 0.95);
}

const KernelBench kernel_bench_gemm = {"gemm", gemm_rows, 1};
