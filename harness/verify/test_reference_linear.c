/* Facts about kernel attention and the linear memory's relatives that do not come from the reference
 * (eqs 3-7, 32-35, errata E1 E9 E16). */
#include "test_reference.h"

enum { T = 6, D = 4, M = 3, SEEDS = 3, FEATURES = 3 };

/* ---- eqs 3-7 ---------------------------------------------------------------------------------------------
 */

static Case attention_case(uint64_t seed, int64_t phi) {
    return case_new("linear_attention", seed, "tokens=%d key_width=%d value_width=%d phi=%ld", T, D, M, phi);
}

static Case memory_case(uint64_t seed, int64_t tokens, int64_t phi, int64_t normalised) {
    return case_new("linear_memory", seed, "tokens=%ld key_width=%d value_width=%d phi=%ld normalised=%ld",
                    tokens, D, M, phi, normalised);
}

static void copy_inputs(const Case *from, const Case *to, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        memcpy(case_in(to, names[i]), case_in(from, names[i]),
               (size_t)case_in_size(to, names[i]) * sizeof(double));
}

static const char *const qkv[] = {"q", "k", "v"};

static long double feature(int64_t phi, double x) {
    return phi == 0 ? x : phi == 1 ? (x > 0 ? 1 + (long double)x : expl(x)) : fmax(x, 0) + 0x1p-10L;
}

/* phi = the identity may divide by something near 0: there all q and k are positive. */
static void make_positive(Case *c, int64_t phi) {
    for (int i = 0; phi == 0 && i < 2; i++)
        for (int64_t j = 0; j < T * D; j++) case_in(c, qkv[i])[j] = fabs(case_in(c, qkv[i])[j]) + 0.125;
}

Test(reference_linear, equals_the_ratio_of_eq_3_in_long_double) {
    for (int64_t phi = 0; phi < FEATURES; phi++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case c = attention_case(seed, phi);
            make_positive(&c, phi);
            case_run(&c);
            for (int64_t i = 0; i < T * M; i++) {
                long double top = 0, bottom = 0;
                for (int64_t j = 0; j <= i / M; j++)
                    for (int64_t a = 0; a < D; a++) {
                        long double w =
                            feature(phi, c.in[0][i / M * D + a]) * feature(phi, c.in[1][j * D + a]);
                        top += w * c.in[2][j * M + i % M];
                        bottom += w;
                    }
                expect_near(&c, i, c.out[0][i], (double)(top / bottom), c.tolerance[0][i]);
            }
            case_free(&c);
        }
}

Test(reference_linear, recurrent_form_is_the_parallel_form) {
    for (int64_t phi = 0; phi < FEATURES; phi++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case a = attention_case(seed, phi), b = memory_case(seed, T, phi, 1);
            make_positive(&a, phi);
            copy_inputs(&a, &b, qkv, 3);
            case_set(&b, "M0", 0);
            case_set(&b, "z0", 0);
            case_run(&a);
            case_run(&b);
            expect_same(&a, &b, "y");
            case_free(&a);
            case_free(&b);
        }
}

/* Small integers: every sum is exact, so the order of summation cannot show. */
Test(reference_linear, recurrent_form_is_the_parallel_form_to_the_bit_on_integers) {
    Case a = attention_case(1, 0), b = memory_case(1, T, 0, 1);
    for (int i = 0; i < 3; i++)
        for (int64_t j = 0; j < a.in_size[i]; j++) a.in[i][j] = ceil(8 * fabs(a.in[i][j])) + (i < 2);
    copy_inputs(&a, &b, qkv, 3);
    case_set(&b, "M0", 0);
    case_set(&b, "z0", 0);
    case_run(&a);
    case_run(&b);
    cr_assert(same_bits(a.out[0], b.out[0], T * M));
    case_free(&a);
    case_free(&b);
}

/* Eqs 4-5 as printed: M_T = M_0 + K' V, y_t = q_t M_t, no feature map and no normaliser. */
Test(reference_linear, sums_outer_products_of_keys_and_values) {
    Case c = memory_case(2, T, 0, 0);
    case_run(&c);
    for (int64_t i = 0; i < D * M; i++) {
        double sum = c.in[0][i];
        for (int64_t t = 0; t < T; t++) sum += c.in[3][t * D + i / M] * c.in[4][t * M + i % M];
        expect_near(&c, i, c.out[1][i], sum, c.tolerance[1][i]);
    }
    for (int64_t i = 0; i < M; i++) {
        double y = 0;
        for (int64_t j = 0; j < D; j++) y += c.in[2][(T - 1) * D + j] * c.out[1][j * M + i];
        expect_near(&c, i, c.out[0][(T - 1) * M + i], y, c.tolerance[0][(T - 1) * M + i]);
    }
    case_free(&c);
}

Test(reference_linear, averages_values_with_weights_that_sum_to_one) {
    for (int64_t phi = 1; phi < FEATURES; phi++) {
        Case c = attention_case(3, phi);
        case_set(&c, "v", 0.75);
        case_run(&c);
        for (int64_t i = 0; i < T * M; i++) expect_near(&c, i, c.out[0][i], 0.75, c.tolerance[0][i]);
        case_free(&c);
    }
}

/* Eqs 6-7: the state is all there is: a call may end and another begin after any token. */
Test(reference_linear, resumes_at_every_token_to_the_bit) {
    for (int kind = 0; kind < 2 * FEATURES; kind++)
        for (int64_t cut = 0; cut <= T; cut++) {
            int64_t phi = kind / 2, normalised = kind % 2;
            Case whole = memory_case(4, T, phi, normalised), head = memory_case(4, cut, phi, normalised);
            Case rest = memory_case(4, T - cut, phi, normalised);
            for (int i = 0; i < 5; i++) {
                int64_t row = i < 2 ? 0 : whole.in_size[i] / T;
                memcpy(head.in[i], whole.in[i], (size_t)head.in_size[i] * sizeof(double));
                memcpy(rest.in[i], whole.in[i] + cut * row, (size_t)rest.in_size[i] * sizeof(double));
            }
            case_run(&whole);
            case_run(&head);
            for (int i = 0; i < 2; i++)
                memcpy(rest.in[i], head.out[1 + i], (size_t)rest.in_size[i] * sizeof(double));
            case_run(&rest);
            cr_assert(same_bits(whole.out[0], head.out[0], cut * M));
            cr_assert(same_bits(whole.out[0] + cut * M, rest.out[0], (T - cut) * M));
            for (int o = 1; o < 3; o++) cr_assert(same_bits(whole.out[o], rest.out[o], whole.out_size[o]));
            case_free(&whole);
            case_free(&head);
            case_free(&rest);
        }
}

Test(reference_linear, reading_leaves_the_memory_as_it_is_and_writing_reaches_no_earlier_read) {
    for (int64_t t = 0; t < T; t++) {
        Case a = memory_case(5, T, 1, 1), b = memory_case(5, T, 1, 1), c = memory_case(5, T, 1, 1);
        for (int64_t j = 0; j < D; j++) case_in(&b, "q")[t * D + j] += 1, case_in(&c, "k")[t * D + j] += 1;
        case_run(&a);
        case_run(&b);
        case_run(&c);
        for (int o = 1; o < 3; o++) cr_assert(same_bits(a.out[o], b.out[o], a.out_size[o]));
        for (int64_t s = 0; s < T; s++) {
            cr_assert(same_bits(a.out[0] + s * M, b.out[0] + s * M, M) == (s != t));
            cr_assert(same_bits(a.out[0] + s * M, c.out[0] + s * M, M) == (s < t));
        }
        case_free(&a);
        case_free(&b);
        case_free(&c);
    }
}

/* ---- eqs 32-35 -------------------------------------------------------------------------------------------
 */

/* The linear memory of eqs 13-15, one matrix. */
static Case lmm_case(uint64_t seed, int64_t tokens) {
    return case_new("memory_sequential", seed, "tokens=%ld memory_layers=1 n0=%d n1=%d", tokens, D, M);
}

static Case relative_case(const char *name, uint64_t seed, int64_t tokens) {
    return case_new(name, seed, "tokens=%ld n0=%d n1=%d", tokens, D, M);
}

static const char *const shared[] = {"M0", "k", "v", "q"};

/* eta = alpha = 0, S_0 = 0. */
static void make_momentary(Case *lmm) {
    case_set(lmm, "S0", 0);
    case_set(lmm, "alpha", 0);
    case_set(lmm, "eta", 0);
}

/* Keys in {-1, 0, 1} (in {-1, 1} where `full`), values and M_0 small integers: with steps that are powers of
 * 2 every operation is exact. */
static void make_exact(Case *c, int full) {
    const char *const integer[] = {"M0", "v", "q"};
    for (int i = 0; i < 3; i++)
        for (int64_t j = 0; j < case_in_size(c, integer[i]); j++)
            case_in(c, integer[i])[j] = floor(4 * case_in(c, integer[i])[j]);
    for (int64_t j = 0; j < case_in_size(c, "k"); j++) {
        double k = case_in(c, "k")[j];
        case_in(c, "k")[j] = full ? (k < 0 ? -1 : 1) : floor(k * 1.5 + 0.5);
    }
}

/* LMM with step theta without momentum and decay against a relative with step beta: both outputs. */
static void expect_relative(Case *lmm, Case *relative, int exact) {
    make_momentary(lmm);
    copy_inputs(lmm, relative, shared, 4);
    case_run(lmm);
    case_run(relative);
    for (int o = 0; o < 2; o++) {
        if (exact)
            cr_assert(same_bits(lmm->out[o], relative->out[o], lmm->out_size[o]), "%s", relative->name);
        cr_assert(largest(relative->out[o], lmm->out_size[o]) > 0.1);
    }
    expect_same(lmm, relative, "y");
    expect_same(lmm, relative, "M");
    case_free(lmm);
    case_free(relative);
}

Test(reference_relatives,
     delta_net_and_ttt_are_the_lmm_of_half_the_step_without_momentum_and_decay) { /* E1 */
    const char *const names[] = {"delta_net", "ttt_layer"};
    for (int which = 0; which < 2; which++)
        for (int exact = 0; exact < 2; exact++)
            for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                Case lmm = lmm_case(seed, T), relative = relative_case(names[which], seed, T);
                if (exact) make_exact(&lmm, 0);
                for (int64_t t = 0; t < T; t++) {
                    double beta = exact ? 0.5 : case_in(&relative, "theta")[t];
                    case_in(&relative, "theta")[t] = beta;
                    case_in(&lmm, "theta")[t] = beta / 2;
                }
                expect_relative(&lmm, &relative, exact);
            }
}

/* 2 theta = beta / (1 + beta |k|^2): exact for keys of four entries +-1 and beta = 1/4, else rounded once,
 * which the tolerance of theta's own rounding covers: the step enters every output linearly. */
Test(reference_relatives, longhorn_is_the_lmm_of_its_implicit_step) {
    for (int exact = 0; exact < 2; exact++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case lmm = lmm_case(seed, T), relative = relative_case("longhorn", seed, T);
            if (exact) make_exact(&lmm, 1);
            for (int64_t t = 0; t < T; t++) {
                const double *k = case_in(&lmm, "k") + t * D;
                double beta = exact ? 0.25 : case_in(&relative, "theta")[t];
                case_in(&relative, "theta")[t] = beta;
                case_in(&lmm, "theta")[t] = beta / (1 + beta * dot(k, k, D)) / 2;
            }
            expect_relative(&lmm, &relative, exact);
        }
}

/* E16: with eta = 0 and decay, LMM - Gated DeltaNet = -2 theta alpha k' (k M) after one token, not 0: the one
 * takes its gradient at M, the other at (1 - alpha) M. */
Test(reference_relatives, gated_delta_net_decays_before_it_takes_the_error) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case lmm = lmm_case(seed, 1), gated = relative_case("gated_delta_net", seed, 1);
        make_momentary(&lmm);
        copy_inputs(&lmm, &gated, shared, 4);
        double theta = 0.125, alpha = 0.25;
        case_set(&lmm, "theta", theta);
        case_set(&lmm, "alpha", alpha);
        case_set(&gated, "theta", 2 * theta);
        case_set(&gated, "alpha", alpha);
        case_run(&lmm);
        case_run(&gated);
        double farthest = 0;
        for (int64_t p = 0; p < D * M; p++) {
            double recalled = 0;
            for (int64_t i = 0; i < D; i++)
                recalled += case_in(&lmm, "k")[i] * case_in(&lmm, "M0")[i * M + p % M];
            double want = -2 * theta * alpha * case_in(&lmm, "k")[p / M] * recalled;
            expect_near(&lmm, p, lmm.out[1][p] - gated.out[1][p], want,
                        lmm.tolerance[1][p] + gated.tolerance[1][p]);
            farthest = fmax(farthest, fabs(want));
        }
        cr_assert(farthest > 1e-3);
        case_free(&lmm);
        case_free(&gated);
    }
}

Test(reference_relatives, gated_delta_net_without_decay_is_delta_net) {
    Case a = relative_case("delta_net", 1, T), b = relative_case("gated_delta_net", 1, T);
    case_set(&b, "alpha", 0);
    copy_inputs(&a, &b, (const char *const[]){"M0", "k", "v", "q", "theta"}, 5);
    case_run(&a);
    case_run(&b);
    for (int o = 0; o < 2; o++) cr_assert(same_bits(a.out[o], b.out[o], a.out_size[o]));
    case_free(&a);
    case_free(&b);
}

/* One-hot keys, each once, beta = 1, M_0 = 0: every rule stores its values, M k_i = v_i, as linear attention
 * does; Longhorn stores beta / (1 + beta) of them. */
Test(reference_relatives, store_values_under_one_hot_keys_as_linear_attention_does) {
    const char *const names[] = {"delta_net", "ttt_layer", "gated_delta_net", "longhorn"};
    Case linear = memory_case(1, D, 0, 0);
    for (int64_t i = 0; i < D * D; i++) case_in(&linear, "k")[i] = i % (D + 1) == 0;
    case_set(&linear, "M0", 0);
    case_run(&linear);
    for (int which = 0; which < 4; which++) {
        Case c = relative_case(names[which], 1, D);
        copy_inputs(&linear, &c, shared, 4);
        case_set(&c, "theta", 1);
        if (which == 2) case_set(&c, "alpha", 0);
        case_run(&c);
        double part = which == 3 ? 0.5 : 1;
        for (int64_t p = 0; p < D * M; p++)
            cr_assert(c.out[1][p] == part * case_in(&linear, "v")[p] &&
                          c.out[1][p] == part * linear.out[1][p],
                      "%s element %d", names[which], (int)p);
        for (int64_t i = 0; i < D * M; i++)
            cr_assert(c.out[0][i] == part * linear.out[0][i], "%s read %d", names[which], (int)i);
        case_free(&c);
    }
    case_free(&linear);
}

/* A token written twice is recalled as its value (beta |k|^2 = 1): the rules correct, linear attention adds.
 */
Test(reference_relatives, overwrite_what_linear_attention_adds_up) {
    Case c = relative_case("delta_net", 1, 2), linear = memory_case(1, 2, 0, 0);
    case_set(&c, "k", 0.5);
    case_set(&c, "theta", 1);
    for (int64_t j = 0; j < M; j++) case_in(&c, "v")[M + j] = case_in(&c, "v")[j];
    case_set(&linear, "M0", 0);
    case_set(&c, "M0", 0);
    copy_inputs(&c, &linear, (const char *const[]){"k", "v", "q"}, 3);
    case_run(&c);
    case_run(&linear);
    for (int64_t p = 0; p < D * M; p++)
        cr_assert(c.out[1][p] == case_in(&c, "v")[p % M] / 2 && linear.out[1][p] == 2 * c.out[1][p], "%d",
                  (int)p);
    case_free(&c);
    case_free(&linear);
}

/* Eqs 32-33 with equal channels are eqs 13-14 of half the step: E1 is a power of 2, so to the bit. */
Test(reference_relatives, diagonal_lmm_with_equal_channels_is_the_lmm_of_half_the_step) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case lmm = lmm_case(seed, T), diagonal = relative_case("diagonal_lmm", seed, T);
        copy_inputs(&lmm, &diagonal, (const char *const[]){"M0", "S0", "k", "v", "q"}, 5);
        for (int64_t i = 0; i < T * M; i++) {
            case_in(&diagonal, "alpha")[i] = case_in(&lmm, "alpha")[i / M];
            case_in(&diagonal, "theta")[i] = 2 * case_in(&lmm, "theta")[i / M];
            case_in(&diagonal, "eta")[i] = case_in(&lmm, "eta")[i / M];
        }
        case_run(&lmm);
        case_run(&diagonal);
        for (int o = 0; o < 3; o++)
            cr_assert(same_bits(lmm.out[o], diagonal.out[o], lmm.out_size[o]), "%d", o);
        case_free(&lmm);
        case_free(&diagonal);
    }
}

/* The diagonal matrices act on output channels: the gates of a channel move that column alone; and eq 32
 * decays M_{t-1} (E9): alpha = 1, theta = eta = 0 clears its column. */
Test(reference_relatives, diagonal_lmm_keeps_channels_apart) {
    const char *const names[] = {"alpha", "theta", "eta"};
    for (int which = 0; which < 3; which++)
        for (int64_t j = 0; j < M; j++) {
            Case a = relative_case("diagonal_lmm", 2, T), b = relative_case("diagonal_lmm", 2, T);
            for (int64_t t = 0; t < T; t++) case_in(&b, names[which])[t * M + j] += 0.125;
            case_run(&a);
            case_run(&b);
            for (int64_t p = 0; p < D * M; p++)
                cr_assert((a.out[1][p] == b.out[1][p]) == (p % M != j), "%s weight %d", names[which], (int)p);
            case_free(&a);
            case_free(&b);
        }
    Case c = relative_case("diagonal_lmm", 3, 1);
    for (int i = 1; i < 3; i++) case_set(&c, names[i], 0);
    case_in(&c, "alpha")[0] = 1;
    case_run(&c);
    for (int64_t p = 0; p < D * M; p++)
        cr_assert(c.out[1][p] == (p % M ? (1 - case_in(&c, "alpha")[p % M]) * case_in(&c, "M0")[p] : 0));
    case_free(&c);
}
