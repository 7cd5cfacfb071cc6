/* Performer: softmax attention by positive random features, causal, with a running maximum of every feature (ours; the
 * package's maximum sees the whole sequence). State: per head `random_features` rows of values, sums and maxima. */
#include "base/normals.h"
#include "op/op.h"
#include "model/model.h"

#include <math.h>

enum { WQ, WK, WV, WO, WEIGHTS };

typedef struct {
    int64_t random_features, feature_seed, relu;
} PerformerOptions;

static const Field performer_fields[] = {
    INTEGER_FIELD(PerformerOptions, random_features, "random_features", 0, 1 << 16, 0,
                  "random features of every head's queries and keys; 0: head width times its logarithm"),
    CHOICE_FIELD(PerformerOptions, relu, "kernel", "softmax relu",
                 "features whose products are exp(q.k) in the mean, or max(., 0) + 0.001"),
    INTEGER_FIELD(PerformerOptions, feature_seed, "feature_seed", 0, 1 << 20, 0,
                  "names the random features, which are the same for all layers and heads"),
    FIELD_END};

MIXER_OPTIONS(PerformerOptions);

static const PerformerOptions *performer_options(const Config *c) { return (const void *)c->options; }

/* int(d ln d), at least 1, as the package has it. */
static int performer_settle(Config *c, char *message, size_t size) {
    PerformerOptions *o = (void *)c->options;
    const int64_t width = c->width / c->heads;
    const double d = (double)width;
    (void)message, (void)size;
    if (o->random_features == 0) o->random_features = (int64_t)(d * portable_log(d));
    if (o->random_features == 0) o->random_features = 1;
    return 0;
}

static void performer_parameters(ParameterList *list, int layer, const Config *c) {
    static const char *const names[WEIGHTS] = {"mixer.wq", "mixer.wk", "mixer.wv", "mixer.wo"};
    const double fan_in = 1.0 / sqrt(3.0 * (double)c->width);
    for (int i = 0; i < WEIGHTS; i++)
        parameter_add(list, layer, names[i], c->width, c->width, i == WO ? 0.75 * fan_in : fan_in);
}

static int64_t performer_constant_floats(const Config *c) {
    return performer_options(c)->random_features * (c->width / c->heads);
}

static int performer_constants(const Config *c, float *constants) {
    const PerformerOptions *o = performer_options(c);
    return normals_orthogonal(o->random_features, c->width / c->heads, (uint64_t)o->feature_seed, constants);
}

static FavorShape performer_shape(const Config *c, int64_t batch, int64_t tokens, int64_t past) {
    const PerformerOptions *o = performer_options(c);
    return (FavorShape){batch, c->heads, tokens, past, c->width / c->heads, o->random_features, (int)o->relu};
}

static void performer_start(const MixerCall *call) {
    const FavorShape shape = performer_shape(call->config, call->batch, 0, 0);
    call->state->slot[0] =
        tape_constant(call->tape, shape.batch * shape.heads, kernel->favor->state_floats(&shape));
}

static Tensor *performer_forward(const MixerCall *call, Tensor *x) {
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    const FavorShape shape = performer_shape(call->config, call->batch, call->tokens, call->position);
    Tensor *q = op_linear(tape, x, p + WQ), *k = op_linear(tape, x, p + WK), *v = op_linear(tape, x, p + WV);
    Tensor *y = op_favor(tape, &shape, q, k, v, call->constants, call->state->slot[0]);
    return op_linear(tape, y, p + WO);
}

static double performer_flops(const Config *c, int layer, double context) {
    const double D = (double)c->width, M = (double)performer_options(c)->random_features;
    (void)layer, (void)context;
    return 8.0 * D * D + 9.0 * M * D;
}

static int64_t performer_state(const Config *c, int layer, int64_t context) {
    const FavorShape shape = performer_shape(c, 1, 0, 0);
    (void)layer, (void)context;
    return c->heads * kernel->favor->state_floats(&shape);
}

static double performer_bytes(const Config *c, int layer, double context) {
    return 8.0 * (double)performer_state(c, layer, (int64_t)context);
}

const Mixer mixer_performer = {.name = "performer",
                               .summary = "FAVOR+ attention by random features (Performer; ours, causal)",
                               .label = "Performer",
                               .fields = performer_fields,
                               .slots = 1,
                               .settle = performer_settle,
                               .constant_floats = performer_constant_floats,
                               .constants = performer_constants,
                               .parameters = performer_parameters,
                               .start = performer_start,
                               .forward = performer_forward,
                               .flops = performer_flops,
                               .state_floats = performer_state,
                               .bytes = performer_bytes};
