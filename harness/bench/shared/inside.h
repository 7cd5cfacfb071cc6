#pragma once
#include "bench/shared/table.h"
#include "learn/trained.h"

/* Benches that look into the memories of trained checkpoints while they read samples of their task. */
enum { INSIDE_FILES = 64 };

typedef struct {
    TableOptions table;
    Asked asked;
    const char *files[INSIDE_FILES];
    int count;
    int64_t length, samples, seed; /* tokens of a sample; how many; of which seed */
} InsideOptions;

/* name, columns: of the table; help: with the defaults; `look` adds the rows of one checkpoint, which has a memory. It returns 0, 1 when it was
 * interrupted, or -1 with a message. */
typedef struct {
    const char *name, *columns, *help;
    int64_t longest; /* of --length */
    int (*look)(const InsideOptions *options, Trained *trained, const char *file, FILE *to, char *message,
                size_t size);
} InsideBench;

/* The whole command; `o` holds the defaults. Its exit code. */
int inside_run(const InsideBench *bench, InsideOptions *o, int argc, char **argv);
