#include "command/command.h"
#include "terminal/interrupt.h"
#include "terminal/options.h"
#include "terminal/files.h"
#include "learn/training.h"
#include "learn/tree.h"
#include "base/check.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ASSIGNMENTS = 64, NAMED = 5 };
typedef struct {
    const char *mixer, *task, *config, *out, *log, *haystack;
    int64_t steps, seed, threads;
    int resume, force, assignments;
    const char *assignment[MOST_ASSIGNMENTS];
} TrainOptions;

enum { OPTION_RESUME = 256, OPTION_LOG, OPTION_HAYSTACK, OPTION_SET, OPTION_FORCE };
static const struct argp_option options[] = {
    {"mixer", 'm', "M", 0, "sequence mixer", 0},
    {"task", 't', "T", 0, "task to train on", 0},
    {"config", 'c', "FILE", 0, "JSON with the keys listed below", 0},
    {"set", OPTION_SET, "KEY=VALUE", 0, "one key over the configuration; may be repeated", 0},
    {"out", 'o', "FILE", 0, "checkpoint to write (safetensors)", 0},
    {"steps", 'n', "N", 0, "optimizer steps; the curriculum is scaled to them", 0},
    {"seed", 's', "S", 0, "seed of weights and samples", 0},
    {"threads", 'k', "K", 0, "threads (changes no bit of the result)", 0},
    {"haystack", OPTION_HAYSTACK, "PROSE", 0,
     "prose of the haystack, for tasks that take one: bible (the default), essays, or a file", 0},
    {"resume", OPTION_RESUME, 0, 0, "go on from FILE of --out where it stopped", 0},
    {"force", OPTION_FORCE, 0, 0, "begin anew although FILE is there", 0},
    {"log", OPTION_LOG, "FILE", 0, "write the training curve as tsv", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    TrainOptions *o = state->input;
    switch (key) {
    case 'm':
        o->mixer = arg;
        break;
    case 't':
        o->task = arg;
        break;
    case 'c':
        o->config = arg;
        break;
    case 'o':
        o->out = arg;
        break;
    case 'n':
        o->steps = option_integer("steps", arg, 1, 1000000000);
        break;
    case 's':
        o->seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case 'k':
        o->threads = option_integer("threads", arg, 1, 1024);
        break;
    case OPTION_SET:
        if (o->assignments == MOST_ASSIGNMENTS)
            argp_error(state, "more than %d times --set", MOST_ASSIGNMENTS);
        o->assignment[o->assignments++] = arg;
        break;
    case OPTION_RESUME:
        o->resume = 1;
        break;
    case OPTION_FORCE:
        o->force = 1;
        break;
    case OPTION_LOG:
        o->log = arg;
        break;
    case OPTION_HAYSTACK:
        o->haystack = arg;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        break;
    case ARGP_KEY_END:
        if (!o->out) argp_error(state, "--out FILE is missing");
        if (o->resume &&
            (o->mixer || o->task || o->config || o->steps || o->seed >= 0 || o->force || o->assignments))
            argp_error(state,
                       "--resume goes on with what the checkpoint says; only --log, --threads and --haystack "
                       "go with it, the last for a text that was moved. To train on: --set from=FILE");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int fail(const char *message) {
    say("titans train", message);
    return 1;
}

/* "key=value" (malloc). */
static char *assignment(const char *key, const char *value) {
    const size_t size = strlen(key) + strlen(value) + 2;
    char *text = malloc(size);
    CHECK(text, "no memory for %zu bytes", size);
    snprintf(text, size, "%s=%s", key, value);
    return text;
}

/* What the command line says, over the file, --set last. */
static int open_recipe(Recipe *recipe, const TrainOptions *o, char *message, size_t size) {
    static const char *const keys[NAMED] = {"mixer", "task", "haystack", "steps", "seed"};
    char steps[24], seed[24], *named[NAMED] = {0};
    const char *all[NAMED + MOST_ASSIGNMENTS];
    int count = 0;
    snprintf(steps, sizeof steps, "%lld", (long long)o->steps);
    snprintf(seed, sizeof seed, "%lld", (long long)o->seed);
    const char *const value[NAMED] = {o->mixer, o->task, o->haystack, o->steps ? steps : 0,
                                      o->seed >= 0 ? seed : 0};
    for (int i = 0; i < NAMED; i++)
        if (value[i]) all[count++] = named[i] = assignment(keys[i], value[i]);
    for (int i = 0; i < o->assignments; i++) all[count++] = o->assignment[i];
    const int status = recipe_open(recipe, o->config, all, count, 0, message, size);
    for (int i = 0; i < NAMED; i++) free(named[i]);
    return status;
}

/* A finished or half-finished training is not begun anew by mistake. */
static int claim_output(const TrainOptions *o, char *message, size_t size) {
    Model model;
    Progress progress;
    char unused[MESSAGE];
    const int status = files_writes(o->out, o->resume || o->force ? FILES_REPLACE : FILES_NEW, message, size);
    if (status != FILES_THERE || checkpoint_load(o->out, 0, &model, 0, 0, &progress, unused, sizeof unused))
        return status;
    snprintf(message, size, "%s holds a training of %lld steps; --resume goes on, --force starts again",
             o->out, (long long)progress.step);
    model_free(&model);
    return -1;
}

static int begin(Trainer *t, const TrainOptions *o, int writes, char *message, size_t size) {
    static Recipe recipe;
    if (o->config && files_reads(o->config, message, size)) return -1;
    if (!o->resume && open_recipe(&recipe, o, message, size)) return -1;
    if (!o->resume && *recipe.from && files_reads(recipe.from, message, size)) return -1;
    if (writes && claim_output(o, message, size)) return -1;
    return o->resume ? trainer_load(t, o->out, o->haystack, message, size)
                     : trainer_create(t, &recipe, message, size);
}

static int open_log(Tsv *log, const TrainOptions *o, int argc, char **argv, char *message, size_t size) {
    const TsvMode mode = o->resume ? TSV_RESUME : o->force ? TSV_FORCE : TSV_NEW;
    return o->log ? training_log(log, o->log, mode, argc, argv, message, size) : 0;
}

/* The same on each rank; files are written by rank 0. */
static int train(Trainer *t, const Ranks *ranks, const TrainOptions *o, int argc, char **argv, char *message,
                 size_t size) {
    Tsv log = {0};
    const int made = begin(t, o, ranks->rank == 0, message, size);
    int status = !made && ranks->rank == 0 ? open_log(&log, o, argc, argv, message, size) : made;
    status = trainer_ranks(t, ranks, status, message, size);
    if (!status) {
        const TrainingOptions training = {"titans train", o->out, &log, o->resume, 0, 0, 0};
        interrupt_catch();
        status = training_run(t, &training, message, size);
        if (status < 0 && ranks->rank == 0) fail(message);
        /* the rows are kept whatever has happened */
        if (log.path && tsv_close(&log, message, size)) status = -1, fail(message);
    } else {
        tsv_discard(&log);
        if (ranks->rank == 0) fail(message);
    }
    if (!made) trainer_free(t);
    return status;
}

static int run(int argc, char **argv) {
    static char keys[65536] =
        "Train a model and write a checkpoint. A killed run goes on with --resume and ends in the same "
        "bits.\vExamples:\n  titans train --out m.safetensors --config harness/recipe/lmm-passkey.json\n"
        "  titans train --out m.safetensors --resume\n"
        "  titans train -o b.safetensors -t text --haystack book.txt --set width=128\n\n"
        "Keys of the configuration file, each also for --set KEY=VALUE:\n";
    config_describe(keys + strlen(keys), sizeof keys - strlen(keys));
    recipe_describe(keys + strlen(keys), sizeof keys - strlen(keys));
    const struct argp argp = {options, parse, 0, keys, 0, 0, 0};
    TrainOptions o = {.seed = -1};
    static Trainer t;
    Ranks ranks;
    char message[MESSAGE];
    argp_err_exit_status = 2;
    ranks_hush(ranks_launched());
    argp_parse(&argp, argc, argv, 0, 0, &o);
    ranks_speak();
    option_threads(o.threads);
    if (ranks_begin(&ranks, message, sizeof message)) return ranks_launched() ? 0 : fail(message);
    const int status = train(&t, &ranks, &o, argc, argv, message, sizeof message);
    ranks_end(status == TREE_LOST);
    return interrupt_status(status);
}

const Command command_train = {"train", "train a model and write a checkpoint", run};
