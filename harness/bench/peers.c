/* Our mixers and rules beside the packages that people use on a CPU. The packages live in a Python process
 * (harness/bench/peer/serve.py); every round times ours, then theirs. A package that is not there is a row that says so. */
#include "bench/bench.h"
#include "bench/peer/process.h"
#include "bench/shared/table.h"
#include "bench/shared/timing.h"
#include "terminal/interrupt.h"
#include "terminal/options.h"
#include "terminal/progress.h"
#include "terminal/stats.h"

#include <argp.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS_MOST = 31, LINE = 1024, CASES_MOST = 128, OPTION_PYTHON = 256, OPTION_ONLY };

static const double LEAST = 0.05;   /* seconds of a sample */
static const double PATIENCE = 4.0; /* a peer that takes longer gets two rounds */

typedef struct {
    TableOptions table;
    const char *python, *only;
    int64_t rounds;
} PeersOptions;

static const struct argp_option options[] = {
    {"python", OPTION_PYTHON, "FILE", 0,
     "interpreter that has the packages (default: $TITANS_PYTHON or python3)", 0},
    {"only", OPTION_ONLY, "TEXT", 0, "cases whose name holds it", 0},
    {"rounds", 'r', "N", 0, "samples of each median (default 5)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    PeersOptions *o = state->input;
    switch (key) {
    case OPTION_PYTHON:
        o->python = arg;
        return 0;
    case OPTION_ONLY:
        o->only = arg;
        return 0;
    case 'r':
        o->rounds = option_integer("rounds", arg, 1, ROUNDS_MOST);
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* One line of serve.py's list. */
typedef struct {
    char line[LINE];
    const char *name, *ours, *package, *missing, *computes;
    int64_t batch, tokens;
} PeerCase;

static int case_read(PeerCase *c, char *message, size_t size) {
    enum { FIELDS = 7 };
    char *field[FIELDS], *rest = c->line;
    for (int i = 0; i < FIELDS; i++)
        if (!(field[i] = strsep(&rest, "\t")))
            return snprintf(message, size, "answers with %d fields of a case, not %d", i, FIELDS), -1;
    c->name = field[0], c->ours = field[1], c->package = field[4], c->missing = field[5],
    c->computes = field[6];
    c->batch = strtoll(field[2], 0, 10), c->tokens = strtoll(field[3], 0, 10);
    return c->batch > 0 && c->tokens > 0
               ? 0
               : (snprintf(message, size, "%s has no batch or tokens", c->name), -1);
}

/* All cases; how many, or -1 with a message. */
static int cases_read(Process *p, PeerCase *cases, char *message, size_t size) {
    process_say(p, "list");
    for (int n = 0; n < CASES_MOST; n++) {
        if (process_line(p, cases[n].line, LINE, message, size)) return -1;
        if (!strcmp(cases[n].line, "end")) return n;
        if (case_read(&cases[n], message, size)) return -1;
    }
    return snprintf(message, size, "has more than %d cases", CASES_MOST), -1;
}

/* An answer "WORD number"; -1 with a message for another one. */
static int answer(Process *p, const char *word, double *number, char *message, size_t size) {
    char line[LINE];
    if (process_line(p, line, sizeof line, message, size)) return -1;
    const size_t n = strlen(word);
    if (strncmp(line, word, n) != 0) return snprintf(message, size, "%.400s", line), -1;
    if (number) *number = strtod(line + n, 0);
    return 0;
}

/* The same numbers on the other side. */
static int peer_open(Process *p, const PeerCase *c, const Subject *s, int threads, char *message,
                     size_t size) {
    process_say(p, "open\t%s\t%d\t%d", c->name, threads, s->inputs);
    for (int i = 0; i < s->inputs; i++) {
        const SubjectTensor *t = &s->in[i];
        process_say(p, "%s\t%lld\t%lld\t%lld\t%lld", t->name, (long long)t->shape[0], (long long)t->shape[1],
                    (long long)t->shape[2], (long long)t->shape[3]);
        process_send(p, t->data, subject_tensor_count(t));
    }
    return answer(p, "ready", 0, message, size);
}

/* How far apart two float32 computations may be, of the largest number: each adds up at most `tokens` terms, whose
 * roundings are u = 2^-24 each. */
static double difference_allowed(const PeerCase *c) { return 2.0 * (double)c->tokens * 0x1p-24; }

/* Largest difference of the outputs over the largest number; NaN where each side has weights of its own. */
static int compare(Process *p, const Subject *s, double *difference, char *message, size_t size) {
    *difference = NAN;
    if (!s->inputs) return 0;
    const int64_t n = subject_tensor_count(&s->out);
    float *theirs = malloc((size_t)n * sizeof *theirs);
    double far = 0, largest = 0;
    if (!theirs) return snprintf(message, size, "no memory"), -1;
    s->forward(s->self);
    process_say(p, "output\t%lld", (long long)n);
    int status = answer(p, "output", 0, message, size);
    if (!status) status = process_receive(p, theirs, n, message, size);
    for (int64_t i = 0; !status && i < n; i++) {
        far = fmax(far, fabs((double)theirs[i] - (double)s->out.data[i]));
        largest = fmax(largest, fabs((double)s->out.data[i]));
    }
    *difference = far / largest;
    free(theirs);
    return status;
}

typedef struct {
    int rounds;
    double ours, theirs, ratio, low, high; /* seconds of a run, medians; theirs over ours of a round */
} Race;

static double sample(void (*run)(void *), void *self) {
    const double began = seconds_now();
    int64_t runs = 0;
    do run(self);
    while (runs++, seconds_now() - began < LEAST);
    return (seconds_now() - began) / (double)runs;
}

static int race(Process *p, const Subject *s, const char *pass, int64_t rounds, Race *r, char *message,
                size_t size) {
    double ours[ROUNDS_MOST], theirs[ROUNDS_MOST], ratio[ROUNDS_MOST];
    void (*run)(void *) = strcmp(pass, "both") != 0 ? s->forward : s->both;
    int n = 0;
    run(s->self);
    for (int64_t most = rounds; n < most && !interrupt_requested(); n++) {
        ours[n] = sample(run, s->self);
        process_say(p, "%s\t%g", pass, LEAST);
        if (answer(p, "seconds", &theirs[n], message, size)) return -1;
        ratio[n] = theirs[n] / ours[n];
        if (theirs[n] > PATIENCE && most > 2) most = 2;
    }
    if (!n) return 0;
    *r = (Race){n,        stats_median(n, ours), stats_median(n, theirs), stats_median(n, ratio),
                ratio[0], ratio[n - 1]};
    return 0;
}

static void row(FILE *to, const PeerCase *c, int threads, const char *pass, const Race *r,
                double difference) {
    const double tokens = (double)(c->batch * c->tokens);
    char same[32];
    snprintf(same, sizeof same,
             isnan(difference)                     ? "-"
             : difference <= difference_allowed(c) ? "%.1e"
                                                   : "void %.1e",
             difference);
    fprintf(to, "%s\t%s\t%s\t%d\t%s\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t%d\t%s\t%s\n", c->name, c->package,
            c->ours, threads, pass, tokens / r->ours, tokens / r->theirs, r->ratio, r->low, r->high,
            r->rounds, same, c->computes);
    fflush(to);
    fprintf(stderr, "peers: %-28s %d thread%s %-7s %9.0f against %9.0f tokens/s: %.1f times (%.1f to %.1f)\n",
            c->name, threads, threads > 1 ? "s" : " ", pass, tokens / r->ours, tokens / r->theirs, r->ratio,
            r->low, r->high);
}

static void row_missing(FILE *to, const PeerCase *c, const char *why) {
    fprintf(to, "%s\t%s\t%s\t-\t-\t-\t-\t-\t-\t-\t0\t-\t", c->name, c->package, c->ours);
    tsv_text(to, why);
    fputc('\n', to);
    fprintf(stderr, "peers: %-28s %s\n", c->name, why);
}

/* One case with so many threads: 0, 1 after an interrupt, or -1 with a message. */
static int measure_case(Process *p, const PeersOptions *o, const PeerCase *c, int threads, FILE *to,
                        char *message, size_t size) {
    static const char *const passes[] = {"forward", "both"};
    Subject s;
    double difference;
    omp_set_num_threads(threads);
    if (subject_open(c->ours, c->batch, c->tokens, &s, message, size)) return -1;
    int status = peer_open(p, c, &s, threads, message, size);
    if (!status) status = compare(p, &s, &difference, message, size);
    for (int i = 0; !status && i < 2; i++) {
        Race r = {0};
        status = race(p, &s, passes[i], o->rounds, &r, message, size);
        if (!status && interrupt_requested()) status = 1;
        if (!status) row(to, c, threads, passes[i], &r, difference);
    }
    s.close(s.self);
    return status;
}

static int start(Process *p, const PeersOptions *o, char *message, size_t size) {
    static char script[] = "harness/bench/peer/serve.py", option[] = "-B";
    if (access(script, R_OK))
        return snprintf(message, size, "%s is not here: run it from the top of the tree", script), -1;
    char *python = strdup(o->python), *const argv[] = {python, option, script, 0};
    const int status = python ? process_start(p, argv, message, size) : -1;
    free(python);
    return status;
}

/* A process that has ended is started again for the next case. */
static int measure(void *own, Tsv *table, char *message, size_t size) {
    const PeersOptions *o = own;
    static PeerCase cases[CASES_MOST];
    const int all = omp_get_max_threads();
    Process p = {0};
    int failed = 0;
    const int n = start(&p, o, message, size) ? -1 : cases_read(&p, cases, message, size);
    if (n < 0) {
        char why[LINE];
        snprintf(why, sizeof why, "%s", message);
        process_end(&p);
        return snprintf(message, size, "%s: %s; --python names an interpreter with the packages", o->python,
                        why),
               -1;
    }
    for (int i = 0; i < n && !interrupt_requested(); i++) {
        if (o->only && !strstr(cases[i].name, o->only)) continue;
        if (*cases[i].missing) {
            row_missing(table->file, &cases[i], cases[i].missing);
            continue;
        }
        for (int threads = 1; threads <= all; threads = threads < all ? all : all + 1) {
            char why[LINE];
            const int status = measure_case(&p, o, &cases[i], threads, table->file, why, sizeof why);
            if (status >= 0 || interrupt_requested()) continue;
            row_missing(table->file, &cases[i], why);
            failed++;
            process_end(&p);
            if (start(&p, o, message, size)) return -1;
            break;
        }
    }
    process_end(&p);
    fprintf(table->file, "# cases that failed: %d\n", failed);
    return interrupt_requested();
}

static int run(int argc, char **argv) {
    static const TableWork work = {
        "peers",
        "case\tpackage\tours\tthreads\tpass\tours_tokens_s\ttheirs_tokens_s\tratio\tlow\thigh\t"
        "rounds\tdifference\tcomputes",
        measure};
    const struct argp argp = {
        options,
        parse,
        0,
        "Our mixers and rules beside the Python packages that people use on a CPU."
        "\vForward, and forward with backward; one thread, then all. Packages that are not there "
        "are rows that say so.\n\nExamples:\n"
        "  titans bench peers --python venv/bin/python -o peers.tsv\n"
        "  titans bench peers --only mamba",
        table_children,
        0,
        0};
    const char *python = getenv("TITANS_PYTHON");
    PeersOptions o = {
        .table = {.out = "peers.tsv"}, .python = python && *python ? python : "python3", .rounds = 5};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    return table_run(&work, &o, &o.table, argc, argv);
}

const Bench bench_peers = {"peers", "our mixers beside the Python packages that people use on a CPU", run};
