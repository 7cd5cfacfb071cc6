#include "equation/cases.h"

#include "equation_cases.h"
#include <string.h>

const EquationCase *case_at(int i) {
    return i < (int)(sizeof equation_cases / sizeof *equation_cases) - 1 ? &equation_cases[i] : 0;
}

int case_used(const EquationCase *c, const char *use) {
    const size_t n = strlen(use);
    for (const char *word = c->use; *word; word += strcspn(word, " "), word += *word == ' ')
        if (!strncmp(word, use, n) && (word[n] == ' ' || !word[n])) return 1;
    return 0;
}

Dims case_dims(const EquationCase *c) { return dims_of(c->equation, "%s", c->dims); }
