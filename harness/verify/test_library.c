/* The library's front door: every mistake a caller can make is answered, memory that is refused at any moment leaks
 * nothing and ends nothing, going back and going on change no bit, and the bare memory is the reference's. */
#include "ledger.h"
#include "file/checkpoint.h"
#include "library/library.h"
#include "test_reference.h"

#include <stdio.h>
#include <unistd.h>

static const char model_path[] = "results/checkpoints/lmm-passkey-s0.safetensors";
enum { VOCAB = 174, TOKENS = 96, ROOM = 64 /* a whole block of attention */ };

static titans_model *model_open(const titans_options *options) {
    titans_error error;
    titans_model *model = titans_model_open(model_path, options, &error);
    cr_assert(model != NULL, "%s", error.message);
    return model;
}

static titans_stream *stream_open(const titans_model *model, int64_t batch) {
    titans_error error;
    const titans_stream_options options = {.batch = batch};
    titans_stream *stream = titans_stream_new(model, &options, &error);
    cr_assert(stream != NULL, "%s", error.message);
    return stream;
}

static void fill_tokens(int64_t n, uint64_t seed, int32_t *tokens) {
    for (int64_t i = 0; i < n; i++) tokens[i] = (int32_t)(uniform(&seed) * VOCAB);
}

static void expect_status(titans_status got, titans_status want, const titans_error *error,
                          const char *says) {
    cr_assert(got == want && error->status == want && strstr(error->message, says),
              "status %d, '%s' is wanted in: %s", got, says, error->message);
}

Test(library, answers_every_mistake_of_a_caller) {
    titans_error error = {TITANS_OK, ""};
    titans_model *model = model_open(0);
    titans_stream *stream = stream_open(model, 2);
    int32_t tokens[2 * TOKENS];
    float logits[2 * VOCAB];
    fill_tokens(2 * TOKENS, 1, tokens);
    cr_assert(!titans_model_open("nothing.safetensors", 0, &error));
    expect_status(error.status, TITANS_BAD_FILE, &error, "nothing.safetensors");
    cr_assert(!titans_model_open("results/golden/lmm.safetensors", 0, &error) &&
              error.status == TITANS_BAD_FILE);
    cr_assert(
        !titans_model_open(model_path, &(titans_options){.allocate = (void *(*)(void *, size_t))1}, &error));
    expect_status(error.status, TITANS_BAD_ARGUMENT, &error, "together");
    cr_assert(!titans_stream_new(model, &(titans_stream_options){.batch = -1}, &error));
    expect_status(error.status, TITANS_BAD_ARGUMENT, &error, "batch of -1");
    tokens[7] = VOCAB;
    expect_status(titans_read(stream, tokens, TOKENS, logits, &error), TITANS_BAD_ARGUMENT, &error,
                  "token 174 at 7");
    tokens[7] = 0;
    expect_status(titans_read(stream, 0, 3, logits, &error), TITANS_BAD_ARGUMENT, &error, "there are none");
    expect_status(titans_read(stream, tokens, -3, logits, &error), TITANS_BAD_ARGUMENT, &error, "-3 tokens");
    const int32_t rows[] = {5, 4};
    const titans_input falling = {
        .tokens = tokens, .count = 4, .rows = rows, .row_count = 2, .logits = logits};
    expect_status(titans_read_input(stream, &falling, &error), TITANS_BAD_ARGUMENT, &error, "ascending");
    const titans_input nowhere = {.tokens = tokens, .count = 4, .row_count = 2, .logits = logits};
    expect_status(titans_read_input(stream, &nowhere, &error), TITANS_BAD_ARGUMENT, &error, "2 rows");
    expect_status(titans_read(stream, tokens, (int64_t)1 << 31, logits, &error), TITANS_BAD_ARGUMENT, &error,
                  "in one call");
    cr_assert(titans_stream_position(stream) == 0, "a refused call was read");
    titans_stream *other = stream_open(model, 1);
    titans_snapshot *shot = titans_stream_snapshot(other, &error);
    expect_status(titans_stream_rollback(stream, shot, &error), TITANS_BAD_ARGUMENT, &error, "another");
    expect_status(titans_stream_save(stream, "/nonexistent/s", 0, 0, &error), TITANS_BAD_FILE, &error,
                  "/nonexistent");
    cr_assert(!titans_stream_resume(model, model_path, 0, &error) && error.status == TITANS_BAD_FILE);
    cr_assert(titans_read(stream, tokens, 0, logits, 0) == TITANS_OK &&
              isnan(titans_model_number(model, "wings")));
    titans_snapshot_free(shot);
    titans_stream_free(other);
    titans_stream_free(stream);
    titans_model_close(model);
    titans_model_close(0), titans_stream_free(0), titans_snapshot_free(0), titans_memory_free(0);
    ledger_record("library", "mistakes", 16, 0);
}

Test(library, attention_says_when_its_room_is_used_up) {
    titans_error error;
    titans_model *model =
        titans_model_open("results/checkpoints/attention-passkey-s0.safetensors", 0, &error);
    int32_t tokens[TOKENS];
    float first[VOCAB], again[VOCAB];
    cr_assert(model != NULL, "%s", error.message);
    fill_tokens(TOKENS, 2, tokens);
    const titans_stream_options options = {.capacity = ROOM};
    titans_stream *stream = titans_stream_new(model, &options, &error);
    cr_assert(titans_read(stream, tokens, ROOM - 1, first, &error) == TITANS_OK, "%s", error.message);
    expect_status(titans_read(stream, tokens, 2, again, &error), TITANS_BAD_ARGUMENT, &error, "capacity");
    cr_assert(titans_stream_position(stream) == ROOM - 1 &&
              titans_read(stream, tokens, 1, again, 0) == TITANS_OK);
    titans_stream_free(stream);
    titans_model_close(model);
    ledger_record("library", "capacity", 3, 0);
}

/* Read on, go back, read on; and from a file, with notes: the same bits each time. */
Test(library, going_back_and_going_on_change_no_bit) {
    char path[] = "/tmp/titans-library-XXXXXX";
    const int fd = mkstemp(path);
    titans_error error;
    titans_model *model = model_open(0);
    titans_stream *stream = stream_open(model, 2);
    int32_t tokens[2 * TOKENS];
    float want[2 * VOCAB], got[2 * VOCAB];
    cr_assert(fd >= 0 && !close(fd));
    fill_tokens(2 * TOKENS, 3, tokens);
    cr_assert(!titans_read(stream, tokens, 37, want, &error), "%s", error.message);
    titans_snapshot *shot = titans_stream_snapshot(stream, &error);
    const titans_note notes[] = {{"where", "after 37"}};
    cr_assert(shot && !titans_stream_save(stream, path, notes, 1, &error), "%s", error.message);
    cr_assert(!titans_read(stream, tokens, TOKENS, want, &error), "%s", error.message);
    for (int round = 0; round < 2; round++) {
        cr_assert(!titans_stream_rollback(stream, shot, &error) && titans_stream_position(stream) == 37);
        cr_assert(!titans_read(stream, tokens, TOKENS, got, &error) && !memcmp(want, got, sizeof want),
                  "rollback");
    }
    titans_stream *short_calls =
        titans_stream_new(model, &(titans_stream_options){.batch = 2, .segment = 7}, &error);
    cr_assert(short_calls && !titans_read(short_calls, tokens, 37, got, &error), "%s", error.message);
    cr_assert(!titans_read(short_calls, tokens, TOKENS, got, &error) && !memcmp(want, got, sizeof want),
              "segments");
    titans_stream_free(short_calls);
    titans_stream *resumed = titans_stream_resume(model, path, 0, &error);
    cr_assert(resumed && !strcmp(titans_stream_note(resumed, "where"), "after 37"), "%s", error.message);
    cr_assert(!titans_stream_note(resumed, "nowhere") && !titans_stream_note(stream, "where"));
    cr_assert(!titans_read(resumed, tokens, TOKENS, got, &error) && !memcmp(want, got, sizeof want),
              "resume");
    unlink(path);
    titans_snapshot_free(shot);
    titans_stream_free(resumed);
    titans_stream_free(stream);
    titans_model_close(model);
    ledger_record("library", "rollback and resume", 4 * 2 * VOCAB, 0);
}

/* An allocator that refuses from its `left`-th call on, and counts what it gave. */
typedef struct {
    int64_t left, given;
} Miser;

static void *miser_allocate(void *context, size_t bytes) {
    Miser *m = context;
    if (m->left-- <= 0) return 0;
    m->given++;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void miser_release(void *context, void *memory) {
    Miser *m = context;
    m->given -= memory != 0;
    free(memory);
}

/* A whole life of a model and a stream. 1 if all of it went well. */
static int live(Miser *miser) {
    const titans_options options = {miser_allocate, miser_release, miser, 1};
    titans_error error = {TITANS_OK, ""};
    int32_t tokens[TOKENS];
    float logits[VOCAB];
    int whole = 0;
    fill_tokens(TOKENS, 4, tokens);
    titans_model *model = titans_model_open(model_path, &options, &error);
    titans_stream *stream = model ? titans_stream_new(model, 0, &error) : 0;
    titans_snapshot *shot = stream ? titans_stream_snapshot(stream, &error) : 0;
    if (shot && titans_read(stream, tokens, TOKENS, logits, &error)) {
        cr_assert(titans_read(stream, tokens, 1, logits, 0) == TITANS_BAD_ARGUMENT,
                  "a broken stream was read");
        cr_assert(!titans_stream_snapshot(stream, 0) &&
                      titans_stream_save(stream, "/tmp/never", 0, 0, 0) == TITANS_BAD_ARGUMENT,
                  "a broken stream was kept");
        miser->left = 1 << 20;
        cr_assert(!titans_stream_rollback(stream, shot, 0) &&
                  !titans_read(stream, tokens, TOKENS, logits, 0));
        miser->left = 0;
    } else
        whole = shot != 0;
    cr_assert(whole || (error.status == TITANS_NO_MEMORY && strstr(error.message, "no memory")),
              "status %d: %s", error.status, error.message);
    titans_snapshot_free(shot);
    titans_stream_free(stream);
    titans_model_close(model);
    return whole;
}

Test(library, memory_that_is_refused_at_any_moment_leaks_nothing) {
    int64_t refusals = 0;
    for (Miser miser = {0, 0};; refusals++) {
        miser = (Miser){refusals, 0};
        const int whole = live(&miser);
        cr_assert(miser.given == 0, "%ld blocks are left after refusal %ld", miser.given, refusals);
        if (whole) break;
    }
    cr_assert(refusals > 5);
    ledger_record("library", "refused memory", refusals, 0);
}

/* The bare memory against the reference's chunk, cut into calls anywhere; the kernel's own bound is the kernels suite's,
 * here the bits must be those of one call. */
Test(library, the_bare_memory_is_that_of_eqs_16_to_18) {
    enum { T = 21, N = 6, HIDDEN = 8, P = 2 * N * HIDDEN };
    Case c =
        case_new("memory_chunk", 5, "tokens=%d chunk=4 memory_layers=2 n0=%d n1=%d n2=%d", T, N, HIDDEN, N);
    const titans_memory_shape shape = {
        .key_width = N, .hidden = HIDDEN, .value_width = N, .layers = 2, .chunk = 4};
    const char *const names[] = {"M0", "k", "v", "q", "alpha", "theta", "eta"};
    enum { NAMES = sizeof names / sizeof *names };
    float x[NAMES][T * HIDDEN], y[T * N], once[T * N], weights[P], momenta[P], first[2 * P];
    titans_error error;
    double worst = 0;
    case_set(&c, "S0", 0);
    case_run(&c);
    oracle_run(&reference_bound, &c.dims, constant(c.in), NULL, c.out, NULL, c.tolerance, NULL);
    for (int i = 0; i < NAMES; i++)
        for (int64_t j = 0; j < case_in_size(&c, names[i]); j++) x[i][j] = (float)case_in(&c, names[i])[j];
    cr_assert(titans_memory_weights(&shape) == P);
    for (int64_t cut = 1; cut <= T; cut++) {
        titans_memory *memory = titans_memory_new(&shape, x[0], 0, &error);
        cr_assert(memory != NULL, "%s", error.message);
        for (int64_t from = 0; from < T; from += cut) {
            const int64_t n = T - from < cut ? T - from : cut;
            const titans_tokens tokens = {
                x[1] + from * N, x[2] + from * N, x[3] + from * N, x[4] + from, x[5] + from, x[6] + from, n,
                y + from * N};
            cr_assert(!titans_memory_write(memory, &tokens, &error), "%s", error.message);
        }
        titans_memory_get(memory, weights, momenta);
        if (cut > 1)
            cr_assert(!memcmp(once, y, sizeof y) && !memcmp(first, weights, sizeof weights), "calls of %ld",
                      cut);
        memcpy(once, y, sizeof y), memcpy(first, weights, sizeof weights);
        titans_memory_free(memory);
    }
    for (int j = 0; j < T * N; j++) {
        const double allowed = c.tolerance[0][j] + 0x1p-24 * fabs(c.out[0][j]);
        worst = fmax(worst, fabs((double)y[j] - c.out[0][j]) / allowed);
    }
    for (int j = 0; j < P; j++) {
        worst = fmax(worst, fabs((double)weights[j] - c.out[1][j]) /
                                (c.tolerance[1][j] + 0x1p-24 * fabs(c.out[1][j])));
        worst = fmax(worst, fabs((double)momenta[j] - c.out[2][j]) /
                                (c.tolerance[2][j] + 0x1p-24 * fabs(c.out[2][j])));
    }
    cr_assert(worst <= 1, "%g of the bound", worst);
    case_free(&c);
    ledger_record("library", "memory", T * N + 2 * P, worst);
}

Test(library, the_bare_memory_refuses_what_cannot_be) {
    titans_error error;
    const titans_memory_shape good = {.key_width = 4, .value_width = 4},
                              bad[] = {{.key_width = 4},
                                       {.key_width = 4, .value_width = 3, .residual = 1},
                                       {.key_width = 4, .value_width = 4, .layers = 9},
                                       {.key_width = 4, .value_width = 4, .batch = -1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!titans_memory_new(&bad[i], 0, 0, &error) && error.status == TITANS_BAD_ARGUMENT);
    titans_memory *memory = titans_memory_new(&good, 0, 0, &error);
    const float row[4] = {1, 0, 0, 0}, one[1] = {1}, big[1] = {1.5f}, nan[1] = {NAN},
                infinite[4] = {INFINITY, 0, 0, 0};
    float y[4], before[16], after[16];
    titans_memory_get(memory, before, 0);
    const titans_tokens wrong[] = {{row, row, row, big, one, one, 1, y},
                                   {row, row, row, one, nan, one, 1, y},
                                   {infinite, row, row, one, one, one, 1, y},
                                   {row, 0, row, one, one, one, 1, y},
                                   {row, row, row, one, one, one, -1, y}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(titans_memory_write(memory, &wrong[i], &error) != TITANS_OK, "mistake %d was written",
                  (int)i);
    titans_memory_get(memory, after, 0);
    cr_assert(!memcmp(before, after, sizeof before), "a refused token was written");
    titans_memory_free(memory);
    ledger_record("library", "memory's mistakes", 10, 0);
}

/* ---- numbers that are not finite ---- */

/* The committed model with one weight of a parameter made as large as float32 goes. */
static void spoil(Model *model, const char *parameter, float value) {
    for (int i = 0; i < model->list.count; i++)
        if (!strcmp(model->list.items[i].name, parameter)) {
            model->weights[model->list.items[i].offset] = value;
            return;
        }
    cr_assert(0, "no parameter %s", parameter);
}

typedef struct {
    const char *parameter, *says;
} Spoilt;

/* Reads tokens in calls and segments of any size; the message is the same, no logits are given, and nothing but a rollback
 * is answered afterwards. */
static void expect_stop(titans_model *model, const Spoilt *c, int64_t segment, int64_t call) {
    titans_error error = {TITANS_OK, ""};
    const titans_stream_options options = {.segment = segment};
    int32_t tokens[TOKENS];
    float logits[VOCAB];
    titans_status status = TITANS_OK;
    fill_tokens(TOKENS, 9, tokens);
    titans_stream *stream = titans_stream_new(model, &options, &error);
    titans_snapshot *shot = titans_stream_snapshot(stream, &error);
    for (int64_t at = 0; !status && at < TOKENS; at += call) {
        for (int i = 0; i < VOCAB; i++) logits[i] = -7.0f;
        status = titans_read(stream, tokens + at, TOKENS - at < call ? TOKENS - at : call, logits, &error);
    }
    expect_status(status, TITANS_NOT_FINITE, &error, c->says);
    for (int i = 0; i < VOCAB; i++) cr_assert(logits[i] == -7.0f, "%s: a logit was given", c->parameter);
    expect_status(titans_read(stream, tokens, 1, logits, &error), TITANS_BAD_ARGUMENT, &error, "not finite");
    cr_assert(titans_stream_save(stream, "/tmp/never", 0, 0, 0) == TITANS_BAD_ARGUMENT &&
              access("/tmp/never", F_OK));
    cr_assert(!titans_stream_snapshot(stream, 0) && !titans_stream_rollback(stream, shot, 0) &&
              titans_stream_position(stream) == 0);
    titans_snapshot_free(shot);
    titans_stream_free(stream);
}

Test(library, a_number_that_is_not_finite_stops_a_stream) {
    static const Spoilt cases[] = {
        {"layer.0.mixer.wv", "layer 0, output of the mixer: a number is not finite at token 0 of"},
        {"layer.1.mixer.wo", "layer 1, output of the mixer: a number is not finite at token"},
        {"layer.0.ffn.w2", "layer 0, output of the layer: a number is not finite at token"},
        {"head", "logits: a number is not finite at token"}};
    static const int64_t sizes[] = {1, 7, 512};
    int64_t checks = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Model model;
        char message[512];
        cr_assert(!checkpoint_load(model_path, 0, &model, 0, 0, 0, message, sizeof message), "%s", message);
        for (int k = 0; k < model.list.count; k++)
            if (!strcmp(model.list.items[k].name, cases[i].parameter))
                for (int64_t j = 0; j < model.list.items[k].rows * model.list.items[k].cols; j++)
                    model.weights[model.list.items[k].offset + j] = 3e38f;
        titans_model library = library_model(&model);
        for (int s = 0; s < 3; s++)
            for (int c = 0; c < 3; c++, checks++) expect_stop(&library, &cases[i], sizes[s], sizes[c]);
        model_free(&model);
    }
    ledger_record("library", "not finite", checks, 0);
}

/* Weights that are not numbers are met when a file is read, a state that holds such when it would be written. */
Test(library, a_state_that_is_not_finite_is_not_saved) {
    char message[512], path[] = "/tmp/titans-state-XXXXXX";
    titans_error error;
    Model model;
    int32_t tokens[TOKENS];
    close(mkstemp(path));
    fill_tokens(TOKENS, 9, tokens);
    cr_assert(!checkpoint_load(model_path, 0, &model, 0, 0, 0, message, sizeof message), "%s", message);
    State state = {.batch = 1};
    state_start(&state, &model, 1, 0);
    cr_assert(!state_save(path, &state, &model, 0, 0, message, sizeof message), "%s", message);
    state.layers[1].slot[0]->data[5] = INFINITY;
    cr_assert(state_save(path, &state, &model, 0, 0, message, sizeof message) &&
                  strstr(message, "layer.1.slot.0") && strstr(message, "at 5"),
              "%s", message);
    titans_model library = library_model(&model);
    titans_stream *stream = titans_stream_resume(&library, path, 0, &error);
    cr_assert(stream != NULL, "the good state is gone: %s", error.message);
    titans_stream_free(stream);
    /* another configuration with the same weights */
    cr_assert(!config_set(&model.config, "theta_max", "0.25", message, sizeof message), "%s", message);
    cr_assert(!titans_stream_resume(&library, path, 0, &error));
    expect_status(error.status, TITANS_BAD_FILE, &error, "\"theta_max\" is");
    spoil(&model, "head", 1.0f);
    cr_assert(!titans_stream_resume(&library, path, 0, &error));
    expect_status(error.status, TITANS_BAD_FILE, &error, "other weights");
    state_free(&state);
    model_free(&model);
    unlink(path);
    ledger_record("library", "states", 5, 0);
}

Test(library, a_memory_that_is_not_finite_answers_nothing) {
    const titans_memory_shape shape = {.key_width = 2, .value_width = 2};
    titans_error error = {TITANS_OK, ""};
    const float large[] = {3e38f, 3e38f}, zero[2] = {0}, half[] = {0.5f}, one[] = {1.0f}, nan[] = {NAN, 0};
    const float weights[] = {1, 0, 0, 1}, infinite[] = {1, 0, INFINITY, 1};
    float y[2] = {-7, -7};
    cr_assert(!titans_memory_new(&shape, infinite, 0, &error));
    expect_status(error.status, TITANS_BAD_ARGUMENT, &error, "weights[2] is inf");
    titans_memory *memory = titans_memory_new(&shape, weights, 0, &error);
    const titans_tokens good = {large, zero, zero, half, one, half, 1, y};
    expect_status(titans_memory_read(memory, nan, 1, y, &error), TITANS_BAD_ARGUMENT, &error, "q[0] is nan");
    expect_status(titans_memory_write(memory, &good, &error), TITANS_NOT_FINITE, &error, "not finite");
    cr_assert(y[0] == -7 && y[1] == -7, "a read was given");
    expect_status(titans_memory_write(memory, &good, &error), TITANS_BAD_ARGUMENT, &error,
                  "titans_memory_set");
    expect_status(titans_memory_read(memory, zero, 1, y, &error), TITANS_BAD_ARGUMENT, &error,
                  "titans_memory_set");
    const float momenta[4] = {0};
    titans_memory_set(memory, weights, momenta);
    cr_assert(!titans_memory_read(memory, large, 1, y, &error) && y[0] == 3e38f, "%s", error.message);
    titans_memory_free(memory);
    ledger_record("library", "memories", 7, 0);
}
