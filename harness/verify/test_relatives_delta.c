/* Facts about the general delta rule: what it is at its limits, and that Titans' linear memory and the paper's relatives
 * (eqs 3-7, 13-14, 32-35) are cases of it. */
#include "test_reference.h"

enum { T = 7, K = 4, V = 3, SEEDS = 3 };

static Case rule(uint64_t seed, int64_t tokens, const char *more) {
    return case_new("general_delta_rule", seed,
                    "tokens=%ld heads=1 key_heads=1 key_width=%d value_width=%d %s", (long)tokens, K, V,
                    more);
}

/* Input `to` of b becomes input `from` of a, number by number through f. */
static void carry_over(const Case *a, const char *from, const Case *b, const char *to,
                       double (*f)(double x)) {
    cr_assert_eq(case_in_size(a, from), case_in_size(b, to), "%s and %s", from, to);
    for (int64_t i = 0; i < case_in_size(a, from); i++)
        case_in(b, to)[i] = f ? f(case_in(a, from)[i]) : case_in(a, from)[i];
}

static void carry_qkv(const Case *a, const Case *b) {
    carry_over(a, "q", b, "q", NULL);
    carry_over(a, "k", b, "k", NULL);
    carry_over(a, "v", b, "v", NULL);
}

/* Output `one` of a is output `other` of b; decays that went through a logarithm may cost a few roundings more. */
static void expect_outputs(const Case *a, const char *one, const Case *b, const char *other) {
    const int i = place_of(a->e->out, one), k = place_of(b->e->out, other);
    cr_assert_eq(a->out_size[i], b->out_size[k]);
    for (int64_t j = 0; j < a->out_size[i]; j++)
        expect_near(a, j, a->out[i][j], b->out[k][j],
                    4 * (a->tolerance[i][j] + b->tolerance[k][j]) + 0x1p-50);
}

static double log_rest(double x) { return log(1 - x); }
static double twice(double x) { return 2 * x; }
static double opposite(double x) { return -x; }

/* The two names of what is read and what is left, in the order (read, state). */
static void run_and_compare(Case *a, Case *b, const char *read, const char *state) {
    case_run(a);
    case_run(b);
    expect_outputs(a, read, b, "o");
    expect_outputs(a, state, b, "state");
    case_free(a);
    case_free(b);
}

/* ---- the paper's own equations ---- */

static Case linear_memory(uint64_t seed) {
    return case_new("memory_sequential", seed, "tokens=%d memory_layers=1 n0=%d n1=%d", T, K, V);
}

/* eqs 13-14 with eta = 0: (1 - a) M - 2 theta k (k M - v) is the gated delta rule with decay 1 - a, rate
 * 2 theta / (1 - a) and values (1 - a) v. */
Test(relatives_delta, titans_without_momentum_is_the_gated_delta_rule) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case titans = linear_memory(seed), b = rule(seed, T, "removal=key decay=head rate=head scaled=0");
        case_set(&titans, "S0", 0);
        case_set(&titans, "eta", 0);
        carry_qkv(&titans, &b);
        carry_over(&titans, "M0", &b, "state0", NULL);
        carry_over(&titans, "alpha", &b, "g", log_rest);
        for (int64_t t = 0; t < T; t++) {
            const double keep = 1 - case_in(&titans, "alpha")[t];
            case_in(&b, "beta")[t] = 2 * case_in(&titans, "theta")[t] / keep;
            for (int64_t j = 0; j < V; j++) case_in(&b, "v")[t * V + j] *= keep;
        }
        run_and_compare(&titans, &b, "y", "M");
    }
}

/* With momentum there is no such map; it is the delta rule with momentum, whose M is the paper's -S. */
Test(relatives_delta, titans_with_momentum_is_the_momentum_delta_rule) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case titans = linear_memory(seed),
             b = case_new("momentum_delta_rule", seed,
                          "tokens=%d heads=1 key_width=%d value_width=%d scaled=0", T, K, V);
        carry_qkv(&titans, &b);
        carry_over(&titans, "k", &b, "p", NULL);
        carry_over(&titans, "M0", &b, "state0", NULL);
        carry_over(&titans, "S0", &b, "momentum0", opposite);
        carry_over(&titans, "alpha", &b, "log_alpha", log_rest);
        carry_over(&titans, "eta", &b, "log_mu", log);
        carry_over(&titans, "theta", &b, "eta", twice);
        case_set(&b, "beta", 1);
        run_and_compare(&titans, &b, "y", "M");
    }
}

static Case paper(const char *name, uint64_t seed) {
    return case_new(name, seed, "tokens=%d n0=%d n1=%d", T, K, V);
}

/* eq 34, with and without decay; eq 35 with the rate of its implicit step. */
Test(relatives_delta, equations_34_and_35_are_the_delta_rule) {
    const char *const names[] = {"delta_net", "gated_delta_net", "longhorn"};
    for (int which = 0; which < 3; which++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case a = paper(names[which], seed),
                 b = rule(seed, T,
                          which == 1 ? "removal=key decay=head rate=head scaled=0"
                                     : "removal=key rate=head scaled=0");
            carry_qkv(&a, &b);
            carry_over(&a, "M0", &b, "state0", NULL);
            carry_over(&a, "theta", &b, "beta", NULL);
            if (which == 1) carry_over(&a, "alpha", &b, "g", log_rest);
            for (int64_t t = 0; which == 2 && t < T; t++) {
                const double *k = case_in(&a, "k") + t * K;
                case_in(&b, "beta")[t] /= 1 + case_in(&a, "theta")[t] * dot(k, k, K);
            }
            run_and_compare(&a, &b, "y", "M");
        }
}

/* eqs 32-33 without decay and momentum: a rate for every column. */
Test(relatives_delta, equations_32_and_33_without_momentum_are_the_delta_rule_with_a_rate_per_column) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case a = paper("diagonal_lmm", seed), b = rule(seed, T, "removal=key rate=channel scaled=0");
        case_set(&a, "S0", 0);
        case_set(&a, "alpha", 0);
        case_set(&a, "eta", 0);
        carry_qkv(&a, &b);
        carry_over(&a, "M0", &b, "state0", NULL);
        carry_over(&a, "theta", &b, "beta", NULL);
        run_and_compare(&a, &b, "y", "M");
    }
}

static void set_identity(const Case *c, const char *name, int64_t n) {
    for (int64_t i = 0; i < n * n; i++) case_in(c, name)[i] = i % (n + 1) == 0;
}

/* eq 3 with phi = elu + 1 is the mixer whose maps are the identity. */
Test(relatives_delta, equation_3_is_the_mixer_linear_attention) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case a = case_new("linear_attention", seed, "tokens=%d key_width=%d value_width=%d phi=elu_plus_1", T,
                          K, K),
             b = case_new("mixer_linear_attention", seed, "tokens=%d width=%d heads=1", T, K);
        const char *const maps[] = {"wq", "wk", "wv", "wo"}, *const rows[] = {"q", "k", "v"};
        for (int i = 0; i < 4; i++) set_identity(&b, maps[i], K);
        for (int i = 0; i < 3; i++) carry_over(&b, "x", &a, rows[i], NULL);
        case_run(&a);
        case_run(&b);
        expect_outputs(&a, "y", &b, "o");
        case_free(&a);
        case_free(&b);
    }
}

/* ---- the rule at its limits ---- */

/* Decays of exp(0) and rates of 1 are none; a decay for all channels is that of the head. */
Test(relatives_delta, switches_reduce_to_each_other) {
    const struct {
        const char *with, *without;
        double g, beta;
    } pairs[] = {{"decay=head", "", 0, 0},
                 {"decay=channel", "", 0, 0},
                 {"removal=key rate=head", "removal=key", 0, 1},
                 {"removal=key rate=channel", "removal=key", 0, 1},
                 {"removal=key decay=channel rate=head", "removal=key decay=head rate=head", -0.25, 0.5}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        Case a = rule(1, T, pairs[i].with), b = rule(1, T, pairs[i].without);
        Case *const both[] = {&a, &b};
        for (int j = 0; j < 2; j++)
            case_set(both[j], "g", pairs[i].g), case_set(both[j], "beta", pairs[i].beta);
        carry_qkv(&a, &b);
        carry_over(&a, "state0", &b, "state0", NULL);
        run_and_compare(&a, &b, "o", "state");
    }
}

/* What is taken away by the key is taken away by the pair a = decay k, b = -rate k. */
Test(relatives_delta, a_pair_can_be_the_key) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case a = rule(seed, T, "removal=key decay=channel rate=head"),
             b = rule(seed, T, "removal=pair decay=channel rate=head");
        carry_qkv(&a, &b);
        const char *const same[] = {"g", "beta", "state0"};
        for (int i = 0; i < 3; i++) carry_over(&a, same[i], &b, same[i], NULL);
        for (int64_t i = 0; i < T * K; i++) {
            case_in(&b, "a")[i] = exp(case_in(&a, "g")[i]) * case_in(&a, "k")[i];
            case_in(&b, "b")[i] = -case_in(&a, "beta")[i / K] * case_in(&a, "k")[i];
        }
        run_and_compare(&a, &b, "o", "state");
    }
}

/* gamma = 1 remembers everything: linear attention without normaliser. */
Test(relatives_delta, retention_without_decay_is_linear_attention) {
    Case a = case_new("retention", 1, "tokens=%d heads=1 key_width=%d value_width=%d", T, K, V),
         b = rule(1, T, "");
    case_set(&a, "gamma", 1);
    carry_qkv(&a, &b);
    carry_over(&a, "state0", &b, "state0", NULL);
    run_and_compare(&a, &b, "o", "state");
}

/* Mamba-2's scan is linear attention with a decay exp(dt A), values dt x and a skip. */
Test(relatives_delta, state_space_duality_is_the_rule_with_a_decay_per_head) {
    Case a = case_new("state_space_dual", 1,
                      "tokens=%d heads=1 key_heads=1 value_width=%d state_width=%d softplus=0", T, V, K),
         b = rule(1, T, "decay=head rate=head scaled=0");
    case_set(&a, "D", 0);
    case_set(&a, "dt_bias", 0);
    case_set(&a, "dt_min", 0);
    case_set(&a, "dt_max", 1e30);
    carry_over(&a, "C", &b, "q", NULL);
    carry_over(&a, "B", &b, "k", NULL);
    carry_over(&a, "x", &b, "v", NULL);
    carry_over(&a, "dt", &b, "beta", NULL);
    for (int64_t t = 0; t < T; t++) case_in(&b, "g")[t] = case_in(&a, "dt")[t] * case_in(&a, "A")[0];
    for (int64_t i = 0; i < V * K; i++) case_in(&b, "state0")[i % K * V + i / K] = case_in(&a, "state0")[i];
    case_run(&a);
    case_run(&b);
    expect_outputs(&a, "y", &b, "o");
    case_free(&a);
    case_free(&b);
}

/* Two calls with the state carried over are one, to the bit. */
Test(relatives_delta, a_sequence_can_be_cut_anywhere) {
    for (int64_t cut = 1; cut < T; cut++) {
        const char *const more = "removal=pair decay=channel rate=head";
        Case whole = rule(5, T, more), first = rule(5, cut, more), second = rule(5, T - cut, more);
        for (int i = 0; i < whole.inputs; i++) {
            const int is_state = !strcmp(whole.e->in[i].name, "state0");
            memcpy(first.in[i], whole.in[i], (size_t)first.in_size[i] * sizeof(double));
            if (!is_state)
                memcpy(second.in[i], whole.in[i] + first.in_size[i],
                       (size_t)second.in_size[i] * sizeof(double));
        }
        case_run(&whole);
        case_run(&first);
        memcpy(case_in(&second, "state0"), case_out(&first, "state"), (size_t)(K * V) * sizeof(double));
        case_run(&second);
        cr_assert(same_bits(case_out(&whole, "o"), case_out(&first, "o"), cut * V));
        cr_assert(same_bits(case_out(&whole, "o") + cut * V, case_out(&second, "o"), (T - cut) * V));
        cr_assert(same_bits(case_out(&whole, "state"), case_out(&second, "state"), K * V));
        case_free(&whole);
        case_free(&first);
        case_free(&second);
    }
}

/* A decay of exp(-90) within a sequence: what was before is gone, nothing overflows, and gradients are finite. */
Test(relatives_delta, an_extreme_decay_forgets_and_stays_finite) {
    Case c = rule(1, T, "removal=key decay=channel rate=head"),
         fresh = rule(1, T, "removal=key decay=channel rate=head");
    double *grad[EQUATION_ARGUMENTS] = {0};
    for (int64_t i = 0; i < K; i++) case_in(&c, "g")[3 * K + i] = -90;
    for (int i = 0; i < c.inputs; i++) memcpy(fresh.in[i], c.in[i], (size_t)c.in_size[i] * sizeof(double));
    case_set(&fresh, "state0", 0);
    case_run(&c);
    case_run(&fresh);
    for (int64_t i = 3 * V; i < T * V; i++)
        expect_near(&c, i, case_out(&c, "o")[i], case_out(&fresh, "o")[i], 1e-30);
    for (int i = 0; i < c.inputs; i++) grad[i] = oracle_zeros(c.in_size[i]);
    oracle_adjoint(&c.dims, constant(c.in), constant(c.out), c.out, grad);
    for (int i = 0; i < c.inputs; i++) {
        for (int64_t j = 0; j < c.in_size[i]; j++) cr_assert(isfinite(grad[i][j]), "%s", c.e->in[i].name);
        free(grad[i]);
    }
    case_free(&c);
    case_free(&fresh);
}
