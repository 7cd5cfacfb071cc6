#include "task/shared/bible.h"
#include "task/shared/data.h"
#include "task/shared/unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "bible.data"
#define PLACE "/usr/lib"
enum { HEAD = 88, MOST_TEXT = 1 << 24 };

/* Big-endian words of the head: the number of windows, then where each ends in the file. */
static int64_t head_word(const char *bytes, int64_t at) {
    const unsigned char *p = (const unsigned char *)bytes + at;
    return (int64_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

/* "Ge1:1 In the beginning ..", one verse a line behind a title; NULL where the file is damaged. */
static char *verses(const char *bytes, int64_t size, int64_t *length) {
    if (size < HEAD + 8 || memcmp(bytes, "EC02", 4)) return 0;
    const int64_t windows = head_word(bytes, HEAD), begin = HEAD + 4 + 4 * (windows + 1);
    if (begin > size || head_word(bytes, begin - 4) != size) return 0;
    return unpack((const unsigned char *)bytes + begin, size - begin, MOST_TEXT, length);
}

/* Bytes of the reference before a verse, its blank included; 0 where there is none. */
static int64_t reference(const char *line) {
    const char *at = line;
    if (*at >= '1' && *at <= '3') at++;
    const size_t book = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    const size_t chapter = strspn(at + book, "0123456789");
    if (!book || !chapter || at[book + chapter] != ':') return 0;
    at += book + chapter + 1;
    const size_t verse = strspn(at, "0123456789");
    return verse && at[verse] == ' ' ? at + verse + 1 - line : 0;
}

/* The verses from one to before another (NULL: the end), in place at the beginning of the text; the length, 0 where a
 * line is no verse. */
static int64_t strip(char *text, const char *from, const char *to) {
    int64_t used = 0;
    for (const char *line = from; *line && line != to;) {
        const char *end = strchr(line, '\n');
        const int64_t name = reference(line), n = end ? end + 1 - line - name : 0;
        if (!name || n <= 0) return 0;
        memmove(text + used, line + name, (size_t)n);
        used += n;
        line = end + 1;
    }
    text[used] = 0;
    return used;
}

char *bible_read(Side side, int64_t *length, char *message, size_t size) {
    int64_t packed = 0, whole = 0;
    char *bytes = data_package(FILE_NAME, PLACE, "bible-kjv-text", &packed, message, size);
    if (!bytes) return 0;
    char *text = verses(bytes, packed, &whole);
    free(bytes);
    const char *old = text ? strstr(text, "\nGe1:1 ") : 0, *new = old ? strstr(old, "\nMat1:1 ") : 0;
    if (new) *length = side == SIDE_TEST ? strip(text, new + 1, 0) : strip(text, old + 1, new + 1);
    if (new &&*length > 0) return text;
    free(text);
    snprintf(message, size, "%s/" FILE_NAME ": damaged, or not that of the package bible-kjv-text",
             data_packages(PLACE));
    return 0;
}
