/* Facts about the reference's mixers and language model that do not come from the reference. */
#include "test_reference.h"

enum { T = 5, D = 4, H = 2 };

static const char *const lmm_dims[] = {"taps=3 chunk=2 memory_layers=1 expansion=1",
                                       "taps=2 chunk=2 memory_layers=2 expansion=2 gate=hard"};
static const char *const model_dims[] = {"layers=2 mixer=attention",
                                         "layers=1 mixer=lmm taps=2 chunk=2 memory_layers=2 expansion=1"};

static Case mixer_case(int which, uint64_t seed) {
    if (which == 0) return case_new("mixer_attention", seed, "tokens=%d width=%d heads=%d", T, D, H);
    return case_new("mixer_lmm", seed, "tokens=%d width=%d heads=%d %s", T, D, H, lmm_dims[which - 1]);
}

static Case model_case(int which, uint64_t seed) {
    return case_new("language_model", seed, "tokens=%d vocab=5 width=%d heads=%d ffn=3 %s", T, D, H,
                    model_dims[which]);
}

Test(reference_mixer, does_not_see_the_future_and_is_not_inert) {
    for (int which = 0; which < 3; which++)
        for (int64_t t = 0; t < T; t++) {
            Case a = mixer_case(which, 1), b = mixer_case(which, 1);
            for (int64_t i = 0; i < D; i++) b.in[0][t * D + i] += 0.25;
            case_run(&a);
            case_run(&b);
            cr_assert(same_bits(a.out[0], b.out[0], t * D), "mixer %d token %d", which, (int)t);
            for (int64_t s = t; s < T; s++)
                cr_assert(!same_bits(a.out[0] + s * D, b.out[0] + s * D, D), "mixer %d: %d does not reach %d",
                          which, (int)t, (int)s);
            case_free(&a);
            case_free(&b);
        }
}

Test(reference_mixer, gives_every_tensor_an_outer_gradient) { /* E18 */
    for (int which = 0; which < 3; which++) {
        Case c = mixer_case(which, 2);
        double cotangent[T * D], *grad[EQUATION_ARGUMENTS];
        const double *given[] = {cotangent};
        uint64_t state = 9;
        for (int i = 0; i < T * D; i++) cotangent[i] = uniform(&state);
        for (int i = 0; i < c.inputs; i++) grad[i] = calloc((size_t)c.in_size[i], sizeof(double));
        oracle_gradient(&c.dims, constant(c.in), given, grad, NULL);
        for (int i = 0; i < c.inputs; i++) {
            cr_assert(c.in_size[i] == 0 || largest(grad[i], c.in_size[i]) > 1e-9,
                      "%s %d input %d: no gradient", c.name, which, i);
            free(grad[i]);
        }
        case_free(&c);
    }
}

/* The memory of a head sees nothing of another head: with W_z and W_O the identity, changing the other
 * head's columns of W_Q, W_K, W_V leaves its channels as they were. */
Test(reference_mixer, keeps_heads_apart) {
    Case a = mixer_case(1, 3), b = mixer_case(1, 3);
    enum { DH = D / H };
    for (int64_t i = 0; i < D * D; i++) {
        case_in(&a, "Wo")[i] = case_in(&b, "Wo")[i] = i % (D + 1) == 0;
        if (i % D >= DH)
            for (int w = 2; w <= 4; w++) b.in[w][i] += 0.5;
    }
    case_run(&a);
    case_run(&b);
    for (int64_t i = 0; i < T * D; i++)
        cr_assert((a.out[0][i] == b.out[0][i]) == (i % D < DH), "element %d", (int)i);
    case_free(&a);
    case_free(&b);
}

Test(reference_mixer, attention_of_constant_values_returns_them) {
    Case c = mixer_case(0, 1);
    for (int64_t i = 0; i < T * D; i++) c.in[0][i] = c.in[0][i % D];
    case_run(&c);
    for (int64_t i = D; i < T * D; i++)
        expect_near(&c, i, c.out[0][i], c.out[0][i % D], c.tolerance[0][i] + c.tolerance[0][i % D]);
    case_free(&c);
}

/* Runs an equation in double on given arrays. */
static void run(Dims dims, const double *const *in, double *const *out) {
    oracle_run(&reference_double, &dims, in, NULL, out, NULL, NULL, NULL);
}

/* y = x W, x (T x n), W (n x m) */
static void multiply(int64_t n, int64_t m, const double *x, const double *W, double *y) {
    for (int64_t i = 0; i < T * m; i++) {
        y[i] = 0;
        for (int64_t j = 0; j < n; j++) y[i] += x[i / m * n + j] * W[j * m + i % m];
    }
}

/* Column h of x (T rows of H groups of n). */
static void pick(int64_t n, int64_t h, const double *x, double *y) {
    for (int64_t t = 0; t < T; t++) memcpy(y + t * n, x + (t * H + h) * n, (size_t)n * sizeof(double));
}

Test(reference_mixer, attention_is_wired_as_its_equation_says) {
    enum { DH = D / H };
    Case c = mixer_case(0, 6);
    double qkv[3][T * D], head[3][T * DH], y[T * DH], joined[T * D], o[T * D];
    case_run(&c);
    for (int i = 0; i < 3; i++) multiply(D, D, c.in[0], c.in[1 + i], qkv[i]);
    for (int i = 0; i < 2; i++)
        run(dims_of("rope", "tokens=%d heads=%d head_width=%d", T, H, DH), (const double *[]){qkv[i]},
            (double *[]){qkv[i]});
    for (int64_t h = 0; h < H; h++) {
        for (int i = 0; i < 3; i++) pick(DH, h, qkv[i], head[i]);
        run(dims_of("attention", "tokens=%d keys=%d head_width=%d", T, T, DH),
            (const double *[]){head[0], head[1], head[2]}, (double *[]){y});
        for (int64_t i = 0; i < T * DH; i++) joined[(i / DH * H + h) * DH + i % DH] = y[i];
    }
    multiply(D, D, joined, c.in[4], o);
    for (int64_t i = 0; i < T * D; i++) expect_near(&c, i, c.out[0][i], o[i], 2 * c.tolerance[0][i]);
    case_free(&c);
}

/* The memory of one head of mixer_lmm, branches already run: b = 2, L layers, hidden width e dh. */
static void lmm_head(const Case *c, int64_t h, double (*qkv)[T * D], double (*gate)[T * H], double *joined) {
    enum { DH = D / H };
    int64_t L = case_dim(c, "memory_layers"), P = case_in_size(c, "M0") / H;
    const Dims dims = dims_of("memory_chunk", "tokens=%d chunk=2 memory_layers=%ld n0=%d n1=%ld n2=%d", T, L,
                              DH, L > 1 ? case_dim(c, "expansion") * DH : DH, DH);
    double head[3][T * DH], scalar[3][T], y[T * DH], M[64], S[64], zero[64] = {0};
    for (int i = 0; i < 3; i++) pick(DH, h, qkv[i], head[i]), pick(1, h, gate[i], scalar[i]);
    const double *in[] = {
        case_in(c, "M0") + h * P, zero, head[1], head[2], head[0], scalar[0], scalar[1], scalar[2]};
    run(dims, in, (double *[]){y, M, S});
    for (int64_t i = 0; i < T * DH; i++) joined[(i / DH * H + h) * DH + i % DH] = y[i];
}

Test(reference_mixer, lmm_is_wired_as_section_4_says) {
    enum { DH = D / H };
    for (int which = 1; which < 3; which++) {
        Case c = mixer_case(which, 6);
        double qkv[3][T * D], x[T * D], z[T * D], gate[3][T * H], g[T * 3 * H], y[T * D], o[T * D],
            zero[3 * D] = {0};
        case_run(&c);
        for (int i = 0; i < 3; i++) {
            multiply(D, D, c.in[0], c.in[2 + i], x);
            run(dims_of(i < 2 ? "conv_silu_l2" : "conv_silu", "tokens=%d heads=%d head_width=%d taps=%ld", T,
                        H, DH, case_dim(&c, "taps")),
                (const double *[]){x, c.in[5 + i], zero}, (double *[]){qkv[i]});
        }
        multiply(D, 3 * H, c.in[0], case_in(&c, "W_gates"), g);
        for (int64_t i = 0; i < T * 3 * H; i++) g[i] += case_in(&c, "b_gates")[i % (3 * H)];
        run(dims_of("gates", "tokens=%d heads=%d gate=%ld", T, H, case_dim(&c, "gate")),
            (const double *[]){g, case_in(&c, "theta_max")}, (double *[]){gate[0], gate[1], gate[2]});
        for (int64_t h = 0; h < H; h++) lmm_head(&c, h, qkv, gate, y);
        multiply(D, D, c.in[0], case_in(&c, "W_z"), z);
        run(dims_of("norm_gate", "tokens=%d heads=%d head_width=%d", T, H, DH),
            (const double *[]){y, case_in(&c, "gain"), z}, (double *[]){y});
        multiply(D, D, y, case_in(&c, "Wo"), o);
        for (int64_t i = 0; i < T * D; i++) expect_near(&c, i, c.out[0][i], o[i], 2 * c.tolerance[0][i]);
        case_free(&c);
    }
}

/* One block of the LMM model from its parameters: p walks over them. */
static const double *block(const Case *c, const Case *mixer, const double *p, double *x) {
    enum { F = 3 };
    double normed[T * D], o[T * D], a[T * F], b[T * F];
    run(dims_of("rms_norm", "tokens=%d width=%d", T, D), (const double *[]){x, p}, (double *[]){normed});
    p += D;
    const double *in[EQUATION_ARGUMENTS] = {normed};
    for (int i = 1; i < mixer->inputs - 1; i++) in[i] = p, p += mixer->in_size[i];
    in[mixer->inputs - 1] = case_in(c, "theta_max");
    run(mixer->dims, in, (double *[]){o});
    for (int i = 0; i < T * D; i++) x[i] += o[i];
    run(dims_of("rms_norm", "tokens=%d width=%d", T, D), (const double *[]){x, p}, (double *[]){normed});
    multiply(D, F, normed, p + D, a);
    multiply(D, F, normed, p + D + D * F, b);
    for (int i = 0; i < T * F; i++) a[i] = a[i] / (1 + exp(-a[i])) * b[i];
    multiply(F, D, a, p + D + 2 * D * F, o);
    for (int i = 0; i < T * D; i++) x[i] += o[i];
    return p + D + 3 * D * F;
}

Test(reference_model, is_wired_as_embedding_blocks_norm_head) {
    enum { V = 5 };
    Case c = model_case(1, 6);
    Case mixer = case_new("mixer_lmm", 6,
                          "tokens=%d width=%d heads=%d taps=2 chunk=2 memory_layers=2 expansion=1", T, D, H);
    double x[T * D], logits[T * V];
    const double *p = case_in(&c, "params") + V * D;
    case_run(&c);
    for (int i = 0; i < T * D; i++) x[i] = case_in(&c, "params")[(int64_t)c.in[0][i / D] * D + i % D];
    for (int64_t l = 0; l < case_dim(&c, "layers"); l++) p = block(&c, &mixer, p, x);
    run(dims_of("rms_norm", "tokens=%d width=%d", T, D), (const double *[]){x, p}, (double *[]){x});
    multiply(D, V, x, p + D, logits);
    for (int i = 0; i < T * V; i++) expect_near(&c, i, c.out[1][i], logits[i], 2 * c.tolerance[1][i]);
    case_free(&c);
    case_free(&mixer);
}

Test(reference_model, has_the_parameters_of_its_parts) {
    const int64_t V = 5, F = 3, mlp = D + 3 * D * F;
    const int64_t mixer[2] = {D + 4 * D * D, D + 5 * D * D + 3 * 2 * D + D * 3 * H + 3 * H + H * 2 * 4 + D};
    for (int which = 0; which < 2; which++) {
        Case c = model_case(which, 1);
        int64_t layers = case_dim(&c, "layers");
        cr_assert(case_in_size(&c, "params") == V * D + layers * (mixer[which] + mlp) + D + D * V, "model %d",
                  which);
        case_free(&c);
    }
}

Test(reference_model, with_a_zero_head_costs_log_V) {
    for (int which = 0; which < 2; which++) {
        Case c = model_case(which, 1);
        int64_t n = case_in_size(&c, "params"), V = 5;
        for (int64_t i = n - D * V; i < n; i++) case_in(&c, "params")[i] = 0;
        case_run(&c);
        expect_near(&c, 0, c.out[0][0], log((double)V), 1e-15);
        cr_assert(largest(c.out[1], T * V) == 0);
        case_free(&c);
    }
}

/* Blocks whose last matrices are zero add nothing: the logits are rms_norm(embedding) head. */
Test(reference_model, with_silent_blocks_is_its_embedding_and_head) {
    Case c = model_case(0, 1);
    const int64_t V = 5, F = 3, layer = 2 * D + 4 * D * D + 3 * D * F, Wo = V * D + D + 3 * D * D;
    double *p = case_in(&c, "params");
    for (int64_t l = 0; l < 2; l++) {
        memset(p + Wo + l * layer, 0, D * D * sizeof(double));
        memset(p + V * D + (l + 1) * layer - F * D, 0, (size_t)(F * D) * sizeof(double));
    }
    case_run(&c);
    const double *gain = p + V * D + 2 * layer, *head = gain + D;
    for (int64_t i = 0; i < T * V; i++) {
        const double *x = p + (int64_t)c.in[0][i / V] * D;
        double rms = sqrt(dot(x, x, D) / D + 1e-6), sum = 0;
        for (int64_t j = 0; j < D; j++) sum += x[j] / rms * gain[j] * head[j * V + i % V];
        expect_near(&c, i, c.out[1][i], sum, c.tolerance[1][i]);
    }
    case_free(&c);
}

Test(reference_model, gives_parameters_a_gradient_and_sees_no_future) {
    for (int which = 0; which < 2; which++) {
        Case a = model_case(which, 2);
        Case b = model_case(which, 2);
        const int64_t n = case_in_size(&a, "params"), V = 5, last = T - 1;
        b.in[0][last] = fmod(b.in[0][last] + 1, (double)V);
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[1], b.out[1], last * V) && !same_bits(a.out[1], b.out[1], T * V));
        double one = 1, *g = calloc((size_t)n, sizeof(double)), *grad[] = {NULL, NULL, NULL, g};
        const double *cotangent[] = {&one, NULL};
        int64_t zero = 0;
        oracle_gradient(&a.dims, constant(a.in), cotangent, grad, NULL);
        for (int64_t i = V * D; i < n; i++) zero += g[i] == 0;
        /* Past the embedding, where tokens may be missing from the text, no parameter is idle. */
        cr_assert(zero == 0 && isfinite(largest(g, n)), "model %d: %d idle of %d", which, (int)zero, (int)n);
        free(g);
        case_free(&a);
        case_free(&b);
    }
}
