#include "command/command.h"
#include "terminal/interrupt.h"
#include "terminal/options.h"
#include "terminal/progress.h"
#include "terminal/files.h"
#include "learn/evaluate.h"
#include "learn/trainer.h"
#include "terminal/tsv.h"
#include "base/check.h"
#include "base/size.h"

#include <argp.h>
#include <math.h>
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

static int begin(Trainer *t, const TrainOptions *o, char *message, size_t size) {
    static Recipe recipe;
    if (o->config && files_reads(o->config, message, size)) return -1;
    if (!o->resume && open_recipe(&recipe, o, message, size)) return -1;
    if (!o->resume && *recipe.from && files_reads(recipe.from, message, size)) return -1;
    if (claim_output(o, message, size)) return -1;
    return o->resume ? trainer_load(t, o->out, o->haystack, message, size)
                     : trainer_create(t, &recipe, message, size);
}

/* ---- what is held out ---- */

/* The model in training, asked the task's held-out part. */
typedef struct {
    Trained t;
    EvaluateOptions options;
    int open;
} Validation;

static int validation_open(Validation *v, Trainer *t, char *message, size_t size) {
    enum { WINDOWS = 8 };
    const Task *task = t->recipe.task;
    v->open = 0;
    if (!task->held) return 0;
    v->t = (Trained){.model = t->model, .recipe = t->recipe};
    v->t.library = library_model(&v->t.model);
    v->t.recipe.task = task_find(task->held);
    v->options =
        (EvaluateOptions){.seed = 1, .samples = WINDOWS, .batch = WINDOWS, .depth = -1.0, .quiet = 1};
    if (task_open(&v->t.task, v->t.recipe.task, t->recipe.task_options, message, size)) return -1;
    v->open = 1;
    return 0;
}

/* Nats a byte of the held-out part, NAN where there is none. */
static double validate(Validation *v, const Trainer *t, int64_t length) {
    char message[MESSAGE];
    Evaluated result = {0};
    if (!v->open) return NAN;
    const int64_t longest = task_longest(&v->t.task);
    v->options.length = length < longest ? length : longest;
    const int status = evaluate(&v->t, &v->options, 0, &result, message, sizeof message);
    if (status < 0) say("titans train: validation", message);
    if (status) return NAN;
    const double nats = score_nats(&result.sum);
    fprintf(stderr, "step %lld: validation loss %.4f nats, %.4f bits a byte, of %lld windows of %lld bytes\n",
            (long long)t->progress.step, nats, score_bits(&result.sum), (long long)v->options.samples,
            (long long)v->options.length);
    return nats;
}

/* ---- steps ---- */

/* A run of this process; the sums of a row that is begun lie in the trainer's progress. */
typedef struct {
    Trainer *t;
    const TrainOptions *o;
    Tsv *log;
    Validation validation;
    ProgressLine progress;
    double began, validated;
    int64_t tokens, first;
    char *message;
    size_t size;
} Training;

static int is_text(const Trainer *t) { return t->recipe.task->metric == METRIC_LOSS; }

/* The log first: rows beyond the checkpoint's step are dropped by --resume, missing ones could not be made again. */
static int save(Training *r) {
    if (r->log->file && tsv_save(r->log, r->message, r->size)) return -1;
    return trainer_save(r->t, r->o->out, r->message, r->size);
}

static void show(Training *r, const StepReport *step) {
    char note[160], judged[64] = "";
    if (!is_text(r->t)) snprintf(judged, sizeof judged, " match %.3f", r->t->progress.match);
    snprintf(note, sizeof note, "step %lld/%lld length %lld loss %.4f%s", (long long)r->t->progress.step,
             (long long)r->t->steps, (long long)step->length, step->loss, judged);
    progress_update(&r->progress, r->tokens, note);
}

/* A row every tenth step. */
static void write_row(Training *r, const StepReport *step) {
    const Trainer *t = r->t;
    Progress *p = &r->t->progress;
    char validation[32] = "-";
    if (t->progress.step % 10 && t->progress.step != t->steps) return;
    if (isfinite(r->validated)) snprintf(validation, sizeof validation, "%.5f", r->validated);
    if (r->log->file)
        fprintf(r->log->file, "%s\t%s\t%lld\t%lld\t%.5f\t%.4f\t%.3e\t%.4f\t%d\t%.0f\t%s\n",
                t->model.mixer->name, t->recipe.task_name, (long long)t->progress.step,
                (long long)step->length, p->row_loss / (double)p->row_steps,
                p->row_match / (double)p->row_steps, step->rate, step->gradient, (int)t->progress.penalised,
                (double)r->tokens / (seconds_now() - r->began), validation);
    p->row_loss = p->row_match = 0.0;
    p->row_steps = 0;
    r->validated = NAN;
}

static int one_step(Training *r) {
    StepReport step;
    Trainer *t = r->t;
    if (trainer_step(t, &step, r->message, r->size)) return -1;
    t->progress.row_loss += step.loss;
    t->progress.row_match += step.match;
    t->progress.row_steps++;
    r->tokens += step.tokens;
    show(r, &step);
    const int due = t->progress.step % t->recipe.save_every == 0, last = t->progress.step == t->steps;
    if (r->validation.open && (due || last)) {
        progress_end(&r->progress);
        r->validated = validate(&r->validation, t, step.length);
    }
    write_row(r, &step);
    return due && !last ? save(r) : 0;
}

/* Steps until done, saving on the way. What was trained, and the log's rows, are kept at an interrupt. */
static int loop(Training *r) {
    Trainer *t = r->t;
    r->first = t->progress.step;
    r->began = seconds_now();
    r->validated = NAN;
    const int64_t left = curriculum_tokens(t->recipe.curriculum, t->progress.step, t->steps);
    progress_begin(&r->progress, "train", "tokens", size_times(t->recipe.batch, left));
    int status = 0;
    while (!status && t->progress.step < t->steps && !interrupt_requested()) status = one_step(r);
    progress_end(&r->progress);
    if (!status) status = save(r);
    if (status) return -1;
    if (t->progress.step < t->steps) {
        fprintf(stderr, "titans train: stopped at step %lld of %lld; go on with --resume\n",
                (long long)t->progress.step, (long long)t->steps);
        return 1;
    }
    fprintf(stderr, "trained %lld steps, %.0f tokens/s", (long long)(t->steps - r->first),
            (double)r->tokens / (seconds_now() - r->began));
    if (!is_text(t)) fprintf(stderr, ", recent exact match %.3f", t->progress.match);
    fputc('\n', stderr);
    return 0;
}

static int train(Trainer *t, const TrainOptions *o, Tsv *log, char *message, size_t size) {
    static Training r;
    r = (Training){.t = t, .o = o, .log = log, .message = message, .size = size};
    const char *origin = task_data(&t->task).origin;
    fprintf(stderr, "%s on %s: %lld weights, %lld steps, %s kernels\n", t->model.mixer->name,
            t->recipe.task_name, (long long)t->model.list.floats, (long long)t->steps, kernel->isa);
    if (*t->recipe.from)
        fprintf(stderr, "model and weights of %s; other keys of the model are not used\n", t->recipe.from);
    if (origin) say_prose("", origin, "");
    if (log->file && o->resume) tsv_keep(log, COLUMN_STEP, (double)t->progress.step);
    if (validation_open(&r.validation, t, message, size)) return -1;
    const int status = loop(&r);
    if (r.validation.open) task_close(&r.validation.t.task);
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
    char message[MESSAGE];
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.threads);
    static Trainer t;
    Tsv log = {0};
    int status = begin(&t, &o, message, sizeof message);
    if (status) return fail(message);
    if (o.log)
        status = tsv_open(&log, o.log,
                          o.resume  ? TSV_RESUME
                          : o.force ? TSV_FORCE
                                    : TSV_NEW,
                          argc, argv,
                          "mixer\ttask\tstep\tlength\tloss\texact_match\trate\tgradient_norm\tpenalised\t"
                          "tokens_per_s\tvalidation_loss",
                          message, sizeof message);
    if (!status) {
        interrupt_catch();
        status = train(&t, &o, &log, message, sizeof message);
        if (status < 0) fail(message);
        /* the rows are kept whatever has happened */
        if (log.file && tsv_close(&log, message, sizeof message)) status = -1, fail(message);
    } else
        fail(message);
    trainer_free(&t);
    return interrupt_status(status);
}

const Command command_train = {"train", "train a model and write a checkpoint", run};
