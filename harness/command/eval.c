#include "command/command.h"
#include "learn/evaluate.h"
#include "terminal/files.h"
#include "terminal/interrupt.h"
#include "terminal/options.h"
#include "terminal/stats.h"

#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KEYS = 8 };
typedef struct {
    const char *file, *assignment[MOST_KEYS];
    Asked asked;
    int assignments;
    int64_t length, samples, seed, batch, segment, threads;
    double depth;
    int quiet, force;
    EvaluateState state;
} EvalOptions;

enum {
    OPTION_BATCH = 256,
    OPTION_SEGMENT,
    OPTION_LOAD_STATE,
    OPTION_SAVE_STATE,
    OPTION_SAVE_EVERY,
    OPTION_STOP_AT,
    OPTION_FORCE,
    OPTION_SET
};
static const struct argp_option options[] = {
    {"length", 'l', "N", 0, "tokens per sample; K and M suffixes mean 1024 and 1024^2", 0},
    {"samples", 'n', "N", 0, "samples (default 20)", 0},
    {"seed", 's', "S", 0, "seed of the samples (default 1)", 0},
    {"depth", 'd', "D", 0, "place of the needle, 0 first to 1 last (default: drawn)", 0},
    {"set", OPTION_SET, "KEY=VALUE", 0,
     "ask the model with this key, one that changes no weight (rope_scaling); may be repeated", 0},
    {"batch", OPTION_BATCH, "N", 0, "samples streamed side by side (default 8; changes no result)", 0},
    {"segment", OPTION_SEGMENT, "N", 0, "tokens per call (default 512; changes no result)", 0},
    {"save-state", OPTION_SAVE_STATE, "FILE", 0,
     "write the state (safetensors) at the end, when stopped and at Ctrl-C", 0},
    {"save-every", OPTION_SAVE_EVERY, "N", 0, "and every N tokens of a sample", 0},
    {"stop-at", OPTION_STOP_AT, "N", 0, "stop after N tokens of a sample", 0},
    {"load-state", OPTION_LOAD_STATE, "FILE", 0, "go on from such a file (changes no bit of the result)", 0},
    {"force", OPTION_FORCE, 0, 0, "save the state over a file that is no state", 0},
    {"threads", 'k', "K", 0, "threads", 0},
    {"quiet", 'q', 0, 0, "no progress line", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    EvalOptions *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->asked;
        break;
    case 'l':
        o->length = option_integer("length", arg, 1, (int64_t)1 << 40);
        break;
    case 'n':
        o->samples = option_integer("samples", arg, 1, 1000000);
        break;
    case 's':
        o->seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case 'd':
        o->depth = option_real("depth", arg, 0.0, 1.0);
        break;
    case 'k':
        o->threads = option_integer("threads", arg, 1, 1024);
        break;
    case 'q':
        o->quiet = 1;
        break;
    case OPTION_SET:
        if (o->assignments == MOST_KEYS) argp_error(state, "more than %d times --set", MOST_KEYS);
        o->assignment[o->assignments++] = arg;
        break;
    case OPTION_BATCH:
        o->batch = option_integer("batch", arg, 1, 4096);
        break;
    case OPTION_LOAD_STATE:
        o->state.load = arg;
        break;
    case OPTION_SAVE_STATE:
        o->state.save = arg;
        break;
    case OPTION_SAVE_EVERY:
        o->state.save_every = option_integer("save-every", arg, 1, (int64_t)1 << 40);
        break;
    case OPTION_STOP_AT:
        o->state.stop_at = option_integer("stop-at", arg, 1, (int64_t)1 << 40);
        break;
    case OPTION_FORCE:
        o->force = 1;
        break;
    case OPTION_SEGMENT:
        o->segment = option_integer("segment", arg, 1, 1 << 20);
        break;
    case ARGP_KEY_ARG:
        if (o->file) argp_error(state, "more than one checkpoint: '%s'", arg);
        o->file = arg;
        break;
    case ARGP_KEY_END:
        if (!o->file) argp_error(state, "which checkpoint?");
        if (!o->length) argp_error(state, "--length N is missing");
        if ((o->state.save_every || o->state.stop_at) && !o->state.save)
            argp_error(state, "--save-every and --stop-at need --save-state FILE");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int fail(const char *message) {
    say("titans eval", message);
    return 1;
}

/* What is read and what is written, before anything is done. */
static int files(const EvalOptions *o, char *message, size_t size) {
    if (files_reads(o->file, message, size)) return -1;
    if (o->state.load && files_reads(o->state.load, message, size)) return -1;
    return o->state.save ? files_writes(o->state.save, o->force ? FILES_REPLACE : FILES_STATE, message, size)
                         : 0;
}

/* Sums of the task's own measure, then the line that programs read. */
static void report(const Evaluated *e, const Task *task, const EvalOptions *o) {
    double low, high;
    const int64_t samples = o->samples;
    const double nats = score_nats(&e->sum), bits = score_bits(&e->sum);
    stats_proportion(e->right, samples, &low, &high);
    if (task->metric == METRIC_SQUARED)
        printf("numbers=%lld mean_squared_error=%.6g\n", (long long)e->sum.numbers, score_squared(&e->sum));
    const int text = task->metric == METRIC_LOSS && task->vocab == 256;
    if (task->metric == METRIC_TOKENS || (task->metric == METRIC_LOSS && !text))
        printf("tokens=%lld tokens_right=%.4f nats=%.5f bits=%.5f perplexity=%.4f\n", (long long)e->sum.asked,
               score_tokens(&e->sum), nats, bits, exp(nats));
    if (task->metric == METRIC_EXACT && e->sum.answers > samples)
        printf("answers=%lld found=%lld share=%.4f\n", (long long)e->sum.answers, (long long)e->sum.found,
               (double)e->sum.found / (double)e->sum.answers);
    if (o->depth >= 0.0) printf("depth=%.4f asked=%.4f\n", e->sum.depth / (double)samples, o->depth);
    if (text) {
        printf("bits_per_byte=%.5f nats_per_byte=%.5f perplexity_per_byte=%.4f next_byte_accuracy=%.4f "
               "context=%lld bytes=%lld\n",
               bits, nats, exp(nats), score_tokens(&e->sum), (long long)o->length, (long long)e->sum.asked);
        return;
    }
    printf("correct=%lld total=%lld accuracy=%.4f low=%.4f high=%.4f\n", (long long)e->right,
           (long long)samples, (double)e->right / (double)samples, low, high);
}

static const struct argp_child children[] = {{&asked_argp, 0, 0, 0}, {0}};

static int run(int argc, char **argv) {
    const struct argp argp = {
        options,
        parse,
        "FILE",
        "Ask a trained model for the answers of a task. The last line of the output is\n"
        "correct=K total=N accuracy=A low=L high=H (95 % Clopper-Pearson interval); of a text model "
        "bits_per_byte=B and what goes with it, in the mean over windows of --length bytes."
        "\vExamples:\n  titans eval m.safetensors --length 16K --samples 40\n  titans eval m.safetensors "
        "--length 1M --samples 1 --save-state s.safetensors\n  titans eval m.safetensors --length 1M "
        "--samples 1 --load-state s.safetensors",
        children,
        0,
        0};
    EvalOptions o = {.samples = 20, .seed = 1, .batch = 8, .segment = 512, .depth = -1.0};
    char message[MESSAGE];
    static Trained t;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.threads);
    if (files(&o, message, sizeof message)) return fail(message);
    if (trained_open(&t, o.file, &o.asked, o.length, message, sizeof message)) return fail(message);
    if (trained_ask(&t, o.assignment, o.assignments, o.length, message, sizeof message)) {
        trained_close(&t);
        return fail(message);
    }
    const EvaluateOptions e = {(uint64_t)o.seed, o.length, o.samples, o.batch, o.segment, o.depth, o.quiet};
    const TaskData data = task_data(&t.task);
    if (!o.quiet) {
        say_source("titans eval: prose", data.prose_origin, data.prose,
                   t.same_text ? " (the text of the training)" : "");
        say_source("titans eval: words", data.words_origin, data.words, "");
    }
    interrupt_catch();
    Evaluated result = {0};
    int status = evaluate(&t, &e, &o.state, &result, message, sizeof message);
    if (status < 0) fail(message);
    if (status > 0 && o.state.save)
        fprintf(stderr, "titans eval: stopped; go on with --load-state %s\n", o.state.save);
    else if (status > 0)
        fprintf(stderr, "titans eval: stopped, nothing is kept (--save-state FILE would)\n");
    if (!status) report(&result, t.recipe.task, &o);
    if (!status && result.unsaved) status = -1, fail(message);
    trained_close(&t);
    return interrupt_status(status);
}

const Command command_eval = {"eval", "accuracy of a checkpoint on its task at any length", run};
