#include "equation/published.h"

#define OPTIONS                                                                                              \
    "w b L e kind gelu residual norm per_layer channelwise per_chunk no_decay no_momentum persistent "       \
    "segment window literal"
static const char options[] = OPTIONS;

static const char *const mixers[] = {"attention", "lmm", "swa", "mac", "mag", "mal", "mal_h3"};
enum { PUBLISHED_MIXERS = sizeof mixers / sizeof *mixers };

static const char *published_list(const Equation *e) {
    if (!strcmp(e->name, "language_model")) return "T V D H layers F mixer " OPTIONS;
    for (int i = 0; i < PUBLISHED_MIXERS; i++)
        if (!strncmp(e->name, MIXERS, strlen(MIXERS)) && !strcmp(e->name + strlen(MIXERS), mixers[i]))
            return "T D H " OPTIONS;
    return 0;
}

static const char *find_word(const char *list, const char *word) {
    const size_t n = strlen(word);
    for (; list && *list; list += strcspn(list, " "), list += *list == ' ')
        if (!strncmp(list, word, n) && (list[n] == ' ' || list[n] == '=' || !list[n])) return list;
    return 0;
}

const char *published_mixer(const char *number) {
    return number[0] >= '0' && number[0] < '0' + PUBLISHED_MIXERS && !number[1] ? mixers[number[0] - '0'] : 0;
}

/* The configuration's names of the options, in the order of their published ones. */
int published_option(const Equation *e, const char *name) {
    static const char named[] =
        "taps chunk memory_layers expansion gate activation memory_residual memory_norm "
        "gates_per_layer channelwise gates_per_chunk forget momentum persistent segment "
        "window mask";
    return published_list(e) && (find_word(options, name) || find_word(named, name));
}

static int64_t mixer_number(const Equation *mixer) {
    for (int i = 0; mixer && i < PUBLISHED_MIXERS; i++)
        if (!strcmp(mixer->name + strlen(MIXERS), mixers[i])) return i;
    return -1;
}

static int64_t given(const char *extra, const char *name) {
    const char *at = find_word(extra, name);
    return at ? strtoll(at + strlen(name) + 1, 0, 10) : 0;
}

/* From one of the published lists. */
static int listed(const Dims *d, const char *list, const char *extra, int i, char *name, size_t size,
                  int64_t *value) {
    for (; i > 0 && *list; i--) list += strcspn(list, " "), list += *list == ' ';
    if (!*list) return 0;
    snprintf(name, size, "%.*s", (int)strcspn(list, " "), list);
    if (!strcmp(name, "mixer")) {
        *value = mixer_number(d->mixer);
    } else if (!strncmp(name, "no_", 3)) { /* published as its opposite */
        *value = 1 - dims_get_or(d, strcmp(name, "no_decay") ? "momentum" : "forget", 1);
        if (given(extra, name)) *value = 1;
    } else
        *value = dims_get_or(d, name, given(extra, name));
    return 1;
}

int published_dim(const Dims *d, const char *extra, int i, char *name, size_t size, int64_t *value) {
    const char *list = published_list(d->equation);
    if (list && !(d->mixer && mixer_number(d->mixer) < 0))
        return listed(d, list, extra, i, name, size, value);
    const Dimension *each = dims_at(d, i, value);
    if (!each) return 0;
    snprintf(name, size, "%s", dimension_symbol(each));
    if (each->symbol && each->symbol[0] == '!') *value = 1 - *value;
    return 1;
}
