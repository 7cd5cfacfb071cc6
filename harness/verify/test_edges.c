/* Kernels where their callers seldom go: no rows at all, one of everything, a number beside a block's end, a gate at and
 * beyond its clamps; and what no equation returns: the surprise, argmax, Adam's moments, what a backward pass adds to. Each
 * on every instruction set that runs here, against an exact value or a double with a derived bound. */
#include "test_edges.h"
#include "base/parallel.h"

/* ---- matrix product --------------------------------------------------------------------------------------- */

/* Integers, so that float32 is exact: the product into NaN, or on top of integers; what lies between rows of C stays. */
typedef void (*Product)(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda,
                        const float *B, int64_t ldb, float *C, int64_t ldc, int accumulate);
static int64_t check_product(Product run, GemmForm form, int64_t M, int64_t N, int64_t K, int accumulate) {
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
    run(form, M, N, K, a, lda, b, ldb, c, ldc, accumulate);
    expect_bits(c, want, M * ldc, "product");
    float *const all[] = {a, b, c, want};
    for (int i = 0; i < 4; i++) run_array_free(all[i]);
    return M * N;
}

/* These integers are bf16 as well. */
static int64_t check_products(GemmForm form, int64_t M, int64_t N, int64_t K, int accumulate) {
    return check_product(kernel->gemm->run, form, M, N, K, accumulate) +
           check_product(kernel->bf16->run, form, M, N, K, accumulate);
}

Test(edges, products_of_every_small_size) {
    static const int64_t sizes[] = {0, 1, 2, 7, 16, 17, 33};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < SIZES * SIZES * SIZES; i++)
            for (int form = GEMM_NN; form <= GEMM_TN; form++)
                for (int accumulate = 0; accumulate < 2; accumulate++)
                    checks += check_products((GemmForm)form, sizes[i % SIZES], sizes[i / SIZES % SIZES],
                                             sizes[i / SIZES / SIZES], accumulate);
    ledger_record("edges", "products", checks, 0);
}

/* Rows and depth at and beside the blocks of gemm.c, with both sides packed and not; several threads, more than blocks. */
Test(edges, products_beside_the_ends_of_blocks) {
    static const int64_t sizes[][3] = {{95, 33, 128},  {96, 40, 129},  {97, 33, 255},  {193, 65, 256},
                                       {150, 70, 257}, {13, 300, 257}, {48, 64, 513},  {1, 64, 8000},
                                       {300, 1, 1700}, {200, 17, 150}, {769, 33, 260}, {1200, 65, 129},
                                       {1600, 34, 300}};
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int form = GEMM_NN; form <= GEMM_TN; form++) {
                omp_set_num_threads(i % 2 ? 3 : 1);
                checks += check_products((GemmForm)form, sizes[i][0], sizes[i][1], sizes[i][2], i % 3 == 0);
            }
    ledger_record("edges", "products in blocks", checks, 0);
}

/* ---- norm ------------------------------------------------------------------------------------------------- */

/* A row of zeros is a row of zeros, and as many rows as one likes, none too, are the same as one after the other. */
Test(edges, norm_of_rows_is_that_of_each_row) {
    static const int64_t sizes[][3] = {{0, 1, 5}, {1, 1, 1}, {5, 1, 16}, {5, 3, 17}, {1100, 3, 20}};
    enum { X, Z, DOUT, OUT, DX, DZ, NORMS };
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 10; i++) {
            NormShape s = {sizes[i / 2][0], sizes[i / 2][1], sizes[i / 2][2], 0, 0, 0, NORM_EPS};
            const int64_t row = s.groups * s.width, n = s.rows * row;
            float *gain = numbers(row, 1, 1), *dgain = numbers(row, 1, 2), *dgain_one = copied(dgain, row),
                  *workspace = run_array(norm_workspace(&s, 1), NAN), *x[NORMS], *one[NORMS];
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
    static const int64_t vocabularies[] = {1, 2, 16, 17, 40, 90, 4100};
    enum { ROWS = 9 };
    const float scale = 0.25f;
    double worst = 0;
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < 14; i++) {
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
