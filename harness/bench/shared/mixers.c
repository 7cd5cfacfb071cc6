#include "bench/shared/mixers.h"
#include "bench/shared/reading.h"
#include "model/model.h"
#include "terminal/files.h"

enum { OPTION_MIXERS = 512, NAME = 64 };
static const struct argp_option options[] = {
    {"mixers", OPTION_MIXERS, "A,B,..", 0, "default: all there are", 0},
    {"config", 'c', "FILE", 0, "JSON with keys of the model (titans train --help)", 0},
    {"threads", 'k', "K", 0, "threads", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    MixersOptions *o = state->input;
    switch (key) {
    case OPTION_MIXERS:
        o->mixers = arg;
        return 0;
    case 'c':
        o->config = arg;
        return 0;
    case 'k':
        o->threads = option_integer("threads", arg, 1, 1024);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp mixers_argp = {options, parse, 0, 0, 0, 0, 0};
const struct argp_child mixers_children[] = {{&table_argp, 0, 0, 0}, {&mixers_argp, 0, 0, 0}, {0}};

int mixers_each(const MixersOptions *o, MixerMeasure *measure, const void *own, FILE *to, char *message,
                size_t size) {
    char mixer[NAME];
    const char *list = o->mixers;
    int status = o->config ? files_reads(o->config, message, size) : 0;
    for (int i = 0; !o->mixers && !status && mixer_at(i); i++)
        status = measure(own, mixer_at(i)->name, to, message, size);
    while (!status && o->mixers && option_word("mixers", &list, mixer, sizeof mixer))
        status = measure(own, mixer, to, message, size);
    return status;
}

static void read_stream(void *context) {
    MixerWork *w = context;
    w->failed |= reading_seconds(&w->model, w->tokens, 1) < 0.0;
}

int mixer_work_open(MixerWork *w, const MixersOptions *o, const char *mixer, int64_t tokens, char *message,
                    size_t size) {
    static Recipe recipe;
    char name[NAME + 8];
    const char *const over[] = {name};
    snprintf(name, sizeof name, "mixer=%s", mixer);
    if (recipe_open(&recipe, o->config, over, 1, 1, message, size)) return -1;
    if (!recipe.model.vocab) recipe.model.vocab = 256;
    if (step_create(&w->step, &recipe, 1, tokens, message, size)) return -1;
    w->model = library_model(&w->step.model);
    w->tokens = tokens;
    w->failed = 0;
    return 0;
}

Work mixer_work_reading(MixerWork *w) { return (Work){read_stream, w}; }

Work mixer_work_training(MixerWork *w) { return (Work){step_once, &w->step}; }

int mixer_work_close(MixerWork *w, const char *mixer, char *message, size_t size) {
    const char *bad = w->failed ? "a stream" : w->step.bad;
    step_free(&w->step);
    if (bad) snprintf(message, size, "%s: %s failed or is not finite", mixer, bad);
    return bad ? -1 : 0;
}
