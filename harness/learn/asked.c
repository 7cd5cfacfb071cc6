#include "learn/asked.h"

#include <stdio.h>
#include <string.h>

enum { OPTION_HAYSTACK = 2048, OPTION_WORDS, OPTION_SIDE };
static const struct argp_option options[] = {
    {"task", 't', "T", 0, "task; \"needle\" (the default) is the one trained on", 2},
    {"haystack", OPTION_HAYSTACK, "PROSE", 0,
     "prose of the haystack, for tasks that take one: bible, essays, or a file (default: what the checkpoint "
     "names, else bible)",
     2},
    {"words", OPTION_WORDS, "LIST", 0,
     "words of keys: wordnet, or wordlists (default: what the checkpoint names, else wordnet)", 2},
    {"side", OPTION_SIDE, "SIDE", 0, "part of prose and words that is asked: test (the default) or train", 2},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    Asked *a = state->input;
    switch (key) {
    case 't':
        a->task = strcmp(arg, "needle") ? arg : 0;
        return 0;
    case OPTION_HAYSTACK:
        a->haystack = arg;
        return 0;
    case OPTION_WORDS:
        a->words = arg;
        return 0;
    case OPTION_SIDE:
        a->side = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp asked_argp = {options, parse, 0, 0, 0, 0, 0};

int asked_apply(const Asked *a, Recipe *r, char *message, size_t size) {
    if (a->task && recipe_set_task(r, a->task, message, size)) return -1;
    const int sided = field_find(r->task->fields, "side") != 0;
    const struct {
        const char *key, *value;
    } set[] = {
        {"haystack", a->haystack}, {"words", a->words}, {"side", a->side || !sided ? a->side : "test"}};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        if (!set[i].value || (a->several && !field_find(r->task->fields, set[i].key))) continue;
        if (recipe_set_task_key(r, set[i].key, set[i].value, message, size)) return -1;
    }
    return 0;
}

int asked_key(Config *c, const char *assignment, char *message, size_t size) {
    char key[64];
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment || equals - assignment >= (int)sizeof key)
        return snprintf(message, size, "--set %s: KEY=VALUE is wanted", assignment), -1;
    snprintf(key, sizeof key, "%.*s", (int)(equals - assignment), assignment);
    return config_ask(c, key, equals + 1, message, size);
}
