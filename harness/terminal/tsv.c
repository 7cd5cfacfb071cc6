#include "terminal/tsv.h"
#include "base/dispatch.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* First line a command prints, or a field of /proc/cpuinfo; "unknown" where there is none. */
static void first_line(const char *command, char *line, int size) {
    FILE *pipe = popen(command, "r");
    if (!pipe || !fgets(line, size, pipe)) snprintf(line, (size_t)size, "unknown");
    if (pipe) pclose(pipe);
    line[strcspn(line, "\n")] = 0;
}

int tsv_open(Tsv *t, const char *path, const char *command, const char *columns, char *message, size_t size) {
    char cpu[128], commit[64];
    struct utsname system;
    uname(&system);
    snprintf(t->path, sizeof t->path, "%s", path);
    snprintf(t->temporary, sizeof t->temporary, "%s.tmp", path);
    t->file = fopen(t->temporary, "w");
    if (!t->file) {
        snprintf(message, size, "cannot create %s: %m", t->temporary);
        return -1;
    }
    first_line("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1", cpu, sizeof cpu);
    first_line(
        "{ git rev-parse --short HEAD && { git diff --quiet HEAD -- reference optimized harness Makefile || "
        "echo modified; }; } 2>/dev/null | paste -sd-",
        commit, sizeof commit);
    fprintf(t->file,
            "# machine: %s, %ld processors, %s %s\n# isa: %s\n# threads: %d\n# compiler: %s\n# commit: %s\n",
            cpu, sysconf(_SC_NPROCESSORS_ONLN), system.sysname, system.machine, kernel->isa,
            omp_get_max_threads(),
#ifdef __clang__
            __VERSION__,
#else
            "gcc " __VERSION__,
#endif
            commit);
    fprintf(t->file, "# command: %s\n%s\n", command, columns);
    return 0;
}

void tsv_keep(Tsv *t, int key, double last) {
    char line[4096];
    int header = 1;
    FILE *old = fopen(t->path, "r");
    while (old && fgets(line, sizeof line, old)) {
        const char *field = line;
        if (*line == '#' || header) {
            header &= *line == '#';
            continue;
        }
        for (int i = 0; i < key && field; i++) field = (field = strchr(field, '\t')) ? field + 1 : 0;
        if (field && strtod(field, 0) <= last) fputs(line, t->file);
    }
    if (old) fclose(old);
}

void tsv_discard(Tsv *t) {
    if (!t->file) return;
    fclose(t->file);
    unlink(t->temporary);
    t->file = 0;
}

int tsv_close(Tsv *t, char *message, size_t size) {
    int failed = fflush(t->file) || ferror(t->file) || fsync(fileno(t->file));
    failed |= fclose(t->file);
    if (!failed && !rename(t->temporary, t->path)) return 0;
    snprintf(message, size, "cannot write %s: %m", t->path);
    unlink(t->temporary);
    return -1;
}

int tsv_end(Tsv *t, int status, char *message, size_t size) {
    if (!status) return tsv_close(t, message, size);
    tsv_discard(t);
    return status;
}

void tsv_command(char *text, size_t size, int argc, char **argv) {
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < argc && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " " : "", argv[i]);
}
