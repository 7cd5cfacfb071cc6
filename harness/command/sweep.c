#include "bench/shared/ask.h"
#include "command/command.h"
#include "learn/sweep.h"
#include "learn/training.h"
#include "learn/tree.h"
#include "terminal/files.h"
#include "terminal/interrupt.h"
#include "terminal/options.h"
#include "terminal/progress.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PROCESSES = 256, NAP_MILLISECONDS = 200 };
typedef struct {
    const char *file, *folder, *models;
    int64_t processes, threads, limit;
} SweepOptions;

enum { OPTION_FOLDER = 256, OPTION_MODELS, OPTION_LIMIT };
static const struct argp_option options[] = {
    {"folder", OPTION_FOLDER, "FOLDER", 0, "where everything goes, in place of the file's", 0},
    {"models", OPTION_MODELS, "FOLDER", 0, "train nothing: ask the models of this folder", 0},
    {"limit", OPTION_LIMIT, "N", 0, "ask no longer sequences than N tokens (K, M suffixes)", 0},
    {"jobs", 'j', "K", 0, "processes on this machine (1)", 0},
    {"threads", 'k', "K", 0, "threads of each (1; changes no bit of the result)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    SweepOptions *o = state->input;
    switch (key) {
    case OPTION_FOLDER:
        o->folder = arg;
        break;
    case OPTION_MODELS:
        o->models = arg;
        break;
    case OPTION_LIMIT:
        o->limit = option_integer("limit", arg, 1, (int64_t)1 << 40);
        break;
    case 'j':
        o->processes = option_integer("jobs", arg, 1, MOST_PROCESSES);
        break;
    case 'k':
        o->threads = option_integer("threads", arg, 1, 1024);
        break;
    case ARGP_KEY_ARG:
        if (o->file) argp_error(state, "more than one file: '%s'", arg);
        o->file = arg;
        break;
    case ARGP_KEY_END:
        if (!o->file) argp_error(state, "which sweep? a FILE is missing");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static double clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- one process at work ---- */

typedef struct {
    Sweep sweep;
    Ask ask;
    int trains; /* 0: the models are there */
    int leads;  /* shows how far all are, waits for the others, prints the table */
    int argc;
    char **argv;
    double began; /* as claims are dated */
    ProgressLine progress;
    /* of the job at hand */
    SweepJob *job;
    const char *name;
    int claim;
    int64_t asked; /* tokens */
    SweepClaim before;
    double started, told;
} Worker;

/* A line of its own, though the terminal may hold the leader's. */
static void announce(Worker *w, const char *name, const char *text) {
    progress_end(&w->progress);
    if (!w->leads && isatty(STDERR_FILENO)) fputc('\n', stderr);
    say(name, text);
}

/* Tokens of everything. One that is trained costs as much as three that are asked: once forward, twice backward. */
enum { TRAINING_TOKENS = 3 };
static int64_t whole_total(const Worker *w) {
    int64_t total = 0;
    for (int i = 0; w->trains && i < w->sweep.count; i++)
        total += TRAINING_TOKENS * sweep_tokens(&w->sweep.jobs[i], w->sweep.jobs[i].steps);
    for (int i = 0; i < w->ask.count; i++) total += w->ask.jobs[i].tokens;
    return total;
}

/* Tokens that are done, by what the claims say, and how many models are trained to the end. */
static int64_t whole_done(const Worker *w, int *trained) {
    int64_t tokens = 0;
    *trained = 0;
    for (int i = 0; w->trains && i < w->sweep.count; i++) {
        const SweepJob *job = &w->sweep.jobs[i];
        const int64_t step = sweep_claim(job->claim).step;
        tokens += TRAINING_TOKENS * sweep_tokens(job, step < job->steps ? step : job->steps);
        *trained += step >= job->steps;
    }
    for (int i = 0; i < w->ask.count; i++) {
        const AskJob *job = &w->ask.jobs[i];
        const int64_t asked = sweep_claim(job->claim).step;
        tokens += asked < job->tokens ? asked : job->tokens;
    }
    return tokens;
}

static void begin_whole(Worker *w) {
    int trained;
    progress_begin(&w->progress, "sweep", "tokens", whole_total(w));
    w->progress.skipped = whole_done(w, &trained);
}

static void show_whole(Worker *w) {
    char note[64] = "";
    int trained;
    const int64_t tokens = whole_done(w, &trained);
    if (w->trains) snprintf(note, sizeof note, "%d of %d trained", trained, w->sweep.count);
    progress_update(&w->progress, tokens, note);
}

static SweepClaim claim_now(const Worker *w, int64_t step, int failed) {
    return (SweepClaim){step, w->before.seconds + seconds_now() - w->started, failed, 0.0};
}

/* After every step: once a second the claim is told how far the job is. */
static void after_step(void *context, const Trainer *t) {
    Worker *w = context;
    const double now = seconds_now();
    if (now - w->told < 1.0) return;
    w->told = now;
    const SweepClaim claim = claim_now(w, t->progress.step, 0);
    sweep_tell(w->claim, &claim);
    if (w->leads) show_whole(w);
}

/* 0 trained to the end, 1 stopped, -1 with a message. */
static int job_train(Worker *w, int64_t steps, char *message, size_t size) {
    static Trainer t;
    SweepJob *job = w->job;
    Tsv log = {0};
    const TrainingOptions training = {"titans sweep", job->checkpoint, &log, steps > 0, 1, after_step, w};
    if (files_writes(job->checkpoint, FILES_REPLACE, message, size)) return -1;
    if (steps > 0 ? trainer_load(&t, job->checkpoint, 0, message, size)
                  : trainer_create(&t, &job->recipe, message, size))
        return -1;
    int status =
        training_log(&log, job->log, steps > 0 ? TSV_RESUME : TSV_FORCE, w->argc, w->argv, message, size);
    if (!status) {
        status = training_run(&t, &training, message, size);
        if (log.path && tsv_close(&log, message, size)) status = -1;
    }
    trainer_free(&t);
    return status;
}

static void announce_end(Worker *w, int status, int64_t step, const char *message) {
    char text[MESSAGE + 128];
    const SweepJob *job = w->job;
    const double seconds = claim_now(w, 0, 0).seconds;
    double loss = NAN, match = NAN;
    if (status < 0)
        snprintf(text, sizeof text, "failed: %s", message);
    else if (status)
        snprintf(text, sizeof text, "stopped at step %lld of %lld", (long long)step, (long long)job->steps);
    else if (sweep_last_row(job, &loss, &match))
        snprintf(text, sizeof text, "trained %lld steps, %.0f s", (long long)job->steps, seconds);
    else
        snprintf(text, sizeof text, "trained %lld steps, %.0f s, loss %.4f, exact match %.3f",
                 (long long)job->steps, seconds, loss, match);
    announce(w, job->name, text);
}

/* The job that w has taken: trained to its end, unless it is there already. */
static void job_work(Worker *w, char *message, size_t size) {
    SweepJob *job = w->job;
    w->before = sweep_claim(job->claim);
    w->started = w->told = seconds_now();
    const int64_t steps = sweep_steps(job, message, size);
    if (steps == job->steps) {
        const SweepClaim done = {steps, w->before.seconds, 0, 0.0};
        if (w->before.step != steps) sweep_tell(w->claim, &done);
        job->done = 1;
        return;
    }
    const int known = files_known(), status = steps < 0 ? -1 : job_train(w, steps, message, size);
    files_forget(known);
    char unused[MESSAGE];
    const int64_t now = sweep_steps(job, unused, sizeof unused);
    const SweepClaim claim = claim_now(w, now > 0 ? now : 0, status < 0);
    sweep_tell(w->claim, &claim);
    job->failed = status < 0;
    job->done = status == 0;
    announce_end(w, status, claim.step, message);
}

/* Done, or failed already: here, or in another process of this run. */
static int is_settled(const Worker *w, int done, int failed, const char *claim) {
    const SweepClaim c = sweep_claim(claim);
    return done || failed || (c.failed && c.written > w->began);
}

/* A claim that is free is w's. SWEEP_BUSY, or -1 when it cannot be had, which is said. */
static int take(Worker *w, const char *name, const char *claim) {
    char message[MESSAGE];
    w->claim = sweep_take(claim, message, sizeof message);
    if (w->claim >= 0 || w->claim == SWEEP_BUSY) return w->claim;
    announce(w, name, message);
    return -1;
}

/* Takes every training that is free, in order; returns how many others are at work on. */
static int train_through(Worker *w) {
    char message[MESSAGE];
    int busy = 0;
    for (int i = 0; w->trains && i < w->sweep.count && !interrupt_requested(); i++) {
        SweepJob *job = w->job = &w->sweep.jobs[i];
        if (is_settled(w, job->done, job->failed, job->claim)) continue;
        const int taken = take(w, job->name, job->claim);
        busy += taken == SWEEP_BUSY;
        job->failed = taken == -1;
        if (taken < 0) continue;
        job_work(w, message, sizeof message);
        close(w->claim);
    }
    return busy;
}

/* After every length. */
static void after_length(void *context, const char *line, int64_t tokens) {
    Worker *w = context;
    w->asked += tokens;
    announce(w, w->name, line);
    const SweepClaim claim = claim_now(w, w->asked, 0);
    sweep_tell(w->claim, &claim);
    if (w->leads) show_whole(w);
}

/* The questions that w has taken, those that have no answer yet. */
static void ask_work(Worker *w, AskJob *job) {
    char message[MESSAGE], text[MESSAGE + 128];
    w->name = job->model->name;
    w->before = sweep_claim(job->claim);
    w->started = seconds_now();
    w->asked = 0;
    const int known = files_known(),
              status = ask_run(job, w->argc, w->argv, after_length, w, message, sizeof message);
    files_forget(known);
    job->done = status == 0;
    job->failed = status < 0;
    const SweepClaim claim = claim_now(w, job->done ? job->tokens : w->asked, job->failed);
    sweep_tell(w->claim, &claim);
    if (status < 0) {
        snprintf(text, sizeof text, "asked for table %s: failed: %s", job->entry->table, message);
        announce(w, w->name, text);
    }
}

/* 1: the model is there; 0: not yet; -1: it will not be. */
static int model_is_there(const Worker *w, SweepJob *model) {
    char unused[MESSAGE];
    if (!w->trains) return access(model->checkpoint, R_OK) ? -1 : 1;
    if (!model->done && !model->failed) {
        const int64_t steps = sweep_steps(model, unused, sizeof unused);
        model->done = steps == model->steps;
        model->failed = steps < 0;
    }
    return model->done ? 1 : is_settled(w, 0, model->failed, model->claim) ? -1 : 0;
}

/* Asks whatever is free and has a model; returns how many others ask, or wait for theirs. */
static int ask_through(Worker *w) {
    int waiting = 0;
    for (int i = 0; i < w->ask.count && !interrupt_requested(); i++) {
        AskJob *job = &w->ask.jobs[i];
        if (is_settled(w, job->done, job->failed, job->claim)) continue;
        const int there = model_is_there(w, &w->sweep.jobs[job->model - w->sweep.jobs]);
        waiting += !there;
        if (there < 0) job->done = 1; /* it was said when the model failed */
        if (there <= 0) continue;
        const int taken = take(w, job->model->name, job->claim);
        waiting += taken == SWEEP_BUSY;
        job->failed = taken == -1;
        if (taken < 0) continue;
        ask_work(w, job);
        close(w->claim);
    }
    return waiting;
}

/* The leader stays until nobody is at work: what a process that died had taken is free again, and is done here. The others
 * stay as long as there may be something to ask. */
static void work(Worker *w) {
    begin_whole(w);
    for (;;) {
        const int busy = train_through(w), waiting = ask_through(w);
        if (interrupt_requested() || !(w->leads ? busy + waiting : waiting)) break;
        if (w->leads) show_whole(w);
        nanosleep(&(struct timespec){0, NAP_MILLISECONDS * 1000000L}, 0);
    }
    progress_end(&w->progress);
}

/* ---- the table ---- */

static void row_texts(const SweepJob *job, const SweepClaim *c, int64_t steps, char status[24], char loss[32],
                      char match[32]) {
    double number[2];
    const int failed = steps < 0 || job->failed || c->failed;
    snprintf(status, 24, "%s",
             steps == job->steps ? "done"
             : failed            ? "failed"
             : steps             ? "begun"
                                 : "waiting");
    snprintf(loss, 32, "-");
    snprintf(match, 32, "-");
    if (steps <= 0 || sweep_last_row(job, &number[0], &number[1])) return;
    snprintf(loss, 32, "%.5f", number[0]);
    if (job->recipe.task->metric != METRIC_LOSS) snprintf(match, 32, "%.4f", number[1]);
}

/* Prints the table of what was trained and leaves it in the folder. The number that failed, -1 with a message. */
static int print_table(Worker *w, char *message, size_t size) {
    static const char columns[] = "recipe\tseed\tstatus\tsteps\tseconds\tloss\texact_match";
    char *path = malloc(strlen(w->sweep.folder) + sizeof "/sweep.tsv"), unused[MESSAGE];
    int failed = 0;
    Tsv table;
    if (!path) return snprintf(message, size, "no memory"), -1;
    sprintf(path, "%s/sweep.tsv", w->sweep.folder);
    const int status = tsv_open(&table, path, TSV_FORCE, w->argc, w->argv, columns, message, size);
    free(path);
    if (status) return -1;
    printf("%-32s %6s %-8s %9s %8s %9s %6s\n", "recipe", "seed", "status", "steps", "seconds", "loss",
           "match");
    for (int i = 0; i < w->sweep.count; i++) {
        const SweepJob *job = &w->sweep.jobs[i];
        const SweepClaim c = sweep_claim(job->claim);
        const int64_t steps = sweep_steps(job, unused, sizeof unused), done = steps > 0 ? steps : 0;
        const int name = (int)(strrchr(job->name, '-') - job->name);
        char state[24], loss[32], match[32];
        row_texts(job, &c, steps, state, loss, match);
        failed += !strcmp(state, "failed");
        printf("%-32.*s %6lld %-8s %9lld %8.1f %9s %6s\n", name, job->name, (long long)job->recipe.seed,
               state, (long long)done, c.seconds, loss, match);
        fprintf(table.file, "%.*s\t%lld\t%s\t%lld\t%.1f\t%s\t%s\n", name, job->name,
                (long long)job->recipe.seed, state, (long long)done, c.seconds, loss, match);
    }
    return tsv_close(&table, message, size) ? -1 : failed;
}

/* ---- processes ---- */

/* Others that do the same; in them, 1 is returned. They end when this process does. */
static int start_others(Worker *w, pid_t *others, int64_t count) {
    const pid_t parent = getpid();
    for (int64_t i = 0; i < count; i++) {
        others[i] = fork();
        if (others[i] < 0) fprintf(stderr, "titans sweep: no further process: %s\n", strerror(errno));
        if (others[i]) continue;
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        w->leads = 0;
        if (getppid() != parent) _exit(0);
        return 1;
    }
    return 0;
}

static void end_others(const pid_t *others, int64_t count) {
    int status;
    for (int64_t i = 0; i < count; i++) {
        if (others[i] <= 0) continue;
        if (interrupt_requested()) kill(others[i], SIGTERM);
        if (waitpid(others[i], &status, 0) == others[i] && WIFSIGNALED(status))
            fprintf(stderr, "titans sweep: process %d was ended by signal %d; its job was free again\n",
                    (int)others[i], WTERMSIG(status));
    }
}

/* The tables of what was trained and of what was asked. The number of jobs that failed. */
static int leave_tables(Worker *w) {
    char message[MESSAGE];
    const int failed = w->trains ? print_table(w, message, sizeof message) : 0;
    int asked_failed = 0;
    if (failed < 0) say("titans sweep", message);
    if (failed > 0) fprintf(stderr, "titans sweep: %d of %d failed\n", failed, w->sweep.count);
    for (int i = 0; i < w->ask.count; i++)
        asked_failed += w->ask.jobs[i].failed || sweep_claim(w->ask.jobs[i].claim).failed;
    if (asked_failed)
        fprintf(stderr, "titans sweep: %d of %d could not be asked\n", asked_failed, w->ask.count);
    const int status = ask_gather(&w->ask, w->sweep.folder, w->argc, w->argv, message, sizeof message);
    if (status) say("titans sweep", message);
    return failed || asked_failed || status;
}

static int sweep(Worker *w, const SweepOptions *o) {
    pid_t others[MOST_PROCESSES] = {0};
    interrupt_catch();
    const int child = start_others(w, others, o->processes - 1);
    work(w);
    if (child) return 0;
    end_others(others, o->processes - 1);
    if (!w->leads) return 0;
    return leave_tables(w) || interrupt_requested();
}

/* The file, and the models that are there already; 0, or -1 with a message. */
static int open_all(Worker *w, const SweepOptions *o, char *message, size_t size) {
    if (files_reads(o->file, message, size) || sweep_open(&w->sweep, o->file, o->folder, message, size) ||
        (o->models && sweep_models(&w->sweep, o->models, message, size)) ||
        ask_open(&w->ask, o->file, &w->sweep, o->limit, message, size))
        return -1;
    for (int i = 0; o->models && w->leads && i < w->sweep.count; i++)
        if (access(w->sweep.jobs[i].checkpoint, R_OK))
            fprintf(stderr, "titans sweep: there is no %s: it is not asked\n", w->sweep.jobs[i].checkpoint);
    return 0;
}

static int run(int argc, char **argv) {
    static const char about[] =
        "Train every recipe with every seed, once, and ask the models. What is done is kept, what was "
        "stopped or killed goes on.\v"
        "FILE is JSON, paths are seen from here:\n"
        "  {\"recipes\": [\"harness/recipe/lmm-passkey.json\",\n"
        "               {\"recipe\": \"harness/recipe/lmm-passkey.json\", \"name\": \"wide\",\n"
        "                \"set\": {\"width\": 96}, \"seeds\": [0]}],\n"
        "   \"seeds\": [0, 1, 2], \"folder\": \"out\", \"set\": {\"steps\": 500},\n"
        "   \"ask\": [{\"table\": \"needle\", \"lengths\": \"256,4K\", \"samples\": 40}]}\n\n"
        "An entry of \"ask\" has the options of `titans bench needle` as keys, and \"models\": patterns of "
        "names. Its rows come into FOLDER/TABLE.tsv.\n\n"
        "Several processes share a sweep: --jobs, or any number of this command on machines that see the "
        "folder, "
        "started by hand, by mpirun or by Slurm. The first prints the table, also FOLDER/sweep.tsv.\n\n"
        "Examples:\n  titans sweep sweep.json --jobs 4\n  mpirun -n 16 titans sweep sweep.json\n"
        "  titans sweep harness/experiment/passkey.json --models results/checkpoints \\\n"
        "    --folder out --limit 4K\n";
    const struct argp argp = {options, parse, "FILE", about, 0, 0, 0};
    SweepOptions o = {.processes = 1, .threads = 1, .limit = INT64_MAX};
    char message[MESSAGE];
    static Worker w;
    argp_err_exit_status = 2;
    ranks_hush(ranks_place());
    argp_parse(&argp, argc, argv, 0, 0, &o);
    ranks_speak();
    option_threads(o.threads);
    w = (Worker){
        .trains = !o.models, .leads = ranks_place() == 0, .argc = argc, .argv = argv, .began = clock_now()};
    int status = w.leads;
    if (!open_all(&w, &o, message, sizeof message))
        status = interrupt_status(sweep(&w, &o));
    else if (w.leads)
        say("titans sweep", message);
    ask_close(&w.ask);
    sweep_close(&w.sweep);
    return status;
}

const Command command_sweep = {"sweep", "train recipes x seeds and ask them, by any number of processes",
                               run};
