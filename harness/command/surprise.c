/* Where in a text the memory is surprised: the norm of its gradient, and its gates, along a file. */
#include "base/check.h"
#include "command/command.h"
#include "task/shared/data.h"
#include "terminal/options.h"
#include "terminal/progress.h"
#include "learn/trained.h"
#include "terminal/tsv.h"

#include <argp.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT = 512, CONTEXT = 32 };

typedef struct {
    const char *file, *checkpoint, *out;
    int64_t every, top, threads;
} SurpriseOptions;

enum { OPTION_EVERY = 256, OPTION_TOP };
static const struct argp_option options[] = {
    {"checkpoint", 'c', "FILE", 0, "byte-level checkpoint of a mixer with a memory", 0},
    {"out", 'o', "FILE", 0, "table to write (default surprise.tsv)", 0},
    {"every", OPTION_EVERY, "N", 0, "bytes per row, the largest surprise of which is kept (default 1)", 0},
    {"top", OPTION_TOP, "N", 0, "places to print (default 10)", 0},
    {"threads", 'k', "K", 0, "threads", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    SurpriseOptions *o = state->input;
    switch (key) {
    case 'c':
        o->checkpoint = arg;
        break;
    case 'o':
        o->out = arg;
        break;
    case OPTION_EVERY:
        o->every = option_integer("every", arg, 1, 1 << 20);
        break;
    case OPTION_TOP:
        o->top = option_integer("top", arg, 0, 1000);
        break;
    case 'k':
        o->threads = option_integer("threads", arg, 1, 4096);
        break;
    case ARGP_KEY_ARG:
        if (o->file) argp_error(state, "more than one file: '%s'", arg);
        o->file = arg;
        break;
    case ARGP_KEY_END:
        if (!o->file) argp_error(state, "which text?");
        if (!o->checkpoint) argp_error(state, "--checkpoint FILE is missing");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Per byte the mean over the layers with a memory and their heads. */
typedef struct {
    float *surprise, *alpha, *theta;
} Trace;

static int trace_segment(Trained *t, titans_stream *stream, const char *text, int64_t count, Trace to,
                         titans_error *error) {
    const int64_t memories = titans_stream_memories(stream),
                  floats = memories * count * t->model.config.heads;
    int32_t tokens[SEGMENT];
    float *shown = calloc((size_t)(3 * floats) + 1, sizeof *shown);
    CHECK(shown, "no memory for %ld numbers", 3 * floats);
    for (int64_t i = 0; i < count; i++) tokens[i] = (unsigned char)text[i];
    const titans_input input = {.tokens = tokens,
                                .count = count,
                                .surprise = shown,
                                .alpha = shown + floats,
                                .theta = shown + 2 * floats};
    const titans_status status = titans_read_input(stream, &input, error);
    for (int64_t r = 0; !status && r < memories * count; r++) {
        to.surprise[r % count] += (float)(trained_head_mean(t, input.surprise, r) / (double)memories);
        to.alpha[r % count] += (float)(trained_head_mean(t, input.alpha, r) / (double)memories);
        to.theta[r % count] += (float)(trained_head_mean(t, input.theta, r) / (double)memories);
    }
    free(shown);
    return status ? -1 : 0;
}

static int trace_text(Trained *t, const char *text, int64_t length, Trace trace, char *message, size_t size) {
    titans_error error;
    const titans_stream_options options = {.capacity = length};
    titans_stream *stream = titans_stream_new(&t->library, &options, &error);
    ProgressLine progress;
    int status = stream ? 0 : -1;
    progress_begin(&progress, "surprise", length);
    for (int64_t from = 0; !status && from < length; from += SEGMENT) {
        const int64_t count = length - from < SEGMENT ? length - from : SEGMENT;
        const Trace to = {trace.surprise + from, trace.alpha + from, trace.theta + from};
        status = trace_segment(t, stream, text + from, count, to, &error);
        progress_update(&progress, from + count, "bytes", 1.0, "");
    }
    progress_end(&progress);
    titans_stream_free(stream);
    if (status) snprintf(message, size, "%s", error.message);
    return status;
}

static void write_rows(FILE *to, const char *text, int64_t length, int64_t every, Trace trace) {
    for (int64_t from = 0; from < length; from += every) {
        int64_t best = from;
        for (int64_t t = from; t < length && t < from + every; t++)
            if (trace.surprise[t] > trace.surprise[best]) best = t;
        fprintf(to, "%lld\t%d\t%.6g\t%.6g\t%.6g\n", (long long)best, (unsigned char)text[best],
                (double)trace.surprise[best], (double)trace.alpha[best], (double)trace.theta[best]);
    }
}

/* The most surprising places, each at least CONTEXT bytes from a greater one, with the text around them. */
static void print_top(const char *text, int64_t length, int64_t top, const float *surprise) {
    unsigned char *taken = calloc((size_t)length + 1, 1);
    for (int64_t i = 0; taken && i < top; i++) {
        int64_t best = -1;
        for (int64_t t = 0; t < length; t++)
            if (!taken[t] && (best < 0 || surprise[t] > surprise[best])) best = t;
        if (best < 0) break;
        printf("%10lld  %.4g  ", (long long)best, (double)surprise[best]);
        for (int64_t t = best - CONTEXT; t <= best + CONTEXT; t++) {
            if (t < 0 || t >= length) continue;
            taken[t] = 1;
            if (t == best) putchar('[');
            putchar(isprint((unsigned char)text[t]) ? text[t] : ' ');
            if (t == best) putchar(']');
        }
        putchar('\n');
    }
    free(taken);
}

static int show(Trained *t, const SurpriseOptions *o, const char *command, char *message, size_t size) {
    int64_t length;
    Tsv tsv;
    if (!t->model.mixer->memory_every) {
        snprintf(message, size, "%s is not a checkpoint of a mixer with a memory", o->checkpoint);
        return -1;
    }
    char *text = data_read(o->file, &length, message, size);
    if (!text) return -1;
    float *numbers = calloc((size_t)length * 3 + 1, sizeof *numbers);
    if (!numbers)
        return free(text), snprintf(message, size, "no memory for %lld bytes", (long long)length), -1;
    const Trace trace = {numbers, numbers + length, numbers + 2 * length};
    int status = trace_text(t, text, length, trace, message, size);
    if (!status)
        status = tsv_open(&tsv, o->out, command, "position\tbyte\tsurprise\talpha\ttheta", message, size);
    if (!status) {
        write_rows(tsv.file, text, length, o->every, trace);
        status = tsv_close(&tsv, message, size);
    }
    if (!status) print_top(text, length, o->top, trace.surprise);
    free(numbers);
    free(text);
    return status;
}

static int run(int argc, char **argv) {
    const struct argp argp = {options,
                              parse,
                              "FILE",
                              "Where in a text the memory is surprised: a table, and the places themselves.\v"
                              "harness/plot/draw.sh draws such a table, as surprise-text.tsv.",
                              0,
                              0,
                              0};
    SurpriseOptions o = {.out = "surprise.tsv", .every = 1, .top = 10};
    char message[1024], command[1024];
    static Trained t;
    tsv_command(command, sizeof command, argc, argv);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.threads);
    int status = trained_open_bytes(&t, o.checkpoint, message, sizeof message);
    if (!status) {
        status = show(&t, &o, command, message, sizeof message);
        trained_close(&t);
    }
    if (status) fprintf(stderr, "titans surprise: %s\n", message);
    return status ? 1 : 0;
}

const Command command_surprise = {"surprise", "where in a text the memory is surprised", run};
