/* Facts about test-time training that do not come from its reference (arXiv 2407.04620). */
#include "test_reference.h"
#include <complex.h>

enum { SEEDS = 3, WIDEST = 8, PARTS = 4 };
static const char *const chunk_of[] = {"ttt_linear_chunk", "ttt_mlp_chunk"};
static const char *const dual_of[] = {"ttt_linear_dual", "ttt_mlp_dual"};
static const char *const loss_of[] = {"ttt_linear_loss", "ttt_mlp_loss"};
static const char *const part_of[2][PARTS] = {{"W", "b"}, {"W1", "b1", "W2", "b2"}};

/* Dimensions that only the model of two layers has. */
static const char *hidden(int layers) { return layers > 1 ? " hidden=5" : ""; }

static const char *end_of(const char *part, char *name) {
    sprintf(name, "%s_end", part);
    return name;
}

static Case chunk_case(const char *const *of, int layers, uint64_t seed, int tokens, int mini_batch,
                       int own) {
    return case_new(of[layers - 1], seed, "tokens=%d heads=2 head_width=4 mini_batch=%d residual=%d%s",
                    tokens, mini_batch, own, hidden(layers));
}

/* ---- the inner gradient, by complex step of the loss that the reference computes --------------------------- */

static void expect_gradient(const Case *c, int layers) {
    double *along[EQUATION_ARGUMENTS] = {0}, *out[EQUATION_ARGUMENTS] = {0}, loss;
    out[0] = &loss;
    for (int p = 0; p < 2 * layers; p++) {
        char name[8];
        sprintf(name, "d%s", part_of[layers - 1][p]);
        const int64_t n = c->in_size[p];
        along[p] = oracle_zeros(n);
        for (int64_t j = 0; j < n; j++) {
            along[p][j] = 1;
            oracle_run(&reference_complex_double, &c->dims, constant(c->in), constant(along), c->out, out,
                       NULL, NULL);
            along[p][j] = 0;
            expect_formula(c, name, j, loss);
        }
        free(along[p]);
        along[p] = 0;
    }
}

Test(relatives_ttt, the_inner_gradient_is_that_of_its_loss) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (int layers = 1; layers <= 2; layers++) {
            Case c = case_new(loss_of[layers - 1], seed, "head_width=4%s", hidden(layers));
            case_run(&c);
            expect_gradient(&c, layers);
            case_free(&c);
        }
}

/* ---- mini-batches of one token, by brute force -------------------------------------------------------------- */

/* One head's inner model; its weights W_1, b_1, W_2, b_2 one after another. */
typedef struct {
    int layers, n[3];
    const double *gain, *bias;
    double eps;
} Inner;

static int inner_size(const Inner *m) {
    int size = 0;
    for (int l = 1; l <= m->layers; l++) size += (m->n[l - 1] + 1) * m->n[l];
    return size;
}

/* The tanh form, written with tanh. */
static double complex gelu_of(double complex x) {
    return x / 2 * (1 + ctanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

/* z(x) in z, LN(z) in y. */
static void inner_read(const Inner *m, const double complex *w, const double *x, double complex *z,
                       double complex *y) {
    const int D = m->n[0];
    double complex h[WIDEST], mean = 0, square = 0;
    for (int i = 0; i < D; i++) h[i] = x[i];
    for (int l = 1; l <= m->layers; l++) {
        const int in = m->n[l - 1], out = m->n[l];
        for (int j = 0; j < out; j++) {
            z[j] = w[in * out + j];
            for (int i = 0; i < in; i++) z[j] += h[i] * w[i * out + j];
        }
        for (int j = 0; j < out; j++) h[j] = gelu_of(z[j]);
        w += (in + 1) * out;
    }
    for (int j = 0; j < D; j++) mean += z[j] / D, square += z[j] * z[j] / D;
    for (int j = 0; j < D; j++)
        y[j] = m->gain[j] * (z[j] - mean) / csqrt(square - mean * mean + m->eps) + m->bias[j];
}

static double complex inner_loss(const Inner *m, const double complex *w, const double *k, const double *v) {
    double complex z[WIDEST], y[WIDEST], loss = 0;
    inner_read(m, w, k, z, y);
    for (int j = 0; j < m->n[0]; j++) loss += (k[j] + y[j] - v[j]) * (k[j] + y[j] - v[j]) / 2;
    return loss;
}

/* w -= step grad l, the gradient number by number. */
static void inner_step(const Inner *m, double complex *w, double step, const double *k, const double *v) {
    const int size = inner_size(m);
    double grad[2 * WIDEST * (WIDEST + 1)];
    for (int p = 0; p < size; p++) {
        const double complex was = w[p];
        w[p] = was + I * 0x1p-100;
        grad[p] = cimag(inner_loss(m, w, k, v)) * 0x1p100;
        w[p] = was;
    }
    for (int p = 0; p < size; p++) w[p] -= step * grad[p];
}

/* Head h of the case, token after token. */
static void expect_head(const Case *c, int layers, int own, int h) {
    enum { H = 2, D = 4 };
    const Inner m = {layers,
                     {D, layers > 1 ? 5 : D, D},
                     case_in(c, "ln_gain") + h * D,
                     case_in(c, "ln_bias") + h * D,
                     case_in(c, "eps")[0]};
    double complex w[2 * WIDEST * (WIDEST + 1)], z[WIDEST], y[WIDEST], *at = w;
    for (int p = 0; p < 2 * layers; p++) {
        const int64_t size = c->in_size[p] / H;
        for (int64_t j = 0; j < size; j++) *at++ = c->in[p][h * size + j];
    }
    for (int t = 0; t < case_dim(c, "tokens"); t++) {
        const int row = t * H + h;
        double q[D];
        for (int i = 0; i < D; i++) q[i] = case_in(c, "q")[row * D + i] * case_in(c, "scale")[0];
        inner_step(&m, w, case_in(c, "reader")[row] * case_in(c, "rate")[row], case_in(c, "k") + row * D,
                   case_in(c, "v") + row * D);
        inner_read(&m, w, q, z, y);
        for (int i = 0; i < D; i++) {
            const double want = creal(y[i]) + (own ? creal(z[i]) : q[i]);
            expect_formula(c, "o", row * D + i, want);
        }
    }
}

Test(relatives_ttt, mini_batches_of_one_token_are_the_sequential_rule) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (int layers = 1; layers <= 2; layers++)
            for (int own = 0; own < 2; own++) {
                Case c = chunk_case(chunk_of, layers, seed, 6, 1, own);
                case_run(&c);
                for (int h = 0; h < 2; h++) expect_head(&c, layers, own, h);
                case_free(&c);
            }
}

/* ---- forms -------------------------------------------------------------------------------------------------- */

Test(relatives_ttt, the_dual_form_is_the_primal_form) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (int layers = 1; layers <= 2; layers++)
            for (int mini_batch = 1; mini_batch <= 8; mini_batch++) {
                char name[16];
                Case a = chunk_case(chunk_of, layers, seed, 7, mini_batch, mini_batch % 2);
                Case b = chunk_case(dual_of, layers, seed, 7, mini_batch, mini_batch % 2);
                case_run(&a);
                case_run(&b);
                expect_same(&a, &b, "o");
                for (int p = 0; p < 2 * layers; p++)
                    expect_same(&a, &b, end_of(part_of[layers - 1][p], name));
                case_free(&a);
                case_free(&b);
            }
}

/* Rows from .. of every tensor of tokens, and the weights with which another case ended. */
static void continue_case(Case *part, const Case *whole, int64_t from, const Case *before, int layers) {
    for (int i = 0; i < part->inputs; i++) {
        const int64_t row = whole->in_size[i] / case_dim(whole, "tokens");
        const int tokens = !strncmp(whole->e->in[i].shape, "tokens", 6);
        memcpy(part->in[i], whole->in[i] + (tokens ? from * row : 0),
               (size_t)part->in_size[i] * sizeof(double));
    }
    for (int p = 0; before && p < 2 * layers; p++) {
        char name[16];
        memcpy(part->in[p], case_out(before, end_of(part_of[layers - 1][p], name)),
               (size_t)part->in_size[p] * sizeof(double));
    }
}

Test(relatives_ttt, a_sequence_may_be_cut_where_a_mini_batch_ends) {
    enum { T = 10, M = 3, CUT = 6, ROW = 8 };
    for (int layers = 1; layers <= 2; layers++) {
        Case whole = chunk_case(chunk_of, layers, 1, T, M, 0),
             head = chunk_case(chunk_of, layers, 1, CUT, M, 0);
        Case rest = chunk_case(chunk_of, layers, 1, T - CUT, M, 0);
        continue_case(&head, &whole, 0, NULL, layers);
        case_run(&whole);
        case_run(&head);
        continue_case(&rest, &whole, CUT, &head, layers);
        case_run(&rest);
        cr_assert(same_bits(case_out(&whole, "o"), case_out(&head, "o"), CUT * ROW));
        cr_assert(same_bits(case_out(&whole, "o") + CUT * ROW, case_out(&rest, "o"), (T - CUT) * ROW));
        for (int p = 1; p <= 2 * layers; p++)
            cr_assert(same_bits(whole.out[p], rest.out[p], whole.out_size[p]));
        case_free(&whole);
        case_free(&head);
        case_free(&rest);
    }
}

/* ---- eq 34 and eq 8 ------------------------------------------------------------------------------------------- */

enum { TOKENS = 6, WIDTH = 4 };

/* Columns j and j + WIDTH / 2 of every row become opposite: rows of zero mean. */
static void balance(double *x, int64_t n) {
    for (int64_t j = 0; j < n; j++)
        if (j % WIDTH >= WIDTH / 2) x[j] = -x[j - WIDTH / 2];
}

/* ttt_linear_chunk where its norm does nothing (gain sqrt(eps), bias 0), and ttt_layer of the same numbers. */
static void limit_cases(double eps, int own, Case *ours, Case *plain) {
    *ours = case_new("ttt_linear_chunk", 1, "tokens=%d heads=1 head_width=%d mini_batch=1 residual=%d",
                     TOKENS, WIDTH, own);
    *plain = case_new("ttt_layer", 1, "tokens=%d n0=%d n1=%d", TOKENS, WIDTH + 1, WIDTH);
    static const char *const balanced[] = {"W", "b", "k", "v"};
    for (int i = 0; i < 4; i++) balance(case_in(ours, balanced[i]), case_in_size(ours, balanced[i]));
    case_set(ours, "ln_gain", sqrt(eps));
    case_set(ours, "ln_bias", 0);
    case_set(ours, "eps", eps);
    case_set(ours, "scale", 1);
    memcpy(case_in(plain, "M0"), case_in(ours, "W"), WIDTH * WIDTH * sizeof(double));
    memcpy(case_in(plain, "M0") + WIDTH * WIDTH, case_in(ours, "b"), WIDTH * sizeof(double));
    for (int t = 0; t < TOKENS; t++) {
        double *k = case_in(plain, "k") + t * (WIDTH + 1), *q = case_in(plain, "q") + t * (WIDTH + 1);
        memcpy(k, case_in(ours, "k") + t * WIDTH, WIDTH * sizeof(double));
        memcpy(q, case_in(ours, "q") + t * WIDTH, WIDTH * sizeof(double));
        k[WIDTH] = q[WIDTH] = 1;
        case_in(plain, "theta")[t] = case_in(ours, "reader")[t] * case_in(ours, "rate")[t];
        for (int j = 0; j < WIDTH; j++)
            case_in(plain, "v")[t * WIDTH + j] = case_in(ours, "v")[t * WIDTH + j] - k[j];
    }
}

static double limit_difference(double eps, int own) {
    Case ours, plain;
    double worst = 0;
    limit_cases(eps, own, &ours, &plain);
    case_run(&ours);
    case_run(&plain);
    for (int j = 0; j < TOKENS * WIDTH; j++) {
        const double read = case_out(&plain, "y")[j], residual = own ? read : case_in(&ours, "q")[j];
        worst = fmax(worst, fabs(case_out(&ours, "o")[j] - residual - read));
    }
    case_free(&ours);
    case_free(&plain);
    return worst;
}

/* ttt_layer is ttt_linear with mini-batches of one token where the norm is the identity: rows of zero mean, ln_gain^2 =
 * eps and variances that vanish beside eps; keys and queries then carry a 1 for the bias, values are v - k, and the
 * residual goes on top. What is left falls as 1 / eps. */
Test(relatives_ttt, without_norm_and_residual_it_is_the_ttt_layer_of_eq_8) {
    for (int own = 0; own < 2; own++) {
        const double near = limit_difference(0x1p20, own), far = limit_difference(0x1p30, own);
        cr_assert(near < 1e-4 && near > 1e-9, "eps 2^20: %g", near);
        cr_assert(fabs(far * 0x1p10 / near - 1) < 0.01, "eps 2^20: %g, 2^30: %g", near, far);
    }
}

/* ---- the layer -------------------------------------------------------------------------------------------------- */

/* Without a rate nothing is learned, and with mini-batches of one token there are no positions: every row for itself. */
Test(relatives_ttt, a_layer_without_a_rate_mixes_nothing) {
    enum { T = 5, D = 8 };
    for (int layers = 1; layers <= 2; layers++) {
        const char *name = layers > 1 ? "mixer_ttt_mlp" : "mixer_ttt_linear";
        const char *format = layers > 1 ? "tokens=%d width=%d heads=2 mini_batch=1 output_gate=1 expansion=2"
                                        : "tokens=%d width=%d heads=2 mini_batch=1 output_gate=1";
        char text[96];
        snprintf(text, sizeof text, format, (int)T, (int)D);
        Case a = case_new(name, 1, "%s", text), b = case_new(name, 1, "%s", text);
        case_set(&a, "base_rate", 0), case_set(&b, "base_rate", 0);
        for (int t = 0; t < T; t++)
            memcpy(case_in(&b, "x") + t * D, case_in(&a, "x") + (T - 1 - t) * D, D * sizeof(double));
        case_run(&a);
        case_run(&b);
        for (int t = 0; t < T; t++)
            cr_assert(same_bits(a.out[0] + t * D, b.out[0] + (T - 1 - t) * D, D), "row %d", t);
        case_set(&a, "base_rate", 1), case_set(&b, "base_rate", 1);
        case_run(&a);
        case_run(&b);
        cr_assert(!same_bits(a.out[0] + D, b.out[0] + (T - 2) * D, D), "what is learned is read");
        case_free(&a);
        case_free(&b);
    }
}
