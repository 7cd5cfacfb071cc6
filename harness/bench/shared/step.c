#include "bench/shared/step.h"

int step_create(Step *s, const Recipe *recipe, int64_t batch, int64_t length, char *message, size_t size) {
    *s = (Step){.batch = batch, .length = length, .random = {1}, .how = recipe->optimizer};
    if (model_create(&s->model, &recipe->model, 1, message, size)) return -1;
    if (!model_gradients(&s->model, message, size) &&
        !optimizer_create(&s->optimizer, &s->model, message, size))
        return 0;
    model_free(&s->model);
    return -1;
}

void step_free(Step *s) {
    optimizer_free(&s->optimizer);
    model_free(&s->model);
    arena_free(&s->arena);
}

void step_once(void *context) {
    Step *s = context;
    const int64_t n = s->batch * s->length;
    const char *bad = 0;
    arena_reset(&s->arena);
    int32_t *numbers = arena_take(&s->arena, (size_t)(4 * n) * sizeof *numbers);
    int32_t *tokens = numbers, *targets = numbers + n, *rows = numbers + 2 * n, *best = numbers + 3 * n;
    for (int64_t i = 0; i < n; i++) {
        tokens[i] = (int32_t)random_below(&s->random, (uint64_t)s->model.config.vocab);
        targets[i] = (int32_t)random_below(&s->random, (uint64_t)s->model.config.vocab);
        rows[i] = (int32_t)i;
    }
    Tape tape = {&s->arena, 1, 0};
    const ModelInput input = {
        .tokens = tokens, .batch = s->batch, .count = s->length, .rows = rows, .row_count = n};
    Tensor *logits = model_forward(&tape, &s->model, 0, &input);
    op_cross_entropy(&tape, logits, targets, 1.0, best);
    tape_backward(&tape);
    optimizer_step(&s->optimizer, &s->model, &s->how, 1e-5, &bad);
    if (bad) s->bad = bad;
}
