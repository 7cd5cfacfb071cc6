/* Goal 15: one sequence through a deep model, several segments of it in different layers at a time, against one thread and against
 * threads that share every op. */
#include "bench/kernel/kernel.h"
#include "base/check.h"
#include "base/random.h"
#include "library/library.h"

#include <omp.h>
#include <stdio.h>

enum { WAVE_TOKENS = 1 << 14, WAVE_SEGMENT = 512, WAVE_LAYERS = 4, WAVE_VOCAB = 174 };

typedef struct {
    Model model;
    int threads;
    int32_t tokens[WAVE_TOKENS];
} WaveCase;

static void wave_read(const WaveCase *c, int threads) {
    titans_model library = library_model((Model *)&c->model);
    titans_error error;
    library.options.threads = threads;
    const titans_stream_options options = {.capacity = WAVE_TOKENS, .segment = WAVE_SEGMENT};
    titans_stream *stream = titans_stream_new(&library, &options, &error);
    CHECK(stream && !titans_read(stream, c->tokens, WAVE_TOKENS, 0, &error), "%s", error.message);
    titans_stream_free(stream);
}
static void wave_all_run(void *context) { wave_read(context, ((WaveCase *)context)->threads); }
static void wave_one_run(void *context) { wave_read(context, 1); }

/* The same segments one after the other. */
static void wave_ops_run(void *context) {
    WaveCase *c = context;
    Arena arena = {0};
    State state = {0};
    omp_set_num_threads(c->threads);
    state_start(&state, &c->model, 1, WAVE_TOKENS);
    for (int64_t from = 0; from < WAVE_TOKENS; from += WAVE_SEGMENT) {
        Tape tape = {&arena, 0, 0};
        const ModelInput input = {.tokens = c->tokens + from, .batch = 1, .count = WAVE_SEGMENT};
        arena_reset(&arena);
        model_forward(&tape, &c->model, &state, &input);
    }
    state_free(&state);
    arena_free(&arena);
}

static void wave_row(KernelReport *r, const char *mixer, const char *bar, Work slow, WaveCase *c, int goal) {
    const Timing t = timing_measure((Work){wave_all_run, c}, slow, c->threads, r->rounds, KERNEL_LEAST);
    const double speedup = t.bar_seconds / t.seconds;
    const KernelRow row = {"stream.wave",
                           mixer,
                           bar,
                           c->threads,
                           WAVE_TOKENS * model_flops(&c->model, WAVE_TOKENS / 2.0, 0),
                           speedup,
                           goal ? "15: 2 threads >= 1.8 x 1" : "-",
                           goal ? speedup >= 1.8 : -1};
    report_row(r, &row, &t);
}

static void wave_rows(KernelReport *r) {
    static const char *const mixers[] = {"lmm", "mac", "mag", "mal", "swa"};
    static WaveCase c;
    Random random = {1};
    c.threads = omp_get_max_threads();
    if (c.threads < 2) return;
    for (int t = 0; t < WAVE_TOKENS; t++) c.tokens[t] = (int32_t)random_below(&random, WAVE_VOCAB);
    for (size_t i = 0; i < sizeof mixers / sizeof *mixers; i++) {
        Config config;
        char message[512];
        CHECK(!config_defaults(&config, mixers[i], message, sizeof message), "%s", message);
        config.vocab = WAVE_VOCAB, config.layers = WAVE_LAYERS;
        CHECK(!model_create(&c.model, &config, 1, message, sizeof message), "%s", message);
        wave_row(r, mixers[i], "1 thread", (Work){wave_one_run, &c}, &c, c.threads == 2);
        wave_row(r, mixers[i], "threads within ops", (Work){wave_ops_run, &c}, &c, 0);
        model_free(&c.model);
    }
    omp_set_num_threads(c.threads);
}

const KernelBench kernel_bench_wave = {"wave", wave_rows, 0};
