#include "bench/shared/mixers.h"
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
