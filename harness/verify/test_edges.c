/* Kernels where their callers seldom go: no rows at all, one of everything, a number beside a block's end, a gate at and
 * beyond its clamps; and what no equation returns: the surprise, argmax, Adam's moments, what a backward pass adds to. Each
 * on every instruction set that runs here, against an exact value or a double with a derived bound. */
#include "kernel_runs.h"
#include "ledger.h"
#include "base/parallel.h"
#include "kernels.h"

static const double u = 0x1p-24;

/* Selects the next instruction set that runs here; 0 behind the last. */
static int next_isa(int *i) {
    while (kernels_at(*i) && !kernels_supported(kernels_at(*i))) ++*i;
    if (!kernels_at(*i)) return 0;
    kernel = kernels_at((*i)++);
    return 1;
}

/* n integers in -most .. most. */
static float *integers(int64_t n, int most, uint64_t seed) {
    float *x = run_array(n, 0.0f);
    for (int64_t j = 0; j < n; j++) x[j] = (float)floor(uniform(&seed) * (2 * most + 1)) - (float)most;
    return x;
}

/* n numbers in [-size, size). */
static float *numbers(int64_t n, double size, uint64_t seed) {
    float *x = run_array(n, 0.0f);
    for (int64_t j = 0; j < n; j++) x[j] = (float)(size * (2 * uniform(&seed) - 1));
    return x;
}

static float *copied(const float *x, int64_t n) {
    float *y = run_array(n, 0.0f);
    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

/* How many. */
static int64_t expect_bits(const float *got, const float *want, int64_t n, const char *what) {
    for (int64_t j = 0; j < n; j++)
        cr_assert(!memcmp(got + j, want + j, sizeof *got), "%s on %s: [%lld] = %.9g, want %.9g", what,
                  kernel->isa, (long long)j, (double)got[j], (double)want[j]);
    cr_assert(run_guarded(got, n), "%s on %s writes behind an array", what, kernel->isa);
    return n;
}

static double expect_close(double got, double want, double allowed, const char *what, int64_t at) {
    cr_assert(fabs(got - want) <= allowed, "%s on %s: [%lld] = %.9g, want %.9g +- %.3g", what, kernel->isa,
              (long long)at, got, want, allowed);
    return fabs(got - want) / allowed;
}

/* ---- gates ------------------------------------------------------------------------------------------------ */

static double logistic(double z) { return 1 / (1 + exp(-z)); }

/* 1.2 sigma(z) - 0.1 is 0 and 1 at -log 11 and log 11. */
static double gate_value(GateKind kind, double z) {
    const double h = 1.2 * logistic(z) - 0.1;
    if (kind == GATE_SIGMOID) return logistic(z);
    return h < 0 ? 0 : h > 1 ? 1 : h;
}
static double gate_slope(GateKind kind, double z) {
    const double h = 1.2 * logistic(z) - 0.1, slope = logistic(z) * logistic(-z);
    if (kind == GATE_SIGMOID) return slope;
    return h > 0 && h < 1 ? 1.2 * slope : 0;
}
static double penalty_value(double z) {
    const double open = 1.2 * logistic(z + 0.7) - 0.1;
    return (open > 0 ? open : 0) + (z > 1 ? 0.1 * (z - 1) : 0);
}
static double penalty_slope(double z) {
    const double s = logistic(z + 0.7), open = 1.2 * s - 0.1;
    return (open > 0 ? 1.2 * s * (1 - s) : 0) + (z > 1 ? 0.1 : 0);
}

/* On both sides of every place where a gate or its penalty bends, far beyond, and between. */
static const float places[] = {-100, -20,     -3.0985f, -3.0975f, -2.3985f, -2.3975f, -1, 0,
                               0.5f, 0.9995f, 1.0005f,  2.3975f,  2.3985f,  7,        20, 100};
enum { PLACES = sizeof places / sizeof *places };

/* A float of a gate: sigma to 4 u, twice fmaf, once theta_max; 0 where it underflows. */
static double expect_gate(float got, double want, double size, const char *what, int64_t at) {
    if (want == 0 || want == size) /* clamped: exactly */
        cr_assert((double)got == want, "%s on %s: [%lld] = %.9g, want %.9g", what, kernel->isa, (long long)at,
                  (double)got, want);
    return expect_close((double)got, want, 8 * u * size + 0x1p-126, what, at);
}

static int64_t check_gates(const GateShape *s, double weight, double *worst) {
    const int64_t sets = s->heads * s->sets, columns = gates_columns(s), rows = s->rows;
    const int64_t alphas = s->decay ? sets * s->channels : 0, n = rows * columns;
    float *z = run_array(n, 0), *keep = run_array(rows * sets * s->channels, NAN),
          *theta = run_array(rows * sets, NAN), *eta = run_array(rows * sets, NAN), *dz = run_array(n, 0.25f),
          *dkeep = integers(rows * sets * s->channels, 4, 1), *dtheta = integers(rows * sets, 4, 2),
          *deta = integers(rows * sets, 4, 3);
    double penalty = 0;
    for (int64_t j = 0; j < n; j++) z[j] = places[(j + j / columns) % PLACES];
    kernel->gates->forward(s, z, keep, theta, eta);
    kernel->gates->backward(s, (float)weight, z, dkeep, dtheta, deta, dz);
    for (int64_t j = 0; j < n; j++) {
        const int64_t row = j / columns, c = j % columns;
        const double at = (double)z[j];
        double slope, share = 0;
        if (c < alphas) {
            const int64_t i = row * alphas + c;
            *worst =
                fmax(*worst,
                     expect_gate(keep[i], s->kind == GATE_HARD ? 1 - gate_value(s->kind, at) : logistic(-at),
                                 1, "keep", i));
            slope = -(double)dkeep[i] * gate_slope(s->kind, at);
            share = 1 / (double)s->channels;
        } else if (c < alphas + sets) {
            const int64_t i = row * sets + c - alphas;
            const double top = (double)s->theta_max;
            *worst = fmax(*worst, expect_gate(theta[i], top * gate_value(s->kind, at), top, "theta", i));
            slope = (double)dtheta[i] * top * gate_slope(s->kind, at);
            share = 1;
        } else {
            const int64_t i = row * sets + c - alphas - sets;
            *worst = fmax(*worst, expect_close((double)eta[i], logistic(at), 4 * u + 0x1p-126, "eta", i));
            slope = (double)deta[i] * logistic(at) * logistic(-at);
        }
        const double write = weight * share * penalty_slope(at);
        *worst = fmax(*worst, expect_close((double)dz[j], 0.25 + slope + write,
                                           u * (0.25 + 12 * fabs(slope) + 16 * weight * share) + 0x1p-120,
                                           "gradient of a gate", j));
        penalty += share * penalty_value(at);
    }
    for (int64_t i = 0; !s->decay && i < rows * sets * s->channels; i++) cr_assert(keep[i] == 1.0f);
    for (int64_t i = 0; !s->momentum && i < rows * sets; i++) cr_assert(eta[i] == 0.0f);
    *worst = fmax(*worst, expect_close(kernel->gates->penalty_value(s, z), penalty, 16 * u * (penalty + 1),
                                       "penalty", 0));
    cr_assert(run_guarded(keep, rows * sets * s->channels) && run_guarded(theta, rows * sets) &&
              run_guarded(eta, rows * sets) && run_guarded(dz, n));
    float *const all[] = {z, keep, theta, eta, dz, dkeep, dtheta, deta};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) run_array_free(all[i]);
    return 3 * n + 1;
}

Test(edges, gates_at_and_beyond_their_clamps) {
    static const int64_t rows[] = {0, 1, 33};
    double worst = 0;
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 3; i++)
            for (int option = 0; option < 64; option++) {
                const GateShape s = {rows[i],
                                     option & 1 ? 2 : 1,
                                     option & 2 ? 2 : 1,
                                     option & 4 ? 3 : 1,
                                     option & 8 ? GATE_HARD : GATE_SIGMOID,
                                     !(option & 16),
                                     !(option & 32),
                                     0.125f};
                checks += check_gates(&s, option % 3 ? 0.5 : 0, &worst);
            }
    ledger_record("edges", "gates", checks, worst);
}

/* ---- matrix product --------------------------------------------------------------------------------------- */

/* Integers, so that float32 is exact: the product into NaN, or on top of integers; what lies between rows of C stays. */
static int64_t check_product(GemmForm form, int64_t M, int64_t N, int64_t K, int accumulate) {
    const int64_t lda = (form == GEMM_TN ? M : K) + 1, ldb = (form == GEMM_NT ? K : N) + 2, ldc = N + 3;
    float *a = integers((form == GEMM_TN ? K : M) * lda, 3, 4),
          *b = integers((form == GEMM_NT ? N : K) * ldb, 3, 5), *c = integers(M * ldc, 3, 6),
          *want = copied(c, M * ldc);
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            float sum = accumulate ? c[i * ldc + j] : 0.0f;
            for (int64_t k = 0; k < K; k++)
                sum += (form == GEMM_TN ? a[k * lda + i] : a[i * lda + k]) *
                       (form == GEMM_NT ? b[j * ldb + k] : b[k * ldb + j]);
            want[i * ldc + j] = sum;
            if (!accumulate) c[i * ldc + j] = NAN;
        }
    kernel->gemm->run(form, M, N, K, a, lda, b, ldb, c, ldc, accumulate);
    expect_bits(c, want, M * ldc, "product");
    float *const all[] = {a, b, c, want};
    for (int i = 0; i < 4; i++) run_array_free(all[i]);
    return M * N;
}

Test(edges, products_of_every_small_size) {
    static const int64_t sizes[] = {0, 1, 2, 7, 16, 17, 33};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < SIZES * SIZES * SIZES; i++)
            for (int form = GEMM_NN; form <= GEMM_TN; form++)
                for (int accumulate = 0; accumulate < 2; accumulate++)
                    checks += check_product((GemmForm)form, sizes[i % SIZES], sizes[i / SIZES % SIZES],
                                            sizes[i / SIZES / SIZES], accumulate);
    ledger_record("edges", "products", checks, 0);
}

/* Rows and depth at and beside the blocks of gemm.c, with both sides packed and not; several threads, more than blocks. */
Test(edges, products_beside_the_ends_of_blocks) {
    static const int64_t sizes[][3] = {{95, 33, 128},  {96, 40, 129},  {97, 33, 255}, {193, 65, 256},
                                       {150, 70, 257}, {13, 300, 257}, {48, 64, 513}, {1, 64, 8000},
                                       {300, 1, 1700}, {200, 17, 150}};
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int form = GEMM_NN; form <= GEMM_TN; form++) {
                omp_set_num_threads(i % 2 ? 3 : 1);
                checks += check_product((GemmForm)form, sizes[i][0], sizes[i][1], sizes[i][2], i % 3 == 0);
            }
    ledger_record("edges", "products in blocks", checks, 0);
}

/* ---- memory ----------------------------------------------------------------------------------------------- */

/* Everything that goes into a memory's passes and comes out of them, each batch x rows x heads x width. */
enum {
    K,
    V,
    Q,
    KEEP,
    THETA,
    ETA,
    DY,
    DSTATE,
    STATE,
    SNAPSHOTS,
    Y,
    SURPRISE,
    DK,
    DV,
    DQ,
    DKEEP,
    DTHETA,
    DETA,
    ARRAYS
};
static const char *const array_names[] = {"k",  "v",      "q",     "keep",      "theta",  "eta",
                                          "dy", "dstate", "state", "snapshots", "y",      "surprise",
                                          "dk", "dv",     "dq",    "dkeep",     "dtheta", "deta"};
typedef struct {
    MemoryShape shape;
    int64_t weights, rows[ARRAYS], width[ARRAYS];
    float *x[ARRAYS];
} Memories;

static int64_t memories_size(const Memories *m, int a) {
    return m->shape.batch * m->rows[a] * m->shape.heads * m->width[a];
}

static Memories memories_shaped(const MemoryShape *s) {
    Memories m = {.shape = *s};
    const int64_t n0 = s->width[0], nl = s->width[s->layers], sets = s->per_layer ? s->layers : 1,
                  channels = s->channelwise ? nl : 1, chunks = (s->tokens + s->chunk - 1) / s->chunk;
    for (int l = 1; l <= s->layers; l++) m.weights += s->width[l - 1] * s->width[l];
    const int64_t P = m.weights,
                  width[] = {n0, nl, n0, sets * channels, sets, sets, nl, 2 * P, 3 * P, chunks * 2 * P, nl, 1,
                             n0, nl, n0, sets * channels, sets, sets};
    for (int a = 0; a < ARRAYS; a++) {
        m.rows[a] = a == DSTATE || a == STATE || a == SNAPSHOTS ? 1 : s->tokens;
        m.width[a] = width[a];
    }
    return m;
}

/* Gates in [1/4, 3/4); weights now as at the chunk's start; gradients that something was added to before. */
static Memories memories_new(const MemoryShape *s) {
    Memories m = memories_shaped(s);
    for (int a = 0; a < ARRAYS; a++) {
        const int64_t n = memories_size(&m, a);
        m.x[a] = a == SNAPSHOTS || a == Y || a == SURPRISE ? run_array(n, NAN)
                 : a >= DK                                 ? run_array(n, 0.25f)
                                                           : numbers(n, a == STATE ? 0.5 : 1, (uint64_t)a);
        for (int64_t j = 0; j < n && (a == KEEP || a == THETA || a == ETA); j++)
            m.x[a][j] = 0.5f + 0.25f * m.x[a][j];
    }
    for (int64_t i = 0; i < s->batch * s->heads; i++)
        memcpy(m.x[STATE] + (3 * i + 1) * m.weights, m.x[STATE] + 3 * i * m.weights,
               (size_t)m.weights * sizeof(float));
    return m;
}

/* The rows of head h of member b. */
static float *head_of(const float *x, int64_t rows, int64_t heads, int64_t width, int64_t b, int64_t h) {
    float *y = run_array(rows * width, 0.0f);
    for (int64_t t = 0; t < rows; t++)
        memcpy(y + t * width, x + ((b * rows + t) * heads + h) * width, (size_t)width * sizeof *y);
    return y;
}

static Memories memories_head(const Memories *m, int64_t b, int64_t h) {
    MemoryShape s = m->shape;
    s.batch = s.heads = 1;
    Memories one = memories_shaped(&s);
    for (int a = 0; a < ARRAYS; a++)
        one.x[a] = head_of(m->x[a], m->rows[a], m->shape.heads, m->width[a], b, h);
    return one;
}

static void memories_free(Memories *m) {
    for (int a = 0; a < ARRAYS; a++) run_array_free(m->x[a]);
}

typedef enum { FORM_SCAN, FORM_DUAL } MemoryForm;

/* Tokens from .. from + n of a batch of one; scratch holds no number before. */
static void memories_write(Memories *m, MemoryForm form, int64_t from, int64_t n, int backward) {
    MemoryShape s = m->shape;
    const struct memory_kernel *memory = kernel->memory;
    float *at[ARRAYS], *workspace = run_array(parallel_threads() * memory->workspace_floats(&s), NAN);
    for (int a = 0; a < ARRAYS; a++) at[a] = m->x[a] + (m->rows[a] > 1 ? from * s.heads * m->width[a] : 0);
    s.tokens = n, s.position = from % s.chunk;
    const MemoryInput in = {at[K], at[V], at[Q], at[KEEP], at[THETA], at[ETA]};
    const MemoryOutput out = {at[Y], backward ? at[SNAPSHOTS] : 0, at[SURPRISE]};
    const MemoryGradient d = {at[DK], at[DV], at[DQ], at[DKEEP], at[DTHETA], at[DETA]};
    (form == FORM_SCAN ? memory->forward_scan : memory->forward_dual)(&s, &in, at[STATE], &out, workspace);
    if (backward)
        (form == FORM_SCAN ? memory->backward_scan : memory->backward)(&s, &in, at[SNAPSHOTS], at[DY], &d,
                                                                       at[DSTATE], workspace);
    run_array_free(workspace);
}

typedef struct {
    int64_t width[5];
    int layers, gelu, residual, norm, per_layer, channelwise;
} MemoryKind;
static const MemoryKind memory_kinds[] = {
    {.layers = 1, .width = {1, 1}},
    {.layers = 1, .width = {3, 17}, .channelwise = 1},
    {.layers = 2, .width = {4, 17, 4}, .gelu = 1, .residual = 1, .norm = 1},
    {.layers = 2, .width = {4, 6, 3}, .per_layer = 1, .channelwise = 1},
    {.layers = 3, .width = {5, 16, 2, 5}, .norm = 1, .per_layer = 1},
    {.layers = 4, .width = {2, 1, 3, 1, 2}, .residual = 1},
};
enum { MEMORY_KINDS = sizeof memory_kinds / sizeof *memory_kinds, TOKENS = 8, CHUNK = 3 };

static MemoryShape memory_shape(int kind, int64_t batch, int64_t heads, int64_t tokens, int64_t chunk) {
    const MemoryKind *k = &memory_kinds[kind];
    MemoryShape s = {batch,       heads,   tokens,       chunk,         0, k->layers, {0}, k->gelu,
                     k->residual, k->norm, k->per_layer, k->channelwise};
    memcpy(s.width, k->width, sizeof s.width);
    return s;
}

static Memories memories_of(int kind, int64_t batch, int64_t heads) {
    const MemoryShape s = memory_shape(kind, batch, heads, TOKENS, CHUNK);
    return memories_new(&s);
}

static int has_form(int kind, MemoryForm form) {
    return form == FORM_SCAN || !memory_kinds[kind].channelwise;
}

/* The surprise of row t, head h, is the norm of eq 12's gradient at the weights that the open chunk began with. Allowed:
 * the running bound of every element, and the roundings of two dot products, their product and a root. */
static double expect_surprise(const Memories *m, const float *start, int64_t t, int64_t h) {
    const MemoryShape *s = &m->shape;
    const int64_t n0 = s->width[0], nl = s->width[s->layers];
    double norm = 0, error = 0;
    Case c = case_new(
        "surprise", 1,
        "memory_layers=%d n0=%ld n1=%ld n2=%ld n3=%ld n4=%ld memory_residual=%d memory_norm=%d activation=%s",
        s->layers, s->width[0], s->width[1], s->width[2], s->width[3], s->width[4], s->residual, s->norm,
        s->gelu ? "gelu" : "silu");
    for (int64_t p = 0; p < m->weights; p++) case_in(&c, "M")[p] = (double)start[h * 3 * m->weights + p];
    for (int64_t j = 0; j < n0; j++) case_in(&c, "k")[j] = (double)m->x[K][(t * s->heads + h) * n0 + j];
    for (int64_t j = 0; j < nl; j++) case_in(&c, "v")[j] = (double)m->x[V][(t * s->heads + h) * nl + j];
    oracle_run(&reference_bound, &c.dims, constant(c.in), NULL, c.out, NULL, c.tolerance, NULL);
    const int grad = place_of(c.e->out, "grad");
    for (int64_t p = 0; p < m->weights; p++) {
        norm += c.out[grad][p] * c.out[grad][p];
        error += c.tolerance[grad][p] * c.tolerance[grad][p];
    }
    case_free(&c);
    cr_assert(norm > 0);
    return expect_close((double)m->x[SURPRISE][t * s->heads + h], sqrt(norm),
                        sqrt(error) + 16 * u * sqrt(norm), "surprise", t * s->heads + h);
}

/* In one call, and in calls that end inside a chunk, at its end and behind it. */
Test(edges, surprise_is_the_norm_of_the_gradient_of_eq_12) {
    enum { HEADS = 2, CALLS = 5 };
    static const int64_t calls[2][CALLS] = {{1, 2, 3, 1, 1}, {3, 3, 2, 0, 0}};
    double worst = 0;
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 2 * MEMORY_KINDS; i++) {
            const MemoryForm form = (MemoryForm)(i % 2);
            if (!has_form(i / 2, form)) continue;
            Memories m = memories_of(i / 2, 1, HEADS), whole = memories_of(i / 2, 1, HEADS);
            memories_write(&whole, form, 0, TOKENS, 0);
            for (int64_t call = 0, from = 0; from < TOKENS; from += calls[form][call++]) {
                float *start = copied(m.x[STATE], memories_size(&m, STATE));
                memories_write(&m, form, from, calls[form][call], 0);
                for (int64_t t = from; t < from + calls[form][call]; t++)
                    for (int64_t h = 0; h < HEADS; h++, checks++)
                        worst = fmax(worst, expect_surprise(&m, start, t, h));
                run_array_free(start);
            }
            for (int a = STATE; a <= SURPRISE; a++)
                if (a != SNAPSHOTS) expect_bits(m.x[a], whole.x[a], memories_size(&m, a), array_names[a]);
            memories_free(&m), memories_free(&whole);
        }
    ledger_record("edges", "surprise", checks, worst);
}

/* Forward and backward of a batch of heads: the bits that each has alone, which the suite of the kernels judges. */
Test(edges, memories_of_a_batch_are_those_of_each_head_alone) {
    enum { BATCH = 2, HEADS = 3 };
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 2 * MEMORY_KINDS; i++) {
            const MemoryForm form = (MemoryForm)(i % 2);
            if (!has_form(i / 2, form)) continue;
            Memories all = memories_of(i / 2, BATCH, HEADS), before = memories_of(i / 2, BATCH, HEADS);
            memories_write(&all, form, 0, TOKENS, 1);
            for (int64_t b = 0; b < BATCH; b++)
                for (int64_t h = 0; h < HEADS; h++) {
                    Memories one = memories_head(&before, b, h), part = memories_head(&all, b, h);
                    memories_write(&one, form, 0, TOKENS, 1);
                    for (int a = 0; a < ARRAYS; a++)
                        checks +=
                            expect_bits(part.x[a], one.x[a], one.rows[a] * one.width[a], array_names[a]);
                    memories_free(&one), memories_free(&part);
                }
            for (int a = 0; a < ARRAYS; a++) cr_assert(run_guarded(all.x[a], memories_size(&all, a)));
            memories_free(&all), memories_free(&before);
        }
    ledger_record("edges", "memories of a batch", checks, 0);
}

/* Reading many queries, chunk rows at a time, and its gradient: the bits of one query after the other. */
Test(edges, memory_is_read_by_many_as_by_one) {
    enum { HEADS = 2, QUERIES = 16 };
    static const int64_t chunks[] = {1, 3, 16, 20};
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 4 * MEMORY_KINDS; i++) {
            MemoryShape s = memory_shape(i / 4, 1, HEADS, QUERIES, chunks[i % 4]);
            Memories m = memories_new(&s), one = memories_new(&s);
            const int64_t P = m.weights;
            float *workspace = run_array(parallel_threads() * kernel->memory->workspace_floats(&s), NAN);
            kernel->memory->read(&s, m.x[Q], m.x[STATE] + P, 3 * P, m.x[Y], workspace);
            kernel->memory->read_backward(&s, m.x[Q], m.x[STATE] + P, 3 * P, m.x[DY], m.x[DQ], m.x[DSTATE],
                                          2 * P, workspace);
            s.tokens = 1;
            for (int64_t t = 0; t < QUERIES; t++) {
                const int64_t q = t * HEADS * m.width[Q], y = t * HEADS * m.width[Y];
                kernel->memory->read(&s, m.x[Q] + q, m.x[STATE] + P, 3 * P, one.x[Y] + y, workspace);
                kernel->memory->read_backward(&s, m.x[Q] + q, m.x[STATE] + P, 3 * P, m.x[DY] + y,
                                              one.x[DQ] + q, one.x[DSTATE], 2 * P, workspace);
            }
            static const int results[] = {Y, DQ, DSTATE};
            for (int r = 0; r < 3; r++)
                checks += expect_bits(m.x[results[r]], one.x[results[r]], memories_size(&m, results[r]),
                                      array_names[results[r]]);
            run_array_free(workspace);
            memories_free(&m), memories_free(&one);
        }
    ledger_record("edges", "memory reads", checks, 0);
}

/* At a chunk's end, and not before, weights and momenta below 2^-100 become 0. */
Test(edges, memory_drops_what_is_below_its_least_number) {
    enum { N = 17 };
    static const float sizes[] = {0x1p-100f, 0x1.fffffep-101f, 0x1p-126f, 1, 0};
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 4; i++) {
            const int momentum = i % 2, full = i / 2;
            MemoryShape s = {
                .batch = 1, .heads = 1, .tokens = 2, .chunk = full ? 2 : 3, .layers = 1, .width = {1, N}};
            Memories m = memories_new(&s);
            float want[N];
            for (int a = 0; a < STATE; a++)
                for (int64_t j = 0; j < memories_size(&m, a); j++) m.x[a][j] = a == KEEP || a == ETA;
            memset(m.x[STATE], 0, 3 * N * sizeof(float));
            for (int j = 0; j < N; j++) {
                const float x = (j % 2 ? -1.0f : 1.0f) * sizes[j % 5];
                m.x[STATE][(momentum ? 2 : 1) * N + j] = x;
                want[j] = full && fabsf(x) < 0x1p-100f ? 0.0f : x;
            }
            memories_write(&m, FORM_SCAN, 0, 2, 0);
            for (int j = 0; j < N; j++, checks += 3) {
                const float *got = m.x[STATE] + j, now = momentum ? 2 * want[j] : want[j];
                if (full && momentum && want[j] == 0.0f)
                    continue; /* twice as much was written before it was dropped */
                cr_assert(got[N] == now && got[2 * N] == (momentum ? want[j] : 0.0f) &&
                              got[0] == (full ? now : 0.0f),
                          "%s: %g becomes %g, %g, %g", kernel->isa, (double)want[j], (double)got[0],
                          (double)got[N], (double)got[2 * N]);
            }
            memories_free(&m);
        }
    ledger_record("edges", "memory's least number", checks, 0);
}

/* ---- attention -------------------------------------------------------------------------------------------- */

enum { AQ, AK, AV, AKP, AVP, ADY, AY, ASTATISTICS, ADQ, ADK, ADV, ADKP, ADVP, ATTENDS };

typedef struct {
    AttendShape shape;
    int64_t rows[ATTENDS], width;
    float *x[ATTENDS];
} Attend;

static Attend attend_shaped(const AttendShape *s) {
    const int64_t keys = s->stride * s->tokens + s->lead, T = s->tokens, p = s->prefix;
    return (Attend){*s, {T, keys, keys, p, p, T, T, 0, T, keys, keys, p, p}, s->width, {0}};
}

static void attend_run(Attend *a) {
    const AttendShape *s = &a->shape;
    const struct attend_kernel *attend = kernel->attend;
    const int64_t heads = s->batch * s->heads;
    float **x = a->x, *cache = run_scratch(heads * attend->cache_floats(s)),
          *workspace = run_array(parallel_threads() * attend->workspace_floats(s), NAN);
    x[ASTATISTICS] = run_array(heads * s->tokens * 2, NAN);
    attend->append_prefix(s, x[AKP], x[AVP], cache);
    attend->append(s, x[AK], x[AV], cache);
    attend->forward(s, x[AQ], cache, x[AY], x[ASTATISTICS], workspace);
    attend->backward(s, x[AQ], cache, x[AY], x[ASTATISTICS], x[ADY], x[ADQ], x[ADK], x[ADV], x[ADKP], x[ADVP],
                     workspace);
    free(cache);
    run_array_free(workspace);
}

/* The prefix is the same for every member, its gradient is not. */
static int shared_by_members(int array) { return array == AKP || array == AVP; }

static Attend attend_head(const Attend *a, int64_t b, int64_t h) {
    AttendShape s = a->shape;
    s.batch = s.heads = 1;
    Attend one = attend_shaped(&s);
    for (int i = 0; i < ATTENDS; i++)
        if (i != ASTATISTICS)
            one.x[i] =
                head_of(a->x[i], a->rows[i], a->shape.heads, a->width, shared_by_members(i) ? 0 : b, h);
    return one;
}

/* Every mask that a mixer asks for, around blocks of 64: forward and backward have the bits of each head alone. */
Test(edges, attention_of_a_batch_is_that_of_each_head_alone) {
    static const struct {
        int64_t tokens, width, window, prefix, lead, stride;
    } sizes[] = {{1, 2, 0, 0, 0, 1},   {2, 1, 1, 1, 0, 1},  {64, 3, 0, 64, 0, 1}, {65, 17, 64, 2, 0, 1},
                 {70, 4, 9, 65, 0, 1}, {33, 4, 0, 3, 0, 2}, {40, 16, 0, 1, 40, 1}};
    enum { BATCH = 2, HEADS = 2 };
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int64_t keys = sizes[i].stride * sizes[i].tokens + sizes[i].lead;
            AttendShape s =
                attend_plain(BATCH, HEADS, sizes[i].tokens, 0, attend_round(keys), sizes[i].width);
            s.window = sizes[i].window, s.prefix = sizes[i].prefix, s.lead = sizes[i].lead,
            s.stride = sizes[i].stride;
            Attend all = attend_shaped(&s);
            for (int a = 0; a < ATTENDS; a++) {
                const int64_t n = BATCH * all.rows[a] * HEADS * s.width;
                if (a != ASTATISTICS) all.x[a] = a == AY ? run_array(n, NAN) : numbers(n, 1, (uint64_t)a);
            }
            Attend one[BATCH * HEADS];
            for (int j = 0; j < BATCH * HEADS; j++)
                one[j] = attend_head(&all, j / HEADS, j % HEADS), attend_run(&one[j]);
            attend_run(&all);
            for (int j = 0; j < BATCH * HEADS; j++) {
                Attend part = attend_head(&all, j / HEADS, j % HEADS);
                for (int a = 0; a < ATTENDS; a++) {
                    if (a == ASTATISTICS) continue;
                    expect_bits(part.x[a], one[j].x[a], part.rows[a] * s.width, "attention");
                    checks += part.rows[a] * s.width;
                }
                for (int a = 0; a < ATTENDS; a++) run_array_free(part.x[a]), run_array_free(one[j].x[a]);
            }
            for (int a = 0; a < ATTENDS; a++) run_array_free(all.x[a]);
        }
    ledger_record("edges", "attention of a batch", checks, 0);
}

/* ---- convolution ------------------------------------------------------------------------------------------ */

enum { CX, CWEIGHT, CTAIL, CDY, CY, CNEXT, CDX, CDWEIGHT, CDTAIL, CONVS };

static void conv_run(const ConvShape *s, float *const *x) {
    float *workspace = run_array(s->batch * s->tokens * s->heads * s->width, NAN);
    kernel->conv->forward(s, x[CX], x[CTAIL], x[CWEIGHT], x[CY]);
    kernel->conv->shift(s, x[CX], x[CTAIL], x[CNEXT]);
    kernel->conv->backward(s, x[CX], x[CTAIL], x[CWEIGHT], x[CDY], x[CDX], x[CDTAIL], x[CDWEIGHT], workspace);
    run_array_free(workspace);
}

/* A batch of two: the bits of one member after the other, both adding to the same gradient of the taps. */
static int64_t check_conv(int64_t tokens, int64_t taps, int64_t width, int l2, int with_tail) {
    ConvShape s = {2, tokens, 2, width, taps, l2};
    const int64_t D = 2 * width, row = tokens * D, before = (taps - 1) * D, w = taps * D,
                  size[CONVS] = {row, w, before, row, row, before, row, w, before};
    float *x[CONVS], *one[CONVS], *first[CONVS], *second[CONVS];
    for (int a = 0; a < CONVS; a++) {
        x[a] = a == CY || a == CNEXT ? run_array(2 * size[a], NAN) : numbers(2 * size[a], 1, (uint64_t)a);
        if (!with_tail && (a == CTAIL || a == CDTAIL)) run_array_free(x[a]), x[a] = 0;
        one[a] = x[a] ? copied(x[a], 2 * size[a]) : 0;
        first[a] = one[a];
        second[a] = one[a] && a != CWEIGHT && a != CDWEIGHT ? one[a] + size[a] : one[a];
    }
    conv_run(&s, x);
    s.batch = 1;
    conv_run(&s, first);
    conv_run(&s, second);
    for (int a = 0; a < CONVS; a++) {
        if (x[a]) expect_bits(x[a], one[a], 2 * size[a], "convolution");
        run_array_free(one[a]);
    }
    for (int64_t j = 0; j < 2 * before; j++) { /* the last inputs, then those of the tail, then zeros */
        const int64_t b = j / before, at = tokens * D + j % before - before;
        const float want = at >= 0     ? x[CX][b * row + at]
                           : with_tail ? x[CTAIL][b * before + before + at]
                                       : 0.0f;
        cr_assert(x[CNEXT][j] == want, "%s: tail[%ld] = %g, want %g", kernel->isa, j, (double)x[CNEXT][j],
                  (double)want);
    }
    for (int a = 0; a < CONVS; a++) run_array_free(x[a]);
    return 2 * (4 * row + 2 * before);
}

Test(edges, convolution_of_a_batch_and_its_tail) {
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int64_t tokens = 0; tokens <= 6; tokens++)
            for (int64_t taps = 1; taps <= 6; taps++)
                for (int option = 0; option < 8; option++)
                    checks += check_conv(tokens, taps, option & 4 ? 17 : 3, option & 1, option >> 1 & 1);
    ledger_record("edges", "convolution", checks, 0);
}

/* ---- norm ------------------------------------------------------------------------------------------------- */

/* A row of zeros is a row of zeros, and as many rows as one likes, none too, are the same as one after the other. */
Test(edges, norm_of_rows_is_that_of_each_row) {
    static const int64_t sizes[][3] = {{0, 1, 5}, {1, 1, 1}, {5, 1, 16}, {5, 3, 17}};
    enum { X, Z, DOUT, OUT, DX, DZ, NORMS };
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 8; i++) {
            NormShape s = {sizes[i / 2][0], sizes[i / 2][1], sizes[i / 2][2]};
            const int64_t row = s.groups * s.width, n = s.rows * row;
            float *gain = numbers(row, 1, 1), *dgain = numbers(row, 1, 2), *dgain_one = copied(dgain, row),
                  *workspace = run_array(s.rows * s.groups, NAN), *x[NORMS], *one[NORMS];
            for (int a = 0; a < NORMS; a++) {
                x[a] = a == OUT ? run_array(n, NAN) : numbers(n, 1, (uint64_t)a + 3);
                if (a == X) memset(x[a], 0, (size_t)(n < row ? n : row) * sizeof(float));
                one[a] = copied(x[a], n);
            }
            const int gated = i % 2;
            kernel->norm->forward(&s, x[X], gain, gated ? x[Z] : 0, x[OUT]);
            kernel->norm->backward(&s, x[X], gain, gated ? x[Z] : 0, x[DOUT], x[DX], dgain, x[DZ], workspace);
            s.rows = 1;
            for (int64_t at = 0; at < n; at += row) {
                kernel->norm->forward(&s, one[X] + at, gain, gated ? one[Z] + at : 0, one[OUT] + at);
                kernel->norm->backward(&s, one[X] + at, gain, gated ? one[Z] + at : 0, one[DOUT] + at,
                                       one[DX] + at, dgain_one, one[DZ] + at, workspace);
            }
            expect_bits(dgain, dgain_one, row, "gradient of a gain");
            for (int64_t j = 0; j < n && j < row; j++)
                cr_assert(x[OUT][j] == 0.0f, "norm of zeros: %g", (double)x[OUT][j]);
            for (int a = 0; a < NORMS; a++) {
                expect_bits(x[a], one[a], n, "norm");
                run_array_free(x[a]), run_array_free(one[a]);
            }
            run_array_free(gain), run_array_free(dgain), run_array_free(dgain_one), run_array_free(workspace);
            checks += NORMS * n + row;
        }
    ledger_record("edges", "norm", checks, 0);
}

/* ---- elementwise, optimizer, rows, loss ------------------------------------------------------------------- */

static const int64_t lengths[] = {0, 1, 15, 16, 17, 4095, 4096, 4097, 33000};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* Integers: exact. */
Test(edges, sums_of_any_length_are_exact_on_integers) {
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < LENGTHS; i++) {
            const int64_t n = lengths[i];
            float *x = integers(n, 2, 1), *y = integers(n, 2, 2), *sum = copied(y, n);
            double square = 0;
            for (int64_t j = 0; j < n; j++) sum[j] += x[j], square += (double)(x[j] * x[j]);
            kernel->act->add(n, x, y);
            expect_bits(y, sum, n, "sum");
            cr_assert(kernel->act->square_sum(n, x) == square, "%s: sum of %ld squares", kernel->isa, n);
            run_array_free(x), run_array_free(y), run_array_free(sum);
            checks += n + 1;
        }
    ledger_record("edges", "sums", checks, 0);
}

/* Blocks of 4096 are summed in float32, where 2^24 + 1 is 2^24, and then in double. */
Test(edges, squares_are_summed_in_blocks_of_4096) {
    enum { BLOCK = 4096 };
    int64_t checks = 0;
    for (int k = 0; next_isa(&k); checks += 2) {
        float *x = run_array(2 * BLOCK, 0.0f);
        x[0] = 0x1p12f, x[BLOCK] = 1;
        cr_assert(kernel->act->square_sum(2 * BLOCK, x) == 0x1p24 + 1, "%s: two blocks", kernel->isa);
        x[BLOCK] = 0, x[BLOCK - 16] = 1; /* in the same lane */
        cr_assert(kernel->act->square_sum(2 * BLOCK, x) == 0x1p24, "%s: one block", kernel->isa);
        run_array_free(x);
    }
    ledger_record("edges", "blocks of squares", checks, 0);
}

/* Both gates and what their backward passes add, from deep saturation to the other: sigma to 4 u, and a few products. */
Test(edges, elementwise_gates_of_any_length_add_their_gradients) {
    double worst = 0;
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 2 * LENGTHS; i++) {
            const int64_t n = lengths[i / 2];
            const int swiglu = i % 2;
            float *a = numbers(n, swiglu ? 30 : 1, 1), *b = numbers(n, swiglu ? 1 : 30, 2),
                  *dy = numbers(n, 1, 3), *y = run_array(n, NAN), *da = run_array(n, 0.25f),
                  *db = run_array(n, -0.5f);
            const struct act_kernel *act = kernel->act;
            (swiglu ? act->swiglu : act->gate)(n, a, b, y);
            (swiglu ? act->swiglu_backward : act->gate_backward)(n, a, b, dy, da, db);
            for (int64_t j = 0; j < n; j++) {
                const double A = (double)a[j], B = (double)b[j], d = (double)dy[j], z = swiglu ? A : B,
                             s = logistic(z), slope = s * logistic(-z), left = swiglu ? A * s : A,
                             right = swiglu ? B : s, dleft = swiglu ? s + A * slope : 1,
                             dright = swiglu ? 1 : slope;
                const double size = fabs(d) * (1 + fabs(A)) * (1 + fabs(B));
                worst = fmax(worst, expect_close((double)y[j], left * right,
                                                 8 * u * fabs(left * right) + 0x1p-120, "gate", j));
                worst = fmax(worst, expect_close((double)da[j], 0.25 + d * dleft * right,
                                                 u * (0.25 + 8 * size), "da", j));
                worst = fmax(worst, expect_close((double)db[j], -0.5 + d * left * dright,
                                                 u * (0.5 + 8 * size), "db", j));
            }
            cr_assert(run_guarded(y, n) && run_guarded(da, n) && run_guarded(db, n));
            float *const all[] = {a, b, dy, y, da, db};
            for (int x = 0; x < 6; x++) run_array_free(all[x]);
            checks += 3 * n;
        }
    ledger_record("edges", "elementwise gates", checks, worst);
}

/* AdamW's weights and both moments against its formulas in double, from the float32 numbers before. */
Test(edges, adamw_of_any_length_and_its_moments) {
    const AdamwStep s = {0.01f, 0.9f, 0.98f, 1e-8f, 0.1f, 2.5f, 5.0f, 0.5f};
    double worst = 0;
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < LENGTHS; i++) {
            const int64_t n = lengths[i];
            float *g = numbers(n, 1, 1), *w = numbers(n, 1, 2), *m = numbers(n, 1, 3), *v = numbers(n, 1, 4);
            for (int64_t j = 0; j < n; j++) v[j] = fabsf(v[j]);
            float *w0 = copied(w, n), *m0 = copied(m, n), *v0 = copied(v, n);
            kernel->adamw->update(n, &s, g, w, m, v);
            for (int64_t j = 0; j < n; j++) {
                const double b1 = (double)s.b1, b2 = (double)s.b2, x = 0.5 * (double)g[j];
                const double m1 = b1 * (double)m0[j] + (1 - b1) * x,
                             v1 = b2 * (double)v0[j] + (1 - b2) * x * x;
                const double m_size = b1 * fabs((double)m0[j]) + (1 - b1) * fabs(x),
                             root = sqrt(v1 * 5) + (double)s.eps;
                const double step = m1 * 2.5 / root, decay = (double)s.decay * (double)w0[j],
                             rate = (double)s.rate;
                const double want = (double)w0[j] - rate * (step + decay);
                worst = fmax(worst, expect_close((double)m[j], m1, 3 * u * m_size, "first moment", j));
                worst = fmax(worst, expect_close((double)v[j], v1, 4 * u * v1, "second moment", j));
                worst =
                    fmax(worst,
                         expect_close((double)w[j], want,
                                      u * (fabs(want) + rate * (12 * m_size * 2.5 / root + 3 * fabs(decay))),
                                      "weight", j));
            }
            cr_assert(run_guarded(w, n) && run_guarded(m, n) && run_guarded(v, n));
            float *const all[] = {g, w, m, v, w0, m0, v0};
            for (int x = 0; x < 7; x++) run_array_free(all[x]);
            checks += 3 * n;
        }
    ledger_record("edges", "adamw", checks, worst);
}

/* Rows of a table, and what is added to them, twice to some; rotation there and back, in place. */
Test(edges, rows_are_looked_up_added_and_turned) {
    static const int64_t widths[] = {1, 2, 16, 34};
    enum { TABLE = 4, ROWS = 7, BATCH = 2, T = 3, HEADS = 2 };
    static const int32_t index[ROWS] = {3, 0, 3, 1, 1, 3, 0};
    double worst = 0;
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 8; i++) {
            const int64_t width = widths[i / 2], rows = i % 2 ? ROWS : 0, n = BATCH * T * HEADS * width;
            float *table = integers(TABLE * width, 9, 1), *sum = copied(table, TABLE * width),
                  *want = copied(table, TABLE * width), *y = run_array(rows * width, NAN),
                  *angles = run_array(T * width, 0), *x = numbers(n, 1, 2), *turned = run_array(n, NAN),
                  *place = copied(x, n);
            kernel->embed->gather(rows, width, index, table, y);
            for (int64_t j = 0; j < rows * width; j++) {
                cr_assert(y[j] == table[index[j / width] * width + j % width]);
                want[index[j / width] * width + j % width] += y[j];
            }
            kernel->embed->scatter(rows, width, index, y, sum);
            expect_bits(sum, want, TABLE * width, "rows added");
            cr_assert(run_guarded(y, rows * width));
            if (width % 2 == 0) {
                const int64_t half = width / 2;
                for (int64_t j = 0; j < T * half; j++) {
                    angles[j / half * width + j % half] = (float)cos((double)j);
                    angles[j / half * width + half + j % half] = (float)sin((double)j);
                }
                kernel->embed->rope(BATCH, T, HEADS, width, angles, 1.0f, x, turned);
                kernel->embed->rope(BATCH, T, HEADS, width, angles, 1.0f, place, place);
                expect_bits(place, turned, n, "rotation in place");
                for (int64_t j = 0; j < n; j++) {
                    const int64_t at = j % width % half, t = j / width / HEADS % T,
                                  first = j / width * width + at;
                    const double c = (double)angles[t * width + at],
                                 s = (double)angles[t * width + half + at], a = (double)x[first],
                                 b = (double)x[first + half];
                    const double expected = j % width < half ? a * c - b * s : b * c + a * s;
                    worst = fmax(worst, expect_close((double)turned[j], expected, 2 * u * (fabs(a) + fabs(b)),
                                                     "rotation", j));
                }
                kernel->embed->rope(BATCH, T, HEADS, width, angles, -1.0f, turned, turned);
                for (int64_t j = 0; j < n; j++)
                    worst = fmax(worst,
                                 expect_close((double)turned[j], (double)x[j], 12 * u, "rotation back", j));
            }
            float *const all[] = {table, sum, want, y, angles, x, turned, place};
            for (int a = 0; a < 8; a++) run_array_free(all[a]);
            checks += 2 * rows * width + 2 * n;
        }
    ledger_record("edges", "rows", checks, worst);
}

/* Loss, argmax and gradient of rows that count or do not, with ties, equal rows, and scores whose exp underflows; each row
 * may use the vocabulary's ends. exp to 2 u and its argument's rounding, which e^-d d < 1/2 keeps small; sums of n/16 + 4. */
Test(edges, loss_argmax_and_gradient_of_every_row) {
    static const int64_t vocabularies[] = {1, 2, 16, 17, 40};
    enum { ROWS = 9 };
    const float scale = 0.25f;
    double worst = 0;
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 10; i++) {
            const int64_t V = vocabularies[i / 2], rows = i % 2 ? ROWS : 0;
            float *x = integers(rows * V, 3, (uint64_t)i), *dx = run_array(rows * V, 0.5f);
            int32_t target[ROWS], best[ROWS];
            double loss[ROWS];
            for (int64_t r = 0; r < rows; r++) {
                target[r] = r % 3 == 2 ? -1 : r % 3 ? (int32_t)V - 1 : 0;
                for (int64_t j = 0; j < V; j++)
                    x[r * V + j] *= r == 3 ? 0.0f : r == 4 ? 50.0f : r == 5 ? 0.3f : 1.0f;
            }
            kernel->loss->forward(rows, V, x, target, loss, best);
            kernel->loss->backward(rows, V, x, target, scale, dx);
            for (int64_t r = 0; r < rows; r++) {
                const float *row = x + r * V;
                const double roundings = 8 + (double)V / 16;
                double sum = 0;
                int64_t top = 0;
                for (int64_t j = V - 1; j >= 0; j--)
                    if (row[j] >= row[top] || j == V - 1) top = j;
                for (int64_t j = 0; j < V; j++) sum += exp((double)row[j] - (double)row[top]);
                cr_assert(best[r] == top, "%s: best of row %ld is %d, not %ld", kernel->isa, r, best[r], top);
                if (target[r] < 0)
                    cr_assert(loss[r] == 0.0);
                else
                    worst = fmax(worst,
                                 expect_close(loss[r], log(sum) + (double)row[top] - (double)row[target[r]],
                                              roundings * u, "loss", r));
                for (int64_t j = 0; j < V; j++) {
                    const double p = exp((double)row[j] - (double)row[top]) / sum,
                                 share = (double)scale * (p - (j == target[r]));
                    if (target[r] < 0)
                        cr_assert(dx[r * V + j] == 0.5f);
                    else
                        worst = fmax(worst, expect_close((double)dx[r * V + j], 0.5 + share,
                                                         u * (1 + (double)scale * (1 + roundings * p)),
                                                         "gradient of the loss", r * V + j));
                }
            }
            cr_assert(run_guarded(dx, rows * V));
            run_array_free(x), run_array_free(dx);
            checks += rows * (V + 2);
        }
    ledger_record("edges", "loss", checks, worst);
}

/* Whole vectors are copied, and nothing behind them. */
Test(edges, roofline_copies_whole_vectors) {
    static const int64_t sizes[] = {0, 15, 16, 33};
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 4; i++) {
            float *x = numbers(sizes[i], 1, 1), *y = run_array(sizes[i], 7.0f),
                  *want = run_array(sizes[i], 7.0f);
            memcpy(want, x, (size_t)(sizes[i] / 16 * 16) * sizeof *x);
            kernel->roofline->copy(sizes[i], x, y);
            expect_bits(y, want, sizes[i], "copy");
            run_array_free(x), run_array_free(y), run_array_free(want);
            checks += sizes[i];
        }
    ledger_record("edges", "roofline", checks, 0);
}
