/* Where in a text the memory is surprised: the norm of its gradient, and its gates, along a file. */
#include "command/command.h"
#include "task/shared/data.h"
#include "file/checkpoint.h"
#include "terminal/options.h"
#include "terminal/progress.h"
#include "learn/trained.h"
#include "terminal/tsv.h"

#include <argp.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256, SEGMENT = 512, CONTEXT = 32 };

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

static void trace_segment(Model *m, State *state, Arena *arena, const char *text, int64_t count, Trace to) {
    arena_reset(arena);
    Tape tape = {arena, 0, 0};
    int probes;
    Probe *probe = trained_probes(m, count, arena, &probes);
    int32_t *tokens = arena_take(arena, (size_t)count * sizeof *tokens);
    for (int64_t t = 0; t < count; t++) tokens[t] = (unsigned char)text[t];
    const ModelInput input = {tokens, 1, count, 0, 0, 0.0f, probe, probes};
    model_forward(&tape, m, state, &input);
    for (int i = 0; i < probes; i++)
        for (int64_t t = 0; t < count; t++) {
            to.surprise[t] += (float)(trained_head_mean(m, probe[i].surprise, t) / (double)probes);
            to.alpha[t] += (float)(trained_head_mean(m, probe[i].alpha, t) / (double)probes);
            to.theta[t] += (float)(trained_head_mean(m, probe[i].theta, t) / (double)probes);
        }
}

static void trace_text(Model *m, const char *text, int64_t length, Trace trace) {
    State state;
    Arena arena = {0};
    ProgressLine progress;
    progress_begin(&progress, "surprise", length);
    state_start(&state, m, 1, 0);
    for (int64_t from = 0; from < length; from += SEGMENT) {
        const int64_t count = length - from < SEGMENT ? length - from : SEGMENT;
        trace_segment(m, &state, &arena, text + from, count,
                      (Trace){trace.surprise + from, trace.alpha + from, trace.theta + from});
        progress_update(&progress, from + count, "bytes", 1.0, "");
    }
    progress_end(&progress);
    state_free(&state);
    arena_free(&arena);
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

static int show(Model *m, const SurpriseOptions *o, const char *command, char *message, size_t size) {
    int64_t length;
    Tsv tsv;
    if (m->config.vocab != BYTES || !m->mixer->memory_every) {
        snprintf(message, size, "%s is not a byte-level checkpoint of a mixer with a memory", o->checkpoint);
        return -1;
    }
    char *text = data_read(o->file, &length, message, size);
    if (!text) return -1;
    float *numbers = calloc((size_t)length * 3 + 1, sizeof *numbers);
    if (!numbers)
        return free(text), snprintf(message, size, "no memory for %lld bytes", (long long)length), -1;
    const Trace trace = {numbers, numbers + length, numbers + 2 * length};
    trace_text(m, text, length, trace);
    int status = tsv_open(&tsv, o->out, command, "position\tbyte\tsurprise\talpha\ttheta", message, size);
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
                              "harness/plots.sh draws results/surprise-text.tsv.",
                              0,
                              0,
                              0};
    SurpriseOptions o = {.out = "surprise.tsv", .every = 1, .top = 10};
    char message[1024], command[1024];
    Model model;
    TrainConfig train;
    Progress progress;
    tsv_command(command, sizeof command, argc, argv);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.threads);
    int status = checkpoint_load(o.checkpoint, &model, 0, &train, &progress, message, sizeof message);
    if (!status) {
        status = show(&model, &o, command, message, sizeof message);
        model_free(&model);
    }
    if (status) fprintf(stderr, "titans surprise: %s\n", message);
    return status ? 1 : 0;
}

const Command command_surprise = {"surprise", "where in a text the memory is surprised", run};
