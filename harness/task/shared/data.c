#include "task/shared/data.h"
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

const char *data_folder(char *path, size_t size) {
    const char *folder = getenv("TITANS_DATA"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (folder && *folder)
        snprintf(path, size, "%s", folder);
    else if (cache && *cache)
        snprintf(path, size, "%s/titans", cache);
    else
        snprintf(path, size, "%s/.cache/titans", home ? home : "");
    return path;
}

char *data_read(const char *path, int64_t *length, char *message, size_t size) {
    gzFile file = gzopen(path, "rb");
    int64_t used = 0, capacity = 1 << 20;
    char *text = file ? malloc((size_t)capacity) : 0;
    int got = 0;
    while (text && (got = gzread(file, text + used, (unsigned)(capacity - used - 1))) > 0) {
        used += got;
        if (capacity - used > 1) continue;
        char *larger = realloc(text, (size_t)(capacity *= 2));
        if (!larger) free(text);
        text = larger;
    }
    if (file) gzclose(file);
    if (!file || got < 0 || !text) {
        snprintf(message, size, "cannot read %s: %s", path,
                 !file     ? "no such file"
                 : got < 0 ? "damaged gzip data"
                           : "no memory");
        free(text);
        return 0;
    }
    text[used] = 0;
    *length = used;
    return text;
}

char *data_find(const char *name, int64_t *length, char *message, size_t size) {
    char folder[2048], path[4096];
    data_folder(folder, sizeof folder);
    message[0] = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s%s", folder, name, i ? ".gz" : "");
        if (!access(path, R_OK)) return data_read(path, length, message, size);
    }
    return 0;
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

static char *joined(char *(*get)(const char *, int64_t *, char *, size_t), const char *const *names,
                    int64_t *length, char *message, size_t size) {
    char *all = 0;
    *length = 0;
    for (int i = 0; names[i]; i++) {
        int64_t n = 0;
        char *text = get(names[i], &n, message, size);
        if (!text) continue;
        char *larger = realloc(all, (size_t)(*length + n + 2));
        CHECK(larger, "no memory for %ld bytes of text", *length + n);
        all = larger;
        memcpy(all + *length, text, (size_t)n);
        *length += n;
        all[(*length)++] = '\n';
        free(text);
    }
    return all;
}

int prose_open(Prose *prose, const char *path, char *message, size_t size) {
    static const char *const essays[] = {"essays/ralph-waldo-emerson_essays.txt",
                                         "essays/henry-david-thoreau_walden.txt", 0};
    static const char *const licences[] = {
        "/usr/share/common-licenses/GPL-3", "/usr/share/common-licenses/GFDL-1.3",
        "/usr/share/common-licenses/Apache-2.0", "/usr/share/common-licenses/MPL-2.0", 0};
    char folder[2048];
    const char *origin = path;
    *prose = (Prose){.length = 0};
    if (*path)
        prose->text = data_read(path, &prose->length, message, size);
    else if ((prose->text = joined(data_find, essays, &prose->length, message, size)))
        origin = "essays of the data folder";
    else {
        origin = "licence texts of this system";
        prose->text = joined(data_read, licences, &prose->length, message, size);
        if (!prose->text)
            snprintf(message, size,
                     "no text for the haystack: put essays/ into %s or name a file with --haystack",
                     data_folder(folder, sizeof folder));
    }
    if (!prose->text) return -1;
    prose->length = collapse(prose->text, prose->length);
    snprintf(prose->origin, sizeof prose->origin, "%s", origin);
    if (prose->length >= 1000) return 0;
    snprintf(message, size, "%s holds only %lld bytes of text; a haystack needs 1000", origin,
             (long long)prose->length);
    prose_close(prose);
    return -1;
}

void prose_close(Prose *prose) {
    free(prose->text);
    prose->text = 0;
}

/* The words and, behind them in one block, the text they lie in. */
static const char **words_split(char *text, int64_t length, int64_t *count) {
    const size_t slots = ((size_t)length / 2 + 2) * sizeof(char *);
    char **words = calloc(1, slots + (size_t)length + 1);
    if (!words) return 0;
    char *rest = memcpy((char *)words + slots, text, (size_t)length);
    for (char *word; (word = strtok_r(rest, "\r\n", &rest));) words[(*count)++] = word;
    return (const char **)words;
}

const char *const *data_words(const char *name, const char *const *fallback, int64_t *count, char *message,
                              size_t size) {
    char path[256];
    int64_t length;
    snprintf(path, sizeof path, "wordlists/%s", name);
    char *text = data_find(path, &length, message, size);
    *count = 0;
    if (!text) {
        while (fallback[*count]) ++*count;
        return fallback;
    }
    const char **words = words_split(text, length, count);
    if (!words) snprintf(message, size, "no memory for %lld bytes of words", (long long)length);
    free(text);
    return words;
}

void data_words_free(const char *const *words, const char *const *fallback) {
    if (words != fallback) free((void *)(uintptr_t)words);
}
