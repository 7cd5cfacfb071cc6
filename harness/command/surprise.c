/* Where in a text the memory is surprised: the norm of its gradient, and its gates, along a file. */
#include "base/check.h"
#include "base/size.h"
#include "command/command.h"
#include "task/shared/data.h"
#include "terminal/files.h"
#include "terminal/interrupt.h"
#include "terminal/options.h"
#include "terminal/progress.h"
#include "learn/trained.h"
#include "terminal/tsv.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT = 512, CONTEXT = 32 };

typedef struct {
    const char *file, *checkpoint, *out;
    int64_t every, top, threads;
    int force;
} SurpriseOptions;

enum { OPTION_EVERY = 256, OPTION_TOP, OPTION_FORCE };
static const struct argp_option options[] = {
    {"checkpoint", 'c', "FILE", 0, "byte-level checkpoint of a mixer with a memory", 0},
    {"out", 'o', "FILE", 0, "table to write (default surprise.tsv)", 0},
    {"every", OPTION_EVERY, "N", 0, "bytes per row, the largest surprise of which is kept (default 1)", 0},
    {"top", OPTION_TOP, "N", 0, "places to print (default 10)", 0},
    {"force", OPTION_FORCE, 0, 0, "over a table that is there", 0},
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
    case OPTION_FORCE:
        o->force = 1;
        break;
    case OPTION_EVERY:
        o->every = option_integer("every", arg, 1, 1 << 20);
        break;
    case OPTION_TOP:
        o->top = option_integer("top", arg, 0, 1000);
        break;
    case 'k':
        o->threads = option_integer("threads", arg, 1, 1024);
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

/* *read: bytes that the trace has. 0 all, 1 interrupted, -1 with a message: the trace is valid up to *read all the same. */
static int trace_text(Trained *t, const char *text, int64_t length, Trace trace, int64_t *read, char *message,
                      size_t size) {
    titans_error error;
    const titans_stream_options options = {.capacity = length};
    titans_stream *stream = titans_stream_new(&t->library, &options, &error);
    ProgressLine progress;
    int status = stream ? 0 : -1;
    progress_begin(&progress, "surprise", "bytes", length);
    for (*read = 0; !status && *read < length && !interrupt_requested();) {
        const int64_t from = *read, count = length - from < SEGMENT ? length - from : SEGMENT;
        const Trace to = {trace.surprise + from, trace.alpha + from, trace.theta + from};
        status = trace_segment(t, stream, text + from, count, to, &error);
        if (!status) *read += count;
        progress_update(&progress, *read, "");
    }
    progress_end(&progress);
    titans_stream_free(stream);
    if (status) snprintf(message, size, "%s", error.message);
    return status ? -1 : *read < length;
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

/* A byte inside a character of several. */
static int continues(const char *text, int64_t t) { return ((unsigned char)text[t] & 192) == 128; }

/* Bytes as they are where they are UTF-8 text; what would move a terminal's cursor as a blank. */
static void print_context(const char *text, int64_t length, int64_t best, unsigned char *taken) {
    int64_t from = best > CONTEXT ? best - CONTEXT : 0,
            to = best + CONTEXT + 1 < length ? best + CONTEXT + 1 : length;
    while (from < best && continues(text, from)) from++;
    while (to < length && continues(text, to)) to++;
    int64_t begin = best, end = best + 1;
    while (begin > from && continues(text, begin)) begin--;
    while (end < to && continues(text, end)) end++;
    for (int64_t t = from; t < to; t++) {
        taken[t] = 1;
        if (t == begin) putchar('[');
        putchar((unsigned char)text[t] < 32 || text[t] == 127 ? ' ' : text[t]);
        if (t + 1 == end) putchar(']');
    }
    putchar('\n');
}

/* The most surprising places, each at least CONTEXT bytes from a greater one, with the text around them. */
static void print_top(const char *text, int64_t length, int64_t top, const float *surprise) {
    unsigned char *taken = calloc((size_t)length + 1, 1);
    if (top) printf("%10s  surprise\n", "position");
    for (int64_t i = 0; taken && i < top; i++) {
        int64_t best = -1;
        for (int64_t t = 0; t < length; t++)
            if (!taken[t] && (best < 0 || surprise[t] > surprise[best])) best = t;
        if (best < 0) break;
        printf("%10lld  %-8.4g  ", (long long)best, (double)surprise[best]);
        print_context(text, length, best, taken);
    }
    free(taken);
}

static int show_text(Trained *t, const SurpriseOptions *o, const char *text, int64_t length, Tsv *tsv,
                     char *message, size_t size) {
    int64_t read = 0;
    float *numbers = calloc((size_t)size_plus(size_times(length, 3), 1), sizeof *numbers);
    if (!numbers) return snprintf(message, size, "no memory for %lld bytes", (long long)length), -1;
    const Trace trace = {numbers, numbers + length, numbers + 2 * length};
    const int status = trace_text(t, text, length, trace, &read, message, size);
    if (status >= 0) write_rows(tsv->file, text, read, o->every, trace);
    if (status >= 0) print_top(text, read, o->top, trace.surprise);
    if (status > 0)
        fprintf(stderr, "titans surprise: interrupted after %lld of %lld bytes, the table has those\n",
                (long long)read, (long long)length);
    free(numbers);
    return status;
}

static int show(Trained *t, const SurpriseOptions *o, Tsv *tsv, char *message, size_t size) {
    int64_t length;
    if (!t->model.mixer->memory_every) {
        snprintf(message, size, "%s is not a checkpoint of a mixer with a memory", o->checkpoint);
        return -1;
    }
    char *text = data_read(o->file, &length, message, size);
    if (!text) return -1;
    int status = -1;
    if (length)
        status = show_text(t, o, text, length, tsv, message, size);
    else
        snprintf(message, size, "%s: is empty, a text is wanted", o->file);
    free(text);
    return status;
}

static int run(int argc, char **argv) {
    const struct argp argp = {options,
                              parse,
                              "FILE",
                              "Where in a text the memory is surprised: a table, and the places themselves.\v"
                              "Examples:\n  "
                              "titans surprise book.txt --checkpoint m.safetensors --every 100 -o s.tsv",
                              0,
                              0,
                              0};
    SurpriseOptions o = {.out = "surprise.tsv", .every = 1, .top = 10};
    char message[MESSAGE];
    static Trained t;
    Tsv tsv;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.threads);
    interrupt_catch();
    int status = files_reads(o.checkpoint, message, sizeof message) ||
                         trained_open_bytes(&t, o.checkpoint, message, sizeof message)
                     ? -1
                     : 0;
    if (!status) {
        status = files_reads(o.file, message, sizeof message) ||
                         tsv_open(&tsv, o.out, o.force ? TSV_FORCE : TSV_NEW, argc, argv,
                                  "position\tbyte\tsurprise\talpha\ttheta", message, sizeof message)
                     ? -1
                     : tsv_end(&tsv, show(&t, &o, &tsv, message, sizeof message), message, sizeof message);
        trained_close(&t);
    }
    if (status < 0) say("titans surprise", message);
    return interrupt_status(status);
}

const Command command_surprise = {"surprise", "where in a text the memory is surprised", run};
