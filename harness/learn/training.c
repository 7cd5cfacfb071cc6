#include "learn/training.h"
#include "base/dispatch.h"
#include "base/size.h"
#include "learn/evaluate.h"
#include "learn/tree.h"
#include "terminal/interrupt.h"
#include "terminal/options.h"
#include "terminal/progress.h"

#include <math.h>
#include <string.h>

enum { COLUMN_STEP = 2 }; /* of the log */

int training_log(Tsv *log, const char *path, TsvMode mode, int argc, char **argv, char *message,
                 size_t size) {
    return tsv_open(log, path, mode, argc, argv,
                    "mixer\ttask\tstep\tlength\tloss\texact_match\trate\tgradient_norm\tpenalised\t"
                    "tokens_per_s\tvalidation_loss",
                    message, size);
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
static double validate(Validation *v, const Trainer *t, int64_t length, int speaks) {
    char message[MESSAGE];
    Evaluated result = {0};
    if (!v->open) return NAN;
    const int64_t longest = task_longest(&v->t.task);
    v->options.length = length < longest ? length : longest;
    const int status = evaluate(&v->t, &v->options, 0, &result, message, sizeof message);
    if (status < 0) say("validation", message);
    if (status) return NAN;
    const double nats = score_nats(&result.sum);
    if (speaks)
        fprintf(stderr,
                "step %lld: validation loss %.4f nats, %.4f bits a byte, of %lld windows of %lld bytes\n",
                (long long)t->progress.step, nats, score_bits(&result.sum), (long long)v->options.samples,
                (long long)v->options.length);
    return nats;
}

/* ---- steps ---- */

/* A run of this process; the sums of a row that is begun lie in the trainer's progress. */
typedef struct {
    Trainer *t;
    const TrainingOptions *o;
    int speaks;
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
    int status = 0;
    if (r->o->log->file) status = tsv_save(r->o->log, r->message, r->size);
    if (!status && r->t->ranks.rank == 0) status = trainer_save(r->t, r->o->out, r->message, r->size);
    return tree_agree(&r->t->ranks, status, r->message, r->size);
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
    if (r->o->log->file)
        fprintf(r->o->log->file, "%s\t%s\t%lld\t%lld\t%.5f\t%.4f\t%.3e\t%.4f\t%d\t%.0f\t%s\n",
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
    const int status = trainer_step(t, &step, r->message, r->size);
    if (status) return status;
    t->progress.row_loss += step.loss;
    t->progress.row_match += step.match;
    t->progress.row_steps++;
    r->tokens += step.tokens;
    if (r->speaks) show(r, &step);
    if (r->o->after) r->o->after(r->o->context, t);
    const int due = t->progress.step % t->recipe.save_every == 0, last = t->progress.step == t->steps;
    if (r->validation.open && (due || last)) {
        progress_end(&r->progress);
        r->validated = validate(&r->validation, t, step.length, r->speaks);
    }
    write_row(r, &step);
    return due && !last ? save(r) : 0;
}

/* A signal to any rank stops all of them at the same step. */
static int stopped(Training *r, int64_t *number) {
    *number = interrupt_number();
    if (tree_most(&r->t->ranks, number, r->message, r->size)) return TREE_LOST;
    if (*number) interrupt_share((int)*number);
    return 0;
}

static void show_end(const Training *r) {
    const Trainer *t = r->t;
    if (t->progress.step < t->steps) {
        fprintf(stderr, "%s: stopped at step %lld of %lld; go on with --resume\n", r->o->who,
                (long long)t->progress.step, (long long)t->steps);
        return;
    }
    fprintf(stderr, "trained %lld steps, %.0f tokens/s", (long long)(t->steps - r->first),
            (double)r->tokens / (seconds_now() - r->began));
    if (!is_text(t)) fprintf(stderr, ", recent exact match %.3f", t->progress.match);
    fputc('\n', stderr);
}

/* Steps until done, saving on the way. What was trained, and the log's rows, are kept at an interrupt. */
static int loop(Training *r) {
    Trainer *t = r->t;
    r->first = t->progress.step;
    r->began = seconds_now();
    r->validated = NAN;
    const int64_t left = curriculum_tokens(t->recipe.curriculum, t->progress.step, t->steps);
    progress_begin(&r->progress, "train", "tokens", size_times(t->recipe.batch, left));
    int64_t signal = 0;
    int status = stopped(r, &signal);
    while (!status && !signal && t->progress.step < t->steps) {
        status = one_step(r);
        if (!status) status = stopped(r, &signal);
    }
    progress_end(&r->progress);
    if (!status) status = save(r);
    if (status) return status;
    if (r->speaks) show_end(r);
    return t->progress.step < t->steps;
}

static void show_begin(const Trainer *t) {
    char among[64] = "";
    const TaskData data = task_data(&t->task);
    if (t->ranks.count > 1) snprintf(among, sizeof among, ", %d ranks", t->ranks.count);
    fprintf(stderr, "%s on %s: %lld weights, %lld steps, %s kernels%s\n", t->model.mixer->name,
            t->recipe.task_name, (long long)t->model.list.floats, (long long)t->steps, kernel->isa, among);
    if (*t->recipe.from)
        fprintf(stderr, "model and weights of %s; other keys of the model are not used\n", t->recipe.from);
    say_source("prose", data.prose_origin, data.prose, "");
    say_source("words", data.words_origin, data.words, "");
}

int training_run(Trainer *t, const TrainingOptions *o, char *message, size_t size) {
    static Training r;
    r = (Training){
        .t = t, .o = o, .speaks = !o->quiet && t->ranks.rank == 0, .message = message, .size = size};
    if (r.speaks) show_begin(t);
    if (o->log->file && o->resumed) tsv_keep(o->log, COLUMN_STEP, (double)t->progress.step);
    int status = t->ranks.rank == 0 ? validation_open(&r.validation, t, message, size) : 0;
    status = tree_agree(&t->ranks, status, message, size);
    if (!status) status = loop(&r);
    if (r.validation.open) task_close(&r.validation.t.task);
    return status;
}
