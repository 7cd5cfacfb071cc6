/* Facts about the reference's layers and attention that do not come from the reference (eqs 1-2,
 * section 4.4). */
#include "test_reference.h"

enum { SEEDS = 5 };

Test(reference_layers, silu_is_odd_up_to_x_and_saturates) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case a = case_new("silu", seed, "n=9"), b = case_new("silu", seed, "n=9");
        for (int64_t j = 0; j < 9; j++) a.in[0][j] *= 8, b.in[0][j] = -a.in[0][j];
        a.in[0][0] = 1000, b.in[0][0] = -1000;
        case_run(&a);
        case_run(&b);
        for (int64_t j = 0; j < 9; j++)
            expect_near(&a, j, a.out[0][j] - b.out[0][j], a.in[0][j], a.tolerance[0][j] + b.tolerance[0][j]);
        case_free(&a);
        case_free(&b);
    }
}

Test(reference_layers, l2_norm_has_its_eps_inside_the_root) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case c = case_new("l2_norm", seed, "tokens=3 width=5");
        for (int64_t j = 0; j < 5; j++) c.in[0][5 + j] = 0, c.in[0][10 + j] *= 0x1p-10;
        case_run(&c);
        for (int64_t t = 0; t < 3; t++) {
            double s = dot(c.in[0] + 5 * t, c.in[0] + 5 * t, 5);
            expect_near(&c, t, dot(c.out[0] + 5 * t, c.out[0] + 5 * t, 5), s / (s + 1e-6), 1e-14);
        }
        case_free(&c);
    }
}

Test(reference_layers, rms_norm_has_the_rms_of_its_gain) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case c = case_new("rms_norm", seed, "tokens=4 width=6");
        case_run(&c);
        for (int64_t t = 0; t < 4; t++) {
            double mean = dot(c.in[0] + 6 * t, c.in[0] + 6 * t, 6) / 6, sum = 0;
            for (int64_t j = 0; j < 6; j++) {
                double y = c.out[0][6 * t + j] / c.in[1][j];
                sum += y * y / 6;
            }
            expect_near(&c, t, sum, mean / (mean + 1e-6), 1e-14);
        }
        case_free(&c);
    }
}

Test(reference_layers, conv_is_the_sum_over_the_padded_sequence) {
    for (int64_t w = 1; w <= 4; w++) {
        enum { T = 6, D = 3 };
        Case c = case_new("conv", (uint64_t)w, "tokens=%d width=%d taps=%ld", T, D, w);
        double padded[(T + 3) * D];
        memcpy(padded, c.in[2], (size_t)((w - 1) * D) * sizeof(double));
        memcpy(padded + (w - 1) * D, c.in[0], T * D * sizeof(double));
        case_run(&c);
        for (int64_t i = 0; i < T * D; i++) {
            double sum = 0;
            for (int64_t j = 0; j < w; j++) sum += padded[i + j * D] * c.in[1][j * D + i % D];
            expect_near(&c, i, c.out[0][i], sum, c.tolerance[0][i]);
        }
        case_free(&c);
    }
}

Test(reference_layers, conv_split_in_two_calls_changes_no_bit) {
    enum { T = 7, H = 2, DH = 2, D = H * DH, W = 4 };
    for (int64_t cut = 3; cut < T; cut++) {
        Case whole = case_new("conv_silu_l2", 3, "tokens=%d heads=%d head_width=%d taps=%d", T, H, DH, W);
        Case head = case_new("conv_silu_l2", 3, "tokens=%ld heads=%d head_width=%d taps=%d", cut, H, DH, W);
        Case rest =
            case_new("conv_silu_l2", 3, "tokens=%ld heads=%d head_width=%d taps=%d", T - cut, H, DH, W);
        for (int i = 1; i < 3; i++)
            memcpy(head.in[i], whole.in[i], (size_t)whole.in_size[i] * sizeof(double));
        memcpy(head.in[0], whole.in[0], (size_t)(cut * D) * sizeof(double));
        memcpy(rest.in[0], whole.in[0] + cut * D, (size_t)((T - cut) * D) * sizeof(double));
        memcpy(rest.in[1], whole.in[1], W * D * sizeof(double));
        memcpy(rest.in[2], whole.in[0] + (cut - 3) * D, 3 * D * sizeof(double));
        case_run(&whole);
        case_run(&head);
        case_run(&rest);
        cr_assert(same_bits(whole.out[0], head.out[0], cut * D), "cut %lld", (long long)cut);
        cr_assert(same_bits(whole.out[0] + cut * D, rest.out[0], (T - cut) * D), "cut %lld", (long long)cut);
        case_free(&whole);
        case_free(&head);
        case_free(&rest);
    }
}

Test(reference_layers, norm_gate_normalises_each_head_alone) {
    enum { T = 2, H = 2, DH = 3, D = H * DH };
    Case c = case_new("norm_gate", 1, "tokens=%d heads=%d head_width=%d", T, H, DH);
    case_run(&c);
    for (int64_t i = 0; i < T * D; i++) {
        const double *head = c.in[0] + i / DH * DH, z = c.in[2][i];
        double y = c.in[0][i] / sqrt(dot(head, head, DH) / DH + 1e-6) * c.in[1][i % D];
        expect_near(&c, i, c.out[0][i], y * z / (1 + exp(-z)), 4 * c.tolerance[0][i]);
    }
    case_free(&c);
}

Test(reference_layers, gates_keep_their_columns_and_ranges) {
    enum { T = 2, H = 2 };
    for (int64_t kind = 0; kind < 2; kind++) {
        Case c = case_new("gates", 1, "tokens=%d heads=%d gate=%ld", T, H, kind);
        const double z[T * 3 * H] = {0, 9, 9, 0, -9, 0, -9, 0, 0, -9, 0, 9};
        memcpy(c.in[0], z, sizeof z);
        case_set(&c, "theta_max", 0.5);
        case_run(&c);
        double high = 1 / (1 + exp(-9.0)), low = exp(-9.0) / (1 + exp(-9.0));
        double top = kind ? 1 : high, bottom = kind ? 0 : low;
        const double alpha[] = {0.5, top, bottom, 0.5}, theta[] = {top, 0.5, 0.5, bottom};
        const double eta[] = {low, 0.5, 0.5, high};
        for (int64_t i = 0; i < T * H; i++) {
            expect_near(&c, i, c.out[0][i], alpha[i], 2e-16);
            expect_near(&c, i, c.out[1][i], 0.5 * theta[i], 2e-16);
            expect_near(&c, i, c.out[2][i], eta[i], 2e-16);
        }
        if (kind) cr_assert(c.out[0][1] == 1 && c.out[0][2] == 0 && c.out[1][3] == 0);
        case_free(&c);
    }
}

Test(reference_layers, swiglu_gates_with_the_first_argument) {
    Case c = case_new("swiglu", 1, "tokens=2 ffn=3");
    case_run(&c);
    for (int64_t i = 0; i < 6; i++) {
        double a = c.in[0][i];
        expect_near(&c, i, c.out[0][i], a / (1 + exp(-a)) * c.in[1][i], 4 * c.tolerance[0][i]);
    }
    case_free(&c);
}

Test(reference_layers, rope_preserves_norms_and_sees_relative_positions_only) {
    enum { T = 5, DH = 6 };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case near = case_new("rope", seed, "tokens=%d heads=1 head_width=%d", T, DH);
        Case far = case_new("rope", seed, "tokens=%d heads=1 head_width=%d start=1000", T, DH);
        case_run(&near);
        case_run(&far);
        cr_assert(same_bits(near.in[0], near.out[0], DH), "position 0 does not turn, seed %d", (int)seed);
        cr_assert(!same_bits(near.out[0], far.out[0], T * DH));
        for (int64_t s = 0; s < T; s++)
            for (int64_t t = 0; t < T; t++) {
                double a = dot(near.out[0] + s * DH, near.out[0] + t * DH, DH);
                double b = dot(far.out[0] + s * DH, far.out[0] + t * DH, DH);
                /* The angle near 1000 is itself rounded to double: 1000 2^-53 of turn. */
                expect_near(&near, s * T + t, a, b, 1e-12);
                if (s == t)
                    expect_near(&near, s, a, dot(near.in[0] + s * DH, near.in[0] + s * DH, DH), 1e-14);
            }
        /* Pair (0, DH/2) has frequency 1: token 1 turns it by one radian. */
        const double *x = near.in[0] + DH, *y = near.out[0] + DH;
        expect_near(&near, 0, y[0], x[0] * cos(1.0) - x[DH / 2] * sin(1.0), 1e-15);
        expect_near(&near, 1, y[DH / 2], x[DH / 2] * cos(1.0) + x[0] * sin(1.0), 1e-15);
        case_free(&near);
        case_free(&far);
    }
}

Test(reference_layers, cross_entropy_is_log_V_when_uniform_and_skips_ignored_tokens) {
    enum { T = 4, V = 7 };
    Case c = case_new("cross_entropy", 1, "tokens=%d vocab=%d", T, V);
    case_set(&c, "logits", 1e4);
    c.in[1][2] = -1;
    for (int64_t j = 0; j < V; j++) c.in[0][2 * V + j] = (double)j;
    case_run(&c);
    expect_near(&c, 0, c.out[0][0], log(V), 1e-15);
    case_set(&c, "target", -1);
    case_run(&c);
    cr_assert(c.out[0][0] == 0);
    case_free(&c);
}

Test(reference_layers, cross_entropy_has_the_gradient_softmax_minus_target) {
    enum { T = 3, V = 5 };
    Case c = case_new("cross_entropy", 2, "tokens=%d vocab=%d", T, V);
    const double one = 1, *cotangent[] = {&one};
    double g[T * V], *grad[] = {g, NULL};
    c.in[1][1] = -1;
    oracle_gradient(&c.dims, constant(c.in), cotangent, grad, NULL);
    for (int64_t t = 0; t < T; t++)
        for (int64_t j = 0; j < V; j++) {
            double sum = 0;
            for (int64_t i = 0; i < V; i++) sum += exp(c.in[0][t * V + i]);
            double want = exp(c.in[0][t * V + j]) / sum - (j == (int64_t)c.in[1][t]);
            expect_near(&c, t * V + j, g[t * V + j], t == 1 ? 0 : want / 2, 1e-15);
        }
    case_free(&c);
}

Test(reference_attention, qkv_multiplies_rows_from_the_left) {
    enum { T = 2, D = 3 };
    Case c = case_new("qkv", 1, "tokens=%d width=%d", T, D);
    case_run(&c);
    for (int o = 0; o < 3; o++)
        for (int64_t i = 0; i < T * D; i++) {
            double sum = 0;
            for (int64_t j = 0; j < D; j++) sum += c.in[0][i / D * D + j] * c.in[1 + o][j * D + i % D];
            expect_near(&c, i, c.out[o][i], sum, c.tolerance[o][i]);
        }
    case_free(&c);
}

Test(reference_attention, equals_the_ratio_of_eq_2_in_long_double) {
    enum { T = 3, S = 6, DH = 4 };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case c = case_new("attention", seed, "tokens=%d keys=%d head_width=%d", T, S, DH);
        case_run(&c);
        for (int64_t i = 0; i < T * DH; i++) {
            long double top = 0, bottom = 0;
            for (int64_t j = 0; j <= S - T + i / DH; j++) {
                long double qk = dot(c.in[0] + i / DH * DH, c.in[1] + j * DH, DH);
                top += expl(qk / 2) * c.in[2][j * DH + i % DH];
                bottom += expl(qk / 2);
            }
            expect_near(&c, i, c.out[0][i], (double)(top / bottom), c.tolerance[0][i]);
        }
        case_free(&c);
    }
}

Test(reference_attention, averages_the_prefix_when_keys_are_equal_and_survives_large_scores) {
    enum { T = 5, DH = 2 };
    Case c = case_new("attention", 1, "tokens=%d keys=%d head_width=%d", T, T, DH);
    case_set(&c, "q", 1e4);
    case_set(&c, "k", 1e4);
    case_run(&c);
    for (int64_t i = 0; i < T * DH; i++) {
        const int64_t rows = i / DH + 1;
        double sum = 0;
        for (int64_t j = 0; j < rows; j++) sum += c.in[2][j * DH + i % DH];
        expect_near(&c, i, c.out[0][i], sum / (double)rows, 1e-15);
    }
    case_free(&c);
}

Test(reference_attention, does_not_see_the_future) {
    enum { T = 6, DH = 3 };
    for (int64_t t = 1; t < T; t++) {
        Case a = case_new("attention", 4, "tokens=%d keys=%d head_width=%d", T, T, DH);
        Case b = case_new("attention", 4, "tokens=%d keys=%d head_width=%d", T, T, DH);
        for (int i = 1; i < 3; i++)
            for (int64_t j = 0; j < DH; j++) b.in[i][t * DH + j] += 1;
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[0], b.out[0], t * DH), "token %lld", (long long)t);
        cr_assert(!same_bits(a.out[0] + t * DH, b.out[0] + t * DH, DH), "token %lld", (long long)t);
        case_free(&a);
        case_free(&b);
    }
}
