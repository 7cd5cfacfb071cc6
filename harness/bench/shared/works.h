#pragma once
#include "bench/shared/mixers.h"
#include "bench/shared/timing.h"

/* Benches of every mixer reading a stream and in training, `tokens` tokens at a time. */
typedef struct {
    TableOptions table;
    MixersOptions over;
    int64_t tokens, rounds;
    const struct WorksBench *bench;
} WorksOptions;

typedef struct WorksBench {
    const char *name, *columns, *what; /* what: a line of --help */
    int64_t tokens, rounds;            /* by default */
    /* Measures one mixer's work ("streaming", "training") and writes its row, unless interrupted. */
    void (*row)(const WorksOptions *o, const char *mixer, const char *work, Work run, FILE *to);
    /* Or NULL; begin: 0, or -1 with a message. */
    int (*begin)(char *message, size_t size);
    void (*end)(void);
} WorksBench;

enum { WORKS_ROUNDS = 31 }; /* at most */

/* Reads --mixers, --config, --threads, --tokens, --rounds, --out and --force, and measures; the exit code. */
int works_run(const WorksBench *bench, int argc, char **argv);
