#include "task/shared/data.h"
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

/* ---- what packages install ---- */

const char *data_packages(const char *place) {
    const char *packages = getenv("TITANS_PACKAGES");
    return packages && *packages ? packages : place;
}

char *data_package(const char *name, const char *place, const char *package, int64_t *length, char *message,
                   size_t size) {
    char *path = text_of(data_packages(place), "/", name), *text = 0;
    if (!path)
        snprintf(message, size, "%s: no memory", name);
    else if (is_there(path))
        text = data_read(path, length, message, size);
    else
        snprintf(message, size, "%s is not there: Debian's package %s has it, `make deps` installs it", path,
                 package);
    free(path);
    return text;
}
