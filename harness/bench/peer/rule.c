/* A delta rule alone, one of kernel/delta.h or kernel/momentum.h. */
#include "base/dispatch.h"
#include "bench/peer/subject.h"
#include "bench/shared/numbers.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RULE_MOMENTUM = 3, RULE_INPUTS = SUBJECT_INPUTS };

typedef struct {
    DeltaShape shape;
    int momentum;
    float *in[RULE_INPUTS], *grad[RULE_INPUTS], *state, *dstate, *snapshots, *o, *d_o, *partial, *workspace;
} RuleSubject;

/* Names of the inputs in the order of the kernels' structs, and between what their numbers lie. */
typedef struct {
    const char *name;
    char axis; /* k, v: so many numbers of a head; 1: one */
    double low, high;
} RuleInput;
static const RuleInput delta_inputs[] = {{"q", 'k', -0.5, 0.5},  {"k", 'k', -0.2, 0.2}, {"v", 'v', -1, 1},
                                         {"decay", 'd', 0.9, 1}, {"rate", 'r', 0.1, 1}, {"a", 'p', -0.1, 0.1},
                                         {"b", 'p', -0.1, 0.1},  {0, 0, 0, 0}};
static const RuleInput momentum_inputs[] = {
    {"q", 'k', -0.5, 0.5}, {"k", 'k', -0.2, 0.2}, {"p", 'k', -0.2, 0.2},
    {"v", 'v', -1, 1},     {"keep", '1', 0.9, 1}, {"carry", '1', 0.1, 0.5},
    {"rate", '1', 0.1, 1}, {"step", '1', 0.1, 1}, {0, 0, 0, 0}};

static int64_t rule_width(const DeltaShape *s, char axis) {
    switch (axis) {
    case 'k':
        return s->keys;
    case 'v':
        return s->values;
    case 'd':
        return s->decays;
    case 'r':
        return s->rates;
    case 'p':
        return s->removal == DELTA_PAIR ? s->keys : 0;
    default:
        return 1;
    }
}

static int64_t rule_state(const RuleSubject *r) {
    const DeltaShape *s = &r->shape;
    return (r->momentum ? 2 : 1) * s->batch * s->heads * s->keys * s->values;
}

static void rule_run(RuleSubject *r, float *snapshots) {
    memset(r->state, 0, (size_t)rule_state(r) * sizeof(float));
    if (r->momentum) {
        const MomentumInput in = {r->in[0], r->in[1], r->in[2], r->in[3],
                                  r->in[4], r->in[5], r->in[6], r->in[7]};
        kernel->momentum->forward(&r->shape, &in, r->state, r->o, snapshots, r->workspace);
    } else {
        const DeltaInput in = {r->in[0], r->in[1], r->in[2], r->in[3], r->in[4], r->in[5], r->in[6]};
        kernel->delta->forward(&r->shape, &in, r->state, r->o, snapshots, r->workspace);
    }
}

static void rule_forward(void *self) { rule_run(self, 0); }

static void rule_both(void *self) {
    RuleSubject *r = self;
    float *const *g = r->grad;
    rule_run(r, r->snapshots);
    memset(r->dstate, 0, (size_t)rule_state(r) * sizeof(float));
    if (r->momentum) {
        const MomentumInput in = {r->in[0], r->in[1], r->in[2], r->in[3],
                                  r->in[4], r->in[5], r->in[6], r->in[7]};
        const MomentumGradient d = {g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]};
        kernel->momentum->backward(&r->shape, &in, r->snapshots, r->d_o, &d, r->dstate, r->partial,
                                   r->workspace);
    } else {
        const DeltaInput in = {r->in[0], r->in[1], r->in[2], r->in[3], r->in[4], r->in[5], r->in[6]};
        const DeltaGradient d = {g[0], g[1], g[2], g[3], g[4], g[5], g[6]};
        kernel->delta->backward(&r->shape, &in, r->snapshots, r->d_o, &d, r->dstate, r->partial,
                                r->workspace);
    }
}

static void rule_close(void *self) {
    RuleSubject *r = self;
    for (int i = 0; i < RULE_INPUTS; i++) free(r->in[i]), free(r->grad[i]);
    float *all[] = {r->state, r->dstate, r->snapshots, r->o, r->d_o, r->partial, r->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(r);
}

/* The arrays of the shape. */
static void rule_arrays(RuleSubject *r, Subject *s) {
    const RuleInput *list = r->momentum ? momentum_inputs : delta_inputs;
    const DeltaShape *shape = &r->shape;
    const int64_t rows = shape->batch * shape->tokens * shape->heads, states = rule_state(r);
    for (int i = 0; list[i].name; i++) {
        const int64_t width = rule_width(shape, list[i].axis);
        if (!width) continue;
        r->in[i] = random_between(rows * width, list[i].low, list[i].high);
        r->grad[i] = random_between(rows * width, 0, 0);
        s->in[s->inputs++] =
            (SubjectTensor){list[i].name, 4, {shape->batch, shape->tokens, shape->heads, width}, r->in[i]};
    }
    const int64_t workspace = r->momentum ? kernel->momentum->workspace_floats(shape)
                                          : kernel->delta->workspace_floats(shape),
                  partial = r->momentum ? kernel->momentum->partial_floats(shape)
                                        : kernel->delta->partial_floats(shape);
    r->state = random_between(states, 0, 0), r->dstate = random_between(states, 0, 0);
    r->snapshots =
        random_between(r->momentum ? momentum_snapshot_floats(shape) : states * delta_chunks(shape), 0, 0);
    r->o = random_between(rows * shape->values, 0, 0), r->d_o = random_between(rows * shape->values, 1, 1);
    r->partial = random_between(partial, 0, 0),
    r->workspace = random_between(omp_get_max_threads() * workspace, 0, 0);
    s->out = (SubjectTensor){"o", 4, {shape->batch, shape->tokens, shape->heads, shape->values}, r->o};
}

static int rule_shape(RuleSubject *r, char *words, char *message, size_t size) {
    static const char *const rules[] = {"none", "key", "pair", "momentum"};
    char *key = 0, *value = 0;
    int rule = 0;
    if (!subject_word(&words, &key, &value)) return snprintf(message, size, "no rule is named"), -1;
    while (rule <= RULE_MOMENTUM && strcmp(rules[rule], key) != 0) rule++;
    if (rule > RULE_MOMENTUM) return snprintf(message, size, "'%s' is no rule", key), -1;
    r->momentum = rule == RULE_MOMENTUM;
    r->shape.removal = r->momentum ? DELTA_KEY : (DeltaRemoval)rule;
    while (subject_word(&words, &key, &value)) {
        int64_t *field = !strcmp(key, "decays")  ? &r->shape.decays
                         : !strcmp(key, "rates") ? &r->shape.rates
                                                 : 0;
        if (!field || !value) return snprintf(message, size, "'%s' is no option of a rule", key), -1;
        *field = strtoll(value, 0, 10);
    }
    return 0;
}

int subject_rule(char *words, int64_t batch, int64_t tokens, Subject *s, char *message, size_t size) {
    RuleSubject *r = calloc(1, sizeof *r);
    if (!r) return snprintf(message, size, "no memory"), -1;
    *s = (Subject){.self = r, .forward = rule_forward, .both = rule_both, .close = rule_close};
    r->shape = (DeltaShape){.batch = batch,
                            .tokens = tokens,
                            .heads = SUBJECT_HEADS,
                            .key_heads = SUBJECT_HEADS,
                            .keys = SUBJECT_HEAD,
                            .values = SUBJECT_HEAD,
                            .scale = 0.125f};
    if (rule_shape(r, words, message, size)) return rule_close(r), -1;
    rule_arrays(r, s);
    return 0;
}
