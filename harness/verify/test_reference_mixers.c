/* Facts about the generalised memory network and the architectures of section 4 that do not come from the
 * reference (eqs 19-31, errata E6 E7 E8 E10 E13 E20). */
#include "test_reference.h"

enum { N = 3, HIDDEN = 5, D = 6, H = 2, DH = D / H, T = 7 };

/* ---- the memory network ---------------------------------------------------------------------------------
 */

/* The options gelu residual norm per_layer channelwise as bits of a number. */
enum { GELU = 1, RESIDUAL = 2, NORM = 4, PER_LAYER = 8, CHANNELWISE = 16, OPTIONS = 32 };

/* dims: up to two leading numbers, then L and widths N, HIDDEN .. N, then the options. */
static Case network_case(const char *name, uint64_t seed, int64_t tokens, int64_t b, int64_t L, int options) {
    int64_t dims[EQUATION_DIMS] = {0}, n = 0;
    if (tokens) dims[n++] = tokens;
    if (b) dims[n++] = b;
    dims[n] = L;
    for (int64_t l = 0; l <= L; l++) dims[n + 1 + l] = l == 0 || l == L ? N : HIDDEN;
    for (int i = 0; i < 5; i++) dims[n + 6 + i] = options >> i & 1;
    return case_new(name, seed, dims);
}

Test(reference_network, surprise_is_the_gradient_of_its_loss_with_gelu_norm_and_residual) { /* E20 */
    for (int64_t L = 1; L <= 4; L++)
        for (int options = 0; options < PER_LAYER; options++) {
            Case c = network_case("surprise", (uint64_t)L, 0, 0, L, options);
            int64_t P = c.in_size[0];
            double one = 1, *g = calloc((size_t)P, sizeof(double)), *grad[] = {g, NULL, NULL};
            const double *cotangent[] = {&one, NULL};
            case_run(&c);
            oracle_gradient("surprise", c.dims, constant(c.in), cotangent, grad, NULL);
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

/* ---- window and gate ------------------------------------------------------------------------------------
 */

Test(reference_window, equals_the_masked_ratio_of_eq_2_in_long_double) {
    enum { S = 6, Q = 4, W = 4 };
    for (int64_t window = 0; window <= S + 1; window++)
        for (int64_t prefix = 0; prefix <= S; prefix++) {
            Case c = case_new("window_attention", 1, (int64_t[EQUATION_DIMS]){Q, S, W, window, prefix});
            case_run(&c);
            for (int64_t i = 0; i < Q * W; i++) {
                long double top = 0, bottom = 0;
                for (int64_t j = 0, row = S - Q + i / W; j <= row; j++) {
                    if (window && j >= prefix && row - j >= window) continue;
                    long double e = expl((long double)dot(c.in[0] + i / W * W, c.in[1] + j * W, W) / 2);
                    top += e * c.in[2][j * W + i % W];
                    bottom += e;
                }
                expect_near(&c, i, c.out[0][i], (double)(top / bottom), c.tolerance[0][i]);
            }
            case_free(&c);
        }
}

Test(reference_window, as_long_as_the_sequence_is_full_attention) {
    for (int64_t window = T; window <= T + 2; window++) {
        Case a = case_new("attention", 2, (int64_t[EQUATION_DIMS]){T, T, DH});
        Case b = case_new("window_attention", 2, (int64_t[EQUATION_DIMS]){T, T, DH, window, 0});
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[0], b.out[0], T * DH));
        case_free(&a);
        case_free(&b);
    }
}

/* Row s reaches row t exactly when s <= t and (s < prefix or t - s < window). */
Test(reference_window, sees_itself_the_window_and_the_prefix_only) {
    enum { PREFIX = 2 };
    for (int64_t window = 1; window <= 3; window++)
        for (int64_t s = 0; s < T; s++) {
            const int64_t dims[EQUATION_DIMS] = {T, T, DH, window, PREFIX};
            Case a = case_new("window_attention", 3, dims), b = case_new("window_attention", 3, dims);
            for (int64_t j = 0; j < DH; j++) b.in[1][s * DH + j] += 0.25, b.in[2][s * DH + j] += 0.5;
            case_run(&a);
            case_run(&b);
            for (int64_t t = 0; t < T; t++) {
                int sees = s <= t && (s < PREFIX || t - s < window);
                cr_assert(same_bits(a.out[0] + t * DH, b.out[0] + t * DH, DH) == !sees, "window %d: %d to %d",
                          (int)window, (int)s, (int)t);
            }
            case_free(&a);
            case_free(&b);
        }
}

Test(reference_gate, is_one_normalised_side_times_the_sigmoid_of_the_other) { /* E13 */
    Case c = case_new("titans_gate", 1, (int64_t[EQUATION_DIMS]){T, H, DH});
    case_run(&c);
    for (int64_t i = 0; i < T * D; i++) {
        const double *y = c.in[0] + i / DH * DH, *m = c.in[1] + i / DH * DH;
        double left = c.in[0][i] / sqrt(dot(y, y, DH) / DH + 1e-6) * c.in[2][i % D];
        double right = c.in[1][i] / sqrt(dot(m, m, DH) / DH + 1e-6) * c.in[3][i % D];
        expect_near(&c, i, c.out[0][i], left / (1 + exp(-right)), 4 * c.tolerance[0][i]);
    }
    case_free(&c);
}

/* ---- whole mixers ---------------------------------------------------------------------------------------
 */

typedef struct Mix {
    const char *name;
    int64_t dims[EQUATION_DIMS]; /* T D H w b L e kind | gelu residual norm per_layer channelwise | per_chunk
                                    no_decay no_momentum | persistent segment window literal */
} Mix;

static const Mix mixes[] = {
    {"mixer_swa", {T, D, H, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0}},
    {"mixer_lmm", {T, D, H, 3, 5, 2, 2, 0, 1, 1, 1, 1, 1, 1, 0, 0, 2, 0, 0, 0}},
    {"mixer_lmm", {T, D, H, 0, 3, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0}},
    {"mixer_mag", {T, D, H, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0}},
    {"mixer_mag", {T, D, H, 2, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0}},
    {"mixer_mal_h3", {T, D, H, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0}},
    {"mixer_mal_h3", {T, D, H, 0, 2, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}},
    {"mixer_mac", {T, D, H, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 0, 0}},
    {"mixer_mac", {T, D, H, 2, 6, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 6, 0, 0}},
    {"mixer_mac", {T, D, H, 2, 1, 2, 2, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 3, 0, 0}},
    {"mixer_mac", {T, D, H, 0, 2, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 0, 0}},
    {"mixer_mac", {T, D, H, 2, 5, 2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 10, 0, 0}},
    {"mixer_mac", {T, D, H, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 0, 1}},
};
enum { MIXES = sizeof mixes / sizeof *mixes };

/* Positions in Mix.dims. */
enum { DIM_B = 4, DIM_PER_CHUNK = 13, DIM_PERSISTENT = 16, DIM_SEGMENT, DIM_WINDOW, DIM_LITERAL };

/* Small steps and slow forgetting: the norm's inner gradient grows as its memory shrinks. */
static Case mix_case(const Mix *mix, uint64_t seed) {
    Case c = case_new(mix->name, seed, mix->dims);
    if (name_index(c.e->in, "theta_max") < 0) return c;
    case_set(&c, "theta_max", 0x1p-6);
    for (int64_t i = 0; i < case_in_size(&c, "b_gates"); i++) case_in(&c, "b_gates")[i] -= 1;
    return c;
}

Test(reference_mixers, see_no_future_and_are_not_inert) {
    for (int which = 0; which < MIXES; which++)
        for (int64_t t = 0; t < T && !mixes[which].dims[DIM_LITERAL]; t++) {
            Case a = mix_case(&mixes[which], 1), b = mix_case(&mixes[which], 1);
            for (int64_t i = 0; i < D; i++) b.in[0][t * D + i] += 0.25;
            case_run(&a);
            case_run(&b);
            cr_assert(same_bits(a.out[0], b.out[0], t * D), "case %d: %d reaches back", which, (int)t);
            cr_assert(!same_bits(a.out[0] + t * D, b.out[0] + t * D, D), "case %d: %d is deaf", which,
                      (int)t);
            case_free(&a);
            case_free(&b);
        }
}

/* All mixers with a memory remember their first token at the last. */
Test(reference_mixers, carry_the_first_token_to_the_last) {
    for (int which = 1; which < MIXES; which++) {
        Case a = mix_case(&mixes[which], 1), b = mix_case(&mixes[which], 1);
        for (int64_t i = 0; i < D; i++) b.in[0][i] += 0.25;
        case_run(&a);
        case_run(&b);
        cr_assert(!same_bits(a.out[0] + (T - 1) * D, b.out[0] + (T - 1) * D, D), "case %d", which);
        case_free(&a);
        case_free(&b);
    }
}

Test(reference_mixers, give_every_tensor_an_outer_gradient) { /* E18 */
    for (int which = 0; which < MIXES; which++) {
        Case c = mix_case(&mixes[which], 2);
        double cotangent[T * D], *grad[EQUATION_TENSORS];
        const double *given[] = {cotangent};
        uint64_t state = 9;
        for (int i = 0; i < T * D; i++) cotangent[i] = uniform(&state);
        for (int i = 0; i < c.inputs; i++) grad[i] = calloc((size_t)c.in_size[i] + 1, sizeof(double));
        oracle_gradient(c.name, c.dims, constant(c.in), given, grad, NULL);
        for (int i = 0; i < c.inputs; i++) {
            cr_assert(c.in_size[i] == 0 || largest(grad[i], c.in_size[i]) > 1e-9, "case %d input %d", which,
                      i);
            free(grad[i]);
        }
        case_free(&c);
    }
}

/* Whether token `from` of a MAC with that mask and those gains at 0 reaches token `to`. */
static int mac_reaches(int64_t literal, const char *silenced, int64_t from, int64_t to) {
    Mix mix = {"mixer_mac", {T, D, H, 2, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, literal}};
    Case a = mix_case(&mix, 1), b = mix_case(&mix, 1);
    for (int64_t i = 0; i < D; i++) b.in[0][from * D + i] += 0.25;
    case_set(&a, silenced, 0);
    case_set(&b, silenced, 0);
    case_run(&a);
    case_run(&b);
    int reaches = !same_bits(a.out[0] + to * D, b.out[0] + to * D, D);
    case_free(&a);
    case_free(&b);
    return reaches;
}

/* With gain_m = 0 the gate is 1/2 and only the attention speaks: E6. With gain_h = 0 the context is empty and
 * only the memory can carry: E7. Token 3 ends the first segment, token 4 begins the second. */
Test(reference_mac, leaks_the_future_as_printed_and_not_by_default) {
    const char *silenced[] = {"gain_m", "gain_h"};
    for (int i = 0; i < 2; i++) {
        cr_assert(mac_reaches(1, silenced[i], 3, 0), "%s: the literal mask leaks", silenced[i]);
        cr_assert(!mac_reaches(0, silenced[i], 3, 0), "%s: the default does not", silenced[i]);
        cr_assert(!mac_reaches(1, silenced[i], 4, 3), "%s: the leak ends with the segment", silenced[i]);
    }
}

/* With an empty context (gain_h = 0) and a mute gate (gain_m = 0) a segment sees itself alone. */
Test(reference_mac, reaches_across_segments_through_the_memory_alone) {
    cr_assert(mac_reaches(0, "gain_h", 3, 4) && mac_reaches(0, "gain_m", 3, 4));
    Mix mix = mixes[7];
    Case a = mix_case(&mix, 1), b = mix_case(&mix, 1);
    for (int64_t i = 0; i < 4 * D; i++) b.in[0][i] += 0.25;
    for (int i = 0; i < 2; i++) {
        case_set(i ? &b : &a, "gain_h", 0);
        case_set(i ? &b : &a, "gain_m", 0);
    }
    case_run(&a);
    case_run(&b);
    cr_assert(same_bits(a.out[0] + 4 * D, b.out[0] + 4 * D, 3 * D));
    case_free(&a);
    case_free(&b);
}

/* A memory of zeros that never learns recalls h = 0: the queries of (21) and gain_h do not matter. */
Test(reference_mac, with_an_empty_memory_sees_an_empty_context) {
    for (int learns = 0; learns < 2; learns++) {
        Mix mix = {"mixer_mac", {T, D, H, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0}};
        Case a = mix_case(&mix, 1), b = mix_case(&mix, 1);
        for (int64_t i = 0; i < D * D; i++) case_in(&b, "Wq_r")[i] += 0.25;
        case_set(&b, "gain_h", 3);
        for (int i = 0; i < 2; i++) {
            case_set(i ? &b : &a, "M0", 0);
            case_set(i ? &b : &a, "theta_max", learns ? 0.125 : 0);
        }
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[0], b.out[0], T * D) == !learns);
        case_free(&a);
        case_free(&b);
    }
}

/* In one segment (C >= T) every token recalls M_0: what is learned shows in the gate alone, and a mute gate
 * leaves nothing of it. With an empty memory the segment's nominal length only shifts the positions of all
 * that is seen. */
Test(reference_mac, of_a_segment_longer_than_the_sequence_is_one_segment) {
    for (int64_t C = 2; C <= 10; C += 2) {
        Mix mix = {"mixer_mac", {T, D, H, 2, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, C, 0, 0}};
        Case a = mix_case(&mix, 1), b = mix_case(&mix, 1);
        for (int i = 0; i < 2; i++) case_set(i ? &b : &a, "gain_m", 0);
        case_set(&b, "theta_max", 0.5);
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[0], b.out[0], T * D) == (C >= T), "C %d", (int)C);
        case_free(&a);
        case_free(&b);
    }
    Mix mix = {"mixer_mac", {T, D, H, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, T, 0, 0}}, longer = mix;
    longer.dims[DIM_SEGMENT] = T + 3;
    Case a = mix_case(&mix, 1), b = mix_case(&longer, 1);
    for (int i = 0; i < 2; i++) case_set(i ? &b : &a, "M0", 0), case_set(i ? &b : &a, "theta_max", 0);
    case_run(&a);
    case_run(&b);
    expect_same(&a, &b, "o");
    case_free(&a);
    case_free(&b);
}

/* b = 1: every token is the first of its chunk. */
Test(reference_mixers, gates_per_chunk_of_one_token_are_gates_per_token) { /* section 3.2 */
    for (int which = 0; which < MIXES; which++)
        for (int64_t b = 1; b <= 2; b++) {
            Mix token = mixes[which], chunk = mixes[which];
            token.dims[DIM_B] = chunk.dims[DIM_B] = b;
            token.dims[DIM_PER_CHUNK] = 0, chunk.dims[DIM_PER_CHUNK] = 1;
            Case x = mix_case(&token, 1), y = mix_case(&chunk, 1);
            case_run(&x);
            case_run(&y);
            int same = same_bits(x.out[0], y.out[0], T * D);
            cr_assert(same == (b == 1 || which == 0), "case %d, b %d", which, (int)b);
            case_free(&x);
            case_free(&y);
        }
}

Test(reference_mixers, swa_without_window_or_persistent_tokens_is_attention) {
    Case a = case_new("mixer_attention", 1, (int64_t[EQUATION_DIMS]){T, D, H});
    Case b = case_new("mixer_swa", 1, (int64_t[EQUATION_DIMS]){T, D, H});
    case_run(&a);
    case_run(&b);
    cr_assert(same_bits(a.out[0], b.out[0], T * D));
    case_free(&a);
    case_free(&b);
}

/* Eq 19: where no row is treated as a prefix (window 0), persistent tokens are tokens in front. */
Test(reference_mixers, persistent_tokens_are_tokens_in_front) {
    for (int which = 0; which < 7; which++) {
        Mix behind = mixes[which], front = mixes[which];
        int64_t Np = behind.dims[DIM_PERSISTENT];
        behind.dims[DIM_WINDOW] = front.dims[DIM_WINDOW] = 0;
        front.dims[DIM_PERSISTENT] = 0, front.dims[0] = Np + T;
        Case a = mix_case(&behind, 1), b = mix_case(&front, 1);
        memcpy(b.in[0], a.in[1], (size_t)(Np * D) * sizeof(double));
        memcpy(b.in[0] + Np * D, a.in[0], T * D * sizeof(double));
        for (int i = 2; i < a.inputs; i++) memcpy(b.in[i], a.in[i], (size_t)a.in_size[i] * sizeof(double));
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[0], b.out[0] + Np * D, T * D), "case %d", which);
        case_free(&a);
        case_free(&b);
    }
}

/* ---- each mixer against an evaluation of its own ---------------------------------------------------------
 */

static double *numbers(int64_t n) { return calloc(n > 0 ? (size_t)n : 1, sizeof(double)); }

/* x W: x (n x D), W (D x m) */
static double *times(const Case *c, int64_t n, const double *x, const char *W) {
    int64_t m = case_in_size(c, W) / D;
    double *y = numbers(n * m);
    for (int64_t i = 0; i < n * m; i++)
        for (int64_t j = 0; j < D; j++) y[i] += x[i / m * D + j] * case_in(c, W)[j * m + i % m];
    return y;
}

static double logistic(double x) { return 1 / (1 + exp(-x)); }

/* y = l2(silu(conv(x W))) per head, or without l2; x (n x D) */
static double *short_branch(const Case *c, int64_t n, const double *x, const char *W, const char *taps,
                            int l2) {
    int64_t w = case_dim(c, "w");
    double *projected = times(c, n, x, W), *y = numbers(n * D);
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < D; i++) {
            double a = w ? 0 : projected[t * D + i];
            for (int64_t back = 0; back < w && back <= t; back++)
                a += projected[(t - back) * D + i] * case_in(c, taps)[(w - 1 - back) * D + i];
            y[t * D + i] = a * logistic(a);
        }
    for (int64_t r = 0; r < n * H && l2; r++) {
        double norm = sqrt(dot(y + r * DH, y + r * DH, DH) + 1e-6);
        for (int i = 0; i < DH; i++) y[r * DH + i] /= norm;
    }
    free(projected);
    return y;
}

static double gate_value(const Case *c, double z) {
    double s = logistic(z);
    return case_dim(c, "kind") ? fmin(fmax(1.2 * s - 0.1, 0), 1) : s;
}

/* alpha (n x G K), theta, eta (n x G) of head h from z (n x columns) */
static void head_gates(const Case *c, int64_t n, int64_t h, const double *z, double *const *gate) {
    int64_t G = case_dim(c, "per_layer") ? case_dim(c, "L") : 1, K = case_dim(c, "channelwise") ? DH : 1;
    int64_t A = case_dim(c, "no_decay") ? 0 : G * K, E = case_dim(c, "no_momentum") ? 0 : G;
    int64_t columns = H * (A + G + E), b = case_dim(c, "b");
    for (int64_t t = 0; t < n; t++) {
        const double *row = z + (case_dim(c, "per_chunk") ? t - t % b : t) * columns;
        for (int64_t i = 0; i < A; i++) gate[0][t * G * K + i] = gate_value(c, row[h * A + i]);
        for (int64_t i = 0; i < G; i++)
            gate[1][t * G + i] = case_in(c, "theta_max")[0] * gate_value(c, row[H * A + h * G + i]);
        for (int64_t i = 0; i < E; i++) gate[2][t * G + i] = logistic(row[H * (A + G) + h * G + i]);
    }
}

/* dims of a memory equation for one head, from `at` on */
static void head_dims(const Case *c, int64_t at, int64_t *dims) {
    const char *options[] = {"gelu", "residual", "norm", "per_layer", "channelwise"};
    dims[at] = case_dim(c, "L");
    for (int64_t l = 0; l <= dims[at]; l++) dims[at + 1 + l] = l && l < dims[at] ? case_dim(c, "e") * DH : DH;
    for (int i = 0; i < 5; i++) dims[at + 6 + i] = case_dim(c, options[i]);
}

/* Columns of head h: x (n x H x m) -> (n x m), and back. */
static double *head_of(int64_t n, int64_t m, int64_t h, const double *x) {
    double *y = numbers(n * m);
    for (int64_t t = 0; t < n; t++) memcpy(y + t * m, x + (t * H + h) * m, (size_t)m * sizeof(double));
    return y;
}

static void evaluate(const char *name, const int64_t *dims, const double *const *in, double *const *out) {
    oracle_run(&reference_double, name, dims, in, NULL, out, NULL, NULL, NULL);
}

/* Reads (n x D) of the memory branch on u (n x D); M (H x P), unless NULL: the last state. */
static double *memory_reads(const Case *c, int64_t n, const double *u, double *M) {
    int64_t P = case_in_size(c, "M0") / H, dims[EQUATION_DIMS] = {n, case_dim(c, "b")};
    double *q = short_branch(c, n, u, "Wq", "conv_q", 1), *k = short_branch(c, n, u, "Wk", "conv_k", 1);
    double *v = short_branch(c, n, u, "Wv", "conv_v", 0), *z = times(c, n, u, "W_gates"), *y = numbers(n * D);
    int64_t columns = case_in_size(c, "b_gates");
    for (int64_t i = 0; i < n * columns; i++) z[i] += case_in(c, "b_gates")[i % columns];
    head_dims(c, 2, dims);
    for (int64_t h = 0; h < H; h++) {
        double *gate[] = {numbers(n * 4 * DH), numbers(n * 4), numbers(n * 4)}, *zero = numbers(P);
        double *part[] = {head_of(n, DH, h, k), head_of(n, DH, h, v), head_of(n, DH, h, q)};
        double *last = numbers(2 * P), *y_h = numbers(n * DH);
        head_gates(c, n, h, z, gate);
        const double *in[] = {
            case_in(c, "M0") + h * P, zero, part[0], part[1], part[2], gate[0], gate[1], gate[2]};
        evaluate("memory_chunk", dims, in, (double *[]){y_h, last, last + P});
        if (M) memcpy(M + h * P, last, (size_t)P * sizeof(double));
        for (int64_t i = 0; i < n * DH; i++) y[(i / DH * H + h) * DH + i % DH] = y_h[i];
        for (int i = 0; i < 3; i++) free(gate[i]), free(part[i]);
        free(zero), free(last), free(y_h);
    }
    free(q), free(k), free(v), free(z);
    return y;
}

/* y_t,h = M_h(q_t,h): q (n x D), M (H x P) */
static double *recall(const Case *c, int64_t n, const double *M, const double *q) {
    int64_t P = case_in_size(c, "M0") / H, dims[EQUATION_DIMS] = {0};
    double *y = numbers(n * D);
    head_dims(c, 0, dims);
    for (int64_t r = 0; r < n * H; r++)
        evaluate("memory_read", dims, (const double *[]){M + r % H * P, q + r * DH},
                 (double *[]){y + r * DH});
    return y;
}

/* What a query row may see: the window rule, or the segment rule of MAC when n > 0. */
typedef struct Mask {
    int64_t window, prefix, n, literal;
} Mask;

static int sees(const Mask *mask, int64_t i, int64_t j) {
    if (mask->n == 0) return j <= i && (!mask->window || j < mask->prefix || i - j < mask->window);
    int64_t token = i - mask->prefix - mask->n, other = j - mask->prefix;
    if (other < 0) return 1;
    return other < mask->n ? mask->literal || other <= token : other - mask->n <= token;
}

static void turn(int64_t position, double *x) {
    for (int i = 0; i < DH / 2; i++) {
        double angle = (double)position / pow(1e4, 2.0 * i / DH), a = x[i], b = x[i + DH / 2];
        x[i] = a * cos(angle) - b * sin(angle);
        x[i + DH / 2] = a * sin(angle) + b * cos(angle);
    }
}

/* Attention branch on u (n x D); position[row] turns q and k. */
static double *attention_reads(const Case *c, int64_t n, const double *u, const char *const *W,
                               const int64_t *position, const Mask *mask) {
    double *q = times(c, n, u, W[0]), *k = times(c, n, u, W[1]), *v = times(c, n, u, W[2]),
           *y = numbers(n * D);
    for (int64_t r = 0; r < n * H; r++) turn(position[r / H], q + r * DH), turn(position[r / H], k + r * DH);
    for (int64_t i = mask->n ? mask->prefix + mask->n : 0; i < n; i++)
        for (int64_t h = 0; h < H; h++) {
            double sum = 0, *out = y + i * D + h * DH;
            for (int64_t j = 0; j < n; j++) {
                if (!sees(mask, i, j)) continue;
                double e = exp(dot(q + i * D + h * DH, k + j * D + h * DH, DH) / sqrt(DH));
                sum += e;
                for (int a = 0; a < DH; a++) out[a] += e * v[j * D + h * DH + a];
            }
            for (int a = 0; a < DH; a++) out[a] /= sum;
        }
    free(q), free(k), free(v);
    return y;
}

static double *attention_rows(const Case *c, int64_t n, const double *u, const char *const *W,
                              int64_t prefix) {
    const Mask mask = {case_dim(c, "window"), prefix, 0, 0};
    int64_t position[64] = {0};
    for (int64_t i = 0; i < n; i++) position[i] = i;
    return attention_reads(c, n, u, W, position, &mask);
}

/* x / rms(x) per head times gain, in place: x (n x D) */
static void normalise(const Case *c, int64_t n, double *x, const char *gain) {
    for (int64_t r = 0; r < n * H; r++) {
        double rms = sqrt(dot(x + r * DH, x + r * DH, DH) / DH + 1e-6);
        for (int64_t i = r * DH; i < (r + 1) * DH; i++) x[i] *= case_in(c, gain)[i % D] / rms;
    }
}

/* [P_tok || x] */
static double *with_prefix(const Case *c) {
    int64_t Np = case_dim(c, "persistent");
    double *x = numbers((Np + T) * D);
    memcpy(x, c->in[1], (size_t)(Np * D) * sizeof(double));
    memcpy(x + Np * D, c->in[0], T * D * sizeof(double));
    return x;
}

/* The last T rows of x (n x D), times W, are the mixer's output; frees x. */
static void expect_output(const Case *c, int64_t n, double *x, const char *W) {
    double *o = times(c, T, x + (n - T) * D, W);
    cr_assert(largest(c->tolerance[0], T * D) < 1e-4 * largest(o, T * D), "%s: the bound says nothing",
              c->name);
    for (int64_t i = 0; i < T * D; i++) expect_near(c, i, c->out[0][i], o[i], 4 * c->tolerance[0][i]);
    free(o), free(x);
}

/* The memory layer up to its output projection: u (n x D). */
static double *layer_reads(const Case *c, int64_t n, const double *u) {
    double *y = memory_reads(c, n, u, NULL), *z = times(c, n, u, "W_z");
    normalise(c, n, y, "gain");
    for (int64_t i = 0; i < n * D; i++) y[i] *= z[i] * logistic(z[i]);
    free(z);
    return y;
}

/* (25), (28): y = rms(y) gain_y sigma(rms(m) gain_m), in place; frees m: y, m (n x D) */
static void gate_by(const Case *c, int64_t n, double *y, double *m) {
    normalise(c, n, y, "gain_y");
    normalise(c, n, m, "gain_m");
    for (int64_t i = 0; i < n * D; i++) y[i] *= logistic(m[i]);
    free(m);
}

static const char *const W_alone[] = {"Wq", "Wk", "Wv"}, *const W_beside[] = {"Wq_a", "Wk_a", "Wv_a"};

static void direct_swa(const Case *c) {
    int64_t Np = case_dim(c, "persistent");
    double *x = with_prefix(c);
    expect_output(c, Np + T, attention_rows(c, Np + T, x, W_alone, Np), "Wo");
    free(x);
}

static void direct_lmm(const Case *c) {
    int64_t n = case_dim(c, "persistent") + T;
    double *x = with_prefix(c);
    expect_output(c, n, layer_reads(c, n, x), "Wo");
    free(x);
}

static void direct_mag(const Case *c) {
    int64_t Np = case_dim(c, "persistent"), n = Np + T;
    double *x = with_prefix(c), *y = attention_rows(c, n, x, W_beside, Np);
    gate_by(c, n, y, memory_reads(c, n, x, NULL));
    expect_output(c, n, y, "Wo");
    free(x);
}

static void direct_mal(const Case *c) {
    int64_t n = case_dim(c, "persistent") + T;
    double *x = with_prefix(c), *read = layer_reads(c, n, x), *y = times(c, n, read, "W_m");
    expect_output(c, n, attention_rows(c, n, y, W_beside, 0), "Wo");
    free(x), free(read), free(y);
}

/* (22)-(23) of the tokens from .. to - 1 into rows of y; h (to - from rows) */
static void direct_context(const Case *c, int64_t from, int64_t to, const double *h, double *y) {
    int64_t Np = case_dim(c, "persistent"), C = case_dim(c, "segment"), n = to - from, position[64] = {0};
    const Mask mask = {0, Np, n, case_dim(c, "literal")};
    double *context = numbers((Np + 2 * n) * D);
    memcpy(context, c->in[1], (size_t)(Np * D) * sizeof(double));
    memcpy(context + Np * D, h, (size_t)(n * D) * sizeof(double));
    memcpy(context + (Np + n) * D, c->in[0] + from * D, (size_t)(n * D) * sizeof(double));
    for (int64_t i = 0; i < Np + 2 * n; i++) position[i] = i < Np + n ? i : i - n + C;
    double *all = attention_reads(c, Np + 2 * n, context, W_beside, position, &mask);
    memcpy(y + from * D, all + (Np + n) * D, (size_t)(n * D) * sizeof(double));
    free(context), free(all);
}

/* All of y first, segment by segment, the memory before each by a run over the tokens before it; then the
 * gate's reads in one run over the sequence, or literally at every segment's end. */
static void direct_mac(const Case *c) {
    int64_t C = case_dim(c, "segment");
    double *r = short_branch(c, T, c->in[0], "Wq_r", "conv_r", 1), *y = numbers(T * D);
    double *M = numbers(case_in_size(c, "M0"));
    for (int64_t from = 0; from < T; from += C) {
        int64_t to = from + C < T ? from + C : T;
        free(memory_reads(c, from, y, M));
        double *h = recall(c, to - from, M, r + from * D);
        normalise(c, to - from, h, "gain_h");
        direct_context(c, from, to, h, y);
        free(h);
    }
    double *m = memory_reads(c, T, y, NULL), *q = short_branch(c, T, y, "Wq", "conv_q", 1);
    for (int64_t from = 0; from < T && case_dim(c, "literal"); from += C) {
        int64_t to = from + C < T ? from + C : T;
        free(memory_reads(c, to, y, M));
        double *late = recall(c, to - from, M, q + from * D);
        memcpy(m + from * D, late, (size_t)((to - from) * D) * sizeof(double));
        free(late);
    }
    gate_by(c, T, y, m);
    expect_output(c, T, y, "Wo");
    free(r), free(M), free(q);
}

Test(reference_mixers, are_wired_as_section_4_says) {
    static const struct {
        const char *name;
        void (*check)(const Case *c);
    } direct[] = {{"mixer_swa", direct_swa},
                  {"mixer_lmm", direct_lmm},
                  {"mixer_mag", direct_mag},
                  {"mixer_mal_h3", direct_mal},
                  {"mixer_mac", direct_mac}};
    int checked = 0;
    for (int which = 0; which < MIXES; which++)
        for (size_t i = 0; i < sizeof direct / sizeof *direct; i++) {
            if (strcmp(mixes[which].name, direct[i].name)) continue;
            Case c = mix_case(&mixes[which], 6);
            case_run(&c);
            direct[i].check(&c);
            case_free(&c);
            checked++;
        }
    cr_assert(checked == MIXES);
}

/* ---- the language model ----------------------------------------------------------------------------------
 */

enum { V = 5, F = 3, LAYERS = 3, KINDS = 7 };

static Case model_case(int64_t mixer, uint64_t seed) {
    const int64_t dims[EQUATION_DIMS] = {T, V, D, H, LAYERS, F, mixer, 2, 2, 2, 1, 0,
                                         0, 0, 0, 0, 1,      0, 0,     0, 2, 4, 3, 0};
    return case_new("language_model", seed, dims);
}

/* The mixer of block l of a model: its name and dims. */
static Mix model_mixer(const Case *model, int64_t l) {
    static const char *const names[] = {"mixer_attention", "mixer_lmm", "mixer_swa",   "mixer_mac",
                                        "mixer_mag",       "",          "mixer_mal_h3"};
    int64_t kind = case_dim(model, "mixer");
    Mix mix = {kind != 5 ? names[kind] : l % 2 ? "mixer_swa" : "mixer_lmm", {T, D, H}};
    memcpy(mix.dims + 3, model->dims + 7, 17 * sizeof *mix.dims);
    if (kind == 5 && l % 2) mix.dims[DIM_PERSISTENT] = 0;
    return mix;
}

/* One block from its parameters: p walks over them; x (T x D) in place. */
static const double *model_block(const Case *model, int64_t l, const double *p, double *x) {
    Mix mix = model_mixer(model, l);
    Case mixer = mix_case(&mix, 1);
    double normed[T * D], o[T * D], a[T * F], b[T * F];
    const double *in[EQUATION_TENSORS] = {normed};
    int params = mixer.inputs - 1 - (name_index(mixer.e->in, "theta_max") >= 0);
    evaluate("rms_norm", (int64_t[]){T, D}, (const double *[]){x, p}, (double *[]){normed});
    p += D;
    for (int i = 1; i <= params; i++) in[i] = p, p += mixer.in_size[i];
    in[params + 1] = case_in(model, "theta_max");
    evaluate(mix.name, mix.dims, in, (double *[]){o});
    for (int i = 0; i < T * D; i++) x[i] += o[i];
    evaluate("rms_norm", (int64_t[]){T, D}, (const double *[]){x, p}, (double *[]){normed});
    p += D;
    memset(a, 0, sizeof a), memset(b, 0, sizeof b);
    for (int i = 0; i < T * F; i++)
        for (int j = 0; j < D; j++) {
            a[i] += normed[i / F * D + j] * p[j * F + i % F];
            b[i] += normed[i / F * D + j] * p[D * F + j * F + i % F];
        }
    for (int i = 0; i < T * D; i++)
        for (int j = 0; j < F; j++) {
            double gate = a[i / D * F + j];
            x[i] += gate * logistic(gate) * b[i / D * F + j] * p[2 * D * F + j * D + i % D];
        }
    case_free(&mixer);
    return p + 3 * D * F;
}

Test(reference_mixers, make_a_language_model_of_every_kind) {
    for (int64_t kind = 0; kind < KINDS; kind++) {
        Case c = model_case(kind, 3);
        double x[T * D];
        const double *params = case_in(&c, "params"), *p = params + V * D;
        case_run(&c);
        for (int i = 0; i < T * D; i++) x[i] = params[(int64_t)c.in[0][i / D] * D + i % D];
        for (int64_t l = 0; l < LAYERS; l++) p = model_block(&c, l, p, x);
        evaluate("rms_norm", (int64_t[]){T, D}, (const double *[]){x, p}, (double *[]){x});
        p += D;
        for (int i = 0; i < T * V; i++) {
            double logit = 0;
            for (int j = 0; j < D; j++) logit += x[i / V * D + j] * p[j * V + i % V];
            expect_near(&c, i, c.out[1][i], logit, 2 * c.tolerance[1][i]);
        }
        cr_assert(p + D * V == params + case_in_size(&c, "params"), "kind %d", (int)kind);
        case_free(&c);
    }
}

Test(reference_mixers, models_give_parameters_a_gradient_and_see_no_future) {
    for (int64_t kind = 0; kind < KINDS; kind++) {
        Case a = model_case(kind, 2), b = model_case(kind, 2);
        const int64_t n = case_in_size(&a, "params"), last = T - 1;
        b.in[0][last] = fmod(b.in[0][last] + 1, (double)V);
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[1], b.out[1], last * V) && !same_bits(a.out[1], b.out[1], T * V));
        double one = 1, *g = numbers(n), *grad[] = {NULL, NULL, NULL, g};
        const double *cotangent[] = {&one, NULL};
        int64_t zero = 0;
        oracle_gradient("language_model", a.dims, constant(a.in), cotangent, grad, NULL);
        for (int64_t i = V * D; i < n; i++) zero += g[i] == 0;
        cr_assert(zero == 0 && isfinite(largest(g, n)), "kind %d: %d idle of %d", (int)kind, (int)zero,
                  (int)n);
        free(g);
        case_free(&a);
        case_free(&b);
    }
}
