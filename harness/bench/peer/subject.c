#include "bench/peer/subject.h"

#include <stdio.h>
#include <string.h>

int64_t subject_tensor_count(const SubjectTensor *tensor) {
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) count *= tensor->shape[i];
    return count;
}

int subject_word(char **words, char **key, char **value) {
    char *word;
    while ((word = strsep(words, " ")))
        if (*word) break;
    if (!word) return 0;
    *key = word;
    *value = strchr(word, '=');
    if (*value) *(*value)++ = 0;
    return 1;
}

int subject_open(const char *spec, int64_t batch, int64_t tokens, Subject *subject, char *message,
                 size_t size) {
    static const struct {
        const char *kind;
        SubjectMaker *make;
    } kinds[] = {{"mixer", subject_mixer}, {"rule", subject_rule}, {"attention", subject_attention}};
    char text[256], *words = text, *kind = 0, *value = 0;
    snprintf(text, sizeof text, "%s", spec);
    *subject = (Subject){0};
    if (!subject_word(&words, &kind, &value)) return snprintf(message, size, "nothing of ours is named"), -1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].kind, kind)) return kinds[i].make(words, batch, tokens, subject, message, size);
    return snprintf(message, size, "'%s' is no kind of ours: mixer, rule, attention", kind), -1;
}
