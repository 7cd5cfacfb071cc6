/* Goal 8: token by token, a call for each, as in generation: the memory by itself in cycles a weight, and whole models against
 * reading the same tokens in calls of 512. */
#include "bench/kernel/kernel.h"
#include "base/check.h"
#include "base/random.h"
#include "bench/shared/memory_case.h"
#include "library/library.h"

static const struct {
    const char *name;
    int layers;
    int64_t outer, hidden;
} memories[] = {{"64-64", 1, 64, 64},
                {"128-128", 1, 128, 128},
                {"64-128-64", 2, 64, 128},
                {"64-256-64", 2, 64, 256},
                {"128-512-128", 2, 128, 512}};
enum { MEMORIES = sizeof memories / sizeof *memories };

/* One chunk. */
static void memory_decode_run(void *context) {
    MemoryCase *c = context;
    const int64_t outer = c->shape.width[0];
    MemoryShape one = c->shape;
    one.tokens = 1;
    for (one.position = 0; one.position < c->shape.chunk; one.position++) {
        const int64_t t = one.position;
        const MemoryInput in = {c->in.k + t * outer, c->in.v + t * outer, c->in.q + t * outer,
                                c->in.keep + t,      c->in.theta + t,     c->in.eta + t};
        const MemoryOutput out = {c->y + t * outer, 0, 0};
        kernel->memory->forward_scan(&one, &in, c->state, &out, c->workspace);
    }
}

/* As many cycles as the memory has weights and the chunk tokens: additions that wait for each other take one each. */
static void memory_cycles_run(void *context) {
    const MemoryCase *c = context;
    uint64_t sum = 0;
    for (int64_t i = c->weights * c->shape.chunk / 16; i > 0; i--)
#pragma GCC unroll 16
        for (int k = 0; k < 16; k++) {
            sum += (uint64_t)i;
            __asm__ volatile("" : "+r"(sum));
        }
}

static void memory_decode_row(KernelReport *r, int i) {
    MemoryCase c = memory_case(1, 64, 64, memories[i].layers, memories[i].outer, memories[i].hidden);
    memory_restore(&c);
    const Timing t = timing_measure((Work){memory_decode_run, &c}, (Work){memory_cycles_run, &c}, 1,
                                    r->rounds, KERNEL_LEAST);
    report_goal(r, "memory.decode", memories[i].name, t.seconds / t.bar_seconds, "8: <= 0.6 cycle per weight",
                t.seconds <= 0.6 * t.bar_seconds);
    memory_case_free(&c);
}

enum { DECODE_TOKENS = 512, DECODE_VOCAB = 174 };
typedef struct {
    Model model;
    int32_t tokens[DECODE_TOKENS];
} DecodeCase;

static void decode_read(DecodeCase *c, int64_t call) {
    const titans_model library = library_model(&c->model);
    titans_error error;
    float logits[DECODE_VOCAB];
    titans_stream *stream =
        titans_stream_new(&library, &(titans_stream_options){.capacity = DECODE_TOKENS}, &error);
    CHECK(stream, "%s", error.message);
    for (int64_t t = 0; t < DECODE_TOKENS; t += call)
        CHECK(!titans_read(stream, c->tokens + t, call, logits, &error), "%s", error.message);
    titans_stream_free(stream);
}
static void decode_singly_run(void *context) { decode_read(context, 1); }
static void decode_whole_run(void *context) { decode_read(context, DECODE_TOKENS); }

static void decode_row(KernelReport *r, const char *mixer, DecodeCase *c) {
    Config config;
    char message[512];
    CHECK(!config_defaults(&config, mixer, message, sizeof message), "%s", message);
    config.vocab = DECODE_VOCAB;
    CHECK(!model_create(&c->model, &config, 1, message, sizeof message), "%s", message);
    const Timing t =
        timing_measure((Work){decode_singly_run, c}, (Work){decode_whole_run, c}, 1, r->rounds, KERNEL_LEAST);
    const KernelRow row = {"stream.decode",
                           mixer,
                           "one call of 512",
                           1,
                           DECODE_TOKENS * model_flops(&c->model, DECODE_TOKENS / 2.0, 1),
                           t.bar_seconds / t.seconds,
                           "-",
                           -1};
    report_row(r, &row, &t);
    model_free(&c->model);
}

static void decode_rows(KernelReport *r) {
    static const char *const mixers[] = {"lmm", "mac", "mag", "mal", "swa", "attention"};
    static DecodeCase c;
    Random random = {1};
    for (int t = 0; t < DECODE_TOKENS; t++) c.tokens[t] = (int32_t)random_below(&random, DECODE_VOCAB);
    for (int i = 0; i < MEMORIES; i++) memory_decode_row(r, i);
    for (size_t i = 0; i < sizeof mixers / sizeof *mixers; i++) decode_row(r, mixers[i], &c);
}

const KernelBench kernel_bench_decode = {"decode", decode_rows, 1};
