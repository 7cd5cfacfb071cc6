#include "command/command.h"
#include "base/dispatch.h"

#include "commands.h"
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <string.h>

static int usage(FILE *to) {
    fprintf(to, "Usage: titans COMMAND [OPTION...]\n\n");
    for (int i = 0; commands[i]; i++) fprintf(to, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(
        to,
        "\n`titans COMMAND --help` describes each. Environment: TITANS_ISA (scalar, avx2, avx512, neon),\n"
        "TITANS_DATA (folder of text and word lists), OMP_NUM_THREADS.\n");
    return to == stdout ? 0 : 2;
}

/* Streams come and go, one a batch: what one gave back is for the next, instead of being fetched again page by page. */
static void keep_freed_memory(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

int main(int argc, char **argv) {
    keep_freed_memory();
    char message[256];
    if (kernels_select(0, message, sizeof message)) {
        fprintf(stderr, "titans: TITANS_ISA: %s\n", message);
        return 2;
    }
    if (argc < 2) return usage(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) return usage(stdout);
    for (int i = 0; commands[i]; i++)
        if (!strcmp(commands[i]->name, argv[1])) {
            char name[64];
            snprintf(name, sizeof name, "titans %s", argv[1]);
            argv[1] = name;
            const int status = commands[i]->run(argc - 1, argv + 1);
            if (fflush(stdout) || ferror(stdout)) {
                perror("titans: standard output");
                return 1;
            }
            return status;
        }
    fprintf(stderr, "titans: unknown command '%s'\n\n", argv[1]);
    return usage(stderr);
}
