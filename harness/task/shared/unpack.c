#include "task/shared/unpack.h"

#include <stdlib.h>

enum {
    HEAD = 3, /* two magic bytes, then the widest code and whether the table is cleared on the way */
    NARROW = 9,
    WIDE = 16,
    CODES = 1 << WIDE,
    BYTES = 256,
    CLEAR = BYTES, /* the code that empties the table */
    GROUP = 8      /* a width lasts for whole groups of eight codes */
};

typedef struct {
    const unsigned char *bytes;
    int64_t bits, at, begin; /* begin: where codes of this width began */
    int width;
} Codes;

/* A code stands for what code `before` does and one byte more. */
typedef struct {
    uint16_t before[CODES];
    unsigned char last[CODES], reversed[CODES];
    int free, previous;  /* the next code to be defined; the code read before, -1: none */
    unsigned char first; /* byte of the last code's text */
    char *text;
    int64_t length, most;
} Unpacked;

static void codes_width(Codes *c, int width) {
    const int64_t group = (int64_t)GROUP * c->width;
    c->at = c->begin + (c->at - c->begin + group - 1) / group * group;
    c->begin = c->at;
    c->width = width;
}

/* -1 at the end. */
static int codes_next(Codes *c) {
    int code = 0;
    if (c->at + c->width > c->bits) return -1;
    for (int i = 0; i < c->width; i++, c->at++) code |= (c->bytes[c->at / 8] >> c->at % 8 & 1) << i;
    return code;
}

/* Writes what a code stands for and defines the next one. */
static int unpack_code(Unpacked *u, int code) {
    int n = 0, rest = code;
    if (code > u->free || (code == u->free && u->previous < 0)) return -1;
    if (code == u->free) {
        u->reversed[n++] = u->first;
        rest = u->previous;
    }
    for (; rest >= BYTES; rest = u->before[rest]) u->reversed[n++] = u->last[rest];
    u->reversed[n++] = u->first = (unsigned char)rest;
    if (u->length + n > u->most) return -1;
    while (n > 0) u->text[u->length++] = (char)u->reversed[--n];
    if (u->previous >= 0 && u->free < CODES) {
        u->before[u->free] = (uint16_t)u->previous;
        u->last[u->free++] = u->first;
    }
    u->previous = code;
    return 0;
}

static int unpack_all(Unpacked *u, Codes *c) {
    int code;
    u->free = CLEAR + 1;
    u->previous = -1;
    while ((code = codes_next(c)) >= 0) {
        if (code == CLEAR) {
            codes_width(c, NARROW);
            u->free = CLEAR + 1;
            u->previous = -1;
        } else if (unpack_code(u, code))
            return -1;
        if (u->free >= 1 << c->width && c->width < WIDE) codes_width(c, c->width + 1);
    }
    return 0;
}

char *unpack(const unsigned char *bytes, int64_t size, int64_t most, int64_t *length) {
    Codes codes = {bytes, 8 * size, 8 * HEAD, 8 * HEAD, NARROW};
    Unpacked *u = calloc(1, sizeof *u);
    char *text = 0;
    if (u && size > HEAD && bytes[0] == 0x1f && bytes[1] == 0x9d && bytes[2] == (0x80 | WIDE)) {
        u->most = most;
        u->text = malloc((size_t)most + 1);
        if (u->text && !unpack_all(u, &codes)) {
            text = u->text;
            text[ *length = u->length] = 0;
        } else
            free(u->text);
    }
    free(u);
    return text;
}
