/* Reformer: shared queries and keys, attention among tokens of one hash; streaming and causal (ours; what a published
 * token sees depends on later ones). State: per head, round and bucket the last `window` keys and values. */
#include "base/normals.h"
#include "op/op.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>

enum { WQK, WV, WO, WEIGHTS };

typedef struct {
    int64_t rounds, buckets, window, hash_seed;
    double eps;
} ReformerOptions;

static const Field reformer_fields[] = {
    INTEGER_FIELD(ReformerOptions, rounds, "rounds", 1, 64, 2, "rounds of hashing"),
    INTEGER_FIELD(ReformerOptions, buckets, "buckets", 1, 1 << 16, 16,
                  "buckets of every round, even; 1: no hashing"),
    INTEGER_FIELD(ReformerOptions, window, "window", 1, 1 << 20, 32,
                  "tokens of its bucket, the last ones, that a token looks at in every round"),
    INTEGER_FIELD(ReformerOptions, hash_seed, "hash_seed", 0, 1 << 20, 0,
                  "names the rotations of the hashes, which are the same for all layers"),
    REAL_FIELD(ReformerOptions, eps, "eps", 1e-12, 1000, 1e-6, "added to the mean square of a key"),
    FIELD_END};

MIXER_OPTIONS(ReformerOptions);

static const ReformerOptions *reformer_options(const Config *c) { return (const void *)c->options; }

static int reformer_settle(Config *c, char *message, size_t size) {
    const int64_t buckets = reformer_options(c)->buckets;
    if (buckets == 1 || buckets % 2 == 0) return 0;
    return snprintf(message, size, "\"buckets\" %ld must be even, or 1", buckets), -1;
}

static void reformer_parameters(ParameterList *list, int layer, const Config *c) {
    static const char *const names[WEIGHTS] = {"mixer.wqk", "mixer.wv", "mixer.wo"};
    const double fan_in = 1.0 / sqrt(3.0 * (double)c->width);
    for (int i = 0; i < WEIGHTS; i++)
        parameter_add(list, layer, names[i], c->width, c->width, i == WO ? 0.75 * fan_in : fan_in);
}

static int64_t reformer_constant_floats(const Config *c) {
    const ReformerOptions *o = reformer_options(c);
    return c->width * o->rounds * (o->buckets / 2);
}

static int reformer_constants(const Config *c, float *constants) {
    normals(reformer_constant_floats(c), (uint64_t)reformer_options(c)->hash_seed, constants);
    return 0;
}

static LshShape reformer_shape(const Config *c, int64_t batch, int64_t tokens, int64_t past) {
    const ReformerOptions *o = reformer_options(c);
    return (LshShape){batch,     c->heads,   tokens,    past,         c->width / c->heads,
                      o->rounds, o->buckets, o->window, (float)o->eps};
}

static void reformer_start(const MixerCall *call) {
    const LshShape shape = reformer_shape(call->config, call->batch, 0, 0);
    call->state->slot[0] =
        tape_constant(call->tape, shape.batch * shape.heads, kernel->lsh->state_floats(&shape));
}

static Tensor *reformer_forward(const MixerCall *call, Tensor *x) {
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    const LshShape shape = reformer_shape(call->config, call->batch, call->tokens, call->position);
    Tensor *qk = op_linear(tape, x, p + WQK), *v = op_linear(tape, x, p + WV);
    return op_linear(tape, op_lsh(tape, &shape, qk, v, call->constants, call->state->slot[0]), p + WO);
}

/* Of the context a round shows at most its window, and a bucket's share. */
static double reformer_seen(const ReformerOptions *o, double context) {
    const double share = context / (double)o->buckets;
    return (double)o->rounds * (share < (double)o->window ? share : (double)o->window);
}

static double reformer_flops(const Config *c, int layer, double context) {
    const ReformerOptions *o = reformer_options(c);
    const int64_t hashes = o->rounds * (o->buckets / 2 * 2);
    const double D = (double)c->width;
    (void)layer;
    return 6.0 * D * D + D * (double)hashes + 4.0 * D * reformer_seen(o, context);
}

static int64_t reformer_state(const Config *c, int layer, int64_t context) {
    const LshShape shape = reformer_shape(c, 1, 0, 0);
    (void)layer, (void)context;
    return c->heads * kernel->lsh->state_floats(&shape);
}

static double reformer_bytes(const Config *c, int layer, double context) {
    (void)layer;
    return 8.0 * (double)c->width *
           (reformer_seen(reformer_options(c), context) + (double)reformer_options(c)->rounds);
}

const Mixer mixer_reformer = {.name = "reformer",
                              .summary = "attention among tokens of one hash (Reformer; ours, causal)",
                              .label = "Reformer",
                              .fields = reformer_fields,
                              .slots = 1,
                              .settle = reformer_settle,
                              .constant_floats = reformer_constant_floats,
                              .constants = reformer_constants,
                              .parameters = reformer_parameters,
                              .start = reformer_start,
                              .forward = reformer_forward,
                              .flops = reformer_flops,
                              .state_floats = reformer_state,
                              .bytes = reformer_bytes};
