#include "terminal/tsv.h"
#include "base/dispatch.h"
#include "base/number.h"
#include "terminal/files.h"

#include "build.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The value of a line "name : value" of /proc/cpuinfo; "unknown" where there is none. */
static void cpu_name(char *name, size_t size) {
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(name, size, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (file) fclose(file);
}

void tsv_text(FILE *to, const char *text) {
    static const char plain[] = "\t\n\r\\", letter[] = "tnr\\";
    for (; *text; text++) {
        const char *odd = strchr(plain, *text);
        if (odd)
            fprintf(to, "\\%c", letter[odd - plain]);
        else
            fputc(*text, to);
    }
}

static void tsv_head(FILE *to, int argc, char **argv, const char *columns) {
    char cpu[128];
    struct utsname system;
    double load = NAN;
    uname(&system);
    if (getloadavg(&load, 1) < 1) load = NAN;
    cpu_name(cpu, sizeof cpu);
    fprintf(to,
            "# machine: %s, %ld processors, %s %s\n# load before: %.2f\n# isa: %s\n# threads: %d\n# "
            "compiler: %s\n"
            "# commit: %s\n",
            cpu, sysconf(_SC_NPROCESSORS_ONLN), system.sysname, system.machine, load, kernel->isa,
            omp_get_max_threads(),
#ifdef __clang__
            __VERSION__,
#else
            "gcc " __VERSION__,
#endif
            TITANS_COMMIT);
    fputs("# command:", to);
    for (int i = 0; i < argc; i++) {
        fputc(' ', to);
        tsv_text(to, argv[i]);
    }
    fprintf(to, "\n%s\n", columns);
}

/* Whether a file can be gone on with: there is none, it is no regular file, or it is a table with these columns. */
static int tsv_alike(const char *path, const char *columns, char *message, size_t size) {
    struct stat info;
    char *line = 0;
    size_t room = 0;
    int alike = 0, first = 1;
    if (stat(path, &info) || !S_ISREG(info.st_mode) || !info.st_size) return 1;
    FILE *file = fopen(path, "r");
    while (file && getline(&line, &room, file) > 0) {
        if (first && strncmp(line, "# machine:", 10)) break;
        first = 0;
        if (*line == '#') continue;
        line[strcspn(line, "\n")] = 0;
        alike = !strcmp(line, columns);
        break;
    }
    if (!alike)
        snprintf(message, size,
                 "%s is not a table that can be gone on with (its columns are others); name another file",
                 path);
    if (file) fclose(file);
    free(line);
    return alike;
}

int tsv_open(Tsv *t, const char *path, TsvMode mode, int argc, char **argv, const char *columns,
             char *message, size_t size) {
    *t = (Tsv){.path = strdup(path)};
    if (!t->path) return snprintf(message, size, "no memory"), -1;
    if ((mode != TSV_RESUME || tsv_alike(path, columns, message, size)) &&
        !files_writes(path, mode == TSV_NEW ? FILES_NEW : FILES_REPLACE, message, size) &&
        !output_open(&t->output, path, message, size)) {
        t->file = t->output.file;
        tsv_head(t->file, argc, argv, columns);
        return 0;
    }
    free(t->path);
    *t = (Tsv){0};
    return -1;
}

void tsv_keep(Tsv *t, int key, double last) {
    char *line = 0;
    size_t room = 0;
    int header = 1;
    double value;
    FILE *old = t->output.through ? 0 : fopen(t->path, "r"); /* nothing stays on a device or in a pipe */
    while (old && getline(&line, &room, old) > 0) {
        const char *field = line;
        if (*line == '#' || header) {
            header &= *line == '#';
            continue;
        }
        for (int i = 0; i < key && field; i++) field = (field = strchr(field, '\t')) ? field + 1 : 0;
        if (!field) continue;
        value = number_parse(field, 0);
        if (value <= last) fputs(line, t->file);
    }
    free(line);
    if (old) fclose(old);
}

static void copy_file(const char *path, FILE *to) {
    char bytes[1 << 14];
    size_t n;
    FILE *from = fopen(path, "r");
    while (from && (n = fread(bytes, 1, sizeof bytes, from)) > 0) fwrite(bytes, 1, n, to);
    if (from) fclose(from);
}

int tsv_save(Tsv *t, char *message, size_t size) {
    if (t->output.through) return 0;
    if (output_commit(&t->output, t->path, message, size) ||
        output_open(&t->output, t->path, message, size)) {
        free(t->path);
        *t = (Tsv){0};
        return -1;
    }
    t->file = t->output.file;
    copy_file(t->path, t->file);
    return 0;
}

void tsv_discard(Tsv *t) {
    if (t->path) output_discard(&t->output);
    free(t->path);
    *t = (Tsv){0};
}

int tsv_close(Tsv *t, char *message, size_t size) {
    if (!t->path) return -1; /* saving it has failed, and said so */
    const int status = output_commit(&t->output, t->path, message, size);
    free(t->path);
    *t = (Tsv){0};
    return status;
}

int tsv_end(Tsv *t, int status, char *message, size_t size) {
    if (status >= 0) return tsv_close(t, message, size) ? -1 : status;
    tsv_discard(t);
    return status;
}
