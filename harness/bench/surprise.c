/* Surprise along one sequence: per layer and token the norm of the memory's gradient, and the gates, with the
 * needle's place: surprise.tsv. */
#include "base/check.h"
#include "bench/bench.h"
#include "bench/shared/table.h"
#include "terminal/interrupt.h"
#include "learn/evaluate.h"
#include "terminal/files.h"
#include "terminal/options.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT = 512 };

typedef struct {
    TableOptions table;
    const char *file;
    int64_t length, seed;
    double depth;
} SurpriseOptions;

static const struct argp_option options[] = {{"length", 'l', "N", 0, "tokens (default 512)", 0},
                                             {"seed", 's', "S", 0, "seed of the sample (default 1)", 0},
                                             {"depth", 'd', "D", 0, "place of the needle (default 0.4)", 0},
                                             {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    SurpriseOptions *o = state->input;
    switch (key) {
    case 'l':
        o->length = option_integer("length", arg, 64, 1 << 24);
        break;
    case 's':
        o->seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case 'd':
        o->depth = option_real("depth", arg, 0.0, 1.0);
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        break;
    case ARGP_KEY_ARG:
        if (o->file) argp_error(state, "more than one checkpoint: '%s'", arg);
        o->file = arg;
        break;
    case ARGP_KEY_END:
        if (!o->file) argp_error(state, "which checkpoint?");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* What the memories show along a sample: memories x length x heads each. */
typedef struct {
    int32_t *tokens;
    float *surprise, *alpha, *theta;
    int64_t memories, heads, length, read;
} Shown;

/* The next tokens, at most SEGMENT, into their places. */
static titans_status read_on(titans_stream *stream, Shown *s, float *part, titans_error *error) {
    const int64_t left = s->length - s->read, n = left < SEGMENT ? left : SEGMENT,
                  floats = s->memories * n * s->heads;
    const titans_input in = {.tokens = s->tokens + s->read,
                             .count = n,
                             .surprise = part,
                             .alpha = part + floats,
                             .theta = part + 2 * floats};
    float *const to[] = {s->surprise, s->alpha, s->theta};
    const titans_status status = titans_read_input(stream, &in, error);
    for (int k = 0; !status && k < 3; k++)
        for (int64_t m = 0; m < s->memories; m++)
            memcpy(to[k] + (m * s->length + s->read) * s->heads, part + k * floats + m * n * s->heads,
                   (size_t)(n * s->heads) * sizeof *part);
    if (!status) s->read += n;
    return status;
}

static void write_rows(const Trained *t, const Sample *sample, const Shown *s, FILE *to) {
    for (int64_t r = 0; r < s->memories * s->length; r++)
        if (r % s->length < s->read)
            fprintf(to, "%lld\t%lld\t%d\t%.6g\t%.6g\t%.6g\t%d\n",
                    (long long)(r / s->length * t->model.mixer->memory_every), (long long)(r % s->length),
                    s->tokens[r % s->length], trained_head_mean(t, s->surprise, r),
                    trained_head_mean(t, s->alpha, r), trained_head_mean(t, s->theta, r),
                    r % s->length >= sample->needle &&
                        r % s->length < sample->needle + sample->answers[0].length + 2);
}

static int show_layers(Trained *t, const Sample *sample, FILE *to, char *message, size_t size) {
    titans_error error;
    const titans_stream_options options = {.capacity = sample->length};
    titans_stream *stream = titans_stream_new(&t->library, &options, &error);
    if (!stream) return snprintf(message, size, "%s", error.message), -1;
    Shown s = {
        .memories = titans_stream_memories(stream), .heads = t->model.config.heads, .length = sample->length};
    const int64_t floats = s.memories * s.length * s.heads;
    s.tokens = calloc((size_t)s.length, sizeof *s.tokens);
    s.surprise = calloc((size_t)(3 * floats) + 1, sizeof *s.surprise);
    float *part = calloc((size_t)(3 * s.memories * SEGMENT * s.heads) + 1, sizeof *part);
    CHECK(s.tokens && s.surprise && part, "no memory for %ld tokens", s.length);
    s.alpha = s.surprise + floats, s.theta = s.alpha + floats;
    sample_read(sample, 0, s.length, s.tokens, 0);
    titans_status status = TITANS_OK;
    while (!status && s.read < s.length && !interrupt_requested()) status = read_on(stream, &s, part, &error);
    if (status)
        snprintf(message, size, "%s", error.message);
    else
        write_rows(t, sample, &s, to);
    titans_stream_free(stream);
    free(part);
    free(s.surprise);
    free(s.tokens);
    return status ? -1 : s.read < s.length;
}

static int measure(void *options, Tsv *table, char *message, size_t size) {
    const SurpriseOptions *o = options;
    static Trained t;
    static Sample sample;
    int status = -1;
    if (files_reads(o->file, message, size) ||
        trained_open(&t, o->file, &(Asked){0}, o->length, message, size))
        return -1;
    if (t.model.mixer->memory_every) {
        task_sample(&t.task, evaluate_seed((uint64_t)o->seed), 0, o->length, o->depth, &sample);
        status = show_layers(&t, &sample, table->file, message, size);
    } else
        snprintf(message, size, "%s has no memory to look into", o->file);
    trained_close(&t);
    return status;
}

static int run(int argc, char **argv) {
    static const TableWork work = {"surprise", "layer\tposition\ttoken\tsurprise\talpha\ttheta\tneedle",
                                   measure};
    const struct argp argp = {
        options,
        parse,
        "CHECKPOINT",
        "Gradient norm and gates of the memory along a sequence."
        "\vExamples:\n  titans bench surprise m.safetensors --length 512 -o surprise.tsv",
        table_children,
        0,
        0};
    SurpriseOptions o = {{.out = "surprise.tsv"}, 0, 512, 1, 0.4};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    return table_run(&work, &o, &o.table, argc, argv);
}

const Bench bench_surprise = {"surprise", "gradient norm and gates along a sequence, needle marked", run};
