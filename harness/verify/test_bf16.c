/* The product in bf16, to the bit: every form on every instruction set against the definition in the reference, also with
 * numbers that round to nothing, overflow or are none; rounding against arithmetic in double. And where models use it. */
#include "base/dispatch.h"
#include "equation/oracle.h"
#include "ledger.h"
#include "op/op.h"
#include "base/work.h"
#include "test_model.h"

#include <float.h>
#include <omp.h>

enum { ORDINARY, WIDE, TINY, DENORMAL, SPECIAL, VANISHING, KINDS };

/* A number of that kind: within 1; exponents up to 2^60; products beside 2^-126, or below it; some that are not finite; of VANISHING each
 * operand its own, so that all products are -0 and are added to -0: what fills the last block makes them +0. */
static double number_of(int kind, int operand, uint64_t *state) {
    static const double vanishing[] = {-0x1p-100, 0x1p-100, -0.0};
    if (kind == VANISHING) return vanishing[operand];
    const double x = 2 * uniform(state) - 1, pick = uniform(state);
    const int power = (int)(uniform(state) * 120) - 60;
    if (kind == WIDE) return ldexp(x, power);
    if (kind == TINY) return ldexp(x, -62 + power / 30);
    if (kind == DENORMAL) return (double)(float)ldexp(x, pick < 0.5 ? -126 - power / 6 : -60);
    if (kind == SPECIAL && pick < 0.04)
        return pick < 0.01   ? (double)INFINITY
               : pick < 0.02 ? -(double)INFINITY
               : pick < 0.03 ? (double)NAN
                             : 3e38;
    return x;
}

/* The definition's bits of one product, and the floats that kernels get: transposed as the form says. */
typedef struct {
    int64_t M, N, K;
    double *in[3], *want;
    float *a, *b, *c;
} Product;

static float *float_rows(GemmForm transposed, GemmForm form, int64_t rows, int64_t cols, const double *x) {
    float *y = calloc((size_t)(rows * cols) + 1, sizeof *y);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            y[form == transposed ? j * rows + i : i * cols + j] = (float)x[i * cols + j];
    return y;
}

static Product product_inputs(int kind, GemmForm form, int64_t M, int64_t N, int64_t K, int accumulate) {
    Product p = {.M = M, .N = N, .K = K};
    uint64_t state = (uint64_t)(kind * 1000 + M * K + N);
    const int64_t count[] = {M * K, K * N, M * N};
    for (int i = 0; i < 3; i++) {
        p.in[i] = oracle_zeros(count[i]);
        for (int64_t j = 0; (i < 2 || accumulate) && j < count[i]; j++)
            p.in[i][j] = number_of(kind, i, &state);
    }
    p.a = float_rows(GEMM_TN, form, M, K, p.in[0]);
    p.b = float_rows(GEMM_NT, form, K, N, p.in[1]);
    p.c = float_rows(GEMM_TN, GEMM_NN, M, N, p.in[2]);
    return p;
}

static Product product_new(int kind, GemmForm form, int64_t M, int64_t N, int64_t K, int accumulate) {
    Product p = product_inputs(kind, form, M, N, K, accumulate);
    const Dims dims = dims_of("bf16_product", "rows=%ld depth=%ld columns=%ld", M, K, N);
    double *sums = oracle_zeros(M * N), *out[] = {sums, p.want = oracle_zeros(M * N)};
    oracle_run(&reference_float, &dims, constant(p.in), NULL, out, NULL, NULL, NULL);
    free(sums);
    return p;
}

static void product_free(Product *p) {
    for (int i = 0; i < 3; i++) free(p->in[i]);
    free(p->want), free(p->a), free(p->b), free(p->c);
}

/* optimized/kernel/bf16/amx.c over tiles in plain C (amx/tiles.h). */
extern const struct bf16_kernel bf16_kernel_tiles;

/* The products there are here: those of every instruction set that runs, then that one. NULL past the end. */
static const struct bf16_kernel *product_at(int i, const char **name) {
    for (int k = 0; kernels_at(k); k++) {
        if (!kernels_supported(kernels_at(k)) || i-- > 0) continue;
        *name = kernels_at(k)->isa;
        return kernels_at(k)->bf16;
    }
    *name = "tiles in C";
    return i ? NULL : &bf16_kernel_tiles;
}

static int64_t check_product(int which, int kind, GemmForm form, int64_t M, int64_t N, int64_t K,
                             int accumulate) {
    Product p = product_new(kind, form, M, N, K, accumulate);
    const char *name;
    product_at(which, &name)
        ->run(form, M, N, K, p.a, form == GEMM_TN ? M : K, p.b, form == GEMM_NT ? K : N, p.c, N, accumulate);
    for (int64_t i = 0; i < M * N; i++) {
        const double got = (double)p.c[i];
        cr_assert((isnan(p.want[i]) && isnan(got)) || same_bits(&p.want[i], &got, 1),
                  "%s: kind %d, form %d, %ld x %ld x %ld%s: [%ld] = %a, by the definition %a", name, kind,
                  (int)form, M, N, K, accumulate ? ", added" : "", i, got, p.want[i]);
    }
    product_free(&p);
    return M * N;
}

Test(bf16, products_are_the_definition_to_the_bit) {
    static const int64_t sizes[][3] = {{1, 1, 1},     {3, 5, 2},     {7, 17, 31},  {13, 33, 32},
                                       {5, 16, 33},   {20, 40, 63},  {17, 31, 66}, {2, 100, 300},
                                       {150, 33, 62}, {40, 150, 95}, {33, 32, 64}};
    const char *name;
    int64_t checks = 0;
    for (int which = 0; product_at(which, &name); which++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int form = 0; form < 3; form++)
                for (int kind = 0; kind < KINDS; kind++) {
                    omp_set_num_threads(1 + (int)(s % 3));
                    checks += check_product(which, kind, (GemmForm)form, sizes[s][0], sizes[s][1],
                                            sizes[s][2], (kind + (int)s) % 2);
                }
    ledger_record("bf16", "definition", checks, 0);
}

/* Beside the ends of all blocks, the tiles against plain C, which is checked above and quicker than the definition. */
Test(bf16, products_by_tiles_are_those_of_plain_c) {
    static const int64_t sizes[][3] = {{129, 513, 40}, {40, 30, 1030}, {260, 33, 512}, {31, 1025, 70}};
    int64_t checks = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int i = 0; i < 6; i++) {
            const int form = i / 2, accumulate = i % 2;
            const int64_t M = sizes[s][0], N = sizes[s][1], K = sizes[s][2];
            Product p = product_inputs(ORDINARY, (GemmForm)form, M, N, K, 1);
            float *plain = calloc((size_t)(M * N), sizeof *plain);
            memcpy(plain, p.c, (size_t)(M * N) * sizeof *plain);
            const int64_t lda = form == GEMM_TN ? M : K, ldb = form == GEMM_NT ? K : N;
            kernels_at(0)->bf16->run((GemmForm)form, M, N, K, p.a, lda, p.b, ldb, plain, N, accumulate);
            bf16_kernel_tiles.run((GemmForm)form, M, N, K, p.a, lda, p.b, ldb, p.c, N, accumulate);
            cr_assert(!memcmp(plain, p.c, (size_t)(M * N) * sizeof *plain), "form %d, %ld x %ld x %ld", form,
                      M, N, K);
            checks += M * N;
            free(plain);
            product_free(&p);
        }
    ledger_record("bf16", "tiles", checks, 0);
}

/* x to 8 bits in double, by the unit of its last place. */
static double rounded(double x) {
    int exponent;
    if (!isfinite(x) || fabs(x) < 0x1p-126) return isfinite(x) ? 0.0 : x;
    frexp(x, &exponent);
    const double unit = ldexp(1.0, exponent - 8), y = rint(x / unit) * unit;
    return fabs(y) > (double)FLT_MAX ? copysign((double)INFINITY, y) : y;
}

/* Every 997th float, as a product with 1. */
Test(bf16, rounding_is_to_nearest_even) {
    enum { N = 1 << 16 };
    static float x[N], y[N], one = 1.0f;
    int64_t checks = 0;
    for (int k = 0; kernels_at(k); k++) {
        if (!kernels_supported(kernels_at(k))) continue;
        kernel = kernels_at(k);
        for (uint64_t base = 0; base <= UINT32_MAX; base += (uint64_t)N * 997) {
            for (int i = 0; i < N; i++) {
                const uint32_t bits = (uint32_t)(base + (uint64_t)i * 997);
                memcpy(&x[i], &bits, sizeof bits);
            }
            kernel->bf16->run(GEMM_NN, N, 1, 1, x, 1, &one, 1, y, 1, 0);
            for (int i = 0; i < N; i++) {
                const double want = rounded((double)x[i]);
                cr_assert(isnan(want) ? isnan(y[i]) : (double)y[i] == want, "%s: %a becomes %a, not %a",
                          kernel->isa, (double)x[i], (double)y[i], want);
            }
            checks += N;
        }
    }
    ledger_record("bf16", "rounding", checks, 0);
}

/* ---- where models use it ---------------------------------------------------------------------------------- */

static Tensor *numbers_on(Tape *tape, int64_t rows, int64_t cols, uint64_t *state) {
    Tensor *t = tape_tensor(tape, rows, cols);
    for (int64_t i = 0; i < rows * cols; i++) t->data[i] = (float)(2 * uniform(state) - 1);
    return t;
}

/* A linear map, and its gradients, are the products of the tape's precision: 0 bits; of gates, of float32. */
static int64_t check_linear(Precision precision, int gate) {
    enum { R = 9, IN = 37, OUT = 21 };
    uint64_t state = 3;
    Arena arena = {0};
    Tape tape = {.arena = &arena, .recording = 1, .precision = precision};
    Tensor *x = numbers_on(&tape, R, IN, &state), *w = numbers_on(&tape, IN, OUT, &state);
    Tensor *y = (gate ? op_linear_float32 : op_linear)(&tape, x, w);
    float want[R * OUT], dx[R * IN] = {0}, dw[IN * OUT] = {0};
    for (int i = 0; i < R * OUT; i++) y->grad[i] = (float)(2 * uniform(&state) - 1);
    tape_backward(&tape);
    const int rounded = precision == BF16 && !gate, before = work_begin();
    void (*const run)(GemmForm, int64_t, int64_t, int64_t, const float *, int64_t, const float *, int64_t,
                      float *, int64_t, int) = rounded ? kernel->bf16->run : kernel->gemm->run;
    run(GEMM_NN, R, OUT, IN, x->data, IN, w->data, OUT, want, OUT, 0);
    run(GEMM_NT, R, IN, OUT, y->grad, OUT, w->data, OUT, dx, IN, 1);
    run(GEMM_TN, IN, OUT, R, x->data, IN, y->grad, OUT, dw, OUT, 1);
    work_end(before);
    cr_assert(!memcmp(y->data, want, sizeof want), "precision %d, gate %d: the map", precision, gate);
    cr_assert(!memcmp(x->grad, dx, sizeof dx), "precision %d, gate %d: the gradient of x", precision, gate);
    cr_assert(!memcmp(w->grad, dw, sizeof dw), "precision %d, gate %d: the gradient of W", precision, gate);
    arena_free(&arena);
    return R * OUT + R * IN + IN * OUT;
}

Test(bf16, linear_maps_round_forward_and_backward) {
    int64_t checks = 0;
    for (int i = 0; i < 4; i++) checks += check_linear(i / 2 ? BF16 : FLOAT32, i % 2);
    ledger_record("bf16", "linear maps", checks, 0);
}

/* Logits of a training pass, on one tape. */
static void pass_logits(Model *m, const int32_t *tokens, int64_t n, const int32_t *rows, float *logits) {
    Arena arena = {0};
    Tape tape = {.arena = &arena, .recording = 1};
    const ModelInput input = {.tokens = tokens, .batch = 1, .count = n, .rows = rows, .row_count = n};
    const Tensor *y = model_forward(&tape, m, 0, &input);
    memcpy(logits, y->data, (size_t)(n * VOCAB) * sizeof *logits);
    arena_free(&arena);
}

/* A stream's logits are those of a training pass, and not those of float32. */
Test(bf16, a_stream_gives_the_bits_of_a_training_pass) {
    enum { N = 40 };
    int64_t checks = 0;
    for (int i = 0; mixer_at(i); i++) {
        static float passed[N * VOCAB], streamed[N * VOCAB], plain[N * VOCAB];
        int32_t tokens[N], rows[N];
        char message[256];
        Model m;
        titans_error error;
        const Config c = settings(mixer_at(i)->name, every, "precision=bf16").model;
        cr_assert(!model_create(&m, &c, 5, message, sizeof message), "%s", message);
        random_tokens(N, 3, tokens);
        for (int t = 0; t < N; t++) rows[t] = t;
        pass_logits(&m, tokens, N, rows, passed);
        const titans_model library = library_model(&m);
        titans_stream *stream = stream_new(&library, 1, N);
        const titans_input input = {
            .tokens = tokens, .count = N, .rows = rows, .row_count = N, .logits = streamed};
        cr_assert(!titans_read_input(stream, &input, &error), "%s", error.message);
        titans_stream_free(stream);
        m.config.precision = FLOAT32;
        pass_logits(&m, tokens, N, rows, plain);
        cr_assert(!memcmp(passed, streamed, sizeof passed), "%s: a stream differs", m.mixer->name);
        cr_assert(memcmp(passed, plain, sizeof passed), "%s: nothing is rounded", m.mixer->name);
        model_free(&m);
        checks += N * VOCAB;
    }
    ledger_record("bf16", "streams", checks, 0);
}
