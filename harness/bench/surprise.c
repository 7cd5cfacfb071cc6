/* Surprise along one sequence: per layer and token the norm of the memory's gradient, and the gates, with the
 * needle's place: surprise.tsv. */
#include "base/check.h"
#include "bench/bench.h"
#include "bench/shared/table.h"
#include "learn/evaluate.h"
#include "terminal/files.h"
#include "terminal/options.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

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

static int show_layers(Trained *t, const Sample *s, FILE *to, char *message, size_t size) {
    const int64_t n = s->length;
    titans_error error;
    const titans_stream_options options = {.capacity = n};
    titans_stream *stream = titans_stream_new(&t->library, &options, &error);
    const int64_t memories = stream ? titans_stream_memories(stream) : 0,
                  floats = memories * n * t->model.config.heads;
    int32_t *tokens = calloc((size_t)n, sizeof *tokens);
    float *shown = calloc((size_t)(3 * floats) + 1, sizeof *shown);
    CHECK(tokens && shown, "no memory for %ld tokens", n);
    const titans_input in = {.tokens = tokens,
                             .count = n,
                             .surprise = shown,
                             .alpha = shown + floats,
                             .theta = shown + 2 * floats};
    sample_read(s, 0, n, tokens, 0);
    const int status = !stream || titans_read_input(stream, &in, &error) ? -1 : 0;
    for (int64_t r = 0; !status && r < memories * n; r++)
        fprintf(to, "%lld\t%lld\t%d\t%.6g\t%.6g\t%.6g\t%d\n",
                (long long)(r / n * t->model.mixer->memory_every), (long long)(r % n), tokens[r % n],
                trained_head_mean(t, in.surprise, r), trained_head_mean(t, in.alpha, r),
                trained_head_mean(t, in.theta, r),
                r % n >= s->needle && r % n < s->needle + s->answers[0].length + 2);
    if (status) snprintf(message, size, "%s", error.message);
    titans_stream_free(stream);
    free(shown);
    free(tokens);
    return status;
}

static int measure(void *options, Tsv *table, char *message, size_t size) {
    const SurpriseOptions *o = options;
    static Trained t;
    static Sample sample;
    int status = -1;
    if (files_reads(o->file, message, size) || trained_open(&t, o->file, 0, 0, o->length, message, size))
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
