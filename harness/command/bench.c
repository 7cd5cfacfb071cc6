#include "bench/bench.h"
#include "command/command.h"
#include "base/field.h"
#include "terminal/options.h"

#include "benches.h"
#include <stdio.h>
#include <string.h>

static int usage(FILE *to) {
    fprintf(to, "Usage: titans bench NAME [OPTION...]\n\n");
    for (int i = 0; benches[i]; i++) fprintf(to, "  %-9s %s\n", benches[i]->name, benches[i]->summary);
    fprintf(to, "\n`titans bench NAME --help` describes each; `make bench` runs them all.\n");
    return to == stdout ? 0 : 2;
}

static const char *bench_name(int i) { return benches[i] ? benches[i]->name : 0; }

static int run(int argc, char **argv) {
    if (argc < 2) return usage(stderr);
    if (!strcmp(argv[1], "--help")) return usage(stdout);
    for (int i = 0; benches[i]; i++)
        if (!strcmp(benches[i]->name, argv[1])) {
            char name[64];
            snprintf(name, sizeof name, "%s %s", argv[0], argv[1]);
            argv[1] = name;
            return benches[i]->run(argc - 1, argv + 1);
        }
    char message[512];
    word_unknown("measurement", argv[1], bench_name, message, sizeof message);
    say("titans bench", message);
    return 2;
}

const Command command_bench = {"bench", "needles by length and depth, scaling, kernels, surprise", run};
