#include "bench/peer/process.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int process_start(Process *p, char *const argv[], char *message, size_t size) {
    int to[2], from[2];
    if (pipe(to)) return snprintf(message, size, "no pipe: %s", strerror(errno)), -1;
    if (pipe(from))
        return snprintf(message, size, "no pipe: %s", strerror(errno)), close(to[0]), close(to[1]), -1;
    signal(SIGPIPE, SIG_IGN); /* a write to a process that has ended is an error, not our end */
    p->pid = fork();
    if (p->pid == 0) {
        dup2(to[0], STDIN_FILENO), dup2(from[1], STDOUT_FILENO);
        close(to[0]), close(to[1]), close(from[0]), close(from[1]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(to[0]), close(from[1]);
    if (p->pid < 0)
        return snprintf(message, size, "no process: %s", strerror(errno)), close(to[1]), close(from[0]), -1;
    p->to = fdopen(to[1], "w"), p->from = fdopen(from[0], "r");
    if (p->to && p->from) return 0;
    return snprintf(message, size, "no memory"), -1;
}

/* How it has ended, as a message. */
static int ended(Process *p, char *message, size_t size) {
    int status = 0;
    if (p->pid > 0 && waitpid(p->pid, &status, 0) == p->pid) p->pid = 0;
    if (WIFSIGNALED(status)) return snprintf(message, size, "was killed by signal %d", WTERMSIG(status)), -1;
    if (WEXITSTATUS(status) == 127) return snprintf(message, size, "cannot be run"), -1;
    return snprintf(message, size, "has ended with code %d", WEXITSTATUS(status)), -1;
}

void process_say(Process *p, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vfprintf(p->to, format, list);
    va_end(list);
    fputc('\n', p->to);
    fflush(p->to);
}

void process_send(Process *p, const float *data, int64_t count) {
    fwrite(data, sizeof *data, (size_t)count, p->to);
    fflush(p->to);
}

int process_line(Process *p, char *line, size_t length, char *message, size_t size) {
    if (!fgets(line, (int)length, p->from)) return ended(p, message, size);
    char *end = strchr(line, '\n');
    if (!end) return snprintf(message, size, "says what is no line: %.60s", line), -1;
    *end = 0;
    return 0;
}

int process_receive(Process *p, float *data, int64_t count, char *message, size_t size) {
    const size_t n = (size_t)count;
    return fread(data, sizeof *data, n, p->from) != n ? ended(p, message, size) : 0;
}

void process_end(Process *p) {
    if (p->to) fclose(p->to);
    if (p->from) fclose(p->from);
    if (p->pid > 0) {
        kill(p->pid, SIGTERM);
        waitpid(p->pid, 0, 0);
    }
    *p = (Process){0};
}
