/* Facts about the architectures of section 4 and their parts that do not come from the reference (eqs 19-31, errata E6 E7 E8
 * E10 E13). */
#include "test_mixes.h"

/* ---- window and gate ------------------------------------------------------------------------------------- */

Test(reference_window, equals_the_masked_ratio_of_eq_2_in_long_double) {
    enum { S = 6, Q = 4, W = 4 };
    for (int64_t window = 0; window <= S + 1; window++)
        for (int64_t prefix = 0; prefix <= S; prefix++) {
            Case c = case_new("window_attention", 1, "tokens=%d keys=%d head_width=%d window=%ld prefix=%ld",
                              Q, S, W, window, prefix);
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
        Case a = case_new("attention", 2, "tokens=%d keys=%d head_width=%d", T, T, DH);
        Case b =
            case_new("window_attention", 2, "tokens=%d keys=%d head_width=%d window=%ld", T, T, DH, window);
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
            const Dims dims =
                dims_of("window_attention", "tokens=%d keys=%d head_width=%d window=%ld prefix=%d", T, T, DH,
                        window, PREFIX);
            Case a = case_at_dims(&dims, 3), b = case_at_dims(&dims, 3);
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
    Case c = case_new("titans_gate", 1, "tokens=%d heads=%d head_width=%d", T, H, DH);
    case_run(&c);
    for (int64_t i = 0; i < T * D; i++) {
        const double *y = c.in[0] + i / DH * DH, *m = c.in[1] + i / DH * DH;
        double left = c.in[0][i] / sqrt(dot(y, y, DH) / DH + 1e-6) * c.in[2][i % D];
        double right = c.in[1][i] / sqrt(dot(m, m, DH) / DH + 1e-6) * c.in[3][i % D];
        expect_near(&c, i, c.out[0][i], left / (1 + exp(-right)), 4 * c.tolerance[0][i]);
    }
    case_free(&c);
}

/* ---- whole mixers ---------------------------------------------------------------------------------------- */

Test(reference_mixers, see_no_future_and_are_not_inert) {
    Dims mix;
    for (int which = 0; mix_at(which, &mix); which++)
        for (int64_t t = 0; t < T && !dims_get_or(&mix, "mask", 0); t++) {
            Case a = mix_case(&mix, 1), b = mix_case(&mix, 1);
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
    Dims mix;
    for (int which = 0; mix_at(which, &mix); which++) {
        if (mix_is(&mix, "mixer_swa")) continue;
        Case a = mix_case(&mix, 1), b = mix_case(&mix, 1);
        for (int64_t i = 0; i < D; i++) b.in[0][i] += 0.25;
        case_run(&a);
        case_run(&b);
        cr_assert(!same_bits(a.out[0] + (T - 1) * D, b.out[0] + (T - 1) * D, D), "case %d", which);
        case_free(&a);
        case_free(&b);
    }
}

Test(reference_mixers, give_every_tensor_an_outer_gradient) { /* E18 */
    Dims mix;
    for (int which = 0; mix_at(which, &mix); which++) {
        Case c = mix_case(&mix, 2);
        double cotangent[T * D], *grad[EQUATION_ARGUMENTS];
        const double *given[] = {cotangent};
        uint64_t state = 9;
        for (int i = 0; i < T * D; i++) cotangent[i] = uniform(&state);
        for (int i = 0; i < c.inputs; i++) grad[i] = calloc((size_t)c.in_size[i] + 1, sizeof(double));
        oracle_gradient(&c.dims, constant(c.in), given, grad, NULL);
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
    const Dims mix = mac_dims("chunk=2 memory_layers=2 persistent=1 segment=4 mask=%ld", literal);
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
    const Dims mix = mac_dims("taps=3 chunk=2 memory_layers=2 persistent=2 segment=4");
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
        const Dims mix = mac_dims("chunk=2 memory_layers=1 persistent=1 segment=4");
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
        const Dims mix = mac_dims("chunk=2 memory_layers=2 persistent=1 segment=%ld", C);
        Case a = mix_case(&mix, 1), b = mix_case(&mix, 1);
        for (int i = 0; i < 2; i++) case_set(i ? &b : &a, "gain_m", 0);
        case_set(&b, "theta_max", 0.5);
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[0], b.out[0], T * D) == (C >= T), "C %d", (int)C);
        case_free(&a);
        case_free(&b);
    }
    const Dims mix = mac_dims("chunk=1 memory_layers=1 segment=%d", T);
    const Dims longer = mac_dims("chunk=1 memory_layers=1 segment=%d", T + 3);
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
    Dims mix;
    for (int which = 0; mix_at(which, &mix); which++)
        for (int64_t b = 1; b <= 2 && dims_get_or(&mix, "gates_per_chunk", -1) >= 0; b++) {
            Dims token = mix, chunk = mix;
            dims_set(&token, "chunk", b), dims_set(&chunk, "chunk", b);
            dims_set(&token, "gates_per_chunk", 0), dims_set(&chunk, "gates_per_chunk", 1);
            Case x = mix_case(&token, 1), y = mix_case(&chunk, 1);
            case_run(&x);
            case_run(&y);
            int same = same_bits(x.out[0], y.out[0], T * D);
            cr_assert(same == (b == 1), "case %d, b %d", which, (int)b);
            case_free(&x);
            case_free(&y);
        }
}

Test(reference_mixers, swa_without_window_or_persistent_tokens_is_attention) {
    Case a = case_new("mixer_attention", 1, "tokens=%d width=%d heads=%d", T, D, H);
    Case b = case_new("mixer_swa", 1, "tokens=%d width=%d heads=%d window=0", T, D, H);
    case_run(&a);
    case_run(&b);
    cr_assert(same_bits(a.out[0], b.out[0], T * D));
    case_free(&a);
    case_free(&b);
}

/* Eq 19: where no row is treated as a prefix (window 0, and not ALiBi, whose prefix is at no distance), persistent tokens
 * are tokens in front. */
Test(reference_mixers, persistent_tokens_are_tokens_in_front) {
    Dims mix;
    for (int which = 0; mix_at(which, &mix); which++) {
        if (mix_is(&mix, "mixer_mac") || mix_is(&mix, "mixer_attention")) continue;
        if (dims_get_or(&mix, "positions", 0) == 2) continue;
        Dims behind = mix, front = mix;
        int64_t Np = dims_get(&mix, "persistent");
        if (dims_get_or(&mix, "window", 0)) dims_set(&behind, "window", 0), dims_set(&front, "window", 0);
        dims_set(&front, "persistent", 0), dims_set(&front, "tokens", Np + T);
        Case a = mix_case(&behind, 1), b = mix_case(&front, 1);
        for (int64_t i = 0; i < Np * D; i++) case_in(&b, "x")[i] = case_in(&a, "persistent")[i];
        memcpy(case_in(&b, "x") + Np * D, case_in(&a, "x"), T * D * sizeof(double));
        for (int i = 2; i < a.inputs; i++) memcpy(b.in[i], a.in[i], (size_t)a.in_size[i] * sizeof(double));
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[0], b.out[0] + Np * D, T * D), "case %d", which);
        case_free(&a);
        case_free(&b);
    }
}
