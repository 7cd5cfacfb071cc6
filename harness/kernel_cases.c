#include "kernel_cases.h"
#include "check.h"
#include "model/random.h"
#include "naive/memory_naive.h"
#include "progress.h"
#include "stats.h"
#include "trainer.h"

#include <dlfcn.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double LEAST = 2e-3;
static const Work NONE = {0, 0};

void report_row(KernelReport *r, const KernelRow *row, const Timing *t) {
    const double rate = row->flop / t->seconds;
    fprintf(r->file, "%s\t%s\t%d\t%s\t%.2f\t%.1f\t%s\t%.3f\t%s\t%s\n", row->kernel, K->isa, row->threads,
            row->shape, rate / 1e9, 100.0 * rate / t->peak, row->bar_name, row->ratio, row->goal,
            row->met < 0 ? "-"
            : row->met   ? "yes"
                         : "no");
    fprintf(stderr, "kernels: %-16s %-24s %7.1f Gflop/s %5.1f%% of peak  %s %.2f %s%s\n", row->kernel,
            row->shape, rate / 1e9, 100.0 * rate / t->peak, row->bar_name, row->ratio,
            row->met < 0 ? "" : row->goal,
            row->met < 0 ? ""
            : row->met   ? "  met"
                         : "  MISSED");
    if (t->drift > r->drift) r->drift = t->drift;
}

void report_goal(KernelReport *r, const char *kernel, const char *shape, double value, const char *goal,
                 int met) {
    fprintf(r->file, "%s\t%s\t%d\t%s\t-\t-\t%s\t%.3f\t%s\t%s\n", kernel, K->isa, omp_get_max_threads(), shape,
            "summary", value, goal, met ? "yes" : "no");
    fprintf(stderr, "kernels: goal %s: %s %s = %.3f  %s\n", goal, kernel, shape, value,
            met ? "met" : "MISSED");
}

static float *random_floats(int64_t n, double scale) {
    float *x = aligned_alloc(64, ((size_t)n * sizeof(float) + 127) / 64 * 64);
    Random random = {(uint64_t)n};
    CHECK(x, "no memory for %ld floats", n);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(scale * (2.0 * random_uniform(&random) - 1.0));
    return x;
}

/* ---- gemm, with OpenBLAS as the bar when the system has it ---- */

typedef void (*Sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                      const float *b, int ldb, float beta, float *c, int ldc);
static Sgemm openblas(void) {
    static Sgemm sgemm;
    static int tried;
    if (tried++) return sgemm;
    void *library = dlopen("libopenblas.so.0", RTLD_NOW);
    void *found = library ? dlsym(library, "cblas_sgemm") : 0,
         *threads = library ? dlsym(library, "openblas_set_num_threads") : 0;
    if (!found) fprintf(stderr, "kernels: no OpenBLAS on this system, its bar is left out\n");
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
    K->gemm->run(g->form, g->M, g->N, g->K, g->a, lda, g->b, ldb, g->c, g->N, g->form == GEMM_TN);
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
    const Timing t =
        timing_measure((Work){gemm_ours, &g}, openblas() ? (Work){gemm_bar, &g} : NONE, 1, r->rounds, LEAST);
    snprintf(shape, sizeof shape, "%lldx%lldx%lld", (long long)M, (long long)N, (long long)depth);
    *ratio = t.bar_seconds > 0.0 ? t.bar_seconds / t.seconds : 0.0;
    const KernelRow row = {
        names[form], shape, openblas() ? "openblas" : "-", 1, 2.0 * (double)(M * N * depth), *ratio, "-", -1};
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

void cases_gemm(KernelReport *r) {
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
    if (!ratios.count) return;
    const double mean = exp(ratios.logs / ratios.count);
    report_goal(r, "gemm", "all of these", mean, "2: geometric mean >= 1.1 OpenBLAS", mean >= 1.1);
    report_goal(r, "gemm", "slowest of these", ratios.worst, "2: no shape < 0.95 OpenBLAS",
                ratios.worst >= 0.95);
}

/* ---- neural memory ---- */

typedef struct {
    MemoryShape shape;
    MemoryInput in;
    float *data, *initial, *state, *y, *snapshots, *workspace, *gradients, *dstate, *naive;
    MemoryGradient d;
    int64_t weights, first;
} MemoryCase;

static MemoryCase memory_case(int64_t heads, int64_t chunk, int64_t tokens, int layers, int64_t outer,
                              int64_t hidden) {
    MemoryCase c = {.shape = {1, heads, tokens, chunk, 0, layers, {0}}};
    for (int l = 0; l <= layers; l++) c.shape.width[l] = l == 0 || l == layers ? outer : hidden;
    for (int l = 1; l <= layers; l++) c.weights += c.shape.width[l - 1] * c.shape.width[l];
    c.first = c.shape.width[0] * c.shape.width[1];
    const int64_t n = tokens * heads, wide = n * outer, chunks = (tokens + chunk - 1) / chunk;
    c.data = random_floats(3 * wide + 3 * n, 1.0 / sqrt((double)outer));
    float *gates = c.data + 3 * wide;
    for (int64_t i = 0; i < n; i++)
        gates[i] = 0.99f, gates[n + i] = 0.01f / (float)chunk, gates[2 * n + i] = 0.5f;
    c.in = (MemoryInput){c.data, c.data + wide, c.data + 2 * wide, gates, gates + n, gates + 2 * n};
    c.initial = random_floats(heads * 3 * c.weights, 1.0 / sqrt((double)hidden));
    c.state = random_floats(heads * 3 * c.weights, 1.0);
    c.y = random_floats(wide, 1.0);
    c.snapshots = random_floats(heads * chunks * 2 * c.weights, 1.0);
    c.workspace = random_floats((int64_t)omp_get_num_procs() * K->memory->workspace_floats(&c.shape), 0.0);
    c.gradients = random_floats(3 * wide + 3 * n, 0.0);
    float *g = c.gradients;
    c.d = (MemoryGradient){g, g + wide, g + 2 * wide, g + 3 * wide, g + 3 * wide + n, g + 3 * wide + 2 * n};
    c.dstate = random_floats(heads * 2 * c.weights, 0.0);
    c.naive = random_floats(c.weights + 20 * (hidden > outer ? hidden : outer), 0.0);
    return c;
}

static void memory_case_free(MemoryCase *c) {
    float *all[] = {c->data,      c->initial,   c->state,  c->y,    c->snapshots,
                    c->workspace, c->gradients, c->dstate, c->naive};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void memory_restore(MemoryCase *c) {
    memcpy(c->state, c->initial, (size_t)(c->shape.heads * 3 * c->weights) * sizeof(float));
}

static void memory_scan_run(void *context) {
    MemoryCase *c = context;
    const MemoryOutput out = {c->y, 0, 0};
    memory_restore(c);
    K->memory->forward_scan(&c->shape, &c->in, c->state, &out, c->workspace);
}

static void memory_dual_run(void *context) {
    MemoryCase *c = context;
    const MemoryOutput out = {c->y, 0, 0};
    memory_restore(c);
    K->memory->forward_dual(&c->shape, &c->in, c->state, &out, c->workspace);
}

static void memory_backward_run(void *context) {
    MemoryCase *c = context;
    memset(c->dstate, 0, (size_t)(c->shape.heads * 2 * c->weights) * sizeof(float));
    K->memory->backward(&c->shape, &c->in, c->snapshots, c->y, &c->d, c->dstate, c->workspace);
}

static void naive_run(MemoryCase *c, int tuned) {
    memory_restore(c);
    (tuned ? naive_tuned : naive_plain)(c->shape.tokens, c->shape.chunk, c->shape.layers, c->shape.width,
                                        c->in.k, c->in.v, c->in.q, c->in.keep, c->in.theta, c->in.eta,
                                        c->state, c->y, c->naive);
}
static void naive_plain_run(void *context) { naive_run(context, 0); }
static void naive_tuned_run(void *context) { naive_run(context, 1); }

static const struct {
    const char *name;
    int layers;
    int64_t outer, hidden;
} memories[] = {{"64-64", 1, 64, 64},
                {"128-128", 1, 128, 128},
                {"64-128-64", 2, 64, 128},
                {"64-256-64", 2, 64, 256},
                {"128-512-128", 2, 128, 512}};
enum { MEMORIES = sizeof memories / sizeof *memories };

/* Flop of the recurrence itself: 10 per weight in the first layer, 12 above (goal 3 counts them at the FMA
 * peak). */
static double scan_flop(const MemoryCase *c) {
    return (double)(c->shape.tokens * c->shape.heads) * (12.0 * (double)c->weights - 2.0 * (double)c->first);
}

/* Exact flop of the dual form with the causal half of the chunk's own products. */
static double dual_flop(const MemoryCase *c, int backward) {
    const MemoryShape *s = &c->shape;
    const double b = (double)s->chunk, chunks = (double)s->tokens / b;
    double flop = 0.0;
    for (int l = 1; l <= s->layers; l++) {
        const double n = (double)s->width[l - 1], m = (double)s->width[l];
        flop += backward ? (l == 1 ? 20.0 : 24.0) * b * n * m + b * b * (3.0 * n + 2.0 * m)
                         : (l == 1 ? 10.0 : 12.0) * b * n * m + b * b * (n + m);
    }
    return chunks * flop * (double)s->heads;
}

static void memory_forward_rows(KernelReport *r, int i, double scan_percent[2]) {
    const char *name = memories[i].name;
    MemoryCase c = memory_case(1, 64, 1024, memories[i].layers, memories[i].outer, memories[i].hidden);
    const int kib = (int)(8 * c.weights >> 10), counted = kib >= 64 && kib <= 1024;
    Timing t = timing_measure((Work){memory_scan_run, &c}, (Work){memory_dual_run, &c}, 1, r->rounds, LEAST);
    const double percent = 100.0 * scan_flop(&c) / t.seconds / t.peak;
    const KernelRow scan = {"memory.scan",
                            name,
                            "memory.dual",
                            1,
                            scan_flop(&c),
                            t.bar_seconds / t.seconds,
                            counted ? "3: >= 80 % of its floor" : "-",
                            counted ? percent >= 80.0 : -1};
    report_row(r, &scan, &t);
    if (counted && percent < scan_percent[0]) scan_percent[0] = percent;
    t = timing_measure((Work){memory_dual_run, &c}, NONE, 1, r->rounds, LEAST);
    const double dual = 100.0 * dual_flop(&c, 0) / t.seconds / t.peak,
                 wanted = memories[i].outer == 64 ? 70.0 : 78.0;
    const KernelRow row = {"memory.dual",
                           name,
                           "-",
                           1,
                           dual_flop(&c, 0),
                           0.0,
                           wanted == 70.0 ? "5: >= 70 % of peak" : "5: >= 78 % of peak",
                           dual >= wanted};
    report_row(r, &row, &t);
    memory_case_free(&c);
}

static void memory_naive_rows(KernelReport *r, int i) {
    MemoryCase c = memory_case(1, 64, 256, memories[i].layers, memories[i].outer, memories[i].hidden);
    const int counted = memories[i].hidden <= 256;
    Timing t = timing_measure((Work){memory_scan_run, &c}, (Work){naive_plain_run, &c}, 1,
                              r->rounds < 3 ? r->rounds : 3, LEAST);
    double ratio = t.bar_seconds / t.seconds;
    const KernelRow plain = {"memory.scan",
                             memories[i].name,
                             "naive -O2",
                             1,
                             scan_flop(&c),
                             ratio,
                             counted ? "6: >= 12x naive -O2" : "-",
                             counted ? ratio >= 12.0 : -1};
    report_row(r, &plain, &t);
    t = timing_measure((Work){memory_scan_run, &c}, (Work){naive_tuned_run, &c}, 1, r->rounds, LEAST);
    ratio = t.bar_seconds / t.seconds;
    const KernelRow tuned = {"memory.scan",
                             memories[i].name,
                             "naive -O3 native fast-math",
                             1,
                             scan_flop(&c),
                             ratio,
                             counted ? "6: >= 2.1x naive tuned" : "-",
                             counted ? ratio >= 2.1 : -1};
    report_row(r, &tuned, &t);
    memory_case_free(&c);
}

static void memory_backward_rows(KernelReport *r, int i) {
    MemoryCase c = memory_case(1, 64, 1024, memories[i].layers, memories[i].outer, memories[i].hidden);
    const MemoryOutput out = {c.y, c.snapshots, 0};
    memory_restore(&c);
    K->memory->forward_scan(&c.shape, &c.in, c.state, &out, c.workspace);
    const Timing t =
        timing_measure((Work){memory_backward_run, &c}, (Work){memory_dual_run, &c}, 1, r->rounds, LEAST);
    const double percent = 100.0 * dual_flop(&c, 1) / t.seconds / t.peak, times = t.seconds / t.bar_seconds;
    const KernelRow row = {
        "memory.backward", memories[i].name,          "memory.dual",        1,
        dual_flop(&c, 1),  t.bar_seconds / t.seconds, "9: >= 65 % of peak", percent >= 65.0};
    report_row(r, &row, &t);
    report_goal(r, "memory.backward", memories[i].name, times, "9: <= 2.4 x dual forward", times <= 2.4);
    memory_case_free(&c);
}

void cases_memory(KernelReport *r) {
    double scan[2] = {1e9, 0.0};
    for (int i = 0; i < MEMORIES; i++) {
        memory_forward_rows(r, i, scan);
        memory_naive_rows(r, i);
        memory_backward_rows(r, i);
    }
    report_goal(r, "memory.scan", "state 64 KiB - 1 MiB", scan[0], "3: all >= 80 % of the floor",
                scan[0] >= 80.0);
}

/* ---- attention ---- */

typedef struct {
    AttendShape shape;
    float *q, *k, *v, *y, *cache, *statistics, *workspace;
} AttendCase;

static AttendCase attend_case(int64_t tokens, int64_t width) {
    AttendCase c = {.shape = attend_plain(1, 1, tokens, 0, attend_round(tokens), width)};
    float **each[] = {&c.q, &c.k, &c.v, &c.y};
    for (int i = 0; i < 4; i++) *each[i] = random_floats(tokens * width, 1.0);
    c.cache = random_floats(K->attend->cache_floats(&c.shape), 0.0);
    c.statistics = random_floats(2 * tokens, 0.0);
    c.workspace = random_floats((int64_t)omp_get_num_procs() * K->attend->workspace_floats(&c.shape), 0.0);
    K->attend->append(&c.shape, c.k, c.v, c.cache);
    return c;
}

static void attend_case_free(AttendCase *c) {
    float *all[] = {c->q, c->k, c->v, c->y, c->cache, c->statistics, c->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void attend_forward_run(void *context) {
    AttendCase *c = context;
    K->attend->forward(&c->shape, c->q, c->cache, c->y, c->statistics, c->workspace);
}

static void attend_backward_run(void *context) {
    AttendCase *c = context;
    K->attend->backward(&c->shape, c->q, c->cache, c->y, c->statistics, c->y, c->q, c->k, c->v, 0, 0,
                        c->workspace);
}

static void attend_rows(KernelReport *r, int64_t tokens) {
    char shape[32];
    AttendCase c = attend_case(tokens, 64);
    const double flop = 2.0 * 64.0 * (double)tokens * (double)tokens;
    snprintf(shape, sizeof shape, "N=%lld d=64", (long long)tokens);
    Timing t = timing_measure((Work){attend_forward_run, &c}, NONE, 1, r->rounds, LEAST);
    const double percent = 100.0 * flop / t.seconds / t.peak;
    const KernelRow row = {"attend",
                           shape,
                           "-",
                           1,
                           flop,
                           0.0,
                           tokens >= 1024 ? "11: >= 68 % of peak" : "-",
                           tokens >= 1024 ? percent >= 68.0 : -1};
    report_row(r, &row, &t);
    if (tokens <= 1024) {
        t = timing_measure((Work){attend_backward_run, &c}, NONE, 1, r->rounds, LEAST);
        const KernelRow back = {"attend.backward", shape, "-", 1, 2.5 * flop, 0.0, "-", -1};
        report_row(r, &back, &t);
    }
    attend_case_free(&c);
}

/* Goal 13: a 16K sequence through causal attention and through the memory, same head. */
static void crossover_row(KernelReport *r) {
    AttendCase a = attend_case(16384, 64);
    MemoryCase m = memory_case(1, 64, 16384, 2, 64, 128);
    const Timing t = timing_measure((Work){memory_scan_run, &m}, (Work){attend_forward_run, &a}, 1,
                                    r->rounds < 3 ? r->rounds : 3, LEAST);
    const double ratio = t.bar_seconds / t.seconds;
    const KernelRow row = {"memory.scan",
                           "64-128-64 N=16K",
                           "attend N=16K d=64",
                           1,
                           scan_flop(&m),
                           ratio,
                           "13: attention >= 12 x memory time",
                           ratio >= 12.0};
    report_row(r, &row, &t);
    attend_case_free(&a);
    memory_case_free(&m);
}

void cases_attention(KernelReport *r) {
    for (int64_t n = 256; n <= 4096; n *= 2) attend_rows(r, n);
    crossover_row(r);
}

/* ---- kernels that move memory: useful traffic against the copy bandwidth at the same footprint ---- */

typedef struct {
    int64_t rows, width;
    float *x, *y, *z, *gain, *dx;
    int32_t *target;
    double *loss;
} RowsCase;

static void conv_run(void *context) {
    const RowsCase *c = context;
    const ConvShape s = {1, c->rows, 4, c->width / 4, 4, 1};
    K->conv->forward(&s, c->x, 0, c->gain, c->y);
}
static void norm_run(void *context) {
    const RowsCase *c = context;
    K->norm->forward(&(NormShape){c->rows, 1, c->width}, c->x, c->gain, 0, c->y);
}
static void norm_gate_run(void *context) {
    const RowsCase *c = context;
    K->norm->forward(&(NormShape){c->rows, 4, c->width / 4}, c->x, c->gain, c->z, c->y);
}
static void swiglu_run(void *context) {
    const RowsCase *c = context;
    K->act->swiglu(c->rows * c->width, c->x, c->z, c->y);
}
static void loss_run(void *context) {
    const RowsCase *c = context;
    K->loss->forward(c->rows, c->width, c->x, c->target, c->loss, c->target);
    for (int64_t i = 0; i < c->rows; i++) c->target[i] = 0;
}
static void adamw_run(void *context) {
    const RowsCase *c = context;
    const AdamwStep step = {1e-9f, 0.9f, 0.98f, 1e-8f, 0.0f, 1.0f, 1.0f, 1.0f};
    K->adamw->update(c->rows * c->width, &step, c->x, c->y, c->z, c->dx);
}

void cases_elementwise(KernelReport *r) {
    static const struct {
        const char *name;
        void (*run)(void *);
        double flop, arrays; /* per element; arrays read and written */
    } cases[] = {{"conv+silu+l2", conv_run, 40, 2},   {"norm", norm_run, 5, 2},
                 {"norm+gate", norm_gate_run, 28, 3}, {"swiglu", swiglu_run, 24, 3},
                 {"loss", loss_run, 22, 1},           {"adamw", adamw_run, 15, 7}};
    const int64_t rows = 2048, width = 256, n = rows * width;
    RowsCase c = {rows,
                  width,
                  random_floats(n, 1),
                  random_floats(n, 1),
                  random_floats(n, 1),
                  random_floats(4 * width, 1),
                  random_floats(n, 0),
                  calloc((size_t)rows, sizeof(int32_t)),
                  calloc((size_t)rows, sizeof(double))};
    const double bandwidth = timing_bandwidth(n, r->rounds);
    fprintf(r->file, "# copy bandwidth, two arrays of %.1f MiB: %.1f GB/s\n", 4.0 * (double)n / 1048576.0,
            bandwidth / 1e9);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Timing t = timing_measure((Work){cases[i].run, &c}, NONE, 1, r->rounds, LEAST);
        const double roof =
            fmax(4.0 * cases[i].arrays * (double)n / bandwidth, cases[i].flop * (double)n / t.peak);
        const KernelRow row = {cases[i].name,    "2048x256", "roofline", 1, cases[i].flop * (double)n,
                               roof / t.seconds, "-",        -1};
        report_row(r, &row, &t);
    }
    float *all[] = {c.x, c.y, c.z, c.gain, c.dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(c.target);
    free(c.loss);
}

/* ---- threads: goals 15 and 16 ---- */

static void memory_threads_row(KernelReport *r, int threads) {
    MemoryCase c = memory_case(8, 64, 1024, 2, 64, 128);
    omp_set_num_threads(1);
    const Timing one = timing_measure((Work){memory_scan_run, &c}, NONE, 1, r->rounds, 4 * LEAST);
    omp_set_num_threads(threads);
    const Timing two = timing_measure((Work){memory_scan_run, &c}, NONE, threads, r->rounds, 4 * LEAST);
    const double speedup = one.seconds / two.seconds;
    const KernelRow row = {"memory.scan",
                           "64-128-64 8 heads",
                           "1 thread",
                           threads,
                           scan_flop(&c),
                           speedup,
                           "15: 2 threads >= 1.85 x 1",
                           threads == 2 ? speedup >= 1.85 : -1};
    report_row(r, &row, &two);
    memory_case_free(&c);
}

static void step_run(void *context) {
    char message[512];
    StepReport report;
    CHECK(!trainer_step(context, &report, message, sizeof message), "%s", message);
}

/* Goal 16: useful flop of forward and backward (three times the forward) over the FMA peak of all threads. */
static void step_row(KernelReport *r, const char *mixer, int threads) {
    Config config;
    TrainConfig train;
    Trainer trainer;
    char message[512], shape[64];
    config_defaults(&config, &train);
    snprintf(config.mixer, sizeof config.mixer, "%s", mixer);
    snprintf(train.task, sizeof train.task, "niah1");
    snprintf(train.curriculum, sizeof train.curriculum, "512:1000000");
    config.width = 256, config.heads = 4, config.layers = 2, config.ffn = 512, config.memory_layers = 2,
    config.expansion = 2, config.persistent = 16, config.segment = config.window = 128;
    train.batch = 8, train.rate = 1e-5;
    CHECK(!trainer_create(&trainer, &config, &train, message, sizeof message), "%s", message);
    const Timing t =
        timing_measure((Work){step_run, &trainer}, NONE, threads, r->rounds < 5 ? r->rounds : 5, 0.1);
    const double tokens = 8.0 * 512.0, flop = 3.0 * tokens * model_flops(&trainer.model, 256.0, 0);
    const double percent = 100.0 * flop / t.seconds / t.peak;
    snprintf(shape, sizeof shape, "%s d=256 2 layers 8x512", mixer);
    const KernelRow row = {"train.step",          shape,          "-", threads, flop, 0.0,
                           "16: >= 50 % of peak", percent >= 50.0};
    report_row(r, &row, &t);
    trainer_free(&trainer);
}

/* Resident memory of this process in KiB. */
static double resident_kib(void) {
    long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024.0;
}

/* Goal 14: one sequence of 2M tokens through a small memory model, segment by segment. */
void cases_stream(KernelReport *r) {
    enum { SEGMENT = 512, TOKENS = 1 << 21, SEGMENTS = TOKENS / SEGMENT, PART = SEGMENTS / 100 };
    static double seconds[SEGMENTS];
    Config config;
    TrainConfig unused;
    Model model;
    State state;
    Arena arena = {0};
    char message[256];
    double early = 0.0;
    config_defaults(&config, &unused);
    config.vocab = 174;
    CHECK(!model_create(&model, &config, 1, message, sizeof message), "%s", message);
    state_start(&state, &model, 1, 0);
    Random random = {1};
    for (int i = 0; i < SEGMENTS; i++) {
        arena_reset(&arena);
        Tape tape = {&arena, 0, 0};
        int32_t *tokens = arena_take(&arena, SEGMENT * sizeof *tokens);
        for (int t = 0; t < SEGMENT; t++) tokens[t] = (int32_t)random_below(&random, 174);
        const ModelInput input = {tokens, 1, SEGMENT, 0, 0, 0.0f, 0, 0};
        const double began = seconds_now();
        model_forward(&tape, &model, &state, &input);
        seconds[i] = seconds_now() - began;
        if (i == 100000 / SEGMENT) early = resident_kib();
    }
    const double growth = resident_kib() - early;
    const double ratio = stats_median(PART, seconds) / stats_median(PART, seconds + SEGMENTS - PART);
    report_goal(r, "stream", "KiB at 2M tokens over 100K", growth, "14: <= 1024 KiB", growth <= 1024.0);
    report_goal(r, "stream", "speed of last over first 1 % of 2M tokens", ratio, "14: 0.97 to 1.03",
                ratio >= 0.97 && ratio <= 1.03);
    state_free(&state);
    arena_free(&arena);
    model_free(&model);
}

void cases_threads(KernelReport *r) {
    const int threads = omp_get_max_threads();
    memory_threads_row(r, threads);
    for (int i = 0; mixer_at(i); i++) step_row(r, mixer_at(i)->name, threads);
}
