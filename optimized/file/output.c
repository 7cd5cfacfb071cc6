#include "file/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_LINKS = 40, ATTEMPTS = 100 };

#define FAIL(...) return snprintf(message, size, __VA_ARGS__), -1

/* The folder of a path (malloc). */
static char *folder_of(const char *path) {
    char *copy = strdup(path), *folder = copy ? strdup(dirname(copy)) : 0;
    free(copy);
    return folder;
}

/* FOLDER/NAME (malloc). */
static char *path_join(const char *folder, const char *name) {
    const size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%s/%s", folder, name);
    return path;
}

char *output_target(const char *path) {
    char *at = strdup(path);
    for (int i = 0; at && i < MOST_LINKS; i++) {
        char link[PATH_MAX];
        const ssize_t n = readlink(at, link, sizeof link - 1);
        if (n < 0) return at;
        link[n] = 0;
        char *folder = link[0] == '/' ? 0 : folder_of(at);
        char *next = folder ? path_join(folder, link) : strdup(link);
        free(folder);
        free(at);
        at = next;
    }
    free(at);
    errno = ELOOP;
    return 0;
}

static int same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Descriptors 1 and 2 that lead to the same place as the path: standard output is written through, a file that takes
 * the messages would be mixed with them. -1: neither. */
static int own_stream(const struct stat *info) {
    struct stat own;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (!fstat(fd, &own) && same_file(&own, info)) return fd;
    return -1;
}

static int open_through(Output *o, const char *path, int own, char *message, size_t size) {
    const int fd = own >= 0 ? dup(own) : open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    o->through = 1;
    o->file = fd < 0 ? 0 : fdopen(fd, "w");
    if (o->file) return 0;
    const int reason = errno;
    if (fd >= 0) close(fd);
    FAIL("cannot write %s: %s", path, strerror(reason));
}

/* A name that no other process and no other attempt makes. 0, or -1 with errno. */
static int temporary_name(Output *o, const char *folder, int attempt) {
    char name[64];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(name, sizeof name, ".titans-%lx-%lx%02x", (long)getpid(), now.tv_nsec, attempt);
    free(o->temporary);
    o->temporary = path_join(folder, name);
    return o->temporary ? 0 : (errno = ENOMEM, -1);
}

/* A file in the folder that no one else has: without a name, or with a new one. The descriptor, or -1 with errno. */
static int open_beside(Output *o, const char *folder) {
    int fd = -1;
#ifdef O_TMPFILE
    fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
#endif
    for (int i = 0; fd < 0 && i < ATTEMPTS; i++) {
        if (temporary_name(o, folder, i)) return -1;
        fd = open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) break;
    }
    if (fd < 0) free(o->temporary), o->temporary = 0;
    return fd;
}

static void keep_mode(int fd, const struct stat *old) {
    if (fchown(fd, old->st_uid, old->st_gid)) (void)!fchown(fd, (uid_t)-1, old->st_gid);
    (void)!fchmod(fd, old->st_mode & 07777);
}

int output_open(Output *o, const char *path, char *message, size_t size) {
    struct stat old;
    *o = (Output){0};
    const int exists = !stat(path, &old);
    if (!exists && errno != ENOENT) FAIL("cannot write %s: %m", path);
    if (exists && S_ISDIR(old.st_mode)) FAIL("cannot write %s: it is a folder (directory)", path);
    const int own = exists ? own_stream(&old) : -1;
    if (own == STDERR_FILENO && S_ISREG(old.st_mode)) FAIL("cannot write %s: messages go there", path);
    if (own >= 0 || (exists && !S_ISREG(old.st_mode))) return open_through(o, path, own, message, size);
    if (exists && access(path, W_OK)) FAIL("cannot write %s: %m", path);
    if (!*path || path[strlen(path) - 1] == '/') FAIL("cannot write '%s': a file's name is wanted", path);
    o->target = output_target(path);
    char *folder = o->target ? folder_of(o->target) : 0;
    const int fd = folder ? open_beside(o, folder) : -1, reason = errno;
    free(folder);
    if (fd >= 0 && exists) keep_mode(fd, &old);
    if (fd >= 0 && (o->file = fdopen(fd, "w"))) return 0;
    if (fd >= 0) close(fd);
    output_discard(o);
    FAIL("cannot create %s: %s", path, strerror(reason));
}

void output_discard(Output *o) {
    if (o->file) fclose(o->file);
    if (o->temporary) unlink(o->temporary);
    free(o->temporary);
    free(o->target);
    *o = (Output){0};
}

int output_check(const char *path, char *message, size_t size) {
    struct stat info;
    Output o;
    if (!stat(path, &info) && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
        if (S_ISSOCK(info.st_mode)) FAIL("cannot write %s: it is a socket", path);
        if (own_stream(&info) < 0 && access(path, W_OK)) FAIL("cannot write %s: %m", path);
        return 0;
    }
    if (output_open(&o, path, message, size)) return -1;
    output_discard(&o);
    return 0;
}

/* Gives a nameless file a name beside its target, to be moved from. */
static int name_it(Output *o) {
    char source[64];
    int status = -1;
    if (o->temporary) return 0;
    char *folder = folder_of(o->target);
    snprintf(source, sizeof source, "/proc/self/fd/%d", fileno(o->file));
    for (int i = 0; folder && status && i < ATTEMPTS; i++) {
        if (temporary_name(o, folder, i)) break;
        status = linkat(AT_FDCWD, source, AT_FDCWD, o->temporary, AT_SYMLINK_FOLLOW);
        if (status && errno != EEXIST) break;
    }
    free(folder);
    if (status) free(o->temporary), o->temporary = 0;
    return status;
}

static int write_all(int fd, const char *bytes, ssize_t count) {
    for (ssize_t n; count > 0; bytes += n, count -= n)
        if ((n = write(fd, bytes, (size_t)count)) < 0) return -1;
    return 0;
}

static int copy_bytes(int from, int to) {
    char bytes[1 << 16];
    off_t total = 0;
    ssize_t n;
    while ((n = read(from, bytes, sizeof bytes)) > 0) {
        if (write_all(to, bytes, n)) return -1;
        total += n;
    }
    return n < 0 || ftruncate(to, total) || fsync(to) ? -1 : 0;
}

/* A file with several names is written over, so that all of them see it: by one writer at a time, and only when there is
 * room for all of it. *begun: the old contents are gone. */
static int copy_over(const Output *o, int *begun) {
    struct stat size;
    const int from = open(o->temporary, O_RDONLY | O_CLOEXEC),
              to = open(o->target, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    int status = from < 0 || to < 0 || flock(to, LOCK_EX) || fstat(from, &size) ? -1 : 0;
    if (!status && fallocate(to, FALLOC_FL_KEEP_SIZE, 0, size.st_size + 1) && errno != EOPNOTSUPP)
        status = -1;
    *begun = !status;
    if (!status) status = copy_bytes(from, to);
    if (from >= 0) close(from);
    if (to >= 0) status |= close(to);
    if (!status) unlink(o->temporary);
    return status;
}

/* Makes a rename itself durable. */
static void sync_folder(const char *path) {
    char *folder = folder_of(path);
    const int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    if (fd < 0) return;
    (void)!fsync(fd);
    close(fd);
}

/* *begun: the old file was written into. */
static int output_move(Output *o, int *begun) {
    struct stat old;
    if (name_it(o)) return -1;
    if (fclose(o->file)) return o->file = 0, -1;
    o->file = 0;
    const int several = !lstat(o->target, &old) && S_ISREG(old.st_mode) && old.st_nlink > 1;
    if (several ? copy_over(o, begun) : rename(o->temporary, o->target)) return -1;
    free(o->temporary);
    o->temporary = 0;
    sync_folder(o->target);
    return 0;
}

int output_commit(Output *o, const char *path, char *message, size_t size) {
    const int failed_write = fflush(o->file) || ferror(o->file);
    int failed = failed_write, begun = 0;
    if (!failed && fsync(fileno(o->file))) failed = errno != EINVAL && errno != EROFS && errno != ENOTSUP;
    if (!failed && !o->through) failed = output_move(o, &begun);
    if (!failed && o->through) failed = fclose(o->file), o->file = 0;
    const int reason = errno;
    if (!failed) return output_discard(o), 0;
    snprintf(message, size, "cannot write %s: %s%s%s", path, strerror(reason),
             o->through ? ""
             : begun    ? "; it is damaged, the whole new file is "
                        : "; the previous file, if any, is untouched",
             begun ? o->temporary : "");
    if (begun) free(o->temporary), o->temporary = 0; /* stays */
    output_discard(o);
    return -1;
}
