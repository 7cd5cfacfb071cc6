/* Facts about the scans of Mamba and Longhorn that do not come from their loops: what they are at their limits, that a
 * sequence may be cut, and how far decays may go. */
#include "base/dispatch.h"
#include "base/random.h"
#include "ledger.h"
#include "test_reference.h"

enum { T = 13, CUT = 5, D = 6, N = 4, SEEDS = 3 };

static void copy(const double *from, int64_t n, double *to) { memcpy(to, from, (size_t)n * sizeof *to); }

/* The tokens from .. from + n - 1 of a case, in every input that has tokens, and its other inputs. */
static Case part_of(const Case *whole, const char *more, int64_t from, int64_t n) {
    Case c = case_new(whole->name, 1, "tokens=%ld channels=%d state=%d %s", n, D, N, more);
    for (int i = 0; i < c.inputs; i++) {
        const int64_t each = whole->in_size[i] / T;
        const int has_tokens = !strncmp(c.e->in[i].shape, "tokens", 6);
        copy(whole->in[i] + (has_tokens ? from * each : 0), c.in_size[i], c.in[i]);
    }
    return c;
}

/* Cut in two, the state carried: not a bit changes. */
static void expect_cut_is_whole(const char *name, const char *more, uint64_t seed) {
    Case c = case_new(name, seed, "tokens=%d channels=%d state=%d %s", T, D, N, more);
    Case first = part_of(&c, more, 0, CUT), second = part_of(&c, more, CUT, T - CUT);
    case_run(&c);
    case_run(&first);
    copy(case_out(&first, "state"), N * D, case_in(&second, "state0"));
    case_run(&second);
    cr_assert(same_bits(case_out(&c, "y"), case_out(&first, "y"), CUT * D) &&
                  same_bits(case_out(&c, "y") + CUT * D, case_out(&second, "y"), (T - CUT) * D) &&
                  same_bits(case_out(&c, "state"), case_out(&second, "state"), N * D),
              "%s %s, seed %d", name, more, (int)seed);
    cr_assert(!same_bits(case_out(&first, "state"), case_out(&c, "state"), N * D));
    case_free(&c);
    case_free(&first);
    case_free(&second);
}
Test(relatives_scan, in_two_calls_is_the_scan_in_one) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        expect_cut_is_whole("selective_scan", "groups=2 softplus=1 gated=1", seed);
        expect_cut_is_whole("selective_scan", "", seed);
        expect_cut_is_whole("longhorn_scan", "gated=1", seed);
    }
}

/* A = 0: nothing fades, every channel is linear attention to its own past: y_t = sum_{j<=t} (C_t.B_j) step_j u_j. */
Test(relatives_scan, without_decay_sums_the_past) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case c = case_new("selective_scan", seed, "tokens=%d channels=%d state=%d", T, D, N);
        const char *const zero[] = {"A", "delta_bias", "skip", "state0"};
        for (int i = 0; i < 4; i++) case_set(&c, zero[i], 0);
        case_run(&c);
        for (int64_t i = 0; i < T * D; i++) {
            double sum = 0;
            for (int64_t j = 0; j <= i / D; j++)
                sum += dot(case_in(&c, "C") + i / D * N, case_in(&c, "B") + j * N, N) *
                       case_in(&c, "delta")[j * D + i % D] * case_in(&c, "u")[j * D + i % D];
            expect_near(&c, i, case_out(&c, "y")[i], sum, 4 * c.tolerance[0][i]);
        }
        case_free(&c);
    }
}

/* Constant inputs: h is the sum of a geometric series with ratio exp(step A). */
Test(relatives_scan, of_constants_is_a_geometric_series) {
    const double step = 0.5, rate = -0.75, ratio = exp(step * rate);
    Case c = case_new("selective_scan", 1, "tokens=%d channels=%d state=%d", T, D, N);
    const char *const zero[] = {"delta_bias", "skip", "state0"};
    for (int i = 0; i < 3; i++) case_set(&c, zero[i], 0);
    case_set(&c, "A", rate), case_set(&c, "delta", step), case_set(&c, "u", 2), case_set(&c, "B", 1);
    case_run(&c);
    for (int64_t i = 0; i < N * D; i++)
        expect_formula(&c, "state", i, step * 2 * (1 - pow(ratio, T)) / (1 - ratio));
    case_free(&c);
}

/* The diagonal of the implicit update, from its definition: s = beta / (1 + beta |k|^2), one number of the state at a
 * time, every beta by itself. */
Test(relatives_scan, longhorn_is_the_diagonal_of_the_implicit_update) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case c = case_new("longhorn_scan", seed, "tokens=%d channels=%d state=%d", T, D, N);
        double h[N * D], y[T * D];
        case_set(&c, "skip", 0);
        case_run(&c);
        copy(case_in(&c, "state0"), N * D, h);
        for (int64_t i = 0; i < T * D; i++) {
            const double *k = case_in(&c, "k") + i / D * N, *q = case_in(&c, "q") + i / D * N;
            const double beta = 1 / (1 + exp(-case_in(&c, "delta")[i] - case_in(&c, "delta_bias")[i % D]));
            const double s = beta / (1 + beta * dot(k, k, N));
            y[i] = 0;
            for (int64_t n = 0; n < N; n++) {
                double *at = &h[n * D + i % D];
                *at += s * k[n] * (case_in(&c, "u")[i] - k[n] * *at);
                y[i] += q[n] * *at;
            }
            expect_near(&c, i, case_out(&c, "y")[i], y[i], 4 * c.tolerance[0][i]);
        }
        case_free(&c);
    }
}

/* Keys with one number only make I - s k k' diagonal: then the released form is eq 35 in full, with theta = beta. */
Test(relatives_scan, longhorn_with_one_key_number_is_eq_35) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case c = case_new("longhorn_scan", seed, "tokens=%d channels=%d state=%d", T, D, N);
        Case full = case_new("longhorn", seed, "tokens=%d n0=%d n1=%d", T, N, D);
        case_set(&c, "skip", 0), case_set(&c, "delta_bias", 0);
        for (int64_t t = 0; t < T; t++) {
            const double delta = case_in(&c, "delta")[t * D];
            for (int64_t d = 0; d < D; d++) case_in(&c, "delta")[t * D + d] = delta;
            for (int64_t n = 0; n < N; n++)
                if (n != t % N) case_in(&c, "k")[t * N + n] = 0;
            case_in(&full, "theta")[t] = 1 / (1 + exp(-delta));
        }
        copy(case_in(&c, "k"), T * N, case_in(&full, "k"));
        copy(case_in(&c, "q"), T * N, case_in(&full, "q"));
        copy(case_in(&c, "u"), T * D, case_in(&full, "v"));
        copy(case_in(&c, "state0"), N * D, case_in(&full, "M0"));
        case_run(&c);
        case_run(&full);
        for (int64_t i = 0; i < T * D; i++)
            expect_near(&c, i, case_out(&c, "y")[i], case_out(&full, "y")[i],
                        4 * (c.tolerance[0][i] + full.tolerance[0][i]));
        case_free(&c);
        case_free(&full);
    }
}

/* With as many key heads as heads and base 10000, Mistral's layer is the window without persistent tokens. */
Test(relatives_scan, grouped_window_with_every_head_is_the_window) {
    Case grouped = case_new("swa_layer", 3, "tokens=%d width=8 heads=2 key_heads=2 head_width=4 window=3", T);
    Case plain = case_new("mixer_swa", 3, "tokens=%d width=8 heads=2 window=3", T);
    const char *const names[] = {"x", "wq", "wk", "wv", "wo"};
    for (int i = 0; i < 5; i++)
        copy(case_in(&plain, names[i]), case_in_size(&plain, names[i]), case_in(&grouped, names[i]));
    case_set(&grouped, "rope_base", 10000);
    case_run(&grouped);
    case_run(&plain);
    cr_assert(same_bits(case_out(&grouped, "o"), case_out(&plain, "o"), T * 8));
    case_set(&grouped, "rope_base", 100);
    case_run(&grouped);
    cr_assert(!same_bits(case_out(&grouped, "o"), case_out(&plain, "o"), T * 8));
    case_free(&grouped);
    case_free(&plain);
}

/* Heads of queries in a row share one of keys: the same as every head with keys of its own, made equal. */
Test(relatives_scan, a_group_of_heads_shares_its_keys) {
    enum { W = 8, HK = 2, G = 2, DH = 4 };
    Case few = case_new("swa_layer", 5, "tokens=%d width=8 heads=4 key_heads=2 head_width=4 window=3", T);
    Case all = case_new("swa_layer", 6, "tokens=%d width=8 heads=4 key_heads=4 head_width=4 window=3", T);
    const char *const same[] = {"x", "wq", "wo", "rope_base"}, *const shared[] = {"wk", "wv"};
    for (int i = 0; i < 4; i++)
        copy(case_in(&few, same[i]), case_in_size(&few, same[i]), case_in(&all, same[i]));
    for (int i = 0; i < 2; i++)
        for (int64_t row = 0; row < W; row++)
            for (int64_t h = 0; h < HK * G; h++)
                copy(case_in(&few, shared[i]) + (row * HK + h / G) * DH, DH,
                     case_in(&all, shared[i]) + (row * HK * G + h) * DH);
    case_run(&few);
    case_run(&all);
    cr_assert(same_bits(case_out(&few, "o"), case_out(&all, "o"), T * W));
    case_free(&few);
    case_free(&all);
}

/* ---- the kernel ------------------------------------------------------------------------------------------------ */

/* What is left of 1 after one token with step 1, for every rate. */
static void left_of_one(int64_t n, const float *rate, float *left) {
    const ScanShape s = {1, 1, n, 1, 1, SCAN_SELECTIVE};
    const float zero = 0.0f;
    float *u = calloc((size_t)n, sizeof *u), *step = calloc((size_t)n, sizeof *step),
          *y = calloc((size_t)n, sizeof *y);
    float *workspace = calloc((size_t)kernel->scan->workspace_floats(&s, 0), sizeof *workspace);
    for (int64_t i = 0; i < n; i++) step[i] = 1.0f, left[i] = 1.0f;
    const ScanInput in = {u, step, rate, &zero, &zero, u};
    kernel->scan->forward(&s, &in, left, y, 0, workspace);
    free(u), free(step), free(y), free(workspace);
}

/* Every decay from 1 to nothing within 2 u and the 4 u that ln 2 in one part costs at the far end; below the normal numbers
 * at most the smallest of them. */
Test(relatives_scan, decays_are_right_down_to_nothing) {
    enum { MANY = 40000 };
    static float rate[MANY], left[MANY];
    for (int i = 0; i < MANY; i++) rate[i] = -(float)i * (100.0f / MANY);
    rate[MANY - 1] = -INFINITY, rate[MANY - 2] = -1e30f, rate[MANY - 3] = NAN;
    for (int k = 0; kernels_at(k); k++) {
        double worst = 0;
        if (!kernels_supported(kernels_at(k))) continue;
        kernel = kernels_at(k);
        left_of_one(MANY, rate, left);
        cr_assert(left[0] == 1.0f && isnan(left[MANY - 3]), "%s", kernel->isa);
        cr_assert(left[MANY - 2] <= 0x1.001p-126f && left[MANY - 1] <= 0x1.001p-126f, "%s", kernel->isa);
        for (int i = 0; i < MANY; i++) {
            const double want = exp((double)rate[i]);
            if (i >= MANY - 3) continue;
            worst = fmax(worst, fabs((double)left[i] - want) /
                                    ((2 - (double)rate[i] / 16) * 0x1p-24 * want + 0x1.001p-126));
        }
        cr_assert(worst <= 1, "%s: %g", kernel->isa, worst);
        ledger_record("scan decays", kernel->isa, MANY, worst);
    }
}

/* A decay of exp(-90) forgets all that was, forward and back: whatever the state before, what follows is the same, and
 * its gradient is next to nothing. */
Test(relatives_scan, a_decay_of_minus_90_forgets) {
    enum { C = 20, S = 3, TOKENS = 19, FORGET = 17 };
    const ScanShape s = {1, TOKENS, C, S, 2 * S, SCAN_SELECTIVE};
    float u[TOKENS * C], step[TOKENS * C], a[S * C], selected[TOKENS * 2 * S], skip[C], y[2][TOKENS * C];
    Random random = {1};
    for (int i = 0; i < TOKENS * C; i++) {
        u[i] = (float)random_uniform(&random);
        step[i] = i / C == FORGET ? 90.0f : 0.125f;
    }
    for (int i = 0; i < S * C; i++) a[i] = -1.0f;
    for (int i = 0; i < TOKENS * 2 * S; i++) selected[i] = (float)random_uniform(&random) - 0.5f;
    for (int i = 0; i < C; i++) skip[i] = 0.0f;
    for (int k = 0; kernels_at(k); k++) {
        if (!kernels_supported(kernels_at(k))) continue;
        kernel = kernels_at(k);
        float *workspace = calloc((size_t)kernel->scan->workspace_floats(&s, 1), sizeof *workspace);
        float *snapshots = calloc((size_t)kernel->scan->snapshot_floats(&s), sizeof *snapshots);
        const ScanInput in = {u, step, a, selected, selected + S, skip};
        for (int run = 0; run < 2; run++) {
            float state[S * C];
            for (int i = 0; i < S * C; i++) state[i] = run ? 3.0f : -3.0f;
            kernel->scan->forward(&s, &in, state, y[run], snapshots, workspace);
        }
        cr_assert(!memcmp(y[0] + FORGET * C, y[1] + FORGET * C, (TOKENS - FORGET) * C * sizeof(float)) &&
                      memcmp(y[0], y[1], FORGET * C * sizeof(float)),
                  "%s", kernel->isa);
        float dy[TOKENS * C] = {0}, dstate[S * C] = {0}, du[TOKENS * C] = {0}, ds[TOKENS * C] = {0},
                          da[S * C] = {0}, dselected[TOKENS * 2 * S] = {0}, dskip[C] = {0};
        for (int i = FORGET * C; i < TOKENS * C; i++) dy[i] = 1.0f;
        const ScanGradient d = {du, ds, da, dselected, dselected + S, dskip};
        kernel->scan->backward(&s, &in, snapshots, dy, &d, dstate, workspace);
        for (int i = 0; i < S * C; i++) cr_assert(fabsf(dstate[i]) <= 1e-35f, "%s", kernel->isa);
        for (int i = 0; i < FORGET * C; i++) cr_assert(fabsf(du[i]) <= 1e-35f, "%s", kernel->isa);
        for (int i = FORGET * C; i < TOKENS * C; i++) cr_assert(isfinite(ds[i]) && du[i] != 0.0f);
        free(workspace);
        free(snapshots);
    }
}
