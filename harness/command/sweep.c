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
    const char *file;
    int64_t processes, threads;
} SweepOptions;

static const struct argp_option options[] = {
    {"jobs", 'j', "K", 0, "processes on this machine (1)", 0},
    {"threads", 'k', "K", 0, "threads of each (1; changes no bit of the result)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    SweepOptions *o = state->input;
    switch (key) {
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
    int leads; /* shows how far all are, waits for the others, prints the table */
    int argc;
    char **argv;
    double began; /* as claims are dated */
    ProgressLine progress;
    /* of the job at hand */
    SweepJob *job;
    int claim;
    SweepClaim before;
    double started, told;
} Worker;

/* A line of its own, though the terminal may hold the leader's. */
static void announce(Worker *w, const SweepJob *job, const char *text) {
    progress_end(&w->progress);
    if (!w->leads && isatty(STDERR_FILENO)) fputc('\n', stderr);
    say(job->name, text);
}

/* Tokens that all jobs have trained, by what their claims say, and how many are trained to the end. */
static int64_t whole(const Sweep *s, int *trained) {
    int64_t tokens = 0;
    *trained = 0;
    for (int i = 0; i < s->count; i++) {
        const SweepJob *job = &s->jobs[i];
        const int64_t step = sweep_claim(job).step;
        tokens += sweep_tokens(job, step < job->steps ? step : job->steps);
        *trained += step >= job->steps;
    }
    return tokens;
}

static void begin_whole(Worker *w) {
    int trained;
    int64_t total = 0;
    for (int i = 0; i < w->sweep.count; i++) total += sweep_tokens(&w->sweep.jobs[i], w->sweep.jobs[i].steps);
    progress_begin(&w->progress, "sweep", "tokens", total);
    w->progress.skipped = whole(&w->sweep, &trained);
}

static void show_whole(Worker *w) {
    char note[64];
    int trained;
    const int64_t tokens = whole(&w->sweep, &trained);
    snprintf(note, sizeof note, "%d of %d trained", trained, w->sweep.count);
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
    announce(w, job, text);
}

/* The job that w has taken: trained to its end, unless it is there already. */
static void job_work(Worker *w, char *message, size_t size) {
    SweepJob *job = w->job;
    w->before = sweep_claim(job);
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
static int is_settled(const Worker *w, const SweepJob *job) {
    const SweepClaim c = sweep_claim(job);
    return job->done || job->failed || (c.failed && c.written > w->began);
}

/* Takes every job that is free, in order; returns how many others are at work on. */
static int work_through(Worker *w) {
    char message[MESSAGE];
    int busy = 0;
    for (int i = 0; i < w->sweep.count && !interrupt_requested(); i++) {
        w->job = &w->sweep.jobs[i];
        if (is_settled(w, w->job)) continue;
        w->claim = sweep_take(w->job, message, sizeof message);
        if (w->claim == SWEEP_BUSY) {
            busy++;
            continue;
        }
        if (w->claim < 0) {
            w->job->failed = 1;
            announce(w, w->job, message);
            continue;
        }
        job_work(w, message, sizeof message);
        close(w->claim);
    }
    return busy;
}

/* The leader stays until nobody is at work: what a process that died had taken is free again, and is done here. */
static void work(Worker *w) {
    begin_whole(w);
    while (work_through(w) && w->leads && !interrupt_requested()) {
        show_whole(w);
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

/* Prints the table and leaves it in the folder. The number of jobs that failed, -1 with a message. */
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
        const SweepClaim c = sweep_claim(job);
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

static int sweep(Worker *w, const SweepOptions *o) {
    char message[MESSAGE];
    pid_t others[MOST_PROCESSES] = {0};
    interrupt_catch();
    const int child = start_others(w, others, o->processes - 1);
    work(w);
    if (child) return 0;
    end_others(others, o->processes - 1);
    if (!w->leads) return 0;
    const int failed = print_table(w, message, sizeof message);
    if (failed < 0) say("titans sweep", message);
    if (failed > 0) fprintf(stderr, "titans sweep: %d of %d failed\n", failed, w->sweep.count);
    return failed || interrupt_requested();
}

static int run(int argc, char **argv) {
    static const char about[] =
        "Train every recipe with every seed, once. What is done is kept, what was stopped or killed goes "
        "on.\v"
        "FILE is JSON, paths are seen from here:\n"
        "  {\"recipes\": [\"harness/recipe/lmm-passkey.json\",\n"
        "               {\"recipe\": \"harness/recipe/lmm-passkey.json\", \"name\": \"wide\",\n"
        "                \"set\": {\"width\": 96}}],\n"
        "   \"seeds\": [0, 1, 2], \"folder\": \"out\", \"set\": {\"steps\": 500}}\n\n"
        "Several processes share a sweep: --jobs, or any number of this command on machines that see the "
        "folder, "
        "started by hand, by mpirun or by Slurm. The first prints the table, also FOLDER/sweep.tsv.\n\n"
        "Examples:\n  titans sweep sweep.json --jobs 4\n  mpirun -n 16 titans sweep sweep.json\n";
    const struct argp argp = {options, parse, "FILE", about, 0, 0, 0};
    SweepOptions o = {.processes = 1, .threads = 1};
    char message[MESSAGE];
    static Worker w;
    argp_err_exit_status = 2;
    ranks_hush(ranks_place());
    argp_parse(&argp, argc, argv, 0, 0, &o);
    ranks_speak();
    option_threads(o.threads);
    w = (Worker){.leads = ranks_place() == 0, .argc = argc, .argv = argv, .began = clock_now()};
    if (files_reads(o.file, message, sizeof message) ||
        sweep_open(&w.sweep, o.file, message, sizeof message)) {
        if (w.leads) say("titans sweep", message);
        return w.leads;
    }
    const int status = sweep(&w, &o);
    sweep_close(&w.sweep);
    return interrupt_status(status);
}

const Command command_sweep = {"sweep", "train recipes x seeds, by any number of processes", run};
