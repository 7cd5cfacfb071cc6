#include "base/field.h"
#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *member(const Field *f, void *at) { return (char *)at + f->offset; }
static const void *member_of(const Field *f, const void *at) { return (const char *)at + f->offset; }

static void store(const Field *f, void *at, double value) {
    if (f->kind == FIELD_REAL)
        *(double *)member(f, at) = value;
    else
        *(int64_t *)member(f, at) = (int64_t)value;
}

void field_defaults(const Field *fields, void *at) {
    for (const Field *f = fields; f && f->key; f++)
        if (f->kind == FIELD_TEXT)
            snprintf(member(f, at), f->size, "%s", f->values);
        else
            store(f, at, f->initial);
}

const Field *field_find(const Field *fields, const char *key) {
    for (const Field *f = fields; f && f->key; f++)
        if (!strcmp(f->key, key)) return f;
    return 0;
}

/* ---- lists of words ---- */

static const char *word_at(const char *list, int64_t i) {
    for (; i > 0 && *list; i--) list += strcspn(list, " "), list += *list == ' ';
    return list;
}

static int64_t word_find(const char *list, const char *word) {
    for (int64_t i = 0; *word_at(list, i); i++) {
        const char *at = word_at(list, i);
        if (strcspn(at, " ") == strlen(word) && !strncmp(at, word, strlen(word))) return i;
    }
    return -1;
}

int field_set_number(const Field *f, void *at, double value, char *message, size_t size) {
    if (!(value >= f->low && value <= f->high) || (f->kind == FIELD_INTEGER && value != floor(value))) {
        snprintf(message, size, "\"%s\" must be %s from %.16g to %.16g", f->key,
                 f->kind == FIELD_INTEGER ? "a whole number" : "a number", f->low, f->high);
        return -1;
    }
    store(f, at, value);
    return 0;
}

int field_set_text(const Field *f, void *at, const char *text, char *message, size_t size) {
    char *end;
    if (f->kind == FIELD_TEXT) {
        if (strlen(text) < f->size) return snprintf(member(f, at), f->size, "%s", text), 0;
        return snprintf(message, size, "\"%s\" must be a text of fewer than %zu characters", f->key, f->size),
               -1;
    }
    if (f->kind == FIELD_CHOICE) {
        const int64_t i = *text ? word_find(f->values, text) : -1;
        if (i >= 0) return store(f, at, (double)i), 0;
        return snprintf(message, size, "\"%s\" must be one of: %s; not \"%s\"", f->key, f->values, text), -1;
    }
    const double value = number_parse(text, &end);
    return field_set_number(f, at, end == text || *end ? (double)NAN : value, message, size);
}

double field_number(const Field *f, const void *at) {
    if (f->kind == FIELD_TEXT) return NAN;
    return f->kind == FIELD_REAL ? *(const double *)member_of(f, at)
                                 : (double)*(const int64_t *)member_of(f, at);
}

const char *field_text(const Field *f, const void *at, char *text, size_t size) {
    if (f->kind == FIELD_TEXT) return member_of(f, at);
    text[0] = 0;
    if (f->kind == FIELD_CHOICE) {
        const char *word = word_at(f->values, (int64_t)field_number(f, at));
        snprintf(text, size, "%.*s", (int)strcspn(word, " "), word);
    }
    return text;
}

/* Words of a text behind one another in lines of LINE characters, the ones after the first indented. */
static size_t wrapped(const char *words, size_t column, char *text, size_t size) {
    enum { LINE = 79, INDENT = 18 };
    size_t used = 0;
    while (*words && used < size) {
        const size_t n = strcspn(words, " ");
        const int breaks = column + 1 + n > LINE && column > INDENT;
        const int wrote = snprintf(text + used, size - used, breaks ? "\n%*s%.*s" : "%*s%.*s",
                                   breaks             ? INDENT
                                   : column == INDENT ? 0
                                                      : 1,
                                   "", (int)n, words);
        column = breaks ? INDENT + n : column + n + (column != INDENT);
        used += wrote > 0 ? (size_t)wrote : 0;
        words += n;
        words += strspn(words, " ");
    }
    return used;
}

size_t field_line(const char *key, const char *meaning, const char *initial, char *text, size_t size) {
    char words[1024];
    const int head = snprintf(text, size, "  %-15s ", key);
    size_t used = head > 0 ? (size_t)head : 0;
    snprintf(words, sizeof words, *initial ? "%s [%s]" : "%s", meaning, initial);
    if (used < size) used += wrapped(words, used, text + used, size - used);
    if (used < size) used += (size_t)snprintf(text + used, size - used, "\n");
    return used;
}

size_t field_describe(const Field *fields, char *text, size_t size) {
    size_t used = 0;
    for (const Field *f = fields; f && f->key && used < size; f++) {
        char initial[48];
        if (f->kind == FIELD_TEXT)
            snprintf(initial, sizeof initial, "%s", f->values);
        else if (f->kind == FIELD_CHOICE)
            snprintf(initial, sizeof initial, "%.*s", (int)strcspn(f->values, " "), f->values);
        else
            snprintf(initial, sizeof initial, "%g", f->initial);
        used += field_line(f->key, f->meaning, initial, text + used, size - used);
    }
    return used < size ? used : size - 1;
}

/* Letters to change, add or drop (Levenshtein), of which 63 of a word count. */
static int word_distance(const char *a, const char *b) {
    int row[64], n = (int)strnlen(b, 63);
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int above = row[j], changed = corner + (a[i - 1] != b[j - 1]);
            int least = above < row[j - 1] ? above : row[j - 1];
            least++;
            row[j] = changed < least ? changed : least;
            corner = above;
        }
    }
    return row[n];
}

void field_unknown(const FieldSet *sets, int count, const char *key, char *message, size_t size) {
    const char *nearest = 0;
    int least = 3;
    int used = snprintf(message, size, "unknown key \"%.200s\"", key);
    for (int i = 0; i < count; i++)
        for (const Field *f = sets[i].fields; f && f->key; f++) {
            const int d = word_distance(key, f->key);
            if (d < least) least = d, nearest = f->key;
        }
    if (nearest && used > 0 && (size_t)used < size)
        used += snprintf(message + used, size - (size_t)used, " (did you mean \"%s\"?)", nearest);
    for (int i = 0; i < count && used > 0 && (size_t)used < size; i++) {
        used += snprintf(message + used, size - (size_t)used, "%s %s has:", i ? ";" : ".", sets[i].owner);
        for (const Field *f = sets[i].fields; f && f->key && (size_t)used < size; f++)
            used += snprintf(message + used, size - (size_t)used, " %s", f->key);
        if (!(sets[i].fields && sets[i].fields->key) && (size_t)used < size)
            used += snprintf(message + used, size - (size_t)used, " none of its own");
    }
}

static const char *word_nearest(const char *typed, const char *(*name)(int i)) {
    const char *nearest = 0;
    int least = 3;
    for (int i = 0; name(i); i++) {
        const int d = word_distance(typed, name(i));
        if (d < least && d < (int)strlen(typed)) least = d, nearest = name(i);
    }
    return nearest;
}

void word_unknown(const char *what, const char *typed, const char *(*name)(int i), char *message,
                  size_t size) {
    const char *nearest = word_nearest(typed, name);
    int used = snprintf(message, size, "unknown %s \"%.200s\"", what, typed);
    if (nearest && used > 0 && (size_t)used < size)
        used += snprintf(message + used, size - (size_t)used, " (did you mean \"%s\"?)", nearest);
    if (used > 0 && (size_t)used < size)
        used += snprintf(message + used, size - (size_t)used, "; there are:");
    for (int i = 0; name(i) && used > 0 && (size_t)used < size; i++)
        used += snprintf(message + used, size - (size_t)used, " %s", name(i));
}
