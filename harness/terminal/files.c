#include "terminal/files.h"
#include "file/output.h"
#include "file/safetensors.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A file that exists is its device and number, one that does not is where it would be. */
typedef struct {
    struct stat info;
    int exists, written;
    char *place, *path;
} Known;

static struct {
    Known *list;
    int count;
} files;

/* Where links lead: the folder as it really is, and the name in it (malloc); NULL when there is no such folder. */
static char *place_of(const char *path) {
    char *target = output_target(path);
    char folder[PATH_MAX], *copy = target ? strdup(target) : 0, *name = copy ? strdup(target) : 0, *place = 0;
    free(target);
    if (copy && name && realpath(dirname(copy), folder)) {
        const char *last = basename(name);
        const size_t size = strlen(folder) + strlen(last) + 2;
        place = malloc(size);
        if (place) snprintf(place, size, "%s/%s", folder, last);
    }
    free(copy);
    free(name);
    return place;
}

static int same(const Known *a, const Known *b) {
    if (a->exists && b->exists) return a->info.st_dev == b->info.st_dev && a->info.st_ino == b->info.st_ino;
    return a->place && b->place && !strcmp(a->place, b->place);
}

static int regular(const Known *k) { return !k->exists || S_ISREG(k->info.st_mode); }

/* The other use of the file, or NULL. */
static const Known *clash(const Known *k) {
    for (int i = 0; i < files.count; i++)
        if ((k->written || files.list[i].written) && regular(k) && same(k, &files.list[i]))
            return &files.list[i];
    return 0;
}

/* The file is known already, for the same use. */
static int known(const Known *k) {
    for (int i = 0; i < files.count; i++)
        if (files.list[i].written == k->written && same(k, &files.list[i])) return 1;
    return 0;
}

static int remember(const char *path, int written, char *message, size_t size) {
    Known k = {.written = written, .place = place_of(path), .path = strdup(path)};
    k.exists = !stat(path, &k.info);
    const Known *other = clash(&k);
    if (!other && known(&k)) return free(k.place), free(k.path), 0;
    Known *list = other ? 0 : realloc(files.list, (size_t)(files.count + 1) * sizeof *list);
    if (list) {
        files.list = list;
        files.list[files.count++] = k;
        return 0;
    }
    if (!other)
        snprintf(message, size, "%s: no memory", path);
    else if (written && other->written)
        snprintf(message, size, "%s: two outputs would be this one file%s%s", path,
                 strcmp(path, other->path) ? ", also named " : "",
                 strcmp(path, other->path) ? other->path : "");
    else
        snprintf(message, size, "%s: this file is read, the output cannot be the same; name another", path);
    free(k.place);
    free(k.path);
    return -1;
}

int files_reads(const char *path, char *message, size_t size) {
    return remember(strcmp(path, "-") ? path : "/dev/stdin", 0, message, size);
}

static int replaceable(const char *path, FilesMode mode) {
    SafeFile file;
    char message[512];
    if (mode == FILES_REPLACE || mode == FILES_NEW) return mode == FILES_REPLACE;
    if (safetensors_read(&file, path, message, sizeof message)) return 0;
    const char *format = safetensors_metadata(&file, "format");
    const int fits = mode == FILES_STATE ? format && !strncmp(format, "titans.c state", 14) : !format;
    safetensors_close(&file);
    return fits;
}

int files_writes(const char *path, FilesMode mode, char *message, size_t size) {
    struct stat info;
    if (remember(path, 1, message, size)) return -1;
    if (!stat(path, &info) && S_ISREG(info.st_mode) && info.st_size > 0 && !replaceable(path, mode)) {
        snprintf(message, size, "%s is there already; --force writes it anew", path);
        return FILES_THERE;
    }
    return output_check(path, message, size);
}

int files_known(void) { return files.count; }

void files_forget(int known) {
    while (files.count > known) {
        files.count--;
        free(files.list[files.count].place);
        free(files.list[files.count].path);
    }
}
