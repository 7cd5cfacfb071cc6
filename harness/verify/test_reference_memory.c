/* Facts about the reference's memory that do not come from the reference (eqs 8-18, errata). */
#include "test_reference.h"

enum { N0 = 3, NL = 2, HIDDEN = 4, SEEDS = 3 };

/* A memory of L layers, N0 - HIDDEN - .. - NL; T, b: 0 where the equation has no such dimension. */
static Case memory_case(const char *name, uint64_t seed, int64_t T, int64_t b, int64_t L) {
    static const char *const width[] = {"n0", "n1", "n2", "n3", "n4"};
    Dims dims = dims_of(name, "memory_layers=%ld n0=%d", L, N0);
    if (T) dims_set(&dims, "tokens", T);
    if (b) dims_set(&dims, "chunk", b);
    for (int64_t l = 1; l <= L; l++) dims_set(&dims, width[l], l < L ? HIDDEN : NL);
    return case_at_dims(&dims, seed);
}

static void copy_input(const Case *from, const Case *to, const char *name) {
    memcpy(case_in(to, name), case_in(from, name), (size_t)case_in_size(to, name) * sizeof(double));
}

static double max_difference(const Case *a, const Case *b, const char *name) {
    int i = argument_find(a->e->out, name);
    double max = 0;
    for (int64_t j = 0; j < a->out_size[i]; j++) max = fmax(max, fabs(a->out[i][j] - case_out(b, name)[j]));
    return max;
}

Test(reference_memory, surprise_is_the_gradient_of_its_loss_for_every_depth) {
    for (int64_t L = 1; L <= 4; L++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case c = memory_case("surprise", seed, 0, 0, L);
            int64_t P = c.in_size[0];
            double one = 1, *g = calloc((size_t)P, sizeof(double)), *grad[] = {g, NULL, NULL};
            const double *cotangent[] = {&one, NULL};
            case_run(&c);
            oracle_gradient(&c.dims, constant(c.in), cotangent, grad, NULL);
            for (int64_t p = 0; p < P; p++) expect_near(&c, p, c.out[1][p], g[p], 2 * c.tolerance[1][p]);
            free(g);
            case_free(&c);
        }
}

Test(reference_memory, surprise_of_a_matrix_keeps_the_factor_2_of_eq_12) { /* E1 */
    Case c = memory_case("surprise", 1, 0, 0, 1), step = memory_case("momentary_rule", 1, 0, 0, 1);
    double theta_c = 0.25, loss = 0;
    case_set(&step, "theta", theta_c / 2);
    case_run(&c);
    case_run(&step);
    for (int64_t j = 0; j < NL; j++) {
        double error = -c.in[2][j];
        for (int64_t i = 0; i < N0; i++) error += c.in[1][i] * c.in[0][i * NL + j];
        loss += error * error;
        for (int64_t i = 0; i < N0; i++) {
            int64_t p = i * NL + j;
            double appendix_c = c.in[1][i] * error;
            expect_near(&c, p, c.out[1][p], 2 * appendix_c, c.tolerance[1][p]);
            expect_near(&step, p, step.out[0][p], c.in[0][p] - theta_c * appendix_c, step.tolerance[0][p]);
        }
    }
    expect_near(&c, 0, c.out[0][0], loss, c.tolerance[0][0]);
    case_free(&c);
    case_free(&step);
}

Test(reference_memory, reads_two_layers_with_silu_between_and_none_after) {
    Case c = memory_case("memory_read", 1, 0, 0, 2);
    const double *W1 = c.in[0], *W2 = W1 + N0 * HIDDEN;
    case_run(&c);
    for (int64_t j = 0; j < NL; j++) {
        double y = 0;
        for (int64_t h = 0; h < HIDDEN; h++) {
            double a = 0;
            for (int64_t i = 0; i < N0; i++) a += c.in[1][i] * W1[i * HIDDEN + h];
            y += a / (1 + exp(-a)) * W2[h * NL + j];
        }
        expect_near(&c, j, c.out[0][j], y, 2 * c.tolerance[0][j]);
    }
    case_free(&c);
}

Test(reference_memory, a_small_step_descends) {
    for (int64_t L = 1; L <= 4; L++) {
        Case before = memory_case("surprise", 2, 0, 0, L), after = memory_case("surprise", 2, 0, 0, L);
        Case step = memory_case("momentary_rule", 2, 0, 0, L);
        for (int i = 0; i < 3; i++)
            memcpy(step.in[i], before.in[i], (size_t)before.in_size[i] * sizeof(double));
        case_set(&step, "theta", 0x1p-10);
        case_run(&step);
        memcpy(after.in[0], step.out[0], (size_t)step.out_size[0] * sizeof(double));
        case_run(&before);
        case_run(&after);
        cr_assert(after.out[0][0] < before.out[0][0], "L %lld: %g -> %g", (long long)L, before.out[0][0],
                  after.out[0][0]);
        case_free(&before);
        case_free(&after);
        case_free(&step);
    }
}

/* v = M(k): no surprise, to the bit. */
Test(reference_memory, a_memory_that_knows_learns_nothing) {
    for (int64_t L = 1; L <= 4; L++) {
        Case known = memory_case("memory_read", 2, 0, 0, L), c = memory_case("surprise", 2, 0, 0, L);
        memcpy(known.in[0], c.in[0], (size_t)c.in_size[0] * sizeof(double));
        memcpy(known.in[1], c.in[1], (size_t)c.in_size[1] * sizeof(double));
        case_run(&known);
        memcpy(c.in[2], known.out[0], (size_t)c.in_size[2] * sizeof(double));
        case_run(&c);
        cr_assert(c.out[0][0] == 0 && largest(c.out[1], c.out_size[1]) == 0, "L %lld", (long long)L);
        case_free(&known);
        case_free(&c);
    }
}

Test(reference_memory, gates_at_their_ends_reduce_the_rule) {
    for (int64_t L = 1; L <= 4; L++) {
        Case full = memory_case("memory_step", 1, 0, 0, L),
             momentum = memory_case("momentum_rule", 1, 0, 0, L);
        Case momentary = memory_case("momentary_rule", 1, 0, 0, L);
        int64_t P = full.in_size[0];
        copy_input(&full, &momentum, "theta");
        copy_input(&full, &momentum, "eta");
        memcpy(momentary.in[0], full.in[0], (size_t)P * sizeof(double));
        for (int i = 1; i < 3; i++)
            memcpy(momentary.in[i], full.in[i + 1], (size_t)full.in_size[i + 1] * sizeof(double));
        copy_input(&full, &momentary, "theta");
        case_set(&full, "alpha", 1);
        case_run(&full);
        cr_assert(same_bits(full.out[0], full.out[1], P), "alpha = 1 gives M = S, L %lld", (long long)L);
        case_set(&full, "alpha", 0);
        case_run(&full);
        case_run(&momentum);
        cr_assert(same_bits(full.out[0], momentum.out[0], P), "alpha = 0 gives 9-10, L %lld", (long long)L);
        cr_assert(same_bits(full.out[1], momentum.out[1], P), "alpha = 0 gives 9-10, L %lld", (long long)L);
        case_set(&full, "eta", 0);
        case_run(&full);
        case_run(&momentary);
        cr_assert(same_bits(full.out[0], momentary.out[0], P), "eta = alpha = 0 gives 8, L %lld",
                  (long long)L);
        case_free(&full);
        case_free(&momentum);
        case_free(&momentary);
    }
}

Test(reference_memory, keys_and_values_do_not_matter_when_theta_is_0) {
    enum { T = 5 };
    for (int64_t L = 1; L <= 4; L++) {
        Case a = memory_case("memory_chunk", 1, T, 2, L), b = memory_case("memory_chunk", 1, T, 2, L);
        case_set(&a, "theta", 0);
        case_set(&b, "theta", 0);
        for (int64_t j = 0; j < T * N0; j++) case_in(&b, "k")[j] += 1;
        for (int64_t j = 0; j < T * NL; j++) case_in(&b, "v")[j] -= 1;
        case_run(&a);
        case_run(&b);
        for (int o = 0; o < 3; o++) cr_assert(same_bits(a.out[o], b.out[o], a.out_size[o]), "output %d", o);
        case_free(&a);
        case_free(&b);
    }
}

Test(reference_chunk, of_one_token_is_the_sequential_rule) {
    for (int64_t L = 1; L <= 4; L++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case a = memory_case("memory_sequential", seed, 6, 0, L),
                 b = memory_case("memory_chunk", seed, 6, 1, L);
            case_run(&a);
            case_run(&b);
            for (int o = 0; o < 3; o++)
                cr_assert(same_bits(a.out[o], b.out[o], a.out_size[o]), "L %lld output %d", (long long)L, o);
            case_free(&a);
            case_free(&b);
        }
}

Test(reference_chunk, equals_the_closed_form_of_eq_16) {
    for (int64_t L = 1; L <= 4; L++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case a = memory_case("chunk_closed", seed, 7, 0, L),
                 b = memory_case("memory_chunk", seed, 7, 7, L);
            case_run(&a);
            case_run(&b);
            expect_same(&a, &b, "y");
            expect_same(&a, &b, "M");
            expect_same(&a, &b, "S");
            case_free(&a);
            case_free(&b);
        }
}

/* E2: chunks of 3 are 1-3, 4-6, 7; E18: splitting a call at a chunk's end changes no bit. */
Test(reference_chunk, splits_at_chunk_ends) {
    enum { T = 7, B = 3, CUT = 6 };
    Case whole = memory_case("memory_chunk", 1, T, B, 2), head = memory_case("memory_chunk", 1, CUT, B, 2);
    Case rest = memory_case("memory_chunk", 1, T - CUT, B, 2);
    for (int i = 0; i < 2; i++) memcpy(head.in[i], whole.in[i], (size_t)whole.in_size[i] * sizeof(double));
    for (int i = 2; i < 8; i++) {
        int64_t row = whole.in_size[i] / T;
        memcpy(head.in[i], whole.in[i], (size_t)(CUT * row) * sizeof(double));
        memcpy(rest.in[i], whole.in[i] + CUT * row, (size_t)((T - CUT) * row) * sizeof(double));
    }
    case_run(&whole);
    case_run(&head);
    for (int i = 0; i < 2; i++)
        memcpy(rest.in[i], head.out[1 + i], (size_t)whole.in_size[i] * sizeof(double));
    case_run(&rest);
    cr_assert(same_bits(whole.out[0], head.out[0], CUT * NL));
    cr_assert(same_bits(whole.out[0] + CUT * NL, rest.out[0], (T - CUT) * NL));
    for (int o = 1; o < 3; o++) cr_assert(same_bits(whole.out[o], rest.out[o], whole.out_size[o]));
    case_free(&whole);
    case_free(&head);
    case_free(&rest);
}

Test(reference_chunk, size_changes_the_function_only_through_the_gradients) { /* E15 */
    Case a = memory_case("memory_chunk", 1, 8, 1, 2), b = memory_case("memory_chunk", 1, 8, 4, 2);
    case_run(&a);
    case_run(&b);
    cr_assert(max_difference(&a, &b, "y") > 1e-3, "difference %g", max_difference(&a, &b, "y"));
    /* Token 1 of each chunk of 1 and of 4 is frozen at the same place: the first output agrees. */
    cr_assert(same_bits(a.out[0], b.out[0], NL));
    case_set(&a, "theta", 0);
    case_set(&b, "theta", 0);
    case_run(&a);
    case_run(&b);
    cr_assert(max_difference(&a, &b, "y") == 0);
    case_free(&a);
    case_free(&b);
}

Test(reference_chunk, is_causal_and_not_inert) { /* E7, E18 */
    enum { T = 8, B = 3 };
    for (int64_t t = 0; t < T; t++) {
        Case a = memory_case("memory_chunk", 1, T, B, 2), b = memory_case("memory_chunk", 1, T, B, 2);
        for (int64_t j = 0; j < N0; j++) case_in(&b, "k")[t * N0 + j] += 0.5;
        case_in(&b, "v")[t * NL] += 0.5;
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[0], b.out[0], t * NL), "token %lld reaches back", (long long)t);
        for (int64_t s = t; s < T; s++)
            cr_assert(!same_bits(a.out[0] + s * NL, b.out[0] + s * NL, NL), "token %lld does not reach %lld",
                      (long long)t, (long long)s);
        case_free(&a);
        case_free(&b);
    }
}

Test(reference_chunk, eq_17_is_the_linear_memory_without_momentum) { /* E4 */
    enum { T = 6 };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case chunk = memory_case("memory_chunk", seed, T, T, 1);
        Case linear = case_new("chunk_linear", seed, "tokens=%d n0=%d n1=%d", T, N0, NL);
        memcpy(case_in(&linear, "W0"), case_in(&chunk, "M0"), N0 * NL * sizeof(double));
        const char *shared[] = {"k", "v", "alpha", "theta"};
        for (int i = 0; i < 4; i++) copy_input(&chunk, &linear, shared[i]);
        case_set(&chunk, "eta", 0);
        case_set(&chunk, "S0", 0);
        case_run(&chunk);
        case_run(&linear);
        for (int64_t p = 0; p < N0 * NL; p++)
            expect_near(&linear, p, linear.out[0][p], chunk.out[1][p],
                        linear.tolerance[0][p] + chunk.tolerance[1][p]);
        case_free(&chunk);
        case_free(&linear);
    }
}

Test(reference_chunk, eq_18_is_a_weighted_sum_of_the_gradients) {
    enum { T = 5, N = 3 };
    Case c = case_new("chunk_momentum", 1, "tokens=%d n=%d", T, N);
    case_run(&c);
    for (int64_t i = 0; i < T * N; i++) {
        double weight = 1, sum = 0;
        for (int64_t s = i / N; s >= 0; s--) {
            sum -= weight * c.in[1][s] * c.in[0][s * N + i % N];
            weight *= c.in[2][s];
        }
        expect_near(&c, i, c.out[0][i], sum + weight * c.in[3][i % N], c.tolerance[0][i]);
    }
    case_free(&c);
}

Test(reference_chunk, never_divides_by_a_vanished_beta) { /* E3 */
    const double alpha[] = {1, 0.9};
    for (int i = 0; i < 2; i++) {
        enum { T = 512 };
        Case a = memory_case("chunk_closed", 1, T, 0, 1), b = memory_case("memory_chunk", 1, T, T, 1);
        case_set(&a, "alpha", alpha[i]);
        case_set(&b, "alpha", alpha[i]);
        case_run(&a);
        case_run(&b);
        expect_finite(&a);
        expect_same(&a, &b, "y");
        case_free(&a);
        case_free(&b);
    }
}

Test(reference_memory, zero_is_absorbing_from_two_layers_on) { /* E19 */
    for (int64_t L = 1; L <= 4; L++) {
        Case c = memory_case("memory_sequential", 1, 6, 0, L);
        case_set(&c, "M0", 0);
        case_set(&c, "S0", 0);
        case_run(&c);
        double alive = largest(c.out[1], c.out_size[1]);
        cr_assert(L == 1 ? alive > 0.01 : alive == 0, "L %lld: %g", (long long)L, alive);
        case_free(&c);
    }
}

/* E19: with one repeated unit key the error of a chunk's start is multiplied by 1 - 2 theta b (eta = 0), and
 * theta <= (1 - eta) / b is the safe step for any eta. */
Test(reference_memory, step_bound_separates_stable_from_divergent) {
    enum { T = 256 };
    for (int64_t b = 1; b <= 16; b *= 4)
        for (int e = 0; e < 3; e++) {
            double eta = 0.4 * e, safe = (1 - eta) / (double)b, end[2];
            for (int above = 0; above < 2; above++) {
                Case c = memory_case("memory_chunk", 1, T, b, 1);
                for (int64_t t = 0; t < T; t++) {
                    for (int64_t i = 0; i < N0; i++) case_in(&c, "k")[t * N0 + i] = i == 0;
                    for (int64_t j = 0; j < NL; j++) case_in(&c, "v")[t * NL + j] = 0.5;
                }
                case_set(&c, "alpha", 0);
                case_set(&c, "S0", 0);
                case_set(&c, "eta", eta);
                case_set(&c, "theta", above ? 20 * safe : 0.95 * safe);
                case_run(&c);
                end[above] = largest(c.out[1], NL);
                case_free(&c);
            }
            cr_assert(fabs(end[0] - 0.5) < 0.1, "b %lld eta %g: %g", (long long)b, eta, end[0]);
            cr_assert(!(end[1] < 1e6), "b %lld eta %g: %g", (long long)b, eta, end[1]);
        }
}
