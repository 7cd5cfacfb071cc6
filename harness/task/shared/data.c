#include "task/shared/data.h"
#include "base/hash.h"
#include "terminal/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define MOST_TEXT ((int64_t)1 << 31)
enum { RAW = 1 << 16, HEAD = 2 };

#define FAIL(...) return snprintf(message, size, __VA_ARGS__), -1

/* DIRECTORY/NAME/SUFFIX in one (malloc); NULL without memory. */
static char *text_of(const char *a, const char *b, const char *c) {
    const size_t size = strlen(a) + strlen(b) + strlen(c) + 1;
    char *text = malloc(size);
    if (text) snprintf(text, size, "%s%s%s", a, b, c);
    return text;
}

const char *data_folder(void) {
    static char *folder;
    const char *data = getenv("TITANS_DATA"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    free(folder);
    folder = data && *data     ? text_of(data, "", "")
             : cache && *cache ? text_of(cache, "/titans", "")
                               : text_of(home ? home : "", "/.cache/titans", "");
    return folder ? folder : "";
}

/* ---- one file ---- */

struct DataReader {
    Input input;
    unsigned char raw[RAW];
    int64_t used, given;              /* bytes in raw, and of them those that were passed on */
    int gzip, inside, members, ended; /* inside: between a member's beginning and its end */
    z_stream z;
};

static int reader_fill(DataReader *r, char *message, size_t size) {
    const int64_t n = input_read(&r->input, r->raw, RAW, message, size);
    if (n < 0) return -1;
    r->used = n;
    r->given = 0;
    r->ended = n == 0;
    return 0;
}

/* Two bytes tell whether it is gzip; a pipe may give them one by one. */
static int reader_begin(DataReader *r, const char *path, char *message, size_t size) {
    const size_t name = strlen(path);
    while (r->used < HEAD) {
        const int64_t n = input_read(&r->input, r->raw + r->used, RAW - r->used, message, size);
        if (n < 0) return -1;
        if (n == 0) break;
        r->used += n;
    }
    r->gzip = r->used >= HEAD && r->raw[0] == 0x1f && r->raw[1] == 0x8b;
    if (!r->gzip && name > 3 && !strcmp(path + name - 3, ".gz"))
        FAIL("%s: damaged, or not gzip data as its name says", path);
    if (r->gzip && inflateInit2(&r->z, 16 + MAX_WBITS) != Z_OK) FAIL("%s: no memory to unpack it", path);
    return 0;
}

DataReader *data_open(const char *path, char *message, size_t size) {
    DataReader *r = calloc(1, sizeof *r);
    if (!r) return snprintf(message, size, "%s: no memory to read it", path), (DataReader *)0;
    if (files_reads(path, message, size) || input_open(&r->input, path, message, size))
        return free(r), (DataReader *)0;
    if (!reader_begin(r, path, message, size)) return r;
    data_close(r);
    return 0;
}

void data_close(DataReader *r) {
    if (!r) return;
    if (r->gzip) inflateEnd(&r->z);
    input_close(&r->input);
    free(r);
}

static int64_t next_plain(DataReader *r, void *bytes, int64_t count, char *message, size_t size) {
    if (r->given == r->used && !r->ended && reader_fill(r, message, size)) return -1;
    const int64_t left = r->used - r->given, n = left < count ? left : count;
    memcpy(bytes, r->raw + r->given, (size_t)n);
    r->given += n;
    return n;
}

/* What zlib says of the data at hand. 0: go on. */
static int unpacked(DataReader *r, int status, char *message, size_t size) {
    const char *path = r->input.path;
    if (status == Z_STREAM_END) {
        r->inside = 0;
        r->members++;
        return inflateReset(&r->z) == Z_OK ? 0 : -1;
    }
    if (status == Z_OK || status == Z_BUF_ERROR) return 0;
    if (status == Z_MEM_ERROR) FAIL("%s: no memory to unpack it", path);
    if (r->members && !r->z.total_out) FAIL("%s: damaged gzip data: something else follows their end", path);
    FAIL("%s: damaged gzip data (%s)", path, r->z.msg ? r->z.msg : "checksum");
}

static int64_t next_unpacked(DataReader *r, void *bytes, int64_t count, char *message, size_t size) {
    r->z.next_out = bytes;
    r->z.avail_out = (uInt)(count < RAW ? count : RAW);
    const uInt wanted = r->z.avail_out;
    while (r->z.avail_out == wanted) {
        if (r->given == r->used) {
            if (reader_fill(r, message, size)) return -1;
            if (r->ended && r->inside) FAIL("%s: damaged gzip data: truncated", r->input.path);
            if (r->ended) return 0;
        }
        /* blocks of zeros may pad what tape or disk images hold */
        if (!r->inside && r->raw[r->given] == 0) {
            r->given++;
            continue;
        }
        r->z.next_in = r->raw + r->given;
        r->z.avail_in = (uInt)(r->used - r->given);
        r->inside = 1;
        const int status = inflate(&r->z, Z_NO_FLUSH);
        r->given = r->used - r->z.avail_in;
        if (unpacked(r, status, message, size)) return -1;
    }
    return wanted - r->z.avail_out;
}

int64_t data_next(DataReader *r, void *bytes, int64_t count, char *message, size_t size) {
    return r->gzip ? next_unpacked(r, bytes, count, message, size)
                   : next_plain(r, bytes, count, message, size);
}

char *data_rest(DataReader *r, int64_t *length, char *message, size_t size) {
    int64_t room = RAW, n = 1;
    char *text = malloc((size_t)room + 1);
    *length = 0;
    while (text && n > 0) {
        n = data_next(r, text + *length, room - *length, message, size);
        if (n < 0) return free(text), (char *)0;
        if ((*length += n) < room) continue;
        if (room >= MOST_TEXT) {
            snprintf(message, size, "%s: more than 2 GiB of text, too large", r->input.path);
            return free(text), (char *)0;
        }
        char *larger = realloc(text, (size_t)(room *= 2) + 1);
        if (!larger) free(text);
        text = larger;
    }
    if (!text)
        return snprintf(message, size, "%s: no memory for %lld bytes", r->input.path, (long long)room), text;
    text[*length] = 0;
    return text;
}

char *data_read(const char *path, int64_t *length, char *message, size_t size) {
    DataReader *r = data_open(path, message, size);
    char *text = r ? data_rest(r, length, message, size) : 0;
    data_close(r);
    return text;
}

/* ---- the data folder ---- */

/* What cannot be looked at is not missing: reading it will say why. */
static int is_there(const char *path) {
    struct stat info;
    return path && (!lstat(path, &info) || errno != ENOENT);
}

char *data_find(const char *name, int64_t *length, char *message, size_t size) {
    char *text = 0;
    message[0] = 0;
    char *folder = text_of(data_folder(), "/", name), *packed = folder ? text_of(folder, ".gz", "") : 0;
    if (is_there(folder))
        text = data_read(folder, length, message, size);
    else if (is_there(packed))
        text = data_read(packed, length, message, size);
    else if (!packed)
        snprintf(message, size, "%s: no memory", name);
    free(packed);
    free(folder);
    return text;
}

/* ---- prose ---- */

static char *licence_find(const char *path, int64_t *length, char *message, size_t size) {
    message[0] = 0;
    return is_there(path) ? data_read(path, length, message, size) : 0;
}

/* The texts of several files as one, each ended by a line end; missing: one of those that are not there. NULL: none is
 * (no message), or one cannot be read (message). */
static char *joined(char *(*find)(const char *, int64_t *, char *, size_t), const char *const *names,
                    const char **missing, int64_t *length, char *message, size_t size) {
    char *sum = 0;
    *length = 0;
    message[0] = 0;
    for (int i = 0; names[i] && !message[0]; i++) {
        int64_t n = 0;
        char *text = find(names[i], &n, message, size);
        if (!text) {
            *missing = names[i];
            continue;
        }
        char *larger = realloc(sum, (size_t)(*length + n + 2));
        if (larger) {
            sum = larger;
            memcpy(sum + *length, text, (size_t)n);
            *length += n;
            sum[(*length)++] = '\n';
        } else
            snprintf(message, size, "no memory for %lld bytes of text", (long long)(*length + n));
        free(text);
    }
    if (message[0]) free(sum);
    return message[0] ? 0 : sum;
}

/* Runs of white space become one blank; the text ends with one. In place. */
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

/* A text as it lies in its files, and what it is called. */
static int prose_find(Prose *prose, const char *path, const char **origin, char *message, size_t size) {
    static const char *const essays[] = {"essays/ralph-waldo-emerson_essays.txt",
                                         "essays/henry-david-thoreau_walden.txt", 0};
    static const char *const licences[] = {
        "/usr/share/common-licenses/GPL-3", "/usr/share/common-licenses/GFDL-1.3",
        "/usr/share/common-licenses/Apache-2.0", "/usr/share/common-licenses/MPL-2.0", 0};
    *origin = path;
    if (*path) {
        prose->text = data_read(path, &prose->length, message, size);
        return prose->text ? 0 : -1;
    }
    const char *missing = 0;
    *origin = "essays of the data folder";
    prose->text = joined(data_find, essays, &missing, &prose->length, message, size);
    if (prose->text && !missing) return 0;
    if (prose->text) FAIL("%s/%s: no such file, while others of the set are there", data_folder(), missing);
    if (message[0]) return -1;
    *origin = "licence texts of this system"; /* not every system has them all: the hash tells them apart */
    prose->text = joined(licence_find, licences, &missing, &prose->length, message, size);
    if (prose->text) return 0;
    if (!message[0])
        snprintf(message, size,
                 "no text for the haystack: put essays/ into %s or name a file with --haystack",
                 data_folder());
    return -1;
}

static int prose_finish(Prose *prose, const char *origin, char *message, size_t size) {
    enum { LEAST = 1000 };
    prose->origin = text_of(origin, "", "");
    prose->hash = hash_bytes(HASH_START, prose->text, (size_t)prose->length);
    if (prose->origin && prose->length >= LEAST) return 0;
    if (!prose->origin)
        snprintf(message, size, "%s: no memory", origin);
    else if (prose->length == 0)
        snprintf(message, size, "%s: is empty, a text of at least %d bytes is wanted", origin, LEAST);
    else
        snprintf(message, size, "%s holds only %lld bytes of text; a haystack needs %d", origin,
                 (long long)prose->length, LEAST);
    prose_close(prose);
    return -1;
}

int prose_open_as_is(Prose *prose, const char *path, char *message, size_t size) {
    const char *origin;
    *prose = (Prose){.length = 0};
    if (!prose_find(prose, path, &origin, message, size)) return prose_finish(prose, origin, message, size);
    prose_close(prose);
    return -1;
}

int prose_open(Prose *prose, const char *path, char *message, size_t size) {
    const char *origin;
    *prose = (Prose){.length = 0};
    if (prose_find(prose, path, &origin, message, size)) return prose_close(prose), -1;
    prose->length = collapse(prose->text, prose->length);
    return prose_finish(prose, origin, message, size);
}

void prose_close(Prose *prose) {
    free(prose->text);
    free(prose->origin);
    *prose = (Prose){.length = 0};
}

/* ---- words ---- */

static int is_blank(const char *word) { return !word[strspn(word, " \t")]; }

/* The words and, behind them in one block, the text they lie in. */
static const char **words_split(char *text, int64_t length, int64_t *count) {
    const size_t slots = ((size_t)length / 2 + 2) * sizeof(char *);
    char **words = calloc(1, slots + (size_t)length + 1);
    if (!words) return 0;
    char *rest = memcpy((char *)words + slots, text, (size_t)length);
    for (char *word; (word = strtok_r(rest, "\r\n", &rest));)
        if (!is_blank(word)) words[(*count)++] = word;
    return (const char **)words;
}

static const char *const *words_hashed(const char *const *words, int64_t count, uint64_t *hash) {
    for (int64_t i = 0; i < count; i++) *hash = hash_bytes(*hash, words[i], strlen(words[i]) + 1);
    return words;
}

const char *const *data_words(const char *name, const char *const *fallback, int64_t *count, uint64_t *hash,
                              char *message, size_t size) {
    char path[256];
    int64_t length = 0;
    snprintf(path, sizeof path, "wordlists/%s", name);
    char *text = data_find(path, &length, message, size);
    *count = 0;
    if (!text && message[0]) return 0;
    if (!text) {
        while (fallback[*count]) ++*count;
        return words_hashed(fallback, *count, hash);
    }
    const char **words = memchr(text, 0, (size_t)length) ? 0 : words_split(text, length, count);
    if (words && *count > 0) return free(text), words_hashed(words, *count, hash);
    snprintf(message, size, "%s/%s: %s", data_folder(), path,
             words                             ? "holds no words, one a line are wanted"
             : memchr(text, 0, (size_t)length) ? "is no text: it holds the character 0"
                                               : "no memory for its words");
    free(words);
    free(text);
    return 0;
}

void data_words_free(const char *const *words, const char *const *fallback) {
    if (words != fallback) free((void *)(uintptr_t)words);
}
