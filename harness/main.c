#include "command/command.h"
#include "base/dispatch.h"
#include "base/field.h"
#include "terminal/options.h"
#include "titans.h"

#include "build.h"
#include "commands.h"
#include <fcntl.h>
#include <omp.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_THREADS = 1024 };

static int usage(FILE *to) {
    fprintf(to, "Usage: titans COMMAND [OPTION...]\n\n");
    for (int i = 0; commands[i]; i++) fprintf(to, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\n`titans COMMAND --help` describes each. Environment: TITANS_ISA (scalar, avx2, avx512, "
                "amx, neon),\n"
                "TITANS_DATA (folder of essays, books and wordlists), TITANS_PACKAGES (folder of bible.data, "
                "index.adj,\n"
                "index.noun, where no Debian package has put them), OMP_NUM_THREADS.\n");
    return to == stdout ? 0 : 2;
}

/* Streams come and go, one a batch: what one gave back is for the next, instead of being fetched again page by page. */
static void keep_freed_memory(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

/* A descriptor of 0 to 2 that is closed would be given to the next file, and messages or a prompt would meet there. */
static void open_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd) exit(1);
}

/* However the program ends: what was printed must have arrived. */
static void check_output(void) {
    if (!fflush(stdout) && !ferror(stdout)) return;
    perror("titans: standard output");
    _exit(1);
}

static const char *command_name(int i) { return commands[i] ? commands[i]->name : 0; }

static int unknown(const char *name) {
    char message[512];
    word_unknown("command", name, command_name, message, sizeof message);
    say("titans", message);
    return 2;
}

int main(int argc, char **argv) {
    open_standard_streams();
    atexit(check_output);
    signal(SIGXFSZ, SIG_IGN); /* a file beyond the limit is an error of writing, and said */
    keep_freed_memory();
    if (argc < 2) return usage(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return usage(stdout);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        printf("titans %s, commit %s\n", titans_version(), TITANS_COMMIT);
        return 0;
    }
    char message[256];
    if (omp_get_max_threads() > MOST_THREADS) {
        fprintf(stderr, "titans: OMP_NUM_THREADS: %d threads, at most %d are supported\n",
                omp_get_max_threads(), MOST_THREADS);
        return 2;
    }
    if (kernels_select(0, message, sizeof message)) {
        say("titans: TITANS_ISA", message);
        return 2;
    }
    for (int i = 0; commands[i]; i++)
        if (!strcmp(commands[i]->name, argv[1])) {
            char name[64];
            snprintf(name, sizeof name, "titans %s", argv[1]);
            argv[1] = name;
            return commands[i]->run(argc - 1, argv + 1);
        }
    return unknown(argv[1]);
}
