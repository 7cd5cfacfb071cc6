/* Whole models, for every mixer there is: causality, call splitting, batch independence, a memory that
 * remembers, an outer gradient that reaches every parameter, and training steps with the same bits on every
 * instruction set and thread count. */
#include "ledger.h"
#include "model/model.h"
#include "base/random.h"
#include "file/state.h"
#include "test_reference.h"
#include "learn/trainer.h"

#include <cjson/cJSON.h>

#include <omp.h>
#include <stdio.h>
#include <unistd.h>

enum { TOKENS = 45, VOCAB = 11, BATCH = 3 };

/* Options beside the defaults, for the mixers that have them. */
static const char *const options[] = {
    "{\"mixer\": \"lmm\", \"preset\": \"neurips\", \"width\": 12, \"chunk\": 8, \"persistent\": 3}",
    "{\"mixer\": \"lmm\", \"gates_per_chunk\": 1, \"momentum\": 0, \"taps\": 0, \"persistent\": 2}",
    "{\"mixer\": \"lmm\", \"forget\": 0, \"memory_layers\": 1, \"persistent\": 0, \"gate\": \"hard\"}",
    ("{\"mixer\": \"mac\", \"preset\": \"neurips\", \"chunk\": 8, \"segment\": 16, \"persistent\": 3, "
     "\"gates_per_chunk\": 1}"),
    "{\"mixer\": \"mag\", \"channelwise\": 1, \"persistent\": 0, \"taps\": 0}",
};
enum { OPTIONS = sizeof options / sizeof *options };

/* Variant i: every mixer of the registry, then the options above. */
static int small_config(int i, Config *c) {
    TrainConfig unused;
    char message[256];
    int mixers = 0;
    while (mixer_at(mixers)) mixers++;
    if (i >= mixers + OPTIONS) return 0;
    config_defaults(c, &unused);
    c->vocab = VOCAB, c->width = 12, c->heads = 2, c->layers = 2, c->ffn = 20, c->taps = 3, c->chunk = 8;
    c->memory_layers = 2, c->expansion = 2, c->theta_max = 0.1, c->persistent = 3, c->segment = 16,
    c->window = 10;
    if (i < mixers) {
        snprintf(c->mixer, sizeof c->mixer, "%s", mixer_at(i)->name);
        return 1;
    }
    cJSON *object = cJSON_Parse(options[i - mixers]);
    cr_assert(object && !config_from_json(object, c, &unused, message, sizeof message), "%s", message);
    cJSON_Delete(object);
    return 1;
}

static int small_model(int i, Model *m) {
    Config c;
    char message[256];
    if (!small_config(i, &c)) return 0;
    cr_assert(!model_create(m, &c, 5, message, sizeof message), "%s", message);
    return 1;
}

static void random_tokens(int64_t n, uint64_t seed, int32_t *tokens) {
    Random random = {seed};
    for (int64_t i = 0; i < n; i++) tokens[i] = (int32_t)random_below(&random, VOCAB);
}

/* Logits at every position of `batch` sequences, read in calls of the given sizes (0 ends the list). */
static float *read_in_calls(Model *m, const int32_t *tokens, int64_t batch, const int64_t *calls) {
    float *logits = calloc((size_t)(batch * TOKENS * VOCAB), sizeof(float));
    State state;
    state_start(&state, m, batch, TOKENS);
    for (int64_t from = 0, i = 0; calls[i] > 0 && from < TOKENS; from += calls[i++]) {
        Arena arena = {0};
        Tape tape = {&arena, 0, 0};
        const int64_t n = calls[i] < TOKENS - from ? calls[i] : TOKENS - from;
        int32_t part[BATCH * TOKENS], rows[BATCH * TOKENS];
        for (int64_t b = 0; b < batch; b++)
            for (int64_t t = 0; t < n; t++)
                part[b * n + t] = tokens[b * TOKENS + from + t], rows[b * n + t] = (int32_t)(b * n + t);
        const ModelInput input = {part, batch, n, rows, batch * n, 0.0f, 0, 0};
        const Tensor *y = model_forward(&tape, m, &state, &input);
        for (int64_t b = 0; b < batch; b++)
            memcpy(logits + (b * TOKENS + from) * VOCAB, y->data + b * n * VOCAB,
                   (size_t)(n * VOCAB) * sizeof(float));
        arena_free(&arena);
    }
    state_free(&state);
    return logits;
}

static const int64_t whole[] = {TOKENS, 0};

static int same_floats(const float *a, const float *b, int64_t n) {
    return !memcmp(a, b, (size_t)n * sizeof(float));
}

Test(model, no_output_depends_on_a_later_token) {
    int64_t checks = 0;
    Model m;
    for (int i = 0; small_model(i, &m); i++) {
        int32_t tokens[TOKENS];
        random_tokens(TOKENS, 1, tokens);
        float *before = read_in_calls(&m, tokens, 1, whole);
        for (int64_t t = 0; t < TOKENS; t++) {
            const int32_t kept = tokens[t];
            tokens[t] = (kept + 1) % VOCAB;
            float *after = read_in_calls(&m, tokens, 1, whole);
            cr_assert(same_floats(before, after, t * VOCAB), "%s: a change at %ld reaches back",
                      m.mixer->name, t);
            cr_assert(!same_floats(before + t * VOCAB, after + t * VOCAB, VOCAB),
                      "%s: a change at %ld is not seen", m.mixer->name, t);
            tokens[t] = kept;
            free(after);
            checks += t * VOCAB;
        }
        free(before);
        model_free(&m);
    }
    ledger_record("model", "causality", checks, 0);
}

Test(model, splitting_a_call_changes_no_bit) {
    int64_t checks = 0;
    Model m;
    for (int i = 0; small_model(i, &m); i++) {
        int32_t tokens[BATCH * TOKENS];
        random_tokens(BATCH * TOKENS, 2, tokens);
        float *once = read_in_calls(&m, tokens, BATCH, whole);
        for (int64_t t = 1; t < TOKENS; t++) {
            const int64_t two[] = {t, TOKENS - t, 0};
            float *split = read_in_calls(&m, tokens, BATCH, two);
            cr_assert(same_floats(once, split, BATCH * TOKENS * VOCAB), "%s: split at %ld", m.mixer->name, t);
            free(split);
            checks += BATCH * TOKENS * VOCAB;
        }
        int64_t singly[TOKENS + 1] = {0};
        for (int64_t t = 0; t < TOKENS; t++) singly[t] = 1;
        float *split = read_in_calls(&m, tokens, BATCH, singly);
        cr_assert(same_floats(once, split, BATCH * TOKENS * VOCAB), "%s: token by token", m.mixer->name);
        free(split);
        free(once);
        model_free(&m);
    }
    ledger_record("model", "call splitting", checks, 0);
}

Test(model, batch_members_do_not_see_each_other) {
    int64_t checks = 0;
    Model m;
    for (int i = 0; small_model(i, &m); i++) {
        int32_t tokens[BATCH * TOKENS];
        random_tokens(BATCH * TOKENS, 3, tokens);
        float *together = read_in_calls(&m, tokens, BATCH, whole);
        for (int64_t b = 0; b < BATCH; b++) {
            float *alone = read_in_calls(&m, tokens + b * TOKENS, 1, whole);
            cr_assert(same_floats(together + b * TOKENS * VOCAB, alone, TOKENS * VOCAB), "%s: member %ld",
                      m.mixer->name, b);
            free(alone);
            checks += TOKENS * VOCAB;
        }
        free(together);
        model_free(&m);
    }
    ledger_record("model", "batch independence", checks, 0);
}

/* A window's keys lie in a ring. Read in calls of any size, far beyond its end, it gives what the recorded
 * pass gives, which keeps every key. */
Test(model, a_ring_shorter_than_the_sequence_changes_no_bit) {
    enum { LONG = 1300 };
    static int32_t tokens[LONG], rows[LONG];
    const int64_t calls[] = {1, 700, 63, 64, 65, LONG};
    int64_t checks = 0;
    Model m;
    for (int64_t t = 0; t < LONG; t++) rows[t] = (int32_t)t;
    random_tokens(LONG, 9, tokens);
    for (int i = 0; small_model(i, &m); i++) {
        Arena whole_arena = {0};
        Tape recorded = {&whole_arena, 1, 0};
        State state;
        const ModelInput all = {tokens, 1, LONG, rows, LONG, 0.0f, 0, 0};
        model_gradients(&m);
        const Tensor *want = model_forward(&recorded, &m, 0, &all);
        state_start(&state, &m, 1, LONG);
        for (int64_t from = 0, k = 0, n; from < LONG; from += n, k++) {
            Arena arena = {0};
            Tape tape = {&arena, 0, 0};
            n = calls[k] < LONG - from ? calls[k] : LONG - from;
            const ModelInput part = {tokens + from, 1, n, rows, n, 0.0f, 0, 0};
            const Tensor *got = model_forward(&tape, &m, &state, &part);
            cr_assert(same_floats(want->data + from * VOCAB, got->data, n * VOCAB),
                      "%s (variant %d): call %ld differs", m.mixer->name, i, k);
            arena_free(&arena);
        }
        state_free(&state);
        arena_free(&whole_arena);
        model_free(&m);
        checks += LONG * VOCAB;
    }
    ledger_record("model", "ring", checks, 0);
}

/* Writing the state to a file in one process and going on in another is one more way of splitting a call. */
Test(model, a_state_file_changes_no_bit) {
    Model m;
    int64_t checks = 0;
    char path[] = "/tmp/titans-state-XXXXXX", message[512];
    const int fd = mkstemp(path);
    cr_assert(fd >= 0 && !close(fd));
    for (int i = 0; small_model(i, &m); i++) {
        int32_t tokens[BATCH * TOKENS];
        const int64_t cut = 21, rest = TOKENS - cut;
        random_tokens(BATCH * TOKENS, 8, tokens);
        float *once = read_in_calls(&m, tokens, BATCH, whole);
        State state, other;
        SafeFile file;
        Arena arena = {0};
        int32_t part[BATCH * TOKENS], rows[BATCH * TOKENS];
        for (int64_t b = 0; b < BATCH; b++)
            memcpy(part + b * cut, tokens + b * TOKENS, (size_t)cut * sizeof *part);
        state_start(&state, &m, BATCH, TOKENS);
        Tape tape = {&arena, 0, 0};
        const ModelInput first = {part, BATCH, cut, 0, 0, 0.0f, 0, 0};
        model_forward(&tape, &m, &state, &first);
        cr_assert(!state_save(path, &state, &m, 0, 0, message, sizeof message), "%s", message);
        state_free(&state);
        cr_assert(!safetensors_read(&file, path, message, sizeof message), "%s", message);
        cr_assert(!state_load(&file, &other, &m, message, sizeof message), "%s: %s", m.mixer->name, message);
        safetensors_close(&file);
        for (int64_t b = 0; b < BATCH; b++)
            for (int64_t t = 0; t < rest; t++)
                part[b * rest + t] = tokens[b * TOKENS + cut + t],
                                rows[b * rest + t] = (int32_t)(b * rest + t);
        const ModelInput second = {part, BATCH, rest, rows, BATCH * rest, 0.0f, 0, 0};
        const Tensor *y = model_forward(&tape, &m, &other, &second);
        for (int64_t b = 0; b < BATCH; b++)
            cr_assert(
                same_floats(once + (b * TOKENS + cut) * VOCAB, y->data + b * rest * VOCAB, rest * VOCAB),
                "%s (variant %d): going on from a file differs", m.mixer->name, i);
        m.weights[0] += 1.0f;
        cr_assert(!safetensors_read(&file, path, message, sizeof message));
        cr_assert(state_load(&file, &state, &m, message, sizeof message) && strstr(message, "other weights"),
                  "%s", message);
        safetensors_close(&file);
        state_free(&other);
        arena_free(&arena);
        free(once);
        model_free(&m);
        checks += BATCH * rest * VOCAB;
    }
    unlink(path);
    ledger_record("model", "state file", checks, 0);
}

/* What the first token changes in the last logits, as a share of their size. Beyond the convolutions' and
 * windows' reach only a memory (or the whole key-value cache) can carry it. */
static double reach(Model *m) {
    int32_t tokens[TOKENS];
    double change = 0.0, size = 0.0;
    random_tokens(TOKENS, 4, tokens);
    float *before = read_in_calls(m, tokens, 1, whole);
    tokens[0] = (tokens[0] + 1) % VOCAB;
    float *after = read_in_calls(m, tokens, 1, whole);
    for (int64_t j = (TOKENS - 1) * VOCAB; j < TOKENS * VOCAB; j++) {
        change = fmax(change, fabs((double)before[j] - (double)after[j]));
        size = fmax(size, fabs((double)before[j]));
    }
    free(before);
    free(after);
    return change / size;
}

Test(model, the_memory_is_not_inert) {
    Model m;
    int64_t checks = 0;
    for (int i = 0; small_model(i, &m); i++) {
        const double share = reach(&m);
        if (m.mixer->memory_every || m.mixer->uses_capacity)
            cr_assert(share > 1e-5,
                      "%s (variant %d): the first token changes the last logits by %g of their size",
                      m.mixer->name, i, share);
        else
            cr_assert(share == 0.0,
                      "%s: the first token is beyond the window, yet it changes the last logits by %g",
                      m.mixer->name, share);
        model_free(&m);
        checks++;
    }
    ledger_record("model", "memory not inert", checks, 0);
}

/* Errata E6, E7: read literally, MAC shows a token the rest of its segment, and only that. */
Test(model, the_literal_mask_of_mac_leaks_and_the_default_does_not) {
    Model m;
    Config c;
    char message[256];
    int32_t tokens[TOKENS];
    for (int i = 0; small_config(i, &c); i++) {
        if (strcmp(c.mixer, "mac")) continue;
        snprintf(c.mask, sizeof c.mask, "paper");
        c.layers = 1;
        cr_assert(!model_create(&m, &c, 5, message, sizeof message), "%s", message);
        random_tokens(TOKENS, 7, tokens);
        float *before = read_in_calls(&m, tokens, 1, whole);
        tokens[c.segment + 5] = (tokens[c.segment + 5] + 1) % VOCAB;
        float *after = read_in_calls(&m, tokens, 1, whole);
        const int64_t begin = c.segment * VOCAB, count = 5 * VOCAB;
        cr_assert(!same_floats(before + begin, after + begin, count),
                  "variant %d: the literal mask does not leak", i);
        cr_assert(same_floats(before, after, begin), "variant %d: a change reaches an earlier segment", i);
        free(before);
        free(after);
        model_free(&m);
    }
    ledger_record("model", "literal MAC leaks", TOKENS * VOCAB, 0);
}

static const float *weights_of(const Model *m, const char *name) {
    int p = 0;
    while (p < m->list.count && strcmp(m->list.items[p].name, name)) p++;
    cr_assert(p < m->list.count, "no parameter %s", name);
    return m->weights + m->list.items[p].offset;
}

Test(model, attention_of_mac_starts_at_the_token_itself) {
    static const double starts[] = {1.5, 0.0};
    const int64_t n = 64 * 64;
    for (int i = 0; i < 2; i++) {
        Config c;
        TrainConfig unused;
        Model m;
        char message[256];
        config_defaults(&c, &unused);
        snprintf(c.mixer, sizeof c.mixer, "mac");
        c.vocab = VOCAB, c.attention_self = starts[i];
        cr_assert(!model_create(&m, &c, 5, message, sizeof message), "%s", message);
        const float *q = weights_of(&m, "layer.0.mixer.attention.wq"),
                    *k = weights_of(&m, "layer.0.mixer.attention.wk");
        double squares = 0.0;
        for (int64_t j = 0; j < n; j++) squares += (double)q[j] * (double)q[j];
        const double size = sqrt(squares / (double)n * 3.0 * 64.0), scale = starts[i] > 0.0 ? starts[i] : 1.0;
        cr_assert_float_eq(size, scale, 0.05, "W_Q is %g times what a linear map starts with", size);
        cr_assert(same_floats(q, k, n) == (starts[i] > 0.0), "attention_self %g", starts[i]);
        model_free(&m);
    }
    ledger_record("model", "attention of MAC starts at itself", 2 * n, 0);
}

static void model_backward(Model *m, const int32_t *tokens, int64_t batch) {
    Arena arena = {0};
    Tape tape = {&arena, 1, 0};
    int32_t rows[BATCH * TOKENS], targets[BATCH * TOKENS], best[BATCH * TOKENS];
    for (int64_t t = 0; t < batch * TOKENS; t++) rows[t] = (int32_t)t, targets[t] = (tokens[t] + 3) % VOCAB;
    const ModelInput input = {tokens, batch, TOKENS, rows, batch * TOKENS, 0.0f, 0, 0};
    Tensor *logits = model_forward(&tape, m, 0, &input);
    op_cross_entropy(&tape, logits, targets, 1.0, best);
    tape_backward(&tape);
    arena_free(&arena);
}

Test(model, the_outer_gradient_reaches_every_parameter) {
    int64_t checks = 0;
    Model m;
    for (int i = 0; small_model(i, &m); i++) {
        int32_t tokens[BATCH * TOKENS];
        random_tokens(BATCH * TOKENS, 5, tokens);
        model_gradients(&m);
        model_backward(&m, tokens, BATCH);
        for (int p = 0; p < m.list.count; p++) {
            const Parameter *item = &m.list.items[p];
            int64_t zero = 0;
            for (int64_t j = 0; j < item->rows * item->cols; j++) zero += m.grads[item->offset + j] == 0.0f;
            cr_assert(zero == 0, "%s: %ld of %ld gradients of %s are zero", m.mixer->name, zero,
                      item->rows * item->cols, item->name);
            checks += item->rows * item->cols;
        }
        model_free(&m);
    }
    ledger_record("model", "gradient reaches parameters", checks, 0);
}

/* Weights after a few whole steps: sampling, forward, backward, clipping, AdamW, schedule. */
static float *trained_weights(int variant, int64_t *n) {
    Config config, unused;
    TrainConfig train;
    Trainer t;
    StepReport report;
    char message[256];
    if (!small_config(variant, &config)) return 0;
    config_defaults(&unused, &train);
    config.vocab = 0;
    snprintf(train.curriculum, sizeof train.curriculum, "70:4");
    train.batch = 3, train.warmup = 2, train.penalty = 0.1, train.penalty_from = 0.0;
    cr_assert(!trainer_create(&t, &config, &train, message, sizeof message), "%s", message);
    for (int i = 0; i < 4; i++) cr_assert(!trainer_step(&t, &report, message, sizeof message), "%s", message);
    float *copy = malloc((size_t)t.model.list.floats * sizeof(float));
    memcpy(copy, t.model.weights, (size_t)t.model.list.floats * sizeof(float));
    *n = t.model.list.floats;
    trainer_free(&t);
    return copy;
}

Test(model, training_steps_have_the_same_bits_on_every_isa_and_thread_count) {
    int64_t checks = 0, n;
    for (int i = 0;; i++) {
        kernel = kernels_at(0);
        omp_set_num_threads(1);
        float *first = trained_weights(i, &n);
        if (!first) break;
        for (int k = 0; kernels_at(k); k++)
            for (int threads = 1; threads <= 3 && kernels_supported(kernels_at(k)); threads++) {
                kernel = kernels_at(k);
                omp_set_num_threads(threads);
                float *other = trained_weights(i, &n);
                cr_assert(same_floats(first, other, n),
                          "variant %d: %s with %d threads differs from scalar with 1", i, kernel->isa, threads);
                free(other);
                checks += n;
            }
        free(first);
    }
    ledger_record("model", "training step memcmp", checks, 0);
}

/* The same tensors at the same places after many calls, all finite, for every mixer that promises it. */
Test(model, the_state_does_not_grow) {
    Model m;
    int32_t tokens[TOKENS];
    int64_t checks = 0;
    random_tokens(TOKENS, 6, tokens);
    for (int i = 0; small_model(i, &m); i++) {
        if (m.mixer->uses_capacity) {
            model_free(&m);
            continue;
        }
        State state;
        state_start(&state, &m, 1, 0);
        MixerState before[2] = {state.layers[0], state.layers[1]};
        for (int round = 0; round < 100; round++) {
            Arena arena = {0};
            Tape tape = {&arena, 0, 0};
            const ModelInput input = {tokens, 1, TOKENS, 0, 0, 0.0f, 0, 0};
            model_forward(&tape, &m, &state, &input);
            arena_free(&arena);
            cr_assert(!memcmp(before, state.layers, sizeof before), "%s: the state moved in round %d",
                      m.mixer->name, round);
        }
        cr_assert(state.position == 100 * TOKENS);
        for (int layer = 0; layer < 2; layer++)
            for (int k = 0; k < MIXER_SLOTS; k++) {
                const Tensor *slot = before[layer].slot[k];
                for (int64_t j = 0; slot && j < slot->rows * slot->cols; j++)
                    cr_assert(isfinite(slot->data[j]), "%s: slot %d holds %g", m.mixer->name, k,
                              (double)slot->data[j]);
                checks += slot ? slot->rows * slot->cols : 0;
            }
        state_free(&state);
        model_free(&m);
    }
    ledger_record("model", "constant state", checks, 0);
}
