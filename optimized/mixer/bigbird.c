/* BigBird (arXiv 2007.14062) by blocks, in a causal form that is ours: a query sees its own block up to itself, the
 * block before, the first block, and random ones of those between, drawn for every head and block by a counter: they
 * do not depend on how long the sequence is. Rotary positions. State: all keys and values; a token's work does not
 * grow. */
#include "branch/attention.h"

#include <math.h>

enum { WQ, WK, WV, WO };

typedef struct {
    BlockPattern pattern;
} BigbirdOptions;

static const Field bigbird_fields[] = {
    INTEGER_FIELD(BigbirdOptions, pattern.block, "block", 1, 1 << 20, 64,
                  "tokens of a block that is seen or not"),
    INTEGER_FIELD(BigbirdOptions, pattern.random, "random", 0, BLOCK_RANDOM_MOST, 3,
                  "random blocks that a token sees"),
    INTEGER_FIELD(BigbirdOptions, pattern.seed, "pattern_seed", 0, 1 << 20, 0, "which random blocks"),
    FIELD_END};

MIXER_OPTIONS(BigbirdOptions);

static const BlockPattern *bigbird_pattern(const Config *c) {
    return &((const BigbirdOptions *)(const void *)c->options)->pattern;
}

static void bigbird_parameters(ParameterList *list, int layer, const Config *c) {
    attention_branch_parameters(list, layer, "mixer.", c);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 / sqrt(3.0 * (double)c->width));
}

static BlocksShape bigbird_shape(const Config *c, int64_t batch, int64_t capacity) {
    return block_shape(bigbird_pattern(c), batch, c->heads, capacity, c->width / c->heads);
}

static void bigbird_start(const MixerCall *call) {
    const BlocksShape shape = bigbird_shape(call->config, call->batch, call->capacity);
    call->state->slot[0] =
        tape_constant(call->tape, shape.batch * shape.heads, kernel->blocks->cache_floats(&shape));
}

static Tensor *bigbird_forward(const MixerCall *call, Tensor *x) {
    Tape *tape = call->tape;
    BlocksShape shape = bigbird_shape(call->config, call->batch, call->capacity);
    const AttentionInput in = attention_branch_input(call, call->parameter + WQ, x, call->angles);
    shape.tokens = call->tokens;
    shape.past = call->position;
    Tensor *y = op_block_attention(tape, &shape, bigbird_pattern(call->config), &in, call->state->slot[0]);
    return op_linear(tape, y, call->parameter + WO);
}

/* Keys in sight: half of its own block, and the others as far as there are. */
static double bigbird_seen(const Config *c, double context) {
    const BlockPattern *p = bigbird_pattern(c);
    const double most = ((double)p->random + 2.5) * (double)p->block;
    return context < most ? context : most;
}

static double bigbird_flops(const Config *c, int layer, double context) {
    (void)layer;
    return attention_branch_flops(c, bigbird_seen(c, context)) + 2.0 * (double)(c->width * c->width);
}

static int64_t bigbird_state(const Config *c, int layer, int64_t context) {
    (void)layer;
    const BlocksShape shape = bigbird_shape(c, 1, attend_round(context));
    return c->heads * kernel->blocks->cache_floats(&shape);
}

static double bigbird_bytes(const Config *c, int layer, double context) {
    (void)layer;
    return attention_branch_bytes(c, bigbird_seen(c, context));
}

const Mixer mixer_bigbird = {
    .name = "bigbird",
    .summary = "block-sparse attention: near, first and random blocks (BigBird; ours, causal)",
    .label = "BigBird",
    .fields = bigbird_fields,
    .slots = 1,
    .positions = POSITIONS_SEQUENCE,
    .uses_capacity = 1,
    .parameters = bigbird_parameters,
    .start = bigbird_start,
    .forward = bigbird_forward,
    .flops = bigbird_flops,
    .state_floats = bigbird_state,
    .bytes = bigbird_bytes};
