/* The delta rules against their floor: vector instructions of the recurrence, all of which go through the two ports of the
 * fused multiply-add. Per 16 numbers of the state and token:
 *   none      forward   the decay 1, k w 1, the output 1
 *             backward  the state again 2, its gradient 2 (of which the decay 1), those of q, k, v and the decay 4
 *   key       forward   u 1 more; backward: u again 1, into the state's gradient and from it 2
 *   pair      forward   u and b u 2 more; backward: both again 2, b, a, du and into the state's gradient 4
 *   momentum  forward   the error 1, M 2, S 2, the output 1
 *             backward  M and S again 4 (the error is kept), gradients of S and M 5, of q, k, p, v 4, of keep, carry and rate 3
 * Loads, stores, what is done once per token, and the sums of lanes of q, k, decay, a, b, p are not in it; forward rows keep
 * no snapshots. A rule has one decay per head, or (`channel`) one per key. */
#include "bench/kernel/kernel.h"
#include "base/dispatch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOMENTUM = 3, KEYED = 5, WIDE = 2, NUMBERS = 4 };

/* Instructions of the floor, and flop, a multiply-add as two, a product as one: forward and backward, per number of the
 * state and token. */
typedef struct {
    const char *name;
    int rule, channel;
    double instructions[2], flop[2];
} DeltaRow;
static const DeltaRow delta_cases[] = {{"delta.none", DELTA_NONE, 0, {3, 8}, {5, 14}},
                                       {"delta.none.channel", DELTA_NONE, 1, {3, 8}, {5, 14}},
                                       {"delta.key", DELTA_KEY, 0, {4, 11}, {7, 20}},
                                       {"delta.key.channel", DELTA_KEY, 1, {4, 11}, {7, 20}},
                                       {"delta.pair.channel", DELTA_PAIR, 1, {5, 14}, {9, 26}},
                                       {"momentum", MOMENTUM, 0, {6, 16}, {10, 28}}};

/* Inputs of keys, of values and single numbers, as many as the largest rule has, and their gradients. */
typedef struct {
    DeltaShape shape;
    int rule;
    float *keys[2][KEYED], *values[2][WIDE], *numbers[2][NUMBERS], *state, *dstate, *snapshots, *partial,
        *workspace;
} DeltaCase;

static int64_t delta_case_state(const DeltaCase *c) {
    return (c->rule == MOMENTUM ? 2 : 1) * c->shape.heads * c->shape.keys * c->shape.values;
}

static DeltaCase delta_case(const DeltaRow *row, int64_t tokens, int64_t width) {
    const int64_t heads = 4, rows = tokens * heads;
    const int rule = row->rule;
    DeltaCase c = {.shape = {1, tokens, heads, heads, width, width, row->channel ? width : 1, 1,
                             rule == MOMENTUM ? DELTA_KEY : (DeltaRemoval)rule, 1.0f},
                   .rule = rule};
    const double small = 1.0 / (double)width;
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < KEYED; i++) c.keys[side][i] = random_floats(rows * width, side ? 0.0 : small);
        for (int i = 0; i < WIDE; i++) c.values[side][i] = random_floats(rows * width, side ? 0.0 : 1.0);
        for (int i = 0; i < NUMBERS; i++) c.numbers[side][i] = random_floats(rows, side ? 0.0 : 0.1);
    }
    for (int64_t i = 0; i < rows * width; i++) c.keys[0][2][i] = 0.9f + c.keys[0][2][i];
    for (int64_t i = 0; i < rows; i++) c.numbers[0][0][i] += 0.9f;
    c.state = random_floats(delta_case_state(&c), 1.0), c.dstate = random_floats(delta_case_state(&c), 0.0);
    c.snapshots = random_floats(rule == MOMENTUM ? momentum_snapshot_floats(&c.shape)
                                                 : delta_case_state(&c) * delta_chunks(&c.shape),
                                0.0);
    const int64_t partial = rule == MOMENTUM ? kernel->momentum->partial_floats(&c.shape)
                                             : kernel->delta->partial_floats(&c.shape);
    c.partial = random_floats(partial, 0.0);
    c.workspace = random_floats(rule == MOMENTUM ? kernel->momentum->workspace_floats(&c.shape)
                                                 : kernel->delta->workspace_floats(&c.shape),
                                0.0);
    return c;
}

static void delta_case_free(DeltaCase *c) {
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < KEYED; i++) free(c->keys[side][i]);
        for (int i = 0; i < WIDE; i++) free(c->values[side][i]);
        for (int i = 0; i < NUMBERS; i++) free(c->numbers[side][i]);
    }
    float *all[] = {c->state, c->dstate, c->snapshots, c->partial, c->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void delta_case_run(DeltaCase *c, int backward, float *snapshots) {
    const DeltaShape *s = &c->shape;
    float **k = c->keys[0], **v = c->values[0], **n = c->numbers[0], **dk = c->keys[1], **dv = c->values[1],
          **dn = c->numbers[1];
    const int one = s->decays == 1;
    if (c->rule == MOMENTUM) {
        const MomentumInput in = {k[0], k[1], k[3], v[0], n[0], n[1], n[2], n[3]};
        const MomentumGradient d = {dk[0], dk[1], dk[3], dv[0], dn[0], dn[1], dn[2], dn[3]};
        if (backward)
            kernel->momentum->backward(s, &in, snapshots, v[1], &d, c->dstate, c->partial, c->workspace);
        else
            kernel->momentum->forward(s, &in, c->state, v[1], snapshots, c->workspace);
        return;
    }
    const DeltaInput in = {k[0], k[1], v[0], one ? n[0] : k[2], n[1], k[3], k[4]};
    const DeltaGradient d = {dk[0], dk[1], dv[0], one ? dn[0] : dk[2], dn[1], dk[3], dk[4]};
    if (backward)
        kernel->delta->backward(s, &in, snapshots, v[1], &d, c->dstate, c->partial, c->workspace);
    else
        kernel->delta->forward(s, &in, c->state, v[1], snapshots, c->workspace);
}
static void delta_forward_run(void *context) { delta_case_run(context, 0, 0); }
static void delta_backward_run(void *context) {
    DeltaCase *c = context;
    memset(c->dstate, 0, (size_t)delta_case_state(c) * sizeof(float));
    delta_case_run(c, 1, c->snapshots);
}

static void delta_judge(KernelReport *r, const DeltaCase *c, int backward) {
    static const char *const removals[] = {"none", "key", "pair"};
    const DeltaShape *s = &c->shape;
    if (c->rule == MOMENTUM)
        report_judge(r, "momentum", backward, 4,
                     "tokens=%" PRId64 " heads=%" PRId64 " key_width=%" PRId64 " value_width=%" PRId64,
                     s->tokens, s->heads, s->keys, s->values);
    else
        report_judge(r, "delta", backward, 4,
                     "tokens=%" PRId64 " heads=%" PRId64 " key_heads=%" PRId64 " key_width=%" PRId64
                     " value_width=%" PRId64 " removal=%s decay=%s rate=head",
                     s->tokens, s->heads, s->heads, s->keys, s->values, removals[c->rule],
                     s->decays == 1 ? "head" : "channel");
}

static void delta_row(KernelReport *r, const DeltaRow *row, DeltaCase *c, int backward) {
    const DeltaShape *s = &c->shape;
    const double numbers = (double)(s->tokens * s->heads * s->keys * s->values);
    char name[32], shape[48];
    snprintf(name, sizeof name, "%s%s", row->name, backward ? ".backward" : "");
    snprintf(shape, sizeof shape, "K=%lld V=%lld H=%lld T=%lld", (long long)s->keys, (long long)s->values,
             (long long)s->heads, (long long)s->tokens);
    const Timing t = timing_measure((Work){backward ? delta_backward_run : delta_forward_run, c},
                                    KERNEL_NO_BAR, 1, r->rounds, KERNEL_LEAST);
    const double floor = 2.0 * row->instructions[backward] * numbers / t.peak;
    const KernelRow out = {name, shape, "floor", 1, row->flop[backward] * numbers, floor / t.seconds,
                           "-",  -1};
    delta_judge(r, c, backward);
    report_row(r, &out, &t);
}

static void delta_rows(KernelReport *r) {
    static const int64_t widths[] = {32, 64, 128};
    for (size_t row = 0; row < sizeof delta_cases / sizeof *delta_cases; row++)
        for (int i = 0; i < 3; i++) {
            DeltaCase c = delta_case(&delta_cases[row], 512, widths[i]);
            delta_row(r, &delta_cases[row], &c, 0);
            delta_case_run(&c, 0, c.snapshots);
            delta_row(r, &delta_cases[row], &c, 1);
            delta_case_free(&c);
        }
}

const KernelBench kernel_bench_delta = {"delta", delta_rows, 1};
