#include "file/input.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITER_MILLISECONDS = 10000, FIRST_BYTES = 1 << 16, ALIGN = 64 };

int (*input_stop)(void);

#define FAIL(...) return snprintf(message, size, __VA_ARGS__), -1

static int refuse(Input *in, const char *why, char *message, size_t size) {
    input_close(in);
    FAIL("%s: %s", in->path, why);
}

/* Opened without waiting, a pipe may have no writer yet. */
static int await_writer(Input *in, char *message, size_t size) {
    struct pollfd fd = {in->fd, POLLIN, 0};
    int ready;
    while ((ready = poll(&fd, 1, WRITER_MILLISECONDS)) < 0 && errno == EINTR)
        if (input_stop && input_stop()) return refuse(in, "interrupted", message, size);
    if (!ready) return refuse(in, "no one writes into this pipe", message, size);
    fcntl(in->fd, F_SETFL, fcntl(in->fd, F_GETFL) & ~O_NONBLOCK);
    return 0;
}

/* Terminals are typed on, /dev/null is empty; what other devices give has no end. */
static int endless(int fd, const struct stat *info) {
    struct stat null;
    if (S_ISBLK(info->st_mode)) return 1;
    if (!S_ISCHR(info->st_mode) || isatty(fd)) return 0;
    return stat("/dev/null", &null) || null.st_rdev != info->st_rdev;
}

int input_open(Input *in, const char *path, char *message, size_t size) {
    struct stat info;
    const int standard = !strcmp(path, "-");
    *in = (Input){.path = standard ? "standard input" : path};
    in->owned = !standard;
    in->size = -1;
    in->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (in->fd < 0 || fstat(in->fd, &info)) {
        const int reason = errno;
        input_close(in);
        FAIL("%s: cannot open: %s", in->path, strerror(reason));
    }
    if (S_ISDIR(info.st_mode)) return refuse(in, "is a folder (directory), a file is wanted", message, size);
    if (endless(in->fd, &info)) return refuse(in, "is a device, a file is wanted", message, size);
    if (S_ISREG(info.st_mode) && info.st_size > 0) in->size = info.st_size;
    if (S_ISFIFO(info.st_mode) && !standard) return await_writer(in, message, size);
    if (!standard) fcntl(in->fd, F_SETFL, fcntl(in->fd, F_GETFL) & ~O_NONBLOCK);
    return 0;
}

/* Waiting ends at a signal, whether or not reading would. 1: give up. */
static int interrupted(const Input *in) {
    struct pollfd fd = {in->fd, POLLIN, 0};
    if (!input_stop || in->size >= 0) return 0;
    while (!input_stop())
        if (poll(&fd, 1, -1) >= 0 || errno != EINTR) return 0;
    return 1;
}

int64_t input_read(Input *in, void *bytes, int64_t count, char *message, size_t size) {
    char *to = bytes;
    int64_t done = 0;
    const int64_t most = 1 << 30; /* one call of the system's */
    while (done < count) {
        if (interrupted(in)) FAIL("%s: interrupted", in->path);
        const ssize_t n = read(in->fd, to + done, (size_t)(count - done < most ? count - done : most));
        if (n > 0) done += n;
        if (n == 0 || (n > 0 && in->size < 0)) break;
        if (n >= 0) continue;
        if (errno == EINTR) continue;
        if (errno == EAGAIN) { /* someone else has made it so that reading does not wait */
            poll(&(struct pollfd){in->fd, POLLIN, 0}, 1, -1);
            continue;
        }
        FAIL("%s: cannot read: %m", in->path);
    }
    return done;
}

void input_close(Input *in) {
    if (in->fd >= 0 && in->owned) close(in->fd);
    in->fd = -1;
}

/* Twice the room, its contents kept. */
static char *grow(char *text, int64_t used, int64_t *room) {
    const int64_t wanted = size_times(*room, 2);
    char *larger = wanted < SIZE_END ? aligned_alloc(ALIGN, (size_t)wanted) : 0;
    if (larger) memcpy(larger, text, (size_t)used), *room = wanted;
    free(text);
    return larger;
}

char *input_all(const char *path, int64_t most, int64_t *length, char *message, size_t size) {
    Input in;
    int64_t used = 0, n = 0, room = FIRST_BYTES;
    if (input_open(&in, path, message, size)) return 0;
    if (in.size >= room && in.size <= most) room = (in.size / ALIGN + 2) * ALIGN;
    char *text = in.size <= most ? aligned_alloc(ALIGN, (size_t)room) : 0;
    while (text && used <= most && (n = input_read(&in, text + used, room - 1 - used, message, size)) > 0)
        if ((used += n) == room - 1) text = grow(text, used, &room);
    input_close(&in);
    if (n < 0) return free(text), (char *)0;
    if (text && used <= most) return text[used] = 0, *length = used, text;
    if (used > most || in.size > most)
        snprintf(message, size, "%s: more than %lld MiB, too large", in.path, (long long)(most >> 20));
    else
        snprintf(message, size, "%s: no memory for %lld bytes", in.path, (long long)room);
    free(text);
    return 0;
}
