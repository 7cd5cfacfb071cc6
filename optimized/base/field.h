#pragma once
#include <stddef.h>
#include <stdint.h>

/* Settings by name. A table of fields describes a struct, key by key: range, default, meaning; it is what --help
 * prints and what reads and writes them. Tables end with a NULL key. */
typedef enum { FIELD_INTEGER, FIELD_REAL, FIELD_CHOICE, FIELD_TEXT } FieldKind;
typedef struct {
    const char *key;
    FieldKind kind;
    int asked;           /* it changes no weight and may be set when a trained model is asked */
    size_t offset, size; /* where in the struct; characters that a text has room for, its end included */
    double low, high, initial;
    const char *values; /* of a choice: names of 0, 1, .. ("sigmoid hard"); of a text: its default */
    const char *meaning;
} Field;

/* For a member (int64_t, double, int64_t, char[]) of struct S under a key of the same or another name. */
#define INTEGER_FIELD(S, member, key, low, high, initial, meaning)                                           \
    { key, FIELD_INTEGER, 0, offsetof(S, member), 0, low, high, initial, 0, meaning }
#define REAL_FIELD(S, member, key, low, high, initial, meaning)                                              \
    { key, FIELD_REAL, 0, offsetof(S, member), 0, low, high, initial, 0, meaning }
#define CHOICE_FIELD(S, member, key, values, meaning)                                                        \
    { key, FIELD_CHOICE, 0, offsetof(S, member), 0, 0, 0, 0, values, meaning }
#define TEXT_FIELD(S, member, key, initial, meaning)                                                         \
    { key, FIELD_TEXT, 0, offsetof(S, member), sizeof(((S *)0)->member), 0, 0, 0, initial, meaning }
/* Of a model that is trained already. */
#define ASKED_INTEGER_FIELD(S, member, key, low, high, initial, meaning)                                     \
    { key, FIELD_INTEGER, 1, offsetof(S, member), 0, low, high, initial, 0, meaning }
#define ASKED_CHOICE_FIELD(S, member, key, values, meaning)                                                  \
    { key, FIELD_CHOICE, 1, offsetof(S, member), 0, 0, 0, 0, values, meaning }
#define FIELD_END                                                                                            \
    { 0, FIELD_INTEGER, 0, 0, 0, 0, 0, 0, 0, 0 }

/* A struct, the table that describes it, and whose settings they are ("mixer lmm"). */
typedef struct {
    const char *owner;
    const Field *fields; /* or NULL: it has none */
    void *at;
} FieldSet;

void field_defaults(const Field *fields, void *at);

/* The field of that key, or NULL. */
const Field *field_find(const Field *fields, const char *key);

/* The number of an integer or real; the text of any field. 0, or -1 with a message that names the key and what it may be. */
int field_set_number(const Field *field, void *at, double value, char *message, size_t size);
int field_set_text(const Field *field, void *at, const char *text, char *message, size_t size);

/* An integer's, real's or choice's number; a choice's or text's text ("" for others). */
double field_number(const Field *field, const void *at);
const char *field_text(const Field *field, const void *at, char *text, size_t size);

/* One key: its name, meaning and default ("": none), wrapped to 79 characters. Returns the characters used. */
size_t field_line(const char *key, const char *meaning, const char *initial, char *text, size_t size);

/* One line per key: key, meaning, default. Returns the characters used. */
size_t field_describe(const Field *fields, char *text, size_t size);

/* Says that none of the sets has the key, which they have, and what was probably meant. */
void field_unknown(const FieldSet *sets, int count, const char *key, char *message, size_t size);

/* "unknown mixer "lm" (did you mean "lmm"?); there are: ..", the names being name(0), name(1), .. until NULL. */
void word_unknown(const char *what, const char *typed, const char *(*name)(int i), char *message,
                  size_t size);
