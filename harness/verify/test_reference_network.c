/* Facts about the generalised memory network that do not come from the reference: depth, activation, residual, layer norm,
 * gates per layer and channel (eqs 12-18, errata E20 E22). */
#include "test_reference.h"

enum { N = 3, HIDDEN = 5, T = 7 };

/* The options gelu residual norm per_layer channelwise as bits of a number. */
enum { GELU = 1, RESIDUAL = 2, NORM = 4, PER_LAYER = 8, CHANNELWISE = 16, OPTIONS = 32 };

/* A memory of L layers, N - HIDDEN - .. - N; tokens, b: 0 where the equation has no such dimension. */
static Case network_case(const char *name, uint64_t seed, int64_t tokens, int64_t b, int64_t L, int options) {
    static const char *const width[] = {"n0", "n1", "n2", "n3", "n4"};
    static const char *const option[] = {"activation", "memory_residual", "memory_norm", "gates_per_layer",
                                         "channelwise"};
    Dims dims = dims_of(name, "memory_layers=%ld", L);
    if (tokens) dims_set(&dims, "tokens", tokens);
    if (b) dims_set(&dims, "chunk", b);
    for (int64_t l = 0; l <= L; l++) dims_set(&dims, width[l], l == 0 || l == L ? N : HIDDEN);
    for (int i = 0; i < 5; i++) dims_set(&dims, option[i], options >> i & 1);
    return case_at_dims(&dims, seed);
}

Test(reference_network, surprise_is_the_gradient_of_its_loss_with_gelu_norm_and_residual) { /* E20 */
    for (int64_t L = 1; L <= 4; L++)
        for (int options = 0; options < PER_LAYER; options++) {
            Case c = network_case("surprise", (uint64_t)L, 0, 0, L, options);
            int64_t P = c.in_size[0];
            double one = 1, *g = calloc((size_t)P, sizeof(double)), *grad[] = {g, NULL, NULL};
            const double *cotangent[] = {&one, NULL};
            case_run(&c);
            oracle_gradient(&c.dims, constant(c.in), cotangent, grad, NULL);
            for (int64_t p = 0; p < P; p++) expect_near(&c, p, c.out[1][p], g[p], 2 * c.tolerance[1][p]);
            cr_assert(largest(g, P) > 1e-3);
            free(g);
            case_free(&c);
        }
}

Test(reference_network, reads_two_layers_with_the_tanh_gelu_the_norm_and_the_residual) {
    for (int options = 0; options < PER_LAYER; options++) {
        Case c = network_case("memory_read", 1, 0, 0, 2, options);
        const double *W1 = c.in[0], *W2 = W1 + N * HIDDEN, *q = c.in[1];
        double a[N] = {0}, mean = 0, variance = 0;
        case_run(&c);
        for (int h = 0; h < HIDDEN; h++) {
            double x = 0;
            for (int i = 0; i < N; i++) x += q[i] * W1[i * HIDDEN + h];
            double gelu = 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
            for (int j = 0; j < N; j++) a[j] += (options & GELU ? gelu : x / (1 + exp(-x))) * W2[h * N + j];
        }
        for (int j = 0; j < N; j++) mean += a[j] / N;
        for (int j = 0; j < N; j++) variance += (a[j] - mean) * (a[j] - mean) / N;
        for (int j = 0; j < N; j++) {
            double y = options & NORM ? (a[j] - mean) / sqrt(variance + 1e-6) : a[j];
            expect_near(&c, j, c.out[0][j], options & RESIDUAL ? q[j] + y : y, 2 * c.tolerance[0][j]);
        }
        case_free(&c);
    }
}

/* On both sides of the place where the series ends and the continued fraction begins (x = 2 sqrt 2), and far out. Left of 0 the
 * sum 1 + erf has the absolute error of erf, a few u = 2^-53 of 1; nine of them, times |x| for both sides, are allowed. */
Test(reference_network, exact_gelu_is_that_of_erf) {
    Case c = case_new("gelu_exact", 1, "n=%d", 241);
    for (int i = 0; i < 241; i++) c.in[0][i] = 0.05 * (i - 120) * (i % 7 ? 1 : 2);
    case_run(&c);
    for (int i = 0; i < 241; i++) {
        const double x = c.in[0][i], y = x * erfc(-x / sqrt(2)) / 2;
        cr_assert(fabs(c.out[0][i] - y) <= 1e-15 * (1 + fabs(x)), "gelu(%g): %.17g and %.17g", x, c.out[0][i],
                  y);
    }
    case_free(&c);
}

/* E19: the residual of the whole network keeps M(k) = k alive when its weights are 0, yet 0 stays absorbing
 * for the weights from two layers on. */
Test(reference_network, of_zero_weights_is_the_residual_and_learns_only_as_one_layer) {
    for (int64_t L = 1; L <= 4; L++) {
        Case c = network_case("memory_sequential", 1, 6, 0, L, GELU | RESIDUAL | NORM);
        case_set(&c, "M0", 0);
        case_set(&c, "S0", 0);
        case_run(&c);
        double alive = largest(c.out[1], c.out_size[1]);
        cr_assert(L == 1 ? alive > 0.01 : alive == 0, "L %lld: %g", (long long)L, alive);
        if (L > 1) cr_assert(same_bits(c.out[0], case_in(&c, "q"), 6 * N), "L %lld", (long long)L);
        case_free(&c);
    }
}

Test(reference_network, chunk_of_one_token_is_the_sequential_rule_for_every_option) {
    for (int options = 0; options < OPTIONS; options++) {
        Case a = network_case("memory_sequential", 1, 5, 0, 2, options);
        Case b = network_case("memory_chunk", 1, 5, 1, 2, options);
        case_run(&a);
        case_run(&b);
        for (int o = 0; o < 3; o++) cr_assert(same_bits(a.out[o], b.out[o], a.out_size[o]), "%d", options);
        case_free(&a);
        case_free(&b);
    }
}

Test(reference_network, chunk_equals_the_closed_form_of_eq_16_for_every_option) {
    for (int options = 0; options < OPTIONS; options++)
        for (int64_t L = 1; L <= 3; L += 2) {
            Case a = network_case("chunk_closed", 1, 6, 0, L, options);
            Case b = network_case("memory_chunk", 1, 6, 6, L, options);
            case_run(&a);
            case_run(&b);
            expect_same(&a, &b, "y");
            expect_same(&a, &b, "M");
            expect_same(&a, &b, "S");
            case_free(&a);
            case_free(&b);
        }
}

Test(reference_network, chunk_splits_at_chunk_ends_for_every_option) {
    enum { B = 3, CUT = 3 };
    for (int options = 0; options < OPTIONS; options++) {
        Case whole = network_case("memory_chunk", 1, T, B, 2, options);
        Case head = network_case("memory_chunk", 1, CUT, B, 2, options);
        Case rest = network_case("memory_chunk", 1, T - CUT, B, 2, options);
        for (int i = 0; i < 8; i++) {
            int64_t row = i < 2 ? whole.in_size[i] : whole.in_size[i] / T, cut = i < 2 ? 1 : CUT;
            memcpy(head.in[i], whole.in[i], (size_t)(cut * row) * sizeof(double));
            if (i >= 2)
                memcpy(rest.in[i], whole.in[i] + CUT * row, (size_t)((T - CUT) * row) * sizeof(double));
        }
        case_run(&whole);
        case_run(&head);
        for (int i = 0; i < 2; i++)
            memcpy(rest.in[i], head.out[1 + i], (size_t)whole.in_size[i] * sizeof(double));
        case_run(&rest);
        cr_assert(same_bits(whole.out[0], head.out[0], CUT * N));
        cr_assert(same_bits(whole.out[0] + CUT * N, rest.out[0], (T - CUT) * N));
        for (int o = 1; o < 3; o++) cr_assert(same_bits(whole.out[o], rest.out[o], whole.out_size[o]));
        case_free(&whole);
        case_free(&head);
        case_free(&rest);
    }
}

/* Copies an input of `one` into that of `many`, where every number of a token is repeated. */
static void repeat_gates(const Case *one, const Case *many, const char *name) {
    int64_t times = case_in_size(many, name) / case_in_size(one, name);
    for (int64_t i = 0; i < case_in_size(many, name); i++)
        case_in(many, name)[i] = case_in(one, name)[i / times];
}

Test(reference_network, equal_gates_per_layer_and_channel_are_the_shared_gates) {
    const char *names[] = {"M0", "S0", "k", "v", "q", "alpha", "theta", "eta"};
    for (int64_t L = 1; L <= 3; L++)
        for (int options = PER_LAYER; options < OPTIONS; options += PER_LAYER) {
            Case a = network_case("memory_chunk", 2, T, 3, L, 0);
            Case b = network_case("memory_chunk", 2, T, 3, L, options);
            for (int i = 0; i < 8; i++) repeat_gates(&a, &b, names[i]);
            case_run(&a);
            case_run(&b);
            for (int o = 0; o < 3; o++)
                cr_assert(same_bits(a.out[o], b.out[o], a.out_size[o]), "%d", options);
            case_free(&a);
            case_free(&b);
        }
}

/* Eq 32: changing alpha of channel c changes column c of the last layer and, among the hidden channels, those
 * that are c modulo the head's width; with alpha of one layer, of that layer alone. */
Test(reference_network, channelwise_alpha_decays_its_own_columns) {
    for (int options = CHANNELWISE; options < OPTIONS; options += PER_LAYER)
        for (int i = 0; i < (options & PER_LAYER ? 2 * N : N); i++) {
            Case a = network_case("memory_step", 3, 0, 0, 2, options);
            Case b = network_case("memory_step", 3, 0, 0, 2, options);
            case_in(&b, "alpha")[i] = 1;
            case_run(&a);
            case_run(&b);
            cr_assert(same_bits(a.out[1], b.out[1], a.out_size[1]), "alpha reaches S");
            for (int64_t p = 0; p < a.out_size[0]; p++) {
                int64_t layer = p >= N * HIDDEN, column = layer ? (p - N * HIDDEN) % N : p % HIDDEN;
                int hit = column % N == i % N && (!(options & PER_LAYER) || layer == i / N);
                cr_assert(hit ? b.out[0][p] == b.out[1][p] : b.out[0][p] == a.out[0][p], "alpha %d weight %d",
                          i, (int)p);
            }
            case_free(&a);
            case_free(&b);
        }
}

Test(reference_network, gates_of_a_layer_move_that_layer_alone) {
    const char *names[] = {"theta", "eta"};
    for (int which = 0; which < 2; which++)
        for (int l = 0; l < 2; l++) {
            Case a = network_case("memory_step", 4, 0, 0, 2, PER_LAYER);
            Case b = network_case("memory_step", 4, 0, 0, 2, PER_LAYER);
            case_in(&b, names[which])[l] += 0.25;
            case_run(&a);
            case_run(&b);
            for (int64_t p = 0; p < a.out_size[0]; p++)
                cr_assert((a.out[0][p] != b.out[0][p]) == ((p >= N * HIDDEN) == l), "%s %d weight %d",
                          names[which], l, (int)p);
            case_free(&a);
            case_free(&b);
        }
}
