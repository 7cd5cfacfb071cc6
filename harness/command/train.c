#include "command/command.h"
#include "terminal/interrupt.h"
#include "terminal/options.h"
#include "terminal/progress.h"
#include "learn/trainer.h"
#include "terminal/tsv.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ASSIGNMENTS = 32, ASSIGNMENT = 1200 };
typedef struct {
    const char *mixer, *task, *config, *out, *log, *haystack;
    int64_t steps, seed, threads;
    int resume, assignments;
    const char *assignment[MOST_ASSIGNMENTS + 8];
} TrainOptions;

enum { OPTION_RESUME = 256, OPTION_LOG, OPTION_HAYSTACK, OPTION_SET };
enum { COLUMN_STEP = 2 }; /* of the log */
static const struct argp_option options[] = {
    {"mixer", 'm', "M", 0, "sequence mixer", 0},
    {"task", 't', "T", 0, "task to train on", 0},
    {"config", 'c', "FILE", 0, "JSON with the keys listed below", 0},
    {"set", OPTION_SET, "KEY=VALUE", 0, "one key over the configuration; may be repeated", 0},
    {"out", 'o', "FILE", 0, "checkpoint to write (safetensors)", 0},
    {"steps", 'n', "N", 0, "optimizer steps; the curriculum is scaled to them", 0},
    {"seed", 's', "S", 0, "seed of weights and samples", 0},
    {"threads", 'k', "K", 0, "threads (changes no bit of the result)", 0},
    {"haystack", OPTION_HAYSTACK, "FILE", 0, "text of the haystack, for tasks that take one", 0},
    {"resume", OPTION_RESUME, 0, 0, "go on from FILE of --out where it stopped", 0},
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
        o->threads = option_integer("threads", arg, 1, 4096);
        break;
    case OPTION_SET:
        if (o->assignments == MOST_ASSIGNMENTS)
            argp_error(state, "more than %d times --set", MOST_ASSIGNMENTS);
        o->assignment[o->assignments++] = arg;
        break;
    case OPTION_RESUME:
        o->resume = 1;
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
            (o->mixer || o->task || o->config || o->steps || o->seed >= 0 || o->haystack || o->assignments))
            argp_error(state,
                       "--resume goes on with what the checkpoint says; only --log and --threads go with it");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int fail(const char *message) {
    fprintf(stderr, "titans train: %s\n", message);
    return 1;
}

static void assign(TrainOptions *o, char text[ASSIGNMENT], const char *key, const char *value) {
    snprintf(text, ASSIGNMENT, "%s=%s", key, value);
    o->assignment[o->assignments++] = text;
}

/* What the command line says, over the file, --set last. */
static int begin(Trainer *t, const TrainOptions *o, char *message, size_t size) {
    enum { NAMED = 5 };
    static const char *const keys[NAMED] = {"mixer", "task", "haystack", "steps", "seed"};
    char steps[24], seed[24], text[NAMED][ASSIGNMENT];
    TrainOptions all = *o;
    static Recipe recipe;
    if (o->resume) return trainer_load(t, o->out, message, size);
    snprintf(steps, sizeof steps, "%lld", (long long)o->steps);
    snprintf(seed, sizeof seed, "%lld", (long long)o->seed);
    const char *const value[NAMED] = {o->mixer, o->task, o->haystack, o->steps ? steps : 0,
                                      o->seed >= 0 ? seed : 0};
    all.assignments = 0;
    for (int i = 0; i < NAMED; i++)
        if (value[i]) assign(&all, text[i], keys[i], value[i]);
    for (int i = 0; i < o->assignments; i++) all.assignment[all.assignments++] = o->assignment[i];
    if (recipe_open(&recipe, o->config, all.assignment, all.assignments, 0, message, size)) return -1;
    return trainer_create(t, &recipe, message, size);
}

static int finish(Trainer *t, Tsv *log, const char *path, char *message, size_t size) {
    if (trainer_save(t, path, message, size)) return fail(message);
    const int failed = log->file && tsv_close(log, message, size);
    log->file = 0;
    return failed ? fail(message) : 0;
}

/* Ctrl-C: what was trained is kept. The log's rows would be lost with the process, so it is written too. */
static int interrupted(Trainer *t, Tsv *log, const char *path, char *message, size_t size) {
    if (finish(t, log, path, message, size)) return 1;
    fprintf(stderr, "titans train: stopped at step %lld of %lld; go on with --resume\n",
            (long long)t->progress.step, (long long)t->steps);
    return 1;
}

/* Steps until done, saving on the way; the log holds a row every tenth step. */
static int loop(Trainer *t, const TrainOptions *o, Tsv *log, char *message, size_t size) {
    ProgressLine progress;
    StepReport r;
    double loss = 0.0, match = 0.0, began = seconds_now();
    int64_t tokens = 0, since = 0;
    progress_begin(&progress, "train", t->steps - t->progress.step);
    const int64_t first = t->progress.step;
    while (t->progress.step < t->steps) {
        if (trainer_step(t, &r, message, size)) return fail(message);
        loss += r.loss;
        match += r.match;
        tokens += r.tokens;
        since++;
        char note[96];
        snprintf(note, sizeof note, "length %lld loss %.4f match %.3f", (long long)r.length, r.loss,
                 t->progress.match);
        progress_update(&progress, t->progress.step - first, "steps", 1.0, note);
        if (log->file && (t->progress.step % 10 == 0 || t->progress.step == t->steps)) {
            fprintf(log->file, "%s\t%s\t%lld\t%lld\t%.5f\t%.4f\t%.3e\t%.4f\t%d\t%.0f\n", t->model.mixer->name,
                    t->recipe.task_name, (long long)t->progress.step, (long long)r.length,
                    loss / (double)since, match / (double)since, r.rate, r.gradient,
                    (int)t->progress.penalised, (double)tokens / (seconds_now() - began));
            loss = match = 0.0;
            since = 0;
        }
        if (t->progress.step % t->recipe.save_every == 0 && trainer_save(t, o->out, message, size))
            return fail(message);
        if (interrupt_requested() && t->progress.step < t->steps)
            return interrupted(t, log, o->out, message, size);
    }
    progress_end(&progress);
    fprintf(stderr, "trained %lld steps, %.0f tokens/s, recent exact match %.3f\n",
            (long long)(t->steps - first), (double)tokens / (seconds_now() - began), t->progress.match);
    return finish(t, log, o->out, message, size);
}

static int run(int argc, char **argv) {
    static char keys[32768] =
        "Train a model and write a checkpoint. A killed run goes on with --resume and ends in the same "
        "bits.\vKeys of the configuration file:\n";
    config_describe(keys + strlen(keys), sizeof keys - strlen(keys));
    recipe_describe(keys + strlen(keys), sizeof keys - strlen(keys));
    const struct argp argp = {options, parse, 0, keys, 0, 0, 0};
    TrainOptions o = {.seed = -1};
    char message[1024], command[1024];
    tsv_command(command, sizeof command, argc, argv);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.threads);
    Trainer t;
    Tsv log = {0};
    if (begin(&t, &o, message, sizeof message)) return fail(message);
    int status =
        o.log && tsv_open(&log, o.log, command,
                          "mixer\ttask\tstep\tlength\tloss\texact_match\trate\tgradient_norm\tpenalised\t"
                          "tokens_per_s",
                          message, sizeof message)
            ? fail(message)
            : 0;
    if (!status) {
        fprintf(stderr, "%s on %s: %lld weights, %lld steps, %s kernels\n", t.model.mixer->name,
                t.recipe.task_name, (long long)t.model.list.floats, (long long)t.steps, kernel->isa);
        if (*t.recipe.from)
            fprintf(stderr, "model and weights of %s; other keys of the model are not used\n", t.recipe.from);
        if (task_about(&t.task)) fprintf(stderr, "prose: %s\n", task_about(&t.task));
        if (log.file && o.resume) tsv_keep(&log, COLUMN_STEP, (double)t.progress.step);
        interrupt_catch();
        status = loop(&t, &o, &log, message, sizeof message);
        if (status) tsv_discard(&log);
    }
    trainer_free(&t);
    return status;
}

const Command command_train = {"train", "train a model and write a checkpoint", run};
