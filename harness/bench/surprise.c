/* Surprise along one sequence: per layer and token the norm of the memory's gradient, and the gates, with the
 * needle's place: surprise.tsv. */
#include "bench/bench.h"
#include "bench/shared/shown.h"
#include "bench/shared/table.h"
#include "learn/evaluate.h"
#include "terminal/files.h"
#include "terminal/options.h"

#include <argp.h>
#include <stdio.h>

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
    Shown s;
    const int status = shown_read(t, sample, &s, message, size);
    if (status >= 0) write_rows(t, sample, &s, to);
    shown_free(&s);
    return status;
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
