/* Facts about chunks with constant parameters and about persistent memory that do not come from the reference
 * (section 3.2, erratum E17; eqs 19-20). */
#include "test_reference.h"
#include <gsl/gsl_fft_complex.h>

enum { T = 64, N = 3, SEEDS = 3 };

static Case kernel_case(const char *name, double alpha, double eta) {
    Case c = case_new(name, 1, "tokens=%d", T);
    case_set(&c, "alpha", alpha);
    case_set(&c, "eta", eta);
    return c;
}

/* Seeded u, M_0, S_0 with the kernel of its alpha and eta. */
static Case chunk_case(uint64_t seed, double alpha, double theta, double eta) {
    Case c = case_new("chunk_lti", seed, "tokens=%d n=%d", T, N);
    Case kernel = kernel_case("lti_kernel", alpha, eta);
    case_run(&kernel);
    memcpy(case_in(&c, "kernel"), kernel.out[0], T * sizeof(double));
    case_set(&c, "alpha", alpha);
    case_set(&c, "theta", theta);
    case_set(&c, "eta", eta);
    case_free(&kernel);
    return c;
}

static const double gates[][2] = {{0, 0},           {0, 0.5}, {0.5, 0}, {0.25, 0.5},
                                  {0.0625, 0.9375}, {1, 0.5}, {1, 0},   {0, 1}};
enum { GATES = sizeof gates / sizeof *gates };

/* c_n = sum_{i<=n} rho^i eta^(n-i), summed as it stands. */
static double kernel_sum(double rho, double eta, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i <= n; i++) {
        double term = 1;
        for (int64_t s = 0; s < n; s++) term *= s < i ? rho : eta;
        sum += term;
    }
    return sum;
}

Test(reference_lti, kernel_is_the_sum_of_products_of_decay_and_momentum) {
    for (int g = 0; g < GATES; g++) {
        Case c = kernel_case("lti_kernel", gates[g][0], gates[g][1]);
        case_run(&c);
        for (int64_t n = 0; n < T; n++) {
            double want = kernel_sum(1 - gates[g][0], gates[g][1], n);
            expect_near(&c, n, c.out[0][n], want, c.tolerance[0][n] + 2 * T * 0x1p-53 * want);
        }
        case_free(&c);
    }
}

/* E17: also where rho = eta (gates 4 is confluent), and 2^-20 away from it, where the closed form loses
 * (rho + eta) / |rho - eta|, which its own bound knows. */
Test(reference_lti, closed_kernel_is_the_recursion_and_has_no_hole) {
    for (int g = 0; g < GATES + 2; g++) {
        double alpha = g < GATES ? gates[g][0] : 0.25, eta = g < GATES ? gates[g][1] : 0.75;
        if (g == GATES + 1) eta += 0x1p-20;
        Case a = kernel_case("lti_kernel", alpha, eta), b = kernel_case("lti_kernel_closed", alpha, eta);
        case_run(&a);
        case_run(&b);
        expect_finite(&b);
        expect_same(&a, &b, "kernel");
        if (g < GATES) cr_assert(largest(b.tolerance[0], T) < 1e-11 * largest(b.out[0], T), "gates %d", g);
        case_free(&a);
        case_free(&b);
    }
}

Test(reference_lti, closed_kernel_has_the_slope_of_the_recursion_even_where_confluent) {
    for (int g = 0; g < 2; g++)
        for (int64_t n = 0; n < 8; n++) {
            double slope[2][2], cotangent[T] = {0};
            const double *given[] = {cotangent};
            cotangent[n] = 1;
            for (int closed = 0; closed < 2; closed++) {
                Case c = kernel_case(closed ? "lti_kernel_closed" : "lti_kernel", 0.25, g ? 0.75 : 0.5);
                double *grad[] = {&slope[closed][0], &slope[closed][1]};
                oracle_gradient(&c.dims, constant(c.in), given, grad, NULL);
                case_free(&c);
            }
            for (int i = 0; i < 2; i++)
                cr_assert(fabs(slope[0][i] - slope[1][i]) <= 1e-13 * (1 + fabs(slope[0][i])), "c_%d", (int)n);
        }
}

/* M_t = rho M_{t-1} + S_t, S_t by eq 18. */
Test(reference_lti, convolution_is_the_recurrence) {
    for (int g = 0; g < GATES; g++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            double rho = 1 - gates[g][0];
            Case c = chunk_case(seed, gates[g][0], 0.125, gates[g][1]);
            Case momentum = case_new("chunk_momentum", seed, "tokens=%d n=%d", T, N);
            memcpy(case_in(&momentum, "u"), case_in(&c, "u"), T * N * sizeof(double));
            memcpy(case_in(&momentum, "S0"), case_in(&c, "S0"), N * sizeof(double));
            case_set(&momentum, "theta", 0.125);
            case_set(&momentum, "eta", gates[g][1]);
            case_run(&c);
            case_run(&momentum);
            expect_same(&c, &momentum, "S");
            for (int64_t i = 0; i < N; i++) {
                double m = case_in(&c, "M0")[i], size = fabs(m);
                for (int64_t t = 0; t < T; t++) {
                    m = rho * m + momentum.out[0][t * N + i];
                    size = rho * size + fabs(momentum.out[0][t * N + i]) +
                           momentum.tolerance[0][t * N + i] * 0x1p53;
                    expect_near(&c, t, c.out[0][t * N + i], m,
                                c.tolerance[0][t * N + i] + 2 * T * 0x1p-53 * size);
                }
            }
            case_free(&c);
            case_free(&momentum);
        }
}

/* The frozen gradients of a chunk of T tokens, L = 2, and its gates held constant: the states of eq 16. */
Test(reference_lti, convolution_of_the_inner_gradients_is_the_chunk) {
    enum { B = 6, N0 = 3, P = N0 * 4 + 4 * N0 };
    Case chunk =
             case_new("memory_chunk", 1, "tokens=%d chunk=%d memory_layers=2 n0=%d n1=4 n2=%d", B, B, N0, N0),
         lti = case_new("chunk_lti", 1, "tokens=%d n=%d", B, P);
    Case u = case_new("surprise", 1, "memory_layers=2 n0=%d n1=4 n2=%d", N0, N0),
         kernel = case_new("lti_kernel", 1, "tokens=%d", B);
    const char *const names[] = {"alpha", "theta", "eta"};
    for (int i = 0; i < 3; i++) {
        case_set(&chunk, names[i], case_in(&chunk, names[i])[0]);
        case_set(&lti, names[i], case_in(&chunk, names[i])[0]);
        if (i != 1) case_set(&kernel, names[i], case_in(&chunk, names[i])[0]);
    }
    memcpy(case_in(&u, "M"), case_in(&chunk, "M0"), P * sizeof(double));
    memcpy(case_in(&lti, "M0"), case_in(&chunk, "M0"), P * sizeof(double));
    memcpy(case_in(&lti, "S0"), case_in(&chunk, "S0"), P * sizeof(double));
    for (int64_t t = 0; t < B; t++) {
        memcpy(case_in(&u, "k"), case_in(&chunk, "k") + t * N0, N0 * sizeof(double));
        memcpy(case_in(&u, "v"), case_in(&chunk, "v") + t * N0, N0 * sizeof(double));
        case_run(&u);
        memcpy(case_in(&lti, "u") + t * P, u.out[1], P * sizeof(double));
    }
    case_run(&kernel);
    memcpy(case_in(&lti, "kernel"), kernel.out[0], B * sizeof(double));
    case_run(&chunk);
    case_run(&lti);
    for (int o = 0; o < 2; o++)
        for (int64_t p = 0, last = (B - 1) * P; p < P; p++)
            expect_near(&chunk, p, lti.out[o][last + p], chunk.out[1 + o][p],
                        lti.tolerance[o][last + p] + 2 * chunk.tolerance[1 + o][p]);
    case_free(&chunk), case_free(&lti), case_free(&u), case_free(&kernel);
}

/* ---- the convolution by fast Fourier transforms -----------------------------------------------------------
 */

static double norm(const double *x, int64_t n) { return sqrt(dot(x, x, n)); }

/* The circular convolution of length n, a power of 2, of a and b (T each, zeros behind): z (n). */
static void fourier_convolution(int64_t n, const double *a, const double *b, double *z) {
    double *f = calloc(2 * (size_t)n, sizeof(double)), *g = calloc(2 * (size_t)n, sizeof(double));
    for (int64_t i = 0; i < T; i++) f[2 * i] = a[i], g[2 * i] = b[i];
    gsl_fft_complex_radix2_forward(f, 1, (size_t)n);
    gsl_fft_complex_radix2_forward(g, 1, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        double re = f[2 * i] * g[2 * i] - f[2 * i + 1] * g[2 * i + 1];
        f[2 * i + 1] = f[2 * i] * g[2 * i + 1] + f[2 * i + 1] * g[2 * i];
        f[2 * i] = re;
    }
    gsl_fft_complex_radix2_inverse(f, 1, (size_t)n);
    for (int64_t i = 0; i < n; i++) z[i] = f[2 * i];
    free(f);
    free(g);
}

/* A radix-2 transform of length n errs by at most 7 u log2 n in the 2-norm, relatively (u per twiddle factor,
 * Higham's theorem 24.2), so the product of two transforms brings 2 x 7 u log2 n |a| |b| and its own rounding
 * 4 u |a| |b| to any element, and the inverse 7 u log2 n of the result's norm. */
Test(reference_lti, convolution_is_that_of_fast_fourier_transforms) {
    enum { PADDED = 2 * T };
    const double u = 0x1p-53, stages = log2(PADDED);
    for (int g = 0; g < GATES; g++) {
        Case c = chunk_case(1, gates[g][0], 1, gates[g][1]);
        double a[T], b[T], z[PADDED], wrapped[T], farthest = 0;
        case_set(&c, "M0", 0);
        case_set(&c, "S0", 0);
        case_run(&c);
        memcpy(a, case_in(&c, "kernel"), sizeof a);
        for (int64_t t = 0; t < T; t++) b[t] = -case_in(&c, "u")[t * N];
        fourier_convolution(PADDED, a, b, z);
        fourier_convolution(T, a, b, wrapped);
        double size = norm(a, T) * norm(b, T);
        double tolerance = 7 * u * stages * (2 * size + norm(z, PADDED)) + 4 * u * size;
        for (int64_t t = 0; t < T; t++) {
            expect_near(&c, t, c.out[0][t * N], z[t], tolerance + c.tolerance[0][t * N]);
            farthest = fmax(farthest, fabs(wrapped[t] - z[t]));
        }
        /* Without padding the end of the chunk would wrap to its start, unless the kernel is one number. */
        cr_assert((farthest > 1e6 * tolerance) == (norm(a + 1, T - 1) > 0), "gates %d: %g", g, farthest);
        case_free(&c);
    }
}

/* ---- eqs 19-20 --------------------------------------------------------------------------------------------
 */

Test(reference_persistent, prefix_stands_in_front_and_does_not_depend_on_the_input) {
    enum { D = 4, ROWS = 5 };
    for (int64_t Np = 0; Np <= 3; Np++) {
        Case c = case_new("persistent_prefix", 1, "persistent=%ld tokens=%d width=%d", Np, ROWS, D);
        double ones[ROWS * D], tangent[(3 + ROWS) * D], *out[] = {tangent};
        const double *along[] = {NULL, ones};
        for (int i = 0; i < ROWS * D; i++) ones[i] = 1;
        case_run(&c);
        cr_assert(same_bits(c.out[0], c.in[0], Np * D) && same_bits(c.out[0] + Np * D, c.in[1], ROWS * D));
        oracle_run(&reference_complex_double, &c.dims, constant(c.in), along, c.out, out, NULL, NULL);
        for (int64_t i = 0; i < (Np + ROWS) * D; i++) cr_assert(tangent[i] == (i >= Np * D), "%d", (int)i);
        case_free(&c);
    }
}

/* Eq 20 is eq 2 for one query that sees all keys; the scale of 4 channels, 2, divides out exactly. */
Test(reference_persistent, feed_forward_layer_is_attention_to_constant_keys_and_values) {
    enum { ROWS = 3, KEYS = 5, D = 4 };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case c =
            case_new("softmax_ffn", seed, "tokens=%d keys=%d key_width=%d value_width=%d", ROWS, KEYS, D, D);
        case_run(&c);
        for (int64_t t = 0; t < ROWS; t++) {
            Case one = case_new("attention", 1, "tokens=1 keys=%d head_width=%d", KEYS, D);
            for (int64_t i = 0; i < D; i++) one.in[0][i] = 2 * c.in[0][t * D + i];
            for (int i = 1; i < 3; i++) memcpy(one.in[i], c.in[i], KEYS * D * sizeof(double));
            case_run(&one);
            cr_assert(same_bits(one.out[0], c.out[0] + t * D, D), "row %d", (int)t);
            case_free(&one);
        }
        case_free(&c);
    }
}

Test(reference_persistent, feed_forward_layer_equals_its_ratio_in_long_double) {
    enum { ROWS = 2, KEYS = 4, D = 3, OUT = 5 };
    Case c = case_new("softmax_ffn", 1, "tokens=%d keys=%d key_width=%d value_width=%d", ROWS, KEYS, D, OUT);
    case_run(&c);
    for (int64_t i = 0; i < ROWS * OUT; i++) {
        long double top = 0, bottom = 0;
        for (int64_t j = 0; j < KEYS; j++) {
            long double e = expl((long double)dot(c.in[0] + i / OUT * D, c.in[1] + j * D, D));
            top += e * c.in[2][j * OUT + i % OUT];
            bottom += e;
        }
        expect_near(&c, i, c.out[0][i], (double)(top / bottom), c.tolerance[0][i]);
    }
    case_free(&c);
}
