#include "task/shared/prose.h"
#include "base/hash.h"
#include "task/shared/bible.h"
#include "task/shared/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAIL(...) return snprintf(message, size, __VA_ARGS__), -1
enum { LEAST = 1000, HELD_SHARE = 10 };

/* Runs of white space become one blank; the text ends with one. In place, one byte more. */
static int64_t collapse(char *text, int64_t length) {
    int64_t used = 0;
    for (int64_t i = 0; i < length; i++) {
        const char c = text[i];
        const int blank = c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
        if (!blank)
            text[used++] = c;
        else if (used && text[used - 1] != ' ')
            text[used++] = ' ';
    }
    if (used && text[used - 1] != ' ') text[used++] = ' ';
    text[used] = 0;
    return used;
}

static int prose_name(Prose *prose, const char *what, const char *part) {
    const size_t room = strlen(what) + strlen(part) + 3;
    prose->origin = malloc(room);
    if (prose->origin) snprintf(prose->origin, room, "%s, %s", what, part);
    return prose->origin ? 0 : -1;
}

static int open_bible(Prose *prose, Side side, char *message, size_t size) {
    prose->text = bible_read(side, &prose->length, message, size);
    if (!prose->text) return -1;
    if (prose_name(prose, "bible", side == SIDE_TEST ? "New Testament" : "Old Testament"))
        FAIL("bible: no memory");
    return 0;
}

/* ---- files of the data folder ---- */

static int add_file(Prose *prose, const char *name, char *message, size_t size) {
    int64_t n = 0;
    char *text = data_find(name, &n, message, size);
    if (!text && message[0]) return -1;
    if (!text)
        FAIL("%s/%s: no such file; the prose `essays` is essays/ and books/ of $TITANS_DATA", data_folder(),
             name);
    char *larger = realloc(prose->text, (size_t)(prose->length + n + 2));
    if (larger) {
        prose->text = larger;
        memcpy(larger + prose->length, text, (size_t)n);
        prose->length += n;
        larger[prose->length++] = '\n';
    }
    free(text);
    if (!larger) FAIL("%s: no memory", name);
    return 0;
}

static int open_essays(Prose *prose, Side side, char *message, size_t size) {
    static const char *const names[][2] = {
        {"essays/ralph-waldo-emerson_essays.txt", "essays/henry-david-thoreau_walden.txt"},
        {"books/jane-austen_pride-and-prejudice.txt", "books/herman-melville_moby-dick.txt"}};
    for (int i = 0; i < 2; i++)
        if (add_file(prose, names[side][i], message, size)) return -1;
    if (prose_name(prose, "essays", side == SIDE_TEST ? "Austen and Melville" : "Emerson and Thoreau"))
        FAIL("essays: no memory");
    return 0;
}

/* ---- a file of the user ---- */

/* Where the last tenth begins; no character is cut. */
static int64_t held_from(const char *text, int64_t length) {
    int64_t cut = length - length / HELD_SHARE;
    while (cut < length && ((unsigned char)text[cut] & 192) == 128) cut++;
    return cut;
}

static int open_file(Prose *prose, const char *path, Side side, int as_is, char *message, size_t size) {
    prose->text = data_read(path, &prose->length, message, size);
    if (!prose->text) return -1;
    const int64_t whole = as_is ? prose->length : collapse(prose->text, prose->length);
    if (whole == 0) FAIL("%s: is empty, a text of at least %d bytes is wanted", path, LEAST);
    if (whole < LEAST)
        FAIL("%s holds only %lld bytes of text; a haystack needs %d", path, (long long)whole, LEAST);
    const int64_t cut = held_from(prose->text, whole);
    prose->length = side == SIDE_TEST ? whole - cut : cut;
    if (side == SIDE_TEST) memmove(prose->text, prose->text + cut, (size_t)prose->length);
    prose->text[prose->length] = 0;
    if (prose_name(prose, path, side == SIDE_TEST ? "last tenth" : "first nine tenths"))
        FAIL("%s: no memory", path);
    return 0;
}

static int prose_find(Prose *prose, const char *name, Side side, int as_is, char *message, size_t size) {
    *prose = (Prose){.length = 0};
    const int status = !*name || !strcmp(name, "bible") ? open_bible(prose, side, message, size)
                       : !strcmp(name, "essays")        ? open_essays(prose, side, message, size)
                                                        : open_file(prose, name, side, as_is, message, size);
    if (status) return prose_close(prose), -1;
    if (!as_is) prose->length = collapse(prose->text, prose->length);
    prose->hash = hash_bytes(HASH_START, prose->text, (size_t)prose->length);
    return 0;
}

int prose_open_as_is(Prose *prose, const char *name, Side side, char *message, size_t size) {
    return prose_find(prose, name, side, 1, message, size);
}

int prose_open(Prose *prose, const char *name, Side side, char *message, size_t size) {
    return prose_find(prose, name, side, 0, message, size);
}

void prose_close(Prose *prose) {
    free(prose->text);
    free(prose->origin);
    *prose = (Prose){.length = 0};
}
