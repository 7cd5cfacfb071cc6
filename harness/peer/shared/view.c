#include "peer/shared/view.h"
#include "base/check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies what stands before one of the characters `until` and moves there; -1: it does not fit. */
static int take(const char **at, const char *until, char *to, size_t size) {
    const size_t n = strcspn(*at, until);
    if (n >= size) return -1;
    memcpy(to, *at, n);
    to[n] = '\0';
    *at += n;
    return 0;
}

static int bad(const char *word, char *message, size_t size) {
    return snprintf(message, size, "cannot read the view '%.60s'", word), -1;
}

static int view_read(const char **at, View *v) {
    v->batched = **at == '@';
    *at += v->batched;
    v->scalar = **at == '#';
    *at += v->scalar;
    if (take(at, "['?+ ", v->theirs, sizeof v->theirs) || !*v->theirs) return -1;
    if (**at == '[') {
        ++*at;
        if (take(at, "]", v->rows, sizeof v->rows) || **at != ']') return -1;
        ++*at;
    }
    v->transposed = **at == '\'';
    *at += v->transposed;
    v->optional = **at == '?';
    *at += v->optional;
    if (**at == '+') {
        char *end;
        v->plus = (double)strtoll(*at + 1, &end, 10);
        *at = end;
    }
    return **at && **at != ' ' ? -1 : 0;
}

int view_next(const char **list, View *v, char *message, size_t size) {
    *v = (View){0};
    while (**list == ' ') ++*list;
    if (!**list) return 0;
    const char *word = *list;
    if (take(list, "= ", v->ours, sizeof v->ours) || **list != '=') return bad(word, message, size);
    ++*list;
    if (isdigit((unsigned char)**list)) {
        char *end;
        v->constant = 1;
        v->plus = strtod(*list, &end);
        *list = end;
        return **list && **list != ' ' ? bad(word, message, size) : 1;
    }
    return view_read(list, v) ? bad(word, message, size) : 1;
}

/* Rows from .. to - 1 of every of `groups` groups of `each` rows. */
typedef struct {
    int64_t groups, from, to, each;
} RowRange;

static int number(const VectorCase *c, const char **at, const char *until, int64_t *value, char *message,
                  size_t size) {
    char text[64];
    double x;
    if (take(at, until, text, sizeof text)) return bad(*at, message, size);
    if (case_number(c, text, &x, message, size)) return -1;
    *value = (int64_t)x;
    if (**at) ++*at;
    return 0;
}

static int range_read(const View *v, const VectorCase *c, int64_t rows, RowRange *r, char *message,
                      size_t size) {
    const char *at = v->rows;
    *r = (RowRange){1, 0, rows, rows};
    if (!*at) return 0;
    const int grouped = strchr(at, ';') != 0;
    if (grouped && number(c, &at, ";", &r->groups, message, size)) return -1;
    if (number(c, &at, ":", &r->from, message, size) || number(c, &at, ";", &r->to, message, size)) return -1;
    if (grouped && number(c, &at, "", &r->each, message, size)) return -1;
    if (r->groups < 0 || r->from < 0 || r->to < r->from || r->to > r->each || r->groups * r->each > rows)
        return snprintf(message, size, "rows [%s] of '%s' are not in it: it has %lld", v->rows, v->theirs,
                        (long long)rows),
               -1;
    return 0;
}

int view_places(const View *v, const VectorCase *c, const SafeTensor *theirs, int64_t **place, int64_t *count,
                char *message, size_t size) {
    const int first = v->batched ? 1 : 0;
    int64_t cols = 1, rows = theirs->dims > first ? theirs->shape[first] : 1;
    for (int i = first + 1; i < theirs->dims; i++) cols *= theirs->shape[i];
    RowRange r;
    if (range_read(v, c, rows, &r, message, size)) return -1;
    const int64_t kept = r.to - r.from, taken = r.groups * kept;
    *count = taken * cols;
    *place = malloc((size_t)(*count + 1) * sizeof **place);
    CHECK(*place, "no memory for %ld places", *count);
    for (int64_t i = 0; i < taken; i++) {
        const int64_t row = i / kept * r.each + r.from + i % kept;
        for (int64_t j = 0; j < cols; j++)
            (*place)[v->transposed ? j * taken + i : i * cols + j] = row * cols + j;
    }
    return 0;
}
