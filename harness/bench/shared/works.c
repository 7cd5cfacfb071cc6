#include "bench/shared/works.h"
#include "bench/shared/reading.h"
#include "bench/shared/step.h"
#include "library/library.h"
#include "terminal/interrupt.h"

#include <stdio.h>

enum { OPTION_TOKENS = 256, OPTION_ROUNDS, MIXER_NAME = 64 };
static const struct argp_option options[] = {
    {"tokens", OPTION_TOKENS, "N", 0, "tokens of the stream, and of a training step", 0},
    {"rounds", OPTION_ROUNDS, "N", 0, "turns of each, medians are compared", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    WorksOptions *o = state->input;
    switch (key) {
    case OPTION_TOKENS:
        o->tokens = option_integer("tokens", arg, 64, 1 << 20);
        break;
    case OPTION_ROUNDS:
        o->rounds = option_integer("rounds", arg, 1, WORKS_ROUNDS);
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        state->child_inputs[1] = &o->over;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* One mixer's two works. */
typedef struct {
    Step step;
    titans_model model;
    int64_t tokens;
    int failed;
} MixerWork;

static void read_stream(void *context) {
    MixerWork *w = context;
    w->failed |= reading_seconds(&w->model, w->tokens, 1) < 0.0;
}

static int work_open(MixerWork *w, const WorksOptions *o, const char *mixer, char *message, size_t size) {
    static Recipe recipe;
    char name[MIXER_NAME + 8];
    const char *const over[] = {name};
    snprintf(name, sizeof name, "mixer=%s", mixer);
    if (recipe_open(&recipe, o->over.config, over, 1, 1, message, size)) return -1;
    if (!recipe.model.vocab) recipe.model.vocab = 256;
    if (step_create(&w->step, &recipe, 1, o->tokens, message, size)) return -1;
    w->model = library_model(&w->step.model);
    w->tokens = o->tokens;
    w->failed = 0;
    return 0;
}

static int measure_mixer(const void *own, const char *mixer, FILE *to, char *message, size_t size) {
    const WorksOptions *o = own;
    MixerWork w;
    if (work_open(&w, o, mixer, message, size)) return -1;
    o->bench->row(o, mixer, "streaming", (Work){read_stream, &w}, to);
    o->bench->row(o, mixer, "training", (Work){step_once, &w.step}, to);
    const char *bad = w.failed ? "a stream" : w.step.bad;
    step_free(&w.step);
    if (bad) return snprintf(message, size, "%s: %s failed or is not finite", mixer, bad), -1;
    return interrupt_requested();
}

static int measure_all(void *own, Tsv *table, char *message, size_t size) {
    const WorksOptions *o = own;
    if (o->bench->begin && o->bench->begin(message, size)) return -1;
    const int status = mixers_each(&o->over, measure_mixer, o, table->file, message, size);
    if (o->bench->end) o->bench->end();
    return status;
}

int works_run(const WorksBench *bench, int argc, char **argv) {
    char out[64], help[512];
    const TableWork work = {bench->name, bench->columns, measure_all};
    snprintf(out, sizeof out, "%s.tsv", bench->name);
    snprintf(help, sizeof help,
             "%s By default %lld tokens and %lld turns.\vExamples:\n  titans bench %s -c recipe.json "
             "--mixers lmm,mac",
             bench->what, (long long)bench->tokens, (long long)bench->rounds, bench->name);
    const struct argp argp = {options, parse, 0, help, mixers_children, 0, 0};
    WorksOptions o = {
        .table = {.out = out}, .tokens = bench->tokens, .rounds = bench->rounds, .bench = bench};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.over.threads);
    return table_run(&work, &o, &o.table, argc, argv);
}
