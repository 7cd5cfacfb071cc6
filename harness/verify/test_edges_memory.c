/* Edges of the memory: gates at and beyond their clamps, surprise, batches against each head alone, what is dropped. */
#include "test_edges.h"
#include "base/parallel.h"

/* ---- gates ------------------------------------------------------------------------------------------------ */

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
