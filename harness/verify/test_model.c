/* Whole models, for every mixer there is: causality, call splitting, batch independence, a memory that
 * remembers, an outer gradient that reaches every parameter, and training steps with the same bits on every
 * instruction set and thread count. */
#include "ledger.h"
#include "test_model.h"
#include "model/model.h"
#include "base/random.h"
#include "library/library.h"
#include "test_reference.h"
#include "learn/trainer.h"

#include <omp.h>
#include <stdio.h>
#include <unistd.h>

enum { TOKENS = 45, BATCH = 3 };

/* For mixers that have options which differ. */
static const char neurips[] =
    "vocab=11 width=12 heads=2 layers=2 ffn=20 preset=neurips chunk=8 persistent=3 segment=16";
static const struct {
    const char *mixer, *sizes, *more;
} variants[] = {
    {"lmm", neurips, ""},
    {"lmm", every, "gates_per_chunk=1 momentum=0 taps=0 persistent=2"},
    {"lmm", every, "forget=0 memory_layers=1 persistent=0 gate=hard"},
    {"mac", neurips, "gates_per_chunk=1"},
    {"mag", every, "channelwise=1 persistent=0 taps=0"},
    {"attention", every, "positions=alibi trained_length=7 log_scale=1"},
    {"attention", every, "positions=none"},
    {"attention", every, "rope_scaling=ntk trained_length=8 asked_length=45"},
    {"attention", every, "rope_scaling=yarn trained_length=8 asked_length=45 log_scale=1"},
    {"swa", every, "positions=alibi"},
    {"lmm", every, "precision=bf16"},
    {"mac", every, "precision=bf16"},
    {"attention", every, "precision=bf16"},
    {"kda", every, "precision=bf16"},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* Variant i: every mixer of the registry, then those above. */
static int small_config(int i, Config *c) {
    int mixers = 0;
    while (mixer_at(mixers)) mixers++;
    if (i >= mixers + VARIANTS) return 0;
    *c = i < mixers
             ? settings(mixer_at(i)->name, every, "").model
             : settings(variants[i - mixers].mixer, variants[i - mixers].sizes, variants[i - mixers].more)
                   .model;
    return 1;
}

static int small_model(int i, Model *m) {
    Config c;
    char message[256];
    if (!small_config(i, &c)) return 0;
    cr_assert(!model_create(m, &c, 5, message, sizeof message), "%s", message);
    return 1;
}

/* Tokens from .. from + n of `batch` sequences of `length`; logits at every one of them, batch x length x VOCAB. */
static void read_part(titans_stream *stream, const int32_t *tokens, int64_t length, int64_t from, int64_t n,
                      float *logits) {
    const int64_t batch = titans_stream_batch(stream);
    titans_error error;
    int32_t *part = calloc((size_t)(batch * n), sizeof *part),
            *rows = calloc((size_t)(batch * n), sizeof *rows);
    float *y = calloc((size_t)(batch * n * VOCAB), sizeof *y);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t t = 0; t < n; t++)
            part[b * n + t] = tokens[b * length + from + t], rows[b * n + t] = (int32_t)(b * n + t);
    const titans_input input = {
        .tokens = part, .count = n, .rows = rows, .row_count = batch * n, .logits = y};
    cr_assert(!titans_read_input(stream, &input, &error), "%s", error.message);
    for (int64_t b = 0; b < batch; b++)
        memcpy(logits + (b * length + from) * VOCAB, y + b * n * VOCAB, (size_t)(n * VOCAB) * sizeof(float));
    free(part);
    free(rows);
    free(y);
}

/* Logits at every position of `batch` sequences, read in calls of the given sizes (0 ends the list). */
static float *read_in_calls(Model *m, const int32_t *tokens, int64_t batch, const int64_t *calls) {
    float *logits = calloc((size_t)(batch * TOKENS * VOCAB), sizeof(float));
    const titans_model library = library_model(m);
    titans_stream *stream = stream_new(&library, batch, TOKENS);
    for (int64_t from = 0, i = 0; calls[i] > 0 && from < TOKENS; from += calls[i++])
        read_part(stream, tokens, TOKENS, from, calls[i] < TOKENS - from ? calls[i] : TOKENS - from, logits);
    titans_stream_free(stream);
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
        static float got[LONG * VOCAB];
        Arena arena = {0};
        Tape recorded = {&arena, 1, 0};
        const ModelInput all = {.tokens = tokens, .batch = 1, .count = LONG, .rows = rows, .row_count = LONG};
        char refused[128];
        cr_assert(!model_gradients(&m, refused, sizeof refused), "%s", refused);
        const Tensor *want = model_forward(&recorded, &m, 0, &all);
        const titans_model library = library_model(&m);
        titans_stream *stream = stream_new(&library, 1, LONG);
        for (int64_t from = 0, k = 0, n; from < LONG; from += n, k++) {
            n = calls[k] < LONG - from ? calls[k] : LONG - from;
            read_part(stream, tokens, LONG, from, n, got);
            cr_assert(same_floats(want->data + from * VOCAB, got + from * VOCAB, n * VOCAB),
                      "%s (variant %d): call %ld differs", m.mixer->name, i, k);
        }
        titans_stream_free(stream);
        arena_free(&arena);
        model_free(&m);
        checks += LONG * VOCAB;
    }
    ledger_record("model", "ring", checks, 0);
}

/* Writing the state to a file in one process and going on in another is one more way of splitting a call. */
Test(model, a_state_file_changes_no_bit) {
    Model m;
    int64_t checks = 0;
    char path[] = "/tmp/titans-state-XXXXXX";
    const int fd = mkstemp(path);
    cr_assert(fd >= 0 && !close(fd));
    for (int i = 0; small_model(i, &m); i++) {
        int32_t tokens[BATCH * TOKENS];
        const int64_t cut = 21, rest = TOKENS - cut;
        static float split[BATCH * TOKENS * VOCAB];
        titans_error error;
        random_tokens(BATCH * TOKENS, 8, tokens);
        float *once = read_in_calls(&m, tokens, BATCH, whole);
        const titans_model library = library_model(&m);
        titans_stream *stream = stream_new(&library, BATCH, TOKENS);
        read_part(stream, tokens, TOKENS, 0, cut, split);
        cr_assert(!titans_stream_save(stream, path, 0, 0, &error), "%s", error.message);
        titans_stream_free(stream);
        stream = titans_stream_resume(&library, path, 0, &error);
        cr_assert(stream != NULL, "%s: %s", m.mixer->name, error.message);
        read_part(stream, tokens, TOKENS, cut, rest, split);
        titans_stream_free(stream);
        cr_assert(same_floats(once, split, BATCH * TOKENS * VOCAB),
                  "%s (variant %d): going on from a file differs", m.mixer->name, i);
        m.weights[0] += 1.0f;
        cr_assert(!titans_stream_resume(&library, path, 0, &error) && strstr(error.message, "other weights"),
                  "%s", error.message);
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
        const int64_t window = m.mixer->reach ? m.mixer->reach(&m.config) : 0;
        if (!window || window * m.config.layers >= TOKENS)
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
        if (strcmp(c.mixer->name, "mac")) continue;
        cr_assert(!config_set(&c, "mask", "paper", message, sizeof message), "%s", message);
        c.layers = 1;
        const int64_t segment = (int64_t)config_number(&c, "segment");
        cr_assert(!model_create(&m, &c, 5, message, sizeof message), "%s", message);
        random_tokens(TOKENS, 7, tokens);
        float *before = read_in_calls(&m, tokens, 1, whole);
        tokens[segment + 5] = (tokens[segment + 5] + 1) % VOCAB;
        float *after = read_in_calls(&m, tokens, 1, whole);
        const int64_t begin = segment * VOCAB, count = 5 * VOCAB;
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
        Model m;
        char message[256];
        cr_assert(!config_defaults(&c, "mac", message, sizeof message));
        cr_assert(!config_set(&c, "attention_self", i ? "0" : "1.5", message, sizeof message), "%s", message);
        c.vocab = VOCAB;
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
    const ModelInput input = {
        .tokens = tokens, .batch = batch, .count = TOKENS, .rows = rows, .row_count = batch * TOKENS};
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
        char refused[128];
        cr_assert(!model_gradients(&m, refused, sizeof refused), "%s", refused);
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

/* The gradient of a batch's mean loss is the mean of its members' gradients: the same sums, scaled before or after. Allowed:
 * 128 units of float32 of a tensor's largest; in bf16, where a cotangent is rounded scaled and unscaled, four of bf16. */
Test(model, the_gradient_of_a_batch_is_the_mean_of_its_members) {
    int64_t checks = 0;
    double worst = 0;
    Model m;
    for (int i = 0; small_model(i, &m); i++) {
        int32_t tokens[BATCH * TOKENS];
        float *sum = calloc((size_t)m.list.floats, sizeof *sum);
        const double allowed = m.config.precision ? 4 * 0x1p-8 : 128 * 0x1p-24;
        char refused[128];
        random_tokens(BATCH * TOKENS, 5, tokens);
        cr_assert(!model_gradients(&m, refused, sizeof refused), "%s", refused);
        for (int b = 0; b < BATCH; b++) model_backward(&m, tokens + b * TOKENS, 1);
        memcpy(sum, m.grads, (size_t)m.list.floats * sizeof *sum);
        memset(m.grads, 0, (size_t)m.list.floats * sizeof *sum);
        model_backward(&m, tokens, BATCH);
        for (int p = 0; p < m.list.count; p++) {
            const Parameter *item = &m.list.items[p];
            const float *one = sum + item->offset, *all = m.grads + item->offset;
            double size = 0, error = 0;
            for (int64_t j = 0; j < parameter_count(item); j++) {
                size = fmax(size, fabs((double)one[j]));
                error = fmax(error, fabs((double)one[j] - BATCH * (double)all[j]));
            }
            cr_assert(error <= allowed * size, "variant %d, %s: off by %g of %g", i, item->name, error, size);
            worst = fmax(worst, error / (allowed * size));
            checks += parameter_count(item);
        }
        free(sum);
        model_free(&m);
    }
    ledger_record("model", "gradient of a batch", checks, worst);
}

/* Weights after a few whole steps: sampling, forward, backward, clipping, AdamW, schedule. */
static float *trained_weights(int variant, int64_t *n) {
    Config config;
    static Trainer t;
    StepReport report;
    char message[256];
    if (!small_config(variant, &config)) return 0;
    Recipe recipe = settings("lmm", "curriculum=70:4 batch=3 warmup=2 penalty=0.1 penalty_from=0", "");
    recipe.model = config;
    recipe.model.vocab = 0;
    cr_assert(!trainer_create(&t, &recipe, message, sizeof message), "%s", message);
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
                          "variant %d: %s with %d threads differs from scalar with 1", i, kernel->isa,
                          threads);
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
        State state = {.batch = 0};
        const size_t slots = (size_t)m.mixer->slots * sizeof(Tensor *);
        state_start(&state, &m, 1, 0);
        Tensor **before[2] = {malloc(slots), malloc(slots)};
        for (int layer = 0; layer < 2; layer++) memcpy(before[layer], state.layers[layer].slot, slots);
        for (int round = 0; round < 100; round++) {
            Arena arena = {0};
            Tape tape = {&arena, 0, 0};
            const ModelInput input = {.tokens = tokens, .batch = 1, .count = TOKENS};
            model_forward(&tape, &m, &state, &input);
            arena_free(&arena);
            for (int layer = 0; layer < 2; layer++)
                cr_assert(!memcmp(before[layer], state.layers[layer].slot, slots),
                          "%s: the state moved in round %d", m.mixer->name, round);
        }
        cr_assert(state.position == 100 * TOKENS);
        for (int layer = 0; layer < 2; layer++)
            for (int k = 0; k < m.mixer->slots; k++) {
                const Tensor *slot = before[layer][k];
                for (int64_t j = 0; slot && j < slot->rows * slot->cols; j++)
                    cr_assert(isfinite(slot->data[j]), "%s: slot %d holds %g", m.mixer->name, k,
                              (double)slot->data[j]);
                checks += slot ? slot->rows * slot->cols : 0;
            }
        for (int layer = 0; layer < 2; layer++) free(before[layer]);
        state_free(&state);
        model_free(&m);
    }
    ledger_record("model", "constant state", checks, 0);
}

/* What `titans info` says of a state is what a stream holds: the same numbers where it is constant; where every token is
 * kept, as many as there are tokens, in whole blocks of attention. */
Test(model, the_state_is_as_large_as_its_mixer_says) {
    Model m;
    int64_t checks = 0;
    for (int i = 0; small_model(i, &m); i++)
        for (int64_t tokens = ATTEND_BLOCK; tokens <= 4 * ATTEND_BLOCK; tokens += ATTEND_BLOCK, checks++) {
            State state = {.batch = 0};
            int64_t held = 0;
            state_start(&state, &m, 1, m.mixer->uses_capacity ? tokens : 0);
            for (int64_t layer = 0; layer < m.config.layers; layer++)
                for (int k = 0; k < m.mixer->slots; k++)
                    if (state.layers[layer].slot[k])
                        held += state.layers[layer].slot[k]->rows * state.layers[layer].slot[k]->cols;
            cr_assert(held == model_state_floats(&m, tokens),
                      "%s (variant %d): %ld numbers after %ld tokens, said %ld", m.mixer->name, i, held,
                      tokens, model_state_floats(&m, tokens));
            state_free(&state);
            if (tokens == 4 * ATTEND_BLOCK) model_free(&m);
        }
    ledger_record("model", "state size", checks, 0);
}

/* A model that reads rows of numbers, given the rows that mean a token, is the model of that token. */
Test(model, one_hot_features_are_tokens_to_the_bit) {
    Model m, rows;
    Config c;
    char message[256];
    int64_t checks = 0;
    for (int i = 0; small_config(i, &c); i++) {
        int32_t tokens[TOKENS], every_row[TOKENS];
        static float features[TOKENS * VOCAB], logits[TOKENS * VOCAB];
        titans_error error;
        cr_assert(!model_create(&m, &c, 5, message, sizeof message), "%s", message);
        c.features = VOCAB;
        cr_assert(!model_create(&rows, &c, 5, message, sizeof message), "%s", message);
        cr_assert(m.list.floats == rows.list.floats);
        memcpy(rows.weights, m.weights, (size_t)m.list.floats * sizeof(float));
        random_tokens(TOKENS, 12, tokens);
        memset(features, 0, sizeof features);
        for (int t = 0; t < TOKENS; t++) features[t * VOCAB + tokens[t]] = 1.0f, every_row[t] = t;
        const titans_model library = library_model(&rows);
        titans_stream *stream = stream_new(&library, 1, TOKENS);
        const titans_input input = {
            .features = features, .count = TOKENS, .rows = every_row, .row_count = TOKENS, .logits = logits};
        cr_assert(!titans_read_input(stream, &input, &error), "%s", error.message);
        cr_assert(titans_read(stream, tokens, 1, 0, &error) == TITANS_BAD_ARGUMENT &&
                  strstr(error.message, "features"));
        float *want = read_in_calls(&m, tokens, 1, whole);
        cr_assert(same_floats(want, logits, TOKENS * VOCAB), "%s (variant %d)", m.mixer->name, i);
        titans_stream_free(stream);
        free(want);
        model_free(&m);
        model_free(&rows);
        checks += TOKENS * VOCAB;
    }
    ledger_record("model", "feature rows", checks, 0);
}

/* Mean of (y - v)^2 over the rows that count, and its gradient 2 (y - v) / n times the weight, in double. */
Test(model, the_squared_error_and_its_gradient) {
    enum { ROWS = 9, COLS = 7 };
    Arena arena = {0};
    Tape tape = {&arena, 1, 0};
    Tensor *y = tape_tensor(&tape, ROWS, COLS);
    float values[ROWS * COLS];
    int32_t target[ROWS];
    uint64_t state = 4;
    double sum = 0.0, worst = 0.0;
    int64_t counted = 0;
    for (int i = 0; i < ROWS * COLS; i++)
        y->data[i] = (float)(2 * uniform(&state) - 1), values[i] = (float)(2 * uniform(&state) - 1);
    for (int r = 0; r < ROWS; r++) target[r] = r % 3 ? 0 : -1, counted += target[r] >= 0;
    for (int i = 0; i < ROWS * COLS; i++)
        if (target[i / COLS] >= 0) sum += pow((double)y->data[i] - (double)values[i], 2);
    const double n = (double)(counted * COLS);
    const double loss = op_squared_error(&tape, y, target, values, 0.5);
    cr_assert(fabs(loss - sum / n) <= 2 * 0x1p-23 * sum / n, "%.9g, want %.9g", loss, sum / n);
    for (int i = 0; i < ROWS * COLS; i++) {
        const double error = (double)y->data[i] - (double)values[i];
        const double want = target[i / COLS] < 0 ? 0.0 : 0.5 * 2.0 * error / n;
        /* the difference, the share and their product each round once */
        const double allowed = 3 * 0x1p-24 * fabs(want);
        cr_assert(fabs((double)y->grad[i] - want) <= allowed, "%d: %.9g, want %.9g", i, (double)y->grad[i],
                  want);
        worst = fmax(worst, want != 0.0 ? fabs((double)y->grad[i] - want) / allowed : 0.0);
    }
    arena_free(&arena);
    ledger_record("model", "squared error", ROWS * COLS + 1, worst);
}
