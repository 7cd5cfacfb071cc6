/* Several segments of a call in different layers at a time: the order of cells, the same bits as one thread, and the same answers
 * where a number is not finite or memory is refused. */
#include "base/parallel.h"
#include "base/wave.h"
#include "ledger.h"
#include "test_model.h"

#include <string.h>
#include <time.h>

enum { MOST = 4, SEQUENCES = 2, COUNT = 93, ROWS = SEQUENCES * COUNT, LAYERS = 5, SEGMENTS = 23 };

/* A machine of our own, so that no thread is given up. */
static double quiet_seconds(void) { return 1.0; }
static long quiet_taken(void) { return 0; }
static void begin(void) { share_source = (ShareSource){quiet_seconds, quiet_taken}; }

/* ---- the order of cells ---- */

/* Which cells have begun and ended; how many at a time at most. */
typedef struct {
    int begun[SEGMENTS][LAYERS], ended[SEGMENTS][LAYERS], layers, threads, now, most, wrong;
    int64_t last; /* after it no segment need begin */
} Log;

static int log_cell(void *context, int64_t s, int layer) {
    Log *log = context;
#pragma omp critical
    {
        const int below = layer == 0 || log->ended[s][layer - 1];
        const int before = s == 0 || log->ended[s - 1][layer];
        const int place = s < log->threads || log->ended[s - log->threads][log->layers - 1];
        log->wrong += !below || !before || !place || log->begun[s][layer];
        log->begun[s][layer] = 1;
        log->now++;
        if (log->now > log->most) log->most = log->now;
    }
    nanosleep(&(struct timespec){0, 200000 + 100000 * ((s * 7 + layer * 5) % 4)}, 0);
#pragma omp critical
    {
        log->ended[s][layer] = 1;
        log->now--;
    }
    return layer + 1 == log->layers && s == log->last;
}

static void expect_order(int64_t segments, int layers, int threads, int64_t last) {
    Log log = {.layers = layers, .threads = threads, .last = last};
    const Wave wave = {segments, layers, log_cell, &log};
    int64_t whole = 0, cells = 0;
    wave_run(&wave, threads);
    for (int64_t s = 0; s < segments; s++) {
        whole += log.ended[s][layers - 1];
        for (int l = 0; l < layers; l++) cells += log.begun[s][l];
    }
    const int64_t expected = last >= 0 && last < segments ? last + 1 : segments;
    cr_assert_eq(log.wrong, 0, "%ld x %d on %d: %d cells out of order", segments, layers, threads, log.wrong);
    cr_assert_eq(whole, expected, "%ld x %d on %d: %ld segments", segments, layers, threads, whole);
    cr_assert(last >= 0 || cells == segments * layers);
    const int together = segments < layers ? (int)segments : layers;
    cr_assert(log.most <= threads && (threads < 2 || together < 2 || log.most > 1), "%d at a time", log.most);
}

Test(wave, keeps_the_order_of_cells, .init = begin) {
    for (int threads = 1; threads <= MOST; threads++)
        for (int layers = 1; layers <= LAYERS; layers++) {
            expect_order(SEGMENTS, layers, threads, -1);
            expect_order(1, layers, threads, -1);
            expect_order(0, layers, threads, -1);
            expect_order(SEGMENTS, layers, threads, 4);
            expect_order(SEGMENTS, layers, threads, SEGMENTS - 1);
        }
    ledger_record("wave", "order of cells", MOST * LAYERS * 5, 0);
}

/* ---- the same bits ---- */

/* All that a stream shows of a first read of a ragged length and a second one. */
typedef struct {
    float logits[ROWS * VOCAB], shown[3][LAYERS * ROWS * 4], next[SEQUENCES * VOCAB];
} Shown;

static Shown read_on(Model *m, int threads, int64_t segment) {
    static Shown shown;
    int32_t tokens[ROWS], rows[ROWS];
    titans_error error;
    titans_model model = library_model(m);
    model.options.threads = threads;
    const titans_stream_options options = {.batch = SEQUENCES, .capacity = 2 * COUNT, .segment = segment};
    titans_stream *stream = titans_stream_new(&model, &options, &error);
    cr_assert(stream != NULL, "%s", error.message);
    memset(&shown, 0, sizeof shown);
    random_tokens(ROWS, 3, tokens);
    for (int32_t r = 0; r < ROWS; r++) rows[r] = r;
    const int probes = titans_stream_memories(stream) > 0;
    const titans_input in = {.tokens = tokens,
                             .count = COUNT,
                             .rows = rows,
                             .row_count = ROWS,
                             .logits = shown.logits,
                             .surprise = probes ? shown.shown[0] : 0,
                             .alpha = probes ? shown.shown[1] : 0,
                             .theta = probes ? shown.shown[2] : 0};
    cr_assert(!titans_read_input(stream, &in, &error), "%s", error.message);
    cr_assert_eq(titans_stream_position(stream), COUNT);
    cr_assert(!titans_read(stream, tokens, COUNT - 40, shown.next, &error), "%s", error.message);
    titans_stream_free(stream);
    return shown;
}

static int64_t expect_bits(const char *mixer, int layers) {
    static const int64_t segments[] = {5, 16, 31};
    static const int threads[] = {2, MOST};
    static Shown one;
    int64_t checks = 0;
    char more[32], message[512];
    Model m;
    snprintf(more, sizeof more, "layers=%d", layers);
    const Recipe recipe = settings(mixer, every, more);
    cr_assert(!model_create(&m, &recipe.model, 1, message, sizeof message), "%s", message);
    one = read_on(&m, 1, 1 << 12);
    for (int i = 0; i < 3; i++)
        for (int t = 0; t < 2; t++, checks += ROWS * VOCAB) {
            const Shown many = read_on(&m, threads[t], segments[i]);
            cr_assert(!memcmp(&one, &many, sizeof one), "%s, %d layers: %d threads, segments of %ld", mixer,
                      layers, threads[t], segments[i]);
        }
    model_free(&m);
    return checks;
}

Test(wave, changes_no_bit_of_any_mixer, .init = begin) {
    int64_t checks = 0;
    for (int i = 0; mixer_at(i); i++)
        for (int layers = 1; layers <= LAYERS; layers++) checks += expect_bits(mixer_at(i)->name, layers);
    ledger_record("wave", "memcmp", checks, 0);
}

/* ---- what goes wrong ---- */

/* A weight of one layer that is not of this world; the message, the logits and what is refused afterwards. */
static void expect_stop(Model *m, int threads, int64_t segment, char says[512]) {
    int32_t tokens[COUNT], rows[COUNT];
    float logits[COUNT * VOCAB];
    titans_error error = {TITANS_OK, ""};
    titans_model model = library_model(m);
    model.options.threads = threads;
    const titans_stream_options options = {.segment = segment};
    titans_stream *stream = titans_stream_new(&model, &options, &error);
    titans_snapshot *shot = titans_stream_snapshot(stream, &error);
    random_tokens(COUNT, 9, tokens);
    tokens[60] = VOCAB - 1; /* the token that spoils it */
    for (int t = 0; t < COUNT; t++) {
        rows[t] = t;
        if (t != 60) tokens[t] %= VOCAB - 1;
    }
    for (int i = 0; i < COUNT * VOCAB; i++) logits[i] = -7.0f;
    const titans_input in = {
        .tokens = tokens, .count = COUNT, .rows = rows, .row_count = COUNT, .logits = logits};
    cr_assert_eq(titans_read_input(stream, &in, &error), TITANS_NOT_FINITE);
    if (!*says) snprintf(says, 512, "%s", error.message);
    cr_assert(strstr(error.message, "token 60 of") && !strcmp(says, error.message), "%d threads: %s", threads,
              error.message);
    for (int64_t i = 60 / segment * segment * VOCAB; i < COUNT * VOCAB; i++)
        cr_assert(logits[i] == -7.0f, "%d threads: a logit behind the end was given", threads);
    cr_assert_eq(titans_read(stream, tokens, 1, logits, &error), TITANS_BAD_ARGUMENT);
    cr_assert(!titans_stream_rollback(stream, shot, 0) && titans_stream_position(stream) == 0);
    cr_assert_eq(titans_read(stream, tokens, 59, logits, &error), TITANS_OK, "%s", error.message);
    titans_snapshot_free(shot);
    titans_stream_free(stream);
}

Test(wave, stops_where_one_thread_stops, .init = begin) {
    for (int layers = 1; layers <= LAYERS; layers++) {
        Model m;
        char more[32], message[512], says[512] = "";
        snprintf(more, sizeof more, "layers=%d", layers);
        const Recipe recipe = settings("lmm", every, more);
        cr_assert(!model_create(&m, &recipe.model, 1, message, sizeof message), "%s", message);
        for (int64_t i = 0; i < m.config.width; i++)
            m.weights[(VOCAB - 1) * m.config.width + i] = i % 2 ? 3e38f : -3e38f;
        expect_stop(&m, 1, 7, says);
        for (int threads = 2; threads <= MOST; threads++)
            for (int again = 0; again < 4; again++) expect_stop(&m, threads, 7, says);
        model_free(&m);
    }
    ledger_record("wave", "not finite", LAYERS * 13, 0);
}

/* An allocator that refuses from its `left`-th call on, counts what it gave, and takes so long that two threads would meet in it. */
typedef struct {
    int64_t left, given;
    int inside, together;
} Miser;

static void *miser_allocate(void *context, size_t bytes) {
    Miser *m = context;
    m->together |= __atomic_fetch_add(&m->inside, 1, __ATOMIC_SEQ_CST) > 0;
    nanosleep(&(struct timespec){0, 3000000}, 0);
    void *p = m->left-- > 0 ? aligned_alloc(64, (bytes + 63) / 64 * 64) : 0;
    m->given += p != 0;
    __atomic_fetch_sub(&m->inside, 1, __ATOMIC_SEQ_CST);
    return p;
}
static void miser_release(void *context, void *memory) {
    Miser *m = context;
    m->given -= memory != 0;
    free(memory);
}

Test(wave, gives_back_what_it_took_where_memory_is_refused, .init = begin) {
    static const char path[] = "results/checkpoints/lmm-passkey-s0.safetensors";
    enum { MANY = 128, TOKENS = 40 }; /* so that a segment wants several blocks of memory */
    static int32_t tokens[MANY * TOKENS];
    static float logits[MANY * 174];
    int64_t refusals = 0;
    int broken = 0;
    random_tokens(MANY * TOKENS, 4, tokens);
    for (int whole = 0; !whole; refusals++) {
        Miser miser = {1 << 20, 0, 0, 0};
        titans_error error = {TITANS_OK, ""};
        const titans_options options = {miser_allocate, miser_release, &miser, 2};
        titans_model *model = titans_model_open(path, &options, &error);
        titans_stream *stream =
            titans_stream_new(model, &(titans_stream_options){.batch = MANY, .segment = 8}, &error);
        titans_snapshot *shot = titans_stream_snapshot(stream, &error);
        cr_assert(shot != NULL, "%s", error.message);
        miser.left = refusals;
        whole = !titans_read(stream, tokens, TOKENS, logits, &error);
        broken += !whole;
        cr_assert(whole || error.status == TITANS_NO_MEMORY, "%s", error.message);
        miser.left = 1 << 20;
        cr_assert(whole || titans_read(stream, tokens, 1, logits, 0) == TITANS_BAD_ARGUMENT);
        cr_assert(!titans_stream_rollback(stream, shot, 0) &&
                  !titans_read(stream, tokens, TOKENS, logits, &error));
        titans_snapshot_free(shot);
        titans_stream_free(stream);
        titans_model_close(model);
        cr_assert(miser.given == 0 && !miser.together, "%ld blocks are left after refusal %ld", miser.given,
                  refusals);
    }
    cr_assert_geq(broken, 4, "each of two threads was refused");
    ledger_record("wave", "refused memory", refusals, 0);
}
